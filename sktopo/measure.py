"""Everything in one table: all measures of a fitted classifier, or of plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sktopo import metrics, stimuli
from sktopo._evaluation import Evaluation
from sktopo._images import as_batch
from sktopo.metrics._activations import Activations
from sktopo.metrics._checks import check_table
from sktopo.metrics._pairs import DistanceBins
from sktopo.metrics.selectivity import experts_of, prevalence_of
from sktopo.networks import Head
from sktopo.robustness import (
    _image_noise,
    _pruning,
    _weight_noise,
    area_under_curve,
)

__all__ = ["measure", "measure_activations"]

DTYPES = {
    "group": str,
    "measure": str,
    "parameter": str,
    "value": np.float64,
    "n": np.int64,
}

# Strengths of weight noise; beside the mean over all stands that up to a smaller one.
SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)
MEAN_UP_TO = 0.5


class _Table:
    """Rows of one group of measures."""

    def __init__(self, group):
        self.group = group
        self.rows = []

    def add(self, measure, value, n, parameter=""):
        row = (self.group, measure, str(parameter), float(value), int(n))
        self.rows.append(row)

    def add_mean(self, measure, values, parameter=""):
        """Mean over what is defined, with its count."""
        values = np.asarray(values, dtype=float).ravel()
        known = values[~np.isnan(values)]
        self.add(measure, known.mean() if len(known) else np.nan, len(known), parameter)


def _as_frame(rows):
    """All rows in one table, of the same types however many they are."""
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)


def _smoothness(A, grid, bins, table):
    if grid.n_units < 2:
        return
    maps = A.values.reshape(-1, *grid.shape)
    for neighborhood in ("moore", "von_neumann"):
        table.add_mean("morans_i", metrics.morans_i(maps, neighborhood), neighborhood)
    standardized = metrics.morans_i(maps, grid.neighborhood, standardize=True)
    table.add_mean("morans_i_standardized", standardized, grid.neighborhood)
    for row in metrics.correlation_by_distance(A, bins).itertuples():
        parameter = f"distance={row.distance}"
        table.add("correlation", row.correlation, row.n_pairs, parameter)
    try:
        bimodality = metrics.correlation_bimodality(A)
        table.add("dip", bimodality.dip, bimodality.n_pairs)
    except ImportError:  # the extra `stats` is optional; its row is left out
        bimodality = metrics.correlation_bimodality(A, dip=False)
    table.add("bimodality_coefficient", bimodality.coefficient, bimodality.n_pairs)
    for row in metrics.spatial_autocorrelation(maps).itertuples():
        parameter = f"axis={row.axis}, lag={row.lag}"
        table.add("autocorrelation", row.correlation, row.n_maps, parameter)


def _localization(A, grid, table):
    for row in metrics.functional_localization(A, grid.shape).itertuples():
        parameter = f"threshold={row.threshold:g}"
        table.add("distance_of_correlated", row.mean_distance, row.n_pairs, parameter)
        table.add("distance_ratio", row.ratio, row.n_pairs, parameter)


def _selectivity(A, y, grid, bins, table):
    precision = metrics.average_precision(A, y)
    table.add_mean("best_average_precision", precision.max(axis=1))
    prevalence = prevalence_of(np.unique(y), y)
    for name, experts in (
        ("experts", experts_of(precision, prevalence)),
        ("anti_experts", metrics.expert_units(A, y, anti=True)),
    ):
        counts = metrics.expert_counts(experts)
        where = metrics.expert_localization(experts, grid.shape)
        n_pairs = (where.n_experts * (where.n_experts - 1) // 2).sum()
        table.add(f"n_{name}", counts.n_experts, experts.size)
        table.add(f"{name}_classes_without", counts.n_classes_without, experts.shape[1])
        table.add(f"{name}_entropy", counts.entropy, counts.n_experts)
        table.add(f"{name}_distance_ratio", where.pooled, n_pairs)
    d = metrics.d_prime(A, y)
    table.add_mean("best_d_prime", d.max(axis=1))
    table.add_mean("best_t", metrics.t_statistic(A, y).max(axis=1))
    if grid.n_units > 1:
        smoothness = [
            metrics.difference_by_distance(column, bins).smoothness for column in d.T
        ]
        table.add_mean("d_prime_smoothness", smoothness)


def _activity(A, weights, table, shared_range=None):
    table.add_mean("entropy_own_range", metrics.activation_entropy(A))
    if shared_range is not None:
        entropy = metrics.activation_entropy(A, value_range=shared_range)
        table.add_mean("entropy_shared_range", entropy)
    table.add_mean("percentage_of_zeros", metrics.percentage_of_zeros(A))
    table.add_mean("variance", metrics.activation_variance(A))
    if weights is not None:
        relative = metrics.activation_variance(A, weights)
        table.add_mean("variance_over_squared_norm", relative)
        table.add_mean("weight_norm", metrics.weight_norm(weights))


def _dimensionality(A, weights, table):
    sources = {"activations": A}
    if weights is not None:
        sources["grid weights"] = Activations(weights, "weights")
    for name, X in sources.items():
        # eigenvalues first, so that they serve all kinds of one matrix
        values = {
            (kind, matrix): metrics.effective_dimensionality(X, kind, matrix)
            for matrix in ("covariance", "correlation")
            for kind in ("entropy", "max", "participation_ratio")
        }
        for kind in ("participation_ratio", "entropy", "max"):
            for matrix in ("covariance", "correlation"):
                parameter = f"{name}, {matrix}"
                table.add(kind, values[kind, matrix], len(X.values), parameter)


def _geometry(evaluation, reference, table):
    readout = evaluation.head.readout_weights
    if len(readout) > 2:
        R = metrics.representational_similarity(readout)
        off = R[np.triu_indices(len(R), k=1)]
        table.add_mean("readout_similarity", off)
    if reference is None:
        return
    A, B = evaluation.activations, reference.activations
    for debiased in (False, True):
        if len(A) > 3:
            value = metrics.linear_cka(A, B, debiased=debiased)
            name = "linear_cka_debiased" if debiased else "linear_cka"
            table.add(name, value, len(A), "with the reference")
    if len(A) > 2:
        found = metrics.consistency([A, B], evaluation.y)
        table.add("rdm_correlation", found.mean, found.n_rows, "with the reference")


def _robustness(evaluation, seed, table):
    n = len(evaluation.y)
    settings = (("std", "head"), ("absolute", "head"), ("std", "readout"))
    for scale, layers in settings:
        curve = _weight_noise(evaluation, SIGMAS, scale, layers, 10, seed)
        _under_weight_noise(
            curve, f"weight noise, {layers}, {scale}", evaluation, table
        )
    kinds = ("white", "pink", "salt_and_pepper")
    curve = _image_noise(evaluation, kinds, (0.01, 0.05, 0.1, 0.15, 0.2), seed)
    for row in curve.itertuples():
        parameter = f"image noise, {row.kind}, level={row.level:g}"
        table.add("accuracy_change", row.accuracy_change, n, parameter)
    parameter = "image noise, mean"
    table.add("accuracy_change", curve["accuracy_change"].mean(), n, parameter)
    _add_accuracy(curve["accuracy"].mean(), evaluation, parameter, table)
    orders = ("zeros", "readout_norm", "random", "block")
    curve = _pruning(evaluation, orders, np.linspace(0, 1, 11), seed)
    for row in area_under_curve(curve).itertuples():
        parameter = f"pruning, {row.curve}, mean"
        _add_accuracy(row.mean_accuracy, evaluation, parameter, table)


def _under_weight_noise(curve, name, evaluation, table):
    """Rows for each sigma, and for the means over all of them and over the smaller."""
    n = len(evaluation.y)
    measures = ["accuracy_change"]
    if len(evaluation.head.readout_weights) > 2:
        measures.append("rsm_similarity")
    parts = [(f"sigma={sigma:g}", part) for sigma, part in curve.groupby("sigma")]
    smaller = curve[curve["sigma"] <= MEAN_UP_TO]
    means = [("mean", curve), (f"mean, sigma<={MEAN_UP_TO:g}", smaller)]
    for part_name, part in parts + means:
        for measure in measures:
            table.add(measure, part[measure].mean(), n, f"{name}, {part_name}")
    for part_name, part in means:
        parameter = f"{name}, {part_name}"
        _add_accuracy(part["accuracy"].mean(), evaluation, parameter, table)


def _add_accuracy(accuracy, evaluation, parameter, table):
    """The accuracy under a perturbation, and what that retains of the clean one."""
    n, clean = len(evaluation.y), evaluation.accuracy
    table.add("accuracy", accuracy, n, parameter)
    retained = accuracy / clean if clean > 0 else np.nan
    table.add("accuracy_retained", retained, n, parameter)


def _tuning(evaluation, seed, table):
    classifier, grid = evaluation.classifier, evaluation.classifier.grid_
    shape, value_range = classifier.image_shape_, classifier.pixel_range_
    scale = evaluation.activations.std(axis=0)

    found = _orientation(classifier, scale)
    for name in ("amplitude", "strength", "osi"):
        table.add_mean(f"orientation_{name}", found[name])
    n_units = grid.n_units
    table.add("orientation_preferring", 1 - found.n_undefined / n_units, n_units)
    if grid.n_units > 1:
        smooth = metrics.difference_by_distance(found.preferred, grid.shape, 180.0)
        table.add("orientation_smoothness", smooth.smoothness, smooth.n_units)

    for axis, flip in (("left-right", -1), ("up-down", -2)):
        if shape[flip] < 2:
            continue
        mirrored = _mirror(evaluation, flip)
        try:
            found = metrics.symmetry_sensitivity(
                evaluation.activations, mirrored, evaluation.y, seed
            )
        except ValueError:  # no class has two images
            pass
        else:
            table.add_mean("mirror_index", found.index, axis)
            table.add_mean("mirror_correlation", found.r, axis)
        patterns, halves = stimuli.symmetric_patterns(
            shape, value_range, axis=axis, random_state=seed, lazy=True
        )
        symmetric = halves["symmetric"].to_numpy()
        d = metrics.d_prime(_respond(classifier, patterns), symmetric)
        table.add_mean("symmetry_d_prime", d[:, -1], axis)

    found = _eccentricity(classifier)
    table.add_mean("eccentricity_abs", found.E_abs)
    table.add_mean("eccentricity_abs_relative", found.relative_abs)
    table.add_mean("eccentricity", found.E)
    table.add_mean("eccentricity_relative", found.relative)


def _respond(classifier, images):
    """Activations, without the checks that images of our own making do not need.

    The images can be lazy: only those of one batch are made at a time.
    """
    return classifier._evaluate(images, Head.activations)[0]


def _orientation(classifier, scale):
    """Orientation tuning of the grid units, from gratings in the training range."""
    settings = classifier.image_shape_, classifier.pixel_range_
    images, gratings = stimuli.sine_gratings(*settings, lazy=True)
    R = pd.DataFrame(_respond(classifier, images))
    R = R.groupby(gratings["orientation"].to_numpy()).mean()
    rest = _respond(classifier, stimuli.blank(*settings))[0]
    return metrics.orientation_tuning(R.to_numpy().T, R.index, rest, scale)


def _eccentricity(classifier):
    """Eccentricity profiles of the grid units, from probes in the training range."""
    settings = classifier.image_shape_, classifier.pixel_range_
    probes, places = stimuli.eccentricity_probes(*settings, lazy=True)
    rest = _respond(classifier, stimuli.blank(*settings))[0]
    responses = _respond(classifier, probes)
    return metrics.eccentricity_profile(responses, places["eccentricity"], rest)


def _mirror(evaluation, flip):
    """Activations of the images mirrored along an axis."""
    classifier = evaluation.classifier
    X, shape = evaluation.X, classifier.image_shape_

    def mirrored(rows):
        return np.flip(as_batch(X, rows, shape).numpy(), axis=flip)

    return _respond(classifier, stimuli.LazyImages((len(X), *shape), mirrored))


GROUPS = (
    "performance",
    "smoothness",
    "localization",
    "selectivity",
    "activity",
    "dimensionality",
    "geometry",
    "robustness",
    "tuning",
)
OF_ACTIVATIONS = {
    "smoothness",
    "localization",
    "selectivity",
    "activity",
    "dimensionality",
}


def measure(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    include: str | Sequence[str] = "all",
    reference: BaseEstimator | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Take every measure of a fitted classifier.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images, best held out from training. They pass through the backbone once for
        all measures of the responses to them.
    y : array-like of shape (n,)
        Class labels.
    include : "all" or sequence of str, default="all"
        Groups to take: "performance", "smoothness", "localization", "selectivity",
        "activity", "dimensionality", "geometry", "robustness", "tuning".
    reference : estimator, default=None
        Another fitted classifier, such as the control of the same seed. The 0.1 to 99.9
        percentiles of its activations are the range of the shared entropy, and the
        geometry is compared with its.
    random_state : int, RandomState instance or None, default=0
        Seed of noise, pruning and pairings.

    Returns
    -------
    DataFrame
        A row a measure: group; measure; parameter, what it was taken at; value, for
        measures of single units the mean over units that have one; n, the number of
        images, units or pairs that the value is of.

    Raises
    ------
    ValueError
        On an unknown group, or y of another length.
    TypeError
        If an estimator holds no topographic classifier.

    See Also
    --------
    measure_activations : The same for plain arrays of any framework.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier, measure
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=3, lr=3e-3, random_state=0).fit(X, y)
    >>> measure(clf, X, y, include=["smoothness"]).columns.tolist()
    ['group', 'measure', 'parameter', 'value', 'n']
    """
    include = GROUPS if isinstance(include, str) and include == "all" else include
    include = [include] if isinstance(include, str) else list(include)
    if unknown := [group for group in include if group not in GROUPS]:
        raise ValueError(
            f"include must be 'all' or among {list(GROUPS)}; got {unknown}."
        )
    evaluation = Evaluation(estimator, X, y)
    _ = evaluation.features  # one pass for all that follows
    other = None if reference is None else Evaluation(reference, X, y)
    seed = check_random_state(random_state).randint(2**31)
    shared = (
        _OfActivations.of(evaluation, other) if OF_ACTIVATIONS & {*include} else None
    )
    rows = []
    for group in GROUPS:
        if group not in include:
            continue
        table = _Table(group)
        if group == "performance":
            table.add("accuracy", evaluation.accuracy, len(evaluation.y))
        elif group == "geometry":
            _geometry(evaluation, other, table)
        elif group == "robustness":
            _robustness(evaluation, seed, table)
        elif group == "tuning":
            _tuning(evaluation, seed, table)
        else:
            shared.measure(group, table)
        rows.extend(table.rows)
    return _as_frame(rows)


class _OfActivations:
    """The groups that need activations only; what they share is computed once."""

    def __init__(self, A, grid, y, weights, value_range):
        self.A = Activations(A)
        self.grid = grid
        self.bins = DistanceBins(grid.shape)
        self.y = y
        self.weights = weights
        self.value_range = value_range

    @classmethod
    def of(cls, evaluation, reference):
        """Those of an evaluation; the reference's give the range of the entropy."""
        return cls(
            evaluation.activations,
            evaluation.classifier.grid_,
            evaluation.y,
            evaluation.head.grid_weights,
            reference and np.percentile(reference.activations, (0.1, 99.9)),
        )

    def measure(self, group, table):
        """Add the rows of a group, if it is one of these and has what it needs."""
        if group == "smoothness":
            _smoothness(self.A, self.grid, self.bins, table)
        elif group == "localization":
            _localization(self.A, self.grid, table)
        elif group == "selectivity" and self.y is not None:
            _selectivity(self.A, self.y, self.grid, self.bins, table)
        elif group == "activity":
            _activity(self.A, self.weights, table, self.value_range)
        elif group == "dimensionality":
            _dimensionality(self.A, self.weights, table)


def measure_activations(
    A: ArrayLike,
    grid_shape: tuple[int, int],
    y: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    value_range: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Take every measure that needs activations only.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations before the ReLU, from any framework, units row-major on the grid.
    grid_shape : tuple of (int, int)
        Rows and columns.
    y : array-like of shape (n_images,), default=None
        Class labels; without them selectivity is left out.
    weights : array-like of shape (n_units, fan_in), default=None
        Incoming weights of the units.
    value_range : tuple of (float, float), default=None
        Range of the shared entropy; without it that row is left out.

    Returns
    -------
    DataFrame
        As `measure` gives, for the groups "smoothness", "localization", "selectivity",
        "activity" and "dimensionality".

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
        weights = check_table(weights, "weights", "n_units", "fan_in")
        if len(weights) != grid.n_units:
            raise ValueError(
                f"weights must have one row for each of {grid.n_units} units; got "
                f"{len(weights)} rows."
            )
    shared = _OfActivations(A.values, grid, y, weights, value_range)
    rows = []
    for group in GROUPS:
        table = _Table(group)
        shared.measure(group, table)
        rows.extend(table.rows)
    return _as_frame(rows)
