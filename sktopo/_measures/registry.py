"""The list of groups of measures, and the two functions that take them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sktopo._evaluation import Evaluation
from sktopo._measures.group import Given
from sktopo._measures.results import Table, as_frame
from sktopo._warn import warn_user
from sktopo.grid import Grid
from sktopo.metrics.activations import Activations, check_weights

# Every group of measures by its name, in the order of the tables: what the modules of
# this package that have a GROUP hold. It is filled below.
GROUPS = {}
# These come first; others follow by their names.
FIRST = ("performance", "smoothness", "localization", "selectivity", "activity")


def check_include(include):
    """The groups that are asked for, in the order of the tables.

    Parameters
    ----------
    include : "all", str or sequence of str
        Names of groups.

    Returns
    -------
    list of str
        Each once.

    Raises
    ------
    ValueError
        On an unknown name.
    """
    if isinstance(include, str):
        include = GROUPS if include == "all" else [include]
    include = list(include)
    if unknown := [group for group in include if group not in GROUPS]:
        raise ValueError(
            f"include must be 'all' or among {list(GROUPS)}; got {unknown}."
        )
    return [group for group in GROUPS if group in include]


def measure(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike | None = None,
    include: str | Sequence[str] = "all",
    reference: BaseEstimator | None = None,
    random_state: int | np.random.RandomState | None = 0,
    *,
    layer: str | None = None,
) -> pd.DataFrame:
    """Take every measure of a fitted model, at one of its layers.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or a
        Pipeline or search that ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images, best held out from training. They pass through the network once for all
        measures of the responses to them.
    y : array-like of shape (n,), default=None
        Class labels. None: what needs labels is left out.
    include : "all", str or sequence of str, default="all"
        Names of the groups to take, such as "smoothness"; the page "Measures" of the
        documentation lists them all, as the error for an unknown one does.
    reference : estimator, default=None
        Another fitted model, such as the control of the same seed. The 0.1 to 99.9
        percentiles of its activations are the range of the shared entropy, and the
        geometry is compared with its.
    random_state : int, RandomState instance or None, default=0
        Seed of noise, pruning and pairings.
    layer : str, default=None
        Name of the layer whose units are measured, as in ``named_modules()`` of the
        network, in the reference too. None: that of the grid. Units of another layer
        stand on the sheet of `sktopo.grid.sheet_shape`.

    Returns
    -------
    DataFrame
        A row a measure: group; measure; parameter, what it was taken at; value, for
        measures of single units the mean over units that have one; n, the number of
        images, units or pairs that the value is of. What the model does not have (a
        readout, classes) has no rows, with a warning where its group is named in
        `include`.

    Raises
    ------
    ValueError
        On an unknown group or layer, or y of another length.
    TypeError
        If an estimator holds no network.

    See Also
    --------
    measure_activations : The same for plain arrays of any framework.
    unit_table : A row a unit.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier, measure
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=3, lr=3e-3, random_state=0).fit(X, y)
    >>> measure(clf, X, y, include=["smoothness"]).columns.tolist()
    ['group', 'measure', 'parameter', 'value', 'n']
    """
    groups = check_include(include)
    given = look(estimator, X, y, reference, random_state, layer)
    if not (isinstance(include, str) and include == "all"):
        _warn_of_missing(given, groups)
    return take(given, groups)


def look(estimator, X, y, reference, random_state, layer):
    """What a fitted model gives to be measured; parameters as those of `measure`."""
    evaluation = Evaluation.of(estimator, X, y, layer=layer)
    evaluation.keep()
    other = None if reference is None else Evaluation.of(reference, X, y, layer=layer)
    seed = check_random_state(random_state).randint(2**31)
    return Given.of(evaluation, other, seed)


def _warn_of_missing(given, groups):
    """Warn of groups that were asked for by name and will have no rows."""
    for name in groups:
        if missing := given.lacks(GROUPS[name].needs):
            warn_user(
                f"The group {name!r} has no rows: it needs {' and '.join(missing)}."
            )


def take(given, groups):
    """The rows of those groups that are given what they need."""
    rows = []
    for name in groups:
        group = GROUPS[name]
        if not given.lacks(group.needs):
            table = Table(name)
            group.take(given, table)
            rows.extend(table.rows)
    return as_frame(rows)


def measure_activations(
    A: ArrayLike,
    grid_shape: tuple[int, int] | Grid,
    y: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    value_range: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Take every measure that needs activations only.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations before the ReLU, from any framework, units row-major on the grid.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
    y : array-like of shape (n_images,), default=None
        Class labels; without them selectivity is left out.
    weights : array-like of shape (n_units, fan_in), default=None
        Incoming weights of the units.
    value_range : tuple of (float, float), default=None
        Range of the shared entropy; without it that row is left out.

    Returns
    -------
    DataFrame
        As `measure` gives, for the groups that need no more than was given.

    Raises
    ------
    ValueError
        If A does not fit the grid or the labels, or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo import measure_activations
    >>> A = np.random.default_rng(0).normal(size=(50, 12))
    >>> measure_activations(A, (3, 4)).group.unique().tolist()
    ['smoothness', 'localization', 'activity', 'dimensionality']
    """
    A, grid, y = Activations.of(A, grid_shape, y)
    if weights is not None:
        weights = check_weights(weights, grid.n_units)
    given = Given(lambda: A, grid, y, weights, value_range)
    return take(given, list(GROUPS))


def _place(group):
    return FIRST.index(group.name) if group.name in FIRST else len(FIRST), group.name


def _find_groups():
    """The groups of all modules beside this one."""
    names = [
        module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])
    ]
    modules = [importlib.import_module(f"sktopo._measures.{name}") for name in names]
    groups = [module.GROUP for module in modules if hasattr(module, "GROUP")]
    return {group.name: group for group in sorted(groups, key=_place)}


# At the end, so that a group's module may use what stands above.
GROUPS.update(_find_groups())
