import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from sktopo.metrics import (
    activation_entropy,
    activation_variance,
    percentage_of_zeros,
    weight_norm,
)


def test_entropy_closed_forms():
    four = np.arange(4.0)[:, None]
    assert activation_entropy(four, bins=4).item() == 2
    assert activation_entropy(four).item() == 2
    assert activation_entropy(four, value_range=(0, 1000)).item() == 0
    assert activation_entropy(np.full((9, 1), 0.1)).item() == 0
    assert activation_entropy(np.array([[0.0], [0], [0], [1]])).item() == pytest.approx(
        0.8112781244591328
    )


@pytest.mark.parametrize("value_range", [None, (-1.0, 1.5)])
def test_entropy_equals_scipy(value_range, rng):
    A = rng.normal(size=(300, 5))
    for bins in (1, 7, 64):
        found = activation_entropy(A, bins, value_range)
        for unit, a in enumerate(A.T):
            low, high = value_range or (a.min(), a.max())
            counts, _ = np.histogram(np.clip(a, low, high), bins, (low, high))
            assert found[unit] == pytest.approx(entropy(counts, base=2), abs=1e-12)


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
def test_entropy_of_the_own_range_sees_the_shape_only(gain, offset):
    # values well inside their bins, so that rounding moves none
    A = np.random.default_rng(0).integers(0, 16, size=(200, 2)) + 0.5
    A[0], A[1] = 0, 16
    expected = activation_entropy(A, 16)
    np.testing.assert_allclose(activation_entropy(gain * A + offset, 16), expected)


def test_entropy_of_huge_values_is_finite():
    A = np.array([[-1e308], [1e308], [0.0]])
    assert activation_entropy(A).item() == pytest.approx(np.log2(3))


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.inf)])
def test_entropy_refuses(value_range):
    with pytest.raises(ValueError, match="smaller one first"):
        activation_entropy(np.ones((3, 1)), value_range=value_range)
    with pytest.raises(ValueError, match="bins"):
        activation_entropy(np.ones((3, 1)), bins=0)


def test_zeros_variance_and_norms(fitted, digits):
    assert percentage_of_zeros([[-1], [0], [1], [2]]).item() == 0.5
    assert activation_variance([[0], [2]]).item() == 1
    assert weight_norm([[3.0, 4.0]]).item() == 5
    A, W = fitted.transform(digits[0]), fitted.grid_weights_
    np.testing.assert_allclose(
        activation_variance(A, W), A.var(axis=0) / (W**2).sum(axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(
        activation_variance(3 * A, 3 * W), activation_variance(A, W)
    )
    assert np.isnan(activation_variance([[0], [2]], [[0.0, 0.0]])).all()
    with pytest.raises(ValueError, match="each of 121 units; got 4"):
        activation_variance(A, W[:4])
