"""Distances between the vectors of neighbouring units."""

from __future__ import annotations

import torch
from torch import Tensor

from sktopo.losses.vectors import least_magnitude, unit_vectors

# Vectors of more values are taken in blocks of so many, which a cache holds.
_BLOCK = 512


def _steps(vectors, first, second):
    """Differences of the vectors of each pair."""
    return vectors.index_select(0, first) - vectors.index_select(0, second)


def _lengths(vectors, first, second):
    """Euclidean distance of each pair."""
    if vectors.shape[1] > _BLOCK:
        return _WideLengths.apply(vectors, first, second)
    return torch.linalg.vector_norm(_steps(vectors, first, second), dim=1)


class _WideLengths(torch.autograd.Function):
    """`_lengths` without arrays of all pairs by all values, in half the time."""

    @staticmethod
    def steps(vectors, first, second):
        """Differences of the pairs, one block of values after the other."""
        for part in vectors.split(_BLOCK, dim=1):
            yield _steps(part, first, second)

    @staticmethod
    def forward(vectors, first, second):
        steps = _WideLengths.steps(vectors, first, second)
        parts = [torch.linalg.vector_norm(step, dim=1) for step in steps]
        return torch.linalg.vector_norm(torch.stack(parts), dim=0)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, grad):
        vectors, first, second, lengths = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            step = _steps(vectors, first, second)
            lengths = torch.linalg.vector_norm(step, dim=1)
            step = step * (grad / lengths.masked_fill(lengths == 0, 1))[:, None]
            here = torch.zeros_like(vectors).index_add(0, first, step)
            return here.index_add(0, second, -step), None, None
        lengths = lengths.masked_fill(lengths == 0, 1)[:, None]
        result = torch.empty_like(vectors)
        parts = result.split(_BLOCK, dim=1)
        steps = _WideLengths.steps(vectors, first, second)
        for part, step in zip(parts, steps, strict=True):
            step.div_(lengths).mul_(grad[:, None])
            here = torch.zeros_like(part).index_add_(0, first, step)
            there = torch.zeros_like(part).index_add_(0, second, step.neg_())
            torch.add(here, there, out=part)
        return result, None, None


def _euclidean(vectors, first, second):
    # Measured in units of the largest entry, so that 1e30 squared stays in range.
    # (The infinity norm of vector_norm takes fifteen times as long as aminmax.)
    low, high = torch.aminmax(vectors.detach())
    scale = torch.maximum(-low, high).clamp(min=least_magnitude(vectors))
    return _lengths(vectors / scale, first, second).mean() * scale


def _mean_squared(vectors, first, second):
    # Differences whose squares could leave the range of the dtype count as this bound.
    bound = torch.finfo(vectors.dtype).max ** 0.5 / 1e4
    step = _steps(vectors, first, second)
    return step.clamp(-bound, bound).square().mean()


def _similarity(vectors, first, second, centered):
    units = unit_vectors(vectors, centered)
    return (units.index_select(0, first) * units.index_select(0, second)).sum(dim=1)


def _cosine(vectors, first, second):
    return 1 - _similarity(vectors, first, second, centered=False).mean()


def _correlation(vectors, first, second):
    return 1 - _similarity(vectors, first, second, centered=True).mean()


def _squared_correlation(vectors, first, second):
    return 1 - _similarity(vectors, first, second, centered=True).square().mean()


def _absolute_correlation(vectors, first, second):
    return 1 - _similarity(vectors, first, second, centered=True).abs().mean()


DISTANCES = {
    "euclidean": _euclidean,
    "mean_squared": _mean_squared,
    "cosine": _cosine,
    "correlation": _correlation,
    "squared_correlation": _squared_correlation,
    "absolute_correlation": _absolute_correlation,
}


def check_distance(distance: str) -> None:
    """Raise a ValueError unless this is the name of a distance.

    Parameters
    ----------
    distance : str
        A name of `DISTANCES`.

    Raises
    ------
    ValueError
        If it is none.
    """
    if distance not in DISTANCES:
        raise ValueError(
            f"distance must be one of {sorted(DISTANCES)}; got {distance!r}."
        )


def neighbor_distance(
    vectors: Tensor, edges: Tensor, distance: str = "euclidean"
) -> Tensor:
    """Mean distance between the vectors of neighbouring units.

    Parameters
    ----------
    vectors : Tensor of shape (n_units, n_values)
        One vector a unit. float64 is computed in float64, all else in float32.
    edges : Tensor of shape (2, n_edges), int64
        Indices of the first and the second unit of each neighbouring pair.
    distance : str, default="euclidean"
        With a and b the two vectors: "euclidean" ||a - b||; "mean_squared", the mean of
        (a - b)^2 over their values; "cosine" 1 - cos(a, b); "correlation" 1 - r, with
        Pearson's r; "squared_correlation" 1 - r^2; "absolute_correlation" 1 - abs(r).

    Returns
    -------
    Tensor of shape ()
        The mean over pairs, differentiable. Value and gradient are finite for zero,
        constant, equal and huge vectors: the cosine with a zero vector and r with a
        constant one count as 0 and pass no gradient. "mean_squared" saturates, in
        float32 at differences of 1.8e15.

    Raises
    ------
    ValueError
        If the distance is unknown.
    """
    check_distance(distance)
    if vectors.dtype != torch.float64:
        vectors = vectors.float()
    with torch.autocast(vectors.device.type, enabled=False):
        return DISTANCES[distance](vectors, edges[0], edges[1])
