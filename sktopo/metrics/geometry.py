"""Representational geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array


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
        undefined = np.ptp(V, axis=1) == 0
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
        # what is left of equal entries is rounding
        a, b = (np.where(np.abs(v).max() < 1e-12, 0.0, v) for v in (a, b))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / norms, -1, 1)) if norms > 0 else float("nan")
