"""What a spatial loss is given of a layer: a row of weights, or responses, a unit."""

from __future__ import annotations

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


def term_value(
    loss: nn.Module, module: nn.Module, name: str, output: Tensor | None, conv: str
) -> Tensor:
    """A spatial loss of a layer.

    Parameters
    ----------
    loss : nn.Module
        Its `source` says what it reads.
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
    Tensor of shape ()
        The value, before it is weighted.

    Raises
    ------
    ValueError
        If the layer does not give what the loss reads, or the loss no single number.
    """
    if loss.source == "weights":
        value = loss(unit_weights(module, name))
    else:
        read = unit_responses(output, module, name, conv)
        images = read if read.ndim == 3 else [read]
        values = [loss(image) for image in images]
        value = sum(values[1:], values[0]) / len(values)
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = getattr(value, "shape", type(value).__name__)
        raise ValueError(
            f"A spatial loss must return a single number; {type(loss).__name__} of the "
            f"layer {name!r} gave {found}."
        )
    return value
