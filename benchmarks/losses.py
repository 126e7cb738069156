"""What each spatial loss costs: its value and gradient beside a training step."""

from functools import partial

import torch
from baselines import pair_by_pair_loss
from rows import beside, drawn_images, fastest
from training import steps

from sktopo.losses import LOSSES
from sktopo.losses.registry import make_loss

BATCH = 64
CONTESTANTS = {name: (name, {}) for name in LOSSES} | {
    "spatial_correlation, absolute": ("spatial_correlation", {"form": "absolute"}),
    "spatial_correlation, radius 3": ("spatial_correlation", {"radius": 3}),
}
STEP = "a step without it"


def passes(loss, shape, n_calls=1):
    """Value and gradient of a loss of random numbers, as a contestant."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(shape, generator=generator, requires_grad=True)

    def run():
        vectors.grad = None
        loss(vectors).backward()

    return run, n_calls


def made(grid_shape, fan_in, n_calls, contestants=CONTESTANTS):
    """Each loss on a grid."""
    n_units = grid_shape[0] * grid_shape[1]
    found = {}
    for label, (name, settings) in contestants.items():
        loss = make_loss(name, grid_shape, **settings)
        shape = (n_units, fan_in) if loss.source == "weights" else (BATCH, n_units)
        found[label] = passes(loss, shape, n_calls)
    return found


def loss_rows(size):
    """Losses beside a step of the small network, on the usual and on a large grid."""
    X, y = drawn_images(size.batch, size.side)
    for grid_shape in (size.grid, (size.large_grid, size.large_grid)):
        n_calls = size.calls if grid_shape == size.grid else 1
        settings = {"backbone": "small", "grid_shape": grid_shape, "topo_loss": None}
        spent = fastest(
            size.turns,
            step=steps(X, y, n_calls, **settings),
            **made(grid_shape, 64, n_calls),
        )
        for name in CONTESTANTS:
            what = f"{name}, {grid_shape[0]} x {grid_shape[1]} units"
            found = {"ours": spent[name], STEP: spent["step"]}
            yield from beside("losses", what, found, size.turns)
    yield from published_rows(size)
    yield from wide_rows(size)


def published_rows(size):
    """WS beside the pair-by-pair loop."""
    ws, n_units = {"ws": CONTESTANTS["ws"]}, size.grid[0] * size.grid[1]
    for fan_in, least in ((64, 80), (256, 60)):
        found = {
            "ours": made(size.grid, fan_in, size.calls, ws)["ws"],
            "pair-by-pair loop": passes(
                partial(pair_by_pair_loss, grid_shape=size.grid), (n_units, fan_in)
            ),
        }
        what, wanted = f"ws, fan-in {fan_in}", {"pair-by-pair loop": 1 / least}
        spent = fastest(size.turns, **found)
        yield from beside("losses", what, spent, size.turns, wanted=wanted)


def wide_rows(size):
    """Losses of weights, for convolutions, beside WS."""
    of_weights = {
        label: given
        for label, given in CONTESTANTS.items()
        if make_loss(given[0], size.grid, **given[1]).source == "weights"
    }
    for *grid_shape, fan_in in size.wide:
        contestants = made(tuple(grid_shape), fan_in, 1, of_weights)
        spent = fastest(size.turns, **contestants)
        n_units = grid_shape[0] * grid_shape[1]
        for name in of_weights:
            if name != "ws":
                found = {"ours": spent[name], "ws": spent["ws"]}
                what = f"{name}, {n_units} x {fan_in} weights"
                yield from beside("losses", what, found, size.turns)
