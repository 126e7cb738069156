"""Sums over pairs of units, by their distance on the grid (private).

Nothing here holds more than one small integer for each pair.
"""

import numpy as np
from scipy.fft import irfft2, rfft2

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


def upper_triangle(matrix):
    """Values above the diagonal, row by row."""
    return np.concatenate([row[i + 1 :] for i, row in enumerate(matrix)])


def sum_of_distances(members, grid):
    """Sum of the distances of all pairs of members, for each set of units.

    The autocorrelation of a map of 0 and 1 counts the pairs at each offset.

    Parameters
    ----------
    members : ndarray of shape (n_units, n_sets), bool
        Which units belong to each set.
    grid : Grid
        Where the units stand.

    Returns
    -------
    ndarray of shape (n_sets,)
        Sums, each pair once.
    """
    # a map that repeats itself is a torus; space as wide as the map keeps it from that
    around = tuple(n if grid.wrap else 2 * n for n in grid.shape)
    maps = members.T.reshape(-1, *grid.shape).astype(float)
    counts = irfft2(np.abs(rfft2(maps, s=around)) ** 2, s=around)
    down, right = (np.minimum(np.arange(n), n - np.arange(n)) for n in around)
    distance = np.hypot(down[:, None], right)
    return np.rint(counts).reshape(len(maps), -1) @ distance.ravel() / 2
