"""Studies: conditions, weights of the spatial loss and seeds, measured and compared."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import FitFailedWarning

from sktopo._files import digest
from sktopo._warn import warn_user
from sktopo.classifier import TopographicCNNClassifier
from sktopo.encoder import TopographicEncoder
from sktopo.frozen import FrozenNetwork
from sktopo.study._kept import keep_labels, keep_plan
from sktopo.study._plan import CONTROL, FIRST_SEED, Plan, describe_estimator
from sktopo.study._results import collect
from sktopo.study._run import check_data, check_layers, run_plan, told_how_to_go_on
from sktopo.study._store import Store

__all__ = ["TopographicStudy"]

# What a study trains.
KINDS = (TopographicCNNClassifier, TopographicEncoder)


class TopographicStudy(BaseEstimator):
    """Train control and topographic models over lam and seeds, measure and compare.

    Each model is a cell: a condition, a weight of the spatial loss (lam) and a seed.
    Cells of one seed share initialisation, order of the data and noisy test images, so
    that conditions are compared within seeds. Every cell is trained and measured with
    one thread, in this process or in workers: the results are the same bits.

    Parameters
    ----------
    estimator : TopographicCNNClassifier or TopographicEncoder, default=None
        What all conditions have in common. None: the classifier's defaults. For the
        paper's networks see `sktopo.replication.protocol`. Models of an encoder have no
        accuracy and no robustness; for what it learned give a probe in `measures`.
    topo_losses : sequence of str or callable, \
            default=("ws", "as", "as_untransposed")
        Conditions by their spatial loss, as the estimator's `topo_loss`, each at every
        lam. The condition "control", without spatial loss, is always there.
    lams : sequence of float, default=(0.1, 0.3, 0.5, 1, 2, 3)
        Weights of the spatial loss.
    n_seeds : int, default=10
        Models of each condition and lam.
    include : "all" or sequence of str, default="all"
        Groups of measures, as in `sktopo.measure`.
    store : str or path-like, default=None
        A folder that keeps each model and its measures as soon as they are done, so
        that a study can go on after it was stopped, or be extended. None: results are
        kept in memory, and models are not kept.
    n_jobs : int, default=1
        Cells that run at the same time, as in joblib. 1: one after the other in this
        process, which has one thread meanwhile; if the system kills it, the study ends,
        and goes on from its store. More, or -1 for one a core: each in a worker
        process, and if that is killed only its cell fails. Under another joblib backend
        (``joblib.parallel_config("dask")`` or ``"ray"``) that backend runs them.
    random_state : int, default=0
        Together with its number it decides the random state of each seed.
    verbose : int, default=1
        1 shows a bar with finished models and the time left.
    conditions : mapping of str to dict, default=None
        Further conditions: parameters of the estimator by name of the condition, such
        as ``{"ws_cosine": {"topo_loss": "ws", "distance": "cosine"}}``. With a "lam" a
        condition is run there only, else at each lam.
    measures : mapping of str to callable, default=None
        Further measures, called as ``f(estimator, X_test, y_test)``, which give a
        number, or a DataFrame with a column "value" and possibly "measure",
        "parameter" and "n". The name is the group.
    first_seed : int, default=100
        The seeds are this number and those that follow: 100, 101, ...
    layers : sequence of str, default=None
        Further layers to measure beside the grid, by their names in
        ``estimator.module_.named_modules()``. The results then have a column "layer",
        which says "grid" for the grid, for accuracy and for your own measures.
    subjects : mapping of str to FrozenNetwork, default=None
        Networks that were trained elsewhere, to be measured beside the others on the
        same images and noise. Each is a condition with lam 0 and the first seed, at its
        own layer, which the column "layer" calls "grid". It is in no comparison within
        seeds, and its responses are not kept.

    Attributes
    ----------
    results_ : DataFrame
        A row a model and measure: condition, lam (0 without spatial loss), seed, layer
        (only with `layers`), group, measure, parameter, value, n.
    failures_ : DataFrame
        Models that could not be trained or measured: condition, lam, seed, error.
    conditions_ : dict
        Parameters of each condition.
    n_images_ : dict
        Number of "train" and "test" images.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    labels_ : ndarray of shape (m,)
        Labels of the test images.

    See Also
    --------
    sktopo.measure : The measures of one model.

    Notes
    -----
    A store belongs to one data set, one estimator and one random state. Seeds, lams,
    conditions and measures may be added later: only what is new is computed, and
    measures are added without training. A file that was damaged is noticed and its
    content computed again, with a warning. Settings and measures of your own are
    compared whole, with the arguments of partials, the parameters of callbacks and the
    code of your own functions and classes: to change one, give it another name.

    lams are rounded to 12 digits, so that 0.1 + 0.2 is 0.3. A measure of your own gets
    a copy of the model and images that it cannot write to. A model that fails, or whose
    worker process is killed twice, is named in `failures_`, and the others go on.

    References
    ----------
    Truong & Hasson, arXiv 2508.00043, whose protocol is the default.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.study import TopographicStudy
    >>> X, y = load_digits_images(return_X_y=True)
    >>> study = TopographicStudy(
    ...     TopographicCNNClassifier(grid_shape=(4, 4), max_epochs=1, lr=3e-3),
    ...     topo_losses=["ws"], lams=[1], n_seeds=2,
    ...     include=["performance", "smoothness"], verbose=0,
    ... )
    >>> study.run(X[:500], y[:500], X[500:800], y[500:800]).results_["seed"].unique()
    array([100, 101])
    >>> study.compare()["n"].unique()
    array([2])
    """

    def __init__(
        self,
        estimator: TopographicCNNClassifier | TopographicEncoder | None = None,
        topo_losses: Sequence[str | Callable] = ("ws", "as", "as_untransposed"),
        lams: Sequence[float] = (0.1, 0.3, 0.5, 1, 2, 3),
        n_seeds: int = 10,
        include: str | Sequence[str] = "all",
        store: str | os.PathLike | None = None,
        n_jobs: int = 1,
        random_state: int = 0,
        verbose: int = 1,
        *,
        conditions: Mapping[str, dict] | None = None,
        measures: Mapping[str, Callable] | None = None,
        first_seed: int = FIRST_SEED,
        layers: Sequence[str] | None = None,
        subjects: Mapping[str, FrozenNetwork] | None = None,
    ):
        self.estimator = estimator
        self.topo_losses = topo_losses
        self.lams = lams
        self.n_seeds = n_seeds
        self.include = include
        self.store = store
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.conditions = conditions
        self.measures = measures
        self.first_seed = first_seed
        self.layers = layers
        self.subjects = subjects

    def _plan(self):
        """What is to be run, checked."""
        for name in ("topo_losses", "lams", "include", "layers"):
            if isinstance(values := getattr(self, name), Iterator):
                setattr(self, name, list(values))  # it can be read but once
        settings = self.get_params(deep=False)
        for name in ("store", "n_jobs", "verbose"):
            del settings[name]
        plan = Plan(**settings)
        self.conditions_ = plan.conditions
        return plan

    def cells(self) -> pd.DataFrame:
        """List the models of the study, without training any.

        Returns
        -------
        DataFrame
            A row a model: condition, lam, seed.
        """
        cells = self._plan().cells
        return pd.DataFrame(cells, columns=["condition", "lam", "seed"])

    def run(
        self,
        X_train: ArrayLike,
        y_train: ArrayLike,
        X_test: ArrayLike,
        y_test: ArrayLike,
    ) -> TopographicStudy:
        """Train and measure what is not in the store yet.

        Parameters
        ----------
        X_train : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Training images.
        y_train : array-like of shape (n,)
            Their labels.
        X_test : array-like of shape (m, C, H, W), (m, H, W) or (m, features)
            Images that the measures are taken on.
        y_test : array-like of shape (m,)
            Their labels.

        Returns
        -------
        TopographicStudy
            Itself, with `results_`.

        Raises
        ------
        ValueError
            On a bad parameter or bad data; if the store belongs to another study; or
            if no model could be trained and measured.
        """
        for name in ("results_", "failures_"):  # of an earlier run
            vars(self).pop(name, None)
        plan = self._plan()
        data = check_data(plan.base, X_train, y_train, X_test, y_test)
        check_layers(plan, np.unique(data["y_train"]))
        with contextlib.ExitStack() as stack:
            if self.store is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
            else:
                folder = self._place()
            store = Store(folder)
            store.open(*_described(plan, data))
            with told_how_to_go_on(None if self.store is None else store.folder):
                errors = run_plan(plan, store, data, self.n_jobs, self.verbose)
            found = collect(store, store.read_kept(), errors)
            found.responses = dict(found.responses)  # whatever becomes of the store
        self._found = found
        self.n_images_, self.failures_ = found.n_images, found.failures
        self.classes_, self.labels_ = np.unique(data["y_train"]), data["y_test"]
        if len(found.table):
            self.results_ = found.table
        _report_failures(errors, len(plan.cells))
        return self

    def load_model(
        self, condition: str, lam: float | None = None, seed: int | None = None
    ) -> TopographicCNNClassifier | TopographicEncoder:
        """Read a trained model from the store.

        Parameters
        ----------
        condition : str
            Name of the condition.
        lam : float, default=None
            Weight of the spatial loss. None: the only one of the condition.
        seed : int, default=None
            Seed. None: the first of the study.

        Returns
        -------
        TopographicCNNClassifier or TopographicEncoder
            The fitted model.

        Raises
        ------
        ValueError
            If the study has no store, or no such model.
        """
        if self.store is None:
            raise ValueError(
                "This study keeps no models; give it a folder, store=..., and run it."
            )
        plan = self._plan()
        cell = plan.find(condition, lam, plan.seeds[0] if seed is None else seed)
        if condition in plan.subjects:
            return plan.subjects[condition]
        store = Store(self._place())
        return store.load_model(cell, plan.settings(cell), type(plan.base))

    def _place(self):
        """The folder of the store, found once, whatever the working directory later."""
        given, place = getattr(self, "_placed", (None, None))
        if given != self.store:
            place = Store(self.store).folder
            self._placed = self.store, place
        return place

    # ------------------------------------------------------------------- reading

    def _results(self):
        """What the last run found, with `results_` as they are now."""
        if not hasattr(self, "results_"):
            raise ValueError("This study has no results yet; call run() first.")
        return dataclasses.replace(
            self._found, table=self.results_, failures=self.failures_
        )

    def summary(self) -> pd.DataFrame:
        """Mean and interval over seeds, of every measure.

        Returns
        -------
        DataFrame
            A row a condition, lam and measure: condition, lam, group, measure,
            parameter, mean, standard_error, low and high (Student-t 95 % interval, nan
            for one seed), n_seeds (models with a defined value), n_undefined.
        """
        return self._results().summary()

    def compare(
        self,
        to: str = CONTROL,
        measures: str | Sequence | Mapping[str, Mapping] | None = None,
    ) -> pd.DataFrame:
        """Differences of every condition from another one, paired by seed.

        Parameters
        ----------
        to : str, default="control"
            The condition that others are compared with, at its only lam or at the same.
        measures : str, sequence or mapping, default=None
            What to compare: a name, names, or names with conditions as
            `sktopo.select_results` takes them, by pairs ``[("morans_i",
            {"neighborhood": "moore"})]`` or in a dict. None: every measure.

        Returns
        -------
        DataFrame
            A row a condition, lam and measure: condition, lam, group, measure,
            parameter, difference (mean over seeds), low and high (Student-t 95 %
            interval), p_t (paired t-test), p_sign_flip (exact up to 16 pairs), both
            two-sided and of this row alone, effect_size (mean over standard deviation
            of the differences), n (pairs), n_undefined, and a note where so few
            pairs can show nothing. With `measures` also p_holm: p_t adjusted by Holm's
            method over the rows of the table, which were asked for together.

        Raises
        ------
        ValueError
            If there is no such condition or measure, or nothing to compare.
        TypeError
            If `measures` is no name, names, or names with conditions.
        """
        return self._results().compare(to, measures)

    def claims(self, dataset: str | None = None) -> pd.DataFrame:
        """Call `sktopo.replication.claims`, which takes the place of this method.

        Parameters
        ----------
        dataset : str, default=None
            What the study was run on.

        Returns
        -------
        DataFrame
            A row a contrast.

        See Also
        --------
        sktopo.replication.claims : What judges the paper's claims.
        """
        warn_user(
            "study.claims(dataset) is now sktopo.replication.claims(study, dataset), "
            "and goes in version 0.3.",
            FutureWarning,
        )
        replication = importlib.import_module("sktopo.replication")
        return replication.claims(self, dataset)

    def consistency(self) -> pd.DataFrame:
        """How alike the representations of different seeds are.

        Returns
        -------
        DataFrame
            A row a condition, lam and representation ("activations" and "post_relu" of
            up to 100 test images of each class, "class_means" over all test images,
            "readout" rows): mean of Pearson's r between the dissimilarity matrices of
            pairs of seeds; standard_error, low and high (95 %, by jackknife over seeds,
            nan for fewer than three); n_seeds, and n_rows of the matrices.

        See Also
        --------
        sktopo.metrics.consistency : The measure.
        """
        return self._results().consistency()

    def seed_pairs(self) -> pd.DataFrame:
        """How alike the dissimilarity matrices of each pair of seeds are.

        Returns
        -------
        DataFrame
            A row a pair of models of one condition and lam: condition, lam, first,
            second (their seeds), correlation (Pearson's r of the matrices of their
            activations).
        """
        return self._results().seed_pairs()

    def plot(
        self,
        measure: str,
        parameter: str | None = None,
        ax=None,
        *,
        group: str | None = None,
        names: Sequence[str] | None = None,
        **conditions,
    ):
        """Draw a measure against lam, with intervals over seeds.

        Parameters
        ----------
        measure : str
            Name of the measure, as in `results_`.
        parameter : str, default=None
            What it was taken at, as in `results_`. None: the only one, or the one
            without a parameter.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        group : str, default=None
            Group of the measure, where several groups have one of that name.
        names : sequence of str, default=None
            What the legend calls each condition, in the order of the study. None: by
            their names.
        **conditions : number or str
            Parts of the parameter, or other columns, as for `sktopo.select_results`:
            ``neighborhood="moore"``.

        Returns
        -------
        LambdaCurveDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no such measure, or if it is one of several groups or was taken
            at several parameters; if there are not as many names as conditions.
        """
        settings = {"group": group, "names": names, **conditions}
        return self._results().plot(measure, parameter, ax, **settings)

    def report(
        self,
        path: str | os.PathLike,
        dataset: str | None = None,
        *,
        claims: pd.DataFrame | None = None,
    ) -> None:
        """Write one self-contained HTML page: settings, figures, tables and data.

        Parameters
        ----------
        path : str or path-like
            Where to write, by custom ending in ``.html``.
        dataset : str, default=None
            Name of the data set, for the title.
        claims : DataFrame, default=None
            Claims that were judged by the results, to be shown with them, as `claims`
            gives them. None: there are none on the page.

        Raises
        ------
        ImportError
            Without matplotlib (the extra `plot`).
        """
        self._results().report(path, dataset, claims=claims)


def _described(plan, data):
    """What `Store.open` is called with."""
    described = plan.describe() | {
        "data": {name: digest(values) for name, values in data.items()},
        "plan": keep_plan(plan),
        "labels": keep_labels(data["y_train"], data["y_test"]),
    }
    defaults = next(kind() for kind in KINDS if isinstance(plan.base, kind))
    return described, describe_estimator(defaults), plan.base.image_shape_[0]


def _report_failures(errors, n_cells):
    if not errors:
        return
    cell, error = next(iter(errors.items()))
    message = (
        f"{len(errors)} of {n_cells} models could not be trained or measured; the "
        f"first ({cell}): {error}"
    )
    if len(errors) == n_cells:
        raise ValueError(message)
    warn_user(
        f"{message} The results are without them; see failures_.",
        FitFailedWarning,
    )
