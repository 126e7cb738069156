"""Smoothness of maps over the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import kurtosis, skew
from sklearn.utils import Bunch, check_array

from sktopo.grid import Grid, neighbor_sum
from sktopo.metrics._checks import check_activations, check_whole, correlations
from sktopo.metrics._permutation import permutation_null


def morans_i(
    maps: ArrayLike,
    neighborhood: str = "moore",
    standardize: bool = False,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> np.ndarray | Bunch:
    """Moran's I of each map: how alike neighbouring values are.

    With z the centred values of a map of N units and A the binary adjacency without
    wrap-around, I = (N / S0) z'Az / z'z, S0 the sum of A. Its expectation without
    structure is -1 / (N - 1).

    Parameters
    ----------
    maps : array-like of shape (n_maps, rows, columns)
        One map a row, for example `TopographicCNNClassifier.activation_maps`.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        8 or 4 neighbours. Moore neighbourhoods cannot see a checkerboard.
    standardize : bool, default=False
        Whether to z-score each unit over maps first. The raw I is confounded by each
        unit's gain and bias. A unit that is constant over maps becomes 0.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null, each shared by all maps.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    ndarray of shape (n_maps,), or Bunch if n_permutations > 0
        I of each map, nan for a constant map. The Bunch holds the arrays `value`,
        `null_mean`, `excess` (value minus null_mean) and `p_value`, the chance under
        shuffling of an I at least as large.

    Raises
    ------
    ValueError
        If the maps are not three-dimensional, not finite, or of a single unit.

    References
    ----------
    Moran, "Notes on continuous stochastic phenomena", Biometrika 37 (1950).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import morans_i
    >>> ramp = np.tile(np.arange(11.0), (1, 11, 1))
    >>> morans_i(ramp).round(4)
    array([0.8524])
    """
    maps = _check_maps(maps)
    grid = Grid(maps.shape[1:], neighborhood)
    rounding = 64 * np.finfo(float).eps
    if standardize:
        constant = maps.min(axis=0) == maps.max(axis=0)
        largest = np.abs(maps).max(axis=0)
        maps = maps / np.where(largest > 0, largest, 1)
        std = np.where(constant, 1.0, maps.std(axis=0))
        maps = np.where(constant, 0.0, maps - maps.mean(axis=0)) / std
        rounding = 1e-12  # of z-scores
    scale = np.abs(maps).max(axis=(1, 2), keepdims=True)
    z = maps / np.where(scale > 0, scale, 1)
    constant = np.ptp(z, axis=(1, 2)) <= rounding
    z = z - z.mean(axis=(1, 2), keepdims=True)
    denominator = np.where(constant, 1.0, np.square(z).sum(axis=(1, 2)))
    factor = np.where(constant, np.nan, grid.n_units / len(grid.edges) / denominator)
    flat = z.reshape(len(z), -1)
    value, null_mean, excess, p_value = permutation_null(
        lambda order: (
            factor * neighbor_sum(flat[:, order].reshape(z.shape), neighborhood)
        ),
        grid.n_units,
        n_permutations,
        random_state,
        tail="upper",
    )
    if not n_permutations:
        return value
    return Bunch(value=value, null_mean=null_mean, excess=excess, p_value=p_value)


def _check_maps(maps):
    maps = np.asarray(maps)
    if maps.ndim != 3 or maps.shape[1] * maps.shape[2] < 2:
        raise ValueError(
            f"maps must be (n_maps, rows, columns) with two units or more; got shape "
            f"{maps.shape}. For activations (n, n_units) use A.reshape(-1, rows, "
            f"columns); for a single map use map[None]."
        )
    return check_array(maps, dtype=np.float64, allow_nd=True, input_name="maps")


def _distance_bins(grid):
    """Pairs of units, the whole part of their distance, and the parts there are."""
    first, second = np.triu_indices(grid.n_units, k=1)
    # sqrt(4) and the like must not fall into the bin below
    whole = np.floor(grid.distances[first, second] + 1e-9).astype(int)
    return first, second, whole, np.unique(whole)


def correlation_by_distance(
    A: ArrayLike,
    grid_shape: tuple[int, int],
    n_permutations: int = 0,
    random_state: int | None = None,
) -> pd.DataFrame:
    """Mean correlation of unit pairs against their distance on the grid.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations, units row-major on the grid.
    grid_shape : tuple of (int, int)
        Rows and columns.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    DataFrame
        A row a bin: distance, the lower edge of a bin of width 1 of the Euclidean
        distance in grid steps (1 holds [1, 2), the Moore neighbours); correlation, the
        mean Pearson's r of its pairs, nan without a pair; n_pairs. Constant units are
        in no pair. With permutations also null_mean, excess (correlation minus
        null_mean) and p_value, two-sided.

    Raises
    ------
    ValueError
        If A does not fit the grid or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import correlation_by_distance
    >>> A = np.random.default_rng(0).normal(size=(500, 6))
    >>> correlation_by_distance(A, (2, 3)).n_pairs.tolist()
    [11, 4]
    """
    A, grid, _ = check_activations(A, grid_shape)
    first, second, whole, distances = _distance_bins(grid)
    r = correlations(A)
    bins = whole == distances[:, None]

    def _mean_correlation(order):
        values = r[order[first], order[second]]
        known = bins & ~np.isnan(values)
        return _mean_of(known, np.nan_to_num(values))

    observed, null_mean, excess, p_value = permutation_null(
        _mean_correlation, grid.n_units, n_permutations, random_state, tail="both"
    )
    n_pairs = (bins & ~np.isnan(r[first, second])).sum(axis=1)
    table = pd.DataFrame(
        {"distance": distances, "correlation": observed, "n_pairs": n_pairs}
    )
    if n_permutations:
        table["null_mean"], table["excess"] = null_mean, excess
        table["p_value"] = p_value
    return table


def _mean_of(chosen, values):
    """Mean of the values chosen in each row; nan where there is none."""
    count = chosen.sum(axis=1)
    return np.where(count > 0, chosen @ values / np.maximum(count, 1), np.nan)


def correlation_bimodality(A: ArrayLike, dip: bool = True) -> Bunch:
    """Bimodality of the correlations of all unit pairs.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations.
    dip : bool, default=True
        Whether to compute Hartigan's dip, with the package `diptest` (extra `stats`).

    Returns
    -------
    Bunch
        With dip, Hartigan's dip statistic (nan with dip=False), the primary measure;
        coefficient, Sarle's bimodality coefficient with bias-corrected skewness and
        kurtosis (normal: towards 1/3, uniform: 5/9, two equal points: towards 1); and
        n_pairs, the number of pairs of units that are not constant. Both are nan for
        fewer than four pairs.

    Raises
    ------
    ImportError
        If dip is True and `diptest` is not installed.

    Notes
    -----
    The dip's usual p-value does not hold here, since pairs that share a unit depend on
    each other; so only the statistic is returned. Sarle's coefficient also rises with
    skew and with low rank: two clear modes gave .52 and one skewed mode .65. Read it
    beside a histogram.

    References
    ----------
    Hartigan & Hartigan, "The dip test of unimodality", Annals of Statistics 13 (1985).
    Pfister et al., "Good things peak in pairs", Frontiers in Psychology 4 (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import correlation_bimodality
    >>> A = np.random.default_rng(0).normal(size=(200, 30))
    >>> round(correlation_bimodality(A, dip=False).coefficient, 1)
    0.4
    """
    A, _, _ = check_activations(A)
    r = correlations(A)[np.triu_indices(A.shape[1], k=1)]
    r = np.sort(r[~np.isnan(r)])
    n = len(r)
    result = Bunch(dip=float("nan"), coefficient=float("nan"), n_pairs=n)
    if dip:
        diptest = _import_diptest()
        if n >= 4:
            result.dip = float(diptest.dipstat(r))
    if n >= 4 and r[-1] - r[0] > 1e-12:
        g, k = skew(r, bias=False), kurtosis(r, bias=False)
        floor = 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))
        result.coefficient = float((g**2 + 1) / (k + floor))
    return result


def _import_diptest():
    try:
        import diptest
    except ImportError as error:
        raise ImportError(
            "Hartigan's dip needs the package diptest: pip install 'sktopo[stats]'. "
            "Without it, use dip=False for Sarle's coefficient alone."
        ) from error
    return diptest


def spatial_autocorrelation(
    maps: ArrayLike,
    max_lag: int = 5,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> pd.DataFrame:
    """Autocorrelation of maps at growing lags along both axes; it shows stripes.

    Parameters
    ----------
    maps : array-like of shape (n_maps, rows, columns)
        One map a row.
    max_lag : int, default=5
        Largest lag, in grid steps, at least 1. Lags that the grid is too small for are
        left out.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    DataFrame
        A row an axis and lag: axis, "row" for steps from row to row or "column" for
        steps from column to column; lag; correlation, the mean over maps of the mean
        product of values that far apart, centred on the map's mean and divided by its
        variance; n_maps, the number of maps that are not constant. With permutations
        also null_mean, excess and p_value, two-sided.

    Raises
    ------
    ValueError
        If the maps are not three-dimensional or not finite, or max_lag is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import spatial_autocorrelation
    >>> stripes = np.tile((np.arange(12) % 2)[:, None], (1, 1, 12))
    >>> spatial_autocorrelation(stripes, max_lag=2).correlation.tolist()
    [-1.0, 1.0, 1.0, 1.0]
    """
    maps = _check_maps(maps)
    check_whole("max_lag", max_lag, 1)
    shape = maps.shape[1:]
    scale = np.abs(maps).max(axis=(1, 2), keepdims=True)
    z = maps / np.where(scale > 0, scale, 1)
    z = z[np.ptp(z, axis=(1, 2)) > 64 * np.finfo(float).eps]
    z = z - z.mean(axis=(1, 2), keepdims=True)
    z /= np.sqrt(np.square(z).mean(axis=(1, 2), keepdims=True))
    flat = z.reshape(len(z), shape[0] * shape[1])
    # Mean over maps of the products of any two units: what each lag averages.
    products = flat.T @ flat / len(flat) if len(flat) else None
    unit = np.arange(shape[0] * shape[1]).reshape(shape)
    steps, pairs = [], []
    for axis, name in enumerate(("row", "column")):
        for lag in range(1, min(max_lag, shape[axis] - 1) + 1):
            here = np.take(unit, range(shape[axis] - lag), axis=axis).ravel()
            there = np.take(unit, range(lag, shape[axis]), axis=axis).ravel()
            steps.append((name, lag))
            pairs.append((here, there))

    def _correlations(order):
        if products is None:
            return np.full(len(pairs), np.nan)
        return [products[order[a], order[b]].mean() for a, b in pairs]

    observed, null_mean, excess, p_value = permutation_null(
        _correlations, unit.size, n_permutations, random_state, tail="both"
    )
    table = pd.DataFrame(steps, columns=["axis", "lag"])
    table["correlation"] = observed
    table["n_maps"] = len(z)
    if n_permutations:
        table["null_mean"], table["excess"] = null_mean, excess
        table["p_value"] = p_value
    return table


def difference_by_distance(
    values: ArrayLike,
    grid_shape: tuple[int, int],
    period: float | None = None,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> Bunch:
    """Difference of a per-unit value against grid distance, and its smoothness.

    Parameters
    ----------
    values : array-like of shape (n_units,)
        One value a unit, for example a preferred orientation or d'; nan is left out.
    grid_shape : tuple of (int, int)
        Rows and columns.
    period : float, default=None
        Period of a circular value (180 for orientations in degrees); None: not
        circular.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null of the smoothness.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    Bunch
        With profile, a DataFrame (distance, difference, n_pairs) with the mean absolute
        (or circular) difference in bins as for `correlation_by_distance`; smoothness,
        (max - first) / max of the profile, 0 without structure and towards 1 when
        neighbours agree, nan where all values are equal; n_units, the number of units
        with a value. With permutations also null_mean, excess and p_value (the chance
        of a smoothness at least as large).

    Raises
    ------
    ValueError
        If the values do not fit the grid or are infinite, or on a period that is not
        positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import difference_by_distance
    >>> ramp = np.tile(np.arange(4.0), 4)
    >>> difference_by_distance(ramp, (4, 4)).smoothness > 0.5
    True
    """
    grid = Grid(grid_shape)
    values = check_array(
        values, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan"
    ).ravel()
    if len(values) != grid.n_units:
        raise ValueError(
            f"values must hold one value for each of {grid.n_units} units of a grid of "
            f"{grid.shape}; got {len(values)}."
        )
    if period is not None and not 0 < period < np.inf:
        raise ValueError(f"period must be a positive number or None; got {period!r}.")
    first, second, whole, distances = _distance_bins(grid)
    difference = np.abs(values[:, None] - values)
    if period is not None:
        difference = difference % period
        difference = np.minimum(difference, period - difference)
    bins = whole == distances[:, None]

    def _profile(order):
        found = difference[order[first], order[second]]
        return _mean_of(bins & ~np.isnan(found), np.nan_to_num(found))

    def _smoothness(order):
        profile = _profile(order)
        known = profile[~np.isnan(profile)]
        largest = known.max() if len(known) else 0.0
        return (largest - profile[0]) / largest if largest > 0 else np.nan

    smoothness, null_mean, excess, p_value = permutation_null(
        _smoothness, grid.n_units, n_permutations, random_state, tail="upper"
    )
    profile = _profile(np.arange(grid.n_units))
    n_pairs = (bins & ~np.isnan(difference[first, second])).sum(axis=1)
    table = pd.DataFrame(
        {"distance": distances, "difference": profile, "n_pairs": n_pairs}
    )
    result = Bunch(
        profile=table,
        smoothness=float(smoothness),
        n_units=int((~np.isnan(values)).sum()),
    )
    if n_permutations:
        result.update(
            null_mean=float(null_mean), excess=float(excess), p_value=float(p_value)
        )
    return result
