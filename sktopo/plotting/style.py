"""Figures of the right size, and how each condition looks in all of them."""

from __future__ import annotations

import contextlib

import numpy as np

# Okabe & Ito's colours, told apart by all common kinds of colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
# Tol's twelve colours, for more classes than that.
MANY_COLORS = (
    "#332288", "#6699CC", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#661100", "#CC6677", "#AA4466", "#882255", "#AA4499",
)  # fmt: skip
CONTROL = "0.35"
# Those of conditions: what is too light for a thin line on white is left out, and
# colours that look alike stand far apart.
LINE_COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288",
    "#882255", "#999933", "#661100", "#117733", "#AA4499", "#44AA99", "#CC6677",
    "#6699CC", "#AA4466",
)  # fmt: skip
# As many as have no divisor in common: 36 pairs before one comes again.
MARKERS = "sD^vPX*<>"
LINES = ("-", "--", "-.", ":")


def pyplot():
    """Import matplotlib.pyplot.

    Returns
    -------
    module
        ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        Without matplotlib, naming the extra that brings it.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "The displays of sktopo.plotting need matplotlib: "
            "pip install 'sktopo[plot]'."
        ) from error
    return plt


@contextlib.contextmanager
def drawing(ax=None, figsize=(3.5, 2.9), shape=None):
    """Give the axes to draw on: those of the user, or those of a new figure.

    A new figure is made as large as its labels and legends ask, and closed if the
    drawing fails.

    Parameters
    ----------
    ax : Axes or sequence of Axes, default=None
        Those of the user, whose figure is left as it is.
    figsize : tuple of (float, float), default=(3.5, 2.9)
        Least size of a new figure in inches; the default is of column width.
    shape : tuple of (int, int), default=None
        Rows and columns of axes of a new figure. None: one Axes, not an array.

    Yields
    ------
    Axes or ndarray of Axes
        Where to draw.
    """
    if ax is not None:
        yield ax
        return
    plt = pyplot()
    figure, axes = plt.subplots(
        *(shape or (1, 1)),
        figsize=figsize,
        layout="constrained",
        squeeze=shape is None,
    )
    try:
        yield axes
        _make_room(figure)
    except BaseException:
        plt.close(figure)
        raise


def _make_room(figure):
    """Enlarge a figure until no label or legend takes from what is drawn."""
    found = figure.get_tightbbox()  # in inches
    needed = np.array([found.width, found.height])
    for ax in figure.axes:
        if ax.get_legend() is not None:
            needed[0] += ax.get_legend().get_window_extent().width / figure.dpi
    figure.set_size_inches(np.maximum(figure.get_size_inches(), needed + 0.2))
    if not any(ax.images for ax in figure.axes):
        return
    # layouts misjudge the margins of images, whose sides are in proportion
    for _ in range(6):
        figure.draw_without_rendering()
        found, size = figure.get_tightbbox(), figure.get_size_inches()
        lacking = np.maximum([-found.x0, -found.y0], found.max - size)
        if (lacking <= 0).all():
            return
        figure.set_size_inches(size + 2 * np.maximum(lacking, 0) + 0.02)


def bare(ax):
    """Leave the left and the lower spine only.

    Parameters
    ----------
    ax : Axes
        The axes.
    """
    ax.spines[["top", "right"]].set_visible(False)


def palette(n):
    """Colours of areas, such as the classes of a map.

    Parameters
    ----------
    n : int
        How many.

    Returns
    -------
    list of str
        No two alike and none grey.
    """
    if len(COLORS) < n <= len(MANY_COLORS):
        return list(MANY_COLORS[:n])
    return [_color(i, COLORS + MANY_COLORS) for i in range(n)]


def _color(i, known):
    """The i-th of a sequence of colours without end that starts with `known`."""
    if i < len(known):
        return known[i]
    # the golden ratio never comes back to a hue it had
    red, green, blue = hue_circle(np.array([(i * (5**0.5 - 1) / 2) % 1]))[0]
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def styles(names, control="control"):
    """Decide the colour, the marker and the line of each condition, here alone.

    Parameters
    ----------
    names : sequence of str
        All conditions of the study, in its order, also where only some are drawn.
    control : str, default="control"
        The condition that is grey.

    Returns
    -------
    dict of str to dict
        Properties color, marker and linestyle. No two colours are alike, and markers
        and lines tell conditions apart where there is no colour.
    """
    others = [name for name in dict.fromkeys(names) if name != control]
    found = {control: {"color": CONTROL, "marker": "o", "linestyle": "-"}}
    for i, name in enumerate(others):
        found[name] = {
            "color": _color(i, LINE_COLORS),
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": LINES[i % len(LINES)],
        }
    return found


def another(look, i):
    """Give the look of the i-th curve of one condition.

    Parameters
    ----------
    look : dict
        Properties color, marker and linestyle, from `styles`.
    i : int
        Which curve; 0 looks as the condition does.

    Returns
    -------
    dict
        The same colour, with the marker and the line that come i places later.
    """
    found = dict(look)
    for name, known in (("marker", f"o{MARKERS}"), ("linestyle", LINES)):
        found[name] = known[(known.index(look[name]) + i) % len(known)]
    return found


def hue_circle(angle):
    """Colours of equal lightness and chroma (CIELAB) around a circle, as sRGB.

    Parameters
    ----------
    angle : ndarray of shape (n,)
        In [0, 1), once around.

    Returns
    -------
    ndarray of shape (n, 3)
        Colours in sRGB, 0 to 1; those of 0 and 1 meet.
    """
    lightness, chroma = 68.0, 38.0
    hue = 2 * np.pi * np.asarray(angle, dtype=float)
    y = (lightness + 16) / 116
    f = np.stack(
        [y + chroma * np.cos(hue) / 500, y + 0 * hue, y - chroma * np.sin(hue) / 200],
        -1,
    )
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    xyz = xyz * [0.95047, 1.0, 1.08883]
    to_rgb = np.array(
        [
            [3.2406, -1.5372, -0.4986],
            [-0.9689, 1.8758, 0.0415],
            [0.0557, -0.2040, 1.0570],
        ]
    )
    linear = np.clip(xyz @ to_rgb.T, 0, 1)
    low = 12.92 * linear
    return np.where(linear <= 0.0031308, low, 1.055 * linear ** (1 / 2.4) - 0.055)
