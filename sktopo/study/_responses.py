"""What a study keeps of a model's responses to the test images (private)."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier

from sktopo import metrics
from sktopo.metrics.activations import Activations

# Images of each class whose responses are kept.
PER_CLASS = 100
# What only a classifier has.
OPTIONAL = ("readout",)


def responses(estimator, X, y, classes):
    """What the study keeps of a model's responses; see `response_shapes`."""
    A = estimator.transform(X)
    rows = [np.flatnonzero(y == label)[:PER_CLASS] for label in classes]
    rows = np.sort(np.concatenate(rows))
    r = Activations(A).correlations
    r = r[np.triu_indices(len(r), k=1)]
    precision = metrics.average_precision(A, y, classes)
    experts = metrics.expert_units(A, y, classes=classes)
    readout = {}
    if is_classifier(estimator):
        readout["readout"] = estimator.readout_weights_
    return readout | {
        "activations": A[rows],
        "class_means": metrics.class_means(A, y).astype(np.float32),
        "average_precision": precision,
        "experts": experts.astype(np.uint8),
        "correlations": r[~np.isnan(r)].astype(np.float32),
        "rows": rows.astype(np.int64),
    }


def response_shapes(n_units, n_classes):
    """Shapes of `responses`; None where the data decide."""
    return {
        "activations": (None, n_units),
        "class_means": (None, n_units),
        "readout": (n_classes, n_units),
        "average_precision": (n_units, n_classes),
        "experts": (n_units, n_classes),
        "correlations": (None,),
        "rows": (None,),
    }
