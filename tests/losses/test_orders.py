"""What theory says of every loss: order costs less than disorder, and falls into place.

The sheet has smooth maps, of waves that are longer than half of it and close around a
torus, with a little noise.
"""

import inspect

import numpy as np
import pytest
import torch

from sktopo.grid import Grid
from sktopo.losses import LOSSES
from sktopo.losses.registry import make_loss
from sktopo.metrics import morans_i

SHAPE = (8, 9)
N_VALUES = 30

# It mixes units with images, and is here to show what that does.
ORDERED = sorted(set(LOSSES) - {"as_untransposed"})
CASES = [
    (name, wrap)
    for name in ORDERED
    for wrap in (False, True)
    if not wrap or "wrap" in inspect.signature(LOSSES[name]).parameters
]
every_case = pytest.mark.parametrize(("name", "wrap"), CASES)


def made(name, wrap):
    return make_loss(name, SHAPE, **({"wrap": True} if wrap else {}))


def value(loss, vectors):
    """The loss of these vectors of the units."""
    return loss(vectors if loss.source == "weights" else vectors.T)


def smooth_vectors(rng):
    rows, columns = Grid(SHAPE).coordinates.T / np.array(SHAPE)[:, None] * 2 * np.pi
    waves = [np.cos(rows), np.sin(rows), np.cos(columns), np.sin(columns)]
    vectors = np.transpose(waves) @ rng.normal(size=(4, N_VALUES))
    vectors += 0.1 * rng.normal(size=vectors.shape)
    return torch.from_numpy(vectors)


def test_losses_of_both_kinds_of_grid_are_here():
    assert {"ws", "laplacian", "spatial_correlation"} <= {name for name, _ in CASES}
    assert ("ws", True) in CASES
    assert ("laplacian", True) not in CASES


@every_case
def test_a_smooth_sheet_costs_less_than_a_shuffled_one(name, wrap, rng):
    vectors = smooth_vectors(rng)
    loss = made(name, wrap)
    smooth = value(loss, vectors).item()
    shuffled = [value(loss, vectors[rng.permutation(72)]).item() for _ in range(20)]
    assert smooth < min(shuffled) - 3 * np.std(shuffled)


@every_case
def test_more_disorder_costs_more(name, wrap, rng):
    vectors = smooth_vectors(rng)
    loss = made(name, wrap)
    values = []
    for n_moved in (0, 8, 24, 72):
        turns = []
        for _ in range(10):
            order = np.arange(72)
            moved = rng.choice(72, n_moved, replace=False)
            order[moved] = rng.permutation(moved)
            turns.append(value(loss, vectors[order]).item())
        values.append(np.mean(turns))
    assert values == sorted(values)


@every_case
def test_minimising_it_makes_smooth_maps(name, wrap, rng):
    vectors = torch.from_numpy(rng.normal(size=(72, N_VALUES))).requires_grad_()
    loss, grid = made(name, wrap), Grid(SHAPE, wrap=wrap)

    def smoothness():
        maps = vectors.detach().numpy().T.reshape(-1, *SHAPE)
        return np.mean(morans_i(maps, grid_shape=grid))

    before = smoothness()
    optimizer = torch.optim.Adam([vectors], lr=0.2)
    for _ in range(40):
        optimizer.zero_grad()
        value(loss, vectors).backward()
        optimizer.step()
    assert abs(before) < 0.1
    assert smoothness() > before + 0.15
