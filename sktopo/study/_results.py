"""What a finished study found, readable without its images (private)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sktopo import metrics
from sktopo._measures.results import renamed
from sktopo._measures.words import select_labelled
from sktopo._warn import warn_user
from sktopo.study._kept import grid_shape
from sktopo.study._plan import CONTROL, GRID
from sktopo.study._responses import OPTIONAL, response_shapes
from sktopo.study._store import RESPONSES, Store, table_name
from sktopo.study.statistics import compare, summarise

REPRESENTATIONS = ("activations", "class_means", "post_relu", "readout")


@dataclasses.dataclass(eq=False, repr=False)
class StudyResults:
    """What a study found: tables, statistics, figures and a report, without images.

    A study that was run hands through to one.

    Parameters
    ----------
    table : DataFrame
        A row a model and measure: condition, lam (0 without spatial loss), seed, layer
        (only if layers were asked for), group, measure, parameter, value, n.
    failures : DataFrame
        Models that are not in the table: condition, lam, seed, error.
    conditions : dict
        Settings of each condition, as JSON has them, in the order of the study.
    base : dict
        Settings of the estimator that all conditions share, as JSON has them.
    n_images : dict
        Number of "train" and "test" images.
    classes : ndarray of shape (n_classes,)
        Class labels.
    labels : ndarray of shape (m,)
        Labels of the test images.
    versions : dict
        Versions of the libraries that the study was begun with.
    responses : mapping of (str, float, int) to dict
        Arrays of the responses of each model, by condition, lam and seed: "activations"
        of up to 100 test images of each class, their "rows" among the test images,
        "class_means", "average_precision", "experts", "correlations" of all pairs of
        units, and of classifiers "readout".

    See Also
    --------
    TopographicStudy : What trains and measures the models.

    Examples
    --------
    >>> import tempfile
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.study import TopographicStudy, load_results
    >>> X, y = load_digits_images(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> study = TopographicStudy(
    ...     TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1),
    ...     topo_losses=["ws"], lams=[1], n_seeds=1,
    ...     include=["performance"], verbose=0, store=folder.name,
    ... ).run(X[:300], y[:300], X[300:400], y[300:400])
    >>> load_results(folder.name)
    StudyResults(2 models of control, ws; 2 values, 0 models left out)
    >>> folder.cleanup()
    """

    table: pd.DataFrame
    failures: pd.DataFrame
    conditions: dict
    base: dict
    n_images: dict
    classes: np.ndarray
    labels: np.ndarray
    versions: dict
    responses: Mapping

    def __repr__(self):
        models = self.table[["condition", "lam", "seed"]].drop_duplicates()
        names = ", ".join(models["condition"].unique())
        return (
            f"StudyResults({len(models)} models of {names}; {len(self.table)} values, "
            f"{len(self.failures)} models left out)"
        )

    def grid_shape(self, condition: str) -> tuple[int, int]:
        """Rows and columns of the grid of a condition's models.

        Parameters
        ----------
        condition : str
            Name of the condition.

        Returns
        -------
        tuple of (int, int)
            Rows and columns.

        Raises
        ------
        ValueError
            If there is no such condition.
        """
        if condition not in self.conditions:
            raise ValueError(
                f"There is no condition {condition!r}; there are "
                f"{list(self.conditions)}."
            )
        return grid_shape(self.base, self.conditions[condition])

    def summary(self) -> pd.DataFrame:
        """Mean and interval over seeds, of every measure.

        Returns
        -------
        DataFrame
            A row a condition, lam and measure: condition, lam, group, measure,
            parameter, mean, standard_error, low and high (Student-t 95 % interval, nan
            for one seed), n_seeds (models with a defined value), n_undefined.
        """
        return summarise(self.table)

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
        frozen = [n for n, told in self.conditions.items() if "subject" in told]
        if to in frozen:
            raise ValueError(
                f"{to!r} was not trained by the study and has no seeds, which others "
                f"could be paired with."
            )
        trained = ~self.table["condition"].isin(frozen)
        return compare(self.table[trained], to, measures)

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
        rows = []
        for condition, lam, responses in self._by_condition():
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

    def seed_pairs(self) -> pd.DataFrame:
        """How alike the dissimilarity matrices of each pair of seeds are.

        Returns
        -------
        DataFrame
            A row a pair of models of one condition and lam: condition, lam, first,
            second (their seeds), correlation (Pearson's r of the matrices of their
            activations).
        """
        tables = []
        for condition, lam, responses in self._by_condition():
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

    def _by_condition(self):
        """Condition, lam, and the responses of all its seeds."""
        seeds = {}
        for condition, lam, seed in self.responses:
            seeds.setdefault((condition, lam), []).append(seed)
        for (condition, lam), there in seeds.items():
            yield condition, lam, {s: self.responses[condition, lam, s] for s in there}

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
            Name of the measure, as in `table`.
        parameter : str, default=None
            What it was taken at, as in `table`. None: the only one, or the one without
            a parameter.
        ax : Axes, default=None
            Where to draw. None: a new figure.
        group : str, default=None
            Group of the measure, where several groups have one of that name.
        names : sequence of str, default=None
            What the legend calls each of the attribute `conditions`. None: by their
            names.
        **conditions : number or str
            Parts of the parameter, or other columns, as for `sktopo.select_results`:
            ``neighborhood="moore"``. A `layer` is "grid" unless it is given.

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
        from sktopo.plotting import LambdaCurveDisplay

        if parameter is not None:
            measure, conditions["parameter"] = renamed(measure, parameter)
        if group is not None:
            conditions["group"] = group
        table, label = select_labelled(self.table, measure, **conditions)
        other_controls = (table["lam"] == 0) & (table["condition"] != CONTROL)
        return LambdaCurveDisplay(
            table[~other_controls],
            label,
            CONTROL,
            conditions=list(self.conditions),
            names=names,
        ).plot(ax=ax)

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
            Claims that were judged by the results, to be shown with them; see
            `sktopo.replication.claims`.

        Raises
        ------
        ImportError
            Without matplotlib (the extra `plot`).
        """
        from sktopo.study._report import write_report

        write_report(self, path, dataset, claims)


def load_results(store: str | os.PathLike) -> StudyResults:
    """Read what a study found from its store, without its data and without training.

    The results are those of the study that ran last on the store, to the last bit and
    in its order. Models that are not finished, because the study was stopped or because
    they failed, are left out and listed in `failures`, with a warning. Nothing is
    written, and no file of a store is code.

    Parameters
    ----------
    store : str or path-like
        The folder that the study was given as its store.

    Returns
    -------
    StudyResults
        The results.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is not the store of a study, if a file is damaged or missing, if no model
        is finished yet, or if the store was made by a version of sktopo that did not
        keep what is needed: the study must then be run on it once more.
    TypeError
        If `store` is no path.

    Examples
    --------
    >>> import tempfile
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.study import TopographicStudy, load_results
    >>> X, y = load_digits_images(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> study = TopographicStudy(
    ...     TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1),
    ...     topo_losses=["ws"], lams=[1], n_seeds=1,
    ...     include=["performance"], verbose=0, store=folder.name,
    ... )
    >>> table = study.run(X[:300], y[:300], X[300:400], y[300:400]).results_
    >>> load_results(folder.name).table.equals(table)
    True
    >>> folder.cleanup()
    """
    if not isinstance(store, str | os.PathLike):
        raise TypeError(
            f"store must be the path of a folder that a study was run with; got a "
            f"{type(store).__name__}."
        )
    store = Store(store)
    kept = store.read_kept()
    lacking = {cell: store.lacks(cell, _files(kept, cell)) for cell in kept.cells}
    errors = {
        cell: f"not finished: it lacks {', '.join(names)}"
        for cell, names in lacking.items()
        if names
    }
    if errors:
        cell, error = next(iter(errors.items()))
        message = (
            f"{len(errors)} of {len(kept.cells)} models in {store.folder} are not "
            f"finished; the first ({cell}): {error}. Run the study on it to go on."
        )
        if len(errors) == len(kept.cells):
            raise ValueError(message)
        warn_user(
            f"{message} The results are without them; see failures.",
        )
    return collect(store, kept, errors)


def collect(store, kept, errors):
    """Results of the finished cells of a store.

    Parameters
    ----------
    store : Store
        Where they are.
    kept : Kept
        What it has of the study.
    errors : dict
        The text of the error of each cell that is left out.

    Returns
    -------
    StudyResults
        The results.
    """
    cells = [cell for cell in kept.cells if cell not in errors]
    tables = [_read_tables(store, kept, cell) for cell in cells]
    rows = [(*dataclasses.astuple(cell), text) for cell, text in errors.items()]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return StudyResults(
        table,
        pd.DataFrame(rows, columns=["condition", "lam", "seed", "error"]),
        kept.conditions,
        kept.base,
        kept.n_images,
        kept.classes,
        kept.labels,
        kept.versions,
        StoredResponses(store, kept, cells),
    )


def _files(kept, cell):
    """Names of the files that results need of a cell."""
    tables = [table_name(group, layer) for layer, group in kept.parts(cell)]
    return tables if kept.is_subject(cell) else [RESPONSES, *tables]


def _read_tables(store, kept, cell):
    parts = []
    for layer, group in kept.parts(cell):
        part = store.read_table(cell, group, layer)
        if kept.layers is not None:
            part.insert(0, "layer", layer or GRID)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    for place, (name, value) in enumerate(dataclasses.asdict(cell).items()):
        table.insert(place, name, value)
    return table


class StoredResponses(Mapping):
    """Responses of models in a store, read from it when they are asked for.

    Parameters
    ----------
    store : Store
        Where they are.
    kept : Kept
        What it has of the study.
    cells : list of Cell
        Those that are finished.
    """

    def __init__(self, store, kept, cells):
        self._store = store
        self._n_classes = len(kept.classes)
        self._n_units = {
            name: rows * columns for name, (rows, columns) in kept.grid_shapes.items()
        }
        trained = [cell for cell in cells if not kept.is_subject(cell)]
        self._cells = {dataclasses.astuple(cell): cell for cell in trained}

    def __getitem__(self, key):
        cell = self._cells[key]
        shapes = response_shapes(self._n_units[cell.condition], self._n_classes)
        return self._store.read_responses(cell, shapes, OPTIONAL)

    def __iter__(self):
        return iter(self._cells)

    def __len__(self):
        return len(self._cells)


def _consistency(responses, name):
    """`metrics.consistency` of several seeds' responses, or None where it cannot be."""
    found = [_representation(r, name) for r in responses.values()]
    representations = [one for one in found if one is not None]
    if len(representations) < 2 or len(representations[0]) < 3:
        return None
    return metrics.consistency(representations)


def _representation(responses, name):
    """The array of that name; None for a readout that a model does not have."""
    if name == "post_relu":
        return np.maximum(responses["activations"], 0)
    return responses.get(name)
