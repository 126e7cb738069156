"""The units of a layer: what of its output and its weights is whose (private)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sktopo._modules import weight_rows
from sktopo.losses.reading import CONVOLUTIONS

POOLS = ("mean", "max", "flatten")


def unit_names(grid):
    """Names of the units of a sheet, ``grid_<row>_<column>``, row-major; objects."""
    names = [f"grid_{row}_{column}" for row, column in grid.coordinates]
    return np.asarray(names, dtype=object)


class Units:
    """The units of a layer.

    Those of an nn.Linear are its last axis; those of any other layer are its second
    one. What is left between are positions.

    Parameters
    ----------
    module : nn.Module
        The layer.
    name : str
        Its name, for errors.
    pool : {"mean", "max", "flatten"}
        What makes one unit of a channel's positions, or (flatten) that each position
        is a unit.
    """

    def __init__(self, module, name, pool):
        self.module, self.name, self.pool = module, name, pool

    def _channels_first(self, output):
        return output.movedim(-1, 1) if isinstance(self.module, nn.Linear) else output

    def responses(self, output, n_images):
        """Responses (n, n_units) in the layer's output; float32, of their own memory.

        Parameters
        ----------
        output : Tensor
            What the layer gave.
        n_images : int
            How many images the network was shown.

        Returns
        -------
        Tensor of shape (n_images, n_units)
            Unit after unit; with "flatten" the positions of a channel side by side.

        Raises
        ------
        ValueError
            If the output does not have units of images.
        """
        kind = type(self.module).__name__
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer={self.name!r} is a {kind} that gives a "
                f"{type(output).__name__}, not a tensor; name a layer that gives one."
            )
        if output.ndim < 2 or len(output) != n_images:
            raise ValueError(
                f"layer={self.name!r}, a {kind}, gives shape {tuple(output.shape)} "
                f"for {n_images} images; wanted are (n, units), or (n, channels, "
                f"...) with a row for each image."
            )
        if output.ndim == 3 and not isinstance(self.module, (nn.Linear, *CONVOLUTIONS)):
            raise ValueError(
                f"layer={self.name!r}, a {kind}, gives shape {tuple(output.shape)}, "
                f"which does not say what is a unit and what a position. Name an "
                f"nn.Linear or a convolution."
            )
        output = self._channels_first(output.float())
        if output.ndim == 2:
            return output.clone()
        if self.pool == "flatten":
            return output.flatten(1).clone()
        flat = output.flatten(2)
        return flat.mean(dim=2) if self.pool == "mean" else flat.amax(dim=2)

    def silence(self, output, units):
        """Give an output in which some units are 0, at each of their positions.

        Parameters
        ----------
        output : Tensor
            What the layer gave; it is not changed.
        units : sequence of int
            Which units.

        Returns
        -------
        Tensor
            Of the same shape.
        """
        units = torch.as_tensor(np.asarray(units, dtype=int), device=output.device)
        kept = self._channels_first(output).clone()
        rows = kept.flatten(1) if self.pool == "flatten" else kept
        rows[:, units] = 0
        kept = rows.reshape(kept.shape)
        return kept.movedim(1, -1) if isinstance(self.module, nn.Linear) else kept

    def weights(self, n_units):
        """Incoming weights (n_units, fan_in); None of a layer without such rows.

        Positions of one channel have the same weights.
        """
        rows = weight_rows(self.module)
        if rows is None or n_units % len(rows):
            return None
        return np.repeat(rows, n_units // len(rows), axis=0)
