"""What measures, curves, scorers and displays need of a model (private)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktopo import frozen
from sktopo._images import as_images, resolve_image_shape, validate_images
from sktopo._observed import ObservedNetwork, observe_trained, sheet_of_trained
from sktopo.classifier import TopographicCNNClassifier
from sktopo.encoder import TopographicEncoder
from sktopo.frozen import FrozenNetwork
from sktopo.grid import Grid


@dataclass(frozen=True)
class Subject:
    """A fitted model, seen at one of its layers.

    Parameters
    ----------
    estimator : estimator
        The model itself.
    network : ObservedNetwork
        Its network, which can be run.
    classes : ndarray of shape (n_classes,)
        Labels of the logits; none of a model that is no classifier.
    grid : Grid
        The sheet that the layer's units stand on.
    check : callable
        Checks images in any accepted form.
    """

    estimator: BaseEstimator
    network: ObservedNetwork
    classes: np.ndarray
    grid: Grid
    check: Callable[[ArrayLike], np.ndarray]

    @property
    def image_shape(self):
        return self.network.image_shape

    @property
    def value_range(self):
        return self.network.value_range

    def respond(self, X):
        """Responses (n, n_units) to checked images, or to images of our own making."""
        return self.network.look(X, logits=False)[0][0]

    def best(self, X):
        """Index of the class of each image; and the largest value of the images."""
        (_, logits), largest = self.network.look(X, units=False)
        return logits.argmax(axis=1), largest


@dataclass(frozen=True)
class Predictor:
    """Any fitted classifier of images: what noise in images needs of it.

    Parameters
    ----------
    estimator : estimator
        The classifier.
    classes : ndarray of shape (n_classes,)
        Its labels.
    image_shape : tuple of (int, int, int)
        Channels, height and width.
    value_range : tuple of (float, float) or None
        Smallest and largest value of its images, where it knows that.
    form : tuple of int
        Shape of an image in the form that the classifier takes.
    columns : Index or None
        Names of the columns, of images in a frame.
    """

    estimator: BaseEstimator
    classes: np.ndarray
    image_shape: tuple[int, int, int]
    value_range: tuple[float, float] | None
    form: tuple[int, ...]
    columns: pd.Index | None

    def check(self, X):
        """Images as an array; the classifier checks them itself."""
        return np.asarray(as_images(X))

    def best(self, X):
        """Index of the class of each image; and the largest value of the images."""
        given = X.reshape(-1, *self.form)
        if self.columns is not None:
            given = pd.DataFrame(given, columns=self.columns)
        order = np.argsort(self.classes, kind="stable")
        found = np.asarray(self.estimator.predict(given))
        best = order[np.searchsorted(self.classes[order], found)]
        return best, float(np.abs(X).max())


def open_subject(
    estimator: BaseEstimator, X: ArrayLike | None = None, layer: str | None = None
) -> tuple[Subject, ArrayLike]:
    """Find the network inside an estimator, and the images that it sees.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, a
        Pipeline that ends in one, a FrozenEstimator around one, or a fitted search over
        one.
    X : array-like, default=None
        What the estimator is given.
    layer : str, default=None
        Name of a layer, as in ``named_modules()`` of the network. None: that of the
        grid.

    Returns
    -------
    tuple of (Subject, array-like)
        The network at that layer, and X as the steps before it transform it.

    Raises
    ------
    TypeError
        If there is no such model at the end.
    ValueError
        If it has no such layer.
    """
    *outer, model = _layers(estimator)
    kind = next((kind for kind in KINDS if isinstance(model, kind)), None)
    if kind is None:
        raise TypeError(_no_subject(model))
    for pipeline in outer:
        if X is not None and isinstance(pipeline, Pipeline) and len(pipeline) > 1:
            X = pipeline[:-1].transform(X)
    check_is_fitted(model)
    return KINDS[kind](model, layer), X


def open_predictor(estimator: BaseEstimator, X: ArrayLike):
    """Find what predicts: a subject, or any other fitted classifier as it is.

    Parameters
    ----------
    estimator : estimator
        As for `open_subject`, or any fitted classifier.
    X : array-like
        What the estimator is given.

    Returns
    -------
    tuple of (Subject or Predictor, array-like)
        It, and the images that noise is added to.
    """
    *_, model = _layers(estimator)
    if isinstance(model, tuple(KINDS)):
        return open_subject(estimator, X)
    if not hasattr(estimator, "predict") or isinstance(estimator, nn.Module):
        raise TypeError(_no_subject(model))
    check_is_fitted(estimator)
    if not hasattr(estimator, "classes_"):
        raise TypeError(
            f"{type(estimator).__name__} has no classes_: it is no fitted classifier."
        )
    images = np.asarray(as_images(X))
    shape = getattr(estimator, "image_shape_", None)
    predictor = Predictor(
        estimator,
        np.asarray(estimator.classes_),
        resolve_image_shape(images.shape, shape),
        getattr(estimator, "pixel_range_", None),
        images.shape[1:],
        getattr(X, "columns", None),
    )
    return predictor, X


def _layers(estimator):
    """An estimator, and what is inside it, down to the model."""
    while True:
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return


def _no_subject(model):
    kinds = " or ".join(kind.__name__ for kind in KINDS)
    advice = ""
    if isinstance(model, nn.Module):
        advice = (
            " Wrap a torch network: FrozenNetwork(module, layer, image_shape=(C, H, W))"
        )
    return (
        f"Expected a fitted {kinds}, or a Pipeline or search that ends in one; got "
        f"{type(model).__name__}.{advice}"
    )


def _of_trained(estimator, layer):
    network = observe_trained(estimator, layer)
    grid = sheet_of_trained(estimator, network)
    check = partial(validate_images, estimator, reset=False)
    classes = estimator.classes_ if is_classifier(estimator) else np.empty(0, int)
    return Subject(estimator, network, classes, grid, check)


def _of_frozen(model, layer):
    network = frozen.observe(model, layer)
    classes = frozen.check_classes(model, network)
    check = partial(frozen.check_images, model)
    return Subject(model, network, classes, frozen.sheet(model, network), check)


# What can be measured whole, and how its network is seen at a layer.
KINDS = {
    TopographicCNNClassifier: _of_trained,
    TopographicEncoder: _of_trained,
    FrozenNetwork: _of_frozen,
}
