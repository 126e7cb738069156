"""Numbers and names as users give them: one or many, in any form (private)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from numbers import Integral, Real

import numpy as np

from sktopo._arrays import as_array_like


def as_float(value, name: str) -> float | None:
    """A real number, array or tensor of one value as a float; None for all else."""
    if not isinstance(value, Real):
        value = as_array_like(value, name)
        if value.ndim or value.dtype.kind not in "biuf":
            return None
    try:
        return float(value) + 0.0  # no negative zero
    except OverflowError:  # integers and fractions beyond float64
        return math.inf


def as_number(value, name: str) -> float | None:
    """As `as_float`, but the decimal that is meant.

    0.1 + 0.2 and float32's 0.3 are 0.3; 1 / 3 stays as it is.
    """
    if hasattr(value, "dtype"):
        value = np.asarray(as_array_like(value, name))[()]
        if isinstance(value, (np.float16, np.float32)):
            value = float(str(value))
    number = as_float(value, name)
    if number is None:
        return None
    meant = float(f"{number:.12g}")
    return meant if abs(meant - number) <= 4 * math.ulp(number) else number


def elements(values, name: str) -> list:
    """What one value, sequence, set, generator, array or tensor holds."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        return [values]
    if hasattr(values, "__array__"):
        values = np.atleast_1d(np.asarray(as_array_like(values, name)))
    return list(values)


def as_numbers(
    name: str, values, least: float, most: float, wanted: str
) -> tuple[float, ...]:
    """Numbers from `least` to `most`, each once; those of a set in ascending order.

    Raises a ValueError that says what is `wanted`. Two numbers that agree in twelve
    digits are one.
    """
    given = elements(values, name)
    numbers = [as_number(value, name) for value in given]
    if not numbers or not all(n is not None and least <= n <= most for n in numbers):
        shown = [v if n is None else n for v, n in zip(given, numbers)]
        raise ValueError(
            f"{name} must be one number or more, {wanted}; got {shown or 'none'}."
        )
    if isinstance(values, (set, frozenset)):
        numbers.sort()
    unique = {}
    for number in numbers:
        unique.setdefault(f"{number:.12g}", number)
    return tuple(unique.values())


def as_names(name: str, values, known: Collection[str]) -> tuple[str, ...]:
    """Names that are all `known`, each once; those of a set in alphabetical order."""
    given = elements(values, name)
    unknown = [v for v in given if not isinstance(v, str) or v not in known]
    if unknown or not given:
        raise ValueError(
            f"{name} must be among {sorted(known)}; got {unknown or 'none'}."
        )
    unique = dict.fromkeys(str(value) for value in given)
    return tuple(sorted(unique) if isinstance(values, (set, frozenset)) else unique)


def check_name(name: str, value, known: Collection[str]) -> None:
    """Raise a ValueError unless `value` is one of the `known` names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {sorted(known)}; got {value!r}.")


def check_whole(name: str, value, least: int) -> None:
    """Raise a ValueError unless `value` is an integer of at least `least`."""
    whole = isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))
    if not whole or value < least:
        raise ValueError(
            f"{name} must be an integer of {least} or more; got {value!r}."
        )
