"""What the report shows: lists of panels, each a measure in words (private)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sktopo._measures.results import (
    parameter_in_words,
    read_parameter,
    select_results,
)

ANY = (-np.inf, np.inf)
SHARE, CHANGE, AT_LEAST_0 = (0, 1), (-1, 1), (0, np.inf)
# More panels of own measures than these are left to the data.
MOST_OWN = 40


@dataclass(frozen=True)
class Panel:
    """A measure that is drawn, and in which words.

    Parameters
    ----------
    title : str
        The measure in words.
    measure : str
        Its name in the results.
    conditions : mapping
        What its rows have, as for `sktopo.select_results`.
    bounds : tuple of (float, float)
        The least and the largest that it can be.
    taken_at : str
        What it was taken at, in words, where the title does not say it.
    """

    title: str
    measure: str
    conditions: Mapping = field(default_factory=dict)
    bounds: tuple[float, float] = ANY
    taken_at: str = ""

    @property
    def whole_title(self):
        return f"{self.title}, {self.taken_at}" if self.taken_at else self.title


def _of(group, **conditions):
    return {"group": group, **conditions}


WEIGHTS = _of("robustness", noise="weight", layers="head")
IMAGES = _of("robustness", noise="image")
MEAN_WEIGHTS = {**WEIGHTS, "scale": "std", "mean_up_to": 1.0}
MEAN_IMAGES = {**IMAGES, "mean_up_to": 0.2}
OVER_WEIGHTS = "mean over sigma .05 to 1 in standard deviations of the layer"
OVER_IMAGES = "mean over three kinds of noise, levels .01 to .2"

ACCURACY = Panel("Accuracy", "accuracy", _of("performance"), SHARE)
MORANS_I = Panel(
    "Moran's I of the maps",
    "morans_i",
    _of("smoothness", neighborhood="moore"),
    taken_at="Moore neighbourhood",
)
# Drawn against lam, and compared with the control.
CURVES = (
    ACCURACY,
    MORANS_I,
    Panel(
        "Correlation of neighbouring units",
        "correlation",
        _of("smoothness", distance=1),
        CHANGE,
        "grid distance 1 to 2",
    ),
    Panel("Dip of pair correlations", "dip", _of("smoothness"), (0, 0.25)),
    Panel(
        "Distance of correlated units / chance",
        "distance_ratio",
        _of("localization", threshold=0.5),
        AT_LEAST_0,
        "pairs with r ≥ .5",
    ),
    Panel("Expert units", "n_experts", _of("selectivity"), AT_LEAST_0, "number"),
    Panel(
        "Distance of experts / chance",
        "experts_distance_ratio",
        _of("selectivity"),
        AT_LEAST_0,
        "experts of one class",
    ),
    Panel(
        "Accuracy change under weight noise",
        "accuracy_change",
        MEAN_WEIGHTS,
        CHANGE,
        OVER_WEIGHTS,
    ),
    Panel(
        "Accuracy change under image noise",
        "accuracy_change",
        MEAN_IMAGES,
        CHANGE,
        OVER_IMAGES,
    ),
    Panel(
        "Accuracy with units silenced",
        "accuracy_under_pruning",
        _of("robustness", pruning="random"),
        SHARE,
        "in random order, mean over shares of 0 to 1",
    ),
    Panel("Variance of activations", "variance", _of("activity"), AT_LEAST_0),
    Panel("Weight norm", "weight_norm", _of("activity"), AT_LEAST_0, "mean over units"),
    Panel(
        "Participation ratio",
        "participation_ratio",
        _of("dimensionality", of="activations", matrix="covariance"),
        (1, np.inf),
        "of the activations' covariance",
    ),
    Panel(
        "Amplitude of orientation tuning",
        "orientation_amplitude",
        _of("tuning"),
        AT_LEAST_0,
        "in standard deviations of the unit",
    ),
    Panel(
        "Eccentricity of the units",
        "eccentricity_abs_relative",
        _of("tuning"),
        AT_LEAST_0,
        "1 is no preference, less is the centre",
    ),
    Panel(
        "Likeness to the control's geometry",
        "rdm_correlation",
        _of("geometry", to="reference"),
        CHANGE,
        "r of dissimilarity matrices, same seed",
    ),
)
# Drawn against the strength of the noise.
WEIGHT_NOISE = (
    Panel(
        "Accuracy change under weight noise",
        "accuracy_change",
        {**WEIGHTS, "scale": "std"},
        CHANGE,
        "sigma in standard deviations of the layer",
    ),
    Panel(
        "Accuracy change under weight noise",
        "accuracy_change",
        {**WEIGHTS, "scale": "absolute"},
        CHANGE,
        "sigma in units of the weights",
    ),
)
IMAGE_NOISE = Panel("Accuracy change under image noise", "accuracy_change", IMAGES)
BY_DISTANCE = Panel(
    "Correlation against distance", "correlation", _of("smoothness"), CHANGE
)
# Each is drawn against `SMOOTHNESS`, a point a model.
SMOOTHNESS = MORANS_I
TRADE_OFFS = (
    ACCURACY,
    Panel(
        "Accuracy under weight noise",
        "accuracy_under_noise",
        MEAN_WEIGHTS,
        SHARE,
        OVER_WEIGHTS,
    ),
    Panel(
        "Accuracy under image noise",
        "accuracy_under_noise",
        MEAN_IMAGES,
        SHARE,
        OVER_IMAGES,
    ),
)


def own_panels(table):
    """Panels of groups of measures that have none above, by the names that they have.

    Parameters
    ----------
    table : DataFrame
        Results.

    Returns
    -------
    list of Panel
        One for each group, measure and parameter.
    """
    shown = {panel.conditions["group"] for panel in CURVES}
    own = table.loc[~table["group"].isin(shown), ["group", "measure", "parameter"]]
    return [
        Panel(
            measure if measure == group else f"{group}: {measure}",
            measure,
            {"group": group, "parameter": parameter},
            taken_at=parameter_in_words(parameter),
        )
        for group, measure, parameter in own.drop_duplicates().itertuples(index=False)
    ]


def rows_of(table, panel):
    """The rows of a panel, none where there are none; lam is 0 where there is no lam.

    Parameters
    ----------
    table : DataFrame
        Results.
    panel : Panel
        What is asked for.

    Returns
    -------
    DataFrame
        Rows.
    """
    try:
        rows = select_results(table, panel.measure, **panel.conditions)
    except ValueError:
        return table.iloc[:0]
    return rows.assign(lam=rows["lam"].fillna(0))


def of_first_layer(rows):
    """Those of the layer that comes first, where there are several."""
    if "layer" not in rows or rows.empty:
        return rows
    first = rows["layer"].iloc[0]
    return rows[rows["layer"].isna() if first != first else rows["layer"] == first]


def find_panels(table, panels):
    """The panels that have values, and why the others have none.

    Parameters
    ----------
    table : DataFrame
        Results.
    panels : sequence of Panel
        What is to be drawn.

    Returns
    -------
    found : list of tuple of (Panel, DataFrame)
        Each with its rows; a panel for each layer where there are several.
    missing : list of tuple of (str, str)
        Titles, and reasons.
    """
    found, missing = [], []
    for panel in panels:
        rows = rows_of(table, panel)
        known = rows.dropna(subset="value")
        if known.empty:
            reason = "not measured" if rows.empty else "no model has a value"
            missing.append((panel.whole_title, reason))
        elif "layer" in known and known["layer"].nunique() > 1:
            for layer, part in known.groupby("layer", sort=False):
                words = ", ".join(filter(None, [panel.taken_at, f"layer {layer}"]))
                found.append((replace(panel, taken_at=words), part))
        else:
            found.append((panel, known))
    return found, missing


def taken_at(rows, part):
    """A part of what rows were taken at, such as their sigma; nan where there is none.

    Parameters
    ----------
    rows : DataFrame
        Results.
    part : str
        Its name in the column "parameter".

    Returns
    -------
    list
        A value a row.
    """
    return [read_parameter(text).get(part, np.nan) for text in rows["parameter"]]
