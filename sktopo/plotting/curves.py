"""Displays of curves: robustness, eccentricity and measures against lam."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._measures.tuning import eccentricity_of
from sktopo._numbers import check_name
from sktopo._subject import open_subject
from sktopo.plotting._base import (
    as_label,
    called,
    curve_style,
    curve_styles,
    entitle,
    known_conditions,
    legend,
    line_style,
    looks_of,
    seeds_in_words,
    summarise,
    write,
)
from sktopo.plotting.style import CONTROL, bare, drawing
from sktopo.robustness import image_noise_curve, pruning_curve, weight_noise_curve

__all__ = ["EccentricityDisplay", "LambdaCurveDisplay", "RobustnessDisplay"]

_AXES = {
    "sigma": "weight noise, sigma",
    "level": "image noise (share of the value range)",
    "fraction": "share of units silenced",
}
_TITLES = {
    "sigma": "accuracy under weight noise",
    "level": "accuracy under image noise",
    "fraction": "accuracy with units silenced",
}
_CURVES = {
    "weight": weight_noise_curve,
    "image": image_noise_curve,
    "pruning": pruning_curve,
}

# Columns that say which measure a row is of.
_KINDS = {"group", "measure", "parameter"}


class RobustnessDisplay:
    """Accuracy under weight noise, image noise or pruning.

    Parameters
    ----------
    curve : DataFrame
        From `weight_noise_curve`, `image_noise_curve` or `pruning_curve`.
    name : str, default=None
        Label of the model.
    layer : str, default=None
        Name of the layer that was disturbed, for the title. None: it is not named.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    lines_ : dict
        The lines by kind of noise or order of pruning ("" for weight noise).

    Examples
    --------
    >>> import pandas as pd
    >>> from sktopo.plotting import RobustnessDisplay
    >>> curve = pd.DataFrame({"sigma": [0.1, 0.5], "accuracy": [0.9, 0.7]})
    >>> RobustnessDisplay(curve).plot().ax_.get_ylabel()
    'accuracy'
    """

    def __init__(
        self, curve: pd.DataFrame, name: str | None = None, layer: str | None = None
    ):
        self.curve = curve
        self.name = name
        self.layer = layer

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        layer: str | None = None,
        kind: str = "weight",
        settings: dict | None = None,
        random_state: int | None = 0,
        name=None,
        ax=None,
        **kwargs,
    ) -> RobustnessDisplay:
        """Compute a curve of a fitted classifier and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier, a FrozenNetwork, or a Pipeline or search
            that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,)
            Class labels.
        layer : str, default=None
            Name of the layer whose units are silenced, and which stands in weight noise
            for "grid" (and for half of "head", the default: for noise in this layer
            alone give ``settings={"layers": "grid"}``). None: the grid.
        kind : {"weight", "image", "pruning"}, default="weight"
            Which curve.
        settings : dict, default=None
            Arguments of the curve's function, such as ``{"kinds": ["pink"]}``.
        random_state : int or None, default=0
            Seed of the noise or of the order.
        name : str, default=None
            Label of the model.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        RobustnessDisplay
            The display.

        Raises
        ------
        ValueError
            If the kind is unknown.
        """
        check_name("kind", kind, _CURVES)
        compute = _CURVES[kind]
        settings = {"random_state": random_state, **(settings or {})}
        if kind != "image":
            settings = {"layer": layer, **settings}
        curve = compute(estimator, X, y, **settings)
        return cls(curve, name, settings.get("layer")).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> RobustnessDisplay:
        """Draw the curves; a band reaches from the least to the largest repeat.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        RobustnessDisplay
            Itself.

        Raises
        ------
        ValueError
            If the table is no such curve.
        """
        axis = next((name for name in _AXES if name in self.curve), None)
        if axis is None:
            raise ValueError(f"Not a robustness curve: columns {list(self.curve)}.")
        with drawing(ax) as ax:
            parts = dict(self._parts(axis))
            kinds = [str(kind).replace("_", " ") for kind in parts]
            looks = curve_styles(ax, self.name, kwargs, kinds)
            self.lines_ = {
                kind: _draw_robustness(ax, axis, part, style)
                for (kind, part), style in zip(parts.items(), looks)
            }
            clean = self.curve.attrs.get("clean_accuracy")
            if clean is not None:
                ax.axhline(clean, color="0.7", lw=0.8, ls="--", zorder=0)
            ax.set_xlabel(_AXES[axis])
            n_images = self.curve.attrs.get("n_images")
            ax.set_ylabel(f"accuracy (n = {n_images})" if n_images else "accuracy")
            legend(ax)
            told = [f"layer {self.layer}"] * (self.layer is not None)
            told += [f"n = {n_images} images"] * bool(n_images)
            entitle(ax, "\n".join([_TITLES[axis], ", ".join(told)]).strip())
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _parts(self, axis):
        """Rows of the curve by kind of noise or order of pruning."""
        by = {"level": "kind", "fraction": "order"}.get(axis)
        if by is None:
            return [("", self.curve)]
        return list(self.curve.groupby(by, sort=False))


def _draw_robustness(ax, axis, part, style):
    """Draw a curve and, of several repeats, their range."""
    accuracy = part.groupby(axis)["accuracy"].agg(["mean", "min", "max"])
    (line,) = ax.plot(accuracy.index, accuracy["mean"], **style)
    if len(part) > len(accuracy):
        low, high = accuracy["min"], accuracy["max"]
        color = line.get_color()
        ax.fill_between(accuracy.index, low, high, color=color, alpha=0.15, lw=0)
    return line


class EccentricityDisplay:
    """How much probes change units, against their distance from the image's centre.

    Units respond with numbers of very different size; so a unit's change from its
    response to a blank image, in either direction, is divided by the mean of its
    changes over all distances. A unit without preference lies at 1 everywhere.

    Parameters
    ----------
    profile : Bunch
        From `sktopo.metrics.eccentricity_profile`.
    name : str, default=None
        Label of the curve.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    line_ : Line2D
        Mean over units.
    relative_ : ndarray of shape (n_units, n_rings)
        Relative change of each unit in the rings that have probes; nan for units that
        no probe changes.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.plotting import EccentricityDisplay
    >>> r = np.linspace(0, 1, 50)
    >>> display = EccentricityDisplay.from_activations(np.ones((50, 3)), r)
    >>> display.line_.get_ydata().round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, profile, name: str | None = None):
        self.profile = profile
        self.name = name

    @classmethod
    def from_activations(
        cls,
        A: ArrayLike,
        eccentricity: ArrayLike,
        *,
        blank: ArrayLike = 0.0,
        name=None,
        ax=None,
        **kwargs,
    ) -> EccentricityDisplay:
        """Draw the profile of responses of any framework.

        Parameters
        ----------
        A : array-like of shape (n_probes, n_units)
            Responses to `sktopo.stimuli.eccentricity_probes`.
        eccentricity : array-like of shape (n_probes,)
            Distance of each probe from the centre, 1 at the nearer border.
        blank : array-like of shape () or (n_units,), default=0.0
            Response to `sktopo.stimuli.blank`.
        name : str, default=None
            Label of the curve.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        EccentricityDisplay
            The display.
        """
        profile = metrics.eccentricity_profile(A, eccentricity, blank)
        return cls(profile, name).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        layer: str | None = None,
        name=None,
        ax=None,
        **kwargs,
    ) -> EccentricityDisplay:
        """Probe a fitted classifier and draw its profile.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        layer : str, default=None
            Name of the layer whose units are drawn. None: the grid.
        name : str, default=None
            Label of the curve.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        EccentricityDisplay
            The display.
        """
        subject, _ = open_subject(estimator, layer=layer)
        return cls(eccentricity_of(subject), name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> EccentricityDisplay:
        """Draw the mean over units, and the quartiles of the units as a band.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        EccentricityDisplay
            Itself.
        """
        rings = self.profile.n > 0
        radius = self.profile.radius[rings]
        self.relative_ = self._relative()[:, rings]
        values = self.relative_[~np.isnan(self.relative_).any(axis=1)]
        with drawing(ax) as ax:
            style = curve_style(ax, self.name, kwargs)
            mean = values.mean(axis=0) if len(values) else np.full(len(radius), np.nan)
            (self.line_,) = ax.plot(radius, mean, **style)
            if len(values):
                low, high = np.percentile(values, (25, 75), axis=0)
                color = self.line_.get_color()
                ax.fill_between(radius, low, high, color=color, alpha=0.15, lw=0)
            ax.axhline(1, color="0.8", lw=0.8, zorder=0)
            ax.set_xlim(0, 1)
            ax.set_ylim(bottom=0, auto=True)  # for curves to come
            ax.set_xlabel("eccentricity (1: nearer border)")
            ax.set_ylabel("change by a probe / its mean\n(1: no preference)")
            title = f"{len(values)} of {len(self.relative_)} units respond"
            legend(ax)
            entitle(ax, f"units against eccentricity\nmean, quartiles; {title}")
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _relative(self):
        """Size of each unit's change from blank, over its mean in all rings."""
        profile, blank = self.profile.profile, np.asarray(self.profile.blank)
        change = np.abs(profile - blank[:, None])
        size = np.maximum(np.abs(np.nan_to_num(profile)).max(axis=1), np.abs(blank))
        # what rounding leaves of equal responses is no change
        change[change <= 1e-12 * size[:, None]] = 0
        mean = np.nan_to_num(change).sum(axis=1) / (self.profile.n > 0).sum()
        return change / np.where(mean > 0, mean, np.nan)[:, None]


class LambdaCurveDisplay:
    """A measure against lam, for several losses beside a control, with intervals.

    Parameters
    ----------
    table : DataFrame
        A row a model: condition, lam (ignored for the control; 0 or nan: none), seed
        and value.
    label : str, default="value"
        Name of the measure, with its unit.
    control : str, default="control"
        Name of the condition that is drawn as a band.
    conditions : sequence of str, default=None
        All conditions of the study in its order, which decides their colours (but for
        those that were drawn in the figure before): give them where the table may lack
        some. None: those of the table.
    names : sequence of str, default=None
        What the legend calls the conditions, in their order. None: by their names.
    bounds : tuple of (float, float), default=(-inf, inf)
        The least and the largest that the measure can be: intervals are drawn no
        further, and stay whole in `summary_`.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    summary_ : DataFrame
        What is drawn: condition, lam, mean, low and high (Student-t 95 % interval over
        seeds, nan for a single seed) and n.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktopo.plotting import LambdaCurveDisplay
    >>> rows = [("control", 0, 0, 0.1), ("WS", 1, 0, 0.5), ("WS", 3, 0, 0.7)]
    >>> table = pd.DataFrame(rows, columns=["condition", "lam", "seed", "value"])
    >>> LambdaCurveDisplay(table, "Moran's I").plot().summary_["n"].tolist()
    [1, 1, 1]
    """

    def __init__(
        self,
        table: pd.DataFrame,
        label: str = "value",
        control: str = "control",
        *,
        conditions=None,
        names=None,
        bounds: tuple[float, float] = (-np.inf, np.inf),
    ):
        self.table = table
        self.label = label
        self.control = control
        self.conditions = conditions
        self.names = names
        self.bounds = bounds

    def plot(self, ax=None, **kwargs) -> LambdaCurveDisplay:
        """Draw means and intervals over seeds; lam 0 stands left of the others.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `errorbar`.

        Returns
        -------
        LambdaCurveDisplay
            Itself.

        Raises
        ------
        ValueError
            If a column is missing, a model has several values, there is a condition
            beside `conditions`, or there are not as many names as conditions.
        """
        table = self._check_table()
        labels = called(known_conditions(table, self.conditions), self.names)
        self.summary_ = summarise(table)
        drawn = self.summary_.assign(
            **self.summary_[["low", "high"]].clip(*self.bounds)
        )
        is_control = self.summary_["condition"] == self.control
        others = drawn[~is_control & (drawn["n"] > 0)]
        places = _places(others["lam"])
        groups = list(others.groupby("condition", sort=False))
        with drawing(ax) as ax:
            looks = looks_of(ax, labels, self.control)
            for row in drawn[is_control].itertuples():
                _draw_control(ax, row, labels[self.control])
            for i, (name, part) in enumerate(groups):
                style = {**looks[name], "label": labels[name]}
                # side by side, so that intervals of one lam do not hide each other
                place = i - (len(groups) - 1) / 2
                shift = min(1.05, 1.12 ** (2 / max(len(groups) - 1, 1))) ** place
                part = part.sort_values("lam")
                at = part["lam"].map(places) * shift
                _draw_condition(ax, at, part, style, kwargs)
            _set_lams(ax, places)
            write(ax.yaxis.label, self.label, 36)
            legend(ax)
            what = " ".join(str(self.label).split())
            entitle(ax, f"{what} against lam\n{seeds_in_words(self.summary_['n'])}")
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _check_table(self):
        """Rows of the table, one a model; the control's lam is 0."""
        wanted = ["condition", "lam", "seed", "value"]
        if missing := sorted(set(wanted) - set(self.table)):
            raise ValueError(f"The table lacks the columns {missing}.")
        table = self.table.copy()
        table["lam"] = table["lam"].fillna(0)
        table.loc[table["condition"] == self.control, "lam"] = 0
        table["value"] = table["value"].astype(float)
        # a control may be told once for each lam
        table = table.drop_duplicates([*wanted, *_KINDS.intersection(table)])
        models = table[wanted[:3]]
        if models.duplicated().any():
            model = models[models.duplicated()].iloc[0].to_dict()
            several = {
                name: table[name].unique().tolist()
                for name in sorted(_KINDS.intersection(table))
                if table[name].nunique() > 1
            }
            raise ValueError(
                f"A model needs one value; {model} has several. Choose the rows of one "
                f"measure{f' among {several}' if several else ''}."
            )
        return table


def _draw_control(ax, row, label):
    """A line, and a band where there is an interval."""
    ax.axhline(row.mean, color=CONTROL, lw=1.2, label=as_label(label))
    if row.n > 1:
        ax.axhspan(row.low, row.high, color=CONTROL, alpha=0.15, lw=0)


def _draw_condition(ax, at, part, style, kwargs):
    """Means and intervals of one condition, at places on the axis of lam."""
    mean = part["mean"]
    # a mean that rounding put beyond a bound has no reach on that side
    reach = [mean - part["low"], part["high"] - mean]
    reach = np.maximum(np.nan_to_num(reach), 0)
    style = {"markersize": 4, "capsize": 2, **style}
    if "fmt" in kwargs:  # a short form of the others
        style = {k: v for k, v in style.items() if k not in ("marker", "linestyle")}
        if set(str(kwargs["fmt"])) & set("bgrcmykwC") and kwargs["fmt"] != "none":
            del style["color"]
    ax.errorbar(at, mean, reach, **line_style(style, kwargs))


def _places(lams):
    """Where each lam stands on a logarithmic axis: 0, left of the others."""
    lams = sorted(lams.unique())
    above = [lam for lam in lams if lam > 0]
    return {lam: lam if lam > 0 else min(above, default=2) / 2 for lam in lams}


def _set_lams(ax, places):
    """An axis of the weights that were used."""
    if places:
        at = list(places.values())
        ax.set_xscale("log")
        ax.set_xticks(at, [f"{lam:g}" for lam in places])
        ax.minorticks_off()
        ax.set_xlim(at[0] / 1.4, at[-1] * 1.4)
    ax.set_xlabel("strength of the spatial loss, lam")
