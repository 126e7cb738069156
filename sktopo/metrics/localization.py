"""Functional localization: how near each other alike units stand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktopo._arrays import as_plain
from sktopo.grid import Grid
from sktopo.metrics._pairs import label_pairs, sum_by_label
from sktopo.metrics._permutation import ROUNDING, permutation_null
from sktopo.metrics.activations import Activations

__all__ = ["functional_localization"]


def functional_localization(
    A: ArrayLike,
    grid_shape: tuple[int, int] | Grid,
    thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8),
    n_permutations: int = 0,
    random_state: int | None = None,
) -> pd.DataFrame:
    """Mean grid distance of unit pairs whose responses correlate.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations, units row-major on the grid.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
    thresholds : tuple of float, default=(0.1, 0.3, 0.5, 0.6, 0.7, 0.8)
        Pairs with Pearson's r of at least the threshold count, in [-1, 1].
    n_permutations : int, default=0
        Shuffles of the unit positions for the null.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    DataFrame
        A row a threshold: threshold; mean_distance in grid steps, nan without a pair;
        n_pairs; ratio to the mean distance of all pairs of the grid, 1 at chance, below
        1 when alike units are near each other; p_value, the chance under shuffling of a
        distance at most as large, nan without permutations or pairs. With permutations
        also null_mean and excess (mean_distance minus null_mean). Constant units have
        no correlation and are in no pair.

    Raises
    ------
    ValueError
        If A does not fit the grid, is not finite, or a threshold is outside [-1, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import functional_localization
    >>> A = np.eye(4)
    >>> A[:, 1] = A[:, 0]
    >>> functional_localization(A, (1, 4), [0.5]).mean_distance.item()
    1.0
    """
    shared, grid, _ = Activations.of(A, grid_shape)
    thresholds = np.asarray(as_plain(thresholds, "thresholds"), dtype=float).ravel()
    if not (np.abs(thresholds) <= 1).all():
        raise ValueError(f"thresholds must lie in [-1, 1]; got {thresholds.tolist()}.")
    rising = np.sort(thresholds)
    n_levels = len(rising)
    labels = _levels(shared.correlations, rising)
    where = np.searchsorted(rising, thresholds)
    coordinates = grid.coordinates.astype(float)

    def _of_reaching(value_of):
        """Sum over the pairs that reach each threshold."""
        return sum_by_label(labels, n_levels, value_of)[::-1].cumsum()[::-1][where]

    n_pairs = _of_reaching(lambda rows: np.ones(labels[rows, rows.start :].shape))
    n_pairs = n_pairs.astype(int)

    def _mean_distance(order):
        row, column = coordinates[order].T

        def _distance(rows):
            down = row[rows, None] - row[rows.start :]
            right = column[rows, None] - column[rows.start :]
            down, right = grid.shortest(down, right)
            return np.sqrt(np.square(down) + np.square(right))

        total = _of_reaching(_distance)
        return np.where(n_pairs > 0, total / np.maximum(n_pairs, 1), np.nan)

    observed, null_mean, excess, p_value = permutation_null(
        _mean_distance, grid.n_units, n_permutations, random_state, tail="lower"
    )
    table = pd.DataFrame(
        {
            "threshold": thresholds,
            "mean_distance": observed,
            "n_pairs": n_pairs,
            "ratio": observed / grid.mean_distance,
            "p_value": p_value,
        }
    )
    if n_permutations:
        table["null_mean"], table["excess"] = null_mean, excess
    return table


def _levels(r, rising):
    """How many thresholds, in rising order, each pair reaches; nan reaches none."""

    def _level_of(rows):
        pairs = r[rows, rows.start :]
        levels = np.zeros(pairs.shape, dtype=np.intp)
        for threshold in rising:
            levels += pairs >= threshold - ROUNDING
        return levels

    return label_pairs(len(r), len(rising), _level_of)
