"""Spatial losses: neighbouring units of a grid are asked to be alike."""

from sktopo.losses import registry
from sktopo.losses.attach import TopographicLoss
from sktopo.losses.distances import DISTANCES, neighbor_distance
from sktopo.losses.registry import *  # noqa: F403 (the classes that it lists)

__all__ = ["DISTANCES", "TopographicLoss", "neighbor_distance", *registry.__all__]
