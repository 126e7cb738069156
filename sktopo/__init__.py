"""Topographic convolutional networks with scikit-learn's interface."""

from sktopo import (
    datasets,
    losses,
    metrics,
    networks,
    noise,
    robustness,
    scorers,
    stimuli,
)
from sktopo._measures import measure, measure_activations, select_results
from sktopo.classifier import TopographicCNNClassifier
from sktopo.transformers import GridActivations, ImageNoise

__all__ = [
    "GridActivations",
    "ImageNoise",
    "TopographicCNNClassifier",
    "datasets",
    "losses",
    "measure",
    "measure_activations",
    "metrics",
    "networks",
    "noise",
    "robustness",
    "scorers",
    "select_results",
    "stimuli",
]
__version__ = "0.2.0.dev0"
