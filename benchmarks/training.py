"""What training costs: a step, an epoch, and how both grow."""

from functools import partial

import encoder
import torch
from baselines import LOOPS, TightLoop
from rows import beside, drawn_images, fastest

from sktopo import TopographicCNNClassifier
from sktopo._training import native_bfloat16
from sktopo.grid import Grid
from sktopo.networks import BACKBONES

WANTED = {
    "float32": {"published loop": 1 / 2.5, "tight loop": 1.15, "without WS": 1.05},
    "bfloat16": {"published loop": 1 / 4.5, "tight loop": 1.15},
}


def precisions():
    """float32, and bfloat16 where the processor has it."""
    native = native_bfloat16(torch.device("cpu"))
    return ["float32", "bfloat16"] if native else ["float32"]


def rivals(X, y, grid_shape, precision="float32"):
    """What makes each rival; only the tight loop has another precision, too."""
    tight = partial(TightLoop, bfloat16=precision == "bfloat16")
    loops = {**LOOPS, "tight loop": tight}
    return {name: partial(loop, X, y, Grid(grid_shape)) for name, loop in loops.items()}


def steps(X, y, n_calls, **settings):
    """Training steps of one batch, as a contestant."""
    clf = TopographicCNNClassifier(**settings, max_epochs=1, random_state=0)
    net = clf.fit(X, y).net_
    net.history.new_epoch()
    net.history.new_batch()
    inputs = {"images": torch.from_numpy(X), "weights": torch.ones(len(X))}
    batch = (inputs, torch.from_numpy(y))
    return (lambda: net.train_step(batch), n_calls)


def all_steps(X, y, n_calls, grid_shape, precision="float32"):
    """Steps of the small network: ours, ours without WS, and those of the rivals."""
    settings = {
        "backbone": "small",
        "grid_shape": grid_shape,
        "precision": precision,
    }
    found = {
        "ours": steps(X, y, n_calls, **settings),
        "without WS": steps(X, y, n_calls, lam=0.0, **settings),
    }
    for name, make in rivals(X, y, grid_shape, precision).items():
        found[name] = (make().one_step(), n_calls)
    return found


def step_rows(size):
    """One step of 64 images, of networks with labels and without."""
    X, y = drawn_images(size.batch, size.side)
    for precision in precisions():
        contestants = all_steps(X, y, size.calls, size.grid, precision)
        spent = fastest(size.turns, **contestants)
        what, wanted = f"small network, {precision}", WANTED[precision]
        yield from beside("step", what, spent, size.turns, wanted=wanted)
    yield from encoder.step_rows(X, max(1, size.calls // 4), size.turns)


def backbone_rows(size):
    """Steps of each backbone beside the small one's, and beside those without WS.

    But for resnet18, which resnet.py tells more of.
    """
    X, y = drawn_images(size.batch, size.side)
    names = [name for name in BACKBONES if name != "resnet18"]
    spent = fastest(
        size.turns,
        **{
            f"{name} {lam}": steps(X, y, size.calls, backbone=name, lam=lam)
            for name in names
            for lam in (1.0, 0.0)
        },
    )
    for name in names:
        found = {"ours": spent[f"{name} 1.0"], "without WS": spent[f"{name} 0.0"]}
        if name != "small":
            found["small"] = spent["small 1.0"]
        yield from beside("backbones", name, found, size.turns)


def epochs(X, y, grid_shape, precision="float32", but=()):
    """An epoch, and all that makes it ready, of ours and of the rivals."""
    clf = TopographicCNNClassifier(
        backbone="small",
        grid_shape=grid_shape,
        max_epochs=1,
        precision=precision,
        random_state=0,
    )
    found = {"ours": (lambda: clf.fit(X, y), 1)}
    for name, make in rivals(X, y, grid_shape, precision).items():
        if name not in but:
            found[name] = (lambda make=make: make().epoch(), 1)
    return found


def epoch_rows(size):
    """One epoch of fit."""
    X, y = drawn_images(size.images, size.side)
    for precision in precisions():
        spent = fastest(size.turns, **epochs(X, y, size.grid, precision))
        what, wanted = f"{len(X):,} images, {precision}", WANTED[precision]
        yield from beside("epoch", what, spent, size.turns, wanted=wanted)


# ------------------------------------------------------------------ how it grows


def image_rows(size):
    """An epoch of more and more images; the published loop would take too long."""
    X, y = drawn_images(max(size.counts), size.side)
    for n in size.counts:
        contestants = epochs(X[:n], y[:n], size.grid, but=["published loop"])
        spent = fastest(size.few_turns, **contestants)
        yield from beside("images", f"{n:,} images", spent, size.few_turns, at=n)


def unit_rows(size):
    """A step with larger and larger grids."""
    X, y = drawn_images(size.batch, size.side)
    calls = max(1, size.calls // 4)
    for side in size.grids:
        spent = fastest(size.turns, **all_steps(X, y, calls, (side, side)))
        what = f"{side} x {side} units"
        yield from beside("units", what, spent, size.turns, at=side**2)


def channel_rows(size):
    """A step with images of more and more channels."""
    calls = max(1, size.calls // 4)
    for n in size.channels:
        X, y = drawn_images(size.batch, size.side, n)
        spent = fastest(size.turns, **all_steps(X, y, calls, size.grid))
        what = f"{n} channel" + "s" * (n > 1)
        yield from beside("channels", what, spent, size.turns, at=n)
