"""One measure of a table, and what figures call it (private)."""

from __future__ import annotations

from sktopo._measures.registry import GROUPS
from sktopo._measures.results import parameter_in_words, select_one
from sktopo.networks import GRID


def select_labelled(table, measure, **conditions):
    """Find the rows of one measure, and their label.

    Parameters
    ----------
    table : DataFrame
        The table of a study.
    measure : str
        Name of the measure.
    **conditions : number or str
        As for `select_one`. A layer is the grid unless it is given.

    Returns
    -------
    rows : DataFrame
        The rows.
    label : str
        The measure in words; in a second line what it was taken at.
    """
    if "layer" in table:
        conditions.setdefault("layer", GRID)
    rows = select_one(table, measure, **conditions)
    group, measure, parameter = rows[["group", "measure", "parameter"]].iloc[0]
    label = measure.replace("_", " ") if group in GROUPS else measure
    taken_at = [parameter_in_words(parameter)] * bool(parameter)
    layer = conditions.get("layer", GRID)
    taken_at += [f"layer {layer}"] * (layer != GRID)
    return rows, label + f"\n({', '.join(taken_at)})" * bool(taken_at)
