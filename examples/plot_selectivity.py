"""
Expert units and where they stand
=================================

A unit is an expert of a class if its response alone detects the class with an average
precision of at least one half. A spatial loss asks nothing about how many experts there
are; it shows in where they stand.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import os

import numpy as np
import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics
from sktopo.datasets import load_digits_images
from sktopo.plotting import ExpertMapDisplay, GridMapDisplay

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
# Count them, and compare their distances with chance
# ---------------------------------------------------
# The ratio is the mean grid distance of experts of one class over that of all pairs of
# units: 1 at chance. The p-value comes from shuffling the positions of the units.

for name, model in models.items():
    experts = metrics.expert_units(model.transform(X_test), y_test)
    counts = metrics.expert_counts(experts)
    where = metrics.expert_localization(
        experts, (11, 11), n_permutations=199, random_state=0
    )
    print(
        f"{name:8s} {counts.n_experts} experts, {counts.n_classes_without} classes without, "
        f"distance ratio {where.pooled:.2f} (p = {where.p_value:.3f})"
    )

# %%
# Their maps
# ----------
# Each unit in the colour of the class that it detects best, grey if it is no expert.

figure, axes = plt.subplots(
    1, 3, figsize=(11, 3.2), layout="constrained", num="experts"
)
for ax, (name, model) in zip(axes, models.items()):
    ExpertMapDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(name, fontsize=10)
figure.suptitle(
    f"Experts (average precision of 0.5 or more), n = {len(X_test)}", fontsize=10
)

# %%
# One class in detail
# -------------------
# d' of each unit for the digit 0 against all others: where it is positive, zeros drive
# the unit more than other digits do.

values = np.stack(
    [metrics.d_prime(m.transform(X_test), y_test)[:, 0] for m in models.values()]
)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained", num="d_prime")
GridMapDisplay(values.reshape(3, 11, 11), list(models), "d' for the digit 0").plot(axes)
plt.show()
