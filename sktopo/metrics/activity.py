"""Activity of single units: entropy, zeros, variance and weight norms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sktopo._arrays import as_plain
from sktopo._numbers import check_whole
from sktopo.metrics._checks import (
    block_slices,
    check_table,
    unit_blocks,
)
from sktopo.metrics.activations import Activations

__all__ = [
    "activation_entropy",
    "activation_variance",
    "percentage_of_zeros",
    "weight_norm",
]


def activation_entropy(
    A: ArrayLike, bins: int = 64, value_range: tuple[float, float] | None = None
) -> np.ndarray:
    """Entropy of the histogram of each unit's activation.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations.
    bins : int, default=64
        Number of equal bins.
    value_range : tuple of (float, float), default=None
        Range that the bins divide; values outside are clipped in. To compare models,
        give all of them one range, for example the 0.1 to 99.9 percentiles of the
        control: the sign of a comparison can flip with a range of each model's own.
        None uses each unit's own range and shows the shape of its distribution only.

    Returns
    -------
    ndarray of shape (n_units,)
        Entropy in bits, 0 to log2(bins). A constant unit has 0.

    Raises
    ------
    ValueError
        If `bins` is below 1, or the range is not two finite numbers in rising order.

    Examples
    --------
    >>> from sktopo.metrics import activation_entropy
    >>> activation_entropy([[0.0], [1.0], [2.0], [3.0]], bins=4)
    array([2.])
    """
    shared, _, _ = Activations.of(A)
    check_whole("bins", bins, 1)
    if value_range is not None:
        value_range = _check_range(value_range)
    entropy = np.zeros(shared.values.shape[1])
    for units, block in unit_blocks(shared.values):
        low, high = value_range or (block.min(axis=0), block.max(axis=0))
        # halves, so that the width of a huge range does not overflow
        width = np.asarray(high / 2 - low / 2)
        share = np.clip(block, low, high) / 2 - low / 2
        share /= np.where(width > 0, width, 1)
        index = np.minimum((share * bins).astype(int), bins - 1)
        n_units = block.shape[1]
        index += bins * np.arange(n_units)
        counts = np.bincount(index.ravel(), minlength=bins * n_units)
        p = counts.reshape(n_units, bins) / len(block)
        entropy[units] = np.abs((p * np.log2(np.where(p > 0, p, 1))).sum(axis=1))
    return entropy


def _check_range(value_range):
    found = np.asarray(as_plain(value_range, "value_range"), dtype=float).ravel()
    if found.size != 2 or not np.isfinite(found).all() or found[0] >= found[1]:
        raise ValueError(
            f"value_range must be two finite numbers, the smaller one first; "
            f"got {value_range!r}."
        )
    return float(found[0]), float(found[1])


def percentage_of_zeros(A: ArrayLike) -> np.ndarray:
    """Share of images for which each unit is silent after the ReLU.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations before the ReLU.

    Returns
    -------
    ndarray of shape (n_units,)
        Share of activations that are not above 0, in [0, 1].

    References
    ----------
    Hu et al., "Network trimming", arXiv 1607.03250 (2016).

    Examples
    --------
    >>> from sktopo.metrics import percentage_of_zeros
    >>> percentage_of_zeros([[-1], [0], [1], [2]])
    array([0.5])
    """
    shared, _, _ = Activations.of(A)
    return (shared.values <= 0).mean(axis=0)


def activation_variance(A: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """Variance of each unit's activation over images.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations.
    weights : array-like of shape (n_units, fan_in), default=None
        Incoming weights; the variance is divided by the squared norm of each row, which
        leaves what the shape of the weights does without their size.

    Returns
    -------
    ndarray of shape (n_units,)
        Population variance; with weights nan for a unit of weight zero.

    Raises
    ------
    ValueError
        If weights has not one row for each unit.

    Examples
    --------
    >>> from sktopo.metrics import activation_variance
    >>> activation_variance([[0], [2]])
    array([1.])
    """
    shared, _, _ = Activations.of(A)
    with np.errstate(over="ignore"):  # beyond float64: infinite
        variance = np.concatenate(
            [block.var(axis=0) for _, block in unit_blocks(shared.values)]
        )
    if weights is None:
        return variance
    norm = weight_norm(weights)
    if len(norm) != len(variance):
        raise ValueError(
            f"weights must have one row for each of {len(variance)} units; got "
            f"{len(norm)} rows."
        )
    return variance / np.where(norm > 0, norm, np.nan) ** 2


def weight_norm(W_grid: ArrayLike) -> np.ndarray:
    """Euclidean norm of each unit's incoming weights.

    Parameters
    ----------
    W_grid : array-like of shape (n_units, fan_in)
        Incoming weights of the grid layer.

    Returns
    -------
    ndarray of shape (n_units,)
        Norms.

    Examples
    --------
    >>> from sktopo.metrics import weight_norm
    >>> weight_norm([[3, 4], [0, 0]])
    array([5., 0.])
    """
    weights = check_table(W_grid, "W_grid", "n_units", "fan_in")
    largest = np.abs(weights).max(axis=1).astype(np.float64)
    largest[largest == 0] = 1  # squares of the rest stay in range
    parts = block_slices(*weights.shape)
    norms = [np.linalg.norm(weights[u] / largest[u, None], axis=1) for u in parts]
    return np.concatenate(norms) * largest
