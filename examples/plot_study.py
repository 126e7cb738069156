"""
A study: conditions, lam and seeds
==================================

One network of each kind shows what can happen. Whether a spatial loss changes a measure
takes several seeds, a control, and differences within seeds: that is a study.
"""

# %%
# What is run
# -----------
# Models of one seed share initialisation, order of the images and noise. Each runs with one
# thread, two at a time in worker processes here; with ``store="folder"`` each is kept as soon as it is
# done, and a study that was stopped goes on where it was.

import os

from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, replication
from sktopo.datasets import load_digits_images
from sktopo.study import TopographicStudy

SHORT = os.environ.get("SKTOPO_EXAMPLES") == "short"  # as run by the tests

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
study = TopographicStudy(
    TopographicCNNClassifier(max_epochs=2 if SHORT else "auto"),
    topo_losses=["ws", "as"],
    lams=[1] if SHORT else [0.3, 1, 3],
    n_seeds=2 if SHORT else 6,
    include=["performance", "smoothness", "localization", "robustness"],
    n_jobs=1 if SHORT else 2,
    verbose=0,
)
print(study.cells().groupby(["condition", "lam"], sort=False).size())

# %%
# What came out
# -------------
# Every measure of every model is a row of `results_`.

study.run(X, y, X_test, y_test)
print(study.results_.head())

# %%
# Differences from the control are taken within seeds. With many measures some p values are
# small by chance: of those that are asked for together, `p_holm` is adjusted.

noise = {"noise": "weight", "layers": "head", "scale": "std", "mean_up_to": 1}
table = study.compare(
    measures={
        "accuracy": {},
        "morans_i": {"neighborhood": "moore"},
        "accuracy_change": noise,
    }
)
shown = [
    "condition",
    "lam",
    "measure",
    "difference",
    "low",
    "high",
    "p_t",
    "p_holm",
    "n",
]
print(table[shown].round(3).to_string(index=False))

# %%
# The same as pictures: means over seeds, with 95 % intervals.

fig, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
study.plot("accuracy", ax=axes[0])
study.plot("morans_i", neighborhood="moore", ax=axes[1])
study.plot("accuracy_change", **noise, ax=axes[2])

# %%
# The paper's claims
# ------------------
# `claims` judges them by tests that were fixed beforehand; here only those that these
# conditions and measures allow. ``study.report("report.html", claims=claims)`` writes all
# of it, with maps, on one page.

claims = replication.claims(study)
tests = claims[claims["kind"] == "test"]
print(tests.drop_duplicates("claim")["verdict"].value_counts().to_string())
