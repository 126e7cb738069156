"""Checks of what metrics are given (private)."""

import numpy as np
from sklearn.utils import check_array, column_or_1d

from sktopo._arrays import as_plain
from sktopo.grid import Grid

_CONVOLUTION = (
    "These look like the responses of a convolution, (n, C, H, W): "
    "{name}.mean(axis=(2, 3)) makes each channel a unit, {name}.reshape(len({name}), "
    "-1) each channel at each position."
)
_FLATTEN = "Flatten each row by {name}.reshape(len({name}), -1)."


def check_table(values, name, rows="n_images", columns="n_units"):
    """Finite numbers (rows, columns), as they are if float32 or float64."""
    values = as_plain(values, name)
    if np.ndim(values) > 2:
        responses = np.ndim(values) == 4 and columns != "fan_in"
        advice = (_CONVOLUTION if responses else _FLATTEN).format(name=name)
        raise ValueError(
            f"{name} must be ({rows}, {columns}); got shape {np.shape(values)}. "
            f"{advice}"
        )
    return check_numbers(values, name)


def check_numbers(values, name, ensure_2d=True, allow_nan=False):
    """Numbers as float64, or as they are if float32; finite, or nan if allowed."""
    with np.errstate(invalid="ignore"):  # a sum that looks for inf may be inf - inf
        return check_array(
            as_plain(values, name),
            dtype=[np.float64, np.float32],
            ensure_2d=ensure_2d,
            allow_nd=True,
            ensure_all_finite="allow-nan" if allow_nan else True,
            input_name=name,
        )


def check_vector(values, name, n=None, of="values"):
    """Finite float64 numbers in a row, `n` of them if that is given."""
    values = np.asarray(as_plain(values, name), dtype=np.float64)
    single = values.ndim < 2 or max(values.shape) == values.size
    if not single or not np.isfinite(values).all() or n not in (None, values.size):
        wanted = "finite numbers in one row" if n is None else (
            f"one finite value for each of {n} {of}"
        )  # fmt: skip
        raise ValueError(
            f"{name} must hold {wanted}; got shape {values.shape}, of which "
            f"{int(np.isfinite(values).sum())} are finite."
        )
    return values.ravel()


def check_grid(grid_shape, n_units, what="A"):
    """The grid, of this shape or as it is given, if it has as many units."""
    grid = Grid.of(grid_shape)
    if n_units != grid.n_units:
        raise ValueError(
            f"{what} has {n_units} units, but a grid of {grid.shape} has "
            f"{grid.n_units}. Units are columns of activations, row-major on the grid: "
            f"A must be (n_images, n_units)."
        )
    return grid


def check_labels(y, name="y"):
    """Labels of one kind that can be sorted, none of them missing."""
    if y is None:
        raise ValueError(f"{name} is None; a class label for each image is needed.")
    y = column_or_1d(as_plain(y, name))
    missing = y.dtype.kind in "fcmMO" and bool(np.asarray(y != y).any())
    missing |= y.dtype.kind == "O" and any(label is None for label in y)
    try:
        np.unique(y)
    except TypeError:
        missing = True
    if missing:
        raise ValueError(
            f"{name} holds missing labels (NaN, None) or labels of several kinds. Give "
            f"one label of one kind for each image."
        )
    return y


def check_classes(classes, y):
    """The classes to score: those in y, sorted, or distinct ones of the same kind."""
    if classes is None:
        return np.unique(y)
    classes = check_labels(np.atleast_1d(as_plain(classes, "classes")), "classes")
    if not len(classes) or len(np.unique(classes)) < len(classes):
        raise ValueError(
            f"classes must be one or more different labels; got {classes.tolist()}."
        )
    if len(y) and isinstance(classes[0], str) != isinstance(y[0], str):
        raise ValueError(
            f"classes and y must be labels of one kind; got {classes[0]!r} in classes "
            f"and {y[0]!r} in y."
        )
    return classes


def block_slices(n, size, n_values=2**21):
    """Slices of range(n), each of things that hold `size` values, so that few are."""
    step = max(1, n_values // max(size, 1))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def unit_blocks(A):
    """Some units at a time: their slice, and a float64 copy of their responses."""
    for units in block_slices(A.shape[1], len(A)):
        yield units, A[:, units].astype(np.float64)


def correlations(A):
    """Pearson correlation of the columns of A; nan for constant columns."""
    return pearson(*normalized(A)[:2])


def pearson(normalized, constant):
    """Correlations of what `normalized` gives."""
    r = normalized.T @ normalized
    np.clip(r, -1, 1, out=r)
    r[constant] = np.nan
    r[:, constant] = np.nan
    return r


def normalized(A):
    """Columns centred and of norm 1; which are constant (0); the norms they had.

    The norms are relative: a factor that all share keeps squares in range.
    """
    found = np.empty(A.shape)
    constant = np.empty(A.shape[1], dtype=bool)
    norm, scale = np.zeros((2, A.shape[1]))
    for units, block in unit_blocks(A):
        constant[units] = block.min(axis=0) == block.max(axis=0)
        scale[units] = np.abs(block).max(axis=0)
        block /= np.where(scale[units] > 0, scale[units], 1)
        block -= block.mean(axis=0)
        norm[units] = np.sqrt(np.square(block).sum(axis=0))
        block /= np.where(constant[units], 1, norm[units])
        found[:, units] = block
    norm = np.where(constant, 0, norm * (scale / (scale.max(initial=0) or 1)))
    return found, constant, norm
