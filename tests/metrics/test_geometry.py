import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from sktopo.metrics import (
    class_means,
    consistency,
    linear_cka,
    representational_similarity,
    rsm_similarity,
)


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


# ------------------------------------------------------------------ CKA


def test_cka_closed_form():
    assert linear_cka([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.64, rel=1e-12)


def test_cka_equals_its_definition(rng):
    X, Y = rng.normal(size=(12, 5)), rng.normal(size=(12, 7))
    center = np.eye(12) - 1 / 12
    K, L = center @ X @ X.T @ center, center @ Y @ Y.T @ center
    expected = (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())
    assert linear_cka(X, Y) == pytest.approx(expected, rel=1e-10)

    def hsic(K, L):  # Song et al., equation 5
        n = len(K)
        K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        ones = np.ones(n)
        return (
            np.trace(K @ L)
            + (ones @ K @ ones) * (ones @ L @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ K @ L @ ones)
        )

    K, L = (X + 3) @ (X + 3).T, (Y - 2) @ (Y - 2).T
    expected = hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
    assert linear_cka(X, Y, debiased=True) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_invariances(debiased, rng):
    X, Y = rng.normal(size=(20, 5)), rng.normal(size=(20, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    expected = linear_cka(X, Y, debiased)
    turned = 1e5 * X @ rotation + rng.normal(size=5)
    assert linear_cka(turned, Y, debiased) == pytest.approx(expected)
    assert linear_cka(X, X @ rotation, debiased) == pytest.approx(1)
    order = rng.permutation(20)
    assert linear_cka(X[order], Y[order], debiased) == pytest.approx(expected)


def test_debiased_cka_of_independent_responses_is_about_zero(rng):
    X, Y = rng.normal(size=(2, 60, 200))
    assert linear_cka(X, Y) > 0.6
    assert abs(linear_cka(X, Y, debiased=True)) < 0.1


def test_cka_where_it_is_undefined():
    assert np.isnan(linear_cka(np.ones((5, 2)), np.arange(5)))
    with pytest.raises(ValueError, match="same images, 2 or more; got 3 and 4"):
        linear_cka(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="4 or more"):
        linear_cka([1, 2, 3], [1, 2, 3], debiased=True)


# ------------------------------------------------------------------ consistency


def test_consistency_equals_rsatoolbox(rng):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    models = [rng.normal(size=(15, n)).cumsum(axis=0) for n in (6, 8, 8)]
    datasets = [rsatoolbox.data.Dataset(A) for A in models]
    rdms = [rsatoolbox.rdm.calc_rdm(d, method="correlation") for d in datasets]
    for i in range(3):
        R = 1 - representational_similarity(models[i], "correlation")
        np.testing.assert_allclose(
            R[np.triu_indices(15, k=1)],
            rdms[i].dissimilarities[0],
            rtol=1e-8,
            atol=1e-10,
        )
    found = consistency(models)
    for row in found.pairs.itertuples():
        oracle = rsatoolbox.rdm.compare_correlation(rdms[row.first], rdms[row.second])
        assert row.correlation == pytest.approx(oracle.item(), rel=1e-8)
    assert found.mean == pytest.approx(found.pairs["correlation"].mean())


def test_consistency_interval_is_the_jackknife_over_models(rng):
    common = rng.normal(size=(20, 6))
    models = [common + s * rng.normal(size=(20, 6)) for s in (0.3, 0.5, 0.8, 1.2)]
    found = consistency(models)
    without = [consistency(models[:i] + models[i + 1 :]).mean for i in range(4)]
    error = np.sqrt(3 / 4 * np.sum((without - np.mean(without)) ** 2))
    assert found.standard_error == pytest.approx(error)
    z = np.arctanh(without)
    half = 3.182446 * np.sqrt(3 / 4 * np.sum((z - z.mean()) ** 2))
    expected = np.tanh([np.arctanh(found.mean) - half, np.arctanh(found.mean) + half])
    np.testing.assert_allclose(found.interval, expected, rtol=1e-6)
    assert (len(found.pairs), found.n_pairs) == (6, 6)
    two = consistency(models[:2])
    assert np.isnan(two.standard_error)
    assert np.isnan(two.interval).all()


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-3, 0.3, 3.0])
@pytest.mark.parametrize("n_models", [3, 4, 7])
def test_the_interval_of_consistency_stays_within_its_range(noise, n_models, rng):
    common = rng.normal(size=(12, 5))
    models = [
        (i + 1) * common + noise * rng.normal(size=(12, 5)) for i in range(n_models)
    ]
    found = consistency(models)
    low, high = found.interval
    assert -1 <= low <= found.mean <= high <= 1
    assert found.standard_error >= 0
    if noise == 0:  # r of exactly 1, but for rounding
        assert low == pytest.approx(1)
        assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_consistency_of_opposite_geometries_has_an_interval(rng):
    """The correlation of two dissimilarity matrices can be -1 as well as 1."""
    one = np.array([[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 1]])
    found = consistency([one, one[::-1], one[[1, 2, 0]], -one])
    assert np.isfinite(found.interval).all()
    assert -1 <= found.interval[0] <= found.mean <= found.interval[1] <= 1


def test_models_without_geometry_count_in_nothing(rng):
    models = [rng.normal(size=(9, 4)) for _ in range(4)]
    found = consistency([*models[:2], np.ones((9, 4)), *models[2:]])
    alone = consistency(models)
    assert found.mean == pytest.approx(alone.mean)
    assert found.standard_error == pytest.approx(alone.standard_error)
    np.testing.assert_allclose(found.interval, alone.interval)
    assert (found.n_models, found.n_pairs) == (5, 6)
    nothing = consistency([np.ones((9, 4))] * 3)
    assert np.isnan([nothing.mean, nothing.standard_error, *nothing.interval]).all()


@pytest.mark.parametrize(
    "y", [np.array([0, 1, np.nan] * 4), ["a", "b", np.nan] * 4, [None, "a", "b"] * 4]
)
def test_consistency_refuses_labels_that_are_missing(y, rng):
    models = rng.normal(size=(2, 12, 5))
    with pytest.raises(ValueError, match="y holds missing labels"):
        consistency(models, y)
    with pytest.raises(ValueError, match="n_per_class must be an integer of 1"):
        consistency(models, np.arange(12) % 3, n_per_class=0)


def test_consistency_uses_the_first_images_of_each_class(rng):
    models = [rng.normal(size=(30, 4)) for _ in range(2)]
    y = np.repeat([1, 0, 2], 10)
    found = consistency(models, y, n_per_class=4)
    rows = [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert found.n_rows == 12
    assert found.mean == pytest.approx(consistency([A[rows] for A in models]).mean)


def test_class_means(rng):
    A, y = rng.normal(size=(12, 3)), np.arange(12) % 3
    np.testing.assert_allclose(class_means(A, y)[1], A[1::3].mean(axis=0))


@pytest.mark.parametrize(
    "models", [[np.eye(4)], [np.eye(4), np.eye(5)], [np.eye(2), np.eye(2)]]
)
def test_consistency_refuses(models):
    with pytest.raises(
        ValueError, match="two models or more, over the same three rows"
    ):
        consistency(models)
