"""What all displays share: axes and colours (private)."""

from __future__ import annotations

import numpy as np

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


def new_axes(ax, figsize=(3.5, 2.9)):
    """The given axes, or those of a new figure of column width."""
    if ax is not None:
        return ax
    _, ax = pyplot().subplots(figsize=figsize, layout="constrained")
    return ax


def bare(ax):
    """Leave the left and the lower spine only."""
    ax.spines[["top", "right"]].set_visible(False)


def as_picture(ax):
    """No ticks: rows and columns of a grid carry no unit."""
    ax.set_xticks([])
    ax.set_yticks([])


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


def legend(ax, name, loc="best"):
    """A legend if there is a name to show."""
    if name is not None:
        ax.legend(frameon=False, fontsize=8, loc=loc)
