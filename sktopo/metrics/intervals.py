"""Student-t intervals, and the jackknife."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student_t


def half_width(error, n, confidence=0.95):
    """Find half a Student-t interval of means.

    Parameters
    ----------
    error : float or ndarray
        Standard error of each mean.
    n : int or ndarray
        Number of values of each mean; with one value the interval is that of two.
    confidence : float, default=0.95
        How often such intervals hold the true mean.

    Returns
    -------
    float or ndarray
        Half the width of each interval.
    """
    return student_t.ppf((1 + confidence) / 2, np.maximum(n - 1, 1)) * error


def two_sided_p(t, n):
    """Find the two-sided p of Student's t of means.

    Parameters
    ----------
    t : float or ndarray
        Means over their standard errors.
    n : int or ndarray
        Number of values of each mean; one counts as two.

    Returns
    -------
    float or ndarray
        Probabilities.
    """
    return 2 * student_t.sf(np.abs(t), np.maximum(n - 1, 1))


def jackknife_error(without):
    """Find the standard error of a statistic by the jackknife.

    Parameters
    ----------
    without : array-like of shape (n_parts,)
        Values of the statistic without one part each.

    Returns
    -------
    float
        The standard error.
    """
    without, n = np.asarray(without, dtype=float), len(without)
    return float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum()))
