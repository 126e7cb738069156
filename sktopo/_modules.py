"""Torch modules as they come: copies, weights (private)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune

from sktopo._layers import unwrap
from sktopo.losses.reading import CONVOLUTIONS
from sktopo.networks import own_copy

# What makes plain weights of those that older functions of torch compute in a hook.
_OLDER = (
    ("weight_mask", lambda part: prune.remove(part, "weight")),
    ("weight_g", nn.utils.remove_weight_norm),
    ("weight_orig", nn.utils.remove_spectral_norm),
)


def as_numpy(tensor):
    """A float32 array of its own."""
    return tensor.detach().float().cpu().numpy().copy()


def weight_rows(part):
    """Weights of a layer, a row a unit or channel; None for another kind of layer."""
    if isinstance(part, nn.Linear):
        return as_numpy(part.weight)
    if isinstance(part, CONVOLUTIONS):
        return as_numpy(part.weight.flatten(1))
    return None


def plain_copy(module):
    """Copy a network, so that it can be run, hooked and changed.

    Parameters
    ----------
    module : nn.Module
        The network, also inside a wrapper for several devices or a compiler.

    Returns
    -------
    nn.Module
        In evaluation mode; weights that a parametrization computes are plain ones.

    Raises
    ------
    TypeError
        If it is no module, is scripted, or cannot be copied.
    ValueError
        If it has parameters without values.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be an nn.Module; got {type(module).__name__}.")
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            f"The module is a {type(module).__name__}, which hides its layers. Give "
            f"the nn.Module that it was made from."
        )
    for name, tensor in module.named_parameters():
        if is_lazy(tensor) or tensor.is_meta:
            raise ValueError(
                f"The module's {name} has no values yet. Run the module on images "
                f"once, or load its weights, before it is looked at."
            )
    module = unwrap(module)
    try:
        copied = own_copy(module, "module").eval()
    except TypeError as error:
        raise TypeError(
            f"The module, a {type(module).__name__}, cannot be copied "
            f"({error.__cause__!r}). A copy of it is run, so that it is never changed: "
            f"give a module that copy.deepcopy can copy."
        ) from error
    for part in copied.modules():
        if parametrize.is_parametrized(part):
            _make_plain(part)
        # the older ways, by the tensors that they add
        for mark, remove in _OLDER:
            if hasattr(part, mark):
                remove(part)
                break
    return copied


def _make_plain(part):
    """Replace the parametrizations of a copied layer by what they give.

    torch's own way to remove them would change the class that the copy shares with the
    layer that it was copied from.
    """
    effective = {name: getattr(part, name).detach() for name in part.parametrizations}
    del part.parametrizations
    part.__class__ = type(part).__bases__[0]
    for name, value in effective.items():
        part.register_parameter(name, nn.Parameter(value.clone(), requires_grad=False))
