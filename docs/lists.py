"""Pages that list what the package has, made of the package's own lists.

A registry is a dict in a public module's ``__all__``; it is read when a page is made.
"""

import inspect
import sys

import sktopo
from sktopo._measures.registry import GROUPS

# The modules by topic, in the order of the page; one that is not named comes last.
TOPICS = {
    "Estimators and measures": ["sktopo"],
    "Spatial losses": ["sktopo.losses"],
    "Measures of plain arrays": ["sktopo.metrics"],
    "Robustness": ["sktopo.robustness", "sktopo.noise"],
    "Scorers": ["sktopo.scorers"],
    "Displays": ["sktopo.plotting"],
    "Studies, and the paper": ["sktopo.study", "sktopo.replication"],
    "Networks and grids": ["sktopo.networks", "sktopo.grid"],
    "Images": ["sktopo.datasets", "sktopo.augment", "sktopo.stimuli"],
}


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
    found = sections()
    placed = [module for modules in TOPICS.values() for module in modules]
    rest = [module for module in found if module not in placed]
    for topic, modules in {**TOPICS, **({"More": rest} if rest else {})}.items():
        parts.append(_title(topic, "-"))
        for module in modules:
            names, registries = found[module]
            parts.append(f"``{module}``: {_summary(sys.modules[module])}")
            for registry, entries in registries.items():
                listed = ", ".join(f'``"{entry}"``' for entry in entries)
                parts.append(f"Names in ``{registry}``: {listed}.")
            for heading, part in _by_subject(module, names).items():
                parts += [f".. rubric:: {heading}"] if heading else []
                lines = "\n".join(f"   {name}" for name in part)
                parts.append(f".. autosummary::\n   :toctree: generated\n\n{lines}")
    return "\n\n".join(parts) + "\n"


def _by_subject(module, names):
    """The names of a package by what the modules that hold them say of themselves."""
    package = sys.modules[module]
    if module == "sktopo":
        kinds = {"Estimators": [], "Tables of measures": []}
        for name in names:
            is_class = inspect.isclass(getattr(package, name))
            kinds["Estimators" if is_class else "Tables of measures"].append(name)
        return kinds
    held = {}
    for name in names:
        holder = sys.modules[getattr(package, name.rpartition(".")[2]).__module__]
        private = holder.__name__.rpartition(".")[2].startswith("_")
        held.setdefault(None if private else holder, []).append(name)
    if len(held) < 2:
        return {None: names}
    return {holder and _summary(holder): part for holder, part in held.items()}


def _summary(module):
    return inspect.getdoc(module).splitlines()[0]


def measures_page():
    """The page of all groups of measures, in reStructuredText."""
    parts = [
        _title("The list of measures", "="),
        "`sktopo.measure` takes these groups of measures, each where it is given what "
        "the group needs; `sktopo.measure_activations` those that need no more than "
        "activations, labels and weights. Rows are found by `sktopo.select_results`. "
        "Formulas, ranges, and how each can mislead: :doc:`measures`.",
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
