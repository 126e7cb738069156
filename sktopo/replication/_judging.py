"""From results to lines of the table of claims, and to verdicts.

What the rows are stands in `_claims.py`; how they are judged, here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sktopo.metrics.intervals import half_width, jackknife_error, two_sided_p
from sktopo.study.statistics import (
    MEASURE,
    SAME_LAM,
    holm,
    mean_interval,
    sign_flip_test,
    snap,
    t_test,
)

# The value of a seed is the mean over these, whatever else was run.
LAMS = (0.3, 1.0, 3.0)
ALPHA = 0.05
# A robustness row is judged if no arm's clean accuracy is lower by more than this: a
# network that answers nothing loses nothing.
GUARD = 0.05
NOT_TESTABLE = "not testable"
CELL = ["condition", "lam", "seed"]
COLUMNS = [
    *("claim", "text", "contrast", "kind", "n", "estimate", "low", "high", "delta"),
    *("p_t", "p_sign_flip", "p_holm", "verdict", "note"),
]


class UntestableError(Exception):
    """What a line lacks."""


# ------------------------------------------------------------------ deltas


def spread(control):
    """One standard deviation of the control over seeds."""
    return float(control.std(ddof=1))


def spread_per_log_lam(control):
    """One standard deviation, as a change from lam .3 to 3, for a slope on log lam."""
    return spread(control) / np.log(LAMS[-1] / LAMS[0])


def fifth_of_change(control):
    """A fifth of what the control loses, where no loss is 0."""
    return abs(float(control.mean())) / 5


def fifth_below_one(control):
    """A fifth of what the control loses, where no loss is 1."""
    return abs(1 - float(control.mean())) / 5


# ------------------------------------------------------------------ rows as data


@dataclass(frozen=True)
class Measure:
    """Where a model's value is found: rows of the results.

    The mean over `parameters`, or the slope over them on `slope_on`.
    """

    group: str
    measure: str
    parameters: tuple[str, ...] = ("",)
    slope_on: tuple[float, ...] = ()

    @property
    def keys(self):
        return [(self.group, self.measure, name) for name in self.parameters]

    def of(self, table):
        """One value a row of a table with a column a measure."""
        if missing := [key[2] for key in self.keys if key not in table]:
            where = f" ({'; '.join(missing)})" if any(missing) else ""
            raise UntestableError(f"no values of {self.measure}{where}")
        values = table[self.keys]
        if self.slope_on:
            return _slopes(values, self.slope_on)
        return values.mean(axis=1, skipna=False)


ACCURACY = Measure("performance", "accuracy")


@dataclass(frozen=True)
class Contrast:
    """A value a seed, "first - second", that the claim says is positive.

    An arm is a number, or a condition: "ws" is its mean over lam .3, 1 and 3, "ws at
    lam 1" its value there, and "slope of ws" its slope on the logarithm of lam. Without
    a measure it is about the likeness of pairs of seeds.
    """

    measure: Measure | None
    first: str | float
    second: str | None = None
    # "above" delta; "differs" by delta, two-sided; "no worse" than delta, which is
    # negative; "within" delta of 1
    goal: str = "above"
    # a number, or a function of the control's values over seeds
    delta: float | Callable[[pd.Series], float] = spread
    note: str = ""

    @property
    def label(self):
        if self.second is None:
            return str(self.first)
        return f"{self.first or ''} - {self.second}".strip()

    @property
    def arms(self):
        return [arm for arm in (self.first, self.second) if isinstance(arm, str)]


@dataclass(frozen=True)
class Claim:
    """A row of the table: it holds if all its contrasts do."""

    claim: str
    text: str
    contrasts: tuple[Contrast, ...]
    # other measures that stand beside it, by name
    beside: tuple[tuple[str, Measure], ...] = ()
    # whether variants of AS were chosen by it
    chose: bool = False
    # whether it is judged only if the arms' clean accuracy is near the control's
    guarded: bool = False
    # the data sets that it is about; none: any
    datasets: tuple[str, ...] = ()


# ------------------------------------------------------------------ values of seeds


class Data:
    """What is judged: values of seeds in each arm, and pairs of seeds.

    Parameters
    ----------
    results : DataFrame
        The results of a study.
    pairs : DataFrame
        condition, lam, first, second, correlation.
    measures : set of Measure
        What is read of the results.
    """

    def __init__(self, results, pairs, measures):
        keys = pd.MultiIndex.from_tuples({key for m in measures for key in m.keys})
        wanted = pd.MultiIndex.from_frame(results[MEASURE]).isin(keys)
        used = _with_known_lams(results[wanted], [*CELL, *MEASURE])
        models = used.pivot(index=CELL, columns=MEASURE, values="value")
        models.columns = models.columns.to_flat_index()
        self._cells = {
            key: cells.droplevel(["condition", "lam"])
            for key, cells in models.groupby(level=["condition", "lam"])
        }
        self._arms = {}
        self.lines = {}
        self.conditions = {condition for condition, _ in self._cells}
        self.seeds = pd.Index(results["seed"].unique()).sort_values()
        # whoever leaves seeds out of the results means their pairs, too
        pairs = pairs[pairs[["first", "second"]].isin(self.seeds).all(axis=1)]
        self.pairs = _with_known_lams(pairs, ["condition", "lam", "first", "second"])

    def values(self, measure, arm, lacks):
        """A value a seed of an arm, see `Contrast`.

        If a lam is missing, what there is is averaged to be shown, and `lacks` says why
        it is not judged.
        """
        if arm not in self._arms:
            self._arms[arm] = self._arm(arm)
        table, lack = self._arms[arm]
        if table is None:
            raise UntestableError(lack)
        if lack:
            lacks.append(lack)
        return measure.of(table)

    def _arm(self, arm):
        """A row a seed, a column a measure; and what it lacks."""
        sloped = arm.startswith("slope of ")
        name, _, lam = arm.removeprefix("slope of ").partition(" at lam ")
        lams = [float(lam)] if lam else LAMS
        if name == "control":
            lams = [lam for condition, lam in self._cells if condition == name]
            if not lams:
                return None, "no values of control"
        there = [x for x in lams if (name, x) in self._cells]
        lack = ""
        if missing := [x for x in lams if x not in there]:
            lack = f"{name} lacks lam {_listed(missing)}"
            if sloped or not there:
                return None, lack
            lack += f" (shown: {_listed(there)})"
        tables = [self._cells[name, x] for x in there]
        weights = np.full(len(there), 1 / len(there))
        if sloped:
            weights = _slope_weights(np.log(there))
        return sum(w * table for w, table in zip(weights, tables)), lack


def _with_known_lams(table, keys):
    """Lams that are .3, 1 or 3 but for 1e-6 are so; one model each."""
    lams = table["lam"].to_numpy(dtype=float)
    found = table.assign(lam=snap(lams, LAMS))
    if (twice := found.duplicated(keys, keep=False)).any():
        row = found[twice].iloc[0]
        same = (found[keys] == row[keys]).all(axis=1)
        what = ", ".join(f"{key} {row[key]!s}" for key in keys if row[key] != "")
        run_at = ", ".join(repr(float(lam)) for lam in lams[same])
        raise ValueError(
            f"The results hold {same.sum()} values of {what}, run at lam {run_at}, and "
            f"lams that differ by at most {SAME_LAM:g} are one here. Keep one model of "
            "each condition, lam and seed."
        )
    return found


def _listed(numbers):
    return ", ".join(f"{number:g}" for number in numbers)


def _slopes(table, x):
    """Least-squares slope of each row on x; nan where a value is."""
    return pd.Series(table.to_numpy(dtype=float) @ _slope_weights(x), table.index)


def _slope_weights(x):
    x = np.asarray(x, dtype=float) - np.mean(x)
    return x / (x @ x)


def _contrast_values(contrast, data, lacks):
    first, second = (
        data.values(contrast.measure, arm, lacks) if isinstance(arm, str) else arm or 0
        for arm in (contrast.first, contrast.second)
    )
    return first - second


def _control_values(contrast, data):
    """The control's values over seeds, which delta is made of."""
    if contrast.measure is None:
        control = data.pairs[data.pairs["condition"] == "control"]
        ends = [control.set_index(end)["correlation"] for end in ("first", "second")]
        values = pd.concat(ends).groupby(level=0).mean()
    else:
        values = data.values(contrast.measure, "control", [])
    values = values.dropna()
    if len(values) < 2:
        raise UntestableError("the control has no two values, which delta is made of")
    return values


# ------------------------------------------------------------------ numbers of a line


def _estimate(values, goal, delta):
    """Estimate, interval and p of a value a seed."""
    row = values.to_numpy(dtype=float)[None, :]
    interval = mean_interval(row, 0.9 if goal == "within" else 0.95).iloc[0]
    if goal == "no worse":
        p = _one_sided(row - delta)
    elif goal == "within":
        p = np.maximum(_one_sided(row - 1 + delta), _one_sided(1 + delta - row))
    else:
        p = np.concatenate([t_test(row), sign_flip_test(row)])
    return {
        "n": len(values),
        "estimate": interval["mean"],
        "low": interval["low"],
        "high": interval["high"],
        "p_t": float(p[0]),
        "p_sign_flip": float(p[1]),
    }


def _one_sided(row):
    """p of the mean being above 0: half the two-sided ones, or the rest."""
    p = np.concatenate([t_test(row), sign_flip_test(row)])
    return p / 2 if row.size and row.mean() > 0 else 1 - p / 2


def consistency_slope(pairs):
    """Slope on log lam of how alike the seeds of WS are, by jackknife over seeds.

    The slope of the mean over pairs is the mean of the pairs' slopes. Pairs that share
    a seed depend on each other, hence the jackknife.
    """
    wide = pairs[pairs["condition"] == "ws"].pivot(
        index=["first", "second"], columns="lam", values="correlation"
    )
    if missing := [lam for lam in LAMS if lam not in wide]:
        raise UntestableError(f"no pairs of seeds of ws at lam {_listed(missing)}")
    slopes = -_slopes(wide[list(LAMS)], np.log(LAMS)).dropna()
    first, second = (slopes.index.get_level_values(i) for i in (0, 1))
    seeds = first.union(second).unique()
    n, estimate = len(seeds), slopes.mean()
    if n < 3:
        raise UntestableError(f"{n} seed(s) with a value; the jackknife needs 3")
    without = [slopes[(first != s) & (second != s)].mean() for s in seeds]
    error = jackknife_error(without)
    half = half_width(error, n)
    found = {"n": n, "estimate": estimate}
    found |= {"low": estimate - half, "high": estimate + half}
    if error > 1e-9 * abs(estimate):
        found["p_t"] = float(two_sided_p(estimate / error, n))
    return found, seeds


def _numbers(contrast, data, lacks, kind):
    """All numbers of a line, and a note of the seeds that are not in it."""
    delta = contrast.delta
    if contrast.measure is None:
        found, seeds = consistency_slope(data.pairs)
    else:
        values = _contrast_values(contrast, data, lacks).dropna()
        found, seeds = _estimate(values, contrast.goal, delta), values.index
    dropped = data.seeds.difference(seeds)
    if len(dropped):
        found["note"] = f"dropped, without a value: seed {', '.join(map(str, dropped))}"
    if seeds.empty:
        raise UntestableError("no seed with a value")
    if kind == "test":
        if callable(delta):
            delta = delta(_control_values(contrast, data))
        found |= _reach(found, contrast.goal, delta)
    return found


def _reach(found, goal, delta):
    """Whether an estimate reaches delta, either way, or the interval rules it out."""
    estimate, low, high = found["estimate"], found["low"], found["high"]
    reversed_ = False
    if goal == "differs":
        reached = abs(estimate) >= delta and estimate != 0
        missed = -delta < low and high < delta
    elif goal == "no worse":
        reached, missed = low > delta, high < delta
    elif goal == "within":
        reached = 1 - delta < low and high < 1 + delta
        missed = high < 1 - delta or low > 1 + delta
    else:
        reached, missed = estimate >= delta and estimate > 0, high < delta
        reversed_ = estimate <= -delta and estimate < 0
    marks = {"_reached": reached, "_reversed": reversed_, "_missed": missed}
    return {"delta": delta, **marks}


# ------------------------------------------------------------------ lines of the table


def _found(contrast, data, kind):
    """Numbers of a line and what it lacks; both versions share most lines."""
    if (contrast, kind) not in data.lines:
        lacks, found = [], {}
        try:
            found = _numbers(contrast, data, lacks, kind)
        except UntestableError as reason:
            lacks.append(str(reason))
        data.lines[contrast, kind] = found, lacks
    return data.lines[contrast, kind]


def _line(claim, contrast, data, least_seeds=0, kind="test", text="", note=""):
    found, lacks = _found(contrast, data, kind)
    if found.get("n", least_seeds) < least_seeds:
        few = f"n = {found['n']}: {least_seeds} seeds at least are needed"
        lacks = [*lacks, few]
    notes = dict.fromkeys([*lacks, contrast.note, note, found.get("note", "")])
    line = {"claim": claim.claim, "text": claim.text + text, "contrast": contrast.label}
    line |= {"kind": kind, **found, "note": "; ".join(filter(None, notes))}
    line["_differs"] = contrast.goal == "differs"
    line["verdict"] = "" if kind == "beside" else NOT_TESTABLE if lacks else None
    return line


def judge(claim, data, dataset, least_seeds):
    """The lines of a claim, without a verdict where it is testable."""
    if claim.datasets and dataset not in claim.datasets:
        note = f"exploratory: the claim is about {claim.datasets[0]}"
        return [
            _line(claim, contrast, data, kind="beside", note=note)
            for contrast in claim.contrasts
        ]
    note = "on a part of MNIST" if claim.datasets and dataset == "mnist_5000" else ""
    lines = [
        _line(claim, contrast, data, least_seeds, note=note)
        for contrast in claim.contrasts
    ]
    if any(line["verdict"] for line in lines):
        return [line | {"verdict": NOT_TESTABLE} for line in lines]
    if claim.guarded and (verdict_and_note := _guard(claim, data)):
        verdict, note = verdict_and_note
        for line in lines:
            line["verdict"] = verdict
            line["note"] = "; ".join(filter(None, [note, line["note"]]))
    return lines


def _guard(claim, data):
    """Verdict and note if an arm is dead, or if nothing shows that it is not."""
    lacks, reasons = [], []
    arms = dict.fromkeys(arm for c in claim.contrasts for arm in c.arms)
    try:
        control = data.values(ACCURACY, "control", lacks).mean()
        for arm in arms:
            accuracy = data.values(ACCURACY, arm, lacks).mean()
            if np.isnan(accuracy - control):
                lacks.append(f"{arm} or the control has none")
            elif accuracy < control - GUARD - 1e-9:  # but for rounding
                reasons.append(
                    f"the clean accuracy of {arm} is {accuracy:.3f}, more than {GUARD} "
                    f"below the control's, {control:.3f}"
                )
    except UntestableError as reason:
        lacks.append(str(reason))
    if lacks:
        return NOT_TESTABLE, f"clean accuracy, which guards it: {'; '.join(lacks)}"
    return (f"{NOT_TESTABLE} (guard)", "; ".join(reasons)) if reasons else None


def stand_beside(claim, data, variants):
    """Lines without a verdict: variants of AS, and other measures.

    `variants` are (condition, whether at lam 1 only, note where it chose the loss).
    """
    lines = []
    for variant, at_lam_1, chose in variants:
        if variant not in data.conditions:
            continue
        notes = ["compared at lam 1"] * at_lam_1 + [chose] * claim.chose
        note = "; ".join(filter(None, notes))
        lines += [
            _line(claim, _of_variant(c, variant, at_lam_1), data, 0, "beside", "", note)
            for c in claim.contrasts
            if "as" in c.arms
        ]
    for name, measure in claim.beside:
        lines += [
            _line(claim, replace(c, measure=measure), data, 0, "beside", f": {name}")
            for c in claim.contrasts
        ]
    return lines


def _of_variant(contrast, variant, at_lam_1):
    def arm(name):
        name = variant if name == "as" else name
        moved = at_lam_1 and isinstance(name, str) and name != "control"
        return f"{name} at lam 1" if moved else name

    return replace(contrast, first=arm(contrast.first), second=arm(contrast.second))


# ------------------------------------------------------------------ verdicts


def settle(lines, fixed_family):
    """The table of all lines, with Holm's p and verdicts.

    In a fixed family every row counts, those that are not judged with p = 1.
    """
    marks = ["_reached", "_reversed", "_missed"]
    table = pd.DataFrame(lines).reindex(columns=[*COLUMNS, *marks, "_differs"])
    tests = table[table["kind"] == "test"]
    judged = tests[tests["verdict"].isna()]
    p = judged["p_t"].fillna(1.0).groupby(judged["claim"], sort=False).max()
    others = tests["claim"].nunique() - len(p) if fixed_family else 0
    adjusted = dict(zip(p.index, holm([*p, *[1.0] * others])))
    undefined = judged.index[judged["p_t"].isna()]
    table.loc[undefined, "note"] = [
        "; ".join(
            filter(None, [note, "all values are equal: no t, which counts as p 1"])
        )
        for note in table.loc[undefined, "note"]
    ]
    for claim, part in judged.groupby("claim", sort=False):
        table.loc[part.index, "p_holm"] = adjusted[claim]
        table.loc[part.index, "verdict"] = _verdict(part, adjusted[claim])
    return table[COLUMNS]


def _verdict(lines, p):
    if p < ALPHA and lines["_reached"].all():
        return "differs" if lines["_differs"].all() else "replicates"
    if p < ALPHA and lines["_reversed"].all():
        return "reversed"
    return "does not replicate" if lines["_missed"].any() else "undecided"
