"""What a step of an encoder costs, beside a loop with nothing that is not needed."""

import copy

import torch
from rows import beside, fastest

from sktopo import TopographicEncoder
from sktopo._training import import_supcon_loss
from sktopo.augment import VIEWS
from sktopo.losses import WeightSimilarity


def step_contestants(X, backbone, n_calls):
    """Training steps of one batch: ours and the tight loop's."""
    encoder = TopographicEncoder(backbone=backbone, max_epochs=1, random_state=0)
    net = encoder.fit(X[:128]).net_
    net.history.new_epoch()
    net.history.new_batch()
    images = torch.from_numpy(X[:64])
    own = torch.arange(len(images))
    batch = ({"images": images, "weights": torch.ones(len(images))}, own)

    network = copy.deepcopy(net.module_).train()
    contrastive, topographic = import_supcon_loss()(0.1), WeightSimilarity((11, 11))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    labels, draw = own.repeat(2), torch.Generator().manual_seed(0)
    views = {"generator": draw, "value_range": encoder.pixel_range_}

    def tight():
        given = images.float()
        both = torch.cat([VIEWS["default"](given, **views) for _ in range(2)])
        loss = contrastive(network(both), labels) + topographic(network.grid.weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return {
        "ours": (lambda: net.train_step(batch), n_calls),
        "tight loop": (tight, n_calls),
    }


def step_rows(X, n_calls=5, n_turns=7):
    """A row a backbone: steps of 64 images without labels."""
    for backbone in ("lenet", "deep"):
        spent = fastest(n_turns, **step_contestants(X, backbone, n_calls))
        wanted = {"tight loop": 1.1}
        yield from beside("step", f"encoder, {backbone}", spent, n_turns, wanted=wanted)
