"""How strong spatial terms are: `lam` itself, or a ratio of gradients to the task's."""

from __future__ import annotations

import math

import torch
from torch import nn

# ConTopo's: what keeps the ratio finite, its bound, and the weight of a new step.
_TINY, _MOST, _NEWEST = 1e-8, 1e4, 0.1
# Steps over which "calibrated" measures.
CALIBRATION_STEPS = 10


class Fixed(nn.Module):
    """`lam` is the weight of the spatial loss."""

    measures = False
    factor = 1.0


class _Measured(nn.Module):
    """What was measured is part of the state, so that a training can go on."""

    def __init__(self, *names):
        super().__init__()
        for name in ("n_steps", *names):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def note(self, task, topo):
        """Take the norms of the gradients of the task and of the spatial loss."""
        if math.isfinite(task) and math.isfinite(topo):
            self._note(task, topo)
            self.n_steps += 1


class Calibrated(_Measured):
    """`lam` is a ratio of gradients, measured over the first steps and then held."""

    def __init__(self):
        super().__init__("task", "topo")

    @property
    def measures(self):
        return self.n_steps.item() < CALIBRATION_STEPS

    def _note(self, task, topo):
        self.task += task
        self.topo += topo

    @property
    def factor(self):
        return min(self.task.item() / (self.topo.item() + _TINY), _MOST)


class Matched(_Measured):
    """`lam` is a ratio of gradients, tracked by a moving average in each step."""

    measures = True

    def __init__(self):
        super().__init__("ratio")

    def _note(self, task, topo):
        found = min(task / (topo + _TINY), _MOST)
        weight = _NEWEST if self.n_steps.item() else 1.0
        self.ratio += weight * (found - self.ratio)

    @property
    def factor(self):
        return self.ratio.item()


# What `lam` means, by the name that estimators know it by.
LAM_MODES = {"fixed": Fixed, "calibrated": Calibrated, "matched": Matched}
