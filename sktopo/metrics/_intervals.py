"""Student-t intervals, and the jackknife (private)."""

import numpy as np
from scipy.stats import t as student_t


def half_width(error, n, confidence=0.95):
    """Half a Student-t interval of means of `n` values with a standard error each."""
    return student_t.ppf((1 + confidence) / 2, np.maximum(n - 1, 1)) * error


def two_sided_p(t, n):
    """Two-sided p of Student's t of means of `n` values each."""
    return 2 * student_t.sf(np.abs(t), np.maximum(n - 1, 1))


def jackknife_error(without):
    """Standard error of a statistic from its values without one part each."""
    without, n = np.asarray(without, dtype=float), len(without)
    return float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum()))
