"""Private names of dependencies stand in one module a dependency."""

import ast
import functools
import sys
from pathlib import Path

import pytest
import torch

import sktopo
from sktopo._torch_private import cpu_capabilities
from sktopo._training import native_bfloat16

ROOT = Path(sktopo.__file__).parent
SOURCES = {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
# What dependencies ask their heirs to define; defined here, so no name of another.
HOOKS = {"_parameter_constraints", "_default_callbacks"}
# A way to start one worker process, which joblib has no public one for.
STUDY = {ROOT / "study" / "_run.py": {"_prepare_worker_env", "_id"}}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def imported(tree):
    """Module and name of each thing that is imported from elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first = name.split(".")[0]
            if first != "sktopo" and first not in sys.stdlib_module_names:
                yield name


@functools.cache
def own_names():
    """Everything that the package itself defines or assigns."""
    found = set()
    for tree in SOURCES.values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.alias):
                found.add(node.asname or node.name.split(".")[-1])
    return found


def private_names_of_dependencies(tree):
    own = own_names()
    found = {n for n in imported(tree) if any(map(is_private, n.split(".")))}
    for node in ast.walk(tree):
        # `os._exit` and the like are of the standard library
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            base = getattr(node.value, "id", None)
            if base not in sys.stdlib_module_names and node.attr not in own:
                found.add(node.attr)
    return found


@pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_private_names_of_dependencies_have_one_place(path):
    found = private_names_of_dependencies(SOURCES[path])
    if path.name.endswith("_private.py"):
        dependency = path.stem.removeprefix("_").removesuffix("_private")
        modules = {name.split(".")[0] for name in imported(SOURCES[path])}
        assert modules == {dependency}
        assert found
        assert "Tried with" in ast.get_docstring(SOURCES[path])
        return
    assert found - HOOKS - STUDY.get(path, set()) == set()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from torch._C import x", {"torch._C.x"}),
        ("from sklearn.utils import _check", {"sklearn.utils._check"}),
        ("import torch\ntorch.cpu._is_avx2_supported()", {"_is_avx2_supported"}),
        ("estimator._validate_params()", {"_validate_params"}),
        ("net._set_training(True)", {"_set_training"}),
        ("import os\nos._exit(0)", set()),
        ("import torch\ntorch.cpu.is_available()", set()),
    ],
)
def test_they_are_found(code, found):
    assert private_names_of_dependencies(ast.parse(code)) == found


# ------------------------------------------------------------------------ torch


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("amx", [True, False])
def test_capabilities_of_a_torch_without_a_public_way(bf16, amx, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for name, value in {"avx512_bf16": bf16, "amx_tile": amx}.items():
        name = f"_is_{name}_supported"
        monkeypatch.setattr(torch.cpu, name, lambda value=value: value)
    assert cpu_capabilities() == {"avx512_bf16": bf16, "amx_tile": amx}
    assert native_bfloat16(torch.device("cpu")) is (bf16 or amx)


@pytest.mark.skipif(
    not hasattr(torch.cpu, "get_capabilities"), reason="this torch has no public way"
)
@pytest.mark.parametrize(
    ("name", "wanted"), [("avx512_bf16", True), ("amx_tile", True), ("neon", False)]
)
def test_capabilities_of_torch(name, wanted, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    assert native_bfloat16(torch.device("cpu")) is wanted
