"""
Do two networks represent the same?
===================================

Two networks can solve a task in the same way though no unit of one is a unit of the
other. Their geometry can be compared: which classes, or which images, are alike.
"""

# %%
# Networks to compare
# -------------------
# Three seeds of a control and three of weight similarity (WS). The networks of one seed
# share their first weights and the order of their images.

from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics
from sktopo.datasets import load_digits_images
from sktopo.plotting import RSMDisplay

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
models = {
    name: [
        TopographicCNNClassifier(loss, lr=1e-3, max_epochs=30, random_state=seed)
        for seed in range(3)
    ]
    for name, loss in {"control": None, "WS": "ws"}.items()
}
for seeds in models.values():
    for model in seeds:
        model.fit(X, y)

# %%
# Do networks of other seeds agree?
# ---------------------------------
# The consistency is the mean correlation of the networks' dissimilarity matrices. Its
# interval leaves out one network at a time, since pairs that share one are not
# independent. CKA compares the responses themselves.

for name, seeds in models.items():
    responses = [model.transform(X_test) for model in seeds]
    found = metrics.consistency(responses, y_test)
    cka = metrics.linear_cka(responses[0], responses[1], debiased=True)
    low, high = found.interval
    print(
        f"{name:8s} consistency {found.mean:.2f} (95 % interval {low:.2f} to {high:.2f}, "
        f"{found.n_models} networks), debiased CKA of two {cka:.2f}, n = {len(X_test)}"
    )

# %%
# Which digits are alike?
# -----------------------
# Correlations of the mean responses of the grid to any two digits, in two seeds of each.
# Where a pair of digits is red in all four, it is the images that are alike.

figure, axes = plt.subplots(
    2, 2, figsize=(6, 5.2), layout="constrained", num="similarity"
)
for row, (name, seeds) in zip(axes, models.items()):
    for ax, model in zip(row, seeds):
        means = metrics.class_means(model.transform(X_test), y_test)
        RSMDisplay.from_rows(means, metric="correlation", names=range(10), ax=ax)
        ax.set_title(f"{name}, seed {model.random_state}", fontsize=11)
plt.show()
