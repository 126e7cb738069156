"""Studies: conditions, weights of the spatial loss and seeds, measured and compared."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

import joblib
import numpy as np
import pandas as pd
import safetensors.numpy
import torch
from joblib.executor import get_memmapping_executor
from joblib.parallel import LokyBackend, get_active_backend
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from sktopo import metrics
from sktopo._claims import claims
from sktopo._images import as_array_like, validate_images
from sktopo._saving import _serialise
from sktopo._select import select_measure
from sktopo._statistics import compare, summarise
from sktopo._store import (
    COLUMNS,
    Cell,
    Store,
    describe_settings,
    digest,
    table_bytes,
    table_name,
)
from sktopo.classifier import TopographicCNNClassifier
from sktopo.measure import GROUPS, measure
from sktopo.metrics._checks import correlations

__all__ = ["TopographicStudy"]

CONTROL = "control"
# Study seeds start here, apart from those of trials beforehand.
FIRST_SEED = 100
# Images of each class whose responses are kept.
PER_CLASS = 100
REPRESENTATIONS = ("activations", "class_means", "post_relu", "readout")
# Parameters that change nothing about a trained model.
_FREE = ("lam", "random_state", "verbose", "warm_start")


class TopographicStudy(BaseEstimator):
    """Train control and topographic models over lam and seeds, measure and compare.

    Each model is a cell: a condition, a weight of the spatial loss (lam) and a seed.
    Cells of one seed share initialisation, order of the data and noisy test images, so
    that conditions are compared within seeds. Every cell is trained and measured in a
    worker process with one torch thread.

    Parameters
    ----------
    estimator : TopographicCNNClassifier, default=None
        What all conditions have in common. None: the classifier's defaults, which are
        the paper's.
    topo_losses : sequence of {"ws", "as", "as_untransposed"} or callable, \
            default=("ws", "as", "as_untransposed")
        Conditions by their spatial loss, each at every lam. The condition "control",
        without spatial loss, is always there.
    lams : sequence of float, default=(0.1, 0.3, 0.5, 1, 2, 3)
        Weights of the spatial loss.
    n_seeds : int, default=10
        Models of each condition and lam; their seeds are 100, 101, ...
    include : "all" or sequence of str, default="all"
        Groups of measures, as in `sktopo.measure`.
    store : str or path-like, default=None
        A folder that keeps each model and its measures as soon as they are done, so
        that a study can go on after it was stopped, or be extended. None: results are
        kept in memory, and models are not kept.
    n_jobs : int, default=1
        Cells that run at the same time, as in joblib. Under another joblib backend
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
        Further measures, called as ``f(classifier, X_test, y_test)``, which give a
        number, or a DataFrame with a column "value" and possibly "measure",
        "parameter" and "n". The name is the group.

    Attributes
    ----------
    results_ : DataFrame
        A row a model and measure: condition, lam (0 without spatial loss), seed, group,
        measure, parameter, value, n.
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
    content computed again, with a warning. A measure of your own is known by its name:
    give it another name when you change what it computes.

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
        estimator: TopographicCNNClassifier | None = None,
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

    # ------------------------------------------------------------------- the plan

    def cells(self) -> pd.DataFrame:
        """List the models of the study, without training any.

        Returns
        -------
        DataFrame
            A row a model: condition, lam, seed.
        """
        self._check_parameters()
        return pd.DataFrame(self._cells(), columns=["condition", "lam", "seed"])

    def _check_parameters(self):
        if self.estimator is not None and not isinstance(
            self.estimator, TopographicCNNClassifier
        ):
            raise TypeError(
                f"estimator must be a TopographicCNNClassifier or None; got "
                f"{type(self.estimator).__name__}."
            )
        if not isinstance(self.n_seeds, Integral) or self.n_seeds < 1:
            raise ValueError(
                f"n_seeds must be an integer of 1 or more; got {self.n_seeds!r}."
            )
        if not isinstance(self.random_state, Integral) or self.random_state < 0:
            raise ValueError(
                f"random_state must be an integer of 0 or more, so that the study can "
                f"be repeated; got {self.random_state!r}."
            )
        lams = [self.lams] if isinstance(self.lams, Real) else list(self.lams)
        if not all(isinstance(lam, Real) and 0 <= lam < np.inf for lam in lams):
            raise ValueError(f"lams must be finite numbers of 0 or more; got {lams}.")
        self._lams = [float(lam) for lam in dict.fromkeys(lams)]
        self._base = TopographicCNNClassifier()
        if self.estimator is not None:
            self._base = clone(self.estimator)
        self.conditions_ = self._make_conditions()
        self._groups = self._check_groups()

    def _make_conditions(self):
        losses = self.topo_losses
        losses = [losses] if isinstance(losses, str) or callable(losses) else losses
        found = {CONTROL: {"topo_loss": None}}
        for loss in losses or ():
            if loss is None:  # the control is there already
                continue
            name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
            if not isinstance(name, str):
                raise ValueError(
                    f"topo_losses holds {loss!r}, which has no name; name it in "
                    f"conditions={{'my_loss': {{'topo_loss': ...}}}}."
                )
            found[name] = {"topo_loss": loss}
        conditions = {} if self.conditions is None else self.conditions
        if not isinstance(conditions, Mapping):
            raise TypeError(
                f"conditions must map names to settings, such as "
                f"{{'no_dropout': {{'dropout': 0.0}}}}; got {conditions!r}."
            )
        for name, settings in conditions.items():
            if not isinstance(settings, Mapping):
                raise TypeError(
                    f"The settings of condition {name!r} must be a dict of parameters "
                    f"of the classifier; got {settings!r}."
                )
            if name in found or not isinstance(name, str) or not name:
                raise ValueError(
                    f"conditions needs names of their own, not {name!r}; taken are "
                    f"{sorted(found)}."
                )
            if "random_state" in settings:
                raise ValueError(
                    f"Condition {name!r} sets random_state, which the study's seeds do."
                )
            found[name] = dict(settings)
        for name, settings in found.items():
            try:
                clone(self._base).set_params(**settings)._validate_params()
            except (ValueError, TypeError) as error:
                raise type(error)(f"Condition {name!r}: {error}") from error
        return found

    def _check_groups(self):
        include = self.include
        if isinstance(include, str):
            include = GROUPS if include == "all" else [include]
        own = self.measures or {}
        if unknown := [group for group in include if group not in GROUPS]:
            raise ValueError(
                f"include must be 'all' or among {list(GROUPS)}; got {unknown}."
            )
        if clash := [name for name in own if name in GROUPS or not callable(own[name])]:
            raise ValueError(
                f"measures must be callables under names of their own, not {clash}."
            )
        if not include and not own:
            raise ValueError("include and measures are empty: nothing to measure.")
        return [*(group for group in GROUPS if group in include), *own]

    def _cells(self):
        cells = []
        for name, settings in self.conditions_.items():
            params = {**self._base.get_params(deep=False), **settings}
            lams = [float(settings["lam"])] if "lam" in settings else self._lams
            if params["topo_loss"] is None:
                lams = [0.0]
            seeds = range(FIRST_SEED, FIRST_SEED + self.n_seeds)
            cells += [Cell(name, lam, seed) for lam in lams for seed in seeds]
        return cells

    def _estimator(self, cell):
        settings = {**self.conditions_[cell.condition], "lam": cell.lam, "verbose": 0}
        sequence = np.random.SeedSequence([int(self.random_state), cell.seed])
        seed = int(sequence.generate_state(1)[0])
        return clone(self._base).set_params(**settings, random_state=seed)

    # ------------------------------------------------------------------- running

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
        self._check_parameters()
        data = self._check_data(X_train, y_train, X_test, y_test)
        with contextlib.ExitStack() as stack:
            folder = self.store
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
            store = Store(folder)
            self._open(store, data)
            cells = self._cells()
            errors = self._compute(store, cells, data)
            self._collect(store, [cell for cell in cells if cell not in errors])
        self.n_images_ = {part: len(data[f"y_{part}"]) for part in ("train", "test")}
        self.labels_, self.classes_ = data["y_test"], np.unique(data["y_train"])
        rows = [(c.condition, c.lam, c.seed, text) for c, text in errors.items()]
        self.failures_ = pd.DataFrame(
            rows, columns=["condition", "lam", "seed", "error"]
        )
        self._report_failures(errors, len(cells))
        return self

    def _check_data(self, X_train, y_train, X_test, y_test):
        data = {}
        estimator = self._base
        for name, X, y in (("train", X_train, y_train), ("test", X_test, y_test)):
            X, y = as_array_like(X), column_or_1d(as_array_like(y))
            X = X.to_numpy() if hasattr(X, "to_numpy") else X
            check_consistent_length(X, y)
            shape = {"image_shape": estimator.image_shape} if name == "train" else {}
            data[f"X_{name}"] = validate_images(
                estimator, X, reset=name == "train", **shape
            )
            check_classification_targets(y)
            data[f"y_{name}"] = y
        if len(np.unique(data["y_train"])) < 2:
            raise ValueError("y_train holds one class only; two are needed.")
        known = np.isin(data["y_test"], data["y_train"])
        if not known.all():
            unknown = np.unique(data["y_test"][~known]).tolist()
            raise ValueError(
                f"y_test holds classes that y_train does not: {unknown[:10]}. Test on "
                f"images of the classes that were trained."
            )
        return data

    def _open(self, store, data):
        params = self._base.get_params(deep=False)
        fixed = {name: v for name, v in params.items() if name not in _FREE}
        store.open(
            {
                "random_state": int(self.random_state),
                "estimator": describe_settings(fixed),
                "data": {name: digest(values) for name, values in data.items()},
            },
            {name: describe_settings(s) for name, s in self.conditions_.items()},
        )

    def _compute(self, store, cells, data):
        """Run what is missing, controls first; errors by cell."""
        tasks = {}
        for cell in cells:
            known = store.read_manifest(cell)
            missing = [g for g in self._groups if table_name(g) not in known]
            if missing or "responses.safetensors" not in known:
                tasks[cell] = (cell, known, missing)
        errors = {}
        bar = tqdm(
            total=len(cells),
            initial=len(cells) - len(tasks),
            unit="model",
            disable=not self.verbose,
        )
        with bar:
            # measures of the others need the control of their seed
            for of_control in (True, False):
                chosen = []
                for cell, task in tasks.items():
                    if (cell.condition == CONTROL) != of_control:
                        continue
                    reference = Cell(CONTROL, 0.0, cell.seed)
                    if reference in errors:
                        errors[cell] = f"its control failed: {errors[reference]}"
                        bar.update()
                    else:
                        chosen.append((*task, reference))
                errors.update(self._run_cells(store, chosen, data, bar))
        return errors

    def _run_cells(self, store, tasks, data, bar):
        calls = (
            joblib.delayed(_run_cell)(
                store,
                cell,
                known,
                missing,
                reference,
                self._estimator(cell),
                self.conditions_[cell.condition],
                self.conditions_[CONTROL],
                dict(self.measures or {}),
                data,
            )
            for cell, known, missing, reference in tasks
        )
        found = _parallel(self.n_jobs, bar)(calls) if tasks else []
        return {task[0]: error for task, error in zip(tasks, found) if error}

    def _collect(self, store, cells):
        """Results of the finished cells, into memory."""
        tables, self._responses = [], {}
        for cell in cells:
            parts = [store.read_table(cell, group) for group in self._groups]
            table = pd.concat(parts, ignore_index=True)
            table.insert(0, "condition", cell.condition)
            table.insert(1, "lam", cell.lam)
            table.insert(2, "seed", cell.seed)
            tables.append(table)
            self._responses[cell] = store.read_responses(cell)
        if tables:
            self.results_ = pd.concat(tables, ignore_index=True)

    def _report_failures(self, errors, n_cells):
        if not errors:
            return
        cell, error = next(iter(errors.items()))
        message = (
            f"{len(errors)} of {n_cells} models could not be trained or measured; the "
            f"first ({cell}): {error}"
        )
        if len(errors) == n_cells:
            raise ValueError(message)
        warnings.warn(
            f"{message} The results are without them; see failures_.",
            FitFailedWarning,
            stacklevel=3,
        )

    def load_model(
        self, condition: str, lam: float | None = None, seed: int = FIRST_SEED
    ) -> TopographicCNNClassifier:
        """Read a trained model from the store.

        Parameters
        ----------
        condition : str
            Name of the condition.
        lam : float, default=None
            Weight of the spatial loss. None: the only one of the condition.
        seed : int, default=100
            Seed.

        Returns
        -------
        TopographicCNNClassifier
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
        self._check_parameters()
        cells = [c for c in self._cells() if c.condition == condition]
        chosen = [c for c in cells if c.seed == seed and lam in (None, c.lam)]
        if len(chosen) != 1:
            raise ValueError(
                f"No single model has condition={condition!r}, lam={lam}, seed={seed}; "
                f"see cells()."
            )
        return Store(self.store).load_model(chosen[0], self._settings(chosen[0]))

    def _settings(self, cell):
        return self._estimator(cell).get_params(deep=False)

    # ------------------------------------------------------------------- reading

    def _finished(self):
        if not hasattr(self, "results_"):
            raise ValueError("This study has no results yet; call run() first.")
        return self.results_

    def summary(self) -> pd.DataFrame:
        """Mean and interval over seeds, of every measure.

        Returns
        -------
        DataFrame
            A row a condition, lam and measure: condition, lam, group, measure,
            parameter, mean, standard_error, low and high (Student-t 95 % interval, nan
            for one seed), n_seeds (models with a defined value), n_undefined.
        """
        return summarise(self._finished())

    def compare(self, to: str = CONTROL) -> pd.DataFrame:
        """Differences of every condition from another one, paired by seed.

        Parameters
        ----------
        to : str, default="control"
            The condition that others are compared with, at its only lam or at the same.

        Returns
        -------
        DataFrame
            A row a condition, lam and measure: condition, lam, group, measure,
            parameter, difference (mean over seeds), low and high (Student-t 95 %
            interval), p_t (paired t-test), p_sign_flip (exact up to 16 pairs), both
            two-sided and of this row alone, effect_size (mean over standard deviation
            of the differences), n (pairs), n_undefined, and a note where so few
            pairs can show nothing.

        Raises
        ------
        ValueError
            If there is no such condition.
        """
        return compare(self._finished(), to)

    def claims(self, dataset: str | None = None) -> pd.DataFrame:
        """Judge the paper's claims by tests that were fixed beforehand.

        A row replicates if its p, by Holm's method over the testable rows, is below
        .05, with the claimed sign and an estimate of at least delta. It does not
        replicate if the 95 % interval lies wholly below delta in the claimed
        direction. Otherwise it is undecided, or not testable with these conditions,
        lams and seeds. The value of a seed is the mean over lam 0.3, 1 and 3.

        Parameters
        ----------
        dataset : str, default=None
            "mnist" or "cifar10", where the claims of image noise are testable.

        Returns
        -------
        DataFrame
            A row a contrast: claim, text, contrast, kind ("test", or "beside" for what
            is shown without a verdict), n, estimate, low, high, delta, p_t,
            p_sign_flip, p_holm, verdict, note.
        """
        return claims(self._finished(), self._pairs(), dataset)

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
        self._finished()
        rows = []
        for (condition, lam), responses in self._by_condition():
            for name in REPRESENTATIONS:
                found = _consistency(responses, name)
                if found is not None:
                    low, high = found.interval
                    row = (found.mean, found.standard_error, low, high)
                    counts = (found.n_models, found.n_rows)
                    rows.append((condition, lam, name, *row, *counts))
        columns = ["condition", "lam", "representation", "mean", "standard_error"]
        return pd.DataFrame(
            rows, columns=[*columns, "low", "high", "n_seeds", "n_rows"]
        )

    def _by_condition(self):
        """Responses of all seeds, by condition and lam."""
        groups = {}
        for cell, responses in self._responses.items():
            seeds = groups.setdefault((cell.condition, cell.lam), {})
            seeds[cell.seed] = responses
        return groups.items()

    def _pairs(self):
        """Correlations between dissimilarity matrices, of each pair of seeds."""
        tables = []
        for (condition, lam), responses in self._by_condition():
            found = _consistency(responses, "activations")
            if found is not None:
                seeds = np.array(list(responses))
                pairs = found.pairs.assign(condition=condition, lam=lam)
                for end in ("first", "second"):
                    pairs[end] = seeds[pairs[end]]
                tables.append(pairs)
        columns = ["condition", "lam", "first", "second", "correlation"]
        if not tables:
            return pd.DataFrame(columns=columns)
        return pd.concat(tables, ignore_index=True)[columns]

    def plot(
        self,
        measure: str,
        parameter: str | None = None,
        ax=None,
        *,
        group: str | None = None,
    ):
        """Draw a measure against lam, with intervals over seeds.

        Parameters
        ----------
        measure : str
            Name of the measure, as in `results_`.
        parameter : str, default=None
            What it was taken at. None: the only one, or the one without a parameter.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        group : str, default=None
            Group of the measure, where several groups have one of that name.

        Returns
        -------
        LambdaCurveDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no such measure, or if it is one of several groups or was taken
            at several parameters.
        """
        from sktopo.plotting import LambdaCurveDisplay

        table = select_measure(self._finished(), measure, parameter, group)
        other_controls = (table["lam"] == 0) & (table["condition"] != CONTROL)
        group, measure, parameter = table[["group", "measure", "parameter"]].iloc[0]
        label = measure.replace("_", " ") if group in GROUPS else measure
        label += f"\n({parameter})" if parameter else ""
        return LambdaCurveDisplay(
            table[~other_controls],
            label,
            CONTROL,
            conditions=list(self.conditions_),
        ).plot(ax=ax)

    def report(self, path: str | os.PathLike, dataset: str | None = None) -> None:
        """Write one self-contained HTML page: settings, claims, figures and data.

        Parameters
        ----------
        path : str or path-like
            Where to write, by custom ending in ``.html``.
        dataset : str, default=None
            Name of the data set, for the title and `claims`.

        Raises
        ------
        ImportError
            Without matplotlib (the extra `plot`).
        """
        from sktopo._report import write_report

        self._finished()
        write_report(self, path, dataset)


def _consistency(responses, name):
    """`metrics.consistency` of several seeds' responses, or None where it cannot be."""
    representations = [_representation(r, name) for r in responses.values()]
    if len(representations) < 2 or len(representations[0]) < 3:
        return None
    return metrics.consistency(representations)


def _representation(responses, name):
    if name == "post_relu":
        return np.maximum(responses["activations"], 0)
    return responses[name]


# --------------------------------------------------------------------- in a worker


class _Parallel(joblib.Parallel):
    """joblib's, with a bar of ours in place of its messages."""

    def __init__(self, bar, **settings):
        super().__init__(**settings)
        self.bar = bar
        self.before = bar.n

    def print_progress(self):
        self.bar.update(self.before + self.n_completed_tasks - self.bar.n)


class _OneWorker(LokyBackend):
    """joblib's loky with one worker process, where joblib itself would start none."""

    def configure(self, n_jobs=1, parallel=None, **settings):
        environment = self._prepare_worker_env(n_jobs=joblib.cpu_count())
        self._workers = get_memmapping_executor(
            1, env=environment, context_id=parallel._id
        )
        self.parallel = parallel
        return n_jobs


def _parallel(n_jobs, bar):
    backend, _ = get_active_backend()
    one = isinstance(backend, LokyBackend) and joblib.effective_n_jobs(n_jobs) == 1
    if one:  # of a single job joblib thinks that it needs no worker
        return _Parallel(bar, n_jobs=2, backend=_OneWorker(), batch_size=1)
    return _Parallel(bar, n_jobs=n_jobs, batch_size=1)


@contextlib.contextmanager
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _run_cell(
    store,
    cell,
    known,
    missing,
    reference,
    estimator,
    settings,
    control_settings,
    own_measures,
    data,
):
    """Train and measure what a cell lacks; the error's text if that cannot be."""
    X, y = data["X_test"], data["y_test"]
    try:
        with _one_thread():
            if "model.safetensors" in known:
                classifier = store.load_model(cell, settings)
            else:
                classifier = estimator.fit(data["X_train"], data["y_train"])
                # without times a file is the same whoever makes it: the worker of a
                # killed study may still be at it
                for epoch in classifier.net_.history:
                    del epoch["dur"]
                files = {"model.safetensors": _serialise(classifier)}
                known = store.add(cell, files, {})
            control = classifier
            if cell != reference:
                control = store.load_model(reference, control_settings)
            files = _measure(classifier, X, y, control, missing, own_measures)
            if "responses.safetensors" not in known:
                responses = safetensors.numpy.save(_responses(classifier, X, y))
                files["responses.safetensors"] = responses
            store.add(cell, files, known)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _measure(classifier, X, y, control, groups, own_measures):
    """Tables of the groups that are missing, as files."""
    files = {}
    common = [group for group in groups if group in GROUPS]
    if common:
        table = measure(
            classifier,
            X,
            y,
            common,
            reference=control,
            random_state=classifier.random_state,
        )
        for group in common:
            part = table[table["group"] == group]
            files[table_name(group)] = table_bytes(part)
    for group in groups:
        if group not in GROUPS:
            found = own_measures[group](classifier, X, y)
            files[table_name(group)] = table_bytes(_as_table(found, group, len(y)))
    return files


def _as_table(found, group, n):
    """What a measure of the user's own gave, as rows of the results."""
    if not isinstance(found, pd.DataFrame):
        found = pd.DataFrame({"value": [float(found)]})
    if "value" not in found or len(found) == 0:
        raise ValueError(
            f"The measure {group!r} must give a number, or a DataFrame with a column "
            f"'value' and at least one row; got columns {list(found)}, {len(found)} "
            f"rows."
        )
    defaults = {"group": group, "measure": group, "parameter": "", "n": n}
    table = found.assign(group=group)
    for name, value in defaults.items():
        if name not in table:
            table[name] = value
    table = table[list(COLUMNS)].astype({"measure": str, "parameter": str})
    return table.astype({"value": float, "n": int}).reset_index(drop=True)


def _responses(classifier, X, y):
    """What the study keeps of a model's responses; a column a class of the model."""
    A = classifier.transform(X)
    rows = [np.flatnonzero(y == label)[:PER_CLASS] for label in classifier.classes_]
    rows = np.sort(np.concatenate(rows))
    exact, classes = A.astype(np.float64), classifier.classes_
    r = correlations(exact)[np.triu_indices(A.shape[1], k=1)]
    return {
        "activations": A[rows],
        "class_means": metrics.class_means(A, y).astype(np.float32),
        "readout": classifier.readout_weights_,
        "average_precision": metrics.average_precision(exact, y, classes),
        "experts": metrics.expert_units(exact, y, classes=classes),
        "correlations": r[~np.isnan(r)].astype(np.float32),
        "rows": rows.astype(np.int64),
    }
