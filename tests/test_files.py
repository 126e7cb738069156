import functools
import json
import os
import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import EarlyStopping, EpochScoring

from sktopo._files import (
    describe,
    differences,
    name_of,
    read_json_object,
    read_regular,
)
from sktopo.grid import Grid
from sktopo.losses import ActivationSimilarity, WeightSimilarity

WIDTH = 8


def network(image_shape, act=torch.nn.ReLU, width=8):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(width), act())


def of_width(width):
    def made(image_shape):
        return network(image_shape, width=width)

    return made


def global_width(image_shape):
    return network(image_shape, width=WIDTH)


class Maker:
    def __init__(self, width):
        self.width = width

    def __call__(self, image_shape):
        return network(image_shape, width=self.width)

    def make(self, image_shape):
        return self(image_shape)


class Maker_:  # noqa: N801
    def __init__(self, width):
        self.width_ = width


def plain_class():
    class Loss(torch.nn.Module):
        pass

    return Loss


def class_with(table):
    class Loss:
        settings = table

    return Loss


def class_named(source, factor):
    class Loss(torch.nn.Module):
        def forward(self, x):
            return factor * x.mean()

    Loss.source = source
    return Loss


def written(code):
    """A function as a script or notebook defines it."""
    scope = {"__name__": "__main__", "torch": torch}
    exec(code, scope)
    return scope["f"]


relu, tanh = torch.nn.ReLU, torch.nn.Tanh
DIFFERENT = {
    "keywords": (
        functools.partial(network, act=relu),
        functools.partial(network, act=tanh),
    ),
    "arguments": (
        functools.partial(network, (1, 8, 8)),
        functools.partial(network, (1, 9, 9)),
    ),
    "nested": tuple(
        functools.partial(functools.partial(network, act=act), width=3)
        for act in (relu, tanh)
    ),
    "partial or not": (network, functools.partial(network, width=9)),
    "losses": (
        functools.partial(WeightSimilarity, distance="cosine"),
        functools.partial(WeightSimilarity, distance="euclidean"),
    ),
    "classes": (WeightSimilarity, ActivationSimilarity),
    "closures": (of_width(3), of_width(4)),
    "lambdas": (
        lambda shape: network(shape, width=3),
        lambda shape: network(shape, width=4),
    ),
    "objects": (Maker(3), Maker(4)),
    "methods": (Maker(3).make, Maker(4).make),
    "classes of one name": (class_named("weights", 1), class_named("weights", 2)),
    "attributes of classes": (class_named("weights", 1), class_named("activations", 1)),
    "arrays": (
        functools.partial(network, positions=np.arange(3)),
        functools.partial(network, positions=np.arange(3) + 1),
    ),
    "tensors": (
        functools.partial(network, positions=torch.arange(3)),
        functools.partial(network, positions=torch.arange(3) + 1),
    ),
    "callbacks": ([EarlyStopping(patience=3)], [EarlyStopping(patience=4)]),
    "named callbacks": ([("stop", EarlyStopping())], [("halt", EarlyStopping())]),
    "scorings": (
        [EpochScoring("roc_auc", on_train=True)],
        [EpochScoring("accuracy", on_train=True)],
    ),
    "numbers of callbacks": ([EarlyStopping()], [EarlyStopping(), EarlyStopping()]),
    "scripts": (
        written("def f(shape):\n    return 3"),
        written("def f(shape):\n    return 4"),
    ),
    "helpers of scripts": (
        written("def g():\n    return 3\ndef f(shape):\n    return g()"),
        written("def g():\n    return 4\ndef f(shape):\n    return g()"),
    ),
    "defaults of scripts": (
        written("def f(shape, n=3):\n    return n"),
        written("def f(shape, n=4):\n    return n"),
    ),
    "plain values": ((3, 4), [3, 4]),
    "weights of classes": ({0: 1.0, 1: 2.0}, {0: 1.0, 1: 3.0}),
    "odd names of attributes": (Maker_(3), Maker_(4)),
    "a class that does more": (plain_class(), class_named("weights", 1)),
    "tables of classes": (class_with({"width": 3}), class_with({"width": 4})),
    "global tables": (
        written("table = {1: 3}\ndef f(shape):\n    return table[1]"),
        written("table = {1: 4}\ndef f(shape):\n    return table[1]"),
    ),
    "sets": ({1, 2}, {1, 3}),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_settings_that_differ_are_described_differently(kind):
    first, second = (json.loads(json.dumps(describe(v, kind))) for v in DIFFERENT[kind])
    assert first != second
    told = differences("backbone", first, second)
    assert told
    assert all(text.startswith("backbone") for text in told)
    assert differences("backbone", first, first) == []


def test_differences_name_what_differs():
    first, second = (describe(v, "x") for v in DIFFERENT["keywords"])
    (told,) = differences("backbone", first, second)
    assert "keywords: act" in told
    assert "ReLU" in told
    assert "Tanh" in told


@pytest.mark.parametrize(
    "make",
    [
        lambda: functools.partial(network, act=relu),
        lambda: of_width(3),
        lambda: Maker(3),
        lambda: Maker(3).make,
        lambda: class_named("weights", 1),
        lambda: [EarlyStopping(patience=3), ("score", EpochScoring("accuracy"))],
        lambda: functools.partial(network, positions=np.arange(3)),
        lambda: written("def f(shape):\n    return 3"),
        lambda: {1, 2, 3},
    ],
)
def test_the_same_setting_is_described_alike(make):
    assert describe(make(), "x") == describe(make(), "x")


def test_comments_lines_and_docstrings_are_no_difference():
    plain = written("def f(shape):\n    return 3 in {1, 2, 3}")
    told = written(
        'def f(shape):\n    "Three."\n    # is it?\n\n    return 3 in {1, 2, 3}'
    )
    assert describe(plain, "x") == describe(told, "x")


def test_the_order_of_a_dict_is_no_difference():
    first, second = describe({0: 1.0, 1: 2.0}, "x"), describe({1: 2.0, 0: 1.0}, "x")
    assert differences("x", first, second) == []
    (told,) = differences("x", first, describe({0: 1.0, 1: 3.0}, "x"))
    assert told == "x: 1 is 2.0 there and 3.0 here"


def test_a_global_number_belongs_to_the_function(monkeypatch):
    before = describe(global_width, "x")
    monkeypatch.setitem(globals(), "WIDTH", 9)
    assert describe(global_width, "x") != before


def test_descriptions_survive_pickling():
    for value in (Maker(3), functools.partial(network, act=tanh), EarlyStopping()):
        again = pickle.loads(pickle.dumps(value))
        assert describe(again, "x") == describe(value, "x")


def test_names_of_the_first_house_are_still_known():
    """It told callables by their names alone."""
    for value in (functools.partial(network, act=relu), network, Maker(3)):
        old = {"callable": name_of(value)}
        assert differences("x", old, describe(value, "x")) == []
    new = describe([EarlyStopping(patience=3), ("stop", EarlyStopping())], "callbacks")
    old = [name_of(EarlyStopping())] * 2
    assert differences("callbacks", old, new) == []
    assert differences("x", {"callable": "other.f"}, describe(network, "x"))
    assert differences("callbacks", [name_of(EpochScoring)] * 2, new)


def test_code_that_another_python_hashed_is_not_compared():
    new = describe(written("def f(shape):\n    return 3"), "x")
    old = {**new, "code": {"3.1": "0"}}
    assert differences("x", old, new) == []
    assert differences("x", {**new, "code": dict.fromkeys(new["code"], "0")}, new)


def test_what_cannot_be_told_is_refused():
    with pytest.raises(TypeError, match="callbacks holds a generator"):
        describe([(n for n in "abc")], "callbacks")


def test_only_regular_files_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(ValueError, match="5 bytes, more than the 4"):
        read_regular(path, 4)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ValueError, match="is a link"):
        read_regular(tmp_path / "link", 5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_regular(tmp_path / "pipe", 5)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 5)


@pytest.mark.parametrize("text", ["[1]", "3", "{", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_json_object(text, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_json_object(path, 2**20)


def test_what_an_object_computed_of_itself_is_no_setting():
    grid = Grid((3, 4), wrap=True)
    before = describe(grid, "grid")
    assert len(grid.edges) > 0
    assert describe(grid, "grid") == before != describe(Grid((3, 4)), "grid")
