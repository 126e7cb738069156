"""Every measure of a model: one registry of groups, one schema of results.

A module a group, with its entry GROUP; `registry.GROUPS` holds them all.
"""

from sktopo._measures.registry import measure, measure_activations
from sktopo._measures.results import select_results

__all__ = ["measure", "measure_activations", "select_results"]
