"""What must not change a measure, and inputs that every measure must survive."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktopo import measure_activations, metrics
from sktopo.metrics import (
    activation_entropy,
    activation_variance,
    average_precision,
    class_means,
    consistency,
    correlation_bimodality,
    correlation_by_distance,
    d_prime,
    effective_dimensionality,
    expert_units,
    functional_localization,
    linear_cka,
    morans_i,
    percentage_of_zeros,
    spatial_autocorrelation,
    symmetry_sensitivity,
    t_statistic,
)

SHAPE = (4, 5)
N_UNITS = 20


def vector(result):
    """The numbers of any result, in a row."""
    if isinstance(result, pd.DataFrame):
        result = result.select_dtypes("number").to_numpy()
    if isinstance(result, dict):
        result = np.concatenate([np.ravel(v) for v in result.values()])
    return np.ravel(np.asarray(result, dtype=float))


def of_maps(function):
    return lambda A, y: function(A.reshape(-1, *SHAPE))


# name: (function of A and y, gain per unit, bias per unit, duplication, relabelling)
MEASURES = {
    "morans_i": (of_maps(lambda m: morans_i(m).mean()), False, False, True, True),
    "morans_i_standardized": (
        of_maps(lambda m: morans_i(m, standardize=True).mean()),
        True,
        True,
        True,
        True,
    ),
    "autocorrelation": (
        of_maps(lambda m: spatial_autocorrelation(m).correlation),
        False,
        False,
        True,
        True,
    ),
    "correlation_by_distance": (
        lambda A, y: correlation_by_distance(A, SHAPE),
        True,
        True,
        True,
        True,
    ),
    "bimodality": (lambda A, y: correlation_bimodality(A), True, True, True, True),
    "localization": (
        lambda A, y: functional_localization(A, SHAPE, (0.0, 0.3)).drop(
            columns="p_value"
        ),
        True,
        True,
        True,
        True,
    ),
    "average_precision": (
        lambda A, y: np.sort(average_precision(A, y), axis=1),
        True,
        True,
        False,
        True,
    ),
    "d_prime": (lambda A, y: np.sort(d_prime(A, y), axis=1), True, True, True, True),
    "t": (lambda A, y: np.sort(t_statistic(A, y), axis=1), True, True, False, True),
    "entropy": (lambda A, y: activation_entropy(A, 8), False, False, True, True),
    "zeros": (lambda A, y: percentage_of_zeros(A), True, False, True, True),
    "variance": (lambda A, y: activation_variance(A), False, True, True, True),
    "dimensionality": (
        lambda A, y: effective_dimensionality(A),
        False,
        True,
        True,
        True,
    ),
    "dimensionality_correlation": (
        lambda A, y: effective_dimensionality(A, matrix="correlation"),
        True,
        True,
        True,
        True,
    ),
    "cka": (lambda A, y: linear_cka(A, A[:, :5]), False, True, True, True),
    "mirror": (
        lambda A, y: symmetry_sensitivity(A, A[:, ::-1], np.zeros(len(A))).r,
        False,
        True,
        True,
        True,
    ),
}


def activations(seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(24, 6)) @ rng.normal(size=(6, N_UNITS))
    return A + rng.normal(size=A.shape), np.arange(24) % 3, rng


@pytest.mark.parametrize("name", MEASURES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_invariances(name, seed):
    measure, gain, bias, duplication, relabelling = MEASURES[name]
    A, y, rng = activations(seed)
    expected = vector(measure(A, y))

    def same(A, y=y):
        np.testing.assert_allclose(
            vector(measure(A, y)), expected, rtol=1e-6, atol=1e-9
        )

    order = rng.permutation(len(A))
    same(A[order], y[order])
    if gain:
        same(A * rng.uniform(0.1, 10, N_UNITS))
    if bias:
        same(A + rng.uniform(-5, 5, N_UNITS))
    if duplication:
        same(np.repeat(A, 2, axis=0), np.repeat(y, 2))
    if relabelling:
        same(A, np.array(["c", "a", "b"])[y])


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_gain_and_bias_change_what_they_must(seed):
    A, _, rng = activations(seed)
    other = A * rng.uniform(0.1, 10, N_UNITS) + rng.uniform(-50, 50, N_UNITS)
    maps, changed = A.reshape(-1, *SHAPE), other.reshape(-1, *SHAPE)
    assert not np.allclose(morans_i(maps), morans_i(changed))
    assert not np.allclose(activation_variance(A), activation_variance(other))
    assert effective_dimensionality(A) != pytest.approx(effective_dimensionality(other))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_transposing_the_grid(seed):
    A, y, _ = activations(seed)
    turned = A.reshape(-1, *SHAPE).swapaxes(1, 2).reshape(len(A), -1)
    for function in (correlation_by_distance, functional_localization):
        pd.testing.assert_frame_equal(function(A, SHAPE), function(turned, SHAPE[::-1]))
    here = spatial_autocorrelation(A.reshape(-1, *SHAPE)).set_index(["axis", "lag"])
    there = spatial_autocorrelation(turned.reshape(-1, *SHAPE[::-1]))
    there["axis"] = there["axis"].map({"row": "column", "column": "row"})
    pd.testing.assert_frame_equal(
        here.sort_index(), there.set_index(["axis", "lag"]).sort_index()
    )
    experts = expert_units(A, y)
    turned_experts = expert_units(turned, y)
    found, other = (
        metrics.expert_localization(e, s)
        for e, s in ((experts, SHAPE), (turned_experts, SHAPE[::-1]))
    )
    np.testing.assert_allclose(found.per_class, other.per_class)
    value = A[0]
    there = turned[0]
    assert metrics.difference_by_distance(value, SHAPE).smoothness == pytest.approx(
        metrics.difference_by_distance(there, SHAPE[::-1]).smoothness
    )


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_rotating_features(seed):
    A, _, rng = activations(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(N_UNITS, N_UNITS)))
    B = rng.normal(size=(24, 7))
    for debiased in (False, True):
        assert linear_cka(A @ rotation, B, debiased) == pytest.approx(
            linear_cka(A, B, debiased)
        )
    assert effective_dimensionality(A @ rotation) == pytest.approx(
        effective_dimensionality(A)
    )


# ------------------------------------------------------------------ awkward input


OF_ACTIVATIONS = {
    "correlation_by_distance": lambda A, y: correlation_by_distance(A, SHAPE, 3, 0),
    "bimodality": lambda A, y: correlation_bimodality(A),
    "localization": lambda A, y: functional_localization(
        A, SHAPE, n_permutations=3, random_state=0
    ),
    "average_precision": average_precision,
    "experts": lambda A, y: metrics.expert_localization(
        expert_units(A, y), SHAPE, 3, 0
    ),
    "d_prime": d_prime,
    "t": t_statistic,
    "entropy": lambda A, y: activation_entropy(A),
    "zeros": lambda A, y: percentage_of_zeros(A),
    "variance": lambda A, y: activation_variance(A),
    "dimensionality": lambda A, y: effective_dimensionality(A, matrix="correlation"),
    "class_means": class_means,
    "everything": lambda A, y: measure_activations(A, SHAPE, y),
}


@pytest.mark.parametrize("name", OF_ACTIVATIONS)
@pytest.mark.parametrize(
    "case", ["one image", "one class", "constant units", "integers", "lists", "frame"]
)
def test_awkward_activations_give_a_result_and_no_warning(name, case, rng):
    A, y = rng.normal(size=(9, N_UNITS)).round(2), np.arange(9) % 3
    before = A.copy()
    if case == "one image":
        A, y = A[:1], y[:1]
    elif case == "one class":
        y = np.zeros(9)
    elif case == "constant units":
        A[:, :5], A[:, 5] = 0.1, -1e30
    elif case == "integers":
        A = (A * 10).astype(np.int16)
    elif case == "lists":
        A, y = A.tolist(), y.tolist()
    elif case == "frame":
        A, y = pd.DataFrame(A), pd.Series(y)
    result = OF_ACTIVATIONS[name](A, y)
    numbers = result["value"] if name == "everything" else vector(result)
    assert len(numbers)
    if case in ("lists", "frame"):
        expected = OF_ACTIVATIONS[name](before, np.arange(9) % 3)
        expected = expected["value"] if name == "everything" else vector(expected)
        np.testing.assert_allclose(numbers, expected, rtol=1e-12, atol=1e-14)
    if case == "integers":
        assert np.isfinite(np.asarray(numbers, dtype=float)).any()


@pytest.mark.parametrize("name", OF_ACTIVATIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(name, bad, rng):
    A = rng.normal(size=(9, N_UNITS))
    A[3, 3] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        OF_ACTIVATIONS[name](A, np.arange(9) % 3)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1)])
def test_grids_of_one_row_or_column(shape, rng):
    A, y = rng.normal(size=(20, 7)), np.arange(20) % 2
    table = measure_activations(A, shape, y)
    lags = table[table["measure"] == "autocorrelation"]["parameter"]
    assert lags.str.contains("column" if shape[0] == 1 else "row").all()
    assert correlation_by_distance(A, shape)["n_pairs"].sum() == 21


def test_consistency_of_constant_models_is_undefined(rng):
    A = rng.normal(size=(4, 3))
    found = consistency([np.ones((4, 3)), A, 2 * A])
    assert np.isnan(found.pairs["correlation"][:2]).all()
    assert found.pairs["correlation"][2] == pytest.approx(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda A: activation_entropy(A, bins=2.5),
        lambda A: spatial_autocorrelation(A.reshape(-1, *SHAPE), max_lag=2.5),
        lambda A: metrics.difference_by_distance(A[0], SHAPE, period=0),
        lambda A: metrics.difference_by_distance(A[0], SHAPE, period=-180),
        lambda A: metrics.orientation_tuning(A, np.arange(N_UNITS), blank=[1, 2, 3]),
        lambda A: metrics.eccentricity_profile(A, np.full(len(A), np.nan)),
        lambda A: symmetry_sensitivity(A, A, None),
    ],
)
def test_settings_are_checked(call, rng):
    with pytest.raises(ValueError, match=r"must|y is None"):
        call(rng.normal(size=(9, N_UNITS)))


@pytest.mark.parametrize("gain", [1e-200, 1e200])
def test_scale_leaves_the_range_of_squares(gain, rng):
    A, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    for function in (d_prime, t_statistic):
        np.testing.assert_allclose(function(A * gain, y), function(A, y), rtol=1e-9)
    assert np.isinf(activation_variance(A * 1e200)).all()
