"""The losses by name, and how a loss is made for a grid."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from sktopo.losses.laplacian import LaplacianPyramid
from sktopo.losses.pairwise import InverseDistance, SpatialCorrelation
from sktopo.losses.similarity import ActivationSimilarity, WeightSimilarity

LOSSES = {
    "ws": WeightSimilarity,
    "as": ActivationSimilarity,
    "as_untransposed": partial(ActivationSimilarity, layout="untransposed"),
    "laplacian": LaplacianPyramid,
    "spatial_correlation": SpatialCorrelation,
    "inverse_distance": InverseDistance,
}
"""A factory by name. A loss of this list needs no other line anywhere."""

DEFAULTS = {"neighborhood": "moore", "distance": None, "wrap": False}
"""What the estimators ask of any loss, and when they ask for nothing: the loss's own
default is taken then."""

SOURCES = ("weights", "activations")
"""What a loss may read, as its `source` says."""


def make_loss(
    loss: str | Callable,
    grid_shape: tuple[int, int],
    seed: int | None = None,
    own: Mapping | None = None,
    **settings,
) -> nn.Module:
    """Make a spatial loss for a grid.

    Parameters
    ----------
    loss : str or callable
        A name of `LOSSES`, or a factory, called as ``factory(grid_shape, **settings)``.
    grid_shape : tuple of (int, int)
        Rows and columns of the grid.
    seed : int, default=None
        Given to a factory that has a seed, and none of its own.
    own : mapping, default=None
        Settings that are given to the loss whatever their values are.
    **settings : dict
        Further settings. One at its value in `DEFAULTS` is left out, unless the factory
        demands it.

    Returns
    -------
    nn.Module
        The loss; its `source` is "weights" or "activations".

    Raises
    ------
    TypeError
        If the factory lacks one of the settings, cannot be called so, or returns
        anything else.
    ValueError
        If a setting has a value that the loss does not know.
    """
    factory = LOSSES[loss] if isinstance(loss, str) else loss
    known, demanded = _settings_of(factory)
    passed = {
        name: value
        for name, value in settings.items()
        if name in demanded or name not in DEFAULTS or value != DEFAULTS[name]
    }
    passed |= own or {}
    of_its_own = {**passed, **getattr(factory, "keywords", {})}
    if seed is not None and "seed" in (known or ()) and "seed" not in of_its_own:
        passed["seed"] = seed
    try:
        if isinstance(factory, nn.Module):
            raise TypeError("an instance is no factory; give its class")
        if known is not None and (absent := sorted(set(passed) - known)):
            raise TypeError(
                f"it has no setting {' and no '.join(absent)}, only "
                f"{', '.join(sorted(known)) or 'none'}; leave that at its default"
            )
        made = factory(grid_shape, **passed)
    except TypeError as error:
        raise _wrong_factory(loss, f"which failed: {error}") from error
    source = getattr(made, "source", None)
    if not isinstance(made, nn.Module) or source not in SOURCES:
        kind = type(made).__name__
        raise _wrong_factory(loss, f"which gave {kind} with source {source!r}")
    return made


def _wrong_factory(loss, found):
    settings = ", ".join(f"{name}=..." for name in DEFAULTS)
    return TypeError(
        f"A spatial loss is made by factory(grid_shape, {settings}), of these settings "
        f"with those that differ from their defaults, and must give an nn.Module whose "
        f"attribute `source` is {' or '.join(map(repr, SOURCES))}; got {loss!r}, "
        f"{found}."
    )


def _settings_of(factory):
    """Names of a factory's settings (None: any), and of those without a default."""
    try:
        _, *parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # it takes none, or does not say which
        return None, set()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = None if any_name else {p.name for p in named}
    return known, {p.name for p in named if p.default is p.empty}


# What the package shows: the list, and each class that is in it.
__all__ = ["LOSSES"]
__all__ += sorted({getattr(loss, "func", loss).__name__ for loss in LOSSES.values()})
