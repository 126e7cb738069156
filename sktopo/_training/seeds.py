"""Seeds: each source of chance its own, and torch's global state left alone."""

from __future__ import annotations

import contextlib
import threading
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state

_initialising = threading.RLock()  # a factory may open another model


@contextlib.contextmanager
def seeded_initialisation(seed):
    """Torch's global CPU generator and dtype, for one thread and restored afterwards.

    The generator is seeded, and the dtype of new tensors is float32.
    """
    with _initialising:
        before, dtype = torch.get_rng_state(), torch.get_default_dtype()
        torch.default_generator.manual_seed(seed)
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_rng_state(before)
            if dtype != torch.float32:
                torch.set_default_dtype(dtype)


class Seeds(NamedTuple):
    """One seed for each thing that chance decides in a training."""

    initialisation: int
    shuffling: int
    dropout: int
    split: int
    augmentation: int


def draw_seeds(random_state):
    """Seeds of a new model; None draws fresh entropy."""
    if isinstance(random_state, Integral):
        entropy = int(random_state)
    elif random_state is None:
        entropy = None
    else:
        entropy = check_random_state(random_state).randint(2**31)
    sequence = np.random.SeedSequence(entropy)
    return Seeds(*sequence.generate_state(5).tolist())
