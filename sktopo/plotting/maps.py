"""Displays of values on the grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._evaluation import open_estimator
from sktopo.grid import Grid
from sktopo.measure import _orientation
from sktopo.metrics._checks import check_activations
from sktopo.plotting._base import (
    COLORS,
    DIVERGING,
    MANY_COLORS,
    NEUTRAL,
    SEQUENTIAL,
    as_picture,
    hue_circle,
    new_axes,
    pyplot,
    symmetric_limit,
)


class GridMapDisplay:
    """Maps of values on the grid: responses to images, or any value of the units.

    Parameters
    ----------
    maps : ndarray of shape (n_maps, rows, columns)
        The maps.
    titles : sequence of str, default=None
        One a map.
    label : str, default="response (pre-ReLU)"
        What the colour means, with its unit.

    Attributes
    ----------
    ax_ : ndarray of Axes
        The axes, one a map.
    figure_ : Figure
        The figure.

    See Also
    --------
    ExpertMapDisplay : Which class each unit is an expert of.
    OrientationMapDisplay : Preferred orientations.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.plotting import GridMapDisplay
    >>> display = GridMapDisplay.from_values(np.arange(12), (3, 4), label="number")
    >>> display.ax_[0].images[0].get_array().shape
    (3, 4)
    """

    def __init__(
        self, maps: ArrayLike, titles=None, label: str = "response (pre-ReLU)"
    ):
        self.maps = np.asarray(maps, dtype=float)
        self.titles = titles
        self.label = label

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, X: ArrayLike, *, titles=None, ax=None, **kwargs
    ) -> GridMapDisplay:
        """Draw the responses of a fitted classifier to a few images.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            A few images.
        titles : sequence of str, default=None
            One an image.
        ax : Axes or sequence of Axes, default=None
            Where to draw; one axes an image.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        GridMapDisplay
            The display.
        """
        classifier, X = open_estimator(estimator, X)
        return cls(classifier.activation_maps(X), titles).plot(ax=ax, **kwargs)

    @classmethod
    def from_activations(
        cls,
        A: ArrayLike,
        grid_shape: tuple[int, int],
        *,
        titles=None,
        ax=None,
        **kwargs,
    ) -> GridMapDisplay:
        """Draw activations of any framework.

        Parameters
        ----------
        A : array-like of shape (n_images, n_units)
            Activations of a few images, units row-major on the grid.
        grid_shape : tuple of (int, int)
            Rows and columns.
        titles : sequence of str, default=None
            One an image.
        ax : Axes or sequence of Axes, default=None
            Where to draw; one axes an image.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        GridMapDisplay
            The display.
        """
        A, grid, _ = check_activations(A, grid_shape)
        return cls(A.reshape(-1, *grid.shape), titles).plot(ax=ax, **kwargs)

    @classmethod
    def from_values(
        cls,
        values: ArrayLike,
        grid_shape: tuple[int, int],
        *,
        label: str = "value",
        ax=None,
        **kwargs,
    ) -> GridMapDisplay:
        """Draw one value a unit.

        Parameters
        ----------
        values : array-like of shape (n_units,)
            Any value of the units, such as d' for a class; nan is left grey.
        grid_shape : tuple of (int, int)
            Rows and columns.
        label : str, default="value"
            What the value is, with its unit.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        GridMapDisplay
            The display.

        Raises
        ------
        ValueError
            If there is not one value for each unit.
        """
        grid = Grid(grid_shape)
        if np.size(values) != grid.n_units:
            raise ValueError(
                f"values must hold one value for each of {grid.n_units} units of a "
                f"grid of {grid.shape}; got {np.size(values)}."
            )
        maps = np.reshape(values, (1, *grid.shape))
        return cls(maps, label=label).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> GridMapDisplay:
        """Draw the maps with one colour scale.

        Parameters
        ----------
        ax : Axes or sequence of Axes, default=None
            Where to draw; one axes a map. None: a new figure.
        **kwargs : dict
            Passed to `imshow`, such as `cmap`, `vmin` and `vmax`.

        Returns
        -------
        GridMapDisplay
            Itself.

        Raises
        ------
        ValueError
            If there are not as many axes as maps.
        """
        n_maps = len(self.maps)
        if ax is None:
            columns = min(n_maps, 6)
            rows = -(-n_maps // columns)
            size = (1.3 * columns + 1.1, 1.4 * rows + 0.3)
            _, ax = pyplot().subplots(
                rows, columns, figsize=size, layout="constrained", squeeze=False
            )
            for spare in ax.ravel()[n_maps:]:
                spare.remove()
            ax = ax.ravel()[:n_maps]
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n_maps:
            raise ValueError(f"{n_maps} map(s) need as many axes; got {len(axes)}.")
        known = self.maps[np.isfinite(self.maps)]
        if (known < 0).any():
            limit = symmetric_limit(self.maps)
            style = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
        else:
            low, high = (known.min(), known.max()) if len(known) else (0, 1)
            style = {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}
        for i, (axis, values) in enumerate(zip(axes, self.maps)):
            axis.set_facecolor(NEUTRAL)
            image = axis.imshow(values, **{**style, **kwargs})
            as_picture(axis)
            if self.titles is not None:
                axis.set_title(str(self.titles[i]), fontsize=9)
        axes[0].figure.colorbar(image, ax=list(axes), label=self.label, shrink=0.8)
        self.ax_, self.figure_ = axes, axes[0].figure
        return self


class ExpertMapDisplay:
    """Which class each unit of the grid is an expert of.

    Parameters
    ----------
    classes : ndarray of shape (n_units,)
        Index of the class, -1 for units that are no expert.
    grid_shape : tuple of (int, int)
        Rows and columns.
    class_names : sequence of str
        Names of the classes.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.

    See Also
    --------
    sktopo.metrics.expert_units : What an expert is.

    Examples
    --------
    >>> from sktopo.plotting import ExpertMapDisplay
    >>> display = ExpertMapDisplay([0, -1, 1, 1], (2, 2), ["cat", "dog"]).plot()
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['cat (1)', 'dog (2)', 'no expert (1)']
    """

    def __init__(self, classes, grid_shape: tuple[int, int], class_names):
        self.classes = np.asarray(classes)
        self.grid_shape = grid_shape
        self.class_names = [str(name) for name in class_names]

    @classmethod
    def from_activations(
        cls,
        A: ArrayLike,
        y: ArrayLike,
        grid_shape: tuple[int, int],
        *,
        threshold: float = 0.5,
        ax=None,
        **kwargs,
    ) -> ExpertMapDisplay:
        """Find the experts among activations of any framework and draw them.

        Parameters
        ----------
        A : array-like of shape (n_images, n_units)
            Activations, units row-major on the grid.
        y : array-like of shape (n_images,)
            Class labels.
        grid_shape : tuple of (int, int)
            Rows and columns.
        threshold : float, default=0.5
            Least average precision of an expert. A unit that is an expert of several
            classes counts for the one that it detects best.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        ExpertMapDisplay
            The display.
        """
        check_activations(A, grid_shape)
        precision = metrics.average_precision(A, y)
        best = np.where(
            precision.max(axis=1) >= threshold, precision.argmax(axis=1), -1
        )
        return cls(best, grid_shape, np.unique(y)).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        threshold: float = 0.5,
        ax=None,
        **kwargs,
    ) -> ExpertMapDisplay:
        """Draw the experts of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,)
            Class labels.
        threshold : float, default=0.5
            Least average precision of an expert.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        ExpertMapDisplay
            The display.
        """
        classifier, X = open_estimator(estimator, X)
        return cls.from_activations(
            classifier.transform(X),
            y,
            classifier.grid_.shape,
            threshold=threshold,
            ax=ax,
            **kwargs,
        )

    def plot(self, ax=None, **kwargs) -> ExpertMapDisplay:
        """Draw the map, with the number of experts of each class in the legend.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        ExpertMapDisplay
            Itself.
        """
        plt = pyplot()
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        ax = new_axes(ax, figsize=(4.2, 2.9))
        n_classes = len(self.class_names)
        colors = COLORS if n_classes <= len(COLORS) else MANY_COLORS
        if n_classes > len(MANY_COLORS):
            colors = plt.get_cmap("viridis")(np.linspace(0, 1, n_classes))
        colors = list(colors)[:n_classes]
        # grey first: index -1
        palette = ListedColormap([NEUTRAL, *colors])
        ax.imshow(
            self.classes.reshape(self.grid_shape),
            **{"cmap": palette, "vmin": -1.5, "vmax": n_classes - 0.5, **kwargs},
        )
        as_picture(ax)
        names = [*self.class_names, "no expert"]
        indices = [*range(n_classes), -1]
        handles = [
            Patch(color=color, label=f"{name} ({(self.classes == index).sum()})")
            for name, index, color in zip(names, indices, [*colors, NEUTRAL])
        ]
        ax.legend(
            handles=handles,
            title="expert of (units)",
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            frameon=False,
            fontsize=8,
            title_fontsize=8,
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self


class OrientationMapDisplay:
    """Preferred orientations: hue and bar are the angle, saturation the strength.

    Parameters
    ----------
    preferred : ndarray of shape (n_units,)
        Preferred orientation in degrees, nan for none.
    strength : ndarray of shape (n_units,)
        Strength of the preference, 0 to 1.
    grid_shape : tuple of (int, int)
        Rows and columns.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.

    See Also
    --------
    sktopo.metrics.orientation_tuning : Where the values come from.

    Examples
    --------
    >>> from sktopo.plotting import OrientationMapDisplay
    >>> display = OrientationMapDisplay([0, 90], [1, 0], (1, 2)).plot()
    >>> display.ax_.images[0].get_array().shape
    (1, 2, 3)
    """

    def __init__(self, preferred, strength, grid_shape: tuple[int, int]):
        self.preferred = np.asarray(preferred, dtype=float)
        self.strength = np.asarray(strength, dtype=float)
        self.grid_shape = grid_shape

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, X: ArrayLike, *, ax=None, **kwargs
    ) -> OrientationMapDisplay:
        """Measure the tuning of a fitted classifier and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images whose standard deviation is the unit of modulation.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        OrientationMapDisplay
            The display.
        """
        classifier, X = open_estimator(estimator, X)
        tuning = _orientation(classifier, classifier.transform(X).std(axis=0))
        strength = np.nan_to_num(tuning.strength)
        return cls(tuning.preferred, strength, classifier.grid_.shape).plot(
            ax=ax, **kwargs
        )

    def plot(self, ax=None, **kwargs) -> OrientationMapDisplay:
        """Draw the map and a cyclic scale; units without preference are grey.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        OrientationMapDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is not one orientation and one strength for each unit.
        """
        n_units = Grid(self.grid_shape).n_units
        if len(self.preferred) != n_units or len(self.strength) != n_units:
            raise ValueError(
                f"A grid of {self.grid_shape} needs {n_units} orientations and as many "
                f"strengths; got {len(self.preferred)} and {len(self.strength)}."
            )
        pyplot()
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize

        ax = new_axes(ax)
        known = ~np.isnan(self.preferred)
        weight = np.where(known, np.clip(self.strength, 0, 1), 0)
        colors = hue_circle(np.nan_to_num(self.preferred) / 180)
        image = weight[:, None] * colors + (1 - weight[:, None]) * float(NEUTRAL)
        ax.imshow(image.reshape(*self.grid_shape, 3), **kwargs)
        # bars, since hues alone are not told apart by everyone
        row, column = Grid(self.grid_shape).coordinates[known].T
        theta = np.deg2rad(self.preferred[known])
        reach = 0.45 * np.sqrt(weight[known])
        dx, dy = reach * np.cos(theta), -reach * np.sin(theta)
        ax.plot([column - dx, column + dx], [row - dy, row + dy], color="0.15", lw=1)
        as_picture(ax)
        circle = ListedColormap(hue_circle(np.linspace(0, 1, 256, endpoint=False)))
        scale = ScalarMappable(Normalize(0, 180), circle)
        bar = ax.figure.colorbar(scale, ax=ax, shrink=0.8)
        bar.set_label("preferred orientation (degrees)")
        bar.set_ticks([0, 45, 90, 135, 180])
        ax.set_title(f"{known.sum()} of {len(known)} units prefer one", fontsize=9)
        self.ax_, self.figure_ = ax, ax.figure
        return self
