"""
Robustness to weight noise, image noise and pruning
===================================================

Three ways to disturb a trained network: noise on the weights of its head, noise on its
images, and units that fall silent. The networks meet the same noise.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import os

import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.plotting import RobustnessDisplay
from sktopo.robustness import area_under_curve, pruning_curve

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
# Three curves
# ------------
# Bands reach from the worst to the best of ten draws of weight noise; the dashed lines
# are the accuracies without noise. One network of each sort: a study needs many seeds.

figure, axes = plt.subplots(
    1, 3, figsize=(10.5, 3.4), layout="constrained", num="robustness"
)
for name, model in models.items():
    curves = {
        "weight": {},
        "image": {"kinds": ["pink"]},
        "pruning": {"order": "block"},
    }
    for ax, (kind, settings) in zip(axes, curves.items()):
        RobustnessDisplay.from_estimator(
            model,
            X_test,
            y_test,
            kind=kind,
            settings=settings,
            name=name,
            ax=ax,
        )
figure.suptitle(f"Digits, one seed, lam 1, n = {len(X_test)} test images", fontsize=10)

# %%
# Which units can go?
# -------------------
# The area under a pruning curve, over the length of its axis, is a mean accuracy. Units
# that are silent anyway can go first; a whole neighbourhood takes more with it where
# neighbours do the same.

for name, model in models.items():
    orders = ["zeros", "readout_norm", "random", "block"]
    curve = pruning_curve(model, X_test, y_test, orders, random_state=0)
    areas = area_under_curve(curve).set_index("curve")["mean_accuracy"]
    print(
        f"{name:8s}",
        ", ".join(f"{k.replace('_', ' ')} {v:.2f}" for k, v in areas.items()),
    )
plt.show()
