"""Displays, in the manner of scikit-learn's; they need the extra `plot`."""

from sktopo.plotting._curves import (
    CorrelationDistanceDisplay,
    CorrelationHistogramDisplay,
    DifferenceByDistanceDisplay,
    EccentricityDisplay,
    LambdaCurveDisplay,
    RobustnessDisplay,
    RSMDisplay,
)
from sktopo.plotting._maps import (
    ExpertMapDisplay,
    GridMapDisplay,
    OrientationMapDisplay,
)

__all__ = [
    "CorrelationDistanceDisplay",
    "CorrelationHistogramDisplay",
    "DifferenceByDistanceDisplay",
    "EccentricityDisplay",
    "ExpertMapDisplay",
    "GridMapDisplay",
    "LambdaCurveDisplay",
    "OrientationMapDisplay",
    "RSMDisplay",
    "RobustnessDisplay",
]
