"""What spatial losses of two convolutions add to a training step of resnet18.

Batches of 64 images of 28 x 28, float32, one thread; each loss on layer2.1.conv2 (128
channels) and layer4.1.conv2 (512), with the network's stem for small images and with
its own. All steps of a stem are of one network and take turns in one process; counted
is the time that the processor spent, which a busy machine disturbs least. A few
minutes, or more there:

    .venv/bin/python benchmarks/resnet.py
"""

import sys
import time

import numpy as np
import pandas as pd
import torch

from sktopo import TopographicCNNClassifier
from sktopo._training import CrossEntropy
from sktopo._training.making import make_objective
from sktopo.losses import LOSSES
from sktopo.networks import resnet18_backbone

LAYERS = ("backbone.layer2.1.conv2", "backbone.layer4.1.conv2")
STEMS = {
    "3 x 3": resnet18_backbone,
    "7 x 7": lambda shape: resnet18_backbone((shape[0], 64, 64)),
}
# Each loss of weights, and AS.
CONDITIONS = {
    **{
        name: {"topo_loss": name}
        for name, loss in LOSSES.items()
        if getattr(loss, "source", None) == "weights"
    },
    "ws, cosine": {"topo_loss": "ws", "distance": "cosine"},
    "as": {"topo_loss": "as"},
}
WANTED = {
    ("ws", "3 x 3"): 1.2,
    ("ws", "7 x 7"): 1.8,
    ("laplacian", "3 x 3"): 1.5,
    ("laplacian", "7 x 7"): 2.2,
}


def contestants(backbone, X, y):
    """A function that takes one step with each loss, and one with none, by name."""
    control = {"topo_loss": None, "backbone": backbone, "batch_size": len(X)}
    clf = TopographicCNNClassifier(**control, max_epochs=1, random_state=0).fit(X, y)
    net = clf.net_
    net.history.new_epoch()
    net.history.new_batch()
    inputs = {"images": torch.from_numpy(X), "weights": torch.ones(len(X))}
    batch = (inputs, torch.from_numpy(y))

    def steps_with(objective):
        def step():
            net.criterion_ = objective
            net.train_step(batch)

        return step

    found = {"none": steps_with(net.criterion_)}
    for name, settings in CONDITIONS.items():
        clf.set_params(distance=None, topo_layers=LAYERS).set_params(**settings)
        objective = make_objective(clf, CrossEntropy(), net.module_, seed=0)
        found[name] = steps_with(objective)
    return found


def seconds_of(contestants, n_turns):
    """A row a turn, a column a contestant: seconds of the processor."""
    turns = []
    for _ in range(n_turns):
        seconds = {}
        for name, step in contestants.items():
            start = time.process_time()
            step()
            seconds[name] = time.process_time() - start
        turns.append(seconds)
    return pd.DataFrame(turns)


def rows(X, y, n_turns):
    """A row a stem and loss."""
    for stem, backbone in STEMS.items():
        seconds = seconds_of(contestants(backbone, X, y), n_turns)
        ratios = seconds.div(seconds["none"], axis=0)
        for name in seconds:
            yield {
                "stem": stem,
                "loss": name,
                "step, ms": seconds[name].median() * 1e3,
                "over none": ratios[name].median(),
                "least": ratios[name].min(),
                "most": ratios[name].max(),
                "wanted": WANTED.get((name, stem), np.nan),
            }


def main():
    torch.set_num_threads(1)
    n_turns = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
    table = pd.DataFrame(rows(X, np.arange(64) % 10, n_turns))
    print(f"torch {torch.__version__}, one thread, medians of {n_turns} turns")
    print(table.round(2).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
