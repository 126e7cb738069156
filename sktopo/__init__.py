"""Topographic convolutional networks with scikit-learn's interface."""

import importlib

from sktopo import (
    augment,
    datasets,
    frozen,
    grid,
    losses,
    metrics,
    networks,
    noise,
    robustness,
    scorers,
    stimuli,
    transformers,
)
from sktopo._measures import measure, measure_activations, select_results, unit_table
from sktopo.classifier import TopographicCNNClassifier
from sktopo.encoder import TopographicEncoder
from sktopo.frozen import FrozenNetwork
from sktopo.transformers import GridActivations, ImageNoise

__all__ = [
    "FrozenNetwork",
    "GridActivations",
    "ImageNoise",
    "TopographicCNNClassifier",
    "TopographicEncoder",
    "augment",
    "datasets",
    "frozen",
    "grid",
    "losses",
    "measure",
    "measure_activations",
    "metrics",
    "networks",
    "noise",
    "plotting",
    "replication",
    "robustness",
    "scorers",
    "select_results",
    "stimuli",
    "study",
    "transformers",
    "unit_table",
]
__version__ = "0.2.0"

# Imported when they are first asked for: they take time, or draw.
_LAZY = ("plotting", "replication", "study")


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"sktopo.{name}")
    raise AttributeError(f"module 'sktopo' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY})
