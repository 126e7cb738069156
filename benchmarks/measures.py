"""What each measure costs: each function of plain arrays, and each group of a model.

Beside one predict of the same images, and beside a plain loop where there is one.
"""

import inspect
from functools import partial

import baselines
import numpy as np
from rows import beside, drawn_images, fastest

from sktopo import TopographicCNNClassifier, measure, metrics
from sktopo._measures.registry import GROUPS


def arrays(clf, X, y):
    """What functions of plain arrays need, by the names of their parameters."""
    A, n_orientations = clf.transform(X), 8
    other, classes = A[::-1].copy(), metrics.class_means(A, y)
    readout = clf.module_.readout.weight.detach().numpy()
    return {
        "A": A,
        "A_mirror": other,
        "R": A[:n_orientations].T.copy(),
        "R1": readout @ readout.T,
        "R2": classes @ classes.T,
        "V": readout,
        "W_grid": clf.module_.grid.weight.detach().numpy(),
        "X": A,
        "Y": other,
        "eccentricity": np.linspace(0, 1, len(A)),
        "experts": metrics.expert_units(A, y, threshold=0.1),
        "grid_shape": clf.grid_.shape,
        "maps": clf.activation_maps(X),
        "orientations": np.arange(n_orientations) * 180 / n_orientations,
        "representations": [readout, classes],
        "values": A[0],
        "y": y,
    }


def calls(given):
    """A call of each function, and of each plain loop, with what it must be given."""
    functions, loops = {}, {}
    for name in metrics.__all__:
        parameters = inspect.signature(getattr(metrics, name)).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty]
        chosen = {key: given[key] for key in needed}
        functions[name] = partial(getattr(metrics, name), **chosen)
        if name in baselines.MEASURES:
            loops[f"{name}, plain loop"] = partial(baselines.MEASURES[name], **chosen)
    return functions, loops


def models(X, y, grid_shape):
    """A control and WS."""
    settings = {"backbone": "small", "grid_shape": grid_shape, "max_epochs": 1}
    return [
        TopographicCNNClassifier(loss, **settings, random_state=0).fit(X, y)
        for loss in (None, "ws")
    ]


def measure_rows(size):
    """A row a function and rival, then a row a group."""
    X, y = drawn_images(size.test_images, size.side)
    control, clf = models(X[:640], y[:640], size.grid)
    functions, loops = calls(arrays(clf, X, y))
    groups = {
        group: partial(measure, clf, X, y, group, reference=control)
        for group in [*GROUPS, "all"]
    }
    contestants = {"predict": partial(clf.predict, X), **functions, **loops, **groups}
    n_turns = size.few_turns
    spent = fastest(n_turns, **{name: (run, 1) for name, run in contestants.items()})
    for name in functions:
        found = {"ours": spent[name], "predict": spent["predict"]}
        if name in baselines.MEASURES:
            found["plain loop"] = spent[f"{name}, plain loop"]
        yield from beside("measures", name, found, n_turns)
    for name in groups:
        found = {"ours": spent[name], "predict": spent["predict"]}
        yield from beside("groups of measures", name, found, n_turns)
