import numpy as np
import pytest

from sktopo.grid import Grid
from sktopo.metrics import functional_localization


def correlated_pair(first, second, n_units=121, n_images=4000):
    """Independent units, but for two that are equal."""
    A = np.random.default_rng(0).normal(size=(n_images, n_units))
    A[:, second] = A[:, first]
    return A


@pytest.mark.parametrize(
    ("second", "distance"), [(61, 1.0), (72, np.sqrt(2)), (60, None)]
)
def test_two_correlated_units(second, distance):
    if distance is None:
        second, distance = 0, np.hypot(5, 5)
    table = functional_localization(correlated_pair(60, second), (11, 11), [0.5, 1.0])
    np.testing.assert_allclose(table["mean_distance"], distance)
    assert table["n_pairs"].tolist() == [1, 1]
    np.testing.assert_allclose(table["ratio"], distance / 5.758545271680614)
    assert table["p_value"].isna().all()


def test_brute_force(rng):
    A = rng.normal(size=(40, 24)).cumsum(axis=1)
    r, distances = np.corrcoef(A, rowvar=False), Grid((4, 6)).distances
    table = functional_localization(A, (4, 6), (-0.5, 0.1, 0.6)).set_index("threshold")
    for threshold, row in table.iterrows():
        pairs = [
            distances[i, j] for i in range(24) for j in range(i) if r[i, j] >= threshold
        ]
        assert row["n_pairs"] == len(pairs)
        assert row["mean_distance"] == pytest.approx(np.mean(pairs))
        assert row["ratio"] == pytest.approx(np.mean(pairs) / 2.6856156204385027)


@pytest.mark.parametrize("thresholds", [[], [0.5, -0.2, 0.5, 0.1], [[0.1, 0.2]]])
def test_thresholds_in_any_order(thresholds, rng):
    A = rng.normal(size=(40, 24)).cumsum(axis=1)
    table = functional_localization(A, (4, 6), thresholds)
    assert table["threshold"].tolist() == np.ravel(thresholds).tolist()
    for row in table.itertuples():
        alone = functional_localization(A, (4, 6), [row.threshold])
        assert alone["n_pairs"].item() == row.n_pairs
        assert alone["mean_distance"].item() == pytest.approx(row.mean_distance)


def test_all_pairs_are_at_chance(rng):
    table = functional_localization(rng.normal(size=(9, 24)), (4, 6), [-1])
    assert table["ratio"].item() == pytest.approx(1)
    assert table["n_pairs"].item() == 24 * 23 / 2


def test_default_thresholds_and_columns(fitted, digits):
    table = functional_localization(fitted.transform(digits[0]), (11, 11))
    assert table["threshold"].tolist() == [0.1, 0.3, 0.5, 0.6, 0.7, 0.8]
    assert table.columns.tolist() == [
        "threshold",
        "mean_distance",
        "n_pairs",
        "ratio",
        "p_value",
    ]
    assert (table["ratio"] < 1).all()  # a WS model
    assert (np.diff(table["n_pairs"]) <= 0).all()


def test_no_pair_is_undefined(rng):
    table = functional_localization(
        rng.normal(size=(500, 6)), (2, 3), [0.99], n_permutations=9
    )
    assert table["n_pairs"].item() == 0
    assert table[["mean_distance", "ratio", "p_value"]].isna().all(axis=None)


def test_constant_units_are_in_no_pair(rng):
    A = rng.normal(size=(50, 6))
    A[:, :2] = 0.1
    table = functional_localization(A, (2, 3), [-1])
    assert table["n_pairs"].item() == 4 * 3 / 2
    one = functional_localization(A[:1], (2, 3), [-1])  # a single image
    assert one["n_pairs"].item() == 0


def test_permutations(rng):
    row, column = np.indices((5, 6)).reshape(2, -1)
    basis = rng.normal(size=(200, 4))
    smooth = basis @ np.stack(
        [np.cos(row), np.sin(row), np.cos(column), np.sin(column)]
    )
    table = functional_localization(smooth, (5, 6), [0.5], n_permutations=199)
    assert table["p_value"].item() == pytest.approx(1 / 200)
    assert table["null_mean"].item() == pytest.approx(
        Grid((5, 6)).mean_distance, rel=0.02
    )
    assert table["excess"].item() < 0
    p = [
        functional_localization(
            rng.normal(size=(12, 12)), (3, 4), [0.3], n_permutations=19, random_state=i
        )["p_value"].item()
        for i in range(200)
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.05)
    assert np.mean(p) == pytest.approx(0.525, abs=0.08)


@pytest.mark.parametrize(
    ("change", "grid_shape", "thresholds", "message"),
    [
        (lambda A: A, (11, 11), [0.5], "A has 6 units.*has 121"),
        (lambda A: A, (2, 3), [1.5], r"\[-1, 1\]"),
        (lambda A: A, (2, 3), [np.nan], r"\[-1, 1\]"),
        (lambda A: A * np.nan, (2, 3), [0.5], "NaN"),
    ],
)
def test_errors(change, grid_shape, thresholds, message, rng):
    with pytest.raises(ValueError, match=message):
        functional_localization(change(rng.normal(size=(9, 6))), grid_shape, thresholds)
