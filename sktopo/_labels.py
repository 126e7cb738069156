"""Labels as users bring them: plain arrays of one kind, and how they meet classes."""

from __future__ import annotations

import math
import re
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sktopo._images import as_array_like


def check_targets(y):
    """Raise a ValueError unless these can be labels; floats beyond integers cannot."""
    with np.errstate(invalid="ignore"):  # of the largest floats, which are refused
        check_classification_targets(y)


def as_labels(y, warn=False):
    """Labels as an array of one axis and one kind, none of them missing.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels: an array, a tensor, a list, or a column of any frame.
    warn : bool
        Whether to warn of a column vector.

    Returns
    -------
    ndarray of shape (n,)
        Strings stay strings, of NumPy's own kind or objects; numbers that came as
        objects are numbers again.

    Raises
    ------
    ValueError
        If there is more than one axis, if labels are masked or missing, or if strings
        and others are mixed.
    """
    y = np.asarray(column_or_1d(as_array_like(y, "y"), warn=warn))
    if y.dtype.kind not in "OT":
        return y
    values = y.astype(object)
    try:
        n_missing = int(pd.isna(values).sum())
    except ArithmeticError as error:  # of numbers that refuse to be compared
        raise ValueError(f"y holds what is no label ({error!r}).") from error
    if n_missing:
        raise ValueError(
            f"y holds {n_missing} missing labels (None, nan or NA) of {len(y)}. Leave "
            f"these images out, or give them labels."
        )
    if y.dtype.kind == "T":  # which scikit-learn does not know
        return np.asarray(values.tolist(), dtype=str)
    if len(y) and all(isinstance(value, Real | np.bool_) for value in values):
        return np.asarray(values.tolist())
    types = sorted({type(value).__name__ for value in values})
    if len(types) > 1 and not all(isinstance(value, str) for value in values):
        raise ValueError(
            f"y mixes labels of the types {', '.join(types)}; give labels of one type."
        )
    return y


def _kind(labels):
    if labels.dtype.kind in "biuf":
        return "numbers"
    if labels.dtype.kind == "U" or isinstance(labels.flat[0], str):
        return "strings"
    return labels.dtype.type.__name__


def check_label_types(labels, classes):
    """Raise a ValueError if labels are of another type than the classes.

    Strings never equal numbers, so that such labels would all count as wrong. Numbers
    of any type are compared by value, as scikit-learn does: True is 1 and 1.0.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Labels.
    classes : array-like of shape (n_classes,)
        The classes that a model knows.
    """
    labels, classes = as_labels(labels), as_labels(classes)
    if not len(labels):
        return
    found, known = _kind(labels), _kind(classes)
    if found != known:
        label, known_class = labels.tolist()[0], classes.tolist()[0]
        raise ValueError(
            f"The labels y are {found}, such as {label!r}, but the classes that the "
            f"model knows are {known}, such as {known_class!r}. Give labels of the "
            f"type that the model was trained with."
        )
    check_targets(labels)


# ------------------------------------------------------------------ as JSON

# What an array of labels can be made of, beside strings.
_NUMBERS = re.compile(r"[<>|]?([biuf][1248])")


def encode_labels(classes):
    """Class labels as JSON can hold them.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels, sorted, each once.

    Returns
    -------
    dict
        dtype and values.

    Raises
    ------
    TypeError
        If they are neither strings, integers, booleans nor floats up to float64.
    """
    values = classes.tolist()
    if classes.dtype.kind == "U":
        return {"dtype": "str", "values": values}
    if classes.dtype == object and all(_is_plain(v) for v in values):
        return {"dtype": "object", "values": values}
    if _NUMBERS.fullmatch(classes.dtype.str):
        return {"dtype": classes.dtype.str, "values": values}
    raise TypeError(
        f"Classes of dtype {classes.dtype} cannot be saved; train on labels that are "
        f"strings, integers, booleans or floats up to float64."
    )


def decode_labels(encoded):
    """Read what `encode_labels` made.

    Parameters
    ----------
    encoded : dict
        dtype and values, as a file has them.

    Returns
    -------
    ndarray of shape (n_classes,)
        The labels.

    Raises
    ------
    ValueError, TypeError, LookupError or ArithmeticError
        If they are no two or more different labels, sorted.
    """
    dtype, values = encoded["dtype"], encoded["values"]
    if not isinstance(dtype, str):
        raise TypeError(f"{dtype!r} is no text")
    kind = dtype.lstrip("<>|")[:1]
    types = {"b": bool, "i": int, "u": int, "f": (int, float)}
    if dtype == "str":
        if not all(isinstance(value, str) for value in values):
            raise TypeError("a class that is no text")
        longest = max(map(len, values), default=0)
        if longest * len(values) > 2**26:  # an array of strings is as wide as this
            raise ValueError(f"{len(values)} classes of up to {longest} letters")
        values = np.asarray(values, dtype=str)
    elif dtype == "object" and all(_is_plain(v) for v in values):
        values = np.asarray([*values, None], dtype=object)[:-1]
    elif _NUMBERS.fullmatch(dtype):
        for value in values:
            boolean = isinstance(value, bool)
            if not isinstance(value, types[kind]) or boolean != (kind == "b"):
                raise TypeError(f"class {value!r} of dtype {dtype}")
        values = np.asarray(values, dtype=np.dtype(dtype))
    else:
        raise ValueError(f"classes of dtype {dtype!r}")
    if len(values) < 2 or not np.array_equal(np.unique(values), values):
        raise ValueError("classes must be two or more, sorted, each once")
    return values


def _is_plain(value):
    return type(value) in (bool, int, str) or (
        type(value) is float and math.isfinite(value)
    )
