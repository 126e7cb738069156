"""What every metric takes for its arrays, and what it refuses, found by signature."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch

from sktopo import measure_activations, metrics
from sktopo._arrays import as_plain

RNG = np.random.default_rng(0)
N, SHAPE, N_UNITS = 24, (3, 4), 12
# a quarter of an integer: bfloat16 holds it as it is
A = RNG.integers(-20, 20, size=(N, N_UNITS)) / 4
B = RNG.integers(-20, 20, size=(N, N_UNITS)) / 4
Y = np.arange(N) % 3
RSM = np.array([[4, 1, 2.0], [1, 4, 3], [2, 3, 4]]) / 4
MAPS = A.reshape(N, *SHAPE)

# Valid arguments of every metric: each parameter that takes an array must be here.
ARGUMENTS = {
    "activation_entropy": {"A": A, "bins": 8, "value_range": np.array([-4.0, 4.0])},
    "activation_variance": {"A": A, "weights": B[:N_UNITS]},
    "average_precision": {"A": A, "y": Y, "classes": np.array([2, 0])},
    "class_means": {"A": A, "y": Y},
    "consistency": {"representations": [A, B, A + B], "y": Y, "n_per_class": 5},
    "correlation_bimodality": {"A": A},
    "correlation_by_distance": {"A": A, "grid_shape": SHAPE},
    "d_prime": {"A": A, "y": Y, "classes": np.array([2, 0])},
    "difference_by_distance": {"values": A[0], "grid_shape": SHAPE},
    "eccentricity_profile": {
        "A": A,
        "eccentricity": np.arange(N) / 32,
        "blank": B[0],
    },
    "effective_dimensionality": {"X": A},
    "expert_counts": {"experts": A > 0},
    "expert_localization": {"experts": A.T > 0, "grid_shape": SHAPE},
    "expert_units": {"A": A, "y": Y, "threshold": 0.4, "classes": np.array([2, 0])},
    "functional_localization": {
        "A": A,
        "grid_shape": SHAPE,
        "thresholds": np.array([0.25, -0.25]),
    },
    "linear_cka": {"X": A, "Y": B[:, 0]},
    "morans_i": {"maps": MAPS},
    "orientation_tuning": {
        "R": A[:, :4],
        "orientations": np.array([0.0, 45, 90, 135]),
        "blank": B[:, 0],
        "scale": np.abs(B[:, 1]) + 1,
    },
    "percentage_of_zeros": {"A": A},
    "representational_similarity": {"V": A},
    "rsm_similarity": {"R1": RSM, "R2": RSM[::-1, ::-1]},
    "spatial_autocorrelation": {"maps": MAPS},
    "symmetry_sensitivity": {"A": A, "A_mirror": B, "y": Y},
    "t_statistic": {"A": A, "y": Y, "classes": np.array([2, 0])},
    "weight_norm": {"W_grid": A},
}
FUNCTIONS = {name: getattr(metrics, name) for name in metrics.__all__}
FUNCTIONS["measure_activations"] = measure_activations
ARGUMENTS["measure_activations"] = {
    "A": A,
    "grid_shape": SHAPE,
    "y": Y,
    "weights": B[:N_UNITS],
    "value_range": np.array([-4.0, 4.0]),
}
# Arrays by their meaning, though their annotation is of Python's tuples.
TUPLES = {"value_range", "thresholds"}


def array_parameters(function):
    """Names of the parameters that take an array, or several."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if "ArrayLike" in str(parameter.annotation) or name in TUPLES
    ]


CASES = [(f, p) for f in FUNCTIONS for p in array_parameters(FUNCTIONS[f])]


def call(function, **changed):
    result = FUNCTIONS[function](**{**ARGUMENTS[function], **changed})
    return numbers(result)


def numbers(result):
    if isinstance(result, pd.DataFrame):
        result = result.select_dtypes("number").to_numpy()
    if isinstance(result, dict):
        return np.concatenate([numbers(value) for value in result.values()])
    return np.asarray(result, dtype=float).ravel()


def draws(function):
    """Whether a function draws at random, unasked."""
    seed = inspect.signature(function).parameters.get("random_state")
    return seed is not None and seed.default is not None


OF_IMAGES = [
    name
    for name, function in FUNCTIONS.items()
    if "A" in inspect.signature(function).parameters and not draws(function)
]


@pytest.mark.parametrize("name", OF_IMAGES)
def test_the_order_of_images_changes_nothing(name):
    order = np.random.default_rng(1).permutation(N)
    moved = {
        parameter: value[order]
        for parameter, value in ARGUMENTS[name].items()
        if isinstance(value, np.ndarray) and len(value) == N
    }
    np.testing.assert_allclose(call(name, **moved), call(name), rtol=1e-9, atol=1e-12)


def given(function, parameter, make):
    """The array of a parameter, or each array of a list of them, made anew."""
    value = ARGUMENTS[function][parameter]
    return [make(v) for v in value] if isinstance(value, list) else make(value)


def same(function, parameter, make):
    found = call(function, **{parameter: given(function, parameter, make)})
    np.testing.assert_allclose(found, call(function), rtol=1e-12, atol=1e-14)


def masked(values):
    mask = np.zeros(values.shape, dtype=bool)
    mask.flat[1] = True
    return np.ma.masked_array(values, mask)


def as_objects(rows):
    array = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        array[i] = row
    return array


def as_tensor(values, dtype=None):
    return torch.tensor(np.ascontiguousarray(values), dtype=dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_array_of_every_metric_is_tried(name):
    """A new metric, or a new array of an old one, needs a line in ARGUMENTS."""
    assert array_parameters(FUNCTIONS[name])
    missing = set(array_parameters(FUNCTIONS[name])) - set(ARGUMENTS[name])
    assert not missing
    assert np.isfinite(call(name)).any()


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_masked_values_are_refused(function, parameter):
    for make in (
        masked,
        lambda v: list(masked(v)),
        lambda v: masked(v.astype(object)),
        lambda v: as_objects(list(masked(v))),
    ):
        with pytest.raises(ValueError, match="masked values"):
            call(function, **{parameter: given(function, parameter, make)})
    same(function, parameter, np.ma.masked_array)  # nothing is masked


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_missing_values_of_nullable_columns_are_refused(function, parameter):
    value = ARGUMENTS[function][parameter]
    if isinstance(value, list) or value.ndim > 2:
        pytest.skip("no frame is made of these")
    frame = (pd.Series if value.ndim == 1 else pd.DataFrame)(value).convert_dtypes()
    same(function, parameter, lambda v: frame)
    missing = frame.copy()
    missing.iloc[(1,) * value.ndim] = pd.NA
    for form in (missing, missing.astype(object)):
        with pytest.raises(ValueError, match="missing values"):
            call(function, **{parameter: form})


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_tensors_are_taken(function, parameter):
    same(function, parameter, as_tensor)
    same(function, parameter, lambda v: list(as_tensor(v)))
    if parameter == "experts":  # bool
        return
    for dtype in (torch.float64, torch.bfloat16):
        for gradient in (False, True):

            def _make(v, dtype=dtype, gradient=gradient):
                return as_tensor(v, dtype).requires_grad_(gradient)

            same(function, parameter, _make)
            same(function, parameter, lambda v, make=_make: list(make(v)))
            if np.ndim(ARGUMENTS[function][parameter]) == 1:
                same(function, parameter, lambda v, make=_make: as_objects([*make(v)]))


TWO_DIMENSIONAL = [
    (f, p)
    for f, p in CASES
    if np.ndim(ARGUMENTS[f][p]) in (2, 3) and p not in ("experts", "R1", "R2")
]


@pytest.mark.parametrize(("function", "parameter"), TWO_DIMENSIONAL)
@pytest.mark.parametrize("as_form", [np.asarray, torch.as_tensor])
def test_responses_of_a_convolution_are_refused_with_advice(
    function, parameter, as_form
):
    responses = as_form(RNG.normal(size=(N, N_UNITS, 2, 2)))
    if isinstance(ARGUMENTS[function][parameter], list):
        responses = [responses] * 3
    advice = "reshape" if "eight" in parameter or "W" in parameter else "a unit"
    with pytest.raises(ValueError, match=advice):
        call(function, **{parameter: responses})


@pytest.mark.parametrize("parameter", ["X", "Y"])
def test_missing_values_inside_lists_and_objects(parameter):
    for values in ([1.0, pd.NA, 2.0, 3.0], np.array([1, pd.NA, 2, 3], dtype=object)):
        with pytest.raises(ValueError, match="missing values"):
            metrics.linear_cka(
                **{"X": [1, 2, 3, 4], "Y": [1, 2, 4, 3], parameter: values}
            )
    with pytest.raises(ValueError, match="masked values"):
        metrics.linear_cka(**{"X": [1, 2, 3, 4], "Y": [1, 2, 4, 3],
                              parameter: [1.0, np.ma.masked, 2.0, 3.0]})  # fmt: skip


@pytest.mark.parametrize("name", [f for f, p in CASES if p == "y"])
@pytest.mark.parametrize(
    "labels",
    [
        np.where(Y == 1, np.nan, Y),
        ["a", "b", np.nan] * 8,
        np.array(["a", "b", None] * 8, dtype=object),
        np.array([0, 1, np.nan] * 8, dtype=object),
        pd.Series(["a", "b", None] * 8),
        pd.Categorical(["a", "b", None] * 8),
        np.array(["2020-01-01", "NaT", "2020-01-02"] * 8, dtype="datetime64[D]"),
        np.array([1, "a", 2] * 8, dtype=object),
    ],
)
def test_labels_that_are_missing_or_of_several_kinds_are_refused(name, labels):
    with pytest.raises(ValueError, match="missing"):
        call(
            name,
            y=labels,
            **({"classes": None} if "classes" in ARGUMENTS[name] else {}),
        )


@pytest.mark.parametrize("name", [f for f, p in CASES if p == "classes"])
@pytest.mark.parametrize("classes", [["0", "2"], [0, 0], [], [0, np.nan]])
def test_classes_that_cannot_be_are_refused(name, classes):
    with pytest.raises(ValueError, match="classes"):
        call(name, classes=classes)


def test_tensors_without_a_plain_form_have_one_clear_error():
    for tensor in (torch.eye(4).to_sparse(), torch.zeros(3, 3, device="meta")):
        for values in (tensor, [tensor]):
            with pytest.raises(TypeError, match="does not convert to an array"):
                metrics.weight_norm(values)


def test_plain_arrays_are_not_copied():
    frame = pd.DataFrame(A)
    assert as_plain(A) is A
    assert as_plain(frame) is frame
    tensor = as_tensor(A)
    assert np.shares_memory(as_plain(tensor), tensor.numpy())


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_arrays_stay_as_they_were(function, parameter):
    copies = {}

    def _copy(values):
        copies[len(copies)] = values.copy(), values
        return values

    given(function, parameter, _copy)
    call(function)
    for copy, values in copies.values():
        np.testing.assert_array_equal(copy, values)
