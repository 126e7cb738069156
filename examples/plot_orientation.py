"""
Do orientations form a map?
===========================

In the visual cortex, cells beside each other prefer bars of like orientation, and the
preferences turn smoothly from place to place. Does a spatial loss give a network that?
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only. Articles of
# clothing have more edges than 8 x 8 pixels can hold; without Fashion-MNIST on disk the
# digits must do.

import numpy as np
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics, stimuli
from sktopo.datasets import fetch_fashion_mnist, load_digits_images
from sktopo.plotting import DifferenceByDistanceDisplay, OrientationMapDisplay

try:
    X, y = fetch_fashion_mnist("train", return_X_y=True, download_if_missing=False)
    X_test, y_test = fetch_fashion_mnist(
        "test", return_X_y=True, download_if_missing=False
    )
except OSError:
    X, y = load_digits_images("train", return_X_y=True)
    X_test, y_test = load_digits_images("test", return_X_y=True)
X, y, X_test, y_test = X[:1000], y[:1000], X_test[:500], y_test[:500]

models = {
    name: TopographicCNNClassifier(loss, lr=1e-3, max_epochs=30, random_state=0)
    for name, loss in {"control": None, "WS": "ws", "AS": "as"}.items()
}
for name, model in models.items():
    model.fit(X, y)
    print(f"{name:8s} accuracy {model.score(X_test, y_test):.3f}, n = {len(X_test)}")

# %%
# Gratings
# --------
# Sine gratings of eight orientations, eight frequencies and eight phases, in the size and
# the range of the network's images. A unit's tuning is its mean response by orientation.

image_shape = models["WS"].image_shape_
gratings, of_grating = stimuli.sine_gratings(image_shape)
print(of_grating.head(3).to_string())
angles = of_grating["orientation"].unique()
middle = np.median(of_grating["frequency"].unique())
figure, axes = plt.subplots(
    1, 4, figsize=(6, 1.9), layout="constrained", num="gratings"
)
for ax, angle in zip(axes, angles[::2]):
    here = (of_grating["orientation"] == angle) & (of_grating["frequency"] >= middle)
    ax.imshow(gratings[int(here.to_numpy().argmax())][0], cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{angle:g}°", fontsize=11)
    ax.set(xticks=[], yticks=[])

# %%
# How far do neighbours differ?
# -----------------------------
# The difference of preferred orientations of two units, by their distance on the grid. In a
# map neighbours differ little and far units as much as by chance. A curve that is low all
# along is no map: most units prefer the same. The largest distances are of few pairs.

preferred = {}
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained", num="by_distance")
for name, model in models.items():
    display = OrientationMapDisplay.from_estimator(model, X_test)
    plt.close(display.figure_)
    preferred[name] = display
    difference = metrics.difference_by_distance(
        display.preferred, model.grid_, period=180
    )
    DifferenceByDistanceDisplay(
        difference, "difference of preferred\norientations (degrees)", name
    ).plot(ax)
ax.axhline(45, color="0.8", lw=0.8)
ax.set_title("45 degrees is chance", fontsize=11)

# %%
# The maps
# --------
# Hue and bar show the preferred orientation, saturation and length its strength. Units
# without a preference are grey. One seed: look, and count over seeds before you conclude.

figure, axes = plt.subplots(
    3, 1, figsize=(4.5, 9), layout="constrained", num="orientation_maps"
)
for ax, (name, display) in zip(axes, preferred.items()):
    display.plot(ax)
    ax.set_title(f"{name}: {ax.get_title()}", fontsize=10)
plt.show()
