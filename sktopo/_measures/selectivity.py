"""Which classes units detect, and where such units stand."""

import numpy as np

from sktopo import metrics
from sktopo._measures.group import Group
from sktopo.metrics.selectivity import experts_of, prevalence_of


def selectivity(given, table):
    A, y, grid = given.activations, given.labels, given.grid
    precision = metrics.average_precision(A, y)
    table.add_mean("best_average_precision", precision.max(axis=1))
    prevalence = prevalence_of(np.unique(y), y)
    for name, experts in (
        ("experts", experts_of(precision, prevalence)),
        ("anti_experts", metrics.expert_units(A, y, anti=True)),
    ):
        counts = metrics.expert_counts(experts)
        where = metrics.expert_localization(experts, grid)
        n_pairs = (where.n_experts * (where.n_experts - 1) // 2).sum()
        table.add(f"n_{name}", counts.n_experts, experts.size)
        table.add(f"{name}_classes_without", counts.n_classes_without, experts.shape[1])
        table.add(f"{name}_entropy", counts.entropy, counts.n_experts)
        table.add(f"{name}_distance_ratio", where.pooled, n_pairs)
    d = metrics.d_prime(A, y)
    table.add_mean("best_d_prime", d.max(axis=1))
    table.add_mean("best_t", metrics.t_statistic(A, y).max(axis=1))
    if grid.n_units > 1:
        smoothness = [
            metrics.difference_by_distance(column, given.bins).smoothness
            for column in d.T
        ]
        table.add_mean("d_prime_smoothness", smoothness)


GROUP = Group("selectivity", {"activations", "labels"}, selectivity)
