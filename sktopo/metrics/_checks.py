"""Checks of what metrics are given (private)."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from sktopo.grid import Grid


def check_activations(A, grid_shape=None, y=None):
    """Finite float64 activations (n_images, n_units), their grid, and labels."""
    A = check_array(A, dtype=np.float64, input_name="A")
    grid = None
    if grid_shape is not None:
        grid = Grid(grid_shape)
        if A.shape[1] != grid.n_units:
            raise ValueError(
                f"A has {A.shape[1]} units, but a grid of {grid.shape} has "
                f"{grid.n_units}. A must be (n_images, n_units), units row-major."
            )
    if y is not None:
        y = check_labels(y)
        check_consistent_length(A, y)
    return A, grid, y


def check_whole(name, value, least):
    """Raise a ValueError unless `value` is an integer of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(
            f"{name} must be an integer of {least} or more; got {value!r}."
        )


def check_labels(y):
    """Labels of one kind that can be sorted, none of them missing."""
    if y is None:
        raise ValueError("y is None; a class label for each image is needed.")
    y = column_or_1d(y)
    missing = y.dtype.kind == "f" and np.isnan(y).any()
    try:
        np.unique(y)
    except TypeError:
        missing = True
    if missing:
        raise ValueError(
            "y holds missing labels (NaN, None) or labels of several kinds. Give one "
            "label of one kind for each image."
        )
    return y


def correlations(A):
    """Pearson correlation of the columns of A; nan for constant columns."""
    constant = A.min(axis=0) == A.max(axis=0)
    scale = np.abs(A).max(axis=0)
    A = A / np.where(scale > 0, scale, 1)
    A = A - A.mean(axis=0)
    norm = np.sqrt(np.square(A).sum(axis=0))
    A = A / np.where(constant, 1, norm)
    r = np.clip(A.T @ A, -1, 1)
    r[constant] = np.nan
    r[:, constant] = np.nan
    return r
