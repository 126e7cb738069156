"""What layers give in a forward pass, by hooks that copies of the network do not keep.

A hook holds no more than the `ForwardPass` that it writes to. Whoever reads that one
holds it too, and says by `follow` that it does. So a hook that is copied or pickled
together with its reader serves the copied reader, whichever comes first; one that is
copied or pickled without it does nothing, and is taken off a copy.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from sktopo._torch_private import in_backward


@dataclass
class Output:  # numpydoc ignore=PR02
    """What a layer gave when it ran.

    Parameters
    ----------
    value : object
        A tensor of its own, so that what comes next may write into the layer's, or
        whatever else the layer gave.
    with_grad : bool
        Whether gradients were recorded.
    """

    value: object
    with_grad: bool


class ForwardPass:
    """Outputs of a network's layers in its last forward pass.

    Attributes
    ----------
    outputs : dict of str to tuple of Output, or None
        By layer, one for each time that it ran. None when there is nothing to be read:
        before a pass, and after `take`.
    followed : bool
        Whether somebody reads it.
    """

    def __init__(self):
        self.outputs = None
        self.followed = False

    def __reduce__(self):  # a copy is empty, until somebody follows it
        return ForwardPass, ()

    def follow(self, model, layers):
        """Hook a network: its layers write what they give, from now on.

        Parameters
        ----------
        model : nn.Module
            The network: a pass begins when it is called.
        layers : dict of str to nn.Module
            Its layers that are read.

        Returns
        -------
        list of RemovableHandle
            They take the hooks away.
        """
        self.followed = True
        begin = _Begin(self)
        begin.handle = model.register_forward_pre_hook(begin)
        hooks = [begin]
        for name, layer in layers.items():
            hook = _Keep(self, name)
            hook.handle = layer.register_forward_hook(hook)
            hooks.append(hook)
        return [hook.handle for hook in hooks]

    def take(self):
        """The outputs, which are read once.

        Returns
        -------
        dict of str to tuple of Output, or None
            None if there was no pass since the last time.
        """
        outputs, self.outputs = self.outputs, None
        return outputs


class _Hook:
    """A hook of a network, for as long as its pass is followed."""

    handle = None

    def __init__(self, forward_pass, layer=None):
        self.forward_pass = forward_pass
        self.layer = layer

    def __deepcopy__(self, memo):
        # Only the dict that the hook stands in refers to it: it is being copied.
        copied = type(self)(copy.deepcopy(self.forward_pass, memo), self.layer)
        copied.handle = copy.deepcopy(self.handle, memo)
        leftover = _Leftover(copied)
        memo[id(leftover)] = leftover
        return copied

    def is_on(self):
        """Whether this is a pass to be read, and not what checkpoints run again."""
        if not self.forward_pass.followed:
            return False
        return torch.compiler.is_compiling() or not in_backward()


class _Leftover:
    """Takes a copied hook off a copied network, when all is copied but its reader.

    It lives in the memo of `copy.deepcopy`, which ends with the copying.
    """

    def __init__(self, hook):
        self.hook = hook

    def __del__(self):
        if not self.hook.forward_pass.followed:
            self.hook.handle.remove()


class _Begin(_Hook):
    """A pass of the network begins."""

    def __call__(self, module, inputs):
        if self.is_on():
            self.forward_pass.outputs = {}


class _Keep(_Hook):
    """A layer of the network ran."""

    def __call__(self, module, inputs, output):
        outputs = self.forward_pass.outputs
        if outputs is not None and self.is_on():
            value = output.clone() if isinstance(output, Tensor) else output
            kept = Output(value, torch.is_grad_enabled())
            outputs[self.layer] = (*outputs.get(self.layer, ()), kept)
