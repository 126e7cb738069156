"""Plain arrays out of what users bring: tensors, masked arrays, lists (NumPy only)."""

from __future__ import annotations

import numpy as np

# What tensors have and arrays have not; so that torch need not be imported.
_OF_TENSORS = ("detach", "cpu", "resolve_conj", "is_floating_point", "numpy")
_FLOATS_OF_NUMPY = ("float16", "float32", "float64")
_SCALARS = (bool, int, float, complex, str, bytes, np.generic)


def as_plain(values, name="Input"):
    """Tensors and lists as arrays (tensors without a copy); all else as it is.

    Parameters
    ----------
    values : array-like
        Array, frame, tensor, or (nested) list of them. Tensors may have a gradient, lie
        on an accelerator or be in bfloat16.
    name : str, default="Input"
        What the values are, for messages.

    Returns
    -------
    array-like
        An ndarray, or what already had dimensions (a frame, a memmap) itself.

    Raises
    ------
    ValueError
        If a value is masked, or missing in a nullable column, at any depth.
    TypeError
        If a tensor has no plain form, such as a sparse one.
    """
    values = _plain(values, name)
    return values if hasattr(values, "ndim") else np.asarray(values)


def as_array_like(values, name="X"):
    """Torch tensors and lists as arrays (tensors without a copy); all else as it is.

    Masked values and frames that are yet to be computed are refused by `name`.
    """
    if hasattr(values, "collect") and not hasattr(values, "__array__"):
        raise TypeError(
            f"{name} is a lazy frame ({type(values).__name__}), which holds no values "
            f"yet. Compute it first: {name}.collect()."
        )
    return as_plain(values, name)


def _plain(values, name):
    if isinstance(values, _SCALARS):
        return values
    if all(hasattr(values, attribute) for attribute in _OF_TENSORS):
        return _tensor_as_array(values)
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise ValueError(
                f"{name} holds masked values, which cannot be left out. Fill them "
                f"first, by {name}.filled(...)."
            )
        return np.ma.getdata(values)
    if type(values).__name__ == "NAType" or _has_missing(values):
        raise ValueError(
            f"{name} holds masked or missing values (NA), which cannot be left out. "
            f"Fill them first, by {name}.fillna(...)."
        )
    if isinstance(values, (list, tuple)):
        return _list_as_array(values, name)
    if _of_dtype(values, "O"):
        return _of_objects(values, name)
    return values


def _tensor_as_array(tensor):
    try:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        dtype = str(tensor.dtype).rpartition(".")[2]
        if tensor.is_floating_point() and dtype not in _FLOATS_OF_NUMPY:
            tensor = tensor.float()  # bfloat16 and smaller: NumPy has none of them
        return tensor.numpy()
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"A {type(tensor).__name__} does not convert to an array ({error}). Give "
            f"an array or dense tensors of real numbers."
        ) from error


def _has_missing(values):
    """Whether a frame, column or array of a nullable type lacks a value."""
    if not (hasattr(values, "isna") and hasattr(values, "to_numpy")):
        return False
    if hasattr(values, "dtypes") and values.ndim == 2:
        return any(_has_missing(column) for _, column in values.items())
    if isinstance(values.dtype, np.dtype):  # nan is judged where the values are used
        return _of_dtype(values, "O") and _has_missing_object(values)
    return bool(np.asarray(values.isna()).any())


def _of_dtype(values, kind):
    dtype = getattr(values, "dtype", None)
    return hasattr(values, "ndim") and getattr(dtype, "kind", None) == kind


def _has_missing_object(column):
    return any(type(v).__name__ == "NAType" for v in np.asarray(column))


def _list_as_array(values, name):
    return _stacked([_plain(value, name) for value in values])


def _stacked(parts):
    found = np.asarray(parts)
    numbers = any(isinstance(v, (float, np.ndarray)) and not np.ndim(v) for v in parts)
    if found.dtype.kind == "U" and numbers:  # a missing label is no label "nan"
        found = np.empty(len(parts), dtype=object)
        found[:] = parts
    return found


def _of_objects(values, name):
    """An array or column of Python objects, among which there may be tensors."""
    parts = np.asarray(values)
    if all(issubclass(kind, _SCALARS) for kind in set(map(type, parts.flat))):
        return values
    plain = [_plain(value, name) for value in parts.flat]
    if all(new is old for new, old in zip(plain, parts.flat, strict=True)):
        return values
    stacked = _stacked(plain)
    return stacked.reshape(parts.shape + stacked.shape[1:])
