"""Display of representational similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._evaluation import open_estimator
from sktopo.plotting._base import DIVERGING, new_axes


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

    def __init__(self, matrix: ArrayLike, names=None, label: str = "cosine similarity"):
        self.matrix = np.asarray(matrix, dtype=float)
        self.names = names
        self.label = label

    @classmethod
    def from_rows(
        cls, V: ArrayLike, *, metric: str = "cosine", names=None, ax=None, **kwargs
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
        label = "cosine similarity" if metric == "cosine" else "correlation (r)"
        return cls(matrix, names, label).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, metric: str = "cosine", ax=None, **kwargs
    ) -> RSMDisplay:
        """Draw the similarity of the readout's classes.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier with three classes or more.
        metric : {"cosine", "correlation"}, default="cosine"
            As for `sktopo.metrics.representational_similarity`.
        ax : Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to `imshow`.

        Returns
        -------
        RSMDisplay
            The display.
        """
        classifier, _ = open_estimator(estimator, None)
        weights, names = classifier.readout_weights_, classifier.classes_
        return cls.from_rows(weights, metric=metric, names=names, ax=ax, **kwargs)

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
        ax = new_axes(ax)
        style = {"cmap": DIVERGING, "vmin": -1, "vmax": 1, **kwargs}
        self.image_ = ax.imshow(self.matrix, **style)
        if self.names is not None:
            names = [str(name) for name in self.names]
            ax.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
            ax.set_yticks(range(len(names)), names, fontsize=8)
        ax.figure.colorbar(self.image_, ax=ax, label=self.label, shrink=0.8)
        self.ax_, self.figure_ = ax, ax.figure
        return self
