"""A fitted classifier and its responses to labelled images (private)."""

import warnings
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sktopo._images import slices, validate_images, validate_weights
from sktopo._labels import as_labels, check_label_types
from sktopo.classifier import TopographicCNNClassifier
from sktopo.networks import Head

# Images looked at in one go, so that memory is bounded; fewer of many features each.
_CHUNK, _CHUNK_VALUES = 4096, 2**22
# Features that are kept for a second pass.
_KEPT_VALUES = 2**24


def open_estimator(
    estimator: BaseEstimator, X: ArrayLike
) -> tuple[TopographicCNNClassifier, ArrayLike]:
    """Find the topographic classifier inside an estimator, and the images it sees.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, or a Pipeline that ends in one, a
        FrozenEstimator around one, or a fitted search over one.
    X : array-like
        What the estimator is given.

    Returns
    -------
    tuple of (TopographicCNNClassifier, array-like)
        The classifier, and X as the steps before it transform it.

    Raises
    ------
    TypeError
        If there is no topographic classifier at the end.
    """
    for pipeline in _layers(estimator):
        if isinstance(pipeline, Pipeline) and len(pipeline) > 1:
            X = pipeline[:-1].transform(X)
    return find_classifier(estimator), X


def find_classifier(estimator: BaseEstimator) -> TopographicCNNClassifier:
    """Find the fitted topographic classifier, as `open_estimator` without images."""
    *_, classifier = _layers(estimator)
    check_is_fitted(classifier)
    return classifier


def _layers(estimator):
    """An estimator, and what is inside it, down to the topographic classifier."""
    while not isinstance(estimator, TopographicCNNClassifier):
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            raise TypeError(
                f"Expected a fitted TopographicCNNClassifier, or a Pipeline that ends "
                f"in one; got {type(estimator).__name__}."
            )
    yield estimator


class Evaluation:
    """One pass of labelled images through a fitted classifier, kept for many measures.

    Parameters
    ----------
    estimator : estimator
        As for `open_estimator`.
    X : array-like
        Images.
    y : array-like of shape (n,)
        Labels, of the type of the classes; those that the classifier does not know
        count as wrong, with a warning.
    sample_weight : array-like of shape (n,), default=None
        Weights of the images in accuracies.
    """

    def __init__(self, estimator, X, y, sample_weight=None):
        self.classifier, X = open_estimator(estimator, X)
        self.X = validate_images(self.classifier, X, reset=False)
        self.y = as_labels(y)
        check_consistent_length(self.X, self.y)
        weights = validate_weights(sample_weight, self.X)
        if not weights.any():
            raise ValueError("All samples have weight zero: accuracy is undefined.")
        self.weights = weights / weights.max()
        self.targets = self._targets()

    def _targets(self):
        """Indices of the labels among the classes, -1 for those that are none."""
        classes = self.classifier.classes_
        check_label_types(self.y, classes)
        targets = np.full(len(self.y), -1)
        for index, label in enumerate(classes):
            targets[self.y == label] = index
        unknown = self.y[targets < 0]
        if len(unknown):
            some = np.unique(unknown).tolist()
            warnings.warn(
                f"{len(unknown)} of {len(targets)} labels are none of the classes that "
                f"the model knows, and count as wrong: {str(some[:5])[1:-1]}"
                f"{', ...' if len(some) > 5 else ''}.",
                UserWarning,
                stacklevel=4,
            )
        return targets

    @cached_property
    def features(self):
        """All of them, for those who need them many times."""
        features, largest = self.classifier._evaluate(self.X, _as_features)
        self.classifier._warn_of_range(largest, len(self.y))
        return features

    def keep_features(self):
        """Run the backbone once for all that follows, if its features are not many."""
        if len(self.y) * self.head.grid_weights.shape[1] <= _KEPT_VALUES:
            _ = self.features

    @cached_property
    def head(self):
        return Head.of(self.classifier.module_)

    @cached_property
    def activations(self):
        return self.head.activations(self.features)

    @cached_property
    def accuracy(self):
        hits = 0.0
        for rows, activations in self.activation_chunks():
            hits += self.hits(self.head.classify(activations).argmax(axis=1), rows)
        return hits / self.total_weight

    @cached_property
    def total_weight(self):
        return float(self.weights.sum())

    def hits(self, best, rows):
        """Weight of the images among `rows` whose best class is the right one."""
        return float(self.weights[rows] @ (best == self.targets[rows]))

    def chunks(self):
        """Rows and backbone features, some images at a time."""
        known = vars(self).get("features")
        largest = 0.0
        width = max(self.head.grid_weights.shape)
        for rows in slices(len(self.y), max(1, min(_CHUNK, _CHUNK_VALUES // width))):
            if known is not None:
                yield rows, known[rows]
                continue
            features, found = self.classifier._evaluate(self.X[rows], _as_features)
            largest = max(largest, found)
            yield rows, features
        if known is None:
            self.classifier._warn_of_range(largest, len(self.y))

    def activation_chunks(self):
        """Rows and grid activations, some images at a time."""
        for rows, features in self.chunks():
            yield rows, self.head.activations(features)


def _as_features(head, features):
    return features
