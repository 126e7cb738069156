"""Studies: conditions, weights of the spatial loss and seeds, measured and compared."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from tqdm.auto import tqdm

from sktopo import metrics
from sktopo._files import describe, digest
from sktopo._images import validate_images
from sktopo._labels import as_labels, check_label_types
from sktopo._measures.registry import GROUPS, check_include
from sktopo._measures.results import parameter_in_words, renamed, select_one
from sktopo._numbers import as_number, elements
from sktopo.classifier import TopographicCNNClassifier
from sktopo.grid import Grid
from sktopo.study._run import response_shapes, run_cells
from sktopo.study._statistics import compare, summarise
from sktopo.study._store import RESPONSES, Cell, Store, describe_settings, table_name

__all__ = ["TopographicStudy"]

CONTROL = "control"
# Study seeds start here, apart from those of trials beforehand.
FIRST_SEED = 100
REPRESENTATIONS = ("activations", "class_means", "post_relu", "readout")
# Parameters that change nothing about a trained model.
_FREE = ("lam", "random_state", "verbose", "warm_start")
# Names become names of folders and files, whose length is bounded.
LONGEST_NAME = 60


class TopographicStudy(BaseEstimator):
    """Train control and topographic models over lam and seeds, measure and compare.

    Each model is a cell: a condition, a weight of the spatial loss (lam) and a seed.
    Cells of one seed share initialisation, order of the data and noisy test images, so
    that conditions are compared within seeds. Every cell is trained and measured in a
    worker process with one torch thread.

    Parameters
    ----------
    estimator : TopographicCNNClassifier, default=None
        What all conditions have in common. None: the classifier's defaults. For the
        paper's networks see `sktopo.replication.protocol`.
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
    content computed again, with a warning. Settings and measures of your own are
    compared whole, with the arguments of partials, the parameters of callbacks and the
    code of your own functions and classes: to change one, give it another name.

    lams are rounded to 12 digits, so that 0.1 + 0.2 is 0.3. A measure of your own gets
    a copy of the model and images that it cannot write to. A model that fails, or whose
    worker is killed twice, is named in `failures_`, and the others go on.

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
        for name in ("topo_losses", "lams", "include"):
            if isinstance(values := getattr(self, name), Iterator):
                setattr(self, name, list(values))  # it can be read but once
        if not isinstance(self.n_seeds, Integral) or self.n_seeds < 1:
            raise ValueError(
                f"n_seeds must be an integer of 1 or more; got {self.n_seeds!r}."
            )
        if not isinstance(self.random_state, Integral) or self.random_state < 0:
            raise ValueError(
                f"random_state must be an integer of 0 or more, so that the study can "
                f"be repeated; got {self.random_state!r}."
            )
        lams = [_rounded(lam) for lam in elements(self.lams, "lams")]
        if not all(lam is not None and 0 <= lam < np.inf for lam in lams):
            raise ValueError(
                f"lams must be finite numbers of 0 or more; got {self.lams}."
            )
        self._lams = list(dict.fromkeys(lams))
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
            if name in found and found[name]["topo_loss"] is not loss:
                raise ValueError(
                    f"topo_losses holds two conditions named {name!r} ({CONTROL!r} is "
                    f"always there). Give one of them a name of its own, in "
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
            if name in found or not _is_name(name):
                raise ValueError(
                    f"conditions needs names of their own, not {name!r}; taken are "
                    f"{sorted(found)}. A name is text of one line and up to "
                    f"{LONGEST_NAME} letters."
                )
            if "random_state" in settings:
                raise ValueError(
                    f"Condition {name!r} sets random_state, which the study's seeds do."
                )
            lam = _rounded(settings.get("lam"))
            found[name] = {**settings} if lam is None else {**settings, "lam": lam}
        for name, settings in found.items():
            try:
                clone(self._base).set_params(**settings)._validate_params()
            except (ValueError, TypeError) as error:
                raise type(error)(f"Condition {name!r}: {error}") from error
        return found

    def _check_groups(self):
        include = check_include(self.include)
        own = {} if self.measures is None else self.measures
        if not isinstance(own, Mapping):
            raise TypeError(f"measures must map names to callables; got {own!r}.")
        if clash := [
            name
            for name in own
            if name in GROUPS or not _is_name(name) or not callable(own[name])
        ]:
            raise ValueError(
                f"measures must be callables under names of their own, not {clash}. A "
                f"name is text of one line and up to {LONGEST_NAME} letters."
            )
        if not include and not own:
            raise ValueError("include and measures are empty: nothing to measure.")
        return [*include, *own]

    def _cells(self):
        cells = []
        for name, settings in self.conditions_.items():
            params = {**self._base.get_params(deep=False), **settings}
            lams = [settings["lam"]] if "lam" in settings else self._lams
            if params["topo_loss"] is None:
                lams = [0.0]
            seeds = range(FIRST_SEED, FIRST_SEED + self.n_seeds)
            cells += [Cell(name, lam, seed) for lam in lams for seed in seeds]
        return cells

    def _estimator(self, cell):
        settings = {**self.conditions_[cell.condition], "lam": cell.lam, "verbose": 0}
        sequence = np.random.SeedSequence([int(self.random_state), cell.seed])
        seed = int(sequence.generate_state(1)[0])
        # cloned again, so that no cell changes what the settings hold
        return clone(clone(self._base).set_params(**settings, random_state=seed))

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
        for name in ("results_", "failures_"):  # of an earlier run
            vars(self).pop(name, None)
        self._check_parameters()
        data = self._check_data(X_train, y_train, X_test, y_test)
        with contextlib.ExitStack() as stack:
            folder = self.store
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
            store = Store(self._place() if self.store is not None else folder)
            self._open(store, data)
            cells = self._cells()
            with _told_how_to_go_on(None if self.store is None else store.folder):
                errors = self._compute(store, cells, data)
            finished = [cell for cell in cells if cell not in errors]
            self._collect(store, finished, np.unique(data["y_train"]))
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
            y = as_labels(y)
            shape = {"image_shape": estimator.image_shape} if name == "train" else {}
            X = validate_images(estimator, X, reset=name == "train", **shape)
            check_consistent_length(X, y)
            check_classification_targets(y)
            # views that no guest can write through: all cells see the same values
            data[f"X_{name}"], data[f"y_{name}"] = _read_only(X), _read_only(y)
        if len(np.unique(data["y_train"])) < 2:
            raise ValueError("y_train holds one class only; two are needed.")
        check_label_types(data["y_test"], np.unique(data["y_train"]))
        known = np.isin(data["y_test"], data["y_train"])
        if not known.all():
            unknown = np.unique(data["y_test"][~known]).tolist()
            raise ValueError(
                f"y_test holds classes that y_train does not: {unknown[:10]}. Test on "
                f"images of the classes that were trained."
            )
        return data

    def _open(self, store, data):
        """Make the store, or see that it belongs to this study."""
        store.open(
            {
                "random_state": int(self.random_state),
                "estimator": _describe_estimator(self._base),
                "data": {name: digest(values) for name, values in data.items()},
            },
            {name: describe_settings(s) for name, s in self.conditions_.items()},
            {name: describe(f, name) for name, f in (self.measures or {}).items()},
            _describe_estimator(TopographicCNNClassifier()),
            self._base.image_shape_[0],
        )

    def _compute(self, store, cells, data):
        """Run what is missing, controls first; errors by cell."""
        tasks = {}
        for cell in cells:
            known = store.read_manifest(cell)
            missing = [g for g in self._groups if table_name(g) not in known]
            if missing or RESPONSES not in known:
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
                        chosen.append(self._call(store, *task, reference, data))
                errors.update(run_cells(chosen, self.n_jobs, bar))
        return errors

    def _call(self, store, cell, known, missing, reference, data):
        """What `_run_cell` is called with for a cell."""
        return (
            store,
            cell,
            known,
            missing,
            reference,
            self._estimator(cell),
            self._settings(reference),
            dict(self.measures or {}),
            data,
        )

    def _collect(self, store, cells, classes):
        """Results of the finished cells, into memory."""
        tables, self._responses = [], {}
        for cell in cells:
            parts = [store.read_table(cell, group) for group in self._groups]
            table = pd.concat(parts, ignore_index=True)
            table.insert(0, "condition", cell.condition)
            table.insert(1, "lam", cell.lam)
            table.insert(2, "seed", cell.seed)
            tables.append(table)
            n_units = Grid(self._settings(cell)["grid_shape"]).n_units
            shapes = response_shapes(n_units, len(classes))
            self._responses[cell] = store.read_responses(cell, shapes)
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
        lam = None if lam is None else _rounded(lam)
        cells = [c for c in self._cells() if c.condition == condition]
        chosen = [c for c in cells if c.seed == seed and lam in (None, c.lam)]
        if len(chosen) != 1:
            raise ValueError(
                f"No single model has condition={condition!r}, lam={lam}, seed={seed}; "
                f"see cells()."
            )
        store = Store(self._place())
        return store.load_model(chosen[0], self._settings(chosen[0]), type(self._base))

    def _place(self):
        """The folder of the store, found once, whatever the working directory later."""
        given, place = getattr(self, "_placed", (None, None))
        if given != self.store:
            place = Store(self.store).folder
            self._placed = self.store, place
        return place

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
        """Judge the paper's claims: see `sktopo.replication.claims`.

        Parameters
        ----------
        dataset : {"fashion_mnist", "mnist", "mnist_5000", "cifar10"}, default=None
            What the study was run on. None is as "fashion_mnist".

        Returns
        -------
        DataFrame
            A row a contrast.

        Raises
        ------
        ValueError
            On an unknown data set, or if a condition has a seed twice at one lam.

        See Also
        --------
        sktopo.replication.claims : What the verdicts mean.
        """
        from sktopo.replication._claims import claims

        return claims(self, dataset)

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

    def seed_pairs(self) -> pd.DataFrame:
        """How alike the dissimilarity matrices of each pair of seeds are.

        Returns
        -------
        DataFrame
            A row a pair of models of one condition and lam: condition, lam, first,
            second (their seeds), correlation (Pearson's r of the matrices of their
            activations).
        """
        self._finished()
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
            at several parameters.
        """
        from sktopo.plotting import LambdaCurveDisplay

        if parameter is not None:
            measure, conditions["parameter"] = renamed(measure, parameter)
        if group is not None:
            conditions["group"] = group
        table = select_one(self._finished(), measure, **conditions)
        other_controls = (table["lam"] == 0) & (table["condition"] != CONTROL)
        group, measure, parameter = table[["group", "measure", "parameter"]].iloc[0]
        label = measure.replace("_", " ") if group in GROUPS else measure
        label += f"\n({parameter_in_words(parameter)})" if parameter else ""
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
        from sktopo.study._report import write_report

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


# ------------------------------------------------------------------ what is given


def _rounded(lam):
    """A lam to 12 digits, so that 0.1 + 0.2 is 0.3: one number is one cell.

    None for what is no number.
    """
    number = as_number(lam, "lam")
    return None if number is None else float(f"{number:.12g}")


def _describe_estimator(estimator):
    """Its class, and all parameters that make a trained model what it is."""
    params = estimator.get_params(deep=False)
    fixed = {name: value for name, value in params.items() if name not in _FREE}
    return {**describe_settings(fixed), "class": describe(type(estimator), "class")}


def _is_name(name):
    """Whether a name can stand in a table, and be the name of a file."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return False
    return name.isprintable() and len(quote(name, safe="")) <= 200


def _read_only(values):
    values = values.view()
    values.flags.writeable = False
    return values


@contextlib.contextmanager
def _told_how_to_go_on(folder):
    """An interruption says what was kept, without the traces of the workers."""
    try:
        yield
    except KeyboardInterrupt:
        kept = (
            f"what is finished is in {folder}: call run() again, and it goes on there"
            if folder
            else "nothing is kept: give the study a folder, store=..., to go on later"
        )
        raise KeyboardInterrupt(f"The study was stopped; {kept}.") from None
