"""Layers of a network by name (private)."""

from __future__ import annotations

import difflib

# Wrappers whose names stand before those of the network that they hold.
_WRAPPERS = ("module", "_orig_mod")


def find_layer(module, name, parameter, more=()):
    """Name of a layer in a network, also where wrappers come first.

    Parameters
    ----------
    module : nn.Module
        The network.
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
    names = [known for known, _ in module.named_modules() if known]
    found = name
    while True:
        if found in names:
            return found
        first, _, rest = found.partition(".")
        if first not in _WRAPPERS or not rest:
            break
        found = rest
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4) or names[-8:]
    raise ValueError(
        f"{parameter}={name!r} is no layer of this {type(module).__name__}; layers of "
        f"names like it, or its last ones, are {[*more, *near]}. All are in "
        f"dict(module.named_modules())."
    )
