"""Means, paired differences and their intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sktopo._measures.results import as_pair, select_results
from sktopo._numbers import elements
from sktopo.metrics.intervals import half_width, two_sided_p

KEYS = ["condition", "lam", "group", "measure", "parameter"]
MEASURE = KEYS[2:]
# All sign patterns are counted up to this many pairs, and drawn beyond it.
EXACT_PAIRS = 16
N_DRAWN = 100_000
# Lams that differ by no more are one: 0.1 + 0.2 is 0.3.
SAME_LAM = 1e-6


def mean_interval(values, confidence=0.95):
    """Mean, standard error and Student-t interval of each row, without its nan.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_seeds)
        A value a seed; nan where it is undefined.
    confidence : float, default=0.95
        Share of intervals that hold the true mean.

    Returns
    -------
    DataFrame
        Columns mean, standard_error, low, high, sd and n; nan where n is too small.
    """
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    mean = np.where(known, values, 0).sum(axis=1) / np.where(n, n, np.nan)
    squares = np.square(np.where(known, values - mean[:, None], 0)).sum(axis=1)
    sd = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
    # what rounding leaves of equal values is no spread
    largest = np.abs(np.where(known, values, 0)).max(axis=1, initial=0)
    sd = np.where(sd <= 1e-9 * largest, 0 * sd, sd)
    error = sd / np.sqrt(np.where(n, n, np.nan))
    half = half_width(error, n, confidence)
    return pd.DataFrame(
        {
            "mean": mean,
            "standard_error": error,
            "low": mean - half,
            "high": mean + half,
            "sd": sd,
            "n": n,
        }
    )


def t_test(values, null=0.0):
    """Test each row's mean by Student's t, two-sided.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_seeds)
        A value a seed; nan where it is undefined.
    null : float, default=0.0
        What the means are compared with.

    Returns
    -------
    ndarray of shape (n_rows,)
        Probabilities; nan for rows without any spread.
    """
    found = mean_interval(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (found["mean"] - null) / found["standard_error"].where(found["sd"] > 0)
    return two_sided_p(t, found["n"])


def sign_flip_test(values):
    """Test each row's mean by flips of the signs of its values, two-sided.

    All flips are counted up to `EXACT_PAIRS` values; beyond, 100,000 are drawn and the
    observed signs counted with them.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_seeds)
        A value a seed; nan where it is undefined.

    Returns
    -------
    ndarray of shape (n_rows,)
        Probabilities; nan for rows without a value.
    """
    p = np.full(len(values), np.nan)
    known = ~np.isnan(values)
    # rows that share their pattern of missing values are done together
    patterns, which = np.unique(known, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        rows = np.flatnonzero(which.ravel() == i)
        n = int(pattern.sum())
        if n == 0:
            continue
        signs = _signs(n)
        for part in np.array_split(rows, max(1, len(rows) * len(signs) // 2**22)):
            chosen = values[np.ix_(part, pattern)]
            sums = np.abs(chosen @ signs.T)
            observed = np.abs(chosen.sum(axis=1))
            slack = 1e-9 * np.abs(chosen).sum(axis=1)
            p[part] = (sums >= (observed - slack)[:, None]).mean(axis=1)
    return p


def _signs(n):
    """Patterns of signs; the first value's is kept, as flipping all changes nothing."""
    if n <= EXACT_PAIRS:
        bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1) & 1
        return np.column_stack([np.ones(len(bits)), 1.0 - 2 * bits])
    drawn = np.random.default_rng(0).integers(2, size=(N_DRAWN, n))
    return np.vstack([np.ones(n), 1.0 - 2 * drawn])


def holm(p):
    """Adjust p values by Holm's method; nan is no test and does not count.

    Parameters
    ----------
    p : array-like of shape (n_tests,)
        One p a test.

    Returns
    -------
    ndarray of shape (n_tests,)
        Adjusted p.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    adjusted = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return adjusted


def keys_of(results):
    """Name the columns that tell rows of one seed apart.

    Parameters
    ----------
    results : DataFrame
        The table of a study.

    Returns
    -------
    list of str
        `KEYS`, with "layer" where there is one.
    """
    layer = ["layer"] if "layer" in results else []
    return [*KEYS[:2], *layer, *KEYS[2:]]


def by_seed(results):
    """Set the values of each seed beside each other.

    Parameters
    ----------
    results : DataFrame
        The table of a study.

    Returns
    -------
    DataFrame
        A row a condition, lam and measure, a column a seed.
    """
    keys = keys_of(results)
    wide = results.pivot(index=keys, columns="seed", values="value")
    order = pd.MultiIndex.from_frame(results[keys].drop_duplicates())
    return wide.reindex(order)


def summarise(results):
    """Summarise results over seeds, as `StudyResults.summary`.

    Parameters
    ----------
    results : DataFrame
        The table of a study.

    Returns
    -------
    DataFrame
        A row a condition, lam and measure.
    """
    wide = by_seed(results)
    values = wide.to_numpy(dtype=float)
    found = mean_interval(values).rename(columns={"n": "n_seeds"})
    keys = keys_of(results)
    n_models = results.groupby(keys, sort=False).size().reindex(wide.index).to_numpy()
    found["n_undefined"] = n_models - found["n_seeds"]
    return pd.concat(
        [wide.index.to_frame(index=False), found.drop(columns="sd")], axis=1
    )


def compare(results, to="control", measures=None):
    """Compare conditions within seeds, as `StudyResults.compare`.

    Parameters
    ----------
    results : DataFrame
        The table of a study.
    to : str, default="control"
        The condition that the others are compared with.
    measures : sequence or mapping, default=None
        The rows that are asked for, which are adjusted together; None: all, unadjusted.

    Returns
    -------
    DataFrame
        A row a condition, lam and measure.

    Raises
    ------
    ValueError
        On a condition or a measure that is not there.
    """
    table = _differences(results, to)
    if measures is None:
        return table
    keys = keys_of(results)
    there, asked = pd.MultiIndex.from_frame(table[keys]), np.zeros(len(table), bool)
    for measure, conditions in _as_pairs(measures):
        rows = select_results(results[keys].drop_duplicates(), measure, **conditions)
        found = there.isin(pd.MultiIndex.from_frame(rows))
        if not found.any():
            raise ValueError(
                f"No row of {measure!r} that is asked for can be compared with {to!r}: "
                f"it takes another condition, and seeds and a lam that both have."
            )
        asked |= found
    table = table[asked].reset_index(drop=True)
    table.insert(table.columns.get_loc("p_t") + 1, "p_holm", holm(table["p_t"]))
    return table


def _as_pairs(measures):
    """Names of measures, and the conditions that their rows must meet."""
    if isinstance(measures, Mapping):
        measures = list(measures.items())
    asked = elements(measures, "measures")
    pairs = [as_pair(measure) for measure in asked]
    if None in pairs:
        raise TypeError(
            f"measures must be a name, or names and pairs of a name and conditions "
            f"as select_results takes them, such as ['accuracy', "
            f"('morans_i', {{'neighborhood': 'moore'}})]; got "
            f"{asked[pairs.index(None)]!r}."
        )
    if not pairs:
        raise ValueError("measures is empty; name one, or leave it out for all.")
    return pairs


def _differences(results, to):
    """The differences of all conditions from one, of every measure."""
    names = results["condition"].unique().tolist()
    if to not in names:
        raise ValueError(f"There is no condition {to!r}; there are {names}.")
    first, second = _partners(by_seed(results), to)
    values = first.to_numpy(dtype=float) - second.to_numpy(dtype=float)
    table = mean_interval(values).rename(columns={"mean": "difference"})
    table["p_t"] = t_test(values)
    table["p_sign_flip"] = sign_flip_test(values)
    table["effect_size"] = table["difference"] / table["sd"].where(table["sd"] > 0)
    # pairs of models in which one of the values is undefined
    there = [part.notna() for part in _partners(by_seed(results.assign(value=0.0)), to)]
    n_pairs = (there[0].to_numpy() & there[1].to_numpy()).sum(axis=1)
    table["n_undefined"] = n_pairs - table["n"]
    table["note"] = [_note(n, sd) for n, sd in zip(table["n"], table["sd"])]
    columns = ["difference", "low", "high", "p_t", "p_sign_flip", "effect_size", "n"]
    return pd.concat(
        [first.index.to_frame(index=False), table[[*columns, "n_undefined", "note"]]],
        axis=1,
    )


def snap(lams, known):
    """Replace lams that are known ones but for `SAME_LAM`.

    Parameters
    ----------
    lams : array-like of shape (n_lams,)
        Lams as they came.
    known : array-like of float
        What they may stand for.

    Returns
    -------
    ndarray of shape (n_lams,)
        Lams.
    """
    lams = np.array(lams, dtype=float)
    for lam in known:
        lams[np.abs(lams - lam) <= SAME_LAM] = lam
    return lams


def _partners(wide, to):
    """Rows of the other conditions, and the row of `to` that each is paired with."""
    names = wide.index.unique("condition")
    partners = wide.loc[[to]].droplevel("condition")
    others = wide.loc[[name for name in names if name != to]]
    keys = others.index.droplevel("condition")
    lams = partners.index.unique("lam")
    if lams.size == 1:  # the partner at every lam
        partners, keys = partners.droplevel("lam"), keys.droplevel("lam")
    else:
        frame = keys.to_frame(index=False)
        frame["lam"] = snap(frame["lam"], lams)
        keys = pd.MultiIndex.from_frame(frame)
    there = keys.isin(partners.index)
    return others[there], partners.reindex(keys[there])


def _note(n, sd):
    """Where so few pairs can show nothing."""
    if n == 0:
        return "no pair with both values defined"
    if n == 1:
        return "one pair: no interval and no test"
    notes = ["all differences are equal, and t is undefined"] * (sd == 0)
    least = 2 / 2**n
    if least > 0.05:
        notes.append(f"the exact sign-flip p cannot be below {least:.2g}")
    return f"n = {n}: " + "; ".join(notes) if notes else ""
