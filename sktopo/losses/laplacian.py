"""Neighbouring units are asked to have the weights of a blurred sheet."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sktopo._numbers import check_name
from sktopo.grid import Grid
from sktopo.losses.vectors import unit_rows, unit_vectors

INTERPOLATIONS = {"bilinear": "linear", "nearest": "nearest"}
"""How a sheet is made smaller and larger: the mode of each of its two axes."""


class LaplacianPyramid(nn.Module):
    """Laplacian pyramid (TopoLoss): each unit alike to the blurred sheet where it is.

    The weights of the units, one sheet an input, are made smaller and as large again,
    which blurs them. The loss is 1 - mean cos(w_u, blurred_u) over the units u, between
    0, where nothing is lost by that, and 2.

    Parameters
    ----------
    grid_shape : tuple of (int, int)
        Rows and columns of the unit grid.
    factor : float or tuple of (float, float), default=(3, 3)
        How many times fewer rows and columns the small sheet has, rounded down: each at
        least 1 and at most the grid's rows and columns, and not both 1. The larger, the
        wider the patches of similar units.
    interpolation : {"bilinear", "nearest"}, default="bilinear"
        How both sheets are read between their units.

    Attributes
    ----------
    source : str
        "weights": what the loss is called with.
    grid : Grid
        The sheet.

    Raises
    ------
    ValueError
        If the factor does not fit the grid, or the interpolation is unknown.

    See Also
    --------
    WeightSimilarity : Each unit alike to its neighbours, one by one.

    Notes
    -----
    Values and gradients are those of the published code, which samples the sheet a
    factor apart from its first row and column on: where the factor does not divide the
    rows, the last ones count less. That code compares the factors with the fan-in and
    the rows, and so refuses sheets that fit and takes some that do not; here they are
    compared with the rows and the columns. There is no torus: the blur ends at the
    edges.

    The cosine depends on the directions of the weights alone, so that the loss cannot
    fall by shrinking them. Take it for wide layers and for smooth maps over several
    units; `WeightSimilarity` ties direct neighbours only.

    References
    ----------
    Deb, Deb & Murty, "TopoNets: High performing vision and language models with
    brain-like topography", ICLR 2025, arXiv 2501.16396.

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import LaplacianPyramid
    >>> loss = LaplacianPyramid((4, 6), factor=(2, 3))
    >>> abs(loss(torch.ones(24, 5)).item()) < 1e-6
    True
    """

    source = "weights"
    min_images = 1

    def __init__(
        self,
        grid_shape: tuple[int, int],
        factor: float | tuple[float, float] = (3, 3),
        interpolation: str = "bilinear",
    ):
        super().__init__()
        self.grid = Grid(grid_shape)
        check_name("interpolation", interpolation, INTERPOLATIONS)
        self.factor = _check_factor(factor, self.grid.shape)
        self.interpolation = interpolation
        for name, matrix in self._resizers().items():
            self.register_buffer(name, matrix.float(), persistent=False)

    def _resizers(self):
        """The blur as matrices in float64: rows down and up, columns at once."""
        mode = INTERPOLATIONS[self.interpolation]
        (rows, columns), (of_rows, of_columns) = self.grid.shape, self.factor
        down, up = _resizers(rows, of_rows, mode)
        fewer, again = _resizers(columns, of_columns, mode)
        return {"down": down, "up": up, "columns": again @ fewer}

    def _blur(self, weights):
        """Each unit's weights on the sheet that was made smaller and large again."""
        names = ("down", "up", "columns")
        if weights.dtype == torch.float32 == self.up.dtype:
            down, up, columns = (self.get_buffer(name) for name in names)
        else:
            made = self._resizers()
            down, up, columns = (made[name].to(weights) for name in names)
        rows = len(up)
        small = down @ weights.reshape(rows, -1)
        small = columns @ small.view(len(down), len(columns), -1)
        return (up @ small.flatten(1)).view_as(weights)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        x : Tensor of shape (n_units, fan_in)
            The incoming weights of the grid layer, without bias.

        Returns
        -------
        Tensor of shape ()
            One minus the mean cosine.
        """
        weights = unit_rows(self, x)
        with torch.autocast(weights.device.type, enabled=False):
            units = unit_vectors(weights, centered=False)
            blurred = unit_vectors(self._blur(weights), centered=False)
            return 1 - (units * blurred).sum(dim=1).mean()

    def extra_repr(self):  # numpydoc ignore=GL08
        return (
            f"{self.grid.shape}, factor={self.factor}, "
            f"interpolation={self.interpolation!r}"
        )


def _check_factor(factor, shape):
    """Two floats that fit a sheet of this shape, or a ValueError."""
    values = np.ravel(np.asarray(factor, dtype=object)).tolist()
    values = values * 2 if np.ndim(factor) == 0 else values
    known = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    fits = known and len(values) == 2 and max(values) > 1
    if not fits or any(not 1 <= v <= n for v, n in zip(values, shape, strict=True)):
        rows, columns = shape
        raise ValueError(
            f"factor must say how many times fewer rows and columns a sheet of {rows} "
            f"x {columns} units gets: 1 to {rows} for the rows and 1 to {columns} for "
            f"the columns, not both 1; got {factor!r}. Give a factor that fits, or "
            f"another grid_shape."
        )
    return float(values[0]), float(values[1])


def _resizers(size, factor, mode):
    """Matrices in float64 that take so many values to fewer, and those back."""
    scale = 1 / factor
    if int(size * scale) < int(size / factor):  # 49 / 49 by 1 / 49 rounds to 0
        scale = math.nextafter(scale, 1)
    every = torch.eye(size, dtype=torch.float64)[None]
    down = F.interpolate(every, scale_factor=scale, mode=mode)
    every = torch.eye(down.shape[-1], dtype=torch.float64)[None]
    up = F.interpolate(every, size=size, mode=mode)
    return down[0].T.contiguous(), up[0].T.contiguous()
