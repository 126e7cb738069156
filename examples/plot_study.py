"""
Does it hold over seeds?
========================

One network of each kind shows what can happen. Whether a spatial loss changes a measure
takes several seeds, a control, and differences within seeds: that is a study, here a small
one from its plan to its report.
"""

# %%
# What is run
# -----------
# Models of one seed share initialisation, order of the images and noise. Each runs with one
# thread, two at a time in worker processes. With ``store="folder"`` each model is kept as
# soon as it is done, and a study that was stopped goes on where it was.

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.study import TopographicStudy

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
X, y = X[:600], y[:600]
study = TopographicStudy(
    TopographicCNNClassifier(batch_size=32, lr=1e-3, max_epochs=25),
    topo_losses=["ws", "as"],
    lams=[1],
    n_seeds=6,
    include=["performance", "smoothness", "localization", "robustness"],
    n_jobs=2,
    verbose=0,
)
print(study.cells().groupby(["condition", "lam"], sort=False).size().to_string())

# %%
# What is asked
# -------------
# Decide it before you look. Differences from the control are taken within seeds, with
# Student-t intervals. With many measures some p values are small by chance: those of the
# rows that are asked for together are adjusted, in `p_holm`.

noise = {"noise": "weight", "layers": "head", "scale": "std", "mean_up_to": 1}
asked = {
    "accuracy": {},
    "morans_i": {"neighborhood": "moore"},
    "accuracy_change": noise,
}

# %%
# What came out
# -------------
# Every measure of every model is a row of `results_`.

study.run(X, y, X_test, y_test)
print(f"{len(study.results_)} rows, such as")
print(study.results_.iloc[[0, -1]].to_string(index=False))
table = study.compare(measures=asked)
shown = ["condition", "measure", "difference", "low", "high", "p_t", "p_holm", "n"]
print(table[shown].round(3).to_string(index=False))

# %%
# The report
# ----------
# One page that needs nothing else, with maps, curves, a table of differences, the settings
# and the data: to be kept beside a paper.

folder = Path(tempfile.mkdtemp())
study.report(folder / "report.html")
print(f"report.html: {(folder / 'report.html').stat().st_size / 1e6:.1f} MB")

# %%
# The same as pictures
# --------------------
# Means over seeds with 95 % intervals. Look at the axes first: a difference may be sure and
# small, or large and unsure.

figure, axes = plt.subplots(3, 1, figsize=(5, 8), layout="constrained", num="study")
study.plot("accuracy", ax=axes[0])
study.plot("morans_i", neighborhood="moore", ax=axes[1])
study.plot("accuracy_change", **noise, ax=axes[2])
plt.show()
