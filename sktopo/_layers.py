"""Layers of a torch network, found by name (private)."""

from __future__ import annotations

import difflib

from torch import nn

# Wrappers whose names stand before those of the network that they hold.
_WRAPPERS = ("module", "_orig_mod")
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def find_layer(module, name, parameter, more=()):
    """Name of a layer in a network, also where wrappers come first.

    Parameters
    ----------
    module : nn.Module
        The network, also inside wrappers.
    name : str
        As in ``module.named_modules()``, with or without the names of wrappers
        (``module.``, ``_orig_mod.``).
    parameter : str
        What the user calls the name, for the error.
    more : sequence of str, default=()
        Further names that were possible, for the error.

    Returns
    -------
    str
        The name in this network.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"{parameter}={name!r} is no layer: give its name, a str from "
            f"module.named_modules()."
        )
    every = module.named_modules(remove_duplicate=False)
    names = [known for known, _ in every if known]
    if name in names:
        return name
    bare = _bare(name)
    if bare and (found := [known for known in names if _bare(known) == bare]):
        return found[0]
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4) or names[-8:]
    raise ValueError(
        f"{parameter}={name!r} is no layer of this {type(module).__name__}; layers of "
        f"names like it, or its last ones, are {[*more, *near]}. All are in "
        f"dict(module.named_modules())."
    )


def _bare(name):
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def unwrap(module):
    """What a wrapper for several devices or a compiler holds.

    Parameters
    ----------
    module : nn.Module
        Perhaps in wrappers.

    Returns
    -------
    nn.Module
        Without them.
    """
    while True:
        children = dict(module.named_children())
        if "_orig_mod" in children:
            module = children["_orig_mod"]
        elif isinstance(module, _PARALLEL):
            module = module.module
        else:
            return module
