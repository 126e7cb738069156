import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import kurtosis, skew

from sktopo.grid import Grid
from sktopo.metrics import (
    correlation_bimodality,
    correlation_by_distance,
    difference_by_distance,
    functional_localization,
    morans_i,
    spatial_autocorrelation,
)

ROW, COLUMN = np.indices((11, 11))
MAPS = {
    "checkerboard": ((ROW + COLUMN) % 2, -731 / 15372, -1),
    "ramp": (COLUMN, 179 / 210, 9 / 10),
    "stripes": (COLUMN % 2, -10 / 21, 0),
    "half": (COLUMN >= 6, 10709 / 12600, 539 / 600),
}
OFFICIAL = np.load(Path(__file__).parents[1] / "oracles" / "official_values.npz")


@pytest.mark.parametrize("name", MAPS)
def test_closed_forms(name):
    values, moore, rook = MAPS[name]
    maps = values[None].astype(float)
    assert morans_i(maps).item() == pytest.approx(moore, rel=1e-12)
    found = morans_i(maps, "von_neumann").item()
    assert found == pytest.approx(rook, rel=1e-12, abs=1e-12)


def test_grid_that_is_not_square():
    ramp = np.tile(np.arange(12.0), (1, 10, 1))
    assert morans_i(ramp).item() == pytest.approx(0.8653846153846154, rel=1e-12)


def test_equals_the_published_values():
    np.testing.assert_allclose(
        morans_i(OFFICIAL["moran_maps"]), OFFICIAL["moran_moore"], rtol=1e-10
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("neighborhood", "rook"), [("moore", False), ("von_neumann", True)]
)
def test_equals_esda(neighborhood, rook, rng):
    esda = pytest.importorskip("esda")
    from libpysal.weights import lat2W

    maps = rng.normal(size=(5, 7, 9)).cumsum(axis=1)
    weights = lat2W(7, 9, rook=rook)
    oracle = [
        esda.Moran(m.ravel(), weights, transformation="B", permutations=0).I
        for m in maps
    ]
    np.testing.assert_allclose(morans_i(maps, neighborhood), oracle, rtol=1e-8)


def test_equals_esda_on_real_activations(fitted, digits):
    esda = pytest.importorskip("esda")
    from libpysal.weights import lat2W

    maps = fitted.activation_maps(digits[0][:5])
    weights = lat2W(11, 11, rook=False)
    oracle = [
        esda.Moran(m.ravel().astype(float), weights, "B", permutations=0).I
        for m in maps
    ]
    np.testing.assert_allclose(morans_i(maps), oracle, rtol=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-300])
def test_a_constant_map_is_undefined(value):
    maps = np.stack([np.full((4, 5), value), np.arange(20.0).reshape(4, 5)])
    found = morans_i(maps)
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


def test_expectation_without_structure(rng):
    values = morans_i(rng.normal(size=(4000, 5, 6)))
    assert values.mean() == pytest.approx(-1 / 29, abs=4 * values.std() / 4000**0.5)


@given(
    gain=st.floats(1e-6, 1e6),
    offset=st.floats(-1e3, 1e3),
    neighborhood=st.sampled_from(["moore", "von_neumann"]),
)
def test_invariances(gain, offset, neighborhood):
    maps = np.random.default_rng(1).normal(size=(3, 5, 6))
    expected = morans_i(maps, neighborhood)
    scaled = morans_i(gain * maps, neighborhood)
    np.testing.assert_allclose(scaled, expected, rtol=1e-9)
    np.testing.assert_allclose(
        morans_i(maps + offset, neighborhood), expected, rtol=1e-6
    )
    np.testing.assert_allclose(
        morans_i(maps.transpose(0, 2, 1), neighborhood), expected, rtol=1e-9
    )


def test_standardize_removes_gain_and_bias_of_units(rng):
    maps = rng.normal(size=(50, 5, 6))
    gain, bias = rng.uniform(0.1, 9, size=(5, 6)), COLUMN[:5, :6] * 10
    confounded = gain * maps + bias
    np.testing.assert_allclose(
        morans_i(confounded, standardize=True), morans_i(maps, standardize=True)
    )
    assert morans_i(confounded).mean() > 0.5
    maps[:, 0, 0] = 3.0  # a unit that never changes
    assert np.isfinite(morans_i(maps, standardize=True)).all()


def test_permutation_null(rng):
    smooth = np.tile(np.arange(6.0), (1, 5, 1))
    noise = rng.normal(size=(200, 5, 6))
    constant = np.ones((1, 5, 6))
    found = morans_i(np.concatenate([smooth, noise, constant]), n_permutations=99)
    assert found.p_value[0] == 0.01
    assert np.isnan(found.p_value[-1])
    assert np.isnan(found.value[-1])
    assert found.null_mean[0] == pytest.approx(-1 / 29, abs=0.05)
    np.testing.assert_allclose(found.excess, found.value - found.null_mean)
    seeded = [morans_i(noise, n_permutations=9, random_state=3) for _ in range(2)]
    assert np.array_equal(seeded[0].p_value, seeded[1].p_value)


def test_p_values_are_uniform_without_structure(rng):
    # One map a call: maps of one call share their shuffles.
    p = [
        morans_i(rng.normal(size=(1, 4, 5)), n_permutations=19, random_state=i).p_value[
            0
        ]
        for i in range(400)
    ]
    counts = np.bincount(np.rint(np.array(p) * 20).astype(int), minlength=21)[1:]
    assert counts.sum() == 400
    chi2 = ((counts - 20) ** 2 / 20).sum()
    assert chi2 < 43.8  # 99.9 % of chi-squared with 19 degrees of freedom


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.ones((4, 5)), r"single map use map\[None\]"),
        (np.ones((4, 1, 1)), "two units or more"),
        (np.full((1, 2, 2), np.nan), "NaN"),
        (np.ones((0, 2, 2)), "0 sample"),
    ],
)
def test_errors(maps, message):
    with pytest.raises(ValueError, match=message):
        morans_i(maps)


def test_a_grid_of_one_row_has_neighbours_along_it():
    assert morans_i(np.array([[[0.0, 0, 1, 1]]])).item() == pytest.approx(1 / 3)


def test_integers_are_maps_too():
    assert morans_i(COLUMN[None]).item() == pytest.approx(179 / 210)


# ------------------------------------------------------------------ pair correlations


def smooth_field(rng, n_maps, shape, width=1.5):
    """Random fields, smooth over the grid."""
    noise = rng.normal(size=(n_maps, *shape))
    return gaussian_filter(noise, (0, width, width), mode="nearest")


def test_correlation_by_distance_brute_force(rng):
    A = rng.normal(size=(30, 12)).cumsum(axis=1)
    A[:, 5] = 2.0  # constant: in no pair
    distances = Grid((3, 4)).distances
    table = correlation_by_distance(A, (3, 4)).set_index("distance")
    pairs = {}
    for i in range(12):
        for j in range(i):
            if 5 not in (i, j):
                r = np.corrcoef(A[:, i], A[:, j])[0, 1]
                pairs.setdefault(int(distances[i, j]), []).append(r)
    assert table.index.tolist() == [1, 2, 3]
    for distance, values in pairs.items():
        assert table.loc[distance, "n_pairs"] == len(values)
        assert table.loc[distance, "correlation"] == pytest.approx(np.mean(values))


def test_first_bin_is_the_moore_neighbourhood():
    A = np.random.default_rng(0).normal(size=(20, 121))
    assert correlation_by_distance(A, (11, 11)).n_pairs[0] == 420
    assert correlation_by_distance(A, (11, 11)).n_pairs.sum() == 121 * 120 / 2


def test_correlation_falls_with_distance_in_smooth_maps_only(rng):
    smooth = smooth_field(rng, 300, (8, 9)).reshape(300, -1)
    table = correlation_by_distance(smooth, (8, 9), n_permutations=99, random_state=0)
    assert table["correlation"][0] > 0.7
    assert table["p_value"][0] == 0.01
    assert abs(table["correlation"].iloc[-1]) < 0.2
    np.testing.assert_allclose(
        table["excess"], table["correlation"] - table["null_mean"], atol=1e-12
    )
    noise = rng.normal(size=(300, 72))
    table = correlation_by_distance(noise, (8, 9), n_permutations=99, random_state=0)
    assert abs(table["correlation"][0]) < 0.02


def test_undefined_bins(rng):
    A = np.ones((9, 6))
    A[:, 0] = rng.normal(size=9)
    table = correlation_by_distance(A, (2, 3), n_permutations=9)
    assert table[["correlation", "p_value"]].isna().all(axis=None)
    assert (table["n_pairs"] == 0).all()


# ------------------------------------------------------------------ bimodality


def test_dip_and_coefficient_equal_the_oracles(fitted, digits):
    diptest = pytest.importorskip("diptest")
    A = fitted.transform(digits[0]).astype(float)
    r = np.corrcoef(A, rowvar=False)[np.triu_indices(121, k=1)]
    found = correlation_bimodality(A)
    assert found.n_pairs == 7260
    assert found.dip == pytest.approx(diptest.dipstat(r), rel=1e-8)
    n, g, k = len(r), skew(r, bias=False), kurtosis(r, bias=False)
    sarle = (g**2 + 1) / (k + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))
    assert found.coefficient == pytest.approx(sarle, rel=1e-8)


def test_sign_flipping_groups_are_bimodal(rng):
    sign = np.where(np.arange(40) % 2, 1, -1)
    flipped = rng.normal(size=(400, 1)) * sign + 0.2 * rng.normal(size=(400, 40))
    mixed = rng.normal(size=(400, 40))
    two, one = (correlation_bimodality(A) for A in (flipped, mixed))
    assert two.dip > 0.15 > 0.02 > one.dip
    assert two.coefficient > 0.95
    assert one.coefficient == pytest.approx(1 / 3, abs=0.05)


def test_bimodality_of_few_or_equal_pairs():
    nothing = correlation_bimodality(np.eye(5)[:, :3], dip=False)
    assert nothing.n_pairs == 3
    assert np.isnan([nothing.dip, nothing.coefficient]).all()
    equal = correlation_bimodality(np.eye(6), dip=False)
    assert np.isnan(equal.coefficient)


def test_without_diptest(monkeypatch):
    monkeypatch.setitem(sys.modules, "diptest", None)
    with pytest.raises(ImportError, match=r"sktopo\[stats\].*dip=False"):
        correlation_bimodality(np.eye(6))
    correlation_bimodality(np.eye(6), dip=False)


# ------------------------------------------------------------------ autocorrelation


def test_stripes_show_at_lag_two():
    row, column = np.indices((12, 12))
    table = spatial_autocorrelation(np.stack([row % 2, 5 - 3 * (row % 2)]), max_lag=3)
    by_axis = table.set_index(["axis", "lag"])["correlation"]
    np.testing.assert_allclose(by_axis["row"], [-1, 1, -1])
    np.testing.assert_allclose(by_axis["column"], [1, 1, 1])
    other = spatial_autocorrelation((column % 2)[None], max_lag=3)
    np.testing.assert_allclose(other["correlation"], [1, 1, 1, -1, 1, -1])


def test_autocorrelation_brute_force(rng):
    maps = rng.normal(size=(7, 5, 6)).cumsum(axis=1)
    table = spatial_autocorrelation(maps, max_lag=9).set_index(["axis", "lag"])
    assert len(table) == 4 + 5
    z = maps - maps.mean(axis=(1, 2), keepdims=True)
    for (axis, lag), row in table.iterrows():
        shifted = z.swapaxes(1, 2) if axis == "column" else z
        products = (shifted[:, lag:] * shifted[:, :-lag]).mean(axis=(1, 2))
        expected = (products / z.var(axis=(1, 2))).mean()
        assert row["correlation"] == pytest.approx(expected)
        assert row["n_maps"] == 7


def test_autocorrelation_of_constant_maps_and_one_row():
    maps = np.stack([np.full((1, 4), 0.1), np.arange(4.0)[None]])
    table = spatial_autocorrelation(maps)
    assert table["axis"].unique().tolist() == ["column"]
    assert (table["n_maps"] == 1).all()
    none = spatial_autocorrelation(np.ones((2, 3, 3)), n_permutations=5)
    assert none[["correlation", "p_value"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="max_lag"):
        spatial_autocorrelation(maps, max_lag=0)


def test_autocorrelation_null(rng):
    smooth = smooth_field(rng, 50, (8, 8))
    table = spatial_autocorrelation(smooth, 1, n_permutations=99, random_state=0)
    assert (table["p_value"] == 0.01).all()
    np.testing.assert_allclose(table["null_mean"], -1 / 63, atol=0.02)


# ------------------------------------------------------------------ per-unit values


def test_difference_by_distance(rng):
    _row, column = np.indices((6, 6)).reshape(2, -1)
    ramp = difference_by_distance(column, (6, 6), n_permutations=99, random_state=0)
    distances = Grid((6, 6)).distances
    pairs = [
        abs(column[i] - column[j])
        for i in range(36)
        for j in range(i)
        if distances[i, j] < 2
    ]
    profile = ramp.profile
    assert profile["n_pairs"][0] == len(pairs)
    assert profile["difference"][0] == pytest.approx(np.mean(pairs))
    largest = profile["difference"].max()
    assert ramp.smoothness == pytest.approx(1 - np.mean(pairs) / largest)
    assert ramp.p_value == 0.01
    noise = difference_by_distance(rng.normal(size=36), (6, 6), None, 99, 0)
    assert noise.p_value > 0.01
    assert noise.excess == pytest.approx(noise.smoothness - noise.null_mean)


def test_circular_difference():
    values = [1.0, 179.0, np.nan, 90.0]
    found = difference_by_distance(values, (1, 4), period=180)
    assert found.profile["difference"].tolist()[0] == pytest.approx(2)
    assert found.profile["difference"].tolist()[2] == pytest.approx(89)
    assert found.profile["n_pairs"].tolist() == [1, 1, 1]
    assert found.n_units == 3
    straight = difference_by_distance(values, (1, 4))
    assert straight.profile["difference"][0] == 178


def test_equal_or_missing_values_have_no_smoothness():
    for values in (np.ones(9), np.full(9, np.nan)):
        found = difference_by_distance(values, (3, 3), n_permutations=5)
        assert np.isnan([found.smoothness, found.p_value]).all()
    with pytest.raises(ValueError, match=r"each of 9 units.*got 4"):
        difference_by_distance(np.ones(4), (3, 3))
    with pytest.raises(ValueError, match="infinity"):
        difference_by_distance(np.full(9, np.inf), (3, 3))


def test_a_known_answer(rng):
    """Smooth, independent, sign-flipping and striped activations, told apart."""
    shape, n = (11, 11), 600
    row, _column = np.indices(shape)
    smooth = smooth_field(rng, n, shape)
    noise = rng.normal(size=(n, *shape))
    flipping = smooth * np.where(rng.random(shape) < 0.5, 1, -1)
    stripes = rng.normal(size=(n, 1, 1)) * np.where(row % 2, 1, -1)
    stripes = stripes + 0.3 * rng.normal(size=(n, *shape))
    found = {}
    for name, maps in {
        "smooth": smooth,
        "noise": noise,
        "flipping": flipping,
        "stripes": stripes,
    }.items():
        A = maps.reshape(n, -1)
        table = spatial_autocorrelation(maps, 2).set_index(["axis", "lag"])
        r = np.corrcoef(A, rowvar=False)[tuple(Grid(shape).edges.T)]
        found[name] = {
            "moran": morans_i(maps).mean(),
            "r": correlation_by_distance(A, shape)["correlation"][0],
            "abs_r": np.abs(r).mean(),
            "dip": correlation_bimodality(A).dip,
            "lag": table.loc[("row", 2), "correlation"],
            "ratio": functional_localization(A, shape, [0.5])["ratio"][0],
        }
    found = pd.DataFrame(found)
    assert found.loc["moran", "smooth"] > 0.6
    assert found.loc["moran", ["noise", "flipping"]].abs().max() < 0.1
    assert found.loc["moran", "stripes"] < -0.2
    assert found.loc["r", "smooth"] > 0.7
    assert found.loc["r", ["noise", "flipping"]].abs().max() < 0.1
    assert found.loc["abs_r", "flipping"] == pytest.approx(found.loc["abs_r", "smooth"])
    assert found.loc["abs_r", "noise"] < 0.1
    assert found.loc["dip", "stripes"] > 5 * found.loc["dip", ["smooth", "noise"]].max()
    assert found.loc["lag", "stripes"] > 0.7 > found.loc["lag", "smooth"]
    assert abs(found.loc["lag", "noise"]) < 0.1
    assert found.loc["ratio", "smooth"] < 0.4
    assert found.loc["ratio", "stripes"] == pytest.approx(1, abs=0.1)
    assert np.isnan(found.loc["ratio", "noise"])  # no pair is that much correlated
