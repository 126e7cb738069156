"""Representational geometry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_consistent_length

from sktopo._arrays import as_plain
from sktopo._numbers import check_whole
from sktopo.metrics._checks import (
    block_slices,
    check_labels,
    check_table,
    correlations,
)
from sktopo.metrics._pairs import upper_triangle
from sktopo.metrics.activations import Activations
from sktopo.metrics.intervals import half_width, jackknife_error

__all__ = [
    "class_means",
    "consistency",
    "linear_cka",
    "representational_similarity",
    "rsm_similarity",
]


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
    V = check_table(V, "V", "n_rows", "n_values").astype(np.float64)
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
    V /= np.where(scale > 0, scale, 1)
    if metric == "correlation":
        V -= V.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.square(V).sum(axis=1))
    V /= np.where(undefined, np.nan, norm)[:, None]
    similarity = V @ V.T
    return np.clip(similarity, -1, 1, out=similarity)


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
        If the matrices are not square and symmetric, of one size and of three rows or
        more, or hold infinity.

    Examples
    --------
    >>> from sktopo.metrics import representational_similarity, rsm_similarity
    >>> R1 = representational_similarity([[1, 0], [0, 1], [1, 1]])
    >>> R2 = representational_similarity([[1, 0], [1, 1], [0, 1]])
    >>> round(rsm_similarity(R1, R2), 6)
    0.5
    """
    R1, R2 = _check_rsm(R1, "R1"), _check_rsm(R2, "R2")
    if R1.shape != R2.shape:
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
    a, b = upper_triangle(R1), upper_triangle(R2)
    if metric == "correlation":
        a, b = a - a.mean(), b - b.mean()
    # similarities of this size are what rounding leaves of 0
    a, b = (np.where(np.abs(v).max() < 1e-12, 0.0, v) for v in (a, b))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / norms, -1, 1)) if norms > 0 else float("nan")


def _check_rsm(R, name):
    R = np.asarray(as_plain(R, name), dtype=np.float64)
    if R.ndim != 2 or R.shape[0] != R.shape[1]:
        raise ValueError(f"{name} must be a square matrix; got shape {R.shape}.")
    largest = np.abs(np.nan_to_num(R)).max(initial=0)
    if np.isinf(R).any() or not np.allclose(
        R, R.T, rtol=0, atol=1e-6 * largest, equal_nan=True
    ):
        raise ValueError(
            f"{name} must be a similarity matrix: symmetric, without infinity. Make "
            f"one of responses with representational_similarity."
        )
    return R


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
    X, Y = _as_responses(X, "X"), _as_responses(Y, "Y")
    least = 4 if debiased else 2
    if len(X) != len(Y) or len(X) < least:
        raise ValueError(
            f"X and Y must hold the same images, {least} or more; got {len(X)} and "
            f"{len(Y)}."
        )
    if not (X.any() and Y.any()):
        return float("nan")
    inner = _unbiased_inner if debiased else _inner
    squared = inner(X, X) * inner(Y, Y)
    return float(inner(X, Y) / np.sqrt(squared)) if squared > 0 else float("nan")


def _as_responses(V, name):
    """Centred responses, on the scale of 1; zeros where nothing varies."""
    V = as_plain(V, name)
    V = np.asarray(V)[:, None] if np.ndim(V) == 1 else V
    V = check_table(V, name, columns="n_features").astype(np.float64)
    constant = V.min(axis=0) == V.max(axis=0)
    V /= max(V.max(), -V.min()) or 1
    V -= V.mean(axis=0)
    V[:, constant] = 0  # but for rounding
    return V


def _inner(X, Y):
    """Inner product of the Gram matrices XX' and YY', by the smaller product.

    It is also the sum of the squares of X'Y. Either is summed a few rows at a time.
    """
    n, total = len(X), 0.0
    if n * n <= X.shape[1] * Y.shape[1]:
        for rows in block_slices(n, n):
            products = X[rows] @ X.T
            total += np.vdot(products, products if Y is X else Y[rows] @ Y.T)
    else:
        for rows in block_slices(X.shape[1], Y.shape[1]):
            total += np.square(X[:, rows].T @ Y).sum()
    return total


def _unbiased_inner(X, Y):
    """The unbiased HSIC of two linear kernels (times n (n - 3)), from the features.

    With the diagonals of the Gram matrices K and L set to zero, it is
    tr(KL) + sum(K) sum(L) / ((n - 1)(n - 2)) - 2 / (n - 2) sum(KL). As X and Y are
    centred, a row of XX' sums to 0 and so a row of K to minus its diagonal.
    """
    n = len(X)
    k, m = (np.einsum("ij,ij->i", V, V) for V in (X, Y))
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
    shared, _, y = Activations.of(A, y=check_labels(y))
    parts = (shared.values[y == label] for label in np.unique(y))
    return np.stack([part.mean(axis=0, dtype=np.float64) for part in parts])


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
        Labels, none of them nan; only the first `n_per_class` rows of each class are
        used. None: all rows.
    n_per_class : int, default=100
        Rows a class if y is given, at least 1.

    Returns
    -------
    Bunch
        With mean, over pairs of models, of Pearson's r between the upper triangles of
        their dissimilarity matrices (1 - Pearson's r between rows), so a mean of r and
        not of its transforms; pairs, a DataFrame (first, second, correlation);
        standard_error, that of this mean r, by jackknife over models, since pairs that
        share a model depend on each other; interval, (low, high) at 95 % (Student's t),
        by the same jackknife on Fisher's z of the mean r and transformed back, so that
        it lies within -1 to 1, holds the mean and need not be symmetric about it;
        n_models, n_pairs (pairs with a correlation), and n_rows. A model whose
        dissimilarity is constant or undefined has no correlation and counts in none of
        mean, standard_error and interval; these last two are nan for fewer than three
        models that count.

    Raises
    ------
    ValueError
        On fewer than two models or three rows, unequal numbers of rows, or labels that
        are missing.

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
    models = [
        check_table(A, f"representations[{i}]", "n_rows", "n_features")
        for i, A in enumerate(representations)
    ]
    lengths = {len(A) for A in models}
    if len(models) < 2 or len(lengths) != 1 or min(lengths) < 3:
        raise ValueError(
            f"consistency needs two models or more, over the same three rows or more; "
            f"got {len(models)} model(s) of {sorted(lengths)} rows."
        )
    check_whole("n_per_class", n_per_class, 1)
    if y is not None:
        y = check_labels(y)
        check_consistent_length(models[0], y)
        chosen = [np.flatnonzero(y == label)[:n_per_class] for label in np.unique(y)]
        rows = np.sort(np.concatenate(chosen))
        models = [A[rows] for A in models]
    triangles = np.stack(
        [
            1 - upper_triangle(representational_similarity(A, "correlation"))
            for A in models
        ]
    )
    undefined = np.isnan(triangles).any(axis=1)
    triangles[undefined] = 0
    r = correlations(triangles.T)
    first, second = np.triu_indices(len(models), k=1)
    pairs = pd.DataFrame(
        {"first": first, "second": second, "correlation": r[first, second]}
    )
    mean, error, interval = _jackknife(r)
    return Bunch(
        mean=mean,
        pairs=pairs,
        standard_error=error,
        interval=interval,
        n_models=len(models),
        n_pairs=int(pairs["correlation"].notna().sum()),
        n_rows=len(models[0]),
    )


def _jackknife(r):
    """Mean of the correlations of models, its standard error and its interval."""
    r = r[np.ix_(*2 * [~np.isnan(np.diag(r))])]
    n = len(r)
    nan = float("nan")
    if n < 2:
        return nan, nan, (nan, nan)
    pair_sums = r.sum(axis=0) - np.diag(r)
    total = upper_triangle(r).sum()
    mean = float(total / (n * (n - 1) / 2))
    if n < 3:
        return mean, nan, (nan, nan)
    without = (total - pair_sums) / ((n - 1) * (n - 2) / 2)
    error = jackknife_error(without)
    half = half_width(jackknife_error(_fisher_z(without)), n)
    low, high = np.tanh(_fisher_z(mean) + half * np.array([-1, 1]))
    # a mean of exactly 1 has no z, and that of nearly 1 stands for it
    return mean, error, (min(float(low), mean), max(float(high), mean))


def _fisher_z(r):
    return np.arctanh(np.clip(r, 1e-12 - 1, 1 - 1e-12))
