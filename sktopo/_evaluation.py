"""A model and its responses to labelled images (private)."""

from functools import cached_property

import numpy as np
from sklearn.utils import check_consistent_length

from sktopo._forward import warn_of_range
from sktopo._images import slices, validate_weights
from sktopo._labels import as_labels, check_label_types
from sktopo._subject import open_subject
from sktopo._warn import warn_user

# Images looked at in one go, so that memory is bounded; fewer of many features each.
_CHUNK, _CHUNK_VALUES = 4096, 2**22
# Features that are kept for a second pass.
_KEPT_VALUES = 2**24


class LabelledImages:
    """Labelled images and the model that is to tell them apart.

    Parameters
    ----------
    subject : Subject or Predictor
        The model.
    X : array-like
        Images that it sees.
    y : array-like of shape (n,) or None
        Labels, of the type of the classes; those that the model does not know count as
        wrong, with a warning. None: there are none, and no accuracy.
    sample_weight : array-like of shape (n,), default=None
        Weights of the images in accuracies.
    """

    def __init__(self, subject, X, y, sample_weight=None):
        self.subject = subject
        self.X = subject.check(X)
        self.y = None if y is None else as_labels(y)
        check_consistent_length(self.X, self.y)
        weights = validate_weights(sample_weight, self.X)
        if not weights.any():
            raise ValueError("All samples have weight zero: accuracy is undefined.")
        self.weights = weights / weights.max()
        self.total_weight = float(self.weights.sum())
        if self.can_predict:
            self.targets = self._targets()

    @property
    def can_predict(self):
        """Whether there are labels, and a classifier to predict them."""
        return self.y is not None and len(self.subject.classes) > 0

    def require_labels(self, what="This"):
        """Raise a ValueError where there are none."""
        if self.y is None:
            raise ValueError(f"{what} needs the labels of the images; y is None.")

    def require_accuracy(self):
        """Raise a ValueError where there can be no accuracy."""
        self.require_labels("Accuracy")
        if not self.can_predict:
            raise ValueError(
                f"This {type(self.subject.estimator).__name__} has no classes: it does "
                f"not predict, and has no accuracy. A classifier on its responses has: "
                f"make_pipeline(model, LogisticRegression())."
            )

    def _targets(self):
        """Indices of the labels among the classes, -1 for those that are none."""
        classes = self.subject.classes
        check_label_types(self.y, classes)
        targets = np.full(len(self.y), -1)
        for index, label in enumerate(classes):
            targets[self.y == label] = index
        unknown = self.y[targets < 0]
        if len(unknown):
            some = np.unique(unknown).tolist()
            warn_user(
                f"{len(unknown)} of {len(targets)} labels are none of the classes that "
                f"the model knows, and count as wrong: {str(some[:5])[1:-1]}"
                f"{', ...' if len(some) > 5 else ''}."
            )
        return targets

    @cached_property
    def best(self):
        """Index of the best class of each image."""
        best, largest = self.subject.best(self.X)
        self.warn_of_range(largest)
        return best

    @cached_property
    def accuracy(self):
        self.require_accuracy()
        return self.hits(self.best, slice(None)) / self.total_weight

    def warn_of_range(self, largest):
        """Say so if the images have other values than the model was made for."""
        if self.subject.value_range is not None:
            warn_of_range(largest, len(self.X), self.subject.value_range)

    def hits(self, best, rows):
        """Weight of the images among `rows` whose best class is the right one."""
        return float(self.weights[rows] @ (best == self.targets[rows]))


class Evaluation(LabelledImages):
    """One pass of labelled images through a network, kept for many measures.

    Where the network ends in a head, the features before it are kept, and the head
    gives all else; elsewhere, what the units and the network answered.

    Parameters
    ----------
    subject : Subject
        The network at a layer, as `sktopo._subject.open_subject` finds it.
    X, y, sample_weight : object
        As for `LabelledImages`.
    """

    @classmethod
    def of(cls, estimator, X, y, sample_weight=None, layer=None):
        """Open an estimator and take its images."""
        subject, X = open_subject(estimator, X, layer)
        return cls(subject, X, y, sample_weight)

    @property
    def network(self):
        return self.subject.network

    @cached_property
    def head(self):
        return self.network.head

    def keep(self):
        """Run the network once for all that follows."""
        _ = self.activations if self.head is None else self.features

    def keep_if_small(self):
        """As `keep`, if what is kept is not much."""
        width = self.network.n_units
        if self.head is not None:
            width = self.head.grid_weights.shape[1]
        if len(self.X) * width <= _KEPT_VALUES:
            self.keep()

    # ------------------------------------------------------------ with a head

    @cached_property
    def features(self):
        """Of all images, for those who need them many times."""
        features, largest = self.network.features(self.X)
        self.warn_of_range(largest)
        return features

    def chunks(self):
        """Rows and features, some images at a time."""
        known = vars(self).get("features")
        largest = 0.0
        width = max(self.head.grid_weights.shape)
        for rows in self._slices(width):
            if known is not None:
                yield rows, known[rows]
                continue
            features, found = self.network.features(self.X[rows])
            largest = max(largest, found)
            yield rows, features
        if known is None:
            self.warn_of_range(largest)

    # ------------------------------------------------------------ with or without one

    @cached_property
    def _seen(self):
        """Responses, and the best classes, of a network without a head."""
        (units, logits), largest = self.network.look(self.X)
        self.warn_of_range(largest)
        return units, None if logits is None else logits.argmax(axis=1)

    @cached_property
    def activations(self):
        if self.head is None:
            return self._seen[0]
        return self.head.activations(self.features)

    @cached_property
    def best(self):
        if self.head is None:
            return self._seen[1] if "_seen" in vars(self) else super().best
        parts = [self.head.logits(part).argmax(axis=1) for _, part in self.chunks()]
        return np.concatenate(parts)

    def activation_chunks(self):
        """Rows and activations, some images at a time."""
        if self.head is None:
            for rows in self._slices(self.network.n_units):
                yield rows, self.activations[rows]
        else:
            for rows, features in self.chunks():
                yield rows, self.head.activations(features)

    def best_without(self, units, rows, activations):
        """Best classes of some images when some units are silenced."""
        if self.head is None:
            with self.network.without(units):
                return self.subject.best(self.X[rows])[0]
        kept = activations.copy()
        kept[:, units] = 0
        return self.head.classify(kept).argmax(axis=1)

    def _slices(self, width):
        return slices(len(self.X), max(1, min(_CHUNK, _CHUNK_VALUES // width)))
