"""Pairs of units in bins of their distance on the grid."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sktopo.grid import Grid, pairs_at_offsets
from sktopo.metrics._pairs import label_pairs, sum_by_label


class DistanceBins:
    """Pairs of units in bins of width 1 of their distance: [1, 2), [2, 3), ...

    Parameters
    ----------
    grid_shape : tuple of (int, int) or Grid
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.

    Attributes
    ----------
    grid : Grid
        Where the units stand.
    distances : ndarray of shape (n_bins,)
        Lower edge of each bin that has pairs.
    n_pairs : ndarray of shape (n_bins,)
        Pairs of each bin.
    """

    def __init__(self, grid_shape):
        self.grid = Grid.of(grid_shape)
        n_pairs = pairs_at_offsets(self.grid.shape, self.grid.wrap)
        # sqrt(4) and the like must not fall into the bin below
        whole = np.floor(np.hypot(*np.indices(n_pairs.shape)) + 1e-9).astype(int)
        edges, labels = np.unique(whole, return_inverse=True)
        self.distances = edges[1:]  # 0 is a unit by itself
        self._table = labels.reshape(n_pairs.shape)
        self.n_pairs = np.bincount(labels.ravel(), n_pairs.ravel())[1:].astype(int)

    @classmethod
    def of(cls, grid_shape):
        """Bins of a grid, or those that are given.

        Parameters
        ----------
        grid_shape : tuple of (int, int), Grid or DistanceBins
            Rows and columns, a grid, or what was made of them before.

        Returns
        -------
        DistanceBins
            The bins.
        """
        return grid_shape if isinstance(grid_shape, cls) else cls(grid_shape)

    @cached_property
    def _labels(self):
        row, column = self.grid.coordinates.T

        def _label_of(rows):
            down = np.abs(row[rows, None] - row[rows.start :])
            right = np.abs(column[rows, None] - column[rows.start :])
            return self._table[self.grid.shortest(down, right)]

        return label_pairs(self.grid.n_units, len(self.distances), _label_of)

    def count(self, known):
        """Count the pairs of each bin whose units are both known.

        Parameters
        ----------
        known : ndarray of shape (n_units,), bool
            The units that are in pairs.

        Returns
        -------
        ndarray of shape (n_bins,), int
            Pairs.
        """
        if known.all():
            return self.n_pairs
        return self._sum(lambda rows: known[rows, None] & known[rows.start :]).astype(
            int
        )

    def mean(self, value_of, known):
        """Take the mean in each bin of a value of each pair.

        Parameters
        ----------
        value_of : callable
            As for `sum_by_label`; nan for pairs with an unknown unit.
        known : ndarray of shape (n_units,), bool
            The units that are in pairs.

        Returns
        -------
        ndarray of shape (n_bins,)
            Means, nan in a bin without a pair.
        """
        n_pairs = self.count(known)
        if known.all():
            total = self._sum(value_of)
        else:
            total = self._sum(lambda rows: np.nan_to_num(value_of(rows)))
        return np.where(n_pairs > 0, total / np.maximum(n_pairs, 1), np.nan)

    def _sum(self, value_of):
        return sum_by_label(self._labels, len(self.distances), value_of)
