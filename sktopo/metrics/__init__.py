"""Measures of grids, activations and representations (NumPy and SciPy only)."""

from sktopo.metrics.geometry import representational_similarity, rsm_similarity
from sktopo.metrics.localization import functional_localization
from sktopo.metrics.selectivity import (
    average_precision,
    expert_counts,
    expert_localization,
    expert_units,
)
from sktopo.metrics.smoothness import morans_i

__all__ = [
    "average_precision",
    "expert_counts",
    "expert_localization",
    "expert_units",
    "functional_localization",
    "morans_i",
    "representational_similarity",
    "rsm_similarity",
]
