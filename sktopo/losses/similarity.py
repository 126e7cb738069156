"""Neighbouring units of a grid are asked to be alike, in weights or in responses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktopo._numbers import check_name
from sktopo.grid import Grid
from sktopo.losses.distances import DISTANCES, Pairs, pair_distance
from sktopo.losses.vectors import check_units


class _NeighborLoss(nn.Module):
    """Mean neighbour distance of per-unit vectors; says what it reads in `source`."""

    source: str
    min_images = 1

    def __init__(self, grid_shape, distance, neighborhood, wrap):
        super().__init__()
        grid = Grid(grid_shape, neighborhood, wrap)
        check_name("distance", distance, DISTANCES)
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
        return pair_distance(vectors, Pairs(self.edges, self.grid), self.distance)

    def extra_repr(self):  # numpydoc ignore=GL08
        return (
            f"{self.grid.shape}, distance={self.distance!r}, "
            f"neighborhood={self.grid.neighborhood!r}, wrap={self.grid.wrap}"
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
        8 or 4 neighbours.
    wrap : bool, default=False
        Whether the grid is a torus, as in All-TNN, whose loss is half of this one with
        the cosine and 4 neighbours.

    Attributes
    ----------
    source : str
        "weights": what the loss is called with.
    grid : Grid
        Where the units stand.

    Raises
    ------
    ValueError
        On an unknown distance or neighbourhood, a wrap that is neither True nor False,
        or a grid without neighbours.

    See Also
    --------
    ActivationSimilarity : Neighbours alike in their responses.

    References
    ----------
    Truong & Hasson, "Beyond topography", arXiv 2508.00043. All-TNN: Lu et al.,
    "End-to-end topographic networks as models of cortical map formation and human
    visual behaviour", Nature Human Behaviour 9 (2025).

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
        wrap: bool = False,
    ):
        super().__init__(grid_shape, distance, neighborhood, wrap)

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
        check_units(self, x)
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
        8 or 4 neighbours.
    layout : {"transposed", "untransposed"}, default="transposed"
        "transposed" compares the units' responses over the batch. "untransposed" views
        the (batch, n_units) array as (n_units, batch) without transposing it, which
        mixes units with images: the published helper does so when it is given such a
        batch, and stripes in the maps are its mark. It is here for replication only.
    wrap : bool, default=False
        Whether the grid is a torus.

    Attributes
    ----------
    source : str
        "activations": what the loss is called with.
    grid : Grid
        Where the units stand.
    min_images : int
        2: it compares responses over images, and one image shows no difference.

    Raises
    ------
    ValueError
        On an unknown distance, neighbourhood or layout, a wrap that is neither True nor
        False, or a grid without neighbours.

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
    min_images = 2

    def __init__(
        self,
        grid_shape: tuple[int, int],
        distance: str = "correlation",
        neighborhood: str = "moore",
        layout: str = "transposed",
        wrap: bool = False,
    ):
        super().__init__(grid_shape, distance, neighborhood, wrap)
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
        check_units(self, x)
        if self.layout == "untransposed":
            return self._neighbor_distance(x.reshape(self.grid.n_units, -1))
        return self._neighbor_distance(x.T.contiguous())

    def extra_repr(self):  # numpydoc ignore=GL08
        return f"{super().extra_repr()}, layout={self.layout!r}"
