"""
What does a map look like under each spatial loss?
==================================================

The units of the penultimate layer stand on a grid. In a control network their order means
nothing; a spatial loss makes neighbours alike, each loss in its own way. Six networks with
the same seed see the same images here, five of them with a loss of another group.
"""

# %%
# Six networks
# ------------
# Same initial weights, same order of images. The value of one loss says nothing beside
# that of another, so that ``lam_mode="calibrated"`` sets all of them to one strength: the
# gradient of the spatial loss is a fifth of that of the task when training begins.

import numpy as np
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.metrics import morans_i

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
LOSSES = {
    "control": None,
    "weight\nsimilarity": "ws",
    "activation\nsimilarity": "as",
    "Laplacian\npyramid": "laplacian",
    "spatial\ncorrelation": "spatial_correlation",
    "inverse\ndistance": "inverse_distance",
}
models = {
    name: TopographicCNNClassifier(
        loss,
        lam=0.2,
        lam_mode="calibrated",
        lr=1e-3,
        max_epochs=30,
        random_state=0,
    ).fit(X, y)
    for name, loss in LOSSES.items()
}

# %%
# What they have in common
# ------------------------
# Accuracy, and how smooth the maps of all test images are: Moran's I is about 0 without
# structure and goes towards 1. At one strength the losses do not come to the same: with
# inverse distance these maps stay as they were.

smoothness = {}
for name, model in models.items():
    maps = model.activation_maps(X_test)
    smoothness[name] = np.nanmean(morans_i(maps))
    print(
        f"{name.replace(chr(10), ' '):21s} accuracy {model.score(X_test, y_test):.3f}, "
        f"Moran's I {smoothness[name]:5.2f}, n = {len(maps)}"
    )

# %%
# The maps
# --------
# One row a network, one column an image. Colour is the response before the ReLU about the
# network's mean, in its standard deviations.

chosen = [int(np.flatnonzero(y_test == label)[0]) for label in (0, 1, 4, 7)]
figure, axes = plt.subplots(
    1 + len(models), len(chosen), figsize=(5, 8), layout="constrained", num="maps"
)
for ax, index in zip(axes[0], chosen):
    ax.imshow(X_test[index, 0], cmap="gray_r")
axes[0, 0].set_ylabel("image", fontsize=11)
for row, (name, model) in zip(axes[1:], models.items()):
    maps = model.activation_maps(X_test)
    for ax, index in zip(row, chosen):
        shown = (maps[index] - maps.mean()) / maps.std()
        drawn = ax.imshow(shown, cmap="RdBu_r", vmin=-3, vmax=3)
    row[0].set_ylabel(f"{name}\n{smoothness[name]:.2f}", fontsize=11)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
label = "response about the mean (standard deviations)"
figure.colorbar(
    drawn, ax=axes[1:], label=label, location="bottom", aspect=40, extend="both"
)
figure.suptitle("Maps of four digits, Moran's I at the left; one seed", fontsize=11)
plt.show()
