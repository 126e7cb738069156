"""How smooth the maps are, and how correlation falls with distance."""

from dataclasses import replace

from sktopo import metrics
from sktopo._measures.group import Group
from sktopo.grid import NEIGHBORHOODS


def smoothness(given, table):
    A, grid = given.activations, given.grid
    if grid.n_units < 2:
        return
    for neighborhood in NEIGHBORHOODS:
        values = metrics.morans_i(
            A.values, grid_shape=replace(grid, neighborhood=neighborhood)
        )
        table.add_mean("morans_i", values, neighborhood=neighborhood)
    values = metrics.morans_i(A.values, standardize=True, grid_shape=grid)
    table.add_mean("morans_i_standardized", values, neighborhood=grid.neighborhood)
    for row in metrics.correlation_by_distance(A, given.bins).itertuples():
        table.add("correlation", row.correlation, row.n_pairs, distance=row.distance)
    try:
        bimodality = metrics.correlation_bimodality(A)
        table.add("dip", bimodality.dip, bimodality.n_pairs)
    except ImportError:  # the extra `stats` is optional; its row is left out
        bimodality = metrics.correlation_bimodality(A, dip=False)
    table.add("bimodality_coefficient", bimodality.coefficient, bimodality.n_pairs)
    for row in metrics.spatial_autocorrelation(A.values, grid_shape=grid).itertuples():
        where = {"axis": row.axis, "lag": row.lag}
        table.add("autocorrelation", row.correlation, row.n_maps, **where)


GROUP = Group("smoothness", {"activations"}, smoothness)
