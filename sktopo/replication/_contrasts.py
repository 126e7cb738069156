"""What the comparison of losses asks, and how it is answered.

Written before any of its models was trained:

1. *Does topography buy robustness that simpler means do not?* For each loss at strength
   .2 and each perturbation: is its accuracy under the perturbation higher than the
   control's and than that of every simpler means (AdamW with weight decay .01 and .1,
   training with white noise of level .1)? The difference that is shown is the one from
   the strongest of these rivals, the one with the highest mean. "ahead": from each
   rival the 95 % interval lies above 0 and the mean is at least .02. "behind": from one
   of them the interval lies below 0 and the mean is -.02 or less. Else "open". p is the
   largest over the rivals, adjusted by Holm's method over all losses and perturbations.
2. *Does WS help on top of a simpler means?* For each of these: with WS at strength .2
   minus without, in the same words, adjusted over all means and perturbations.
3. *Which loss is the more robust where maps are equally smooth?* For each loss and seed
   the outcome is interpolated along the strengths 0 (the control), .05, .2 and 1, in
   this order, at the first place where Moran's I rises through .2 and .4. A loss or a
   seed that does not get there has no value, and is counted.
4. *What does it cost?* Clean accuracy, Moran's I, experts and localization of each
   condition, and differences from the control.

Differences are within seeds, and intervals are Student's over seeds. Accuracy under a
perturbation, and not its change, is judged: a network that answers nothing loses
nothing. The difference in clean accuracy stands beside. No strength and no measure is
chosen by its result. With fewer than six seeds nothing here is called proven, whatever
the p; that is the rule of the replication's claims, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sktopo import select_results
from sktopo.replication._comparison import LOSSES, SIMPLER, STRENGTH, with_ws
from sktopo.study.statistics import holm, mean_interval, t_test

CONTROL = "control"
# The least difference in accuracy that is called one.
DELTA = 0.02
# Values of Moran's I at which losses are equally smooth.
LEVELS = (0.2, 0.4)


@dataclass(frozen=True)
class Outcome:
    """Where a number of a model is found in the results: the mean over the rows.

    Parameters
    ----------
    label : str
        What it is.
    measure : str
        Name of the measure.
    where : dict
        What the rows must have, as for `sktopo.select_results`.
    is_change : bool
        Whether the clean accuracy is added to a change of it.
    """

    label: str
    measure: str
    where: dict = field(default_factory=dict)
    is_change: bool = False


def _image_noise(kind):
    where = {"noise": "image", "kind": kind}
    label = f"{kind.replace('_', ' ')} image noise"
    return Outcome(label, "accuracy_change", where, is_change=True)


def _weight_noise(label, scale):
    where = {"noise": "weight", "layers": "head", "scale": scale, "mean_up_to": 1.0}
    return Outcome(label, "accuracy_under_noise", where)


# Means of the accuracy over all strengths of each perturbation, as `measure` has them.
PERTURBATIONS = {
    "weight_noise": _weight_noise("relative weight noise", "std"),
    "absolute_weight_noise": _weight_noise("absolute weight noise", "absolute"),
    "white": _image_noise("white"),
    "pink": _image_noise("pink"),
    "salt_and_pepper": _image_noise("salt_and_pepper"),
    "silenced": Outcome(
        "units silenced at random", "accuracy_under_pruning", {"pruning": "random"}
    ),
}
PLAIN = {
    "accuracy": Outcome("clean accuracy", "accuracy", {"group": "performance"}),
    "morans_i": Outcome("Moran's I", "morans_i", {"neighborhood": "moore"}),
    "n_experts": Outcome("experts", "n_experts"),
    "experts_entropy": Outcome("entropy of experts over classes", "experts_entropy"),
    "distance_ratio": Outcome(
        "distance ratio, r >= .5",
        "distance_ratio",
        {"threshold": 0.5},
    ),
}
OUTCOMES = {**PLAIN, **PERTURBATIONS}
CELL = ["condition", "lam", "seed"]
INTERVAL = ["n", "difference", "low", "high"]


# ------------------------------------------------------------------ values of models


def outcomes(results: pd.DataFrame) -> pd.DataFrame:
    """Every outcome of each model.

    Parameters
    ----------
    results : DataFrame
        The table of a comparison's study.

    Returns
    -------
    DataFrame
        A row a model (condition, lam and seed in the index), a column an outcome.
    """
    found = {name: _of_models(results, outcome) for name, outcome in OUTCOMES.items()}
    order = pd.MultiIndex.from_frame(results[CELL].drop_duplicates())
    return pd.DataFrame(found).reindex(order)


def _of_models(results, outcome):
    rows = select_results(results, outcome.measure, **outcome.where)
    values = rows.groupby(CELL)["value"].agg(lambda values: values.mean(skipna=False))
    if outcome.is_change:
        values = values + _of_models(results, OUTCOMES["accuracy"])
    return values


def _arm(models, condition, lam=None):
    """Outcomes of a condition at its only lam, or at one of them, by seed."""
    arm = models.xs(condition, level="condition")
    if lam is not None:
        return arm.xs(lam, level="lam")
    return arm.droplevel("lam")


def _has(models, condition):
    return condition in models.index.unique("condition")


# ------------------------------------------------------------------ differences


def _difference(values):
    """Mean, interval and p of differences by seed."""
    row = values.to_numpy(dtype=float)[None]
    found = mean_interval(row).iloc[0]
    return {
        "n": int(found["n"]),
        "difference": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "p_t": float(t_test(row)[0]),
    }


def _beside_control(values, control):
    """Each outcome of an arm, and its difference from the control: a row an outcome.

    Both are tables of outcomes by seed.
    """
    shown = ["mean", "low", "high", "n"]
    own = mean_interval(values.to_numpy(dtype=float).T)[shown]
    change = mean_interval((values - control).to_numpy(dtype=float).T)
    own[["difference", "difference_low", "difference_high"]] = change[shown[:3]]
    own.insert(0, "outcome", list(values.columns))
    return own


def _beats(found):
    return found["low"] > 0 and found["difference"] >= DELTA


def _is_beaten(found):
    return found["high"] < 0 and found["difference"] <= -DELTA


def _one_sided(found):
    """p of the difference not being above 0; nan where there is no test."""
    p = found["p_t"] / 2
    return p if found["difference"] > 0 else 1 - p


def _against(arm, rivals):
    """An arm against the strongest of several, for each perturbation."""
    for name in PERTURBATIONS:
        each = {
            rival: _difference(arm[name] - values[name])
            for rival, values in rivals.items()
        }
        strongest = min(each, key=lambda rival: each[rival]["difference"])
        everyone = each.values()
        reading = "open"
        if all(map(_beats, everyone)):
            reading = "ahead"
        elif any(map(_is_beaten, everyone)):
            reading = "behind"
        yield {
            "perturbation": name,
            "rival": strongest,
            **{key: each[strongest][key] for key in INTERVAL},
            "p": np.max([_one_sided(found) for found in everyone]),
            "reading": reading,
        }


def _settled(rows, accuracies):
    """The rows as a table, with Holm's p, and differences in clean accuracy beside."""
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"]))
    costs = {name: _difference(values) for name, values in accuracies.items()}
    for key in ("difference", "low", "high"):
        column = "accuracy" if key == "difference" else f"accuracy_{key}"
        table[column] = [costs[name][key] for name in table["condition"]]
    return table


def against_simpler(results: pd.DataFrame) -> pd.DataFrame:
    """Question 1: each loss at strength .2 against the control and simpler means.

    Parameters
    ----------
    results : DataFrame
        The table of a comparison's study.

    Returns
    -------
    DataFrame
        A row a loss and perturbation: condition, perturbation, rival (the strongest),
        n, difference from it, low, high, p, p_holm, reading; and accuracy,
        accuracy_low, accuracy_high, the difference in clean accuracy from the control.

    Examples
    --------
    >>> from sktopo.replication import against_simpler
    >>> from sktopo.study import load_results
    >>> results = load_results("comparison_output/store")  # doctest: +SKIP
    >>> table = against_simpler(results.table)  # doctest: +SKIP
    >>> table[["condition", "perturbation", "reading"]]  # doctest: +SKIP
    """
    models = outcomes(results)
    rivals = {
        name: _arm(models, name) for name in (CONTROL, *SIMPLER) if _has(models, name)
    }
    losses = {name: _arm(models, name, STRENGTH) for name in LOSSES}
    rows = [
        {"condition": name, **row}
        for name, arm in losses.items()
        for row in _against(arm, rivals)
    ]
    clean = rivals[CONTROL]["accuracy"]
    return _settled(rows, {n: arm["accuracy"] - clean for n, arm in losses.items()})


def on_top(results: pd.DataFrame) -> pd.DataFrame:
    """Question 2: WS beside a simpler means against that means alone.

    Parameters
    ----------
    results : DataFrame
        The table of a comparison's study.

    Returns
    -------
    DataFrame
        As `against_simpler`, a row a simpler means and perturbation; the difference in
        clean accuracy is from that means.

    Examples
    --------
    >>> from sktopo.replication import on_top
    >>> from sktopo.study import load_results
    >>> results = load_results("comparison_output/store")  # doctest: +SKIP
    >>> table = on_top(results.table)  # doctest: +SKIP
    >>> table[["condition", "perturbation", "reading"]]  # doctest: +SKIP
    """
    models = outcomes(results)
    names = [name for name in SIMPLER if _has(models, with_ws(name))]
    pairs = {
        with_ws(name): (_arm(models, with_ws(name)), {name: _arm(models, name)})
        for name in names
    }
    rows = [
        {"condition": name, **row}
        for name, (arm, rivals) in pairs.items()
        for row in _against(arm, rivals)
    ]
    clean = {
        name: arm["accuracy"] - next(iter(rivals.values()))["accuracy"]
        for name, (arm, rivals) in pairs.items()
    }
    return _settled(rows, clean)


# ------------------------------------------------------------------ equal smoothness


def equal_smoothness(results: pd.DataFrame) -> pd.DataFrame:
    """Question 3: outcomes of each loss where its maps are equally smooth.

    Parameters
    ----------
    results : DataFrame
        The table of a comparison's study.

    Returns
    -------
    DataFrame
        A row a level of Moran's I, loss and outcome: level, condition, outcome, mean,
        low, high, n (seeds that get there), n_undefined; and difference,
        difference_low, difference_high: from the control of the same seed.

    Examples
    --------
    >>> from sktopo.replication import equal_smoothness
    >>> from sktopo.study import load_results
    >>> results = load_results("comparison_output/store")  # doctest: +SKIP
    >>> equal_smoothness(results.table).query("outcome == 'accuracy'")  # doctest: +SKIP
    """
    models = outcomes(results)
    control = _arm(models, CONTROL)
    read = ["accuracy", *PERTURBATIONS]
    rows = []
    for level in LEVELS:
        for name in LOSSES:
            there = _at_level(models, name, level)[read]
            found = _beside_control(there, control[read])
            found.insert(5, "n_undefined", len(there) - found["n"])
            found.insert(0, "condition", name)
            found.insert(0, "level", level)
            rows.append(found)
    return pd.concat(rows, ignore_index=True)


def _at_level(models, name, level):
    """Outcomes by seed where Moran's I first rises through a level; nan elsewhere."""
    path = models.loc[[CONTROL, name]].droplevel("condition")
    return pd.DataFrame(
        {
            seed: interpolate(part.droplevel("seed").sort_index(), level)
            for seed, part in path.groupby(level="seed")
        }
    ).T


def interpolate(path: pd.DataFrame, level: float) -> pd.Series:
    """Outcomes where Moran's I first rises through a level.

    Parameters
    ----------
    path : DataFrame
        A row a strength, in order; one column is "morans_i".
    level : float
        The value of Moran's I.

    Returns
    -------
    Series
        Linear between the two rows around the level; nan if there are none.
    """
    smoothness = path["morans_i"].to_numpy()
    rises = (smoothness[:-1] < level) & (smoothness[1:] >= level)
    if not rises.any():
        return pd.Series(np.nan, path.columns)
    i = int(rises.argmax())
    share = (level - smoothness[i]) / (smoothness[i + 1] - smoothness[i])
    return (1 - share) * path.iloc[i] + share * path.iloc[i + 1]


# ------------------------------------------------------------------ costs


def overview(results: pd.DataFrame) -> pd.DataFrame:
    """Question 4: every outcome of each condition, and differences from the control.

    Parameters
    ----------
    results : DataFrame
        The table of a comparison's study.

    Returns
    -------
    DataFrame
        A row a condition, lam and outcome: condition, lam, outcome, mean, low, high, n;
        and difference, difference_low, difference_high: from the control of the same
        seed.

    Examples
    --------
    >>> from sktopo.replication import overview
    >>> from sktopo.study import load_results
    >>> results = load_results("comparison_output/store")  # doctest: +SKIP
    >>> overview(results.table).query("outcome == 'accuracy'")  # doctest: +SKIP
    """
    models = outcomes(results)
    control = _arm(models, CONTROL)
    rows = []
    for (condition, lam), part in models.groupby(level=[0, 1], sort=False):
        found = _beside_control(part.droplevel([0, 1]), control)
        found.insert(0, "lam", lam)
        found.insert(0, "condition", condition)
        rows.append(found)
    return pd.concat(rows, ignore_index=True)
