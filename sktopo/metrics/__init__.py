"""Measures of grids, activations and representations (NumPy and SciPy only)."""

from sktopo.metrics.activity import (
    activation_entropy,
    activation_variance,
    percentage_of_zeros,
    weight_norm,
)
from sktopo.metrics.dimensionality import effective_dimensionality
from sktopo.metrics.geometry import (
    class_means,
    consistency,
    linear_cka,
    representational_similarity,
    rsm_similarity,
)
from sktopo.metrics.localization import functional_localization
from sktopo.metrics.selectivity import (
    average_precision,
    d_prime,
    expert_counts,
    expert_localization,
    expert_units,
    t_statistic,
)
from sktopo.metrics.smoothness import (
    correlation_bimodality,
    correlation_by_distance,
    difference_by_distance,
    morans_i,
    spatial_autocorrelation,
)
from sktopo.metrics.tuning import (
    eccentricity_profile,
    orientation_tuning,
    symmetry_sensitivity,
)

__all__ = [
    "activation_entropy",
    "activation_variance",
    "average_precision",
    "class_means",
    "consistency",
    "correlation_bimodality",
    "correlation_by_distance",
    "d_prime",
    "difference_by_distance",
    "eccentricity_profile",
    "effective_dimensionality",
    "expert_counts",
    "expert_localization",
    "expert_units",
    "functional_localization",
    "linear_cka",
    "morans_i",
    "orientation_tuning",
    "percentage_of_zeros",
    "representational_similarity",
    "rsm_similarity",
    "spatial_autocorrelation",
    "symmetry_sensitivity",
    "t_statistic",
    "weight_norm",
]
