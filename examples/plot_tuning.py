"""
Tuning to orientation, symmetry and eccentricity
================================================

Generated stimuli ask single units simple questions: which orientation of bars do you
prefer, can you tell a pattern from its mirror image, do you see the centre more than
the rim? The digits are small images (8 x 8), so the answers are coarse.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import os

import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics, stimuli
from sktopo.datasets import load_digits_images
from sktopo.plotting import (
    DifferenceByDistanceDisplay,
    EccentricityDisplay,
    OrientationMapDisplay,
)

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
# The stimuli
# -----------
# All of them fill the value range that the network was trained on.

shape, value_range = models["WS"].image_shape_, models["WS"].pixel_range_
gratings, _ = stimuli.sine_gratings((28, 28))
patterns, halves = stimuli.symmetric_patterns((28, 28), n=2)
probes, _ = stimuli.eccentricity_probes((28, 28))
shown = {
    "grating": gratings[80],
    "another": gratings[300],
    "symmetric": patterns[0],
    "asymmetric": patterns[2],
    "probe": probes[1800],
}
figure, axes = plt.subplots(1, 5, figsize=(8, 1.9), layout="constrained", num="stimuli")
for ax, (name, image) in zip(axes, shown.items()):
    ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    ax.set_title(name, fontsize=9)
    ax.set_axis_off()

# %%
# Preferred orientations
# ----------------------
# Hue and bar show the preferred orientation, saturation and length its strength.

figure, axes = plt.subplots(
    1, 4, figsize=(12, 2.9), layout="constrained", num="orientation"
)
for ax, (name, model) in zip(axes, models.items()):
    display = OrientationMapDisplay.from_estimator(model, X_test, ax=ax)
    ax.set_title(f"{name}: {ax.get_title()}", fontsize=9)
    difference = metrics.difference_by_distance(display.preferred, (11, 11), period=180)
    curve = DifferenceByDistanceDisplay(
        difference, "difference of preferred\norientations (degrees)", name
    )
    curve.plot(axes[3])
axes[3].axhline(45, color="0.8", lw=0.8)
axes[3].set_title("45 degrees is chance", fontsize=9)

# %%
# Mirror images and the place of a probe
# --------------------------------------
# A unit that treats an image and its mirror image alike has an index of 1; 0 means no
# more alike than two images of a class. This network keeps where things are. One that
# averages over space, such as ``backbone="small"``, knows the place of a probe only by
# the border of the image and the phase of pooling.

figure, ax = plt.subplots(figsize=(4.2, 3.1), layout="constrained", num="eccentricity")
for name, model in models.items():
    A, mirrored = model.transform(X_test), model.transform(X_test[..., ::-1])
    index = metrics.symmetry_sensitivity(A, mirrored, y_test).index
    print(
        f"{name:8s} left-right mirror index {index.mean():.2f} (121 units, n = {len(A)})"
    )
    EccentricityDisplay.from_estimator(model, name=name, ax=ax)
plt.show()
