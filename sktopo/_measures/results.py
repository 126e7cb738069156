"""The one schema of results: how rows are made, written, read and found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from sktopo._warn import warn_user

DTYPES = {
    "group": str,
    "measure": str,
    "parameter": str,
    "value": np.float64,
    "n": np.int64,
}
COLUMNS = tuple(DTYPES)


# ------------------------------------------------------------- what it was taken at


def write_parameter(**conditions):
    """What a value was taken at, as the text of the column "parameter".

    Parameters
    ----------
    **conditions : number or str
        Values by name, in the order in which they are to stand.

    Returns
    -------
    str
        ``"key=value, key=value"``, numbers as Python writes them; "" for none.

    Raises
    ------
    ValueError
        If a value holds what keys and values are told apart by.
    """
    return ", ".join(f"{key}={_as_text(key, v)}" for key, v in conditions.items())


def _as_text(key, value):
    value = value.item() if isinstance(value, np.generic) else value
    text = value if isinstance(value, str) else repr(value)
    if ", " in text or "=" in text:
        raise ValueError(
            f"{key}={text!r} cannot be a parameter: it holds ', ' or '=', which keys "
            f"and values are told apart by."
        )
    return text


def read_parameter(text):
    """Read what `write_parameter` wrote.

    Parameters
    ----------
    text : str
        The text of the column "parameter".

    Returns
    -------
    dict
        Values by name, numbers as int or float; empty for "" and for other text.
    """
    pairs = [part.partition("=") for part in text.split(", ")]
    if not all(key and equals for key, equals, _ in pairs):
        return {}
    return {key: _as_value(value) for key, _, value in pairs}


def _as_value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def parameter_in_words(text):
    """A parameter for a label: "noise=image, level=0.1" is "image, level 0.1"."""
    taken_at = read_parameter(text)
    words = [
        value if isinstance(value, str) else f"{key} {value:g}"
        for key, value in taken_at.items()
    ]
    return ", ".join(words).replace("_", " ") or text


# How parameters were written before they were pairs of key and value.
_OLD_PARAMETERS = (
    (r"moore|von_neumann", r"neighborhood=\g<0>"),
    (r"left-right|up-down", r"axis=\g<0>"),
    (r"with the reference", "to=reference"),
    (r"(grid )?(activations|weights), (\w+)", r"of=\2, matrix=\3"),
    (
        r"weight noise, (\w+), (\w+), sigma=1",
        r"noise=weight, layers=\1, scale=\2, sigma=1.0",
    ),
    (
        r"weight noise, (\w+), (\w+), (sigma=.+)",
        r"noise=weight, layers=\1, scale=\2, \3",
    ),
    (
        r"weight noise, (\w+), (\w+), mean",
        r"noise=weight, layers=\1, scale=\2, mean_up_to=1.0",
    ),
    (
        r"weight noise, (\w+), (\w+), mean, sigma<=0.5",
        r"noise=weight, layers=\1, scale=\2, mean_up_to=0.5",
    ),
    (r"image noise, mean", "noise=image, kind=all, mean_up_to=0.2"),
    (r"image noise, (\w+), (level=.+)", r"noise=image, kind=\1, \2"),
    (r"pruning, (\w+), mean", r"pruning=\1, mean_up_to=1.0"),
)


def renamed(measure, parameter):
    """A measure and a parameter as they are called now, with a FutureWarning if not so.

    Parameters
    ----------
    measure, parameter : str
        As somebody wrote them.

    Returns
    -------
    tuple of (str, str)
        As the tables have them.
    """
    for old, new in _OLD_PARAMETERS:
        if not re.fullmatch(old, parameter):
            continue
        now = measure, re.sub(old, new, parameter)
        if measure == "accuracy":
            what = "pruning" if parameter.startswith("pruning") else "noise"
            now = f"accuracy_under_{what}", now[1]
        warn_user(
            f"{measure!r} at {parameter!r} is now {now[0]!r} at {now[1]!r}; the old "
            f"name will be an error.",
            FutureWarning,
        )
        return now
    return measure, parameter


# ---------------------------------------------------------------------- making rows


class Table:
    """Rows of one group of measures.

    Parameters
    ----------
    group : str
        Its name.
    """

    def __init__(self, group):
        self.group = group
        self.rows = []

    def add(self, measure, value, n, **conditions):
        """Add a value that is of `n` images, units or pairs."""
        parameter = write_parameter(**conditions)
        self.rows.append((self.group, measure, parameter, float(value), int(n)))

    def add_mean(self, measure, values, **conditions):
        """Add the mean over what is defined, with its count."""
        values = np.asarray(values, dtype=float).ravel()
        known = values[~np.isnan(values)]
        mean = known.mean() if len(known) else np.nan
        self.add(measure, mean, len(known), **conditions)


def as_frame(rows):
    """All rows in one table, of the same types however many they are."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(DTYPES)


# --------------------------------------------------------------------- finding rows


def select_results(results: pd.DataFrame, measure: str, **conditions) -> pd.DataFrame:
    """Find the rows of one measure, and of what it was taken at.

    Parameters
    ----------
    results : DataFrame
        A table as `sktopo.measure` or a study gives it.
    measure : str
        Name of the measure.
    **conditions : number or str
        What the rows must have: a column by its name (``condition="ws"``, ``lam=1``,
        ``seed=100``, ``group="smoothness"``), or a part of the column "parameter"
        (``neighborhood="moore"``, ``sigma=0.5``). Numbers are equal to 1e-9 relative;
        None means that the rows have no such part.

    Returns
    -------
    DataFrame
        The rows, with their index.

    Raises
    ------
    ValueError
        On a measure or a condition that no row has, with what there is.
    TypeError
        If `results` is no table.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo import measure_activations, select_results
    >>> A = np.random.default_rng(0).normal(size=(50, 12))
    >>> table = measure_activations(A, (3, 4))
    >>> select_results(table, "morans_i", neighborhood="moore")["n"].item()
    50
    """
    if not isinstance(results, pd.DataFrame):
        raise TypeError(
            f"select_results takes a table and the name of a measure, in this order; "
            f"got a {type(results).__name__} and a {type(measure).__name__}."
        )
    rows = _named(results, "measure", measure)
    taken_at = {text: read_parameter(text) for text in rows["parameter"].unique()}
    for key, wanted in conditions.items():
        if key in rows:
            found = rows[key].tolist()
        else:
            found = [taken_at[text].get(key) for text in rows["parameter"]]
        kept = rows[[_is_same(value, wanted) for value in found]]
        if kept.empty:
            there = dict.fromkeys(found)
            if list(there) == [None]:
                raise ValueError(_no_such_part(rows, measure, key))
            raise ValueError(
                f"No row of {measure!r} has {key}={wanted!r}; "
                + there_are(f"{key} is", wanted, list(there))
            )
        rows = kept
    return rows


def select_one(results, measure, **conditions):
    """`select_results` of one group and one parameter, or a ValueError.

    Of several parameters the one that is empty is meant, if there is one.
    """
    rows = select_results(results, measure, **conditions)
    groups = rows["group"].unique().tolist()
    if len(groups) > 1:
        raise ValueError(
            f"{measure!r} is a measure of several groups, which do not mix; give "
            f"group=..., one of {groups}."
        )
    parameters = rows["parameter"].unique().tolist()
    if len(parameters) > 1 and "" not in parameters:
        raise ValueError(
            f"{measure!r} was taken at several parameters; name what tells the one "
            f"that is wanted from the others: {'; '.join(parameters)}."
        )
    wanted = "" if "" in parameters else parameters[0]
    return rows[rows["parameter"] == wanted]


def as_pair(asked):
    """Read a measure as users name it.

    Parameters
    ----------
    asked : object
        A name, or a pair of a name and conditions as `select_results` takes them.

    Returns
    -------
    tuple of (str, mapping) or None
        The pair; None if it is neither.
    """
    pair = (asked, {}) if isinstance(asked, str) else asked
    good = (
        isinstance(pair, Sequence)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], Mapping)
    )
    return tuple(pair) if good else None


def _no_such_part(rows, measure, key):
    parts = dict.fromkeys(
        part for text in rows["parameter"] for part in read_parameter(text)
    )
    columns = [name for name in rows if name not in ("parameter", "value", "n")]
    return (
        f"No row of {measure!r} has a {key!r}: they are told apart by the columns "
        f"{', '.join(columns)}, and by {', '.join(parts) or 'no parameter'}."
    )


def _is_same(value, wanted):
    if isinstance(wanted, str) or isinstance(value, str) or wanted is None:
        return value == wanted
    if value is None:
        return False
    return bool(np.isclose(value, wanted, rtol=1e-9, atol=0))


def _named(rows, column, name):
    """Rows with a name in a column, or an error with names like it."""
    found = rows[rows[column] == name]
    if len(found):
        return found
    names = rows[column].unique().tolist()
    raise ValueError(f"No {column} {name!r}; " + there_are("there are", name, names))


def there_are(start, name, names):
    """Say for an error what there is: names like the one that is not, or all of them.

    Parameters
    ----------
    start : str
        What comes before all names, such as "there are".
    name : object
        What was asked for.
    names : sequence
        What there is.

    Returns
    -------
    str
        The end of a sentence.
    """
    texts = [str(other) for other in names]
    near = get_close_matches(str(name), texts, n=3, cutoff=0.5)
    near += [other for other in texts if str(name) in other and other not in near]
    if near and isinstance(name, str):
        return f"did you mean {', '.join(map(repr, near[:5]))}?"
    return f"{start} {', '.join(map(repr, names))}."
