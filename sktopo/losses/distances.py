"""Distances between the vectors of neighbouring units."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sktopo._numbers import check_name
from sktopo.losses.vectors import least_magnitude, unit_vectors

# Vectors of more values are taken in blocks of so many, which a cache holds.
_BLOCK = 512


class Pairs:
    """Pairs of neighbouring units, and what is computed of their vectors.

    Each value is the same, to the bit, whether units are found by index or by slices of
    their sheet. Slices take no copies, so that wide vectors are best taken so.

    Parameters
    ----------
    edges : Tensor of shape (2, n_edges), int64
        Indices of the first and the second unit of each pair.
    grid : Grid, default=None
        The sheet whose edges these are. None: units are found by index.
    """

    def __init__(self, edges, grid=None):
        self.first, self.second = edges
        self._sheet = None if grid is None else grid.shape
        if grid is None:
            parts = self.first.split(_BLOCK), self.second.split(_BLOCK)
            self.links = list(zip(*parts, strict=True))
        else:
            self.links = grid.links

    def ends(self, values):
        """Find the values of the first and the second units, some pairs at a time.

        Parameters
        ----------
        values : Tensor of shape (n_units, n)
            Values of the units.

        Yields
        ------
        tuple of (Tensor, Tensor)
            Both (..., n), of one pair after the other in the order of the edges.
        """
        if self._sheet is None:
            for link in self.links:
                yield tuple(values.index_select(0, units) for units in link)
        else:
            sheet = values.unflatten(0, self._sheet)
            for here, there in self.links:
                yield sheet[here], sheet[there]

    def add_(self, here, there, link, amounts, sign):
        """Add amounts to what the first and the second units of some pairs have.

        Parameters
        ----------
        here, there : Tensor of shape (n_units, n)
            What is added to: of the units as first, and as second ones.
        link : tuple
            Which pairs, one of `links`.
        amounts : tuple of (Tensor, Tensor)
            For the first and the second units, (..., n) as `ends` gives them.
        sign : {1, -1}
            Factor of those for the second units.
        """
        for total, units, amount, alpha in zip((here, there), link, amounts, (1, sign)):
            if self._sheet is None:
                total.index_add_(0, units, amount, alpha=alpha)
            else:
                total.unflatten(0, self._sheet)[units].add_(amount, alpha=alpha)

    def steps(self, vectors):
        """Take the differences of the vectors of each pair.

        Parameters
        ----------
        vectors : Tensor of shape (n_units, n)
            One vector a unit.

        Returns
        -------
        Tensor of shape (n_pairs, n)
            First less second.
        """
        return vectors.index_select(0, self.first) - vectors.index_select(
            0, self.second
        )

    def lengths(self, vectors):
        """Take the Euclidean distance of each pair.

        Parameters
        ----------
        vectors : Tensor of shape (n_units, n)
            One vector a unit.

        Returns
        -------
        Tensor of shape (n_pairs,)
            Distances.
        """
        if vectors.shape[1] <= _BLOCK:
            return torch.linalg.vector_norm(self.steps(vectors), dim=1)
        if not torch.compiler.is_compiling():
            return _WideLengths.apply(vectors, self)
        parts = [self.steps(part) for part in vectors.split(_BLOCK, dim=1)]
        parts = [torch.linalg.vector_norm(part, dim=1) for part in parts]
        return torch.linalg.vector_norm(torch.stack(parts), dim=0)

    def products(self, vectors):
        """Take the inner product of each pair.

        Parameters
        ----------
        vectors : Tensor of shape (n_units, n)
            One vector a unit.

        Returns
        -------
        Tensor of shape (n_pairs,)
            Products.
        """
        if vectors.shape[1] > _BLOCK and not torch.compiler.is_compiling():
            return _WideProducts.apply(vectors, self)
        here = vectors.index_select(0, self.first)
        return (here * vectors.index_select(0, self.second)).sum(dim=1)

    def mean_square(self, vectors, bound):
        """Take the mean of the squared differences over pairs and values.

        Parameters
        ----------
        vectors : Tensor of shape (n_units, n)
            One vector a unit.
        bound : float
            What larger differences count as.

        Returns
        -------
        Tensor of shape ()
            The mean.
        """
        if vectors.shape[1] > _BLOCK and not torch.compiler.is_compiling():
            return _WideMeanSquare.apply(vectors, self, bound)
        return self.steps(vectors).clamp(-bound, bound).square().mean()


class _WidePairs(torch.autograd.Function):
    """What is computed of pairs of wide vectors, in blocks, in a fraction of the time.

    No array of all pairs by all values is made, but for the mean square.
    """

    @staticmethod
    def setup_context(ctx, inputs, output):
        vectors, ctx.pairs, *ctx.settings = inputs
        ctx.save_for_backward(vectors, output)

    @staticmethod
    def spread(vectors, pairs, slope, sign, *per_pair):
        """Gradient of the vectors, by what ``slope(here, there, ...)`` gives both ends.

        It is given a number a pair of each of `per_pair` too. `sign` is that of the
        second unit's.
        """
        result = torch.empty_like(vectors, memory_format=torch.contiguous_format)
        blocks = zip(*(x.split(_BLOCK, dim=1) for x in (vectors, result)), strict=True)
        for part, out in blocks:
            totals = torch.zeros((2, *part.shape), dtype=part.dtype, device=part.device)
            start = 0
            for link, ends in zip(pairs.links, pairs.ends(part), strict=True):
                shape = (*ends[0].shape[:-1], 1)
                stop = start + math.prod(shape)
                known = [x[start:stop].view(shape) for x in per_pair]
                pairs.add_(*totals, link, slope(*ends, *known), sign)
                start = stop
            torch.add(*totals, out=out)
        return result

    @staticmethod
    def spread_again(vectors, pairs, here, there):
        """The same of amounts (n_pairs, n), to be differentiated again."""
        totals = torch.zeros_like(vectors).index_add(0, pairs.first, here)
        return totals.index_add(0, pairs.second, there)


class _WideLengths(_WidePairs):
    @staticmethod
    def forward(vectors, pairs):
        parts = []
        for part in vectors.split(_BLOCK, dim=1):
            norms = (
                torch.linalg.vector_norm(here - there, dim=-1).flatten()
                for here, there in pairs.ends(part)
            )
            parts.append(torch.cat(list(norms)))
        return torch.linalg.vector_norm(torch.stack(parts), dim=0)

    @staticmethod
    def backward(ctx, grad):
        (vectors, lengths), pairs = ctx.saved_tensors, ctx.pairs
        if torch.is_grad_enabled():  # to be differentiated again
            step = pairs.steps(vectors)
            lengths = torch.linalg.vector_norm(step, dim=1)
            step = step * (grad / lengths.masked_fill(lengths == 0, 1))[:, None]
            return _WidePairs.spread_again(vectors, pairs, step, -step), None

        def _slope(here, there, length, grad):
            step = (here - there).div_(length).mul_(grad)
            return step, step

        lengths = lengths.masked_fill(lengths == 0, 1)
        grad = grad.contiguous()
        return _WidePairs.spread(vectors, pairs, _slope, -1, lengths, grad), None


class _WideProducts(_WidePairs):
    @staticmethod
    def forward(vectors, pairs):
        found = [
            (row * other).sum(dim=-1).flatten()
            for ends in pairs.ends(vectors)
            for row, other in zip(*(end.split(1) for end in ends), strict=True)
        ]
        return torch.cat(found)

    @staticmethod
    def backward(ctx, grad):
        (vectors, _), pairs = ctx.saved_tensors, ctx.pairs
        if torch.is_grad_enabled():  # to be differentiated again
            here, there = (
                vectors.index_select(0, i) for i in (pairs.second, pairs.first)
            )
            here, there = here * grad[:, None], there * grad[:, None]
            return _WidePairs.spread_again(vectors, pairs, here, there), None

        def _slope(here, there, grad):
            return there * grad, here * grad

        return _WidePairs.spread(vectors, pairs, _slope, 1, grad.contiguous()), None


class _WideMeanSquare(_WidePairs):
    @staticmethod
    def forward(vectors, pairs, bound):
        # all at once, since the order of a sum decides its last bits
        steps = vectors.new_empty((len(pairs.first), vectors.shape[1]))
        start = 0
        for here, there in pairs.ends(vectors):
            stop = start + math.prod(here.shape[:-1])
            torch.sub(here, there, out=steps[start:stop].view(here.shape))
            start = stop
        return steps.clamp_(-bound, bound).square_().mean()

    @staticmethod
    def backward(ctx, grad):
        vectors, pairs, (bound,) = ctx.saved_tensors[0], ctx.pairs, ctx.settings
        grad = 2 * (grad / (len(pairs.first) * vectors.shape[1]))
        if torch.is_grad_enabled():  # to be differentiated again
            step = pairs.steps(vectors)
            step = torch.where(step.abs() <= bound, step, 0) * grad
            return _WidePairs.spread_again(vectors, pairs, step, -step), None, None

        def _slope(here, there):
            step = here - there
            step = torch.where(step.abs() <= bound, step, 0).mul_(grad)
            return step, step

        return _WidePairs.spread(vectors, pairs, _slope, -1), None, None


def _euclidean(vectors, pairs):
    # Measured in units of the largest entry, so that 1e30 squared stays in range.
    # (The infinity norm of vector_norm takes fifteen times as long as aminmax.)
    low, high = torch.aminmax(vectors.detach())
    scale = torch.maximum(-low, high).clamp(min=least_magnitude(vectors))
    return pairs.lengths(vectors / scale).mean() * scale


def _mean_squared(vectors, pairs):
    # Differences whose squares could leave the range of the dtype count as this bound.
    return pairs.mean_square(vectors, torch.finfo(vectors.dtype).max ** 0.5 / 1e4)


def _similarity(vectors, pairs, centered):
    return pairs.products(unit_vectors(vectors, centered))


def _cosine(vectors, pairs):
    return 1 - _similarity(vectors, pairs, centered=False).mean()


def _correlation(vectors, pairs):
    return 1 - _similarity(vectors, pairs, centered=True).mean()


def _squared_correlation(vectors, pairs):
    return 1 - _similarity(vectors, pairs, centered=True).square().mean()


def _absolute_correlation(vectors, pairs):
    return 1 - _similarity(vectors, pairs, centered=True).abs().mean()


DISTANCES = {
    "euclidean": _euclidean,
    "mean_squared": _mean_squared,
    "cosine": _cosine,
    "correlation": _correlation,
    "squared_correlation": _squared_correlation,
    "absolute_correlation": _absolute_correlation,
}


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

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import neighbor_distance
    >>> vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    >>> neighbor_distance(vectors, torch.tensor([[0, 1], [1, 2]])).item()
    2.5
    """
    check_name("distance", distance, DISTANCES)
    return pair_distance(vectors, Pairs(edges), distance)


def pair_distance(vectors: Tensor, pairs: Pairs, distance: str) -> Tensor:
    """`neighbor_distance` of pairs that are made, and of a distance that is known.

    Parameters
    ----------
    vectors : Tensor of shape (n_units, n_values)
        One vector a unit.
    pairs : Pairs
        The pairs of neighbours.
    distance : str
        A name of `DISTANCES`.

    Returns
    -------
    Tensor of shape ()
        The mean over pairs.
    """
    if vectors.dtype != torch.float64:
        vectors = vectors.float()
    with torch.autocast(vectors.device.type, enabled=False):
        return DISTANCES[distance](vectors, pairs)
