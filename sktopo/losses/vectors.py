"""What the losses share: the vectors of the units, and vectors of length one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_rows(loss: nn.Module, x: Tensor) -> Tensor:
    """What a loss is called with, a row a unit, in the precision that is computed in.

    Parameters
    ----------
    loss : nn.Module
        Its `source` and `grid` say what it reads.
    x : Tensor of shape (n_units, fan_in) or (batch, n_units)
        Weights or activations.

    Returns
    -------
    Tensor of shape (n_units, n_values)
        In float64 if it came so, else in float32.

    Raises
    ------
    ValueError
        If it has another shape.
    """
    check_units(loss, x)
    x = x if x.dtype == torch.float64 else x.float()
    return x if loss.source == "weights" else x.T.contiguous()


def check_units(loss: nn.Module, x: Tensor) -> None:
    """Raise a ValueError unless this has the units of a loss's grid.

    Parameters
    ----------
    loss : nn.Module
        Its `source` and `grid` say what it reads.
    x : Tensor
        What it is called with.

    Raises
    ------
    ValueError
        If it has another shape.
    """
    axis = 0 if loss.source == "weights" else 1
    if x.ndim != 2 or x.shape[axis] != loss.grid.n_units:
        wanted = "(n_units, fan_in)" if axis == 0 else "(batch, n_units)"
        raise ValueError(
            f"{type(loss).__name__} wants {loss.source} of shape {wanted} with "
            f"{loss.grid.n_units} units, for its grid of {loss.grid.shape}; "
            f"got {tuple(x.shape)}."
        )


def least_magnitude(vectors: Tensor) -> float:
    """Magnitude under which a vector counts as zero (its direction is rounding).

    Parameters
    ----------
    vectors : Tensor
        In float32 or float64.

    Returns
    -------
    float
        The magnitude.
    """
    return 1e-30 if vectors.dtype == torch.float32 else 1e-200


def unit_vectors(vectors: Tensor, centered: bool) -> Tensor:
    """Rows divided by their norms, so that their products are cosines, or Pearson's r.

    Parameters
    ----------
    vectors : Tensor of shape (n, n_values)
        In float32 or float64.
    centered : bool
        Whether the mean of each row is taken off first.

    Returns
    -------
    Tensor of shape (n, n_values)
        Zero rows (constant ones if `centered`) give 0 and pass no gradient.
    """
    scale = vectors.detach().abs().amax(dim=1, keepdim=True)
    nonzero = scale >= least_magnitude(vectors)
    scaled = vectors / torch.where(nonzero, scale, 1.0)
    if centered:
        scaled = scaled - scaled.mean(dim=1, keepdim=True)
    # What the subtraction of the mean leaves of a constant row is rounding error.
    rounding = 8 * torch.finfo(vectors.dtype).eps * vectors.shape[1] ** 0.5
    squared = scaled.square().sum(dim=1, keepdim=True)
    alive = nonzero & (squared > min(rounding, 0.5) ** 2)
    return scaled * (alive * torch.where(alive, squared, 1.0).rsqrt())
