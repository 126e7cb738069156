"""What an encoder learns without labels, and what a step of it costs.

Encoders are trained on 12,000 images of Fashion-MNIST without their labels; a logistic
regression then reads the labels from the responses of their grid, and from pixels, its
C tuned alike on the same images. Three seeds; half an hour and more on one thread:

    .venv/bin/python benchmarks/encoder.py

`--images 500 --test-images 500 --max-epochs 1` shows in a minute that it works, and
nothing more.
"""

import argparse
import copy

import numpy as np
import pandas as pd
import torch
from rows import beside, fastest

from sktopo import TopographicEncoder
from sktopo._training import import_supcon_loss
from sktopo.augment import VIEWS
from sktopo.datasets import fetch_fashion_mnist
from sktopo.losses import WeightSimilarity
from sktopo.metrics import morans_i
from sktopo.metrics.intervals import half_width
from sktopo.replication._objectives import linear_probe, read_labels

# What is probed beside pixels, with one seed each.
ENCODERS = {
    "random": {"topo_loss": None, "max_epochs": 1, "lr": 1e-12},
    "SimCLR": {"topo_loss": None},
    "SimCLR, WS": {"topo_loss": "ws"},
}
# Differences of probes in points, and what is wanted of them.
WANTED = {
    ("SimCLR", "pixels"): "above 0",
    ("SimCLR", "random"): "at least 4",
    ("SimCLR, WS", "SimCLR"): "at least -3",
}


# ---------------------------------------------------------------- what it learns


def probe_rows(train, test, seeds, **settings):
    """A row a seed and encoder, and one for the pixels."""
    (X, y), (X_test, y_test) = train, test
    pixels = [images.reshape(len(images), -1) / 255 for images in (X, X_test)]
    accuracy = read_labels(pixels[0], y, pixels[1], y_test)
    yield {"what": "pixels", "seed": None, "accuracy": accuracy}
    for seed in seeds:
        for name, own in ENCODERS.items():
            encoder = TopographicEncoder(
                random_state=seed, **{"backbone": "deep", **settings, **own}
            ).fit(X)
            accuracy = linear_probe(encoder, X_test, y_test, X, y)
            responses = encoder.transform(X_test)
            smooth = np.nanmean(morans_i(responses, grid_shape=encoder.grid_))
            loss = encoder.history_["task_loss"].iloc[-1]
            row = {"what": name, "seed": seed, "accuracy": accuracy}
            yield {**row, "Moran's I": smooth, "last loss": loss}


def interval(values):
    """The mean and the half of its 95 % interval (Student's t)."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), half_width(error, len(values))


def contrasts(rows):
    """Differences paired by seed, in points, and the sheet's smoothness."""
    by_seed = rows.dropna(subset="seed").pivot(index="seed", columns="what")
    accuracy = by_seed["accuracy"].copy()
    accuracy["pixels"] = rows.set_index("what").loc["pixels", "accuracy"]
    found = []
    for (one, other), wanted in WANTED.items():
        mean, half = interval(100 * (accuracy[one] - accuracy[other]))
        found.append((f"{one} - {other}, points", mean, half, wanted))
    smooth = by_seed["Moran's I"]["SimCLR, WS"]
    found.append(("Moran's I of SimCLR, WS", *interval(smooth), "above .3"))
    return pd.DataFrame(found, columns=["what", "mean", "+-", "wanted"])


# ----------------------------------------------------------------- what it costs


def step_contestants(X, backbone, n_calls):
    """Training steps of one batch: ours, and a loop with nothing that is not needed."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, default=None, help="default: auto")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--lam", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist("train", return_X_y=True)
    X_test, y_test = fetch_fashion_mnist("test", return_X_y=True)
    test = (X_test[: given.test_images], y_test[: given.test_images])
    print(f"torch {torch.__version__}, one thread", flush=True)
    costs = pd.DataFrame(step_rows(X))[["what", "rival", "ratio", "wanted", "ours"]]
    print(costs.round(3).to_string(index=False), flush=True)
    settings = {"dropout": given.dropout, "lam": given.lam}
    settings["max_epochs"] = given.max_epochs or "auto"
    rows, train = [], (X[: given.images], y[: given.images])
    for row in probe_rows(train, test, range(given.seeds), **settings):
        print(row, flush=True)
        rows.append(row)
    print(f"{len(train[0]):,} images, n = {len(test[0]):,} test images, {settings}")
    print(contrasts(pd.DataFrame(rows)).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
