"""Smoothness of maps over the grid."""

from __future__ import annotations

from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import kurtosis, skew
from sklearn.utils import Bunch

from sktopo._arrays import as_plain
from sktopo._numbers import check_whole
from sktopo.grid import Grid, neighbor_sum
from sktopo.metrics._checks import (
    block_slices,
    check_numbers,
    unit_blocks,
)
from sktopo.metrics._pairs import upper_triangle
from sktopo.metrics._permutation import permutation_null
from sktopo.metrics.activations import Activations
from sktopo.metrics.distances import DistanceBins

__all__ = [
    "correlation_bimodality",
    "correlation_by_distance",
    "difference_by_distance",
    "morans_i",
    "spatial_autocorrelation",
]

# A map whose values differ by no more than rounding, on the scale of 1, is constant.
_CONSTANT = 64 * np.finfo(float).eps


def morans_i(
    maps: ArrayLike,
    neighborhood: str | None = None,
    standardize: bool = False,
    n_permutations: int = 0,
    random_state: int | None = None,
    *,
    grid_shape: tuple[int, int] | Grid | None = None,
) -> np.ndarray | Bunch:
    """Moran's I of each map: how alike neighbouring values are.

    With z the centred values of a map of N units and A the binary adjacency,
    I = (N / S0) z'Az / z'z, S0 the sum of A. Its expectation without structure is
    -1 / (N - 1).

    Parameters
    ----------
    maps : array-like of shape (n_maps, rows, columns)
        One map a row, for example `TopographicCNNClassifier.activation_maps`; or of
        shape (n_maps, n_units), units row-major, where `grid_shape` is given.
    neighborhood : {"moore", "von_neumann"}, default=None
        8 or 4 neighbours. Moore neighbourhoods cannot see a checkerboard. None: that of
        the Grid which is given as `grid_shape`, else "moore".
    standardize : bool, default=False
        Whether to z-score each unit over maps first. The raw I is confounded by each
        unit's gain and bias. A unit that is constant over maps becomes 0.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null, each shared by all maps.
    random_state : int or None, default=None
        Seed of the shuffles.
    grid_shape : tuple of (int, int) or Grid, default=None
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus. None: those of
        the maps, without wrap-around.

    Returns
    -------
    ndarray of shape (n_maps,), or Bunch if n_permutations > 0
        I of each map, nan for a constant map. The Bunch holds the arrays `value`,
        `null_mean`, `excess` (value minus null_mean) and `p_value`, the chance under
        shuffling of an I at least as large.

    Raises
    ------
    ValueError
        If the maps are not three-dimensional, not finite, of a single unit or of
        another grid, or if `neighborhood` is not that of the Grid.

    References
    ----------
    Moran, "Notes on continuous stochastic phenomena", Biometrika 37 (1950).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.grid import Grid
    >>> from sktopo.metrics import morans_i
    >>> ramp = np.tile(np.arange(11.0), (1, 11, 1))
    >>> morans_i(ramp).round(4)
    array([0.8524])
    >>> morans_i(ramp, grid_shape=Grid((11, 11), wrap=True)).round(4)
    array([0.625])
    """
    maps, grid = _check_maps(maps, grid_shape, neighborhood)
    flat = maps.reshape(len(maps), -1)
    moments = _unit_moments(flat) if standardize else None
    # z-scores are rounded at 1e-12
    blocks = _centred_maps(flat, moments, 1e-12 if standardize else _CONSTANT)
    weight = grid.n_units / len(grid.edges)
    blocks = (
        (z, weight / np.where(varies, np.square(z).sum(axis=1), np.nan))
        for z, varies in blocks
    )
    blocks = list(blocks) if n_permutations else blocks

    def _of_order(order):
        ordered = ((z[:, order].reshape(-1, *grid.shape), f) for z, f in blocks)
        found = [f * neighbor_sum(z, grid.neighborhood, grid.wrap) for z, f in ordered]
        return np.concatenate(found)

    value, null_mean, excess, p_value = permutation_null(
        _of_order, grid.n_units, n_permutations, random_state, tail="upper"
    )
    if not n_permutations:
        return value
    return Bunch(value=value, null_mean=null_mean, excess=excess, p_value=p_value)


def _check_maps(maps, grid_shape, neighborhood=None):
    """Finite maps (n_maps, rows, columns), and the grid that they are of."""
    maps = as_plain(maps, "maps")
    shape = np.shape(maps)
    if grid_shape is not None:
        grid = Grid.of(grid_shape)
        if shape[1:] not in (grid.shape, (grid.n_units,)):
            raise ValueError(
                f"maps of a grid of {grid.shape} must be (n_maps, *{grid.shape}) or "
                f"(n_maps, {grid.n_units}); got shape {shape}."
            )
        maps = np.reshape(maps, (-1, *grid.shape))
        shape = np.shape(maps)
    if len(shape) != 3 or shape[1] * shape[2] < 2:
        raise ValueError(
            f"maps must be (n_maps, rows, columns) with two units or more; got shape "
            f"{shape}. For activations (n, n_units) use A.reshape(-1, rows, columns); "
            f"for a single map use map[None]; for responses of a convolution (n, C, H, "
            f"W) make activations first: A.mean(axis=(2, 3)), a unit a channel."
        )
    maps = check_numbers(maps, "maps")
    if not isinstance(grid_shape, Grid):
        return maps, Grid(shape[1:], "moore" if neighborhood is None else neighborhood)
    if neighborhood not in (None, grid.neighborhood):
        raise ValueError(
            f"neighborhood={neighborhood!r} was given, and a Grid with "
            f"{grid.neighborhood!r}. Leave neighborhood out, or give a Grid with it."
        )
    return maps, grid


def _unit_moments(flat):
    """Scale, mean and standard deviation of each unit over maps; 0 if constant."""
    scale, mean, std = np.zeros((3, flat.shape[1]))
    for units, block in unit_blocks(flat):
        constant = block.min(axis=0) == block.max(axis=0)
        largest = np.abs(block).max(axis=0)
        scale[units] = np.where(largest > 0, largest, 1)
        block /= scale[units]
        mean[units] = block.mean(axis=0)
        std[units] = np.where(constant, 0, block.std(axis=0))
    return scale, mean, std


def _centred_maps(flat, moments, rounding):
    """Some maps at a time: centred, on the scale of 1; and which are not constant."""
    for rows in block_slices(*flat.shape):
        z = flat[rows].astype(np.float64)
        if moments is not None:
            scale, mean, std = moments
            z = np.where(std > 0, z / scale - mean, 0) / np.where(std > 0, std, 1)
        largest = np.abs(z).max(axis=1, keepdims=True)
        z /= np.where(largest > 0, largest, 1)
        varies = np.ptp(z, axis=1) > rounding
        z -= z.mean(axis=1, keepdims=True)
        yield z, varies


def correlation_by_distance(
    A: ArrayLike,
    grid_shape: tuple[int, int] | Grid,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> pd.DataFrame:
    """Mean correlation of unit pairs against their distance on the grid.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations, units row-major on the grid.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
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
    bins = DistanceBins.of(grid_shape)
    shared, grid, _ = Activations.of(A, bins.grid)
    r, varying = shared.correlations, shared.varying

    def _mean_correlation(order):
        return bins.mean(
            lambda rows: r[order[rows]][:, order[rows.start :]], varying[order]
        )

    observed, null_mean, excess, p_value = permutation_null(
        _mean_correlation, grid.n_units, n_permutations, random_state, tail="both"
    )
    table = pd.DataFrame(
        {
            "distance": bins.distances,
            "correlation": observed,
            "n_pairs": bins.count(varying),
        }
    )
    if n_permutations:
        table["null_mean"], table["excess"] = null_mean, excess
        table["p_value"] = p_value
    return table


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
    shared, _, _ = Activations.of(A)
    r = upper_triangle(shared.correlations)
    if not shared.varying.all():
        r = r[~np.isnan(r)]
    r.sort()
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
    *,
    grid_shape: tuple[int, int] | Grid | None = None,
) -> pd.DataFrame:
    """Autocorrelation of maps at growing lags along both axes; it shows stripes.

    Parameters
    ----------
    maps : array-like of shape (n_maps, rows, columns)
        One map a row; or of shape (n_maps, n_units), units row-major, where
        `grid_shape` is given.
    max_lag : int, default=5
        Largest lag, in grid steps, at least 1. Lags that the grid is too small for are
        left out: on a torus those beyond half of it, which lead back.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null.
    random_state : int or None, default=None
        Seed of the shuffles.
    grid_shape : tuple of (int, int) or Grid, default=None
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus. None: those of
        the maps, without wrap-around.

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
        If the maps are not three-dimensional, not finite or of another grid, or max_lag
        is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import spatial_autocorrelation
    >>> stripes = np.tile((np.arange(12) % 2)[:, None], (1, 1, 12))
    >>> spatial_autocorrelation(stripes, max_lag=2).correlation.tolist()
    [-1.0, 1.0, 1.0, 1.0]
    """
    maps, grid = _check_maps(maps, grid_shape)
    check_whole("max_lag", max_lag, 1)
    check_whole("n_permutations", n_permutations, 0)
    steps, pairs = [], []
    for axis, name in enumerate(("row", "column")):
        largest = grid.shape[axis] // 2 if grid.wrap else grid.shape[axis] - 1
        for lag in range(1, min(max_lag, largest) + 1):
            steps.append((name, lag))
            pairs.append(_pairs_along(grid, axis, lag))
    n_maps, total = _products(maps, pairs, n_permutations > 0)

    def _correlations(order):
        if not n_maps:
            return np.full(len(pairs), np.nan)
        if not n_permutations:
            return total / n_maps
        return [total[order[a], order[b]].mean() / n_maps for a, b in pairs]

    observed, null_mean, excess, p_value = permutation_null(
        _correlations, grid.n_units, n_permutations, random_state, tail="both"
    )
    table = pd.DataFrame(steps, columns=["axis", "lag"])
    table["correlation"] = observed
    table["n_maps"] = n_maps
    if n_permutations:
        table["null_mean"], table["excess"] = null_mean, excess
        table["p_value"] = p_value
    return table


def _pairs_along(grid, axis, lag):
    """The pairs of units that are `lag` apart along an axis, each once."""
    unit = np.arange(grid.n_units).reshape(grid.shape)
    size = grid.shape[axis]
    n_first = size - lag
    if grid.wrap:
        n_first = lag if 2 * lag == size else size
    here = np.arange(n_first)
    ends = here, (here + lag) % size
    return tuple(np.take(unit, where, axis=axis).ravel() for where in ends)


def _products(maps, pairs, of_all):
    """Number of maps that are not constant, and sums over them of z-scores' products.

    The sums are of the mean product of each set of pairs, or (where units are to be
    shuffled) of the product of any two units.
    """
    flat = maps.reshape(len(maps), -1)
    n_maps, total = 0, 0.0
    for z, varies in _centred_maps(flat, None, _CONSTANT):
        z = z[varies]
        z /= np.sqrt(np.square(z).mean(axis=1, keepdims=True))
        n_maps += len(z)
        if of_all:
            total = total + z.T @ z
        else:
            found = [np.einsum("ij,ij", z[:, a], z[:, b]) / len(a) for a, b in pairs]
            total = total + np.array(found)
    return n_maps, total


def difference_by_distance(
    values: ArrayLike,
    grid_shape: tuple[int, int] | Grid,
    period: float | None = None,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> Bunch:
    """Difference of a per-unit value against grid distance, and its smoothness.

    Parameters
    ----------
    values : array-like of shape (n_units,)
        One value a unit, for example a preferred orientation or d'; nan is left out.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
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
    bins = DistanceBins.of(grid_shape)
    values = _check_values(values, bins.grid)
    if period is not None and not (isinstance(period, Real) and 0 < period < np.inf):
        raise ValueError(f"period must be a positive number or None; got {period!r}.")
    known = ~np.isnan(values)

    def _profile(order):
        ordered = values[order]

        def _difference(rows):
            found = np.abs(ordered[rows, None] - ordered[rows.start :])
            if period is not None:
                found %= period
                found = np.minimum(found, period - found)
            return found

        return bins.mean(_difference, known[order])

    profile = _profile(np.arange(len(values)))
    smoothness, null_mean, excess, p_value = permutation_null(
        lambda order: _smoothness(_profile(order)),
        len(values),
        n_permutations,
        random_state,
        tail="upper",
    )
    table = pd.DataFrame(
        {
            "distance": bins.distances,
            "difference": profile,
            "n_pairs": bins.count(known),
        }
    )
    result = Bunch(
        profile=table, smoothness=float(smoothness), n_units=int(known.sum())
    )
    if n_permutations:
        result.update(
            null_mean=float(null_mean), excess=float(excess), p_value=float(p_value)
        )
    return result


def _smoothness(profile):
    """How far the first bin of a profile lies below the largest, as a share of it."""
    known = profile[~np.isnan(profile)]
    largest = known.max() if len(known) else 0.0
    return (largest - profile[0]) / largest if largest > 0 else np.nan


def _check_values(values, grid):
    """One value a unit, in a row or as a map; nan where there is none."""
    values = check_numbers(values, "values", ensure_2d=False, allow_nan=True)
    shape, n_units = values.shape, grid.n_units
    if shape not in ((n_units,), (n_units, 1), (1, n_units), grid.shape):
        raise ValueError(
            f"values must hold one value for each of {n_units} units of a grid of "
            f"{grid.shape}; got {values.size}, of shape {shape}."
        )
    return values.ravel().astype(np.float64)
