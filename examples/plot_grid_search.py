"""
What does a grid search over topography say?
============================================

A spatial loss that is too weak does not make neighbours alike; one that is too strong costs
accuracy. Here scikit-learn's `GridSearchCV` tries several strengths of weight similarity
(WS) and activation similarity (AS) beside a control without spatial loss, and scores each
on accuracy, robustness, localization and smoothness at once. This page is ``make demo``.
"""

# %%
# Images and search
# -----------------
# `multi_scorer` measures everything in one pass over the held-out images.

import os

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.plotting import TradeOffDisplay
from sktopo.scorers import get_scorer_names, multi_scorer

torch.set_num_threads(1)  # models are trained side by side, each in one thread
LAMS = [0.3, 1, 3]

X, y = load_digits_images(return_X_y=True)

search = GridSearchCV(
    TopographicCNNClassifier(lr=1e-3, max_epochs=30, random_state=0),
    [{"topo_loss": [None]}, {"topo_loss": ["ws", "as"], "lam": LAMS}],
    scoring=multi_scorer(get_scorer_names()),
    refit="accuracy",
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
    n_jobs=min(4, os.cpu_count()),
    error_score="raise",
)
search.fit(X, y)

# %%
# The candidates
# --------------
# Means over three folds; "sd" is the standard deviation of accuracy over folds. Weight
# and image robustness are accuracies under noise. Smoothness is Moran's I of the maps: 0
# without structure, towards 1. The localizations are 1 minus the grid distance of units
# that respond alike (or are experts of the same class) relative to chance: 0 at chance,
# towards 1 when such units stand together. The last three describe; more is not better.

results = pd.DataFrame(search.cv_results_)
columns = {
    "accuracy": "accuracy",
    "weight_robustness": "weights",
    "image_robustness": "images",
    "smoothness": "smooth",
    "functional_localization": "function",
    "expert_localization": "experts",
}
table = pd.DataFrame(
    {
        "loss": [params["topo_loss"] or "control" for params in results["params"]],
        "lam": [params.get("lam", 0.0) for params in results["params"]],
        **{short: results[f"mean_test_{name}"] for name, short in columns.items()},
    }
)
table.insert(3, "sd", results["std_test_accuracy"])
print(f"{len(table)} candidates, 3 folds, n = {len(X)} images")
print(table.round(3).to_string(index=False))

# %%
# A best score among seven is partly luck: look at how far it is from the control's.

best, control = (
    table.loc[search.best_index_],
    table.loc[table["loss"] == "control"].iloc[0],
)
lead = best["accuracy"] - control["accuracy"]
print(
    f"\nBest by accuracy: {best['loss']}, lam {best['lam']:g}: "
    f"cross-validated accuracy {search.best_score_:.3f}, {lead:+.3f} from the control "
    f"(whose sd over folds is {control['sd']:.3f})"
)

# %%
# Scores against lam
# ------------------
# Points are means over folds, bars reach from the worst fold to the best; the grey band
# is the control's range. Three folds of one data set show a tendency, no more.

COLORS = {"ws": "#0072B2", "as": "#D55E00"}
LABELS = {"ws": "weight similarity", "as": "activation similarity"}

PANELS = {
    "accuracy": ("accuracy", "accuracy"),
    "weight_robustness": ("robustness to weight noise", "accuracy under noise"),
    "image_robustness": ("robustness to image noise", "accuracy under noise"),
    "smoothness": ("smoothness of the maps", "Moran's I (0: none)"),
    "functional_localization": ("functional localization", "1 - distance / chance"),
    "expert_localization": ("expert localization", "1 - distance / chance"),
}
figure, axes = plt.subplots(
    3, 2, figsize=(6, 7.4), sharex=True, layout="constrained", num="scores_against_lam"
)
for ax, (name, (title, unit)) in zip(axes.flat, PANELS.items()):
    folds = results[[f"split{i}_test_{name}" for i in range(3)]].to_numpy()
    of_control = folds[(table["loss"] == "control").to_numpy()][0]
    ax.axhspan(of_control.min(), of_control.max(), color="0.88", label="control, range")
    ax.axhline(of_control.mean(), color="0.45", lw=1.2, label="control, mean")
    for shift, loss in ((0.97, "ws"), (1.03, "as")):
        rows = (table["loss"] == loss).to_numpy()
        mean = folds[rows].mean(axis=1)
        ends = np.array([folds[rows].min(axis=1), folds[rows].max(axis=1)])
        ax.errorbar(
            table["lam"][rows] * shift,
            mean,
            np.abs(ends - mean),
            fmt="o-",
            ms=4,
            capsize=2,
            color=COLORS[loss],
            label=LABELS[loss],
        )
    ax.set_xscale("log")
    ax.set_xticks(LAMS, [f"{lam:g}" for lam in LAMS])
    ax.minorticks_off()
    ax.set_title(title, fontsize=10)
    ax.set_ylabel(unit, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[-1]:
    ax.set_xlabel("weight of the spatial loss, lam")
figure.legend(
    *axes.flat[0].get_legend_handles_labels(), ncols=2, loc="outside lower center"
)
figure.suptitle(
    f"n = {len(X)}: mean of 3 folds, bars from the worst to the best",
    fontsize=11,
)

# %%
# What smoothness costs
# ---------------------
# Two of the scores against each other. Filled markers are on the frontier of the means:
# no candidate is better in one and as good in the other. Bars are standard deviations
# over folds; where they overlap, another split may put another candidate there.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained", num="trade_off")
TradeOffDisplay.from_search(search, "smoothness", "accuracy", ax=ax)
ax.set_xlabel("smoothness (Moran's I of the maps)")

# %%
# Maps of the chosen model
# ------------------------
# Mean response of each grid unit to the images of each class, before the ReLU. The
# chosen model was fitted again on all images, so these are its training images.

model = search.best_estimator_
maps = model.activation_maps(X)
means = np.array([maps[y == label].mean(axis=0) for label in model.classes_])
limit = np.abs(means).max()
figure, axes = plt.subplots(
    2, 5, figsize=(6, 3.4), layout="constrained", num="maps_of_best_model"
)
for ax, label, mean in zip(axes.flat, model.classes_, means):
    image = ax.imshow(mean, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(f"digit {label}", fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
figure.colorbar(
    image, ax=axes, label="mean response (pre-ReLU)", location="bottom", aspect=40
)
kind = LABELS.get(best["loss"], "control")
setting = f"{kind}, lam {best['lam']:g}" if best["lam"] else kind
figure.suptitle(f"Class means of one model ({setting}), n = {len(X)}", fontsize=11)
plt.show()
