import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import sktopo
from sktopo import TopographicCNNClassifier, measure, measure_activations, metrics
from sktopo._measures.registry import GROUPS
from sktopo._measures.tuning import eccentricity_of, orientation_of
from sktopo._subject import open_subject


@pytest.fixture(scope="module")
def held_out(digits):
    X, y = digits
    return X[1200:], y[1200:]


@pytest.fixture(scope="module")
def table(fitted, held_out):
    return measure(fitted, *held_out, reference=fitted)


def value(table, measure, parameter=""):
    rows = table[(table["measure"] == measure) & (table["parameter"] == parameter)]
    return rows["value"].item()


def test_table_is_tidy_and_complete(table):
    assert table.columns.tolist() == ["group", "measure", "parameter", "value", "n"]
    assert table["group"].unique().tolist() == list(GROUPS)
    assert not table.duplicated(["group", "measure", "parameter"]).any()
    assert (table["n"] > 0).all()
    assert table["value"].notna().mean() > 0.95


def test_values_are_those_of_the_functions(table, fitted, held_out):
    X, y = held_out
    A = fitted.transform(X).astype(float)
    assert value(table, "accuracy") == fitted.score(X, y)
    maps = A.reshape(-1, 11, 11)
    assert value(table, "morans_i", "neighborhood=moore") == pytest.approx(
        metrics.morans_i(maps).mean()
    )
    profile = metrics.correlation_by_distance(A, (11, 11))
    assert value(table, "correlation", "distance=1") == profile["correlation"][0]
    ratio = metrics.functional_localization(A, (11, 11), [0.5])["ratio"].item()
    assert value(table, "distance_ratio", "threshold=0.5") == pytest.approx(ratio)
    assert value(table, "n_experts") == metrics.expert_units(A, y).sum()
    assert value(table, "variance") == pytest.approx(A.var(axis=0).mean())
    dimension = metrics.effective_dimensionality(A)
    found = value(table, "participation_ratio", "of=activations, matrix=covariance")
    assert found == pytest.approx(dimension)
    shared = tuple(np.percentile(A.astype(np.float32), (0.1, 99.9)))
    entropy = metrics.activation_entropy(A, value_range=shared).mean()
    assert value(table, "entropy_shared_range") == pytest.approx(entropy)
    assert value(table, "linear_cka", "to=reference") == pytest.approx(1)


def test_groups_can_be_chosen(table, fitted, held_out):
    some = measure(fitted, *held_out, include=["activity", "performance"])
    assert some["group"].unique().tolist() == ["performance", "activity"]
    assert "entropy_shared_range" not in some["measure"].tolist()
    one = measure(fitted, *held_out, include="smoothness")
    whole = table[table["group"] == "smoothness"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, whole)
    with pytest.raises(ValueError, match=r"among \['performance'.*got \['speed'\]"):
        measure(fitted, *held_out, include=["speed"])


def test_same_seed_same_table(fitted, held_out):
    X, y = held_out
    groups = ["robustness", "tuning"]
    first, second = (measure(fitted, X[:80], y[:80], groups) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    other = measure(fitted, X[:80], y[:80], groups, random_state=1)
    assert not first["value"].equals(other["value"])


def test_pipeline_and_plain_arrays(table, fitted, held_out):
    X, y = held_out
    pipe = make_pipeline(FunctionTransformer(lambda X: X / 2), fitted)
    found = measure(pipe, X * 2.0, y, reference=pipe)
    pd.testing.assert_frame_equal(found, table)
    plain = measure_activations(fitted.transform(X), (11, 11), y, fitted.grid_weights_)
    names = plain["group"].unique().tolist()
    assert names == ["smoothness", "localization", "selectivity", "activity",
                     "dimensionality"]  # fmt: skip
    both = table.merge(plain, on=["group", "measure", "parameter"])
    assert len(both) == len(plain)
    np.testing.assert_allclose(both["value_x"], both["value_y"])


@pytest.mark.parametrize("grid_shape", [(1, 1), (1, 6), (6, 1)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_small_grids_few_classes_and_images(grid_shape, n_classes, digits):
    X, y = digits
    X, y = X[y < n_classes], y[y < n_classes]
    clf = TopographicCNNClassifier(None, grid_shape=grid_shape, max_epochs=1,
                                   random_state=0).fit(X[:60], y[:60])  # fmt: skip
    whole = measure(clf, X[:50], y[:50])
    assert set(whole["group"]) >= {"performance", "activity", "robustness", "tuning"}
    one = measure(clf, X[:1], y[:1])
    assert value(one, "accuracy") in (0, 1)
    two = measure(clf, X[:20], np.zeros(20))
    assert len(two)


def test_constant_and_integer_activations(rng):
    A = rng.integers(0, 5, size=(30, 12))
    A[:, 3] = 2
    found = measure_activations(A, (3, 4), np.arange(30) % 3)
    assert value(found, "entropy_own_range") > 0
    constant = measure_activations(np.ones((9, 12)), (3, 4))
    assert np.isnan(value(constant, "morans_i", "neighborhood=moore"))
    with pytest.raises(ValueError, match="A has 12 units"):
        measure_activations(A, (4, 4))
    with pytest.raises(ValueError, match="NaN"):
        measure_activations(A * np.nan, (3, 4))


TYPES = ["str", "str", "str", "float64", "int64"]


def dtypes(table):
    """Types of the columns; whatever pandas has for text counts as such."""
    return [
        "str" if pd.api.types.is_string_dtype(dtype) else str(dtype)
        for dtype in table.dtypes
    ]


@pytest.mark.parametrize("n_images", [1, 2, 30])
@pytest.mark.parametrize("n_classes", [None, 1, 2])
@pytest.mark.parametrize("grid_shape", [(1, 1), (1, 2), (2, 2)])
def test_a_table_has_its_types_however_small_its_data(
    n_images, n_classes, grid_shape, rng
):
    A = rng.normal(size=(n_images, grid_shape[0] * grid_shape[1]))
    y = None if n_classes is None else np.arange(n_images) % n_classes
    for given in (A, A.astype(np.float32), np.ones_like(A)):
        found = measure_activations(given, grid_shape, y, given.T, (-1, 1))
        assert dtypes(found) == TYPES
        assert len(found)
        assert not np.isinf(found["value"]).any()


def test_a_table_without_rows_has_its_types(fitted, held_out):
    X, y = held_out
    found = measure(fitted, X[:9], y[:9], include=[])
    assert found.empty
    assert dtypes(found) == TYPES
    grid_of_one = TopographicCNNClassifier(None, grid_shape=(1, 1), max_epochs=1,
                                           random_state=0).fit(X, y)  # fmt: skip
    found = measure(grid_of_one, X[:9], y[:9], include="smoothness")
    assert found.empty
    assert dtypes(found) == TYPES


def test_weights_of_other_units_are_refused(rng):
    with pytest.raises(ValueError, match="each of 12 units; got 4 rows"):
        measure_activations(rng.normal(size=(9, 12)), (3, 4), weights=np.ones((4, 2)))


# ------------------------------------------------------------------ known answers


GABOR_ANGLES = np.arange(12) * 15.0


class GaborBank(nn.Module):
    """A quadrature pair of Gabor filters an orientation; the feature is its energy."""

    def __init__(self, size):
        super().__init__()
        row, column = np.indices((size, size))
        x, y = column - (size - 1) / 2, row - (size - 1) / 2
        window = np.exp(-(x**2 + y**2) / 2 / (size / 6) ** 2)
        filters = []
        for angle in np.deg2rad(GABOR_ANGLES):
            u = 2 * np.pi * 4 * (x * np.sin(angle) + y * np.cos(angle)) / size
            filters.append([window * np.sin(u), window * np.cos(u)])
        filters = torch.tensor(np.array(filters), dtype=torch.float32)
        self.register_buffer("filters", filters.reshape(24, -1))

    def forward(self, images):
        pairs = images.flatten(1) @ self.filters.T
        return pairs.reshape(-1, 12, 2).square().sum(dim=2)


def hand_made(X, y, backbone, grid_shape, weights):
    """A classifier whose grid units read given features."""
    clf = TopographicCNNClassifier(None, backbone=backbone, grid_shape=grid_shape,
                                   max_epochs=1, random_state=0).fit(X, y)  # fmt: skip
    with torch.no_grad():
        clf.module_.grid.weight.copy_(torch.as_tensor(weights, dtype=torch.float32))
        clf.module_.grid.bias.zero_()
    return clf


def test_gabor_filters_recover_their_orientation(rng):
    X = rng.random((60, 1, 28, 28), dtype=np.float32)
    clf = hand_made(X, np.arange(60) % 2, lambda s: GaborBank(28), (3, 4), np.eye(12))
    tuning = orientation_of(open_subject(clf)[0], clf.transform(X))
    gap = np.abs(tuning.preferred - GABOR_ANGLES) % 180
    assert np.minimum(gap, 180 - gap).max() < 5
    assert tuning.n_undefined == 0
    assert (tuning.strength > 0.5).all()


def test_units_that_see_the_centre_or_the_rim(rng):
    X = rng.random((40, 1, 21, 21), dtype=np.float32)
    row, column = np.indices((21, 21)) - 10
    distance = np.hypot(row, column).ravel() / 10.5
    weights = np.stack([distance < 0.3, (distance > 0.7) & (distance <= 1)])
    clf = hand_made(X, np.arange(40) % 2, pixels, (1, 2), weights.astype(float))
    center, rim = eccentricity_of(open_subject(clf)[0]).relative
    assert center < 0.6 < 1 < rim


def pixels(image_shape):
    return nn.Sequential(nn.Flatten(), Absolute())


class Absolute(nn.Module):
    def forward(self, x):
        return x.abs()


def test_mirror_index_of_symmetric_and_antisymmetric_filters(rng):
    X = rng.random((200, 1, 8, 8), dtype=np.float32)
    w = rng.normal(size=(8, 8))
    weights = np.stack([w + w[:, ::-1], w - w[:, ::-1]]).reshape(2, -1)
    y = np.arange(200) % 2
    clf = hand_made(X, y, lambda shape: nn.Flatten(), (1, 2), weights)
    A, mirrored = clf.transform(X), clf.transform(X[..., ::-1])
    r = metrics.symmetry_sensitivity(A, mirrored, y).r
    np.testing.assert_allclose(r, [1, -1], atol=1e-4)


def test_small_network_sees_no_place_away_from_the_border(fashion):
    X, y = fashion
    clf = TopographicCNNClassifier(backbone="small", max_epochs=1, random_state=0)
    clf.fit(X[:640], y[:640])
    images = np.full((2, 1, 28, 28), 128.0)
    patch = np.random.default_rng(0).uniform(0, 255, (4, 4))
    images[0, 0, 8:12, 8:12] = images[1, 0, 12:16, 12:16] = patch
    first, second = clf.transform(images)
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert np.abs(first - clf.transform(np.full((1, 1, 28, 28), 128.0))).max() > 1e-3


def test_public_names():
    assert callable(sktopo.measure)
    assert clone(TopographicCNNClassifier()).lam == 1.0
