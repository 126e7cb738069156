"""
Activity and dimensionality
===========================

What a unit tells depends on how often it speaks and in how many ways. Topography
makes neighbours redundant: does the whole grid then span fewer dimensions?
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import os

import pandas as pd
import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, measure
from sktopo.datasets import load_digits_images

torch.set_num_threads(1)
SHORT = os.environ.get("SKTOPO_EXAMPLES") == "short"  # as run by the tests

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
LOSSES = {"control": None, "WS": "ws", "AS": "as"}
models = {
    name: TopographicCNNClassifier(
        topo_loss, max_epochs=2 if SHORT else "auto", random_state=0
    ).fit(X, y)
    for name, topo_loss in LOSSES.items()
}

# %%
# One call for all measures
# -------------------------
# `measure` takes groups of measures and gives one table. The entropy in a range that all
# networks share (that of the control, the reference) can be compared between them; the
# entropy in each unit's own range only describes the shape of its distribution.

table = pd.concat(
    measure(
        model,
        X_test,
        y_test,
        include=["activity", "dimensionality"],
        reference=models["control"],
    ).assign(model=name)
    for name, model in models.items()
)
wide = table.pivot(index=["measure", "parameter"], columns="model", values="value")
print(wide[list(models)].round(2).to_string())

# %%
# The networks side by side
# -------------------------
# One seed of each: differences of this size are for looking at, not for conclusions.

PANELS = {
    ("entropy_shared_range", ""): "entropy in the\nshared range (bits)",
    ("percentage_of_zeros", ""): "share of images\nwithout a response",
    ("variance_over_squared_norm", ""): "variance over squared\nnorm of the weights",
    (
        "participation_ratio",
        "of=activations, matrix=covariance",
    ): "dimensions of the responses\n(participation ratio)",
    (
        "participation_ratio",
        "of=weights, matrix=covariance",
    ): "dimensions of the weights\n(participation ratio)",
}
figure, axes = plt.subplots(
    1, 5, figsize=(10, 2.9), layout="constrained", num="activity"
)
for ax, (row, label) in zip(axes, PANELS.items()):
    ax.bar(
        list(models), wide.loc[row, list(models)], color=["0.35", "#0072B2", "#D55E00"]
    )
    ax.set_title(label, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
figure.suptitle(
    f"Digits, one seed, lam 1; n = {len(X_test)} test images, 121 units", fontsize=10
)
plt.show()
