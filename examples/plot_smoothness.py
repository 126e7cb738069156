"""
Is this grid topographic?
=========================

Single maps can mislead. Here are the measures that sum up a whole set of images, for a
control, weight similarity (WS), activation similarity (AS) and the striped variant of AS
that the published helper gives when a batch is not transposed.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only. Which pattern the
# untransposed variant gives depends on the batch size: 64, as in the paper, gives stripes.

import numpy as np
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics
from sktopo.datasets import load_digits_images
from sktopo.plotting import (
    CorrelationDistanceDisplay,
    CorrelationHistogramDisplay,
    GridMapDisplay,
)

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
LOSSES = {
    "control": None,
    "WS": "ws",
    "AS": "as",
    "AS untransposed": "as_untransposed",
}
models = {
    name: TopographicCNNClassifier(
        loss, lr=1e-3, max_epochs=30, batch_size=64, random_state=0
    ).fit(X, y)
    for name, loss in LOSSES.items()
}

# %%
# One image, four maps
# --------------------

figure, axes = plt.subplots(
    2, 2, figsize=(5.5, 4.8), layout="constrained", num="one_image"
)
maps = [model.activation_maps(X_test) for model in models.values()]
one_each = np.stack([(m[0] - m.mean()) / m.std() for m in maps])
GridMapDisplay(one_each, list(models), "response about the mean (sd)").plot(axes)
figure.suptitle(f"Responses to one image, a {y_test[0]}", fontsize=11)

# %%
# Moran's I and autocorrelation
# -----------------------------
# Moran's I compares each unit with its neighbours. Stripes make it negative, although the
# maps are anything but random: the autocorrelation at a lag of two rows shows them.

for name, model in models.items():
    maps = model.activation_maps(X_test)
    smooth = metrics.morans_i(maps, n_permutations=49, random_state=0)
    lags = metrics.spatial_autocorrelation(maps, max_lag=2)
    by_lag = lags.set_index(["axis", "lag"])["correlation"]
    print(
        f"{name:16s} Moran's I {smooth.value.mean():5.2f} "
        f"(shuffled {smooth.null_mean.mean():5.2f}), "
        f"lag 2 from row to row {by_lag['row', 2]:5.2f}, n = {len(maps)}"
    )

# %%
# Pairs of units
# --------------
# Above: units near each other respond alike in WS and AS networks, and no more than others
# in a control. Below: the distribution of all correlations; two humps mean that units
# come in groups that do the same or the opposite.

figure, (above, below) = plt.subplots(
    2, 1, figsize=(6, 6.4), layout="constrained", num="pair_correlations"
)
for name, model in models.items():
    CorrelationDistanceDisplay.from_estimator(model, X_test, name=name, ax=above)
    CorrelationHistogramDisplay.from_estimator(model, X_test, name=name, ax=below)
plt.show()
