"""
Maps of control, WS and AS models
=================================

The units of the penultimate layer stand on a grid. In a control network their order
means nothing; weight similarity (WS) and activation similarity (AS) make neighbours
alike, and each image evokes a smooth map. Three networks with the same seed see the
same images here.
"""

# %%
# Train three networks
# --------------------
# They differ in the spatial loss only: same initial weights, same order of images.

import os

import numpy as np
import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.metrics import morans_i

torch.set_num_threads(1)
SHORT = os.environ.get("SKTOPO_EXAMPLES") == "short"  # as run by the tests

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
models = {}
for name, topo_loss in {"control": None, "WS": "ws", "AS": "as"}.items():
    models[name] = TopographicCNNClassifier(
        topo_loss, max_epochs=2 if SHORT else "auto", random_state=0
    ).fit(X, y)

# %%
# Look at the maps
# ----------------
# One row a network, one column an image. Colour is the response before the ReLU in
# units of the network's standard deviation, about its mean; Moran's I, averaged over all
# test images, says how smooth the maps are (about 0 without structure, towards 1).

chosen = [int(np.flatnonzero(y_test == label)[0]) for label in (0, 1, 4, 7, 8)]
figure, axes = plt.subplots(
    4,
    len(chosen),
    figsize=(7.5, 6.8),
    layout="constrained",
    num="maps_control_ws_as",
)
for ax, index in zip(axes[0], chosen):
    ax.imshow(X_test[index, 0], cmap="gray_r")
    ax.set_title(f"a {y_test[index]}", fontsize=10)
axes[0, 0].set_ylabel("image", fontsize=10)
for row, (name, model) in zip(axes[1:], models.items()):
    maps = model.activation_maps(X_test)
    smoothness = morans_i(maps).mean()
    accuracy = model.score(X_test, y_test)
    print(
        f"{name}: accuracy {accuracy:.3f}, Moran's I {smoothness:.2f}, n = {len(maps)}"
    )
    for ax, index in zip(row, chosen):
        drawn = ax.imshow(
            (maps[index] - maps.mean()) / maps.std(), cmap="RdBu_r", vmin=-3, vmax=3
        )
    row[0].set_ylabel(
        f"{name}\nMoran's I {smoothness:.2f}\naccuracy {accuracy:.2f}", fontsize=9
    )
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])
figure.colorbar(
    drawn,
    ax=axes[1:],
    label="response about the mean (standard deviations)",
    shrink=0.7,
    extend="both",
)
figure.suptitle(
    f"One network a row, one seed; WS and AS at lam 1 (n = {len(X_test)} test images)",
    fontsize=11,
)
plt.show()
