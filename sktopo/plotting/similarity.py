"""Display of representational similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._subject import open_subject
from sktopo.plotting._base import (
    DIVERGING,
    as_text,
    check_names,
    entitle,
    image_style,
    numbers,
    plain,
    write,
)
from sktopo.plotting.style import drawing

__all__ = ["RSMDisplay"]


class RSMDisplay:
    """A representational similarity matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_rows)
        From `sktopo.metrics.representational_similarity`.
    names : sequence of str, default=None
        Names of the rows.
    label : str, default="cosine similarity"
        What the colour means.
    class_names : sequence of str, default=None
        Names of the rows, if these are classes; instead of `names`.

    Attributes
    ----------
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.
    image_ : AxesImage
        The matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.plotting import RSMDisplay
    >>> RSMDisplay.from_rows(np.eye(3)).image_.get_clim()
    (-1.0, 1.0)
    """

    def __init__(
        self,
        matrix: ArrayLike,
        names=None,
        label: str = "cosine similarity",
        *,
        class_names=None,
    ):
        self.matrix = numbers(matrix)
        n_rows = len(self.matrix)
        if self.matrix.shape != (n_rows, n_rows):
            raise ValueError(f"matrix must be square; got {self.matrix.shape}.")
        if names is not None and class_names is not None:
            raise ValueError("Give names or class_names, which name the same rows.")
        self.label = label
        self.class_names = check_names(class_names, n_rows, "class_names", "classes")
        self.names = check_names(names, n_rows, "names", "rows")
        if self.names is None:
            self.names = self.class_names

    @classmethod
    def from_rows(
        cls,
        V: ArrayLike,
        *,
        metric: str = "cosine",
        names=None,
        class_names=None,
        label: str | None = None,
        ax=None,
        **kwargs,
    ) -> RSMDisplay:
        """Compare the rows of any array and draw their similarity.

        Parameters
        ----------
        V : array-like of shape (n_rows, n_values)
            For example class means of activations.
        metric : {"cosine", "correlation"}, default="cosine"
            As for `sktopo.metrics.representational_similarity`.
        names : sequence of str, default=None
            Names of the rows.
        class_names : sequence of str, default=None
            Names of the rows, if these are classes; instead of `names`.
        label : str, default=None
            What the colour means. None: the metric.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        RSMDisplay
            The display.
        """
        matrix = metrics.representational_similarity(V, metric)
        if label is None:
            label = "cosine similarity" if metric == "cosine" else "correlation (r)"
        display = cls(matrix, names, label, class_names=class_names)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        metric: str = "cosine",
        names=None,
        class_names=None,
        label: str | None = None,
        ax=None,
        **kwargs,
    ) -> RSMDisplay:
        """Draw the similarity of the readout's classes.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier, a FrozenNetwork with a readout, or a
            Pipeline or search that ends in one; with three classes or more.
        metric : {"cosine", "correlation"}, default="cosine"
            As for `sktopo.metrics.representational_similarity`.
        names : sequence of str, default=None
            The same as `class_names`.
        class_names : sequence of str, default=None
            Names of the classes, in the order of ``classes_``. None: its labels.
        label : str, default=None
            What the colour means. None: the metric.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        RSMDisplay
            The display.
        """
        subject, _ = open_subject(estimator)
        readout = subject.network.readout_weights
        if readout is None:
            raise ValueError(
                f"This {type(subject.estimator).__name__} has no readout, whose rows "
                f"are compared; name it (readout=...), or draw rows of your own with "
                f"from_rows."
            )
        if names is None and class_names is None and len(subject.classes):
            class_names = subject.classes
        return cls.from_rows(
            readout,
            metric=metric,
            names=names,
            class_names=class_names,
            label=label,
            ax=ax,
            **kwargs,
        )

    def plot(self, ax=None, **kwargs) -> RSMDisplay:
        """Draw the matrix on a scale from -1 to 1.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        RSMDisplay
            Itself.
        """
        n = len(self.matrix)
        style = {"cmap": DIVERGING, "vmin": -1, "vmax": 1}
        style = image_style(self.matrix, style, kwargs)
        # a row needs the height of a line of text, up to a page
        side = 2.2 if self.names is None else float(np.clip(0.15 * n, 2.2, 11))
        with drawing(ax, figsize=(side + 1.3, side + 0.7)) as ax:
            self.image_ = ax.imshow(self.matrix, **style)
            if self.names is not None:
                self._name_rows(ax)
            rows = "rows" if self.class_names is None else "classes"
            entitle(ax, f"{self.label} of {n} {rows}")
            bar = ax.figure.colorbar(self.image_, ax=ax, shrink=0.8)
            write(bar.ax.yaxis.label, self.label, 36)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name_rows(self, ax):
        """Names at both sides, as large as the rows allow."""
        n = len(self.names)
        height = 72 * ax.get_window_extent().height / ax.figure.dpi
        size = float(np.clip(0.8 * height / n, 3, 8))
        names = [as_text(name, 24) for name in self.names]
        style = {"fontsize": size, **plain("".join(names))}
        ax.set_xticks(range(n), names, rotation=90, **style)
        ax.set_yticks(range(n), names, **style)
