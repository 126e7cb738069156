"""Displays of pairs of units: correlations and differences against distance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._evaluation import Evaluation
from sktopo.grid import Grid
from sktopo.metrics.activations import Activations
from sktopo.plotting._base import (
    curve_style,
    entitle,
    legend,
    numbers,
    patch_style,
    write,
)
from sktopo.plotting.style import CONTROL, bare, drawing

__all__ = [
    "CorrelationDistanceDisplay",
    "CorrelationHistogramDisplay",
    "DifferenceByDistanceDisplay",
]


class CorrelationDistanceDisplay:
    """Mean correlation of unit pairs against their distance on the grid.

    Parameters
    ----------
    table : DataFrame
        From `sktopo.metrics.correlation_by_distance`.
    name : str, default=None
        Label of the curve.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    line_ : Line2D
        The curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.plotting import CorrelationDistanceDisplay
    >>> A = np.random.default_rng(0).normal(size=(50, 12))
    >>> display = CorrelationDistanceDisplay.from_activations(A, (3, 4))
    >>> display.line_.get_xdata().tolist()
    [1, 2, 3]
    """

    def __init__(self, table: pd.DataFrame, name: str | None = None):
        self.table = table
        self.name = name

    @classmethod
    def from_activations(
        cls,
        A: ArrayLike,
        grid_shape: tuple[int, int] | Grid,
        *,
        name=None,
        ax=None,
        **kwargs,
    ) -> CorrelationDistanceDisplay:
        """Draw the curve of activations of any framework.

        Parameters
        ----------
        A : array-like of shape (n_images, n_units)
            Activations, units row-major on the grid.
        grid_shape : tuple of (int, int) or Grid
            Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
        name : str, default=None
            Label of the curve.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        CorrelationDistanceDisplay
            The display.
        """
        table = metrics.correlation_by_distance(A, grid_shape)
        return cls(table, name).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        *,
        layer: str | None = None,
        name=None,
        ax=None,
        **kwargs,
    ) -> CorrelationDistanceDisplay:
        """Draw the curve of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
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
        CorrelationDistanceDisplay
            The display.
        """
        evaluation = Evaluation.of(estimator, X, None, layer=layer)
        return cls.from_activations(
            evaluation.activations, evaluation.subject.grid, name=name, ax=ax, **kwargs
        )

    def plot(self, ax=None, **kwargs) -> CorrelationDistanceDisplay:
        """Draw the curve, and the null's mean where it was computed.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        CorrelationDistanceDisplay
            Itself.
        """
        distance = self.table["distance"]
        with drawing(ax) as ax:
            style = curve_style(ax, self.name, kwargs)
            (self.line_,) = ax.plot(distance, self.table["correlation"], **style)
            if "null_mean" in self.table:
                ax.plot(distance, self.table["null_mean"], ls=":", color=CONTROL)
            ax.axhline(0, color="0.8", lw=0.8, zorder=0)
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.set_xlabel("distance on the grid (steps)")
            ax.set_ylabel("mean correlation of pairs (r)")
            title = "correlation of units by distance"
            if "n_pairs" in self.table:
                title += f"\nn = {self.table['n_pairs'].sum()} pairs"
            legend(ax)
            entitle(ax, title)
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class CorrelationHistogramDisplay:
    """Histogram of the correlations of all unit pairs.

    Parameters
    ----------
    correlations : ndarray of shape (n_pairs,)
        Pearson's r of each pair of units.
    name : str, default=None
        Label of the histogram.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    counts_ : ndarray
        Height of each bin, the share of pairs.

    See Also
    --------
    sktopo.metrics.correlation_bimodality : How bimodal it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.plotting import CorrelationHistogramDisplay
    >>> A = np.random.default_rng(0).normal(size=(50, 12))
    >>> display = CorrelationHistogramDisplay.from_activations(A)
    >>> round(float(display.counts_.sum()), 6)
    1.0
    """

    def __init__(self, correlations: ArrayLike, name: str | None = None):
        self.correlations = numbers(correlations)
        self.name = name

    @classmethod
    def from_activations(
        cls, A: ArrayLike, *, name=None, ax=None, **kwargs
    ) -> CorrelationHistogramDisplay:
        """Draw the histogram of activations of any framework.

        Parameters
        ----------
        A : array-like of shape (n_images, n_units)
            Activations. Constant units are in no pair.
        name : str, default=None
            Label of the histogram.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `hist`.

        Returns
        -------
        CorrelationHistogramDisplay
            The display.
        """
        r = Activations(A).correlations
        r = r[np.triu_indices(len(r), k=1)]
        return cls(r[~np.isnan(r)], name).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        *,
        layer: str | None = None,
        name=None,
        ax=None,
        **kwargs,
    ) -> CorrelationHistogramDisplay:
        """Draw the histogram of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        layer : str, default=None
            Name of the layer whose units are drawn. None: the grid.
        name : str, default=None
            Label of the histogram.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `hist`.

        Returns
        -------
        CorrelationHistogramDisplay
            The display.
        """
        A = Evaluation.of(estimator, X, None, layer=layer).activations
        return cls.from_activations(A, name=name, ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> CorrelationHistogramDisplay:
        """Draw the histogram.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `hist`.

        Returns
        -------
        CorrelationHistogramDisplay
            Itself.
        """
        n_pairs = len(self.correlations)
        style = {
            "bins": np.linspace(-1, 1, 41),
            "weights": np.full(n_pairs, 1 / max(n_pairs, 1)),
            "histtype": "step",
            "linewidth": 1.5,
            "label": self.name,
        }
        with drawing(ax) as ax:
            look = curve_style(ax, self.name, {})
            style |= {k: look[k] for k in ("color", "linestyle")}
            style = patch_style(style, kwargs)
            self.counts_, _, _ = ax.hist(self.correlations, **style)
            ax.set_xlim(-1, 1)
            ax.set_xlabel("correlation of two units (r)")
            ax.set_ylabel(f"share of {n_pairs} pairs")
            legend(ax)
            entitle(ax, f"correlations of all units\nn = {n_pairs} pairs")
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class DifferenceByDistanceDisplay:
    """Difference of a per-unit value against grid distance.

    Parameters
    ----------
    result : Bunch
        From `sktopo.metrics.difference_by_distance`.
    label : str, default="difference of the value"
        Label of the vertical axis, with its unit.
    name : str, default=None
        Label of the curve.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    line_ : Line2D
        The curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import difference_by_distance
    >>> from sktopo.plotting import DifferenceByDistanceDisplay
    >>> result = difference_by_distance(np.arange(4), (1, 4))
    >>> DifferenceByDistanceDisplay(result).plot().line_.get_ydata().tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(
        self, result, label: str = "difference of the value", name: str | None = None
    ):
        self.result = result
        self.label = label
        self.name = name

    @classmethod
    def from_values(
        cls,
        values: ArrayLike,
        grid_shape: tuple[int, int] | Grid,
        *,
        period: float | None = None,
        label: str = "difference of the value",
        name=None,
        ax=None,
        **kwargs,
    ) -> DifferenceByDistanceDisplay:
        """Compute the curve of one value a unit and draw it.

        Parameters
        ----------
        values : array-like of shape (n_units,)
            One value a unit; nan is left out.
        grid_shape : tuple of (int, int) or Grid
            Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
        period : float, default=None
            Period of a circular value.
        label : str, default="difference of the value"
            Label of the vertical axis, with its unit.
        name : str, default=None
            Label of the curve.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        DifferenceByDistanceDisplay
            The display.
        """
        result = metrics.difference_by_distance(values, grid_shape, period)
        return cls(result, label, name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> DifferenceByDistanceDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        DifferenceByDistanceDisplay
            Itself.
        """
        profile = self.result.profile
        smoothness, n_units = self.result.smoothness, self.result.n_units
        with drawing(ax) as ax:
            style = curve_style(ax, self.name, kwargs)
            (self.line_,) = ax.plot(profile["distance"], profile["difference"], **style)
            ax.set_ylim(bottom=0, auto=True)  # for curves to come
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.set_xlabel("distance on the grid (steps)")
            write(ax.yaxis.label, self.label, 36)
            title = f"smoothness {smoothness:.2f}, n = {n_units} units"
            legend(ax)
            entitle(ax, f"difference of units by distance\n{title}")
            bare(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
