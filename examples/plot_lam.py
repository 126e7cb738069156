"""
How strong should the spatial loss be?
======================================

Each step of lam buys structure and may cost accuracy; it may also buy robustness, or cost
that. A search shows what is paid, and a rule that was fixed beforehand chooses.
"""

# %%
# A search over strengths
# -----------------------
# Weight similarity and activation similarity at four strengths beside a control, each on
# three folds of 600 digits. ``lam_mode="calibrated"`` gives the strengths one meaning: the
# norm of the spatial gradient over that of the task when training begins.
#
# The robustness of a model is its accuracy under noise on the weights of its head. Clean
# accuracy is in it: a model that is worse to begin with must lose less to be as robust.

import pandas as pd
from matplotlib import pyplot as plt
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.plotting import TradeOffDisplay
from sktopo.scorers import make_weight_robustness_scorer, multi_scorer

X, y = load_digits_images("train", return_X_y=True)
X, y = X[:600], y[:600]

# %%
# The rule
# --------
# The strongest loss that costs no more than a hundredth of the control's accuracy. `refit`
# takes a function that is given the table of a search and returns the row of its choice.
# Robustness has no part in it: what is chosen by one score can be judged by another.


def strongest_that_costs_little(found):
    table = pd.DataFrame(found)
    table["lam"] = [params.get("lam", 0.0) for params in table["params"]]
    control = table.loc[table["lam"] == 0, "mean_test_accuracy"].item()
    fine = table[table["mean_test_accuracy"] >= control - 0.01]
    return fine.sort_values(["lam", "mean_test_accuracy"]).index[-1]


LAMS = [0.1, 0.3, 1, 3]
search = GridSearchCV(
    TopographicCNNClassifier(
        lam_mode="calibrated", batch_size=32, lr=1e-3, max_epochs=30, random_state=0
    ),
    [{"topo_loss": [None]}, {"topo_loss": ["ws", "as"], "lam": LAMS}],
    scoring=multi_scorer(
        ["smoothness", make_weight_robustness_scorer(sigmas=[0.5, 1, 1.5])]
    ),
    refit=strongest_that_costs_little,
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
    n_jobs=2,
).fit(X, y)

# %%
# What came out
# -------------

found = search.cv_results_
table = pd.DataFrame(
    {
        "loss": [params["topo_loss"] or "control" for params in found["params"]],
        "lam": [params.get("lam", 0.0) for params in found["params"]],
        **{
            name.replace("_", " "): found[f"mean_test_{name}"]
            for name in ("accuracy", "smoothness", "weight_robustness")
        },
    }
)
print(f"means of 3 folds, n = {len(X)} images")
print(table.round(3).to_string(index=False))
print(f"\nchosen: {search.best_params_}")

# %%
# What each strength costs and buys
# ---------------------------------
# Above accuracy against smoothness, below accuracy against robustness to noise in the
# weights. Markers grow with lam; filled ones are on the frontier of the means. Bars are
# standard deviations over folds: where they overlap, other folds may say otherwise.
#
# Here what accuracy allows is paid in robustness: the rule looked at accuracy alone, and
# chose a strength whose networks stand less noise in their weights than the control's.

figure, axes = plt.subplots(
    2, 1, figsize=(6, 6.6), layout="constrained", num="trade_off"
)
for ax, score in zip(axes, ("smoothness", "weight_robustness")):
    TradeOffDisplay.from_search(search, score, "accuracy", ax=ax)
plt.show()
