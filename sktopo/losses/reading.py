"""What a spatial loss is given of a layer: a row of weights, or responses, a unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONVS = ("pooled", "per_image", "units")
"""How responses of a convolution (n, C, ...) are read.

"pooled": channels are units, positions are further images. "per_image": channels are
units, positions are images, and the loss is the mean over the images. "units": every
channel at every position is a unit, channel after channel.
"""


def unit_weights(module: nn.Module, name: str) -> Tensor:
    """Incoming weights of the units of a layer, as part of the graph.

    Parameters
    ----------
    module : nn.Module
        An nn.Linear, or a convolution of one, two or three axes.
    name : str
        Its name, for the error.

    Returns
    -------
    Tensor of shape (n_units, fan_in)
        Of a convolution a row a filter, in the order (in, height, width), whatever the
        memory.

    Raises
    ------
    ValueError
        If it is another kind of layer.
    """
    if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
        raise ValueError(
            f"The layer {name!r} is a {type(module).__name__}, which has no weights "
            f"for a loss of weights to read. Name an nn.Linear or a convolution, or "
            f"use a loss that reads activations."
        )
    return module.weight.flatten(1)


def channel_count(module: nn.Module) -> int | None:
    """Number of output units or channels of a layer that says it.

    Parameters
    ----------
    module : nn.Module
        A layer.

    Returns
    -------
    int or None
        None for another kind of layer than an nn.Linear or a convolution.
    """
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, CONVOLUTIONS):
        return module.out_channels
    return None


def unit_responses(output: Tensor, module: nn.Module, name: str, conv: str) -> Tensor:
    """Responses of the units of a layer, as part of the graph.

    Parameters
    ----------
    output : Tensor of shape (n, units) or (n, C, ...)
        What the layer gave; the units of an nn.Linear are its last axis.
    module : nn.Module
        The layer.
    name : str
        Its name, for the error.
    conv : {"pooled", "per_image", "units"}
        As in `CONVS`.

    Returns
    -------
    Tensor of shape (images, n_units), or (n, positions, n_units) for "per_image"
        Without positions the output itself, whatever `conv` is.

    Raises
    ------
    ValueError
        If it is no such output.
    """
    if output is None:
        raise ValueError(
            f"The layer {name!r}, a {type(module).__name__}, had no part in the "
            f"forward pass, so that its responses cannot be read. Name a layer that "
            f"images go through."
        )
    if not isinstance(output, Tensor) or output.ndim < 2:
        shape = getattr(output, "shape", None)
        found = type(output).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"The layer {name!r}, a {type(module).__name__}, gives {found}; a spatial "
            f"loss reads (n, units) or (n, channels, ...). Name a layer that gives one."
        )
    if output.ndim == 2:
        return output
    last = output if isinstance(module, nn.Linear) else output.movedim(1, -1)
    if conv == "pooled":
        return last.flatten(0, -2)
    if conv == "per_image":
        return last.flatten(1, -2)
    return last.movedim(-1, 1).flatten(1)


def read_layer(
    source: str, module: nn.Module, name: str, output: object, conv: str
) -> Tensor:
    """What a spatial loss reads of a layer, as part of the graph.

    Parameters
    ----------
    source : {"weights", "activations"}
        What the loss reads.
    module : nn.Module
        The layer.
    name : str
        Its name, for errors.
    output : Tensor or None
        What the layer gave in this forward pass, where that is read.
    conv : {"pooled", "per_image", "units"}
        As in `CONVS`.

    Returns
    -------
    Tensor of shape (n_units, fan_in), or as of `unit_responses`
        The weights or the responses of its units.

    Raises
    ------
    ValueError
        If the layer does not give that.
    """
    if source == "weights":
        return unit_weights(module, name)
    return unit_responses(output, module, name, conv)


def loss_value(loss: nn.Module, read: Tensor, name: str) -> Tensor:
    """A spatial loss of what was read of a layer.

    Parameters
    ----------
    loss : nn.Module
        The loss.
    read : Tensor
        From `read_layer`. float64 stays so, all else becomes float32: a spatial loss
        is not computed in half precision, autocast or not.
    name : str
        Name of the layer, for the error.

    Returns
    -------
    Tensor of shape ()
        The value, before it is weighted.

    Raises
    ------
    ValueError
        If the loss gives no single number, or compares responses over more images than
        there are.
    """
    least = getattr(loss, "min_images", 1)
    if loss.source == "activations" and read.shape[-2] < least:
        raise ValueError(
            f"{type(loss).__name__} of the layer {name!r} compares responses over "
            f"{least} images or more (positions of a convolution count); got "
            f"{read.shape[-2]}. Give larger batches."
        )
    if read.dtype != torch.float64:
        read = read.float()
    with torch.autocast(read.device.type, enabled=False):
        values = [loss(image) for image in (read if read.ndim == 3 else [read])]
    for value in values:
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = getattr(value, "shape", None)
            found = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(
                f"A spatial loss must return a single number; {type(loss).__name__} of "
                f"the layer {name!r} gave {found}."
            )
    return (sum(values) / len(values)).reshape(())
