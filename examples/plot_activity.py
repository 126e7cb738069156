"""
Do units of a map say less?
===========================

What a unit tells depends on how often it speaks and in how many ways. Topography makes
neighbours redundant: does the whole grid then span fewer dimensions?
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import pandas as pd
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, measure
from sktopo.datasets import load_digits_images

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
models = {
    name: TopographicCNNClassifier(loss, lr=1e-3, max_epochs=30, random_state=0)
    for name, loss in {"control": None, "WS": "ws", "AS": "as"}.items()
}
for model in models.values():
    model.fit(X, y)

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

COVARIANCE = "of={}, matrix=covariance"
PANELS = {
    ("entropy_shared_range", ""): "entropy in the\nshared range (bits)",
    ("percentage_of_zeros", ""): "share of images\nwithout a response",
    (
        "participation_ratio",
        COVARIANCE.format("activations"),
    ): "dimensions of\nthe responses",
    ("participation_ratio", COVARIANCE.format("weights")): "dimensions of\nthe weights",
}
figure, axes = plt.subplots(
    2, 2, figsize=(5.5, 4.8), layout="constrained", num="activity"
)
for ax, (row, label) in zip(axes.flat, PANELS.items()):
    ax.bar(
        list(models), wide.loc[row, list(models)], color=["0.35", "#0072B2", "#D55E00"]
    )
    ax.set_title(label, fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
figure.suptitle(f"121 units, n = {len(X_test)} test images, one seed", fontsize=11)
plt.show()
