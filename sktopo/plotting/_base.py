"""What all displays share: text, legends and what users override (private)."""

from __future__ import annotations

import textwrap

import numpy as np

from sktopo._images import as_array_like, resolve_image_shape
from sktopo.metrics.intervals import half_width
from sktopo.plotting.style import CONTROL, another, pyplot, styles

DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"
NEUTRAL = "0.85"
# Names longer than this are shortened in their middle.
LONGEST = 60
# Rows of a legend and characters of a title, an inch.
LEGEND_ROWS, TITLE_CHARACTERS = 6, 14
# Starts the label of a curve whose name matplotlib would take for something else.
_PLAIN = "\u200b"
_TEX = "$\\_%#&{}^~"


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
    """Say what is shown, unless the user has set a title.

    Of several displays in one axes, the lines are shown that hold for all.
    """
    before, lines = getattr(ax, "_sktopo_title", ("", []))
    if ax.get_title() not in ("", before):
        return
    title = title.split("\n")
    title = [line for line in title if ax.get_title() and line in lines] or title
    share = ax.get_position(original=True).width
    inches = share * ax.figure.bbox.width / ax.figure.dpi
    width = max(24, int(TITLE_CHARACTERS * inches))
    ax.set_title("", fontsize=9)
    text = "\n".join(as_text(line, width) for line in title)
    ax.title.set(text=text, **plain(text))
    ax._sktopo_title = text, title


def as_names(names):
    """Names as a list of str; a str is one name."""
    return [names] if isinstance(names, str) else [str(name) for name in names]


def check_names(names, n, what, of):
    """Names as a list of str, one for each of `n`; None stays None."""
    if names is None:
        return None
    names = as_names(names)
    if len(names) != n:
        raise ValueError(
            f"{what} must hold one name for each of {n} {of}; got {len(names)}: "
            f"{as_text(names)}."
        )
    return names


# ------------------------------------------------------------------ models of seeds


def known_conditions(table, conditions):
    """All conditions in their order: those given, or None, those of a table."""
    found = table["condition"].unique().tolist()
    known = found if conditions is None else list(conditions)
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"conditions lacks {unknown}, which the table holds.")
    return known


def called(conditions, names):
    """What the legend calls each condition."""
    names = check_names(names, len(conditions), "names", "conditions")
    return dict(zip(conditions, conditions if names is None else names))


def summarise(table):
    """Mean and Student-t interval over seeds, of each condition and lam."""
    groups = table.groupby(["condition", "lam"], sort=False)["value"]
    summary = groups.agg(["mean", "std", "count"]).reset_index()
    n = summary["count"]
    half = half_width(summary["std"] / np.sqrt(n), n)
    summary["low"], summary["high"] = summary["mean"] - half, summary["mean"] + half
    return summary.rename(columns={"count": "n"}).drop(columns="std")


def seeds_in_words(counts):
    """What is drawn of a summary, by how many seeds each of its means is of."""
    n = sorted({int(count) for count in counts} - {0})
    if not n:
        return "no model has a value"
    count = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    return f"mean and 95 % interval, n = {count} seeds"


# ------------------------------------------------------------------ looks


def looks_of(ax, names, control="control"):
    """How each condition looks: in one figure, the same wherever it is drawn.

    Those that were drawn before keep their looks; new ones come after them.
    """
    known = vars(ax.figure.canvas.figure).setdefault("_sktopo_looks", {})
    if new := [name for name in names if name not in known]:
        others = [name for name in known if known[name]["color"] != CONTROL]
        known |= styles([*others, *new], control)
    return {name: known[name] for name in names}


def curve_styles(ax, name, given, kinds=("",)):
    """Properties of the curves of one condition, of which there may be several kinds.

    Its curves have one colour, and lines and markers of their own. Without a name, each
    kind of curve has a colour.
    """
    if name is None:
        n_before = vars(ax).get("_sktopo_unnamed", 0)
        ax._sktopo_unnamed = n_before + 1
        # as in other axes: a number is no user's name
        found = looks_of(ax, [(n_before, kind) for kind in kinds]).values()
    else:
        (look,) = looks_of(ax, [name]).values()
        found = [another(look, i) for i in range(len(kinds))]
    for kind, look in zip(kinds, found):
        label = ", ".join(str(v) for v in (name, kind) if v not in (None, ""))
        yield line_style({"markersize": 4, **look, "label": label or None}, given)


def curve_style(ax, name, given):
    """Properties of the curve of one condition."""
    (style,) = curve_styles(ax, name, given)
    return style


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


# ------------------------------------------------------------------ what users override


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
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    # of patches, matplotlib knows no short name of color
    of_color = {k: v for k, v in given.items() if k in ("c", "color")}
    given = {k: v for k, v in given.items() if k not in of_color}
    given |= normalize_kwargs(of_color, Line2D)
    style = {**defaults, **normalize_kwargs(given, Patch)}
    return {**style, "label": as_label(style.get("label"))}


def image_style(values, defaults, given):
    """Properties of images that share a colour scale, as `line_style`.

    A norm of the user's takes the place of our limits, and is scaled to all values.
    Limits belong to it, unless it is the name of a scale.
    """
    pyplot()
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.cm import ScalarMappable
    from matplotlib.image import AxesImage

    given = normalize_kwargs(given, AxesImage)
    norm = given.get("norm")
    if norm is None:
        return {**defaults, **given}
    limits = given.pop("vmin", None), given.pop("vmax", None)
    scale = ScalarMappable(norm)
    if isinstance(norm, str):
        scale.set_clim(*limits)
    elif limits != (None, None):
        raise ValueError(
            f"Give norm, or vmin and vmax: the limits of a norm are its own, as in "
            f"{type(norm).__name__}(vmin=..., vmax=...)."
        )
    scale.norm.autoscale_None(np.ma.masked_invalid(values).ravel())
    return {"cmap": defaults["cmap"], **given, "norm": scale.norm}


def numbers(values):
    """Float64 array of what the user gave; masked values are refused."""
    return np.asarray(as_array_like(values), dtype=float)


def pictures(images, n):
    """Images as matplotlib draws them, from 0 to 1 on one scale; None stays None."""
    if images is None:
        return None
    images = numbers(images)
    shape = resolve_image_shape(images.shape)
    if len(images) != n or shape[0] not in (1, 3):
        raise ValueError(
            f"images must be one for each of {n} maps, of 1 channel (grey) or 3 (RGB); "
            f"got {len(images)} of {shape} (channels, height, width)."
        )
    known = images[np.isfinite(images)]
    low, high = (known.min(), known.max()) if known.size else (0, 1)
    images = np.nan_to_num(images, nan=low, neginf=low, posinf=high) - low
    images = images.reshape(n, *shape) / (high - low or 1)
    return images[:, 0] if shape[0] == 1 else np.moveaxis(images, 1, -1)


def symmetric_limit(values):
    """Largest absolute value, at least a little."""
    values = np.abs(values[np.isfinite(values)])
    return float(values.max()) if values.size and values.max() > 0 else 1.0
