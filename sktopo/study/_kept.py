"""What a store keeps of its study, so that results are read without the data (private).

It is part of ``study.json``: which models the study that ran last is of, and the labels
of its images.
"""

from __future__ import annotations

import base64
import dataclasses
import math

import numpy as np

from sktopo._labels import decode_labels, encode_labels
from sktopo.grid import Grid
from sktopo.study._plan import cells_of, parts_of

# No study has more models.
_MOST_CELLS = 10**6


@dataclasses.dataclass(frozen=True)
class Kept:
    """A study as its store has it.

    Parameters
    ----------
    cells : list of Cell
        Its models, in the order of the results.
    layers : list of str or None
        Layers that are measured beside the grid.
    subjects : list of str
        Conditions that were not trained, and have no responses here.
    groups : list of str
        Its groups of measures, in the order of the results.
    conditions : dict
        Described settings of each condition.
    base : dict
        Described parameters of the estimator.
    grid_shapes : dict
        Rows and columns of the grid of each condition.
    n_images : dict
        Number of "train" and "test" images.
    classes, labels : ndarray
        Class labels, and those of the test images.
    versions : dict
        Versions of libraries that it was begun with.
    """

    cells: list
    layers: list | None
    subjects: list
    groups: list
    conditions: dict
    base: dict
    grid_shapes: dict
    n_images: dict
    classes: np.ndarray
    labels: np.ndarray
    versions: dict

    def parts(self, cell):
        """Layer and group of each table of a cell; see `parts_of`."""
        return parts_of(cell, self)

    def is_subject(self, cell):
        """Whether a cell was only measured."""
        return cell.condition in self.subjects


def keep_plan(plan):
    """Which models a study has, and with which measures, as JSON can hold it."""
    return {
        "conditions": {name: plan.lams_of(name) for name in plan.conditions},
        "first_seed": plan.seeds[0],
        "n_seeds": len(plan.seeds),
        "groups": plan.groups,
        "layers": plan.layers,
        "subjects": list(plan.subjects),
    }


def keep_labels(y_train, y_test):
    """The classes, and the labels of the test images as places among them.

    Parameters
    ----------
    y_train, y_test : ndarray
        Checked labels; those of the test images are all among the others.

    Returns
    -------
    dict
        For JSON.
    """
    classes = np.unique(y_train)
    places = {label: place for place, label in enumerate(classes.tolist())}
    codes = np.array([places[label] for label in y_test.tolist()], dtype="<u4")
    # as few bytes as they need
    codes = codes.astype(np.min_scalar_type(len(classes) - 1).newbyteorder("<"))
    return {
        "classes": encode_labels(classes),
        "test": base64.b64encode(codes.tobytes()).decode(),
        "test_dtype": y_test.dtype.str,
    }


def read_kept(found):
    """What ``study.json`` keeps; a ValueError or its like where it makes no sense.

    Parameters
    ----------
    found : dict
        Its content.

    Returns
    -------
    Kept
        The study.
    """
    plan = found["plan"]
    subjects = [_text(name) for name in plan.get("subjects", ())]
    cells = _read_cells(plan, subjects)
    layers = plan.get("layers")
    if layers is not None:
        layers = [_text(layer) for layer in layers]
    names = dict.fromkeys(cell.condition for cell in cells)
    conditions = {name: found["conditions"][name] for name in names}
    if not all(isinstance(settings, dict) for settings in conditions.values()):
        raise TypeError("settings of conditions are objects")
    groups = [_text(group) for group in plan["groups"]]
    if not groups or len(set(groups)) < len(groups):
        raise ValueError(f"its groups of measures are {groups}")
    n_images = {part: _count(found, part) for part in ("train", "test")}
    classes = decode_labels(found["labels"]["classes"])
    labels = _read_labels(found["labels"], classes)
    if len(labels) != n_images["test"]:
        raise ValueError(f"{len(labels)} labels of {n_images['test']} test images")
    versions = {_text(k): _text(v) for k, v in found["versions"].items()}
    base = {k: v for k, v in found["estimator"].items() if k != "class"}
    return Kept(
        cells,
        layers,
        subjects,
        groups,
        conditions,
        base,
        {name: grid_shape(base, settings) for name, settings in conditions.items()},
        n_images,
        classes,
        labels,
        versions,
    )


def grid_shape(base, settings):
    """Rows and columns by described settings of an estimator and of a condition."""
    described = settings.get("grid_shape", base["grid_shape"])
    if isinstance(described, dict):
        described = described["tuple"]
    return Grid(described).shape


def _read_cells(plan, subjects):
    first, n_seeds = _integer(plan["first_seed"]), _integer(plan["n_seeds"])
    lams = {
        name: [_lam(lam) for lam in there] for name, there in plan["conditions"].items()
    }
    n_cells = n_seeds * sum(map(len, lams.values()))
    if not 0 < n_cells <= _MOST_CELLS:
        raise ValueError(f"{n_cells} models")
    if len({*lams, *subjects}) < len(lams) + len(subjects):
        raise ValueError(f"a subject comes twice, or is a condition: {subjects}")
    return cells_of(lams, range(first, first + n_seeds), subjects)


def _read_labels(found, classes):
    code_type = np.min_scalar_type(len(classes) - 1).newbyteorder("<")
    codes = np.frombuffer(base64.b64decode(found["test"], validate=True), code_type)
    if len(codes) and codes.max() >= len(classes):
        raise ValueError("a label that is no class")
    if classes.itemsize * len(codes) > 2**30:  # strings are as wide as the longest
        raise ValueError(f"{len(codes)} labels of {classes.dtype}")
    labels = classes[codes]
    wanted = np.dtype(_text(found["test_dtype"]))
    if wanted.kind in "biuf" and labels.dtype.kind in "biuf":
        return labels.astype(wanted)  # True of the classes may be 1 of the labels
    return labels.astype(object) if wanted.kind == "O" else labels


def _text(value):
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is no text")
    return value


def _integer(value):
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.50} is no seed or number of seeds")
    return value


def _lam(value):
    if isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r:.50} is no lam")
    return float(value)


def _count(found, part):
    return _integer(found["data"][f"y_{part}"]["shape"][0])
