"""Every measure of a model: one registry of groups, one schema of results.

A module a group, with its entry GROUP; `registry.GROUPS` holds them all.
"""

from sktopo._measures.registry import measure, measure_activations
from sktopo._measures.results import select_results
from sktopo._measures.units import unit_table

__all__ = ["measure", "measure_activations", "select_results", "unit_table"]
