"""Rows of a study's results that a person asks for by name (private)."""

from __future__ import annotations

from difflib import get_close_matches


def select_measure(results, measure, parameter=None, group=None):
    """Choose the rows of one measure: of one group and one parameter.

    Parameters
    ----------
    results : DataFrame
        A row a model and measure.
    measure : str
        Name of the measure.
    parameter : str, default=None
        What it was taken at. None: the only one, or the one without a parameter.
    group : str, default=None
        Its group. None: the only one.

    Returns
    -------
    DataFrame
        The rows.

    Raises
    ------
    ValueError
        If there are none, or if they are of several groups or parameters.
    """
    rows = results
    if group is not None:
        rows = _named(rows, "group", group)
    rows = _named(rows, "measure", measure)
    parameters = rows["parameter"].unique().tolist()
    if parameter is None:
        if "" in parameters:
            parameter = ""
        elif len(parameters) > 1:
            raise ValueError(
                f"{measure!r} was taken at several parameters; give one of "
                f"{parameters}."
            )
        else:
            parameter = parameters[0]
    rows = _named(rows, "parameter", parameter, f" of {measure!r}")
    groups = rows["group"].unique().tolist()
    if len(groups) > 1:
        raise ValueError(
            f"{measure!r} is a measure of several groups, which do not mix; give "
            f"group=..., one of {groups}."
        )
    return rows


def _named(rows, column, name, where=""):
    """Rows with a name in a column, or an error with names like it."""
    found = rows[rows[column] == name]
    if len(found):
        return found
    names = rows[column].unique().tolist()
    near = get_close_matches(str(name), names, n=3, cutoff=0.5)
    near += [other for other in names if str(name) in other and other not in near]
    hint = f"did you mean {_list(near[:5])}?" if near else f"there are {_list(names)}."
    raise ValueError(f"No {column} {name!r}{where}; {hint}")


def _list(names):
    return ", ".join(repr(name) for name in names)
