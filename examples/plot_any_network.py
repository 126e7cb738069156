"""
Can I measure a stranger's network?
===================================

A torchvision network, trained in a plain loop of torch, is measured as if it were one of
ours: `FrozenNetwork` wraps it, and names a layer. The network itself is never changed.
"""

# %%
# A network and a loop, without sktopo
# ------------------------------------
# A residual network of four blocks, with a hidden layer before its readout. It is trained
# twice from the same start: as it is, and on images with noise of a fifth of their range,
# which may make it robust to such noise, or not.

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from sktopo import FrozenNetwork, measure, select_results, unit_table
from sktopo.datasets import load_digits_images
from sktopo.plotting import GridMapDisplay, RobustnessDisplay

N_EPOCHS = 3

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
X, X_test = (images / np.float32(X.max()) for images in (X, X_test))


def make_network():
    torch.manual_seed(0)
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)  # for 8 x 8 pixels
    network.maxpool = nn.Identity()
    network.fc = nn.Sequential(nn.Linear(512, 121), nn.ReLU(), nn.Linear(121, 10))
    return network


def train(network, noise):
    images, labels = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(N_EPOCHS):
        for rows in torch.randperm(len(images)).split(64):
            batch = images[rows]
            batch = batch + noise * torch.randn_like(batch)
            loss = F.cross_entropy(network(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


networks = {
    "plain": train(make_network(), noise=0.0),
    "trained with noise": train(make_network(), noise=0.2),
}

# %%
# Two layers of it
# ----------------
# A linear layer of 121 units stands on a sheet of 11 x 11; the 256 channels of a
# convolution, each the mean over its positions, on one of 16 x 16. `layer` is a name from
# ``network.named_modules()``, and each call may name another one.

frozen = {
    name: FrozenNetwork(network, "fc.0", image_shape=(1, 8, 8))
    for name, network in networks.items()
}
CONV = "layer3.0.conv2"
for name, model in frozen.items():
    print(f"{name}: accuracy {model.score(X_test, y_test):.3f}")
    for layer in ("fc.0", CONV):
        table = measure(
            model, X_test, y_test, ["smoothness", "dimensionality"], layer=layer
        )
        smooth = select_results(table, "morans_i", neighborhood="moore")
        dimensions = select_results(
            table, "participation_ratio", of="activations", matrix="covariance"
        )
        print(
            f"  {layer}: Moran's I {smooth['value'].item():.3f} (n = "
            f"{smooth['n'].item()} maps), participation ratio "
            f"{dimensions['value'].item():.1f}"
        )

# %%
# Nothing asked these units to be alike, so that their places on the sheet mean nothing:
# Moran's I is about that of chance, -1 / (units - 1). Train with a spatial loss, and it
# is a map.
#
# The responses of both layers to one image:

figure, axes = plt.subplots(2, 2, figsize=(6, 5), layout="constrained", num="maps")
for row, (name, model) in zip(axes, frozen.items()):
    for ax, layer in zip(row, ("fc.0", CONV)):
        GridMapDisplay.from_estimator(
            model, X_test[:1], layer=layer, titles=[f"{name}\n{layer}"], ax=ax
        )

# %%
# A row a unit
# ------------
# What each unit prefers, to be drawn, or correlated with anything else.

units = unit_table(frozen["plain"], X_test, y_test)
print(units.round(2).head().to_string())
figure, ax = plt.subplots(figsize=(4.5, 3.4), layout="constrained", num="units")
GridMapDisplay.from_values(
    np.where(units["d_prime"] > 1, units["d_prime"], np.nan),
    frozen["plain"].grid_.shape,
    label="d' of the best class, where above 1",
    ax=ax,
)

# %%
# Made robust, or not
# -------------------
# Both meet the same noise, in the images and in the weights of the last two layers, and
# lose the same units. One network of each: a comparison needs many seeds.

CURVES = {
    "image": {"kinds": ["white"]},
    "weight": {"layers": "head"},
    "pruning": {"order": "random"},
}
figure, axes = plt.subplots(
    3, 1, figsize=(6, 8.4), layout="constrained", num="robustness"
)
for name, model in frozen.items():
    for ax, (kind, settings) in zip(axes, CURVES.items()):
        RobustnessDisplay.from_estimator(
            model,
            X_test,
            y_test,
            kind=kind,
            settings=settings,
            name=name,
            ax=ax,
            label=name,
        )
plt.show()
