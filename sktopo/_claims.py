"""The paper's claims as tests that were fixed before any study was run (private).

Value of a seed: the mean over lam 0.3, 1 and 3 within the seed, whatever else was run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from sktopo._statistics import holm, mean_interval, sign_flip_test, t_test

LAMS = (0.3, 1.0, 3.0)
ALPHA = 0.05
COLUMNS = [
    *("claim", "text", "contrast", "kind", "n", "estimate", "low", "high", "delta"),
    *("p_t", "p_sign_flip", "p_holm", "verdict", "note"),
]
EXTENSION = "extension, Sander & Hasson's protocol (rook Moran's I)"
CHOSE = "used to choose the loss"


@dataclass(frozen=True)
class Measure:
    """Where a value is found: rows of the results, averaged within a model."""

    group: str
    measure: str
    parameters: tuple[str, ...] = ("",)

    def of(self, results):
        chosen = results[
            (results["group"] == self.group)
            & (results["measure"] == self.measure)
            & results["parameter"].isin(self.parameters)
        ]
        wide = chosen.pivot(
            index=["condition", "lam", "seed"], columns="parameter", values="value"
        )
        if set(wide.columns) != set(self.parameters):
            return pd.Series(dtype=float, index=wide.index[:0])
        return wide.mean(axis=1, skipna=False)


@dataclass(frozen=True)
class Claim:
    """A row of the table: contrasts of two conditions, each "first - second"."""

    claim: str
    text: str
    measure: Measure
    contrasts: tuple[str, ...]
    two_sided: bool = False
    delta: float | None = None  # None: one standard deviation of the control
    beside: tuple[tuple[str, Measure], ...] = ()
    chose: bool = False  # the variant of AS was chosen by this
    only: str | None = None  # the one data set that the claim is about


def _noise(measure, layers="head", scale="std", parameter="mean"):
    return Measure(
        "robustness", measure, (f"weight noise, {layers}, {scale}, {parameter}",)
    )


_WEIGHT_NOISE = (
    ("absolute noise", _noise("accuracy_change", scale="absolute")),
    ("readout only", _noise("accuracy_change", layers="readout")),
    ("accuracy under noise", _noise("accuracy")),
)
_UNDER_IMAGE_NOISE = (
    (
        "accuracy under noise",
        Measure("robustness", "accuracy", ("image noise, mean",)),
    ),
)
_IMAGE_NOISE = Measure("robustness", "accuracy_change", ("image noise, mean",))
_READOUT_GEOMETRY = Measure(
    "robustness",
    "rsm_similarity",
    tuple(f"weight noise, readout, std, sigma={s}" for s in (0.05, 0.1, 0.2, 0.5)),
)
_BOTH = ("ws - control", "as - control")
_MORAN = Measure("smoothness", "morans_i", ("moore",))
_ROOK = Measure("smoothness", "morans_i", ("von_neumann",))
_NORM = Measure("activity", "weight_norm")
_THRESHOLDS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8)


def _ratio(threshold):
    return Measure("localization", "distance_ratio", (f"threshold={threshold:g}",))


CLAIMS = (
    Claim(
        "1",
        "smoothness: Moran's I of the maps",
        _MORAN,
        ("ws - control", "ws - as"),
        beside=(
            (
                "maps of z-scored units",
                Measure("smoothness", "morans_i_standardized", ("moore",)),
            ),
        ),
        chose=True,
    ),
    Claim(
        "2",
        "bimodality: Hartigan's dip of all pair correlations",
        Measure("smoothness", "dip"),
        ("as - control", "as - ws"),
        chose=True,
    ),
    Claim(
        "3",
        "correlation of neighbours (distance bin [1, 2))",
        Measure("smoothness", "correlation", ("distance=1",)),
        ("ws - control",),
    ),
    Claim(
        "4a",
        "accuracy change under weight noise",
        _noise("accuracy_change"),
        ("ws - control",),
        delta=0.01,
        beside=_WEIGHT_NOISE,
    ),
    Claim(
        "4b",
        "accuracy change under weight noise",
        _noise("accuracy_change"),
        ("as - control",),
        delta=0.01,
        beside=_WEIGHT_NOISE,
    ),
    Claim(
        "4c",
        "accuracy change under weight noise (version 1 of the paper)",
        _noise("accuracy_change"),
        ("ws - as",),
        delta=0.01,
        beside=_WEIGHT_NOISE,
    ),
    Claim(
        "5",
        "readout geometry under readout noise (cosine of similarity matrices)",
        _READOUT_GEOMETRY,
        _BOTH,
        delta=0.01,
    ),
    Claim(
        "6a",
        "accuracy change under image noise, on CIFAR-10",
        _IMAGE_NOISE,
        ("as - control",),
        beside=_UNDER_IMAGE_NOISE,
        only="cifar10",
    ),
    Claim(
        "6b",
        "accuracy change under image noise, on MNIST",
        _IMAGE_NOISE,
        ("ws - control",),
        beside=_UNDER_IMAGE_NOISE,
        only="mnist",
    ),
    Claim(
        "7a",
        "input sensitivity: variance of the activations",
        Measure("activity", "variance"),
        ("ws - control",),
        beside=(
            (
                "variance / squared weight norm",
                Measure("activity", "variance_over_squared_norm"),
            ),
        ),
    ),
    Claim(
        "7b",
        "input sensitivity: entropy in the shared range",
        Measure("activity", "entropy_shared_range"),
        ("ws - control",),
    ),
    Claim(
        "8",
        "localization: distance of pairs with r >= .5, ratio to chance",
        _ratio(0.5),
        ("control - ws", "as - ws"),
        delta=0.05,
        beside=(("pairs with r >= .8", _ratio(0.8)),),
    ),
    Claim(
        "9a",
        "tuning: amplitude of orientation tuning",
        Measure("tuning", "orientation_amplitude"),
        _BOTH,
        two_sided=True,
    ),
    Claim(
        "9b",
        "tuning: index of left-right mirror symmetry",
        Measure("tuning", "mirror_index", ("left-right",)),
        _BOTH,
        two_sided=True,
    ),
    Claim(
        "9c",
        "tuning: eccentricity, E / E_flat",
        Measure("tuning", "eccentricity_relative"),
        _BOTH,
        two_sided=True,
    ),
    Claim(
        "10a",
        "percentage of zeros",
        Measure("activity", "percentage_of_zeros"),
        _BOTH,
        two_sided=True,
    ),
    Claim(
        "10b",
        "dimensionality: participation ratio of the activations",
        Measure("dimensionality", "participation_ratio", ("activations, covariance",)),
        _BOTH,
        two_sided=True,
    ),
    Claim(
        "10c",
        "number of expert units",
        Measure("selectivity", "n_experts"),
        _BOTH,
        two_sided=True,
    ),
    Claim(
        "10d",
        "entropy of the experts over classes",
        Measure("selectivity", "experts_entropy"),
        _BOTH,
        two_sided=True,
    ),
)


class _UntestableError(Exception):
    """What a row lacks."""


def claims(results, pairs, dataset=None):
    """See `TopographicStudy.claims`.

    Parameters
    ----------
    results : DataFrame
        The results of a study.
    pairs : DataFrame
        condition, lam, first, second, correlation: how alike the dissimilarity matrices
        of two seeds are.
    dataset : str, default=None
        Name of the data set.

    Returns
    -------
    DataFrame
        A row a contrast.
    """
    rows = []
    for claim in CLAIMS:
        rows += _judge(claim, results, dataset)
    rows += _clean_accuracy(results)
    rows += _slope_of_localization(results)
    rows += _slope_of_consistency(pairs)
    rows += _slope_of_weight_norm(results)
    rows += _dropout(results)
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "_reached", "_missed"])
    return _settle(table)[COLUMNS]


def _settle(table):
    """Holm over the rows of the table, and the verdicts that it allows."""
    tests = table[(table["kind"] == "test") & table["verdict"].isna()]
    p = tests.groupby("claim", sort=False)["p_t"].max()
    adjusted = dict(zip(p.index, holm(p)))
    for claim, lines in tests.groupby("claim", sort=False):
        table.loc[lines.index, "p_holm"] = adjusted[claim]
        replicates = adjusted[claim] < ALPHA and lines["_reached"].all()
        if replicates:
            verdict = "replicates"
        else:
            missed = lines["_missed"].any()
            verdict = "does not replicate" if missed else "undecided"
        table.loc[lines.index, "verdict"] = verdict
    table.loc[table["kind"] == "beside", "verdict"] = ""
    table["note"] = table["note"].fillna("")
    return table


# ------------------------------------------------------------------ values of seeds


def _seed_values(values, condition, lacks):
    """A value a seed: the control's, or the mean over lam .3, 1 and 3.

    If one of these is missing, what there is is averaged to be shown, and `lacks` says
    why it is not judged.
    """
    found = values[values.index.get_level_values("condition") == condition]
    if condition.startswith("control"):
        wide = found.droplevel(["condition", "lam"]).to_frame()
    else:
        wide = found.droplevel("condition").unstack("lam")
        missing = [lam for lam in LAMS if lam not in wide]
        wide = wide[[lam for lam in LAMS if lam in wide]]
        if missing:
            lams, shown = (
                ", ".join(f"{lam:g}" for lam in part) for part in (missing, wide)
            )
            lacks.append(
                f"{condition} lacks lam {lams}" + f" (shown: {shown})" * bool(shown)
            )
    if wide.empty:
        raise _UntestableError(", ".join(lacks) or f"no values of {condition}")
    return wide.mean(axis=1, skipna=False)


def _at_lam(values, condition, lam):
    index = values.index
    chosen = values[
        (index.get_level_values("condition") == condition)
        & (index.get_level_values("lam") == lam)
    ]
    if chosen.empty:
        raise _UntestableError(f"{condition} lacks lam {lam:g}")
    return chosen.droplevel(["condition", "lam"])


def _paired(first, second):
    difference = (first - second).dropna()
    if len(difference) < 2:
        raise _UntestableError(
            f"{len(difference)} seed(s) with both values; 2 are needed"
        )
    return difference.to_numpy()


def _spread(values):
    values = values.dropna()
    if len(values) < 2:
        raise _UntestableError("the control has no spread over seeds")
    return float(values.std(ddof=1))


# ------------------------------------------------------------------ lines of the table


def _line(claim, text, contrast, kind="test", **found):
    return {"claim": claim, "text": text, "contrast": contrast, "kind": kind, **found}


def _untestable(claim, text, contrast, reason):
    return _line(claim, text, contrast, verdict="not testable", note=reason)


def _estimate(differences):
    """Estimate, interval and p of differences over seeds."""
    row = differences[None, :]
    found = mean_interval(row).iloc[0]
    return {
        "n": len(differences),
        "estimate": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "p_t": float(t_test(row)[0]),
        "p_sign_flip": float(sign_flip_test(row)[0]),
    }


def _reach(found, delta, two_sided=False):
    """Whether an estimate reaches delta, and whether its interval rules delta out."""
    low, high, estimate = found["low"], found["high"], found["estimate"]
    if two_sided:
        return {
            "delta": delta,
            "_reached": abs(estimate) >= delta and estimate != 0,
            "_missed": -delta < low and high < delta,
        }
    return {
        "delta": delta,
        "_reached": estimate >= delta and estimate > 0,
        "_missed": high < delta,
    }


def _judge(claim, results, dataset):
    """Lines of a claim: its contrasts, and what is shown beside them."""
    values = claim.measure.of(results)
    lines = []
    for contrast in claim.contrasts:
        lacks = []
        try:
            found = _contrast(values, contrast, lacks)
            control = _seed_values(values, "control", lacks)
            delta = _spread(control) if claim.delta is None else claim.delta
        except _UntestableError as reason:
            lines.append(_untestable(claim.claim, claim.text, contrast, str(reason)))
            continue
        line = _line(claim.claim, claim.text, contrast, **found)
        line |= _reach(found, delta, claim.two_sided)
        if claim.only is not None and dataset != claim.only:
            lacks.append(f"the claim is about {claim.only}; exploratory here")
        lines.append(line | _if_lacking(lacks))
    return _all_or_none(lines) + _beside(claim, results)


def _if_lacking(lacks, note=""):
    """The note of a line, and that it is not judged where something is missing."""
    if not lacks:
        return {"note": note}
    notes = dict.fromkeys([*lacks, note] if note else lacks)
    return {"verdict": "not testable", "note": "; ".join(notes)}


def _contrast(values, contrast, lacks):
    names = contrast.split(" - ")
    first, second = (_seed_values(values, name, lacks) for name in names)
    return _estimate(_paired(first, second))


def _beside(claim, results):
    """Other variants of AS and other measures, without a verdict."""
    conditions = set(results["condition"])
    wanted = []
    for variant in ("as_untransposed", "as_squared_correlation"):
        if variant in conditions:
            note = CHOSE if claim.chose and variant == "as_untransposed" else ""
            for contrast in claim.contrasts:
                names = [variant if n == "as" else n for n in contrast.split(" - ")]
                if variant in names:
                    row = (" - ".join(names), note, claim.measure, claim.text)
                    wanted.append(row)
    for name, measure in claim.beside:
        wanted += [(c, "", measure, f"{claim.text}: {name}") for c in claim.contrasts]
    lines = []
    for contrast, note, measure, text in wanted:
        lacks = []
        try:
            found = _contrast(measure.of(results), contrast, lacks)
        except _UntestableError as reason:
            found, lacks = {}, [str(reason)]
        found["note"] = "; ".join(dict.fromkeys([*lacks, note] if note else lacks))
        lines.append(_line(claim.claim, text, contrast, "beside", **found))
    return lines


# ------------------------------------------------------------ claims of other shape


def _clean_accuracy(results):
    """11: the accuracy is at most .02 below the control's."""
    text, margin = "clean accuracy is at most .02 lower", -0.02
    values = Measure("performance", "accuracy").of(results)
    lines = []
    for contrast in _BOTH:
        lacks, names = [], contrast.split(" - ")
        try:
            first, second = (_seed_values(values, name, lacks) for name in names)
            differences = _paired(first, second)
        except _UntestableError as reason:
            lines.append(_untestable("11", text, contrast, str(reason)))
            continue
        found = _estimate(differences)
        found["p_t"] = _one_sided_p(differences, margin)
        found |= {"delta": margin, "_reached": found["low"] > margin}
        found |= {"_missed": found["high"] < margin}
        found |= _if_lacking(lacks, "p_t is one-sided, against a loss of .02")
        lines.append(_line("11", text, contrast, **found))
    return _all_or_none(lines)


def _one_sided_p(values, null):
    """Of the mean being above `null`."""
    found = mean_interval(values[None, :]).iloc[0]
    if not found["sd"] > 0:
        return float("nan")
    t = (found["mean"] - null) / found["standard_error"]
    return float(student_t.sf(t, len(values) - 1))


def _all_or_none(lines):
    """A claim is testable if all its contrasts are."""
    if any(line.get("verdict") == "not testable" for line in lines):
        for line in lines:
            line["verdict"] = "not testable"
    return lines


def _slope_of_localization(results):
    """12: under WS the ratio falls as the threshold rises; in the control it is 1."""
    text = "the distance ratio falls with the threshold under WS, not in the control"
    parts = [_ratio(threshold).of(results) for threshold in _THRESHOLDS]
    lines, lacks = [], []

    def ratios(name):
        return pd.concat([_seed_values(part, name, lacks) for part in parts], axis=1)

    try:
        slopes = {
            name: _slopes(ratios(name), _THRESHOLDS) for name in ("ws", "control")
        }
        found = _estimate(_enough(-slopes["ws"]))
        found |= _reach(found, _spread(slopes["control"]))
        note = f"{EXTENSION}; minus the slope; delta: the control's slope"
        found |= _if_lacking(lacks, note)
        lines.append(_line("12", text, "- slope of ws", **found))
    except _UntestableError as reason:
        lines.append(_untestable("12", text, "- slope of ws", str(reason)))
    contrast = "ratio of control"
    try:
        values = _enough(ratios("control").mean(axis=1, skipna=False))
        interval = mean_interval(values[None, :], 0.9).iloc[0]
        found = _estimate(values)
        found["p_t"] = max(_one_sided_p(values, 0.95), _one_sided_p(-values, -1.05))
        found |= {"low": interval["low"], "high": interval["high"], "delta": 0.05}
        found["_reached"] = found["low"] > 0.95 and found["high"] < 1.05
        found["_missed"] = found["high"] < 0.95 or found["low"] > 1.05
        found["p_sign_flip"] = float("nan")
        note = f"{EXTENSION}; 90 % interval; two one-sided tests of .95 and 1.05"
        lines.append(_line("12", text, contrast, **found, note=note))
    except _UntestableError as reason:
        lines.append(_untestable("12", text, contrast, str(reason)))
    return _all_or_none(lines)


def _slopes(table, x):
    """Least-squares slope of each row on x; nan where a value is."""
    x = np.asarray(x, dtype=float) - np.mean(x)
    return pd.Series(table.to_numpy() @ x / (x @ x), index=table.index)


def _enough(values):
    values = values.dropna()
    if len(values) < 2:
        raise _UntestableError(f"{len(values)} seed(s) with a value; 2 are needed")
    return values.to_numpy()


def _slope_of_consistency(pairs):
    """13: under WS, the larger lam the less alike are the seeds."""
    text, contrast = "consistency over seeds falls with lam under WS", "- slope of ws"
    try:
        slope = _consistency_slope(pairs)
        seeds = pd.unique(
            pairs.loc[pairs["condition"] == "ws", ["first", "second"]]
            .to_numpy()
            .ravel()
        )
        n = len(seeds)
        if n < 3:
            raise _UntestableError(f"{n} seeds; the jackknife needs 3")
        without = np.array(
            [
                _consistency_slope(
                    pairs[(pairs["first"] != seed) & (pairs["second"] != seed)]
                )
                for seed in seeds
            ]
        )
        error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
        half = student_t.ppf(0.975, n - 1) * error
        p = 2 * student_t.sf(abs(slope) / error, n - 1) if error > 0 else np.nan
        found = {"n": n, "estimate": -slope, "low": -slope - half, "p_t": p}
        found["high"] = -slope + half
        found |= _reach(found, _spread(_likeness(pairs)))
    except _UntestableError as reason:
        return [_untestable("13", text, contrast, str(reason))]
    note = (
        f"{EXTENSION}; minus the slope on the natural logarithm of lam, jackknife over "
        f"seeds; delta: the spread over the control's seeds of their mean likeness to "
        f"the others"
    )
    return [_line("13", text, contrast, **found, note=note)]


def _consistency_slope(pairs):
    means = pairs[pairs["condition"] == "ws"].groupby("lam")["correlation"].mean()
    if missing := [lam for lam in LAMS if lam not in means.index]:
        lams = ", ".join(f"{lam:g}" for lam in missing)
        raise _UntestableError(f"no pairs of seeds of ws at lam {lams}")
    return float(np.polyfit(np.log(LAMS), means[list(LAMS)], 1)[0])


def _likeness(pairs):
    control = pairs[pairs["condition"] == "control"]
    ends = [control.set_index(end)["correlation"] for end in ("first", "second")]
    both = pd.concat(ends)
    return both.groupby(level=0).mean()


def _slope_of_weight_norm(results):
    """14: the weights shrink as lam grows, and the maps are less smooth at lam 3."""
    text = "under WS weights shrink with lam, and Moran's I falls from lam 1 to 3"
    norms, moran = _NORM.of(results), _ROOK.of(results)
    lines = []
    try:
        table = pd.concat([_at_lam(norms, "ws", lam) for lam in LAMS], axis=1)
        found = _estimate(_enough(-_slopes(table, np.log(LAMS))))
        found |= _reach(found, _spread(_seed_values(norms, "control", [])))
        note = f"{EXTENSION}; minus the slope on the natural logarithm of lam"
        lines.append(_line("14", text, "- slope of ws", **found, note=note))
    except _UntestableError as reason:
        lines.append(_untestable("14", text, "- slope of ws", str(reason)))
    contrast = "ws at lam 1 - ws at lam 3"
    try:
        differences = _paired(_at_lam(moran, "ws", 1.0), _at_lam(moran, "ws", 3.0))
        found = _estimate(differences)
        found |= _reach(found, _spread(_seed_values(moran, "control", [])))
        lines.append(_line("14", text, contrast, **found, note=EXTENSION))
    except _UntestableError as reason:
        lines.append(_untestable("14", text, contrast, str(reason)))
    return _all_or_none(lines)


def _dropout(results):
    """15: without dropout the maps of WS are less smooth."""
    text = "under WS dropout makes the maps smoother (lam 1)"
    contrast = "ws - ws_no_dropout"
    moran = _ROOK.of(results)
    try:
        differences = _paired(
            _at_lam(moran, "ws", 1.0), _at_lam(moran, "ws_no_dropout", 1.0)
        )
        found = _estimate(differences)
        found |= _reach(found, _spread(_seed_values(moran, "control", [])))
    except _UntestableError as reason:
        return [_untestable("15", text, contrast, str(reason))]
    return [_line("15", text, contrast, **found, note=EXTENSION)]
