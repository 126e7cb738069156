"""Representational geometry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.utils import Bunch, check_array, check_consistent_length, column_or_1d

from sktopo.metrics._checks import check_activations, correlations


def representational_similarity(V: ArrayLike, metric: str = "cosine") -> np.ndarray:
    """Similarity of each pair of rows.

    Parameters
    ----------
    V : array-like of shape (n_rows, n_values)
        For example the readout weights, one row a class; three rows or more.
    metric : {"cosine", "correlation"}, default="cosine"
        Cosine of the angle, or Pearson's r.

    Returns
    -------
    ndarray of shape (n_rows, n_rows)
        The representational similarity matrix; nan for a zero row (with "correlation",
        a constant one).

    Raises
    ------
    ValueError
        On fewer than three rows or an unknown metric.

    Examples
    --------
    >>> from sktopo.metrics import representational_similarity
    >>> representational_similarity([[1, 0], [0, 1], [1, 1]]).round(3)
    array([[1.   , 0.   , 0.707],
           [0.   , 1.   , 0.707],
           [0.707, 0.707, 1.   ]])
    """
    V = check_array(V, dtype=np.float64, input_name="V")
    if len(V) < 3:
        raise ValueError(
            f"A representational similarity matrix needs at least 3 rows; got {len(V)}."
        )
    if metric not in ("cosine", "correlation"):
        raise ValueError(f"metric must be 'cosine' or 'correlation'; got {metric!r}.")
    scale = np.abs(V).max(axis=1, keepdims=True)
    undefined = scale[:, 0] == 0
    if metric == "correlation":
        undefined = V.min(axis=1) == V.max(axis=1)
    V = V / np.where(scale > 0, scale, 1)
    if metric == "correlation":
        V = V - V.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.square(V).sum(axis=1))
    V = V / np.where(undefined, np.nan, norm)[:, None]
    return np.clip(V @ V.T, -1, 1)


def rsm_similarity(R1: ArrayLike, R2: ArrayLike, metric: str = "cosine") -> float:
    """Similarity of two representational similarity matrices.

    Parameters
    ----------
    R1, R2 : array-like of shape (n_rows, n_rows)
        Two matrices over the same rows, three or more.
    metric : {"cosine", "correlation"}, default="cosine"
        Cosine, or Pearson's r, of their upper triangles without the diagonal.

    Returns
    -------
    float
        In [-1, 1]; nan where it is undefined (an undefined entry, or a triangle of
        zeros; with "correlation" a constant one).

    Raises
    ------
    ValueError
        If the matrices are not square, of one size and of three rows or more.

    Examples
    --------
    >>> from sktopo.metrics import representational_similarity, rsm_similarity
    >>> R1 = representational_similarity([[1, 0], [0, 1], [1, 1]])
    >>> R2 = representational_similarity([[1, 0], [1, 1], [0, 1]])
    >>> round(rsm_similarity(R1, R2), 6)
    0.5
    """
    R1, R2 = np.asarray(R1, dtype=np.float64), np.asarray(R2, dtype=np.float64)
    if R1.shape != R2.shape or R1.ndim != 2 or R1.shape[0] != R1.shape[1]:
        raise ValueError(
            f"R1 and R2 must be square matrices of one size; got {R1.shape} and "
            f"{R2.shape}."
        )
    if len(R1) < 3:
        raise ValueError(
            f"Similarity matrices need at least 3 rows to be compared; got {len(R1)}."
        )
    if metric not in ("cosine", "correlation"):
        raise ValueError(f"metric must be 'cosine' or 'correlation'; got {metric!r}.")
    upper = np.triu_indices(len(R1), k=1)
    a, b = R1[upper], R2[upper]
    if metric == "correlation":
        a, b = a - a.mean(), b - b.mean()
    # similarities of this size are what rounding leaves of 0
    a, b = (np.where(np.abs(v).max() < 1e-12, 0.0, v) for v in (a, b))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / norms, -1, 1)) if norms > 0 else float("nan")


def linear_cka(X: ArrayLike, Y: ArrayLike, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two sets of responses to the same images.

    Parameters
    ----------
    X, Y : array-like of shape (n_images, n_features) or (n_images,)
        Responses; the numbers of features may differ.
    debiased : bool, default=False
        Whether to use unbiased estimates of the inner products, which removes the rise
        with the number of features at small n. It needs four images or more.

    Returns
    -------
    float
        In [0, 1] (debiased, it can be negative or, rarely, above 1); nan where X or Y
        does not vary. Rotations and isotropic scaling change nothing.

    Raises
    ------
    ValueError
        If the numbers of images differ or are too small.

    References
    ----------
    Kornblith et al., "Similarity of neural network representations revisited", ICML
    (2019). Song et al., "Feature selection via dependence maximization", JMLR 13
    (2012), for the unbiased estimate.

    Examples
    --------
    >>> from sktopo.metrics import linear_cka
    >>> round(linear_cka([1, 2, 3, 4], [1, 2, 4, 3]), 6)
    0.64
    """
    X, Y = (_as_responses(V) for V in (X, Y))
    least = 4 if debiased else 2
    if len(X) != len(Y) or len(X) < least:
        raise ValueError(
            f"X and Y must hold the same images, {least} or more; got {len(X)} and "
            f"{len(Y)}."
        )
    if not (np.ptp(X, axis=0).any() and np.ptp(Y, axis=0).any()):
        return float("nan")
    inner = _unbiased_inner if debiased else _inner
    squared = inner(X, X) * inner(Y, Y)
    return float(inner(X, Y) / np.sqrt(squared)) if squared > 0 else float("nan")


def _as_responses(V):
    V = np.asarray(V)
    V = V[:, None] if V.ndim == 1 else V
    V = check_array(V, dtype=np.float64)
    V = V / (np.abs(V).max() or 1)
    return V - V.mean(axis=0)


def _inner(X, Y):
    """Inner product of the Gram matrices, from the features: no n x n matrix."""
    return np.square(X.T @ Y).sum()


def _unbiased_inner(X, Y):
    """The unbiased HSIC of two linear kernels (times n (n - 3)), from the features.

    With the diagonals of the Gram matrices K and L set to zero, it is
    tr(KL) + sum(K) sum(L) / ((n - 1)(n - 2)) - 2 / (n - 2) sum(KL). As X and Y are
    centred, a row of XX' sums to 0 and so a row of K to minus its diagonal.
    """
    n = len(X)
    k, m = np.square(X).sum(axis=1), np.square(Y).sum(axis=1)
    trace = _inner(X, Y) - k @ m
    return trace + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m)


def class_means(A: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Mean response of each unit to each class.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Responses.
    y : array-like of shape (n_images,)
        Class labels.

    Returns
    -------
    ndarray of shape (n_classes, n_units)
        Means, classes sorted.

    Examples
    --------
    >>> from sktopo.metrics import class_means
    >>> class_means([[1.0], [3.0], [5.0]], ["b", "b", "a"]).ravel()
    array([5., 2.])
    """
    A, _, y = check_activations(A, y=y)
    return np.stack([A[y == label].mean(axis=0) for label in np.unique(y)])


def consistency(
    representations: Sequence[ArrayLike],
    y: ArrayLike | None = None,
    n_per_class: int = 100,
) -> Bunch:
    """How alike the representational geometry of several models is.

    Parameters
    ----------
    representations : sequence of array-like of shape (n_rows, n_features)
        One a model, over the same rows: activations of images, `class_means`, responses
        after the ReLU, or the readout's rows. Never the rows of the grid's weights: a
        unit of one model is not that unit of another.
    y : array-like of shape (n_rows,), default=None
        Labels; only the first `n_per_class` rows of each class are used. None: all
        rows.
    n_per_class : int, default=100
        Rows a class if y is given.

    Returns
    -------
    Bunch
        With mean, over pairs of models, of Pearson's r between the upper triangles of
        their dissimilarity matrices (1 - Pearson's r between rows); pairs, a DataFrame
        (first, second, correlation); standard_error and interval (95 %, Student's t),
        by jackknife over models since pairs depend on each other, nan for fewer than
        three models; n_models, and n_rows.

    Raises
    ------
    ValueError
        On fewer than two models or three rows, or unequal numbers of rows.

    References
    ----------
    Kriegeskorte, Mur & Bandettini, "Representational similarity analysis", Frontiers in
    Systems Neuroscience 2 (2008).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import consistency
    >>> A = np.random.default_rng(0).normal(size=(20, 9))
    >>> round(consistency([A, 2 * A + 1, A[:, ::-1]]).mean, 6)
    1.0
    """
    models = [check_array(A, dtype=np.float64) for A in representations]
    lengths = {len(A) for A in models}
    if len(models) < 2 or len(lengths) != 1 or min(lengths) < 3:
        raise ValueError(
            f"consistency needs two models or more, over the same three rows or more; "
            f"got {len(models)} model(s) of {sorted(lengths)} rows."
        )
    if y is not None:
        y = column_or_1d(y)
        check_consistent_length(models[0], y)
        chosen = [np.flatnonzero(y == label)[:n_per_class] for label in np.unique(y)]
        rows = np.sort(np.concatenate(chosen))
        models = [A[rows] for A in models]
    upper = np.triu_indices(len(models[0]), k=1)
    triangles = np.stack(
        [1 - representational_similarity(A, "correlation")[upper] for A in models]
    )
    undefined = np.isnan(triangles).any(axis=1)
    r = correlations(np.where(undefined[:, None], 0.0, triangles).T)
    first, second = np.triu_indices(len(models), k=1)
    pairs = pd.DataFrame(
        {"first": first, "second": second, "correlation": r[first, second]}
    )
    n = len(models)
    without = [
        pairs[(pairs["first"] != i) & (pairs["second"] != i)]["correlation"].mean()
        for i in range(n)
    ]
    mean, error, half = float(pairs["correlation"].mean()), float("nan"), float("nan")
    if n > 2:
        error = float(
            np.sqrt((n - 1) / n * np.square(without - np.mean(without)).sum())
        )
        half = float(student_t.ppf(0.975, n - 1)) * error
    return Bunch(
        mean=mean,
        pairs=pairs,
        standard_error=error,
        interval=(mean - half, mean + half),
        n_models=n,
        n_rows=len(models[0]),
    )
