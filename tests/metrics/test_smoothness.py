from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktopo.metrics import morans_i

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
