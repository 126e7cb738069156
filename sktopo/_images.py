"""Images as users bring them: shapes, checks, and batches for torch."""

from __future__ import annotations

import math
import warnings
from numbers import Number

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from sktopo._arrays import as_array_like
from sktopo._sklearn_private import check_sample_weight

CHUNK_BYTES = 2**22
"""How much of a large array is looked at in one go."""


def resolve_image_shape(array_shape, image_shape=None):
    """Channels, height and width of the images in an array of shape `array_shape`.

    Parameters
    ----------
    array_shape : tuple of int
        (n, C, H, W), (n, H, W) or (n, features).
    image_shape : tuple of int or None
        (C, H, W) or (H, W) where it is known.

    Returns
    -------
    tuple of (int, int, int)
        The image shape.

    Raises
    ------
    ValueError
        If the two shapes do not fit, or the images look channels-last.
    """
    given = tuple(array_shape[1:])
    if len(given) > 3 or math.prod(given) == 0:
        raise ValueError(
            f"Images must have shape (n, C, H, W), (n, H, W) or (n, features), each "
            f"with at least one value; got {tuple(array_shape)}."
        )
    if image_shape is not None:
        wanted = as_chw(image_shape)
        if len(given) == 1 and wanted[2] in (1, 3, 4) and wanted[0] > 4:
            warnings.warn(
                f"image_shape={tuple(image_shape)} is read as (channels, height, "
                f"width): {wanted[0]} channels of {wanted[1]} x {wanted[2]} pixels. If "
                f"the rows are channels-last images, move the channels to the front.",
                UserWarning,
                stacklevel=2,
            )
        fits = given == wanted or (len(given) == 2 and (1, *given) == wanted)
        if not fits and (len(given) > 1 or given[0] != math.prod(wanted)):
            raise ValueError(
                f"X of shape {tuple(array_shape)} does not hold images of shape "
                f"{wanted} (channels, height, width)."
                + _channels_last_advice(given, wanted)
            )
        return wanted
    if len(given) == 3:
        if given[2] in (1, 3, 4) and given[0] > 4:
            raise ValueError(
                f"X of shape {tuple(array_shape)} looks channels-last; images must be "
                f"(n, channels, height, width). Use np.moveaxis(X, -1, 1), or "
                f"X.permute(0, 3, 1, 2) for a tensor. If these are channels-first "
                f"images, say so with image_shape={given}."
            )
        return given
    if len(given) == 2:
        return (1, *given)
    return _infer_flat_shape(given[0])


def as_chw(image_shape):
    shape = tuple(image_shape) if np.iterable(image_shape) else ()
    whole = all(isinstance(v, (int, np.integer)) and v > 0 for v in shape)
    if len(shape) not in (2, 3) or not whole:
        raise ValueError(
            f"image_shape must be (channels, height, width) or (height, width), "
            f"positive integers; got {image_shape!r}."
        )
    shape = tuple(int(v) for v in shape)
    return shape if len(shape) == 3 else (1, *shape)


def _channels_last_advice(given, wanted):
    if len(given) == 3 and (given[2], *given[:2]) == wanted:
        return " It looks channels-last: use np.moveaxis(X, -1, 1)."
    return ""


def _infer_flat_shape(n_features):
    side = math.isqrt(n_features)
    if side * side == n_features:
        return (1, side, side)
    side = math.isqrt(n_features // 3)
    if 3 * side * side == n_features:
        return (3, side, side)
    warnings.warn(
        f"{n_features} columns are neither a square image (s*s) nor one of three "
        f"channels (3*s*s): each row is read as an image of 1 x {n_features} pixels. "
        f"If the rows are images, give image_shape=(channels, height, width).",
        UserWarning,
        stacklevel=2,
    )
    return (1, 1, n_features)


def as_images(X, name="X"):
    """What holds images, as `as_array_like` gives it; all else is refused by its kind.

    A ValueError if it holds arrays of several shapes, a TypeError if it is no array at
    all.
    """
    advice = (
        "Give one array, tensor or memmap of images, and labels apart; partial_fit "
        "takes a batch at a time, as a data set or loader gives them."
    )
    try:
        array = as_array_like(X, name)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"{name} must hold images of one shape; what this {type(X).__name__} holds "
            f"has several. {advice}"
        ) from error
    if array.ndim == 0:
        found = f"an object of type {type(X).__name__}"
        raise TypeError(f"{name} must be an array of images; got {found}. {advice}")
    return array


def validate_images(estimator, X, *y, reset, image_shape=None):
    """Check images (and labels) and note their shape, names and number of features.

    Parameters
    ----------
    estimator : estimator
        Gets n_features_in_, feature_names_in_ and image_shape_ if `reset`, and is
        compared with them otherwise.
    X : array-like
        Images in any accepted form; a tensor, array or memmap is not copied.
    *y : ndarray of shape (n,)
        Labels from `sktopo._labels.as_labels`, if they come with the images.
    reset : bool
        Whether the estimator learns the image shape from X.
    image_shape : tuple of int or None
        The image shape where it is known before.

    Returns
    -------
    ndarray, or tuple of (ndarray, ndarray) with labels
        X in the form it came in, and the labels.
    """
    names = {"skip_check_array": True, "ensure_2d": False}
    array = as_images(X)
    validate_data(estimator, _with_names(X), *y, reset=reset, **names)
    X = array
    stacked = X.ndim > 2
    if not reset and stacked:
        _check_same_shape(estimator, X)
    checks = {"ensure_2d": not stacked, "allow_nd": stacked, "estimator": estimator}
    try:
        with np.errstate(invalid="ignore"):  # its sum of large values may be inf - inf
            if y:
                X, labels = check_X_y(X, *y, **checks)
            else:
                X = check_array(X, input_name="X", **checks)
    except (ArithmeticError, RuntimeError) as error:  # of numbers, tensors as objects
        raise ValueError(f"Input holds what is no finite number ({error}).") from error
    if not reset and not stacked and X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    if X.dtype.kind not in "biuf":
        raise ValueError(
            f"Images must be real numbers; got an array of dtype {X.dtype}."
        )
    if reset:
        shape = resolve_image_shape(X.shape, image_shape)
        estimator.image_shape_ = shape
        estimator.n_features_in_ = math.prod(shape)
    return (X, labels) if y else X


def _with_names(X):
    """X, or an empty frame of the names of its columns, for scikit-learn to check.

    Which frames it knows itself differs between its versions.
    """
    names = getattr(X, "column_names", None)  # Arrow
    names = getattr(X, "columns", None) if names is None else names
    return X if names is None else pd.DataFrame(columns=list(names))


def validate_weights(sample_weight, X):
    """Weights of the images in float64, at least 0; ones where none are given."""
    if sample_weight is not None and not isinstance(sample_weight, Number):
        sample_weight = as_array_like(sample_weight, "sample_weight")
    return check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )


def _check_same_shape(estimator, X):
    wanted = estimator.image_shape_
    given = tuple(X.shape[1:])
    if given != wanted and (1, *given) != wanted:
        advice = _channels_last_advice(given, wanted)
        if tuple(X.shape) == wanted:
            advice = " For a single image use X[None]."
        raise ValueError(
            f"X holds images of shape {given}, but {type(estimator).__name__} was "
            f"fitted on images of shape {wanted} (channels, height, width).{advice}"
        )


def as_batch(X, rows, image_shape):
    """Rows of X as a tensor (n, C, H, W) of its own memory, uint8 or float32."""
    batch = X[rows]
    if batch.dtype != np.uint8:
        with np.errstate(over="ignore"):  # values beyond float32 are caught as inf
            batch = batch.astype(np.float32)
    elif isinstance(rows, slice):
        batch = batch.copy()
    return torch.from_numpy(np.ascontiguousarray(batch.reshape(-1, *image_shape)))


def slices(n, size):
    """Slices of at most `size` that cover range(n)."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def image_statistics(X, image_shape):
    """Per-channel mean and standard deviation, and the range, without copying X.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Images in any accepted form.
    image_shape : tuple of (int, int, int)
        Channels, height and width.

    Returns
    -------
    mean, std : ndarray of shape (C,)
        Population standard deviation, 1 where it is zero.
    pixel_range : tuple of (float, float)
        Smallest and largest value.

    Raises
    ------
    ValueError
        If a value does not fit float32.
    """
    chunk = max(1, CHUNK_BYTES // (8 * math.prod(image_shape)))
    total = squares = 0.0
    low, high = math.inf, -math.inf
    shift = None
    for rows in slices(len(X), chunk):
        images = as_batch(X, rows, image_shape).numpy()
        low, high = min(low, float(images.min())), max(high, float(images.max()))
        if not math.isfinite(low) or not math.isfinite(high):
            raise ValueError(
                "Input X contains infinity or a value too large for dtype('float32')."
            )
        images = images.astype(np.float64)
        if shift is None:  # squares about a typical value keep their digits
            shift = images.mean(axis=(0, 2, 3), keepdims=True)
        images -= shift
        total = total + images.sum(axis=(0, 2, 3))
        squares = squares + np.square(images, out=images).sum(axis=(0, 2, 3))
    count = len(X) * image_shape[1] * image_shape[2]
    offset = total / count
    mean = (shift.ravel() + offset).astype(np.float32)
    variance = np.maximum(squares / count - offset**2, 0.0)
    std = np.sqrt(variance).astype(np.float32)
    # A spread under one step of float32 at this magnitude is no spread.
    constant = std <= np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(constant, np.float32(1), std), (low, high)
