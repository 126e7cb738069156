"""Effective dimensionality."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sktopo._numbers import check_name
from sktopo.metrics.activations import Activations

__all__ = ["effective_dimensionality"]


def _entropy(p):
    return np.exp(-(p * np.log(np.where(p > 0, p, 1))).sum())


def _max(p):
    return 1 / p.max()


# Of the eigenvalues' shares; the participation ratio needs no eigenvalues.
KINDS = {"participation_ratio": None, "entropy": _entropy, "max": _max}


def effective_dimensionality(
    X: ArrayLike, kind: str = "participation_ratio", matrix: str = "covariance"
) -> float:
    """Number of dimensions that the variance of X is spread over.

    Parameters
    ----------
    X : array-like of shape (n_observations, n_variables)
        For example activations over images, or incoming weights with units as rows.
    kind : {"participation_ratio", "entropy", "max"}, default="participation_ratio"
        From the eigenvalues l: (sum l)^2 / sum l^2; exp of the entropy of l / sum l; or
        sum l / max l.
    matrix : {"covariance", "correlation"}, default="covariance"
        Whose eigenvalues. In a correlation matrix constant variables are left out.

    Returns
    -------
    float
        1 to min(n_observations - 1, n_variables); nan without variance. It grows with
        the number of observations: compare at equal numbers.

    Raises
    ------
    ValueError
        On an unknown kind or matrix, or if X is not finite.

    References
    ----------
    Del Giudice, "Effective dimensionality: a tutorial", Multivariate Behavioral
    Research 56 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import effective_dimensionality
    >>> X = np.vstack([np.eye(3), -np.eye(3)])
    >>> round(effective_dimensionality(X), 6)
    3.0
    """
    check_name("kind", kind, KINDS)
    if matrix not in ("covariance", "correlation"):
        raise ValueError(
            f"matrix must be 'covariance' or 'correlation'; got {matrix!r}."
        )
    shared, _, _ = Activations.of(X, name="X")
    found = shared.spectrum(matrix, eigenvalues=KINDS[kind] is not None)
    if found is None:
        return float("nan")
    trace, norm, eigenvalues = found
    if kind == "participation_ratio":
        return float((trace / norm) ** 2)
    eigenvalues = np.clip(eigenvalues, 0, None)
    return float(KINDS[kind](eigenvalues / eigenvalues.sum()))
