"""Pages that list what the package has, made of the package's own lists.

A registry is a dict in a public module's ``__all__``; it is read when a page is made.
"""

import inspect
import sys

import sktopo
from sktopo._measures.registry import GROUPS


def sections():
    """What is public, module by module.

    Returns
    -------
    dict of str to (list of str, dict of str to list of str)
        For each module, "sktopo" first: dotted names of its classes and functions, and
        for each of its registries the names that it holds.
    """
    found = {"sktopo": (sorted(_objects(sktopo)), {})}
    known = set(_objects(sktopo).values())
    for name in sktopo.__all__:
        module = getattr(sktopo, name)
        if inspect.ismodule(module):
            objects = {k: v for k, v in _objects(module).items() if v not in known}
            names = [f"{name}.{key}" for key in objects]
            found[f"sktopo.{name}"] = names, _registries(module)
    return {module: lists for module, lists in found.items() if any(lists)}


def _registries(module):
    values = {name: getattr(module, name) for name in module.__all__}
    return {name: v for name, v in values.items() if isinstance(v, dict)}


def _objects(module):
    """Public classes and functions of a module, those in its registries included."""
    values = [getattr(module, name) for name in module.__all__]
    for registry in _registries(module).values():
        values += [getattr(value, "func", value) for value in registry.values()]
    public = [v for v in values if inspect.isclass(v) or inspect.isfunction(v)]
    return {v.__name__: v for v in public if not v.__name__.startswith("_")}


def api_page():
    """The page of all that is public, in reStructuredText."""
    parts = [_title("API", "="), ".. currentmodule:: sktopo"]
    for module, (names, registries) in sections().items():
        summary = inspect.getdoc(sys.modules[module]).splitlines()[0]
        parts += [_title(module, "-"), summary]
        for registry, entries in registries.items():
            listed = ", ".join(f'``"{entry}"``' for entry in entries)
            parts.append(f"Names in ``{registry}``: {listed}.")
        lines = "\n".join(f"   {name}" for name in names)
        parts.append(f".. autosummary::\n   :toctree: generated\n\n{lines}")
    return "\n\n".join(parts) + "\n"


def measures_page():
    """The page of all groups of measures, in reStructuredText."""
    parts = [
        _title("Measures", "="),
        "`sktopo.measure` takes these groups of measures, each where it is given what "
        "the group needs; `sktopo.measure_activations` those that need no more than "
        "activations, labels and weights. Rows are found by `sktopo.select_results`.",
    ]
    for group in GROUPS.values():
        needs = ", ".join(sorted(group.needs)) or "nothing"
        parts += [_title(group.name, "-"), describe(group), f"Needs: {needs}."]
    return "\n\n".join(parts) + "\n"


def describe(group):
    """What a group says of itself: its function, or else its module."""
    text = inspect.getdoc(group.take) or inspect.getdoc(inspect.getmodule(group.take))
    if not text:
        raise ValueError(f"The group of measures {group.name!r} has no docstring.")
    return text


def _title(text, line):
    return f"{text}\n{line * len(text)}"
