"""Topographic convolutional networks with scikit-learn's interface."""

from sktopo import datasets, losses, metrics, networks, noise, robustness, scorers
from sktopo.classifier import TopographicCNNClassifier
from sktopo.transformers import GridActivations, ImageNoise

__all__ = [
    "GridActivations",
    "ImageNoise",
    "TopographicCNNClassifier",
    "datasets",
    "losses",
    "metrics",
    "networks",
    "noise",
    "robustness",
    "scorers",
]
__version__ = "0.1.0.dev0"
