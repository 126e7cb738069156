"""Displays of curves: robustness, eccentricity and measures against lam."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._evaluation import open_estimator
from sktopo.measure import _eccentricity
from sktopo.plotting._base import COLORS, CONTROL, bare, legend, new_axes
from sktopo.robustness import image_noise_curve, pruning_curve, weight_noise_curve

_AXES = {
    "sigma": "weight noise, sigma",
    "level": "image noise (share of the value range)",
    "fraction": "share of units silenced",
}
_CURVES = {
    "weight": weight_noise_curve,
    "image": image_noise_curve,
    "pruning": pruning_curve,
}


class RobustnessDisplay:
    """Accuracy under weight noise, image noise or pruning.

    Parameters
    ----------
    curve : DataFrame
        From `weight_noise_curve`, `image_noise_curve` or `pruning_curve`.
    name : str, default=None
        Label of the model.

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

    def __init__(self, curve: pd.DataFrame, name: str | None = None):
        self.curve = curve
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
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
            A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,)
            Class labels.
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
        if kind not in _CURVES:
            raise ValueError(f"kind must be one of {sorted(_CURVES)}; got {kind!r}.")
        compute = _CURVES[kind]
        curve = compute(estimator, X, y, random_state=random_state, **(settings or {}))
        return cls(curve, name).plot(ax=ax, **kwargs)

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
        ax = new_axes(ax)
        by = {"level": "kind", "fraction": "order"}.get(axis)
        names = self.curve[by] if by else pd.Series("", index=self.curve.index)
        self.lines_ = {}
        for name, part in self.curve.groupby(names, sort=False):
            accuracy = part.groupby(axis)["accuracy"].agg(["mean", "min", "max"])
            parts = [str(v).replace("_", " ") for v in (self.name, name) if v]
            style = {
                "marker": "o",
                "ms": 4,
                "label": ", ".join(parts) or None,
                **kwargs,
            }
            (line,) = ax.plot(accuracy.index, accuracy["mean"], **style)
            if len(part) > len(accuracy):
                ax.fill_between(
                    accuracy.index,
                    accuracy["min"],
                    accuracy["max"],
                    color=line.get_color(),
                    alpha=0.15,
                    lw=0,
                )
            self.lines_[name] = line
        clean = self.curve.attrs.get("clean_accuracy")
        if clean is not None:
            ax.axhline(clean, color="0.7", lw=0.8, ls="--", zorder=0)
        ax.set_xlabel(_AXES[axis])
        n_images = self.curve.attrs.get("n_images")
        ax.set_ylabel(f"accuracy (n = {n_images})" if n_images else "accuracy")
        if any(line.get_label()[:1] != "_" for line in ax.lines):
            ax.legend(frameon=False, fontsize=8)
        bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class EccentricityDisplay:
    """Response to probes against their distance from the centre of the image.

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
        cls, A: ArrayLike, eccentricity: ArrayLike, *, name=None, ax=None, **kwargs
    ) -> EccentricityDisplay:
        """Draw the profile of responses of any framework.

        Parameters
        ----------
        A : array-like of shape (n_probes, n_units)
            Responses to `sktopo.stimuli.eccentricity_probes`.
        eccentricity : array-like of shape (n_probes,)
            Distance of each probe from the centre, 1 at the nearer border.
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
        profile = metrics.eccentricity_profile(A, eccentricity)
        return cls(profile, name).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, name=None, ax=None, **kwargs
    ) -> EccentricityDisplay:
        """Probe a fitted classifier and draw its profile.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier.
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
        classifier, _ = open_estimator(estimator, None)
        return cls(_eccentricity(classifier), name).plot(ax=ax, **kwargs)

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
        ax = new_axes(ax)
        rings = self.profile.n > 0
        radius, values = self.profile.radius[rings], self.profile.profile[:, rings]
        style = {"marker": "o", "ms": 4, "label": self.name, **kwargs}
        (self.line_,) = ax.plot(radius, values.mean(axis=0), **style)
        low, high = np.percentile(values, (25, 75), axis=0)
        color = self.line_.get_color()
        ax.fill_between(radius, low, high, color=color, alpha=0.15, lw=0)
        ax.set_xlim(0, 1)
        ax.set_xlabel("distance from the centre (1: nearer border)")
        ax.set_ylabel(f"response of {len(values)} units")
        legend(ax, self.name)
        bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class LambdaCurveDisplay:
    """A measure against lam, for several losses beside a control, with intervals.

    Parameters
    ----------
    table : DataFrame
        A row a model: condition, lam (ignored for the control), seed and value.
    label : str, default="value"
        Name of the measure, with its unit.
    control : str, default="control"
        Name of the condition that is drawn as a band.

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
        self, table: pd.DataFrame, label: str = "value", control: str = "control"
    ):
        self.table = table
        self.label = label
        self.control = control

    def plot(self, ax=None, **kwargs) -> LambdaCurveDisplay:
        """Draw means and intervals over seeds.

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
            If a column is missing.
        """
        wanted = {"condition", "lam", "seed", "value"}
        if missing := sorted(wanted - set(self.table)):
            raise ValueError(f"The table lacks the columns {missing}.")
        ax = new_axes(ax)
        table = self.table.copy()
        table.loc[table["condition"] == self.control, "lam"] = 0
        groups = table.groupby(["condition", "lam"], sort=False)["value"]
        summary = groups.agg(["mean", "std", "count"]).reset_index()
        n = summary["count"]
        half = student_t.ppf(0.975, np.maximum(n - 1, 1)) * summary["std"] / np.sqrt(n)
        summary["low"], summary["high"] = summary["mean"] - half, summary["mean"] + half
        summary = summary.rename(columns={"count": "n"}).drop(columns="std")

        of_control = summary[summary["condition"] == self.control]
        for row in of_control.itertuples():
            ax.axhline(row.mean, color=CONTROL, lw=1.2, label=self.control)
            if row.n > 1:
                ax.axhspan(row.low, row.high, color=CONTROL, alpha=0.15, lw=0)
        others = summary[summary["condition"] != self.control]
        groups = list(others.groupby("condition", sort=False))
        for i, (color, (name, part)) in enumerate(zip(COLORS, groups)):
            part = part.sort_values("lam")
            reach = np.nan_to_num(part["high"] - part["mean"])
            style = {"fmt": "o-", "ms": 4, "capsize": 2, "color": color, "label": name}
            # side by side, so that intervals of one lam do not hide each other
            lam = part["lam"] * 1.05 ** (i - (len(groups) - 1) / 2)
            ax.errorbar(lam, part["mean"], reach, **{**style, **kwargs})
        lams = sorted(others["lam"].unique())
        if lams and min(lams) > 0:
            ax.set_xscale("log")
            ax.set_xticks(lams, [f"{lam:g}" for lam in lams])
            ax.minorticks_off()
            ax.set_xlim(lams[0] / 1.4, lams[-1] * 1.4)
        ax.set_xlabel("weight of the spatial loss, lam")
        seeds = sorted(set(n))
        count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        ax.set_ylabel(self.label)
        ax.set_title(f"mean and 95 % interval, n = {count} seeds", fontsize=9)
        ax.legend(frameon=False, fontsize=8)
        bare(ax)
        self.ax_, self.figure_, self.summary_ = ax, ax.figure, summary
        return self
