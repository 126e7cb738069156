import numpy as np
import pytest

from sktopo.metrics import (
    eccentricity_profile,
    orientation_tuning,
    symmetry_sensitivity,
)

ANGLES = np.arange(8) * 22.5


def curve(preferred, depth=1.0, mean=1.0):
    return mean + depth * np.cos(np.deg2rad(2 * (ANGLES - preferred)))


def test_orientation_closed_forms():
    found = orientation_tuning(np.stack([curve(45), np.eye(8)[3]]), ANGLES)
    np.testing.assert_allclose(found.strength, [0.5, 1], rtol=1e-12)
    np.testing.assert_allclose(found.preferred, [45, 67.5], rtol=1e-12)
    np.testing.assert_allclose(found.osi, [1, 1], rtol=1e-12)
    assert found.amplitude[0] == pytest.approx(1)
    assert found.n_undefined == 0


@pytest.mark.parametrize("preferred", [0.0, 0.01, 10, 90, 133, 179.99])
def test_preferred_orientation(preferred):
    found = orientation_tuning(curve(preferred)[None], ANGLES)
    gap = abs(found.preferred.item() - preferred) % 180
    assert min(gap, 180 - gap) < 1e-9
    assert 0 <= found.preferred.item() < 180


def test_flat_silent_and_weakly_modulated_units():
    R = np.stack([np.ones(8), np.zeros(8), -curve(45), curve(45, depth=0.01)])
    found = orientation_tuning(R, ANGLES)
    assert found.strength[0] == 0
    assert np.isnan(found.strength[1:3]).all()
    assert np.isnan(found.osi[1:3]).all()
    assert np.isnan(found.preferred).all()
    assert found.n_undefined == 4
    # strength is blind to depth, the amplitude is not
    assert found.amplitude[2] == pytest.approx(1)
    assert found.amplitude[3] == pytest.approx(0.01)
    scaled = orientation_tuning(R, ANGLES, scale=[1, 1, 0, 0.1])
    assert np.isnan(scaled.amplitude[2])
    assert scaled.preferred[3] == pytest.approx(45)


def test_blank_is_subtracted_before_rectification():
    found = orientation_tuning(np.stack([curve(45)] * 2), ANGLES, blank=[0.0, 1.0])
    assert found.strength[1] > found.strength[0]
    np.testing.assert_allclose(found.amplitude, 1)


def test_orientation_refuses():
    with pytest.raises(ValueError, match="3 columns for 8 orientations"):
        orientation_tuning(np.ones((2, 3)), ANGLES)
    with pytest.raises(ValueError, match="scale must be standard deviations"):
        orientation_tuning(np.ones((2, 8)), ANGLES, scale=[1, -1])


@pytest.mark.parametrize(
    "angles",
    [
        np.deg2rad(ANGLES),
        np.linspace(0, 180, 7),  # 0 and 180 are one
        np.arange(8) * 45.0,  # each twice
        [0.0],
        [0.0, 90.0],
        [],
        [0.0, 45, 100, 135],
        [0.0, 30, 60],  # evenly spaced, but not over the half circle
        [0.0, 60, np.nan],
        [0.0, 60, np.inf],
        np.zeros(4),
    ],
)
def test_orientations_that_do_not_divide_the_half_circle_are_refused(angles):
    R = np.ones((2, max(len(angles), 1)))
    with pytest.raises(ValueError, match="orientations"):
        orientation_tuning(R, angles)


@pytest.mark.parametrize(
    "shift", [0, 11.25, -90, 180, 720.5, np.array([180, -180, 0, 360, 0, 0, 540, 0])]
)
def test_orientations_in_any_order_and_from_any_start(shift, rng):
    order = rng.permutation(8)
    angles = (ANGLES + shift)[order]
    R = 1 + np.cos(np.deg2rad(2 * (angles - 45)))
    found = orientation_tuning(R[None], angles)
    assert found.strength.item() == pytest.approx(0.5)
    assert found.preferred.item() == pytest.approx(45)
    assert found.amplitude.item() == pytest.approx(1)
    three = orientation_tuning(np.eye(3)[:1], [0, 60, 120])
    assert three.strength.item() == pytest.approx(1)


def test_an_amplitude_just_at_the_least_has_a_preferred_orientation():
    depths = [0.05, 0.05 - 1e-9]
    found = orientation_tuning(np.stack([curve(45, d) for d in depths]), ANGLES)
    assert np.isnan(found.preferred).tolist() == [False, True]
    assert found.n_undefined == 1


def test_symmetry(rng):
    X = rng.normal(size=(300, 1, 6, 6))
    weights = rng.normal(size=(6, 6))
    symmetric, antisymmetric = weights + weights[:, ::-1], weights - weights[:, ::-1]
    filters = np.stack([symmetric, antisymmetric, weights])
    A = np.einsum("nchw,uhw->nu", X, filters)
    mirrored = np.einsum("nchw,uhw->nu", X[..., ::-1], filters)
    found = symmetry_sensitivity(A, mirrored, np.arange(300) % 3)
    np.testing.assert_allclose(found.r[:2], [1, -1], rtol=1e-12)
    assert found.index[0] == pytest.approx(1)
    assert abs(found.r[2]) < 0.95
    assert np.abs(found.r_class).max() < 0.25
    assert found.n_images == 300
    again = symmetry_sensitivity(A, mirrored, np.arange(300) % 3)
    assert np.array_equal(found.index, again.index)


def test_symmetry_edge_cases(rng):
    A = rng.normal(size=(7, 2))
    A[:, 0] = 3.0
    found = symmetry_sensitivity(A, A, [0, 0, 0, 1, 1, 1, 2])  # one alone in its class
    assert np.isnan([found.r[0], found.index[0]]).all()
    assert found.n_images == 6
    assert np.isnan(symmetry_sensitivity(A[:2], A[:2], [0, 0]).index[0])
    with pytest.raises(ValueError, match="No class has two images"):
        symmetry_sensitivity(A, A, np.arange(7))
    with pytest.raises(ValueError, match="one shape"):
        symmetry_sensitivity(A, A[:, :1], np.zeros(7))


def test_eccentricity():
    r = np.linspace(0, 1.4, 1401)
    A = np.stack([np.ones_like(r), r < 0.2, (r > 0.8) & (r <= 1), -np.ones_like(r)], 1)
    found = eccentricity_profile(A, r)
    np.testing.assert_allclose(found.relative[0], 1)
    assert found.relative[1] < 0.4
    assert found.relative[2] > 1.5
    assert np.isnan(found.E[3])
    assert found.E_flat == pytest.approx(0.5)
    np.testing.assert_allclose(found.radius, (np.arange(6) + 0.5) / 6)
    assert found.n.sum() == 1001  # farther probes are dropped
    np.testing.assert_allclose(found.profile[0], 1)


def test_eccentricity_of_empty_rings_and_blank():
    found = eccentricity_profile(np.full((2, 1), 3.0), [0.0, 1.0], blank=[1.0])
    assert found.n.tolist() == [1, 0, 0, 0, 0, 1]
    assert np.isnan(found.profile[0, 1:5]).all()
    assert found.relative.item() == pytest.approx(1)
    silent = eccentricity_profile(np.full((2, 1), 3.0), [0.0, 1.0], blank=3.0)
    assert np.isnan(silent.E.item())
    with pytest.raises(ValueError, match="each of 2 probes"):
        eccentricity_profile(np.ones((2, 1)), [0.0])
    with pytest.raises(ValueError, match="within an eccentricity of 1"):
        eccentricity_profile(np.ones((2, 1)), [1.1, 2.0])


def test_eccentricity_of_units_that_are_suppressed():
    r = np.linspace(0, 1, 1201)
    rim = (r > 0.8).astype(float)
    A = np.stack([rim, -rim, 1 - 2 * rim, np.full_like(r, 0.1), np.zeros_like(r)], 1)
    found = eccentricity_profile(A, r, blank=[0, 0, 0, 0.1, 0])
    # a unit that falls silent at the rim is as eccentric as one that responds there
    assert found.relative_abs[1] == found.relative_abs[0] > 1.5
    np.testing.assert_array_equal(np.isnan(found.relative), [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(np.isnan(found.relative_abs), [0, 0, 0, 1, 1])
    assert (found.n_defined, found.n_defined_abs) == (2, 3)
    np.testing.assert_allclose(found.relative_abs, found.E_abs / found.E_flat)
    weights = np.abs(found.profile[2])
    assert found.E_abs[2] == pytest.approx(weights @ found.radius / weights.sum())


def test_eccentricity_abs_leaves_empty_rings_out():
    found = eccentricity_profile([[2.0], [-4.0]], [0.0, 1.0], blank=1.0)
    near, far = found.radius[0], found.radius[-1]
    assert found.E_abs.item() == pytest.approx((1 * near + 5 * far) / 6)
    assert found.E.item() == pytest.approx(near)


def test_a_probe_on_the_border_of_two_rings_is_of_the_outer_one():
    r = np.array([1, 2, 3, 4, 5, 6]) / 6
    just_below = r * (1 - 2e-16)  # what rounding makes of the same places
    for given in (r, just_below):
        found = eccentricity_profile(np.ones((6, 1)), given)
        assert found.n.tolist() == [0, 1, 1, 1, 1, 2]
    with pytest.raises(ValueError, match=r"0 or more; got -0\.1"):
        eccentricity_profile(np.ones((2, 1)), [0.5, -0.1])
