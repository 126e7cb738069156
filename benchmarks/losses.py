"""What each spatial loss costs, side by side: a few minutes of one torch thread.

    .venv/bin/python benchmarks/losses.py

Values and gradients of every named loss: as a share of a training step of the small
network without one; on larger and larger grids; and for the wide weights of
convolutions. The contestants take turns, and the fastest turn of each counts. What they
add to a step of resnet18 says resnet.py.
"""

import numpy as np
import pandas as pd
import torch
from run import fastest, steps

from sktopo.datasets import fetch_fashion_mnist
from sktopo.losses import LOSSES
from sktopo.losses.registry import make_loss

BATCH = 64
CONTESTANTS = {name: (name, {}) for name in LOSSES} | {
    "spatial_correlation, absolute": ("spatial_correlation", {"form": "absolute"}),
    "spatial_correlation, radius 3": ("spatial_correlation", {"radius": 3}),
}


def made(shape, contestants=CONTESTANTS):
    """The losses for a grid."""
    return {
        label: make_loss(name, shape, **settings)
        for label, (name, settings) in contestants.items()
    }


def passes(loss, fan_in=64, n_calls=1):
    """Value and gradient of a loss of random numbers, as a contestant."""
    n_units = loss.grid.n_units
    shape = (n_units, fan_in) if loss.source == "weights" else (BATCH, n_units)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(shape, generator=generator, requires_grad=True)

    def run():
        vectors.grad = None
        loss(vectors).backward()

    return run, n_calls


def share_table(X, y, n_calls=50):
    """Milliseconds at the small network's grid, and percent of its step without one."""
    losses = made((11, 11)).items()
    contestants = {name: passes(loss, n_calls=n_calls) for name, loss in losses}
    spent = fastest(
        step=steps(X, y, backbone="small", lam=0.0, topo_loss=None), **contestants
    )
    table = pd.DataFrame({"ms": pd.Series(spent) * 1e3})
    table["% of a step"] = 100 * table["ms"] / table.loc["step", "ms"]
    return table


def growth_table(sizes=(11, 16, 23, 32, 45)):
    """Milliseconds on square grids."""
    columns = {}
    for size in sizes:
        losses = made((size, size)).items()
        spent = fastest(**{name: passes(loss) for name, loss in losses})
        columns[f"{size} x {size}"] = pd.Series(spent) * 1e3
    return pd.DataFrame(columns)


def wide_table(layers=((8, 16, 1152), (16, 32, 4608))):
    """Milliseconds of the losses of weights, for convolutions."""
    columns = {}
    for *shape, fan_in in layers:
        losses = made(shape).items()
        contestants = {
            name: passes(loss, fan_in)
            for name, loss in losses
            if loss.source == "weights"
        }
        spent = fastest(**contestants)
        columns[f"{shape[0] * shape[1]} x {fan_in}"] = pd.Series(spent) * 1e3
    return pd.DataFrame(columns)


def main():
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist(return_X_y=True)
    print(share_table(X, np.asarray(y)).round(2).to_string(), end="\n\n")
    print("milliseconds by grid, 64 images, fan-in 64")
    print(growth_table().round(2).to_string(), end="\n\n")
    print("milliseconds by weights of convolutions")
    print(wide_table().round(2).to_string())


if __name__ == "__main__":
    main()
