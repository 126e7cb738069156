"""Nulls of spatial measures: the same values at shuffled positions (private)."""

import numpy as np

from sktopo._numbers import check_whole

# What rounding may take from a statistic that equals the observed one.
ROUNDING = 1e-12


def permuted_units(n_units, n_permutations, random_state):
    """Random orders of the units, one a permutation."""
    rng = np.random.default_rng(random_state)
    for _ in range(n_permutations):
        yield rng.permutation(n_units)


def permutation_null(statistic, n_units, n_permutations, random_state, tail):
    """Compare a statistic of the unit order with its values at shuffled positions.

    Parameters
    ----------
    statistic : callable
        Maps an order of the units to a float or an array.
    n_units, n_permutations : int
        Number of units, and of shuffles.
    random_state : int or None
        Seed of the shuffles.
    tail : {"lower", "upper", "both"}
        What counts as extreme: small values, large ones, or those far from the null's
        mean.

    Returns
    -------
    observed, null_mean, excess, p_value : ndarray
        excess is observed minus null_mean; all but `observed` are nan where that is,
        and without permutations. Shuffles for which the statistic is undefined are in
        neither the mean nor the p-value.
    """
    check_whole("n_permutations", n_permutations, 0)
    observed = np.asarray(statistic(np.arange(n_units)), dtype=float)
    if not n_permutations:  # the statistic is taken once, as some can be only once
        nothing = np.full(observed.shape, np.nan)
        return observed, nothing, nothing, nothing
    null = np.array(
        [statistic(o) for o in permuted_units(n_units, n_permutations, random_state)]
    )
    n_defined = (~np.isnan(null)).sum(axis=0)
    total = np.nansum(null, axis=0)
    null_mean = np.where(n_defined > 0, total / np.maximum(n_defined, 1), np.nan)
    if tail == "lower":
        extreme = null <= observed + ROUNDING
    elif tail == "upper":
        extreme = null >= observed - ROUNDING
    else:
        extreme = np.abs(null - null_mean) >= np.abs(observed - null_mean) - ROUNDING
    p_value = (1 + extreme.sum(axis=0)) / (1 + n_defined)
    p_value = np.where(np.isnan(observed) | (n_defined == 0), np.nan, p_value)
    return observed, null_mean, observed - null_mean, p_value
