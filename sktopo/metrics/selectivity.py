"""Category selectivity: average precision and expert units."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from sktopo._arrays import as_plain
from sktopo._numbers import check_whole
from sktopo.grid import Grid
from sktopo.metrics._checks import (
    check_classes,
    check_grid,
    check_labels,
    unit_blocks,
)
from sktopo.metrics._pairs import sum_of_distances
from sktopo.metrics._permutation import permutation_null
from sktopo.metrics.activations import Activations

__all__ = [
    "average_precision",
    "d_prime",
    "expert_counts",
    "expert_localization",
    "expert_units",
    "t_statistic",
]


def average_precision(
    A: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None
) -> np.ndarray:
    """Average precision of each unit as a detector of each class.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations; a higher one speaks for the class.
    y : array-like of shape (n_images,)
        Class labels.
    classes : array-like of shape (n_classes,), default=None
        The classes to score; None: those in y, sorted.

    Returns
    -------
    ndarray of shape (n_units, n_classes)
        In (0, 1], as scikit-learn's `average_precision_score`, tied activations taken
        together. A class absent from y gives nan; a constant unit gives the class's
        share of images.

    Raises
    ------
    ValueError
        If A is not finite or y has another length.

    Examples
    --------
    >>> from sktopo.metrics import average_precision
    >>> average_precision([[4], [3], [2], [1]], [1, 0, 1, 0]).round(4)
    array([[0.5   , 0.8333]])
    """
    shared, _, y = Activations.of(A, y=check_labels(y))
    return _precision(shared.values, y, check_classes(classes, y))


def _precision(A, y, classes, anti=False):
    """Average precision of the columns of A, or (anti) of those of -A."""
    scores = np.full((A.shape[1], len(classes)), np.nan)
    present = [np.flatnonzero(y == label) for label in classes]
    for units, block in unit_blocks(A):
        rows = np.ascontiguousarray(block.T)  # a unit a row
        if not anti:
            np.negative(rows, out=rows)
        order = rows.argsort(axis=1)
        # how many images are at least as active as the one at each place
        ranks = _ends_of_runs(np.take_along_axis(rows, order, axis=1)) + 1
        place_of = np.empty_like(order)
        np.put_along_axis(place_of, order, np.arange(len(A))[None], axis=1)
        for column, members in enumerate(present):
            if len(members):
                places = np.sort(place_of[:, members], axis=1)
                among_all = np.take_along_axis(ranks, places, axis=1)
                among_members = _ends_of_runs(among_all) + 1
                scores[units, column] = (among_members / among_all).mean(axis=1)
    return scores


def _ends_of_runs(values):
    """Index of the last value equal to each, in rows of values in order."""
    n = values.shape[1]
    last = np.full(values.shape, n - 1, dtype=np.intp)
    last[:, :-1] = np.where(
        values[:, :-1] == values[:, 1:], n - 1, np.arange(n - 1, dtype=np.intp)
    )
    return np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]


def expert_units(
    A: ArrayLike,
    y: ArrayLike,
    threshold: float = 0.5,
    *,
    classes: ArrayLike | None = None,
    anti: bool = False,
) -> np.ndarray:
    """Units that detect a class with an average precision of at least `threshold`.

    An expert also does better than the class's prevalence, its share of the images,
    which is what a unit without any information gets.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations.
    y : array-like of shape (n_images,)
        Class labels.
    threshold : float, default=0.5
        Least average precision, in [0, 1].
    classes : array-like of shape (n_classes,), default=None
        The classes to score; None: those in y, sorted.
    anti : bool, default=False
        Whether to look for anti-experts, whose low activation detects the class.

    Returns
    -------
    ndarray of shape (n_units, n_classes), bool
        Whether the unit is an expert of the class. A constant unit is an expert of
        none, and a class absent from y has none.

    Raises
    ------
    ValueError
        If the threshold is outside [0, 1].

    See Also
    --------
    expert_counts : Experts per class and per unit.
    expert_localization : Whether experts of a class stand together.

    References
    ----------
    Suau et al., "Finding experts in transformer models", arXiv 2005.07647.

    Examples
    --------
    >>> from sktopo.metrics import expert_units
    >>> expert_units([[4], [3], [2], [1]], [1, 0, 1, 0], threshold=0.8)
    array([[False,  True]])
    """
    _check_threshold(threshold)  # before what takes time
    shared, _, y = Activations.of(A, y=check_labels(y))
    classes = check_classes(classes, y)
    precision = _precision(shared.values, y, classes, anti)
    return experts_of(precision, prevalence_of(classes, y), threshold)


def prevalence_of(classes, y):
    """Share of each class among the labels, as `experts_of` needs it.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        The classes.
    y : ndarray of shape (n_images,)
        The labels that the precision is computed with.

    Returns
    -------
    ndarray of shape (n_classes,)
        Shares, 0 for a class that is absent.
    """
    return np.array([(y == label).mean() for label in classes])


def _check_threshold(threshold):
    """Raise a ValueError unless `threshold` can be an average precision."""
    if not (isinstance(threshold, Real) and 0 <= threshold <= 1):
        raise ValueError(f"threshold must lie in [0, 1]; got {threshold!r}.")


def experts_of(precision, prevalence, threshold=0.5):
    """Which average precisions make an expert: the one place where that is decided.

    Parameters
    ----------
    precision : array-like of shape (n_units, n_classes)
        From `average_precision`, of the activations or (for anti-experts) of minus the
        activations; it may have been kept as float32.
    prevalence : array-like of shape (n_classes,)
        Share of each class among the labels that the precision was computed with.
    threshold : float, default=0.5
        Least average precision, in [0, 1].

    Returns
    -------
    ndarray of shape (n_units, n_classes), bool
        Whether the precision reaches the threshold and is above the prevalence.
    """
    _check_threshold(threshold)
    precision = np.asarray(as_plain(precision, "precision"))
    prevalence = np.asarray(as_plain(prevalence, "prevalence"), dtype=float)
    # average precision is a mean of ratios: what rounding takes must not count
    single = precision.dtype.kind == "f" and precision.dtype.itemsize < 8
    slack = 4 * float(np.finfo(precision.dtype).eps) if single else 1e-12
    precision = np.nan_to_num(precision.astype(np.float64), nan=-1.0)
    reached = precision >= threshold - slack
    return reached & (precision > prevalence + slack)


def expert_counts(experts: ArrayLike) -> Bunch:
    """Count experts per class and per unit.

    Parameters
    ----------
    experts : array-like of shape (n_units, n_classes), bool
        From `expert_units`.

    Returns
    -------
    Bunch
        Fields per_class (n_classes,), per_unit (n_units,), n_experts (unit-class
        pairs), n_classes_without (classes without any expert) and entropy, in bits, of
        the distribution of experts over classes (nan without experts).

    Examples
    --------
    >>> from sktopo.metrics import expert_counts
    >>> expert_counts([[True, False], [False, True]]).entropy
    1.0
    """
    experts = _check_experts(experts)
    per_class = experts.sum(axis=0)
    total = int(per_class.sum())
    share = per_class[per_class > 0] / max(total, 1)
    return Bunch(
        per_class=per_class,
        per_unit=experts.sum(axis=1),
        n_experts=total,
        n_classes_without=int((per_class == 0).sum()),
        entropy=float(abs((share * np.log2(share)).sum())) if total else float("nan"),
    )


def expert_localization(
    experts: ArrayLike,
    grid_shape: tuple[int, int] | Grid,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> Bunch:
    """How near each other the experts of a class stand, relative to chance.

    Parameters
    ----------
    experts : array-like of shape (n_units, n_classes), bool
        From `expert_units`, units row-major on the grid.
    grid_shape : tuple of (int, int) or Grid
        Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null, joint for all classes.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    Bunch
        Fields per_class (n_classes,): mean grid distance of pairs of experts of the
        class over its expectation under random placement, nan with fewer than two
        experts; pooled: the same over all same-class pairs, each weighted equally;
        n_experts (n_classes,); p_value: the chance under shuffling of a pooled value at
        most as large (nan without permutations or pairs). With permutations also
        null_mean and excess (pooled minus null_mean).

    Raises
    ------
    ValueError
        If `experts` does not fit the grid.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import expert_localization
    >>> experts = np.zeros((121, 1), dtype=bool)
    >>> experts[:2] = True
    >>> round(expert_localization(experts, (11, 11)).pooled, 3)
    0.174
    """
    experts = _check_experts(experts)
    grid = check_grid(grid_shape, len(experts), "experts")
    n_experts = experts.sum(axis=0)
    n_pairs = n_experts * (n_experts - 1) / 2

    def _distance_sums(order):
        # per class, over its pairs of experts, in units of the mean distance
        there = np.empty_like(experts)
        there[order] = experts
        return sum_of_distances(there, grid) / grid.mean_distance

    per_class = _distance_sums(np.arange(grid.n_units))
    per_class = np.where(n_pairs > 0, per_class / np.maximum(n_pairs, 1), np.nan)
    total = n_pairs.sum() or np.nan
    pooled, null_mean, excess, p_value = permutation_null(
        lambda order: _distance_sums(order).sum() / total,
        grid.n_units,
        n_permutations,
        random_state,
        tail="lower",
    )
    result = Bunch(
        per_class=per_class,
        pooled=float(pooled),
        n_experts=n_experts,
        p_value=float(p_value),
    )
    if n_permutations:
        result.update(null_mean=float(null_mean), excess=float(excess))
    return result


def _check_experts(experts):
    experts = np.asarray(as_plain(experts, "experts"))
    if experts.dtype.kind == "O" and all(isinstance(v, bool) for v in experts.flat):
        experts = experts.astype(bool)  # from nullable columns
    if experts.ndim != 2 or experts.dtype != bool:
        raise ValueError(
            f"experts must be a bool array (n_units, n_classes), as expert_units "
            f"gives; got {experts.dtype} of shape {experts.shape}."
        )
    return experts


def _class_moments(A, y, classes, ddof):
    """Means, variances and counts of each class, and of all that is not the class."""
    check_whole("ddof", ddof, 0)
    shared, _, y = Activations.of(A, y=check_labels(y))
    classes = check_classes(classes, y)
    labels, counts = np.unique(y, return_counts=True)
    groups = [np.flatnonzero(y == label) for label in labels]
    shape = (
        2,
        2,
        shared.values.shape[1],
        len(classes),
    )  # inside or not, mean or variance
    found = np.full(shape, np.nan)
    n = np.zeros((2, len(classes)))
    for units, block in unit_blocks(shared.values):
        # both measures ignore the scale, and squares of it must stay in range
        largest = np.abs(block).max(axis=0)
        block /= np.where(largest > 0, largest, 1)
        parts = [_moments(block[rows]) for rows in groups]
        for column, label in enumerate(classes):
            for outside, chosen in enumerate((labels == label, labels != label)):
                n[outside, column] = counts[chosen].sum()
                if n[outside, column] > ddof:
                    of = [parts[i] for i in np.flatnonzero(chosen)]
                    found[outside, :, units, column] = _merged(of, counts[chosen], ddof)
    return [(*moments, count) for moments, count in zip(found, n, strict=True)]


def _moments(part):
    """Mean, sum of squared deviations, minimum and maximum of columns."""
    mean = part.mean(axis=0)
    return (
        mean,
        np.square(part - mean).sum(axis=0),
        part.min(axis=0),
        part.max(axis=0),
    )


def _merged(parts, counts, ddof):
    """Mean and variance of several groups, from the moments of each."""
    means, squares, low, high = (
        np.array(values) for values in zip(*parts, strict=True)
    )
    weights, n = counts[:, None], counts.sum()
    mean = (weights * means).sum(axis=0) / n
    squares = (squares + weights * np.square(means - mean)).sum(axis=0)
    constant = low.min(axis=0) == high.max(axis=0)  # but for rounding
    return mean, np.where(constant, 0, squares / (n - ddof))


def d_prime(
    A: ArrayLike, y: ArrayLike, *, classes: ArrayLike | None = None, ddof: int = 0
) -> np.ndarray:
    """Sensitivity index d' of each unit for each class against the rest.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations.
    y : array-like of shape (n_images,)
        Class labels.
    classes : array-like of shape (n_classes,), default=None
        The classes to score; None: those in y, sorted.
    ddof : int, default=0
        Subtracted from the counts in the variances; 0 is the TDANN's choice.

    Returns
    -------
    ndarray of shape (n_units, n_classes)
        (m1 - m0) / sqrt((v1 + v0) / 2), with means m and variances v of the class (1)
        and of all other images (0). nan where no image or no variance is left.

    See Also
    --------
    t_statistic : The same difference over its standard error.

    References
    ----------
    Margalit et al., "A unifying framework for functional organization in early and
    higher ventral visual cortex", Neuron 112 (2024).

    Examples
    --------
    >>> from sktopo.metrics import d_prime
    >>> d_prime([[3], [5], [0], [2]], [1, 1, 0, 0])
    array([[-3.,  3.]])
    """
    (m1, v1, _), (m0, v0, _) = _class_moments(A, y, classes, ddof)
    return _ratio(m1 - m0, np.sqrt((v1 + v0) / 2))


def t_statistic(
    A: ArrayLike, y: ArrayLike, *, classes: ArrayLike | None = None, ddof: int = 0
) -> np.ndarray:
    """Welch-like t of each unit for each class against the rest.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations.
    y : array-like of shape (n_images,)
        Class labels.
    classes : array-like of shape (n_classes,), default=None
        The classes to score; None: those in y, sorted.
    ddof : int, default=0
        Subtracted from the counts in the variances; 0 is the TDANN's choice, 1 gives
        Welch's t.

    Returns
    -------
    ndarray of shape (n_units, n_classes)
        (m1 - m0) / sqrt(v1 / n1 + v0 / n0), with means m, variances v and counts n of
        the class (1) and of all other images (0). nan where no image or no variance is
        left.

    See Also
    --------
    d_prime : The same difference over a standard deviation.

    References
    ----------
    Margalit et al., "A unifying framework for functional organization in early and
    higher ventral visual cortex", Neuron 112 (2024).

    Examples
    --------
    >>> from sktopo.metrics import t_statistic
    >>> t_statistic([[3], [5], [0], [2]], [1, 1, 0, 0])
    array([[-3.,  3.]])
    """
    (m1, v1, n1), (m0, v0, n0) = _class_moments(A, y, classes, ddof)
    return _ratio(m1 - m0, np.sqrt(v1 / np.maximum(n1, 1) + v0 / np.maximum(n0, 1)))


def _ratio(numerator, denominator):
    return numerator / np.where(denominator > 0, denominator, np.nan)
