"""How the package is laid out: who imports whom, and how long things are."""

import ast
import sys
from pathlib import Path

import pytest

import sktopo

ROOT = Path(sktopo.__file__).parent
FILES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}

# From the ground up: imports point only to what stands above.
ORDER = [
    *("_warn", "_sklearn_private", "_torch_private", "_arrays", "_numbers"),
    *("grid", "_layers", "losses", "networks"),
    *("_images", "_labels", "_files", "_modes", "noise", "augment", "_forward"),
    *("_training", "_saving", "stimuli", "datasets"),
    *("_modules", "_units", "_observed", "_diagnosis", "_estimator"),
    *("classifier", "encoder", "frozen", "_subject", "transformers", "metrics"),
    *("_evaluation", "robustness", "_measures", "scorers", "plotting"),
    *("study", "replication"),
]
# What metrics may have: plain arrays in, numbers out.
OF_METRICS = {"numpy", "scipy", "pandas", "sklearn", "diptest"}
GROUND = {"_arrays", "_numbers", "grid", "metrics"}
LONGEST_FUNCTION, LONGEST_CLASS = 50, 300


each_file = pytest.mark.parametrize("name", FILES)


def home(name):
    """The folder of a file; each file directly in the package is one of its own."""
    return Path(name).parts[0].removesuffix(".py")


def imports(tree):
    """Module and name of each import of a file, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if is_module(whole):
                    yield whole, None
                else:
                    yield node.module, alias.name


def is_module(dotted):
    path = ROOT.parent.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def own_imports(name):
    """Those of the package from another folder: folder, module's rest, name."""
    for module, imported in imports(TREES[name]):
        package, *parts = module.split(".")
        if package == "sktopo" and parts and parts[0] != home(name):
            yield parts[0], parts[1:], imported


@each_file
def test_no_private_name_of_another_folder(name):
    wrong = [
        (folder, *rest, imported)
        for folder, rest, imported in own_imports(name)
        if any(part.startswith("_") for part in [*rest, imported or ""])
    ]
    assert not wrong


@each_file
def test_no_private_attribute_of_another_module(name):
    modules = {"sktopo"}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "sktopo"
        ):
            modules |= {
                alias.asname or alias.name
                for alias in node.names
                if is_module(f"{node.module}.{alias.name}")
            }
    wrong = [
        ast.unparse(node)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
    ]
    assert not wrong


@each_file
def test_imports_point_one_way(name):
    if name == "__init__.py":  # the face of all
        return
    place = ORDER.index(home(name))
    below = [
        folder for folder, _, _ in own_imports(name) if ORDER.index(folder) > place
    ]
    assert not below


@pytest.mark.parametrize("name", [name for name in FILES if home(name) == "metrics"])
def test_metrics_take_arrays_and_nothing_else(name):
    for module, _ in imports(TREES[name]):
        package, *parts = module.split(".")
        if package == "sktopo":
            assert parts[0] in GROUND, module
        else:
            assert package in OF_METRICS | sys.stdlib_module_names, module


def lines_of_code(node):
    """Lines of a function or class, docstrings apart."""
    count = node.end_lineno - node.lineno + 1
    for part in ast.walk(node):
        if isinstance(part, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(part):
            count -= part.body[0].end_lineno - part.body[0].lineno + 1
    return count


@each_file
def test_functions_and_classes_are_short(name):
    long = []
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ClassDef):
            most = LONGEST_CLASS
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            most = LONGEST_FUNCTION
        else:
            continue
        if lines_of_code(node) > most:
            long.append((node.name, lines_of_code(node)))
    assert not long


@pytest.mark.parametrize("name", [name for name in FILES if "__init__" in name])
def test_no_public_function_hides_a_module(name):
    folder = (ROOT / name).parent
    modules = {path.stem for path in folder.iterdir()} - {"__init__", "__pycache__"}
    names = {alias for _, alias in imports(TREES[name]) if alias}
    names |= {node.name for node in TREES[name].body if hasattr(node, "name")}
    assert not names & modules


def test_modules_are_all_in_the_order():
    assert {home(name) for name in FILES} - {"__init__"} <= set(ORDER)
