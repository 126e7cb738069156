"""What a finished study found, readable without its images (private)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import pandas as pd

from sktopo import metrics
from sktopo._measures.registry import GROUPS
from sktopo._measures.results import parameter_in_words, renamed, select_one
from sktopo.grid import Grid
from sktopo.study._plan import CONTROL
from sktopo.study._statistics import compare, summarise

REPRESENTATIONS = ("activations", "class_means", "post_relu", "readout")


@dataclasses.dataclass(eq=False, repr=False)
class StudyResults:
    """What a study found: tables, statistics, figures and a report, without images.

    A study that was run hands through to one.

    Parameters
    ----------
    table : DataFrame
        A row a model and measure: condition, lam (0 without spatial loss), seed, group,
        measure, parameter, value, n.
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
        "class_means", "readout", "average_precision", "experts" and "correlations" of
        all pairs of units.

    See Also
    --------
    TopographicStudy : What trains and measures the models.
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
        """
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
        return compare(self.table, to)

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
        table = select_one(self.table, measure, **conditions)
        other_controls = (table["lam"] == 0) & (table["condition"] != CONTROL)
        group, measure, parameter = table[["group", "measure", "parameter"]].iloc[0]
        label = measure.replace("_", " ") if group in GROUPS else measure
        label += f"\n({parameter_in_words(parameter)})" if parameter else ""
        return LambdaCurveDisplay(
            table[~other_controls],
            label,
            CONTROL,
            conditions=list(self.conditions),
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


def grid_shape(base, settings):
    """Rows and columns by described settings of an estimator and of a condition."""
    described = settings.get("grid_shape", base["grid_shape"])
    if isinstance(described, dict):
        described = described["tuple"]
    return Grid(described).shape


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
