"""Sums over pairs of units, by their distance on the grid (private).

Nothing here holds more than one small integer for each pair.
"""

from functools import cached_property

import numpy as np
from scipy.fft import irfft2, rfft2

from sktopo.grid import Grid, pairs_at_offsets
from sktopo.metrics._checks import block_slices

# Values looked at in one go: what fits a processor's cache.
_IN_CACHE = 2**18


def pair_blocks(n_units):
    """Rows of the matrix of pairs, some at a time; those from the diagonal on."""
    return block_slices(n_units, n_units, _IN_CACHE)


def label_pairs(n_units, n_labels, label_of):
    """A small integer for each pair of units, once: 0 on and below the diagonal.

    Parameters
    ----------
    n_units, n_labels : int
        Number of units, and the largest label.
    label_of : callable
        Maps a slice of units to the labels of their pairs with all units from the
        slice's first on, (n, n_units - first).

    Returns
    -------
    ndarray of shape (n_units, n_units)
        Labels.
    """
    labels = np.zeros((n_units, n_units), dtype=np.min_scalar_type(n_labels))
    for rows in pair_blocks(n_units):
        labels[rows, rows.start :] = np.triu(label_of(rows), k=1)
    return labels


def sum_by_label(labels, n_labels, value_of):
    """Sum, over the pairs of each label from 1 on, of a value of each pair.

    Parameters
    ----------
    labels : ndarray of shape (n_units, n_units)
        From `label_pairs`.
    n_labels : int
        The largest label.
    value_of : callable
        As `label_of`, of the values.

    Returns
    -------
    ndarray of shape (n_labels,)
        Sums.
    """
    total = np.zeros(n_labels + 1)
    for rows in pair_blocks(len(labels)):
        here = labels[rows, rows.start :].ravel()
        values = np.asarray(value_of(rows), dtype=float).ravel()
        total += np.bincount(here, values, minlength=n_labels + 1)
    return total[1:]


class DistanceBins:
    """Pairs of units in bins of width 1 of their distance: [1, 2), [2, 3), ...

    Parameters
    ----------
    grid_shape : tuple of (int, int)
        Rows and columns.

    Attributes
    ----------
    distances : ndarray of shape (n_bins,)
        Lower edge of each bin that has pairs.
    n_pairs : ndarray of shape (n_bins,)
        Pairs of each bin.
    """

    def __init__(self, grid_shape):
        self.grid = Grid(grid_shape)
        # sqrt(4) and the like must not fall into the bin below
        whole = np.floor(np.hypot(*np.indices(self.grid.shape)) + 1e-9).astype(int)
        edges, labels = np.unique(whole, return_inverse=True)
        self.distances = edges[1:]  # 0 is a unit by itself
        self._table = labels.reshape(self.grid.shape)
        n_pairs = np.bincount(labels.ravel(), pairs_at_offsets(self.grid.shape).ravel())
        self.n_pairs = n_pairs[1:].astype(int)

    @classmethod
    def of(cls, grid_shape):
        """Bins of a grid; it may hold them already."""
        return grid_shape if isinstance(grid_shape, cls) else cls(grid_shape)

    @cached_property
    def _labels(self):
        row, column = self.grid.coordinates.T

        def _label_of(rows):
            down = np.abs(row[rows, None] - row[rows.start :])
            return self._table[down, np.abs(column[rows, None] - column[rows.start :])]

        return label_pairs(self.grid.n_units, len(self.distances), _label_of)

    def count(self, known):
        """Pairs of each bin whose units are both known, of known (n_units,) bool."""
        if known.all():
            return self.n_pairs
        return self._sum(lambda rows: known[rows, None] & known[rows.start :]).astype(
            int
        )

    def mean(self, value_of, known):
        """Mean in each bin of a value of each pair.

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


def upper_triangle(matrix):
    """Values above the diagonal, row by row."""
    return np.concatenate([row[i + 1 :] for i, row in enumerate(matrix)])


def sum_of_distances(members, shape):
    """Sum of the distances of all pairs of members, for each set of units.

    The autocorrelation of a map of 0 and 1 counts the pairs at each offset.

    Parameters
    ----------
    members : ndarray of shape (n_units, n_sets), bool
        Which units belong to each set.
    shape : tuple of (int, int)
        Rows and columns.

    Returns
    -------
    ndarray of shape (n_sets,)
        Sums, each pair once.
    """
    double = 2 * shape[0], 2 * shape[1]
    maps = members.T.reshape(-1, *shape).astype(float)
    counts = irfft2(np.abs(rfft2(maps, s=double)) ** 2, s=double)
    down, right = (np.minimum(np.arange(n), n - np.arange(n)) for n in double)
    distance = np.hypot(down[:, None], right)
    return np.rint(counts).reshape(len(maps), -1) @ distance.ravel() / 2
