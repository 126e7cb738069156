"""What each spatial loss costs, side by side: a few minutes of one torch thread.

    .venv/bin/python benchmarks/losses.py

Values and gradients of every named loss: as a share of a training step of the small
network without one; on larger and larger grids; for the wide weights of convolutions;
and two layers of them as a share of a step of a ResNet-18. The contestants take turns,
and the fastest turn of each counts.
"""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from run import fastest, steps
from torch import nn
from torchvision.models import resnet18

from sktopo.datasets import fetch_fashion_mnist
from sktopo.losses import LOSSES
from sktopo.losses.registry import make_loss

BATCH = 64
CONTESTANTS = {name: (name, {}) for name in LOSSES} | {
    "spatial_correlation, absolute": ("spatial_correlation", {"form": "absolute"}),
    "spatial_correlation, radius 3": ("spatial_correlation", {"radius": 3}),
}
LAYERS = {"layer2.1.conv2": (8, 16), "layer4.1.conv2": (16, 32)}


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


def resnet_step(network, losses, images, targets):
    """One pass of a network and of losses of the weights of its layers."""

    def run():
        network.zero_grad()
        loss = F.cross_entropy(network(images), targets)
        for layer, topo in losses.items():
            loss = loss + topo(network.get_submodule(layer).weight.flatten(1))
        loss.backward()

    return run, 1


def resnet_table(n_images=BATCH, size=28):
    """Passes of a ResNet-18 with losses of two layers, over passes without."""
    network = resnet18(num_classes=10)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    images = torch.randn(n_images, 3, size, size)
    targets = torch.arange(n_images) % 10
    contestants = {"without": resnet_step(network, {}, images, targets)}
    for name in LOSSES:
        losses = {layer: make_loss(name, shape) for layer, shape in LAYERS.items()}
        if losses["layer4.1.conv2"].source == "weights":
            contestants[name] = resnet_step(network, losses, images, targets)
    table = pd.DataFrame({"ms": pd.Series(fastest(**contestants)) * 1e3})
    table["over without"] = table["ms"] / table.loc["without", "ms"]
    return table


def main():
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist(return_X_y=True)
    print(share_table(X, np.asarray(y)).round(2).to_string(), end="\n\n")
    print("milliseconds by grid, 64 images, fan-in 64")
    print(growth_table().round(2).to_string(), end="\n\n")
    print("milliseconds by weights of convolutions")
    print(wide_table().round(2).to_string(), end="\n\n")
    print(f"ResNet-18, {BATCH} images of 28 x 28, losses of {', '.join(LAYERS)}")
    print(resnet_table().round(2).to_string())


if __name__ == "__main__":
    main()
