"""How near each other units stand that respond alike."""

from sktopo import metrics
from sktopo._measures.group import Group


def localization(given, table):
    found = metrics.functional_localization(given.activations, given.grid)
    for row in found.itertuples():
        at = {"threshold": row.threshold}
        table.add("distance_of_correlated", row.mean_distance, row.n_pairs, **at)
        table.add("distance_ratio", row.ratio, row.n_pairs, **at)


GROUP = Group("localization", {"activations"}, localization)
