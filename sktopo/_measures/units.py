"""A table of the units: where they stand, what they prefer, how they respond."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktopo import metrics
from sktopo._evaluation import Evaluation
from sktopo._measures.tuning import eccentricity_of, orientation_of


def unit_table(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike | None = None,
    layer: str | None = None,
) -> pd.DataFrame:
    """Describe each unit of a layer in a row.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or a
        Pipeline or search that ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images, best held out from training.
    y : array-like of shape (n,), default=None
        Class labels. None: what needs labels is nan.
    layer : str, default=None
        Name of the layer. None: that of the grid.

    Returns
    -------
    DataFrame
        A row a unit: unit; row, column, its place on the sheet; best_class, the label
        that it detects best; average_precision and d_prime, of that class; variance and
        percentage_of_zeros (in [0, 1]) of its responses; preferred_orientation in
        degrees and orientation_amplitude, in standard deviations of its responses;
        eccentricity, the size of its change by a probe weighted by the probe's distance
        from the centre (1: no preference, less: the centre, more: the rim). What is
        undefined is missing.

    Raises
    ------
    ValueError
        On an unknown layer, or y of another length.
    TypeError
        If the estimator holds no network.

    See Also
    --------
    measure : The measures of the whole layer.
    sktopo.plotting.GridMapDisplay.from_values : Any column as a map.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier, unit_table
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=3, lr=3e-3, random_state=0).fit(X, y)
    >>> units = unit_table(clf, X, y)
    >>> units.shape
    (121, 11)
    >>> units.groupby("best_class")["variance"].mean().index.tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    evaluation = Evaluation.of(estimator, X, y, layer=layer)
    A, subject = evaluation.activations, evaluation.subject
    row, column = subject.grid.coordinates.T
    orientation = orientation_of(subject, A)
    table = pd.DataFrame({"unit": np.arange(A.shape[1]), "row": row, "column": column})
    for name, values in _preferences(A, evaluation.y).items():
        table[name] = values
    table["variance"] = metrics.activation_variance(A)
    table["percentage_of_zeros"] = metrics.percentage_of_zeros(A)
    table["preferred_orientation"] = orientation.preferred
    table["orientation_amplitude"] = orientation.amplitude
    table["eccentricity"] = eccentricity_of(subject).relative_abs
    return table


def _preferences(A, y):
    """Best class, average precision and d' of each unit."""
    n_units = A.shape[1]
    if y is None:
        nothing = np.full(n_units, np.nan)
        best = np.full(n_units, None)
        return {"best_class": best, "average_precision": nothing, "d_prime": nothing}
    classes = np.unique(y)
    precision = metrics.average_precision(A, y, classes)
    units, best = np.arange(n_units), precision.argmax(axis=1)
    precision, d = precision[units, best], metrics.d_prime(A, y)[units, best]
    labels = classes[best]
    constant = np.ptp(A, axis=0) == 0  # these detect nothing
    if constant.any():
        precision[constant] = np.nan
        labels = np.where(constant, None, labels.astype(object))
    return {"best_class": labels, "average_precision": precision, "d_prime": d}
