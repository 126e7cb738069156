"""
Representational geometry
=========================

Two networks can solve a task in the same way though no unit of one is a unit of the
other. Their geometry can be compared: which classes, or which images, are alike.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only.

import os

import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics
from sktopo.datasets import load_digits_images
from sktopo.plotting import RSMDisplay

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
# Similarity of the classes
# -------------------------
# Cosine similarity of the readout weights of any two digits, and below of the mean
# responses of the grid.

figure, axes = plt.subplots(
    2, 3, figsize=(10, 6), layout="constrained", num="similarity"
)
for (top, bottom), (name, model) in zip(axes.T, models.items()):
    RSMDisplay.from_estimator(model, ax=top)
    top.set_title(f"{name}: readout weights", fontsize=9)
    means = metrics.class_means(model.transform(X_test), y_test)
    RSMDisplay.from_rows(means, metric="correlation", names=range(10), ax=bottom)
    bottom.set_title(f"{name}: mean responses", fontsize=9)

# %%
# Do networks of other seeds agree?
# ---------------------------------
# The consistency is the mean correlation of the networks' dissimilarity matrices. Its
# interval leaves out one network at a time, since pairs that share one are not
# independent. CKA compares the responses themselves.

for name, topo_loss in LOSSES.items():
    seeds = [
        TopographicCNNClassifier(
            topo_loss, max_epochs=2 if SHORT else "auto", random_state=seed
        ).fit(X, y)
        for seed in range(3)
    ]
    responses = [model.transform(X_test) for model in seeds]
    found = metrics.consistency(responses, y_test)
    cka = metrics.linear_cka(responses[0], responses[1], debiased=True)
    low, high = found.interval
    print(
        f"{name:8s} consistency {found.mean:.2f} (95 % interval {low:.2f} to {high:.2f}, "
        f"{found.n_models} networks), debiased CKA of two {cka:.2f}, n = {len(X_test)}"
    )
plt.show()
