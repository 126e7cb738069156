"""Spatial losses: neighbouring units of a grid are asked to be alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktopo.grid import Grid

__all__ = ["DISTANCES", "ActivationSimilarity", "WeightSimilarity", "neighbor_distance"]


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
    scale = torch.maximum(-low, high).clamp(min=_floor(vectors))
    return _lengths(vectors / scale, first, second).mean() * scale


def _mean_squared(vectors, first, second):
    # Differences whose squares could leave the range of the dtype count as this bound.
    bound = torch.finfo(vectors.dtype).max ** 0.5 / 1e4
    step = _steps(vectors, first, second)
    return step.clamp(-bound, bound).square().mean()


def _floor(vectors):
    """Magnitude under which a vector counts as zero (its direction is rounding)."""
    return 1e-30 if vectors.dtype == torch.float32 else 1e-200


def _unit_vectors(vectors, centered):
    """Rows divided by their norms; zero rows (constant ones if `centered`) give 0."""
    scale = vectors.detach().abs().amax(dim=1, keepdim=True)
    nonzero = scale >= _floor(vectors)
    scaled = vectors / torch.where(nonzero, scale, 1.0)
    if centered:
        scaled = scaled - scaled.mean(dim=1, keepdim=True)
    # What the subtraction of the mean leaves of a constant row is rounding error.
    rounding = 8 * torch.finfo(vectors.dtype).eps * vectors.shape[1] ** 0.5
    squared = scaled.square().sum(dim=1, keepdim=True)
    alive = nonzero & (squared > min(rounding, 0.5) ** 2)
    return scaled * (alive * torch.where(alive, squared, 1.0).rsqrt())


def _similarity(vectors, first, second, centered):
    units = _unit_vectors(vectors, centered)
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
    if distance not in DISTANCES:
        raise ValueError(
            f"distance must be one of {sorted(DISTANCES)}; got {distance!r}."
        )
    if vectors.dtype != torch.float64:
        vectors = vectors.float()
    with torch.autocast(vectors.device.type, enabled=False):
        return DISTANCES[distance](vectors, edges[0], edges[1])


class _NeighborLoss(nn.Module):
    """Mean neighbour distance of per-unit vectors; says what it reads in `source`."""

    source: str

    def __init__(self, grid_shape, distance, neighborhood):
        super().__init__()
        grid = Grid(grid_shape, neighborhood)
        if distance not in DISTANCES:
            raise ValueError(
                f"distance must be one of {sorted(DISTANCES)}; got {distance!r}."
            )
        if not len(grid.edges):
            raise ValueError(
                f"A grid of shape {grid.shape} has no neighbouring units, so it has no "
                f"spatial loss. Use a larger grid_shape, or topo_loss=None."
            )
        self.grid = grid
        self.distance = distance
        edges = torch.from_numpy(grid.edges.T.copy())
        self.register_buffer("edges", edges, persistent=False)

    def _neighbor_distance(self, vectors):
        return neighbor_distance(vectors, self.edges, self.distance)

    def _check_units(self, x, axis):
        if x.ndim != 2 or x.shape[axis] != self.grid.n_units:
            wanted = "(n_units, fan_in)" if axis == 0 else "(batch, n_units)"
            raise ValueError(
                f"{type(self).__name__} wants {self.source} of shape {wanted} with "
                f"{self.grid.n_units} units, for its grid of {self.grid.shape}; "
                f"got {tuple(x.shape)}."
            )

    def extra_repr(self):
        return (
            f"{self.grid.shape}, distance={self.distance!r}, "
            f"neighborhood={self.grid.neighborhood!r}"
        )


class WeightSimilarity(_NeighborLoss):
    """Weight similarity (WS): neighbours alike in their incoming weights.

    Parameters
    ----------
    grid_shape : tuple of (int, int)
        Rows and columns of the unit grid, at least two units.
    distance : str, default="euclidean"
        "euclidean", "mean_squared", "cosine", "correlation", "squared_correlation" or
        "absolute_correlation"; see `neighbor_distance`. Euclidean distance can fall by
        shrinking the weights instead of aligning them; cosine and correlation cannot.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        8 or 4 neighbours, no wrap-around.

    Attributes
    ----------
    source : str
        "weights": what the loss is called with.

    Raises
    ------
    ValueError
        On an unknown distance or neighbourhood, or a grid without neighbours.

    See Also
    --------
    ActivationSimilarity : Neighbours alike in their responses.

    References
    ----------
    Truong & Hasson, "Beyond topography", arXiv 2508.00043.

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import WeightSimilarity
    >>> loss = WeightSimilarity((2, 2))
    >>> loss(torch.zeros(4, 3)).item()
    0.0
    """

    source = "weights"

    def __init__(
        self,
        grid_shape: tuple[int, int],
        distance: str = "euclidean",
        neighborhood: str = "moore",
    ):
        super().__init__(grid_shape, distance, neighborhood)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        x : Tensor of shape (n_units, fan_in)
            The incoming weights of the grid layer, without bias.

        Returns
        -------
        Tensor of shape ()
            Mean distance over neighbouring pairs.
        """
        self._check_units(x, axis=0)
        return self._neighbor_distance(x)


class ActivationSimilarity(_NeighborLoss):
    """Activation similarity (AS): neighbours alike in their responses over a batch.

    Parameters
    ----------
    grid_shape : tuple of (int, int)
        Rows and columns of the unit grid, at least two units.
    distance : str, default="correlation"
        As for `WeightSimilarity`.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        8 or 4 neighbours, no wrap-around.
    layout : {"transposed", "untransposed"}, default="transposed"
        "transposed" compares the units' responses over the batch. "untransposed" views
        the (batch, n_units) array as (n_units, batch) without transposing it, which
        mixes units with images: the published helper does so when it is given such a
        batch, and stripes in the maps are its mark. It is here for replication only.

    Attributes
    ----------
    source : str
        "activations": what the loss is called with.

    Raises
    ------
    ValueError
        On an unknown distance, neighbourhood or layout, or a grid without neighbours.

    See Also
    --------
    WeightSimilarity : Neighbours alike in their incoming weights.

    Notes
    -----
    The paper gives no equation for AS. One minus Pearson's correlation is our reading
    of its words; the untransposed layout is our inference from its maps.

    References
    ----------
    Truong & Hasson, "Beyond topography", arXiv 2508.00043.

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import ActivationSimilarity
    >>> loss = ActivationSimilarity((1, 2))
    >>> loss(torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])).item() < 1e-6
    True
    """

    source = "activations"

    def __init__(
        self,
        grid_shape: tuple[int, int],
        distance: str = "correlation",
        neighborhood: str = "moore",
        layout: str = "transposed",
    ):
        super().__init__(grid_shape, distance, neighborhood)
        if layout not in ("transposed", "untransposed"):
            raise ValueError(
                f"layout must be 'transposed' or 'untransposed'; got {layout!r}."
            )
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        x : Tensor of shape (batch, n_units)
            Pre-ReLU activations of a batch.

        Returns
        -------
        Tensor of shape ()
            Mean distance over neighbouring pairs.
        """
        self._check_units(x, axis=1)
        if self.layout == "untransposed":
            return self._neighbor_distance(x.reshape(self.grid.n_units, -1))
        return self._neighbor_distance(x.T.contiguous())

    def extra_repr(self):  # numpydoc ignore=GL08
        return f"{super().extra_repr()}, layout={self.layout!r}"
