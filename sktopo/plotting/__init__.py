"""Displays, in the manner of scikit-learn's; they need the extra `plot`."""

from sktopo.plotting.correlations import (
    CorrelationDistanceDisplay,
    CorrelationHistogramDisplay,
    DifferenceByDistanceDisplay,
)
from sktopo.plotting.curves import (
    EccentricityDisplay,
    LambdaCurveDisplay,
    RobustnessDisplay,
)
from sktopo.plotting.maps import (
    ExpertMapDisplay,
    GridMapDisplay,
    OrientationMapDisplay,
)
from sktopo.plotting.similarity import RSMDisplay

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
