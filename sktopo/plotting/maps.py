"""Displays of values on the grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._evaluation import Evaluation
from sktopo._images import as_array_like
from sktopo._measures.tuning import orientation_of
from sktopo.frozen import FrozenNetwork
from sktopo.grid import Grid
from sktopo.metrics.activations import Activations
from sktopo.plotting._base import (
    DIVERGING,
    NEUTRAL,
    SEQUENTIAL,
    as_label,
    as_names,
    as_picture,
    as_text,
    check_names,
    entitle,
    image_style,
    legend,
    numbers,
    pictures,
    symmetric_limit,
    write,
)
from sktopo.plotting.style import drawing, hue_circle, palette, pyplot

__all__ = ["ExpertMapDisplay", "GridMapDisplay", "OrientationMapDisplay"]


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
    images : array-like of shape (n_maps, C, H, W) or (n_maps, H, W), default=None
        What the maps respond to, drawn above them: grey for one channel, RGB for three.
        Their values may lie in any range; the least and the largest of all images are
        drawn as the darkest and the lightest.

    Attributes
    ----------
    ax_ : ndarray of Axes
        The axes, one a map.
    image_ax_ : ndarray of Axes or None
        Those of the images.
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
        self,
        maps: ArrayLike,
        titles=None,
        label: str = "response (pre-ReLU)",
        *,
        images: ArrayLike | None = None,
    ):
        self.maps = numbers(maps)
        if self.maps.ndim != 3 or not self.maps.size:
            raise ValueError(
                f"maps must be (n_maps, rows, columns), with one map or more; got "
                f"{self.maps.shape}."
            )
        self.titles = check_names(titles, len(self.maps), "titles", "maps")
        self.label = label
        self.images = pictures(images, len(self.maps))

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        *,
        layer: str | None = None,
        titles=None,
        label: str | None = None,
        show_images: bool = False,
        ax=None,
        **kwargs,
    ) -> GridMapDisplay:
        """Draw the responses of a fitted classifier to a few images.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            A few images.
        layer : str, default=None
            Name of the layer whose units are drawn. None: the grid.
        titles : sequence of str, default=None
            One an image.
        label : str, default=None
            What the colour means, with its unit. None: "response (pre-ReLU)" of a
            topographic grid, "response" of another layer.
        show_images : bool, default=False
            Whether to draw the images above their maps, as the network sees them: after
            the steps of a Pipeline, before standardisation.
        ax : Axes or sequence of Axes, default=None
            Where to draw; as for `plot`.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        GridMapDisplay
            The display.
        """
        evaluation = Evaluation.of(estimator, X, None, layer=layer)
        maps = evaluation.activations.reshape(-1, *evaluation.subject.grid.shape)
        if label is None:
            foreign = isinstance(evaluation.subject.estimator, FrozenNetwork)
            is_grid = not foreign and evaluation.network.layer == "grid"
            label = "response (pre-ReLU)" if is_grid else "response"
        images = None
        if show_images:
            shape = evaluation.subject.image_shape
            images = np.asarray(evaluation.X).reshape(-1, *shape)
        return cls(maps, titles, label, images=images).plot(ax=ax, **kwargs)

    @classmethod
    def from_activations(
        cls,
        A: ArrayLike,
        grid_shape: tuple[int, int] | Grid,
        *,
        titles=None,
        label: str = "response (pre-ReLU)",
        images: ArrayLike | None = None,
        ax=None,
        **kwargs,
    ) -> GridMapDisplay:
        """Draw activations of any framework.

        Parameters
        ----------
        A : array-like of shape (n_images, n_units)
            Activations of a few images, units row-major on the grid.
        grid_shape : tuple of (int, int) or Grid
            Rows and columns, or a `sktopo.grid.Grid`.
        titles : sequence of str, default=None
            One an image.
        label : str, default="response (pre-ReLU)"
            What the colour means, with its unit.
        images : array-like of shape (n_images, C, H, W), default=None
            The images, drawn above their maps, in any form that the class takes.
        ax : Axes or sequence of Axes, default=None
            Where to draw; as for `plot`.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        GridMapDisplay
            The display.
        """
        A, grid, _ = Activations.of(A, grid_shape)
        maps = A.values.reshape(-1, *grid.shape)
        return cls(maps, titles, label, images=images).plot(ax=ax, **kwargs)

    @classmethod
    def from_values(
        cls,
        values: ArrayLike,
        grid_shape: tuple[int, int] | Grid,
        *,
        label: str = "value",
        titles=None,
        ax=None,
        **kwargs,
    ) -> GridMapDisplay:
        """Draw one value a unit.

        Parameters
        ----------
        values : array-like of shape (n_units,)
            Any value of the units, such as d' for a class; nan is left grey.
        grid_shape : tuple of (int, int) or Grid
            Rows and columns, or a `sktopo.grid.Grid`.
        label : str, default="value"
            What the value is, with its unit.
        titles : sequence of str, default=None
            One title. None: the label.
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
        grid = Grid.of(grid_shape)
        values = numbers(values)
        if values.size != grid.n_units:
            raise ValueError(
                f"values must hold one value for each of {grid.n_units} units of a "
                f"grid of {grid.shape}; got {values.size}."
            )
        maps = values.reshape(1, *grid.shape)
        return cls(maps, titles, label).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> GridMapDisplay:
        """Draw the maps with one colour scale.

        Parameters
        ----------
        ax : Axes or sequence of Axes, default=None
            Where to draw; one axes a map, and before these, one an image where images
            are drawn: ``plt.subplots(2, n_maps)``. None: a new figure.
        **kwargs : dict
            Passed to `imshow` for the maps, such as `cmap`, `norm`, `vmin` and `vmax`.

        Returns
        -------
        GridMapDisplay
            Itself.

        Raises
        ------
        ValueError
            If there are not as many axes as maps and images.
        """
        style = image_style(self.maps, self._scale(), kwargs)
        own = ax is None
        shape, size = self._layout()
        if not own:
            ax = self._check_axes(ax)
        with drawing(ax, size, shape) as axes:
            above, axes = self._share(axes)
            for axis, values in zip(axes, self.maps):
                axis.set_facecolor(NEUTRAL)
                image = axis.imshow(values, **style)
                as_picture(axis)
            if above is not None:
                self._draw_images(above)
            bar = self._draw_scale(image, axes, above)
            bar.ax.yaxis.label.set_fontsize(9)
            write(bar.ax.yaxis.label, self.label, 24)
            self._entitle(axes if above is None else above, own)
        self.ax_, self.image_ax_, self.figure_ = axes, above, axes[0].figure
        return self

    def _check_axes(self, ax):
        """The user's axes in one row for images, if there are any, and one for maps."""
        n_maps, n_rows = len(self.maps), 1 if self.images is None else 2
        ax = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(ax) != n_rows * n_maps:
            raise ValueError(
                f"{n_maps} map(s) need as many axes"
                f"{', and as many before them for the images' * (n_rows - 1)}; got "
                f"{len(ax)}."
            )
        return ax.reshape(n_rows, n_maps)

    def _share(self, axes):
        """Axes of the images, or None, and of the maps; those to spare are removed."""
        n_maps, n_kinds = len(self.maps), 1 if self.images is None else 2
        kinds = [axes[i::n_kinds].ravel() for i in range(n_kinds)]
        for spare in np.ravel([of_kind[n_maps:] for of_kind in kinds]):
            spare.remove()
        *above, maps = [of_kind[:n_maps] for of_kind in kinds]
        return (above[0] if above else None), maps

    def _draw_scale(self, image, axes, above):
        """The bar of colours; beside images, too, which leave it as much room."""
        if above is None:
            return axes[0].figure.colorbar(image, ax=list(axes), shrink=0.8)
        low = len({round(ax.get_position().y0, 3) for ax in axes}) == 1
        place = {"shrink": 0.4, "anchor": (0, 0.05)} if low else {"shrink": 0.8}
        place["panchor"] = False  # all stay in the middle of their columns
        return axes[0].figure.colorbar(image, ax=[*above, *axes], **place)

    def _draw_images(self, axes):
        """The images, on one scale."""
        for ax, image in zip(axes, self.images):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            as_picture(ax)

    def _scale(self):
        """Colours of all maps: about zero if there are negative values."""
        known = self.maps[np.isfinite(self.maps)]
        if (known < 0).any():
            limit = symmetric_limit(known)
            return {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
        low, high = (known.min(), known.max()) if len(known) else (0, 1)
        return {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}

    def _layout(self):
        """Rows and columns of axes in a new figure, and its size in inches."""
        n_maps, n_rows, n_columns = self.maps.shape
        columns = min(n_maps, 6)
        rows = -(-n_maps // columns)
        side = 2.2 if n_maps == 1 else 1.3
        height = side * float(np.clip(n_rows / n_columns, 0.4, 2.5))
        titles = [as_text(title, 18) for title in self.titles or [""]]
        lines = max(title.count("\n") + 1 for title in titles)
        size = (side * columns + 1.1, (height + 0.15 * lines) * rows + 0.4)
        if self.images is None:
            return (rows, columns), size
        _, tall, wide = self.images.shape[:3]
        more = side * float(np.clip(tall / wide, 0.4, 2.5))
        return (2 * rows, columns), (size[0], size[1] + rows * more)

    def _entitle(self, axes, own):
        """A title for each map, and in a figure of our own what they are."""
        n_maps, n_rows, n_columns = self.maps.shape
        what = f"{self.label}, {n_rows} x {n_columns} units"
        if self.images is not None:
            what += f", below {'its image' if n_maps == 1 else 'each image'}"
        if n_maps == 1 and self.titles is None:
            entitle(axes[0], what)
            return
        kind = "map" if self.images is None else "image"
        titles = self.titles or [f"{kind} {i + 1}" for i in range(n_maps)]
        for ax, title in zip(axes, titles):
            ax.set_title("", fontsize=9)
            write(ax.title, title, 18)
        if own:
            title = axes[0].figure.suptitle("", fontsize=9)
            write(title, what, 20 * min(n_maps, 6))


class ExpertMapDisplay:
    """Which class each unit of the grid is an expert of.

    Parameters
    ----------
    classes : ndarray of shape (n_units,)
        Index of the class, -1 for units that are no expert.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns, or a `sktopo.grid.Grid`.
    class_names : sequence of str
        Names of the classes, in the order of the indices.
    threshold : float, default=None
        Least average precision of an expert, for the title.
    n_images : int, default=None
        Number of images, for the title.
    absent : sequence of int, default=()
        Indices of classes without images, of which a unit can be no expert.

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

    def __init__(
        self,
        classes,
        grid_shape: tuple[int, int] | Grid,
        class_names,
        *,
        threshold: float | None = None,
        n_images: int | None = None,
        absent=(),
    ):
        self.classes = np.asarray(as_array_like(classes)).ravel()
        grid = Grid.of(grid_shape)
        self.grid_shape = grid.shape
        self.class_names = as_names(class_names)
        self.threshold = threshold
        self.n_images = n_images
        self.absent = [int(index) for index in absent]
        n_units, n_classes = grid.n_units, len(self.class_names)
        if len(self.classes) != n_units:
            raise ValueError(
                f"classes must hold one index for each of {n_units} units of a grid of "
                f"{self.grid_shape}; got {len(self.classes)}."
            )
        if not np.isin(self.classes, range(-1, n_classes)).all():
            raise ValueError(
                f"classes must be indices of {n_classes} class_names, or -1; got "
                f"{np.unique(self.classes).tolist()}."
            )

    @classmethod
    def from_activations(
        cls,
        A: ArrayLike,
        y: ArrayLike,
        grid_shape: tuple[int, int] | Grid,
        *,
        threshold: float = 0.5,
        classes: ArrayLike | None = None,
        class_names=None,
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
        grid_shape : tuple of (int, int) or Grid
            Rows and columns, or a `sktopo.grid.Grid`.
        threshold : float, default=0.5
            Least average precision of an expert. A unit that is an expert of several
            classes counts for the one that it detects best.
        classes : array-like of shape (n_classes,), default=None
            The classes, of which y may lack some. None: those in y, sorted.
        class_names : sequence of str, default=None
            Their names, in the order of `classes`. None: the labels.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        ExpertMapDisplay
            The display.
        """
        A, _, y = Activations.of(A, grid_shape, y)
        classes = np.unique(y) if classes is None else np.atleast_1d(classes)
        precision = metrics.average_precision(A, y, classes)
        experts = metrics.expert_units(A, y, threshold, classes=classes)
        names = check_names(class_names, len(classes), "class_names", "classes")
        display = cls(
            best_class(experts, precision),
            grid_shape,
            classes if names is None else names,
            threshold=threshold,
            n_images=len(y),
            absent=np.flatnonzero(np.isnan(precision).all(axis=0)),
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike,
        *,
        layer: str | None = None,
        threshold: float = 0.5,
        class_names=None,
        ax=None,
        **kwargs,
    ) -> ExpertMapDisplay:
        """Draw the experts of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,)
            Class labels.
        layer : str, default=None
            Name of the layer whose units are drawn. None: the grid.
        threshold : float, default=0.5
            Least average precision of an expert.
        class_names : sequence of str, default=None
            Names of the classes, in the order of ``classes_`` (without these: of the
            sorted labels). None: the labels.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        ExpertMapDisplay
            The display.
        """
        evaluation = Evaluation.of(estimator, X, y, layer=layer)
        subject = evaluation.subject
        return cls.from_activations(
            evaluation.activations,
            evaluation.y,
            subject.grid,
            threshold=threshold,
            classes=subject.classes if len(subject.classes) else None,
            class_names=class_names,
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
        pyplot()
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        n_classes = len(self.class_names)
        indices = np.array([*range(n_classes), -1])
        # grey first: index -1
        colors = ListedColormap([NEUTRAL, *palette(n_classes)])
        style = {"cmap": colors, "vmin": -1.5, "vmax": n_classes - 0.5}
        style = image_style(indices, style, kwargs)
        with drawing(ax, figsize=(4.2, 2.9)) as ax:
            image = ax.imshow(self.classes.reshape(self.grid_shape), **style)
            as_picture(ax)
            # as the image draws them, whatever colours the user chose
            colors = image.cmap(image.norm(indices))
            handles = [
                Patch(color=color, label=as_label(label))
                for color, label in zip(colors, self._labels(indices))
            ]
            legend(ax, "expert of (units)", handles)
            entitle(ax, self._title())
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _labels(self, indices):
        """Names, and how many experts there are."""
        for index, name in zip(indices, [*self.class_names, "no expert"]):
            n_units = (self.classes == index).sum()
            yield f"{name} ({'no image' if index in self.absent else n_units})"

    def _title(self):
        n_experts, n_units = (self.classes >= 0).sum(), len(self.classes)
        title = f"{n_experts} of {n_units} units are experts"
        parts = []
        if self.threshold is not None:
            parts.append(f"average precision \u2265 {self.threshold:g}")
        if self.n_images is not None:
            parts.append(f"n = {self.n_images}")
        return "\n".join([title, ", ".join(parts)]) if parts else title


def best_class(experts, precision):
    """Index of the class that each unit detects best, -1 of those that are no expert.

    Parameters
    ----------
    experts : ndarray of shape (n_units, n_classes), bool
        From `sktopo.metrics.expert_units`.
    precision : ndarray of shape (n_units, n_classes)
        From `sktopo.metrics.average_precision`, of the same classes; nan where a class
        has no image.

    Returns
    -------
    ndarray of shape (n_units,)
        Indices.
    """
    among = np.where(experts, precision, -1)
    return np.where(np.any(experts, axis=1), among.argmax(axis=1), -1)


class OrientationMapDisplay:
    """Preferred orientations: hue and bar are the angle, saturation the strength.

    Parameters
    ----------
    preferred : ndarray of shape (n_units,)
        Preferred orientation in degrees, nan for none.
    strength : ndarray of shape (n_units,)
        Strength of the preference, 0 to 1.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns, or a `sktopo.grid.Grid`.

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

    def __init__(self, preferred, strength, grid_shape: tuple[int, int] | Grid):
        self.preferred = numbers(preferred)
        self.strength = numbers(strength)
        self.grid_shape = grid_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        *,
        layer: str | None = None,
        ax=None,
        **kwargs,
    ) -> OrientationMapDisplay:
        """Measure the tuning of a fitted classifier and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images; the standard deviation of the responses to them is the unit of
            modulation.
        layer : str, default=None
            Name of the layer whose units are drawn. None: the grid.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        OrientationMapDisplay
            The display.
        """
        evaluation = Evaluation.of(estimator, X, None, layer=layer)
        subject = evaluation.subject
        tuning = orientation_of(subject, evaluation.activations)
        strength = np.nan_to_num(tuning.strength)
        display = cls(tuning.preferred, strength, subject.grid)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> OrientationMapDisplay:
        """Draw the map and a cyclic scale; units without preference are grey.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `imshow`. `cmap` gives the hues, once around; `norm`, `vmin` and
            `vmax` say which strengths have no colour and the full one (0 and 1).

        Returns
        -------
        OrientationMapDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is not one orientation and one strength for each unit.
        """
        grid = Grid.of(self.grid_shape)
        n_units = grid.n_units
        if len(self.preferred) != n_units or len(self.strength) != n_units:
            raise ValueError(
                f"A grid of {grid.shape} needs {n_units} orientations and as many "
                f"strengths; got {len(self.preferred)} and {len(self.strength)}."
            )
        pyplot()
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize

        known = ~np.isnan(self.preferred)
        circle = ListedColormap(hue_circle(np.linspace(0, 1, 256, endpoint=False)))
        style = {"cmap": circle, "vmin": 0, "vmax": 1}
        style = image_style(self.strength, style, kwargs)
        circle = ScalarMappable(cmap=style["cmap"]).get_cmap()
        weight = np.where(known, _weights(self.strength, style), 0)[:, None]
        colors = circle(np.nan_to_num(self.preferred) % 180 / 180)[:, :3]
        image = weight * colors + (1 - weight) * float(NEUTRAL)
        with drawing(ax) as ax:
            ax.imshow(image.reshape(*grid.shape, 3), **style)
            self._draw_bars(ax, grid.coordinates[known], weight[known, 0])
            as_picture(ax)
            scale = ScalarMappable(Normalize(0, 180), circle)
            bar = ax.figure.colorbar(scale, ax=ax, shrink=0.8)
            bar.set_label("preferred orientation (degrees)")
            bar.set_ticks([0, 45, 90, 135, 180])
            title = f"{known.sum()} of {len(known)} units prefer one"
            entitle(ax, f"preferred orientations\n{title}")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_bars(self, ax, coordinates, weight):
        """Bars, since hues alone are not told apart by everyone."""
        row, column = coordinates.T
        theta = np.deg2rad(self.preferred[~np.isnan(self.preferred)])
        reach = 0.45 * np.sqrt(weight)
        up = -1 if ax.yaxis_inverted() else 1
        dx, dy = reach * np.cos(theta), up * reach * np.sin(theta)
        ax.plot([column - dx, column + dx], [row - dy, row + dy], color="0.15", lw=1)


def _weights(strength, style):
    """How saturated units of some strength are, 0 to 1, on the scale of an image."""
    from matplotlib.colors import Normalize

    norm = style.get("norm") or Normalize(style["vmin"], style["vmax"])
    strength = np.nan_to_num(strength)
    norm.autoscale_None(strength)
    return np.clip(np.ma.filled(norm(strength), 0), 0, 1)
