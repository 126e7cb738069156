import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind
from sklearn.metrics import average_precision_score

from sktopo.grid import Grid
from sktopo.metrics import (
    average_precision,
    d_prime,
    expert_counts,
    expert_localization,
    expert_units,
    t_statistic,
)
from sktopo.metrics.selectivity import experts_of


def oracle(A, y):
    classes = np.unique(y)
    return np.array(
        [[average_precision_score(y == c, a) for c in classes] for a in A.T]
    )


def test_closed_forms():
    A = np.array([[4.0], [3], [2], [1]])
    assert average_precision(A, [1, 0, 1, 0])[0, 1] == pytest.approx(5 / 6, rel=1e-12)
    ranked_last = np.arange(100.0)[::-1, None]
    y = np.arange(100) >= 90
    expected = 0.05673776688005763
    assert average_precision(ranked_last, y)[0, 1] == pytest.approx(expected, rel=1e-12)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 40),
    n_values=st.integers(1, 6),
    n_classes=st.integers(1, 4),
)
def test_equals_scikit_learn_with_ties(seed, n, n_values, n_classes):
    rng = np.random.default_rng(seed)
    A = rng.integers(0, n_values, size=(n, 3)).astype(float)
    y = rng.integers(0, n_classes, size=n)
    np.testing.assert_allclose(average_precision(A, y), oracle(A, y), atol=1e-10)


def test_equals_scikit_learn_on_real_activations(fitted, digits):
    X, y = digits
    A = fitted.transform(X[1200:])[:, :8]
    np.testing.assert_allclose(average_precision(A, y[1200:]), oracle(A, y[1200:]))


def test_invariances(rng):
    A, y = rng.normal(size=(60, 4)), rng.integers(0, 3, size=60)
    expected = average_precision(A, y)
    order = rng.permutation(60)
    np.testing.assert_allclose(average_precision(A[order], y[order]), expected)
    np.testing.assert_allclose(average_precision(np.exp(3 * A + 1), y), expected)
    named = np.array(["c", "a", "b"])[y]
    np.testing.assert_allclose(average_precision(A, named)[:, [2, 0, 1]], expected)
    twice = average_precision(np.repeat(A, 2, axis=0), np.repeat(y, 2))
    np.testing.assert_allclose(twice, oracle(np.repeat(A, 2, axis=0), np.repeat(y, 2)))


def test_edge_cases():
    A = np.full((10, 1), 0.3)
    y = np.arange(10) < 3
    np.testing.assert_allclose(average_precision(A, y), [[0.7, 0.3]])  # prevalence
    scores = average_precision(A, np.zeros(10, int), classes=[0, 1])
    assert scores[0, 0] == 1
    assert np.isnan(scores[0, 1])
    assert not expert_units(A, np.zeros(10, int), classes=[0, 1])[0, 1]
    with pytest.raises(ValueError, match="NaN"):
        average_precision(A * np.nan, y)
    with pytest.raises(ValueError, match="inconsistent"):
        average_precision(A, y[:5])


def test_experts_and_anti_experts():
    y = np.repeat([0, 1], 5)
    A = np.stack([y, -y, np.zeros(10), y * 2.0], axis=1).astype(float)
    experts = expert_units(A, y, threshold=0.9)
    assert experts.tolist() == [
        [False, True],
        [True, False],
        [False, False],
        [False, True],
    ]
    anti = expert_units(A, y, threshold=0.9, anti=True)
    assert anti.tolist() == [
        [True, False],
        [False, True],
        [False, False],
        [True, False],
    ]
    counts = expert_counts(experts)
    assert counts.per_class.tolist() == [1, 2]
    assert counts.per_unit.tolist() == [1, 1, 0, 1]
    assert (counts.n_experts, counts.n_classes_without) == (3, 0)
    assert counts.entropy == pytest.approx(np.log2(3) - 2 / 3)
    none = expert_counts(np.zeros((4, 2), dtype=bool))
    assert none.n_classes_without == 2
    assert np.isnan(none.entropy)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        expert_units(A, y, threshold=2)


def test_an_expert_is_better_than_the_prevalence():
    y = np.repeat([0, 1], 5)
    A = np.stack([np.full(10, 0.3), y], axis=1)
    for anti in (False, True):
        # a constant unit has exactly the prevalence, .5, of both classes
        experts = expert_units(A, y, threshold=0.5, anti=anti)
        assert not experts[0].any()
        assert experts[1].tolist() == [anti, not anti]
        assert not expert_units(A, np.zeros(10), threshold=0, anti=anti).any()
    # prevalence is the class's share of y, also where not all classes are asked for
    y = np.arange(10) < 7
    assert not expert_units(A[:, :1], y, 0.3, classes=[True]).any()
    # of three classes, a constant unit lies under the threshold anyway
    unit = np.array([[1.0], [0], [0], [0]])
    assert not expert_units(unit * 0, [0, 0, 0, 1], 0.75).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rule_for_experts_holds_for_kept_precision(dtype):
    prevalence = [0.3, 0.7, 0.1]
    precision = np.array(
        [[0.3, 0.7, 0.1], [0.7, 0.8, 0.7], [0.69, np.nan, 0.7 - 1e-14]], dtype
    )
    # equal to the prevalence: none; equal to the threshold, but for rounding: one
    found = experts_of(precision, prevalence, 0.7)
    assert found.tolist() == [[False] * 3, [True] * 3, [False, False, True]]
    assert experts_of(precision, prevalence, 0.0)[0].tolist() == [False] * 3
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        experts_of(precision, prevalence, np.nan)


def test_experts_are_those_of_the_rule(fitted, digits):
    X, y = digits
    A, y = fitted.transform(X[1200:]), y[1200:]
    prevalence = np.bincount(y) / len(y)
    for anti in (False, True):
        precision = average_precision(-A if anti else A, y)
        for threshold in (0.0, 0.3, 0.5, precision.max(), 1.0):
            np.testing.assert_array_equal(
                expert_units(A, y, threshold, anti=anti),
                experts_of(precision, prevalence, threshold),
            )


def test_localization_of_experts():
    experts = np.zeros((121, 4), dtype=bool)
    experts[[0, 1], 0] = True  # neighbours
    experts[[0, 120], 1] = True  # opposite corners
    experts[5, 2] = True  # alone
    found = expert_localization(experts, (11, 11))
    chance = 5.758545271680614
    corners = np.hypot(10, 10)
    np.testing.assert_allclose(
        found.per_class, [1 / chance, corners / chance, np.nan, np.nan]
    )
    assert found.pooled == pytest.approx((1 + corners) / 2 / chance)
    assert found.n_experts.tolist() == [2, 2, 1, 0]
    assert np.isnan(found.p_value)


def test_pooled_weighs_pairs_equally(rng):
    experts = rng.random((24, 3)) < 0.3
    distances = Grid((4, 6)).distances
    pairs = [
        distances[i, j]
        for c in range(3)
        for i in np.flatnonzero(experts[:, c])
        for j in np.flatnonzero(experts[:, c])
        if i < j
    ]
    found = expert_localization(experts, (4, 6))
    assert found.pooled == pytest.approx(np.mean(pairs) / 2.6856156204385027)


def test_all_units_are_experts_at_chance():
    found = expert_localization(np.ones((24, 2), dtype=bool), (4, 6))
    assert found.pooled == pytest.approx(1)


def test_permutations(rng):
    experts = np.zeros((100, 2), dtype=bool)
    experts[:10, 0] = experts[-10:, 1] = True
    found = expert_localization(experts, (10, 10), n_permutations=199, random_state=0)
    assert found.p_value == pytest.approx(1 / 200)
    assert found.null_mean == pytest.approx(1, abs=0.05)
    assert found.excess == pytest.approx(found.pooled - found.null_mean)
    nothing = expert_localization(np.zeros((9, 2), bool), (3, 3), n_permutations=9)
    assert np.isnan([nothing.pooled, nothing.p_value, nothing.null_mean]).all()
    p = [
        expert_localization(rng.random((30, 2)) < 0.3, (5, 6), 19, i).p_value
        for i in range(300)
    ]
    assert np.mean(p) == pytest.approx(0.525, abs=0.06)


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (np.ones((4, 2), dtype=bool), "experts has 4 units.*has 121"),
        (np.ones((121, 2)), "bool array"),
        (np.ones(121, dtype=bool), "bool array"),
    ],
)
def test_localization_refuses(experts, message):
    with pytest.raises(ValueError, match=message):
        expert_localization(experts, (11, 11))


# ------------------------------------------------------------------ d' and t


def test_d_prime_and_t_closed_form():
    A, y = [[3.0], [5], [0], [2]], [1, 1, 0, 0]
    np.testing.assert_allclose(d_prime(A, y), [[-3, 3]], rtol=1e-14)
    np.testing.assert_allclose(t_statistic(A, y), [[-3, 3]], rtol=1e-14)


def test_t_equals_welch(fitted, digits):
    X, y = digits
    A = fitted.transform(X).astype(float)
    found = t_statistic(A, y, ddof=1)
    for column, label in enumerate(np.unique(y)):
        oracle = ttest_ind(A[y == label], A[y != label], equal_var=False).statistic
        np.testing.assert_allclose(found[:, column], oracle, rtol=1e-8)


@given(gain=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3))
def test_d_prime_ignores_gain_and_bias(gain, offset):
    rng = np.random.default_rng(2)
    A, y = rng.normal(size=(40, 3)), np.arange(40) % 3
    for measure in (d_prime, t_statistic):
        expected = measure(A, y)
        np.testing.assert_allclose(measure(gain * A, y), expected, rtol=1e-9)
        np.testing.assert_allclose(measure(A + offset, y), expected, atol=1e-8)
        np.testing.assert_allclose(measure(-A, y), -expected, rtol=1e-9)


def test_d_prime_where_it_is_undefined():
    A = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    found = d_prime(A, [0, 0, 0])
    assert np.isnan(found).all()  # nothing is left to compare with
    found = d_prime(A, [0, 0, 1], classes=[0, 1, 2])
    assert np.isnan(found[0]).all()  # a constant unit
    assert np.isfinite(found[1, :2]).all()
    assert np.isnan(found[1, 2])  # a class without images
    assert np.isnan(t_statistic(A, [0, 0, 1], ddof=1)[1]).all()  # a single image
