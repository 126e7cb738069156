import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktopo.metrics import effective_dimensionality

VALUES = {"participation_ratio": 32 / 11, "entropy": 3.363585661014858, "max": 2.0}


def with_eigenvalues(values, n_variables=6):
    """Observations whose covariance has these eigenvalues (up to a factor)."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(n_variables, len(values))))
    points = np.diag(np.sqrt(values)) @ basis.T
    return np.vstack([points, -points]) + 3.0


@pytest.mark.parametrize("kind", VALUES)
def test_closed_forms(kind):
    X = with_eigenvalues([4.0, 2.0, 1.0, 1.0])
    assert effective_dimensionality(X, kind) == pytest.approx(VALUES[kind], rel=1e-9)


@pytest.mark.parametrize("shape", [(200, 7), (6, 30)])
@pytest.mark.parametrize("matrix", ["covariance", "correlation"])
def test_equals_numpy(matrix, shape, rng):
    X = rng.normal(size=shape) * np.arange(1, shape[1] + 1)
    make = np.cov if matrix == "covariance" else np.corrcoef
    values = np.clip(np.linalg.eigvalsh(make(X, rowvar=False)), 0, None)
    expected = values.sum() ** 2 / (values**2).sum()
    assert effective_dimensionality(X, matrix=matrix) == pytest.approx(expected)


@given(gain=st.floats(1e-6, 1e6), kind=st.sampled_from(sorted(VALUES)))
def test_invariances(gain, kind):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 5)) * [1, 2, 3, 4, 5]
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    expected = effective_dimensionality(X, kind)
    for other in (gain * X, X + 7, X @ rotation, X[::-1], np.vstack([X, X])):
        assert effective_dimensionality(other, kind) == pytest.approx(expected)
    correlation = effective_dimensionality(X, kind, "correlation")
    scaled = effective_dimensionality(X * [gain, 1, 1, 1, 1], kind, "correlation")
    assert scaled == pytest.approx(correlation)


def test_constant_variables():
    X = np.column_stack([with_eigenvalues([1.0, 1.0]), np.full(4, 0.1)])
    for matrix in ("covariance", "correlation"):
        without = effective_dimensionality(X[:, :-1], matrix=matrix)
        assert effective_dimensionality(X, matrix=matrix) == pytest.approx(without)
    for nothing in (np.full((5, 3), 0.1), np.ones((1, 3))):
        assert np.isnan(effective_dimensionality(nothing))


def test_errors():
    with pytest.raises(ValueError, match="'entropy', 'max', 'participation_ratio'"):
        effective_dimensionality(np.eye(3), "rank")
    with pytest.raises(ValueError, match="'covariance' or 'correlation'"):
        effective_dimensionality(np.eye(3), matrix="cosine")
    with pytest.raises(ValueError, match="NaN"):
        effective_dimensionality(np.full((3, 3), np.nan))
