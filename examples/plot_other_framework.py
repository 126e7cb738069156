"""
Can I measure activations of another framework?
===============================================

All measures take plain arrays: responses ``(n_images, n_units)``, from JAX, TensorFlow, a
file or a recording. Here they come from scikit-learn's own network, which knows nothing of
grids, and its units are given places afterwards.
"""

# %%
# A network that is not of torch
# ------------------------------
# 100 hidden units. What another framework needs instead of these lines is its own way to a
# layer's responses before the nonlinearity, and ``numpy.asarray``.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier

from sktopo import measure_activations, select_results
from sktopo.datasets import load_digits_images
from sktopo.grid import Grid
from sktopo.plotting import CorrelationDistanceDisplay, GridMapDisplay

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
flat, flat_test = (images.reshape(len(images), -1) / 16 for images in (X, X_test))
network = MLPClassifier((100,), max_iter=60, early_stopping=True, random_state=0)
network.fit(flat, y)
weights, bias = network.coefs_[0], network.intercepts_[0]


def responses(images):
    return images @ weights + bias


print(f"accuracy {network.score(flat_test, y_test):.3f}, n = {len(y_test)}")

# %%
# Places for its units
# --------------------
# The order in which units stand in an array is arbitrary. One can look for a better one:
# here by the two main directions in which the units' correlations differ, and then the
# assignment of units to places that moves them least. Only training images are used.

sheet = Grid((10, 10))
correlations = np.corrcoef(responses(flat).T)
wanted = PCA(2, random_state=0).fit_transform(correlations)
ranks = wanted.argsort(axis=0).argsort(axis=0) / 99 * 9
costs = np.square(ranks[:, None] - sheet.coordinates).sum(axis=2)
units, places = linear_sum_assignment(costs)
order = units[places.argsort()]  # the unit at each place

# %%
# Measured
# --------
# On test images, in both orders. What does not ask where units stand is the same in both.

arrays = {
    "as they came": responses(flat_test),
    "arranged": responses(flat_test)[:, order],
}
asked = {
    "morans_i": {"neighborhood": "moore"},
    "distance_ratio": {"threshold": 0.5},
    "participation_ratio": {"of": "activations", "matrix": "covariance"},
}
rows = {}
for name, A in arrays.items():
    table = measure_activations(A, sheet, y_test)
    rows[name] = {
        what: select_results(table, what, **at)["value"].item()
        for what, at in asked.items()
    }
print(pd.DataFrame(rows).T.round(3).to_string())

# %%
# A map afterwards
# ----------------
# The responses to one digit, and correlations by distance. An arrangement finds the order
# that is in the units already, and changes no answer; a spatial loss in training makes more
# of it, and may change what is learned.

figure = plt.figure(figsize=(6, 5.6), layout="constrained", num="other_framework")
axes = figure.subplot_mosaic([[*arrays], ["pairs"] * 2], height_ratios=[1.2, 1.4])
maps = np.stack([A[0] for A in arrays.values()])
GridMapDisplay.from_activations(
    maps, sheet, titles=list(arrays), ax=[axes[name] for name in arrays]
)
for (name, A), color in zip(arrays.items(), ("0.35", "#0072B2")):
    CorrelationDistanceDisplay.from_activations(
        A, sheet, name=name, ax=axes["pairs"], color=color
    )
plt.show()
