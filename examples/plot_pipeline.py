"""
Can a pipeline read the grid?
=============================

A trained grid is a feature extractor like any other: here a logistic regression reads
the digits off the responses of the grid units. :class:`~sktopo.ImageNoise` comes first
in the pipeline, so that everything behind it is trained and tested on noisy images.
"""

# %%
# A pipeline of noise, grid and linear readout
# --------------------------------------------
# `GridActivations` fits a clone of the network that it is given. With an int as random
# state, an image always gets the same noise, whichever images stand beside it: a fixed
# corruption, not an augmentation that changes from epoch to epoch.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktopo import GridActivations, ImageNoise, TopographicCNNClassifier
from sktopo.datasets import load_digits_images

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)

network = TopographicCNNClassifier(
    "ws", lam=0.3, lr=1e-3, max_epochs=30, random_state=0
)
pipeline = Pipeline(
    [
        ("noise", ImageNoise("white", level=0.1, random_state=0)),
        ("grid", GridActivations(network, response="post_relu")),
        ("scale", StandardScaler()),
        ("readout", LogisticRegression(max_iter=2000)),
    ]
)
pipeline.fit(X, y)
print(f"accuracy with noise {pipeline.score(X_test, y_test):.3f}, n = {len(y_test)}")

# %%
# Names come along
# ----------------
# Each column is named after the place of its unit; with
# ``pipeline.set_output(transform="pandas")`` the steps hand on DataFrames.

names = pipeline[:-1].get_feature_names_out()
responses = pd.DataFrame(pipeline[:2].transform(X_test), columns=names)
print(responses.iloc[:3, :4].round(2))

# %%
# Tested with more and with less noise
# ------------------------------------
# The noise step can be set like any parameter of a pipeline. One network and one draw of
# noise: differences of a few images mean nothing.

levels = [0, 0.1, 0.2, 0.3, 0.4]
accuracy = pd.Series(
    [pipeline.set_params(noise__level=level).score(X_test, y_test) for level in levels],
    index=levels,
)
print(accuracy.round(3))
figure, ax = plt.subplots(
    figsize=(5, 3.2), layout="constrained", num="accuracy_by_noise"
)
ax.plot(levels, accuracy, "o-", color="#0072B2")
ax.axvline(0.1, color="0.6", ls=":", label="level in training")
ax.axhline(0.1, color="0.6", ls="--", label="chance")
ax.set_xlabel("level of white noise (share of the value range)")
ax.set_ylabel(f"accuracy (n = {len(y_test)})")
ax.set_ylim(0, 1.03)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %%
# What the readout looks at
# -------------------------
# The weights of the logistic regression, laid out on the grid: one map a digit. Neighbours
# say nearly the same on a smooth grid, so that the regression is free to give one of them
# the weight of both: the weights need not be smooth, though the responses are.

coef = pipeline.named_steps["readout"].coef_
limit = np.abs(coef).max()
figure, axes = plt.subplots(
    2, 5, figsize=(6, 3.2), layout="constrained", num="readout_on_the_grid"
)
for ax, label, weights in zip(axes.flat, pipeline.classes_, coef):
    drawn = ax.imshow(
        weights.reshape(network.grid_shape), cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    ax.set_title(f"digit {label}", fontsize=11)
    ax.set(xticks=[], yticks=[])
label = f"weight of the standardised response (n = {len(y)} training images)"
figure.colorbar(drawn, ax=axes, label=label, location="bottom", aspect=40)
plt.show()
