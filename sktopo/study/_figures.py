"""The figures of the report (private; they need the extra `plot`)."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import numpy as np

from sktopo.plotting import (
    CorrelationHistogramDisplay,
    ExpertMapDisplay,
    GridMapDisplay,
    LambdaCurveDisplay,
)
from sktopo.plotting.maps import best_class
from sktopo.plotting.style import bare, drawing, pyplot
from sktopo.study._blocks import n_equals
from sktopo.study._panels import taken_at
from sktopo.study.statistics import mean_interval

# Inches: at these sizes text is about that of the page, on a phone, too.
SMALL, WIDE = (4, 3), (5, 3.2)


def as_image(figure, dpi=170):
    """A figure as the address of an image that holds itself; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    pyplot().close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@lru_cache(maxsize=256)
def swatch(color, marker, linestyle):
    """A piece of a condition's line, for the key of the figures."""
    figure, ax = pyplot().subplots(figsize=(0.42, 0.17))
    ax.set_position([0, 0, 1, 1])
    ax.axis("off")
    ax.plot([0, 2], [0, 0], color=color, linestyle=linestyle, lw=1.5)
    ax.plot(1, 0, color=color, marker=marker, markersize=5)
    ax.set(xlim=(0, 2), ylim=(-1, 1))
    return as_image(figure, dpi=200)


def _style(looks, name, **more):
    return {"markersize": 4, **looks[name], "label": name, **more}


def curve(panel, rows, conditions):
    """A measure against lam, and what is told of it below.

    Parameters
    ----------
    panel : Panel
        The measure.
    rows : DataFrame
        Its values.
    conditions : sequence of str
        All conditions of the study.

    Returns
    -------
    figure : Figure
        The figure, without a legend.
    caption : str
        How many seeds, and whether intervals are cut.
    """
    display = LambdaCurveDisplay(
        rows, panel.title, conditions=conditions, bounds=panel.bounds
    )
    with drawing(None, SMALL) as ax:
        display.plot(ax)
        ax.get_legend().remove()
        ax.set_title("")
    found, (least, largest) = display.summary_, panel.bounds
    caption = n_equals(found["n"])
    cut = [f"{least:g}"] * bool((found["low"] < least).any())
    cut += [f"{largest:g}"] * bool((found["high"] > largest).any())
    if cut:
        caption += (
            f"; intervals are drawn no further than {' and '.join(cut)}, the measure's "
            f"own bound{'s' * (len(cut) > 1)}"
        )
    return ax.figure, caption


def noise_curves(panel, rows, looks):
    """Accuracy change against sigma: mean over seeds and lam, and range over lam."""
    rows = rows.assign(sigma=taken_at(rows, "sigma")).dropna(subset="sigma")
    sigmas = sorted(rows["sigma"].unique())
    with drawing(None, WIDE) as ax:
        for name, part in rows.groupby("condition", sort=False):
            means = part.groupby(["lam", "sigma"])["value"].mean().unstack("lam")
            middle, low, high = means.mean(axis=1), means.min(axis=1), means.max(axis=1)
            _line_and_band(ax, means.index, middle, low, high, _style(looks, name))
        ax.set_xscale("log")
        ax.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
        ax.minorticks_off()
        ax.set_xlabel(f"weight noise, {panel.taken_at}")
        ax.set_ylabel("accuracy change")
        bare(ax)
    return ax.figure


def distance_curves(panel, rows, looks):
    """Correlation of unit pairs against their distance, with intervals over seeds.

    Rows are of one lam for each condition.
    """
    rows = rows.assign(distance=taken_at(rows, "distance"))
    with drawing(None, WIDE) as ax:
        for name, part in rows.groupby("condition", sort=False):
            wide = part.pivot(index="distance", columns="seed", values="value")
            found = mean_interval(wide.to_numpy(dtype=float))
            low, high = found["low"].clip(*panel.bounds), found["high"]
            high = high.clip(*panel.bounds)
            style = _style(looks, name, markersize=3)
            _line_and_band(ax, wide.index, found["mean"], low, high, style)
        ax.axhline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_ylim(-1, 1)
        ax.set_xlabel("distance on the grid")
        ax.set_ylabel("mean correlation of unit pairs")
        bare(ax)
    return ax.figure


def _line_and_band(ax, x, middle, low, high, style):
    ax.plot(x, middle, **style)
    ax.fill_between(x, low, high, color=style["color"], alpha=0.12, lw=0)


def scatter(x, y, points, looks):
    """A point a model; `points` has a column for each of two panels' titles."""
    with drawing(None, SMALL) as ax:
        for name, part in points.groupby("condition", sort=False):
            style = _style(looks, name, linestyle="none")
            ax.plot(part[x.title], part[y.title], **style)
        ax.set_xlabel(x.title)
        ax.set_ylabel(y.title)
        bare(ax)
    return ax.figure


def histograms(correlations, looks):
    """Correlations of all pairs of units; `correlations` by condition."""
    with drawing(None, WIDE) as ax:
        for name, values in correlations.items():
            style = {k: looks[name][k] for k in ("color", "linestyle")}
            CorrelationHistogramDisplay(values, name).plot(ax, **style)
        ax.get_legend().remove()
        ax.set_title("")
        ax.set_ylabel("share of the pairs of a model")
    return ax.figure


def maps(activations, shape, titles):
    """Responses to a few images, two beside each other."""
    n_maps = len(activations)
    display = GridMapDisplay(activations.reshape(n_maps, *shape), titles)
    n_columns = min(n_maps, 2)
    n_rows = -(-n_maps // n_columns)
    height = 1.6 * float(np.clip(shape[0] / shape[1], 0.4, 2.5)) + 0.3
    size = (1.6 * n_columns + 1.1, height * n_rows)
    with drawing(None, size, (n_rows, n_columns)) as axes:
        for spare in axes.ravel()[n_maps:]:
            spare.remove()
        display.plot(axes.ravel()[:n_maps])
    return display.figure_


def experts(responses, shape, classes):
    """Which class each unit is an expert of, and how many are.

    Parameters
    ----------
    responses : dict
        "experts" and "average_precision", of shape (n_units, n_classes).
    shape : tuple of (int, int)
        Rows and columns.
    classes : ndarray of shape (n_classes,)
        Class labels.

    Returns
    -------
    figure : Figure
        The figure, without a legend.
    caption : str
        How many units are experts, and of how many classes.
    """
    precision = responses["average_precision"]
    best = best_class(responses["experts"].astype(bool), precision)
    absent = np.flatnonzero(np.isnan(precision).all(axis=0))
    display = ExpertMapDisplay(best, shape, classes, absent=absent)
    with drawing(None, SMALL) as ax:
        display.plot(ax)
        ax.get_legend().remove()
        ax.set_title("")
        _name_units(ax, best.reshape(shape), [str(label) for label in classes])
    there = best >= 0
    n_classes = len(np.unique(best[there]))
    caption = f"{there.sum()} of {len(best)} units, of {n_classes} classes"
    return ax.figure, caption


def _name_units(ax, best, names):
    """Classes by their names, too, where there is room for them."""
    longest = max(len(name) for name in names)
    if longest * best.shape[1] > 40:
        return
    for row, column in np.argwhere(best >= 0):
        name = names[best[row, column]]
        text = ax.text(column, row, name, ha="center", va="center", parse_math=False)
        text.set(fontsize=8, color="white", usetex=False)
        text.set_path_effects(_outline())


def _outline():
    """Letters that are read on any colour."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="0.1")]
