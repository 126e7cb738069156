"""What must not change a measure, and inputs that every measure must survive."""

import inspect

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


LABELS = np.arange(9) % 3
RSM = np.array([[1, 0.5, 0.2], [0.5, 1, 0.1], [0.2, 0.1, 1]])
# What a docstring asks for, and values that are not that; by metric and parameter.
BAD_SETTINGS = {
    ("activation_entropy", "bins"): [2.5, 0, -1, True, "8"],
    ("activation_entropy", "value_range"): [(0,), (0, 1, 2), (1, 0), (0, np.nan)],
    ("activation_variance", "weights"): [
        np.ones((4, 3)),
        np.full((N_UNITS, 2), np.inf),
    ],
    ("consistency", "n_per_class"): [0, 2.5, True],
    ("consistency", "y"): [LABELS[:4]],
    ("correlation_by_distance", "grid_shape"): [(4, 4), (20,), (4.0, 5), (0, 20), None],
    ("correlation_by_distance", "n_permutations"): [-1, 1.5, True],
    ("d_prime", "ddof"): [-1, 0.5, True],
    ("d_prime", "y"): [None, LABELS[:4], np.ones((9, 2))],
    ("difference_by_distance", "period"): [0, -180, np.nan, np.inf, "180"],
    ("difference_by_distance", "values"): [
        np.zeros(SHAPE[::-1]),  # a map of another grid is no row of units
        np.zeros((1, *SHAPE)),
        np.zeros(5),
        [],
    ],
    ("difference_by_distance", "n_permutations"): [-1, 1.5],
    ("eccentricity_profile", "eccentricity"): [
        np.full(9, np.nan),
        np.full(9, -0.1),
        np.ones((3, 3)),
        [],
    ],
    ("eccentricity_profile", "blank"): [[1, 2, 3], np.nan],
    ("eccentricity_profile", "n_rings"): [0, 2.5, True],
    ("effective_dimensionality", "kind"): ["rank", None],
    ("effective_dimensionality", "matrix"): ["cosine", None],
    ("expert_counts", "experts"): [np.ones((4, 2)), np.ones(4, bool), []],
    ("expert_localization", "grid_shape"): [(4, 4), (3, 2)],
    ("expert_localization", "n_permutations"): [-1, 1.5],
    ("expert_units", "threshold"): [-0.1, 1.1, np.nan, "0.5", None],
    ("functional_localization", "thresholds"): [[1.1], [np.nan], [-2.0]],
    ("functional_localization", "n_permutations"): [-1, 1.5],
    ("linear_cka", "Y"): [np.ones(4), np.ones((0, 2))],
    ("morans_i", "neighborhood"): ["rook", ""],
    ("morans_i", "n_permutations"): [-1, 1.5],
    ("orientation_tuning", "orientations"): [np.arange(N_UNITS), [0.0]],
    ("orientation_tuning", "blank"): [[1, 2, 3]],
    ("orientation_tuning", "scale"): [-1.0, [1, 2, 3]],
    ("representational_similarity", "metric"): ["dot", None],
    ("rsm_similarity", "R1"): [
        RSM + np.triu(np.ones((3, 3))),  # not symmetric
        RSM * [1, 1, np.inf],
        RSM[:2],
        np.eye(4),
        np.ones(9),
        np.zeros((0, 0)),
    ],
    ("spatial_autocorrelation", "max_lag"): [0, 2.5, True],
    ("spatial_autocorrelation", "n_permutations"): [-1, 1.5],
    ("symmetry_sensitivity", "A_mirror"): [np.ones((9, 2)), np.ones((4, N_UNITS))],
    ("symmetry_sensitivity", "y"): [None, np.arange(9)],
    ("t_statistic", "ddof"): [-1, 0.5],
    ("weight_norm", "W_grid"): [np.ones(4), np.full((2, 2), np.nan), np.ones((0, 3))],
}
GOOD_SETTINGS = {
    "consistency": lambda A: {"representations": [A, -A], "y": LABELS},
    "difference_by_distance": lambda A: {"values": A[0]},
    "eccentricity_profile": lambda A: {"eccentricity": np.linspace(0, 1, 9)},
    "effective_dimensionality": lambda A: {"X": A},
    "expert_counts": lambda A: {"experts": A > 0},
    "expert_localization": lambda A: {"experts": A.T > 0},
    "linear_cka": lambda A: {"X": A, "Y": A},
    "morans_i": lambda A: {"maps": A.reshape(-1, *SHAPE)},
    "orientation_tuning": lambda A: {"R": A, "orientations": np.arange(N_UNITS) * 9},
    "representational_similarity": lambda A: {"V": A},
    "rsm_similarity": lambda A: {"R1": RSM, "R2": RSM},
    "spatial_autocorrelation": lambda A: {"maps": A.reshape(-1, *SHAPE)},
    "symmetry_sensitivity": lambda A: {"A_mirror": A},
    "weight_norm": lambda A: {"W_grid": A},
}


def good_settings(name, A):
    wanted = inspect.signature(getattr(metrics, name)).parameters
    usual = {"A": A, "y": LABELS, "grid_shape": SHAPE}
    usual |= GOOD_SETTINGS.get(name, lambda A: {})(A)
    return {key: value for key, value in usual.items() if key in wanted}


@pytest.mark.parametrize(("name", "parameter"), BAD_SETTINGS)
def test_settings_are_checked(name, parameter, rng):
    function = getattr(metrics, name)
    good = good_settings(name, rng.normal(size=(9, N_UNITS)))
    function(**good)
    for value in BAD_SETTINGS[name, parameter]:
        with pytest.raises(ValueError, match=r".{20}"):
            function(**good | {parameter: value})


@pytest.mark.parametrize("name", metrics.__all__)
def test_numbers_of_permutations_and_grids_are_checked_everywhere(name, rng):
    good = good_settings(name, rng.normal(size=(9, N_UNITS)))
    bad = {"grid_shape": (3, 3), "n_permutations": -1, "ddof": -1, "n_rings": 0}
    for parameter in bad.keys() & inspect.signature(getattr(metrics, name)).parameters:
        with pytest.raises(ValueError, match=r".{20}"):
            getattr(metrics, name)(**good | {parameter: bad[parameter]})


def test_shuffles_without_a_value_are_in_no_null(rng):
    """With few known values, a shuffle may leave the first bin without a pair."""
    values = np.full(12, np.nan)
    values[[0, 1, 11]] = [1.0, 2.0, 4.0]
    found = metrics.difference_by_distance(values, (3, 4), None, 99, 0)
    assert np.isfinite([found.smoothness, found.null_mean, found.excess]).all()
    assert 0 < found.p_value <= 1
    A = rng.normal(size=(9, 7))
    A[:, 2:6] = 1.0
    table = correlation_by_distance(A, (1, 7), n_permutations=99, random_state=0)
    assert table.loc[0, ["null_mean", "p_value"]].notna().all()


def test_weights_of_any_size_have_a_norm():
    for gain in (1e-200, 1e200):
        np.testing.assert_allclose(
            metrics.weight_norm([[3 * gain, 4 * gain]]), 5 * gain
        )


@pytest.mark.parametrize("gain", [1e-200, 1e200])
def test_scale_leaves_the_range_of_squares(gain, rng):
    A, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    for function in (d_prime, t_statistic):
        np.testing.assert_allclose(function(A * gain, y), function(A, y), rtol=1e-9)
    assert np.isinf(activation_variance(A * 1e200)).all()
