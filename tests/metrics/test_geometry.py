import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from sktopo.metrics import representational_similarity, rsm_similarity


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_equals_scipy(metric, rng):
    V = rng.normal(size=(6, 9))
    expected = 1 - squareform(pdist(V, metric))
    np.testing.assert_allclose(representational_similarity(V, metric), expected)


def test_closed_form():
    R1 = representational_similarity([[1, 0], [0, 1], [1, 1]])
    R2 = representational_similarity([[1, 0], [1, 1], [0, 1]])
    assert rsm_similarity(R1, R2) == pytest.approx(0.5, rel=1e-12)
    assert rsm_similarity(R1, R1) == pytest.approx(1)
    assert rsm_similarity(R1, R1, "correlation") == pytest.approx(1)
    assert rsm_similarity(R1, R2, "correlation") == pytest.approx(-0.5)


@pytest.mark.parametrize("gain", [1e-200, 3.0, 1e200])
def test_rescaling_changes_nothing(gain, rng):
    V = rng.normal(size=(5, 4))
    for metric in ("cosine", "correlation"):
        np.testing.assert_allclose(
            representational_similarity(gain * V, metric),
            representational_similarity(V, metric),
        )


def test_undefined_is_nan():
    V = np.array([[0.0, 0], [1, 2], [3, 1]])
    R = representational_similarity(V)
    assert np.isnan(R[0]).all()
    assert np.isfinite(R[1:, 1:]).all()
    assert np.isnan(rsm_similarity(R, R))
    constant = representational_similarity([[0.1, 0.1], [1, 2], [3, 1]], "correlation")
    assert np.isnan(constant[0]).all()
    assert np.isnan(rsm_similarity(np.eye(3), np.eye(3)))
    assert np.isnan(rsm_similarity(np.full((3, 3), 0.1), np.eye(3), "correlation"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: representational_similarity(np.ones((2, 4))),
            "at least 3 rows; got 2",
        ),
        (lambda: representational_similarity(np.ones((3, 4)), "dot"), "'cosine'"),
        (lambda: rsm_similarity(np.eye(3), np.eye(4)), "one size"),
        (lambda: rsm_similarity(np.eye(2), np.eye(2)), "at least 3 rows"),
        (lambda: rsm_similarity(np.eye(3), np.eye(3), "dot"), "'cosine'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
