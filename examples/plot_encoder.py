"""
Can a map be learned without labels?
====================================

An encoder learns which two views show the same image, and is never told what is in it. With
a spatial loss its sheet organises itself meanwhile. What it learned is read afterwards, by a
classifier of scikit-learn that gets few labels.
"""

# %%
# Views
# -----
# Each image is shown twice, changed by chance each time: another part of it, brightness and
# contrast. The network is to find the two that belong together among all of a batch.
# ``augment="default"`` would also swap left and right, which makes no digit of a digit.

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktopo import TopographicEncoder, measure, select_results
from sktopo.augment import RandomViews
from sktopo.datasets import load_digits_images
from sktopo.metrics import morans_i
from sktopo.plotting import GridMapDisplay

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)

make_views = RandomViews(smallest_crop=0.5, mirror=False)
shown = torch.from_numpy(X[:6]).float()
draw = torch.Generator().manual_seed(0)
views = [make_views(shown, generator=draw, value_range=(0, 16)) for _ in range(2)]
figure, axes = plt.subplots(3, 6, figsize=(6, 3.4), layout="constrained", num="views")
for row, images, name in zip(axes, (shown, *views), ("image", "a view", "another")):
    for ax, image in zip(row, images.numpy()):
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)

# %%
# The sheet organises itself
# --------------------------
# One epoch at a time, by `partial_fit`, to look at the maps of a test image on the way.
# `transform` and `activation_maps` give the responses of the grid before the ReLU, as the
# classifier's do; the projections that the loss compares come after it, from ``module_``.

N_EPOCHS = 40
encoder = TopographicEncoder(
    "simclr", "ws", lam=3.0, augment=make_views, lr=3e-3, random_state=0
)
control = clone(encoder).set_params(topo_loss=None, max_epochs=N_EPOCHS).fit(X)
smoothness, kept = [], {}
for epoch in range(1, N_EPOCHS + 1):
    encoder.partial_fit(X)
    maps = encoder.activation_maps(X_test)
    smoothness.append(np.nanmean(morans_i(maps)))
    if epoch in (1, 5, 15, N_EPOCHS):
        kept[epoch] = maps[0]

# %%
# A probe
# -------
# What a classifier of scikit-learn reads from the responses, when it is given the labels of
# few images or of all. `FrozenEstimator` keeps the encoder as it is; without it the pipeline
# would train it anew, on the labelled images alone. The random encoder has the same network
# and was hardly trained: one epoch at a learning rate of almost 0.

untrained = clone(control).set_params(max_epochs=1, lr=1e-9).fit(X)
inputs = {
    "pixels": FunctionTransformer(lambda X: X.reshape(len(X), -1)),
    "random encoder": FrozenEstimator(untrained),
    "SimCLR": FrozenEstimator(control),
    "SimCLR, WS": FrozenEstimator(encoder),
}
readers = {
    "linear": LogisticRegression(max_iter=5000),
    "neighbours": KNeighborsClassifier(3),
}
few = np.concatenate([np.flatnonzero(y == label)[:5] for label in range(10)])
table = pd.DataFrame(index=list(inputs))
for name, step in inputs.items():
    for n_labels, rows in ((len(few), few), (len(y), np.arange(len(y)))):
        for kind, reader in readers.items():
            probe = make_pipeline(step, StandardScaler(), reader).fit(X[rows], y[rows])
            table.loc[name, f"{kind}, {n_labels}"] = probe.score(X_test, y_test)
print(f"accuracy by number of labels, n = {len(X_test)} test images, one seed")
print(table.round(3).to_string())

# %%
# Measures
# --------
# All that needs no predictions is measured of an encoder as of a classifier: here how smooth
# the maps are, how far units stand from each other that respond alike (1 is chance), and
# how many units are experts of a digit, though no digit was ever named. One encoder of
# each kind, one seed, 450 test images: that the sheet becomes a map is plain, what it costs
# is not.

asked = {
    "morans_i": {"neighborhood": "moore"},
    "distance_ratio": {"threshold": 0.5},
    "n_experts": {},
}
table = pd.DataFrame(columns=list(asked))
for name, model in {"SimCLR": control, "SimCLR, WS": encoder}.items():
    found = measure(
        model, X_test, y_test, include=["smoothness", "localization", "selectivity"]
    )
    for what, conditions in asked.items():
        rows = select_results(found, what, **conditions)
        table.loc[name, what] = rows["value"].sum()
print(table.astype(float).round(3).to_string())

# %%
# What was seen on the way
# ------------------------
# Above the map of one test image, after a number of epochs. Below how the contrastive loss
# falls while the maps of all test images become smooth.

figure = plt.figure(figsize=(6, 6.4), layout="constrained", num="sheet")
above, below = figure.subfigures(2, 1, height_ratios=[1.3, 1])
GridMapDisplay.from_activations(
    np.stack([m.ravel() for m in kept.values()]),
    encoder.grid_.shape,
    titles=[f"epoch {epoch}, {smoothness[epoch - 1]:.2f}" for epoch in kept],
    ax=above.subplots(2, 2, squeeze=False).ravel()[: len(kept)],
)
left, right = below.subplots(1, 2)
left.plot(encoder.history_["epoch"], encoder.history_["task_loss"])
left.set(xlabel="epoch", ylabel="contrastive loss")
right.plot(encoder.history_["epoch"], smoothness)
right.set(xlabel="epoch", ylabel="Moran's I of the maps")
plt.show()
