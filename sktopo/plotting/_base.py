"""What all displays share: axes, colours, text and legends (private)."""

from __future__ import annotations

import contextlib
import textwrap

import numpy as np

from sktopo._images import as_array_like

# Okabe & Ito's colours, told apart by all common kinds of colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
# Tol's twelve colours, for more classes than that.
MANY_COLORS = (
    "#332288", "#6699CC", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#661100", "#CC6677", "#AA4466", "#882255", "#AA4499",
)  # fmt: skip
CONTROL = "0.35"
DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"
NEUTRAL = "0.85"
MARKERS = "osD^vPX*"
LINES = ("-", "--", "-.", ":")
# Names longer than this are shortened in their middle.
LONGEST = 60
# Rows of a legend and characters of a title, an inch.
LEGEND_ROWS, TITLE_CHARACTERS = 6, 14
# Starts the label of a curve whose name matplotlib would take for something else.
_PLAIN = "\u200b"
_TEX = "$\\_%#&{}^~"


def pyplot():
    """matplotlib.pyplot, or an ImportError that names the extra."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "The displays of sktopo.plotting need matplotlib: "
            "pip install 'sktopo[plot]'."
        ) from error
    return plt


# ------------------------------------------------------------------ figures and axes


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
    """Leave the left and the lower spine only."""
    ax.spines[["top", "right"]].set_visible(False)


def as_picture(ax):
    """No ticks: rows and columns of a grid carry no unit."""
    ax.set_xticks([])
    ax.set_yticks([])


# ------------------------------------------------------------------ text


def as_text(value, width=None):
    """What a user named, in lines of at most `width` characters that can be drawn."""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\u2026{text[1 - LONGEST // 2 :]}"
    if width is None:
        return text
    lines = [
        part
        for line in text.split("\n")
        for part in (textwrap.wrap(line, width) if len(line) > width else [line])
    ]
    return "\n".join(lines)


def plain(value):
    """Properties of a matplotlib text that is drawn as it is, not as markup."""
    # only where it matters: what the user sets there later may be markup
    found = {"parse_math": False} if "$" in str(value) else {}
    return {**found, "usetex": False} if set(str(value)) & set(_TEX) else found


def write(text, value, width=None):
    """Let a matplotlib text show what a user named."""
    text.set(text=as_text(value, width), **plain(value))


def entitle(ax, title):
    """Say what is shown, unless the user has set a title."""
    if ax.get_title() not in ("", getattr(ax, "_sktopo_title", "")):
        return
    share = ax.get_position(original=True).width
    inches = share * ax.figure.bbox.width / ax.figure.dpi
    width = max(24, int(TITLE_CHARACTERS * inches))
    lines = [as_text(line, width) for line in title.split("\n")]
    ax.set_title("", fontsize=9)
    ax.title.set(text="\n".join(lines), **plain(title))
    ax._sktopo_title = ax.get_title()


def check_names(names, n, what, of):
    """Names as a list of str, one for each of `n`; None stays None."""
    if names is None:
        return None
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    if len(names) != n:
        raise ValueError(
            f"{what} must hold one name for each of {n} {of}; got {len(names)}: "
            f"{as_text(names)}."
        )
    return names


# ------------------------------------------------------------------ legends


def as_label(name):
    """Label of a curve, such that matplotlib's legends show a name as it is."""
    if name is None:
        return None
    name = str(name)
    if name.startswith("_") or "$" in name:
        return _PLAIN + name.replace("$", r"\$")
    return name


def legend(ax, title=None, handles=None):
    """List what has a name, beside what is drawn, in the room that the axes have."""
    if handles is None:
        handles, labels = ax.get_legend_handles_labels()
    else:
        labels = [handle.get_label() for handle in handles]
    if not handles:
        return
    share = ax.get_position(original=True).height
    rows = LEGEND_ROWS * share * ax.figure.bbox.height / ax.figure.dpi
    rows = max(4, rows - (title is not None))
    size = float(np.clip(8 * rows / len(handles), 6, 8))
    n_columns = -(-len(handles) // int(rows * 8 / size))
    box = ax.legend(
        handles,
        labels,
        title=title,
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        borderaxespad=0,
        frameon=False,
        fontsize=size,
        title_fontsize=size,
        ncols=n_columns,
    )
    for text, label in zip(box.get_texts(), labels):
        if label.startswith(_PLAIN):
            label = label.removeprefix(_PLAIN).replace(r"\$", "$")
        elif "$" in label:  # not drawn by us: matplotlib's own markup
            continue
        write(text, label, 30)
    if ax.get_axes_locator() is None:
        ax.set_axes_locator(_BesideLegend(ax))


class _BesideLegend:
    """Place of axes that leave their legend room, whatever lays out the figure."""

    def __init__(self, ax):
        self.ax = ax

    def __call__(self, ax, renderer):
        box = ax.get_position(original=True)
        if ax.get_legend() is not None:
            width = ax.get_legend().get_window_extent(renderer).width
            share = width / ax.figure.bbox.width + 0.03 * box.width
            box.x1 = max(box.x1 - share, box.x0 + 0.35 * box.width)
        return box

    def get_subplotspec(self):
        """Asked for by matplotlib's tight layout."""
        return self.ax.get_subplotspec()


# ------------------------------------------------------------------ colours and styles


def palette(n):
    """Return `n` colours, no two alike and none grey."""
    if len(COLORS) < n <= len(MANY_COLORS):
        return list(MANY_COLORS[:n])
    return [_color(i) for i in range(n)]


def _color(i):
    """The i-th of a sequence of colours without end."""
    known = COLORS + MANY_COLORS
    if i < len(known):
        return known[i]
    # the golden ratio never comes back to a hue it had
    red, green, blue = hue_circle(np.array([(i * (5**0.5 - 1) / 2) % 1]))[0]
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def styles(names, control="control"):
    """Colour, marker and line of each condition: the one place where that is decided.

    Parameters
    ----------
    names : sequence of str
        All conditions of the study, in its order, also where only some are drawn.
    control : str, default="control"
        The condition that is grey.

    Returns
    -------
    dict of str to dict
        Properties color, marker and linestyle. No two colours are alike; beyond the
        first seven, markers and lines tell colours apart that look alike.
    """
    others = [name for name in dict.fromkeys(names) if name != control]
    found = {control: {"color": CONTROL, "marker": "o", "linestyle": "-"}}
    for i, name in enumerate(others):
        turn = i // len(COLORS)
        found[name] = {
            "color": _color(i),
            "marker": MARKERS[turn % len(MARKERS)],
            "linestyle": LINES[turn % len(LINES)],
        }
    return found


def line_style(defaults, given):
    """Properties of a curve: ours, but for those that the user gave by any alias."""
    pyplot()
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    style = {**defaults, **normalize_kwargs(given, Line2D)}
    return {**style, "label": as_label(style.get("label"))}


def patch_style(defaults, given):
    """Properties of a histogram, as `line_style`."""
    pyplot()
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.patches import Patch

    given = {"color" if name == "c" else name: v for name, v in given.items()}
    style = {**defaults, **normalize_kwargs(given, Patch)}
    return {**style, "label": as_label(style.get("label"))}


def image_style(values, defaults, given):
    """Properties of images that share a colour scale, as `line_style`.

    A norm of the user's takes the place of our limits, and is scaled to all values.
    """
    pyplot()
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.cm import ScalarMappable
    from matplotlib.image import AxesImage

    given = normalize_kwargs(given, AxesImage)
    norm = given.get("norm")
    if norm is None:
        return {**defaults, **given}
    scale = ScalarMappable(norm)
    if isinstance(norm, str):
        scale.set_clim(given.pop("vmin", None), given.pop("vmax", None))
    scale.norm.autoscale_None(np.ma.masked_invalid(values).ravel())
    return {"cmap": defaults["cmap"], **given, "norm": scale.norm}


def numbers(values):
    """Float64 array of what the user gave; masked values are refused."""
    return np.asarray(as_array_like(values), dtype=float)


def symmetric_limit(values):
    """Largest absolute value, at least a little."""
    values = np.abs(values[np.isfinite(values)])
    return float(values.max()) if values.size and values.max() > 0 else 1.0


def hue_circle(angle):
    """Colours of equal lightness and chroma (CIELAB) around a circle, as sRGB.

    Parameters
    ----------
    angle : ndarray of shape (n,)
        In [0, 1), once around.

    Returns
    -------
    ndarray of shape (n, 3)
        sRGB in [0, 1]; 0 and 1 meet.
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
