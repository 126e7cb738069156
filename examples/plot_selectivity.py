"""
Where do expert units stand?
============================

A unit is an expert of a class if its response alone detects the class with an average
precision of at least one half. A spatial loss asks nothing about how many experts there
are; it shows in where they stand.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import numpy as np
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics
from sktopo.datasets import load_digits_images
from sktopo.plotting import ExpertMapDisplay, GridMapDisplay

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
models = {
    name: TopographicCNNClassifier(loss, lr=1e-3, max_epochs=30, random_state=0)
    for name, loss in {"control": None, "WS": "ws", "AS": "as"}.items()
}
for model in models.values():
    model.fit(X, y)

# %%
# One class in detail
# -------------------
# d' of each unit for the digit 0 against all others: where it is positive, zeros drive
# the unit more than other digits do.

values = np.stack(
    [metrics.d_prime(m.transform(X_test), y_test)[:, 0] for m in models.values()]
)
figure, axes = plt.subplots(
    1, 3, figsize=(6, 2.3), layout="constrained", num="one_class"
)
maps = values.reshape(3, *model.grid_shape)
GridMapDisplay(maps, list(models), "d' for the digit 0").plot(axes)

# %%
# Count them, and compare their distances with chance
# ---------------------------------------------------
# The ratio is the mean grid distance of experts of one class over that of all pairs of
# units: 1 at chance. The p value comes from shuffling the positions of the units.

for name, model in models.items():
    experts = metrics.expert_units(model.transform(X_test), y_test)
    counts = metrics.expert_counts(experts)
    where = metrics.expert_localization(
        experts, model.grid_, n_permutations=199, random_state=0
    )
    print(
        f"{name:8s} {counts.n_experts} experts, {counts.n_classes_without} classes without, "
        f"distance ratio {where.pooled:.2f} (p = {where.p_value:.3f})"
    )

# %%
# All classes at once
# -------------------
# Each unit in the colour of the class that it detects best, grey if it is no expert. Look
# for patches of one colour: a control has them by chance alone.

figure, axes = plt.subplots(
    3, 1, figsize=(4.5, 8.4), layout="constrained", num="experts"
)
for ax, (name, model) in zip(axes, models.items()):
    ExpertMapDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(name, fontsize=11)
figure.suptitle(f"Experts of the digits, n = {len(X_test)} test images", fontsize=11)
plt.show()
