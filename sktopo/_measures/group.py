"""What a group of measures is, and what it may ask for."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sktopo._measures.results import Table
from sktopo.metrics.activations import Activations
from sktopo.metrics.distances import DistanceBins

# What a group may need, in words.
NEEDS = {
    "activations": "activations",
    "labels": "labels of the images (y)",
    "weights": "a layer with weights",
    "images": "a network and images",
    "classifier": "a network that predicts labels",
}


@dataclass(frozen=True)
class Group:
    """Measures that are taken together.

    Parameters
    ----------
    name : str
        As in the column "group".
    needs : set of {"activations", "labels", "weights", "images", "classifier"}
        What must be given for it to run; "images": the network and the images that it
        saw; "classifier": one that predicts labels, and the labels.
    take : callable
        ``take(given, table)`` adds the rows.
    by_layer : bool, default=True
        Whether it is of a layer's units, so that a study takes it at each layer.
    """

    name: str
    needs: Set[str]
    take: Callable[[Given, Table], None]
    by_layer: bool = True


class Given:
    """What is measured; what several groups need of it is computed once.

    Parameters
    ----------
    activations : callable
        Gives the `Activations`, when they are first needed.
    grid : Grid
        Where the units stand.
    labels : ndarray of shape (n_images,), default=None
        Class labels.
    weights : ndarray of shape (n_units, fan_in), default=None
        Incoming weights of the units.
    value_range : tuple of (float, float), default=None
        Range of the shared entropy.
    evaluation, reference : Evaluation, default=None
        A network and its responses to the images, and those of another one.
    seed : int, default=None
        Of noise, pruning and pairings.
    """

    def __init__(
        self,
        activations,
        grid,
        labels=None,
        weights=None,
        value_range=None,
        evaluation=None,
        reference=None,
        seed=None,
    ):
        self._activations = activations
        self.grid = grid
        self.labels = labels
        self.weights = weights
        self._value_range = value_range
        self.evaluation = evaluation
        self.reference = reference
        self.seed = seed

    @classmethod
    def of(cls, evaluation, reference, seed):
        """What a fitted model gives."""
        return cls(
            lambda: Activations(evaluation.activations),
            evaluation.subject.grid,
            evaluation.y,
            evaluation.network.weights,
            evaluation=evaluation,
            reference=reference,
            seed=seed,
        )

    def lacks(self, needs):
        """What a group needs and is not given, in words."""
        there = {"activations"}
        there |= set() if self.labels is None else {"labels"}
        there |= set() if self.weights is None else {"weights"}
        if self.evaluation is not None:
            there |= {"images"}
            there |= {"classifier"} if len(self.evaluation.subject.classes) else set()
        missing = needs - there
        if "classifier" in needs and self.labels is None:  # which are predicted
            missing |= {"labels"}
        return [words for need, words in NEEDS.items() if need in missing]

    @cached_property
    def activations(self):
        return self._activations()

    @cached_property
    def bins(self):
        return DistanceBins(self.grid)

    @cached_property
    def value_range(self):
        """That which was given, or 0.1 to 99.9 % of the reference's responses."""
        if self.reference is None:
            return self._value_range
        low, high = np.percentile(self.reference.activations, (0.1, 99.9))
        return (low, high) if low < high else None  # of units that never respond
