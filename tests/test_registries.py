"""The documentation lists all that the package lists, and each entry is described."""

import doctest
import inspect
import sys
import tomllib
from pathlib import Path

import pytest

import sktopo
from sktopo._measures.registry import GROUPS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
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


# Their examples take a download, or hours of training: shown, and not run.
NOT_RUN = {
    *("fetch_fashion_mnist", "fetch_mnist", "fetch_cifar10", "load_comparison"),
    *("against_simpler", "equal_smoothness", "on_top", "overview"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_all_that_is_public_has_an_example_that_runs(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(find(name)))
    assert examples
    skipped = any(doctest.SKIP in example.options for example in examples)
    assert skipped == (name.rpartition(".")[2] in NOT_RUN)


def methods_of(thing):
    """Public methods of a class that are ours, also those of its own bases."""
    for base in inspect.getmro(thing) if inspect.isclass(thing) else ():
        if base.__module__.partition(".")[0] == "sktopo":
            for name in vars(base):
                if not name.startswith("_") and callable(getattr(thing, name)):
                    yield f"{base.__module__}.{base.__qualname__}.{name}"


@pytest.mark.parametrize("name", OBJECTS)
def test_numpydoc_finds_nothing_wrong_with_what_is_public(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    _, *not_asked = pyproject["tool"]["numpydoc_validation"]["checks"]
    thing = find(name)
    for path in (f"{thing.__module__}.{thing.__qualname__}", *methods_of(thing)):
        found = validate(path)["errors"]
        assert not [error for error in found if error[0] not in not_asked], path


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
