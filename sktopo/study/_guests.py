"""What measures of the user's own give, as rows of the results (private)."""

from __future__ import annotations

from functools import partial
from numbers import Real

import numpy as np
import pandas as pd
import torch

from sktopo._measures.results import COLUMNS


def as_table(found, group, n):
    """What a measure of the user's own gave, as rows of the results.

    Parameters
    ----------
    found : float or DataFrame
        A number, or a table with a column "value" and possibly "measure", "parameter"
        and "n".
    group : str
        Name of the measure.
    n : int
        Number of images, where the table has no n.

    Returns
    -------
    DataFrame
        group, measure, parameter, value, n.

    Raises
    ------
    ValueError
        If it is no such thing, or a row comes twice.
    """
    if not isinstance(found, pd.DataFrame):
        if np.ndim(found) > 0:
            raise _bad_table(group, f"a {type(found).__name__}")
        number = found.item() if isinstance(found, torch.Tensor) else found
        found = pd.DataFrame({"value": [number]}, dtype=object)
    columns = found.columns
    if columns.nlevels > 1 or columns.has_duplicates or "value" not in columns:
        raise _bad_table(group, f"columns {columns.tolist()}")
    if len(found) == 0:
        raise _bad_table(group, "no rows")
    defaults = {"measure": group, "parameter": "", "n": n}
    found = found.assign(**{k: v for k, v in defaults.items() if k not in columns})
    texts, numbers = partial(_as_text, group), partial(_as_number, group)
    table = pd.DataFrame(
        {
            "group": [group] * len(found),
            "measure": [texts("measure", v) for v in found["measure"]],
            "parameter": [texts("parameter", v) for v in found["parameter"]],
            "value": [numbers("value", v) for v in found["value"]],
            "n": [numbers("n", v) for v in found["n"]],
        }
    )
    n = table["n"]
    if not ((n >= 0) & (n < 2**53) & (n == np.floor(n))).all():
        raise _bad_table(group, f"n = {n.tolist()[:5]}")
    twice = table.duplicated(["measure", "parameter"])
    if twice.any():
        rows = table.loc[twice, ["measure", "parameter"]].drop_duplicates()
        raise _bad_table(group, f"rows that come twice: {rows.values.tolist()[:5]}")
    return table[list(COLUMNS)].astype({"n": np.int64})


def _bad_table(group, given):
    return ValueError(
        f"The measure {group!r} must give a number, or a DataFrame with a column "
        f"'value' of numbers, at least one row, and possibly 'measure', 'parameter' "
        f"(text of one line, no row twice) and 'n' (whole numbers); got {given}."
    )


def _as_text(group, name, value):
    missing = value is None or (np.ndim(value) == 0 and pd.isna(value))
    text = str(value)
    readable = text.encode("utf-8", "replace").decode() == text
    if missing or not readable or "\0" in text or len(f"{text}.".splitlines()) > 1:
        raise _bad_table(group, f"{value!r} in {name!r}")
    return text


def _as_number(group, name, value):
    if value is pd.NA:
        return np.nan
    kinds = isinstance(value, Real | np.bool_) or getattr(value, "ndim", None) == 0
    if not kinds or np.iscomplexobj(value) or np.ma.is_masked(value):
        raise _bad_table(group, f"{value!r} in {name!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise _bad_table(group, f"a number beyond float64 in {name!r}") from error
