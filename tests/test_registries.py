"""The documentation lists all that the package lists, and each entry is described."""

import inspect
import sys
from pathlib import Path

import pytest

import sktopo
from sktopo._measures.registry import GROUPS

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import lists

SECTIONS = lists.sections()
OBJECTS = [name for names, _ in SECTIONS.values() for name in names]
ENTRIES = [
    (module, registry, entry)
    for module, (_, registries) in SECTIONS.items()
    for registry, entries in registries.items()
    for entry in entries
]


def find(name):
    module, _, attribute = name.rpartition(".")
    return getattr(getattr(sktopo, module) if module else sktopo, attribute)


@pytest.mark.parametrize("name", OBJECTS)
def test_all_that_is_public_is_described_and_on_the_page(name):
    thing = find(name)
    text = inspect.getdoc(thing)
    parameters = [
        parameter.name
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    assert "\nParameters\n---" in text or not parameters
    assert all(parameter in text for parameter in parameters)
    if not inspect.isclass(thing):
        assert "\nReturns\n---" in text
    assert f"\n   {name}\n" in lists.api_page()
    attribute = name.rpartition(".")[2]
    module = sys.modules[f"sktopo.{name}".rpartition(".")[0]]
    assert attribute in module.__all__


@pytest.mark.parametrize(("module", "registry", "entry"), ENTRIES)
def test_every_entry_of_a_registry_is_named(module, registry, entry):
    lines = lists.api_page().splitlines()
    (line,) = [line for line in lines if line.startswith(f"Names in ``{registry}``")]
    assert f'``"{entry}"``' in line
    assert getattr(sys.modules[module], registry)[entry] is not None


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_of_measures_has_its_paragraph(name):
    page = lists.measures_page()
    _, _, part = page.partition(f"\n{name}\n{'-' * len(name)}\n")
    assert lists.describe(GROUPS[name]) in part
    needs = part.partition("Needs: ")[2].partition(".")[0].split(", ")
    assert set(needs) == set(GROUPS[name].needs)


def test_registries_are_where_they_are_looked_for():
    found = {registry for _, registry, _ in ENTRIES}
    wanted = {"BACKBONES", "DATASETS", "DISTANCES", "LOSSES", "NOISES", "SCORERS"}
    assert wanted <= found
