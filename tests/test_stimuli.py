import inspect
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktopo import TopographicCNNClassifier, measure, metrics, stimuli
from sktopo.stimuli import (
    LazyImages,
    blank,
    eccentricity_probes,
    sine_gratings,
    symmetric_patterns,
)

SHAPES = [(28, 28), (3, 32, 32), (1, 8, 8), (2, 20, 33), (1, 1, 9), (1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value_range", [(0, 1), (-3.0, 5.0), (0, 255)])
def test_any_shape_stays_in_range_with_equal_channels(shape, value_range):
    channels = shape[0] if len(shape) == 3 else 1
    size = shape[-2:]
    sets = [
        blank(shape, value_range),
        sine_gratings(shape, value_range, 4, 3, 2)[0],
        eccentricity_probes(shape, value_range, 2)[0],
    ]
    if size[1] > 1:
        sets.append(symmetric_patterns(shape, value_range, n=4)[0])
    low, high = value_range
    for images in sets:
        assert images.shape[1:] == (channels, *size)
        assert images.dtype == np.float32
        assert images.min() >= low - 1e-5 * (high - low)
        assert images.max() <= high + 1e-5 * (high - low)
        assert np.array_equal(images, np.repeat(images[:, :1], channels, axis=1))


EVERY = [name for name in stimuli.__all__ if inspect.isfunction(getattr(stimuli, name))]


@pytest.mark.parametrize("shape", [(2, 12, 15), (9, 8)])
@pytest.mark.parametrize("name", EVERY)
def test_every_stimulus(name, shape):
    """It takes the shape and the range of images; a table and lazy images are alike."""
    make = getattr(stimuli, name)
    found = make(shape, (-3.0, 5.0))
    images, table = found if isinstance(found, tuple) else (found, None)
    channels = shape[0] if len(shape) == 3 else 1
    assert images.shape == (len(images), channels, *shape[-2:])
    assert images.dtype == np.float32
    assert -3.0001 < images.min() <= images.max() < 5.0001
    again = make(shape, (-3.0, 5.0))
    assert np.array_equal(again if table is None else again[0], images)
    if table is not None:
        assert len(table) == len(images)
        lazy, same = make(shape, (-3.0, 5.0), lazy=True)
        assert same.equals(table)
        assert np.array_equal(lazy[:5], images[:5])
    for wrong in ((3,), (0, 4), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="image_shape"):
            make(wrong)
    with pytest.raises(ValueError, match="value_range"):
        make(shape, (1, 0))


def test_blank_is_the_middle():
    assert (blank((4, 4), (-2, 6)) == 2).all()


# ------------------------------------------------------------------ gratings


def test_gratings_of_the_paper_size():
    images, table = sine_gratings((28, 28))
    assert len(images) == len(table) == 512
    np.testing.assert_allclose(table["orientation"].unique(), np.arange(8) * 22.5)
    np.testing.assert_allclose(table["phase"].unique(), np.arange(8) * 45.0)
    frequencies = table["frequency"].unique()
    np.testing.assert_allclose(frequencies, np.geomspace(2, 8.4, 8))


def test_grating_by_hand():
    images, table = sine_gratings((20, 24), (0, 10), contrast=0.6)
    row, column = np.indices((20, 24))
    x, y = column - 11.5, row - 9.5
    for i in (0, 77, 300, 511):
        theta = np.deg2rad(table.orientation[i])
        u = x * np.sin(theta) + y * np.cos(theta)
        phase = np.deg2rad(table.phase[i])
        wave = np.sin(2 * np.pi * table.frequency[i] * u / 20 + phase)
        distance = np.hypot(x, y)
        inside, outside = distance <= 0.85 * 9, distance >= 9
        expected = 5 + 0.6 * 5 * wave
        np.testing.assert_allclose(images[i, 0][inside], expected[inside], atol=1e-4)
        assert (images[i, 0][outside] == 5).all()
        ramp = ~inside & ~outside
        assert (
            np.abs(images[i, 0] - 5)[ramp] <= np.abs(expected - 5)[ramp] + 1e-5
        ).all()


@pytest.mark.parametrize("index", [0, 2, 4, 6, 7])
def test_bars_run_along_the_orientation(index):
    images, table = sine_gratings((64, 64), n_frequencies=1, n_phases=1)
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(images[index, 0] - 0.5)))
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    # the wave vector is normal to the bars; rows grow downwards
    across = np.rad2deg(np.arctan2(-(row - 32), column - 32)) % 180
    gap = abs(across - 90 - table.orientation[index]) % 180
    assert min(gap, 180 - gap) < 15


def test_gratings_refuse():
    with pytest.raises(ValueError, match="contrast"):
        sine_gratings((8, 8), contrast=1.5)
    with pytest.raises(ValueError, match="n_phases must be"):
        sine_gratings((8, 8), n_phases=0)
    with pytest.raises(ValueError, match="smaller one first"):
        sine_gratings((8, 8), (1, 0))
    with pytest.raises(ValueError, match="positive integers"):
        sine_gratings((8,))


# ------------------------------------------------------------------ symmetric patterns


@pytest.mark.parametrize("shape", [(28, 28), (3, 15, 21), (9, 2)])
@pytest.mark.parametrize("axis", ["left-right", "up-down"])
def test_symmetric_and_asymmetric_patterns_hold_the_same_halves(shape, axis):
    images, table = symmetric_patterns(shape, n=30, axis=axis)
    symmetric = table["symmetric"].to_numpy()
    flip = -1 if axis == "left-right" else -2
    mirrored = np.flip(images, axis=flip)
    assert np.array_equal(images[symmetric], mirrored[symmetric])
    assert not np.array_equal(images[~symmetric], mirrored[~symmetric])
    assert (table["first"] == table["second"])[symmetric].all()
    assert (table["first"] != table["second"])[~symmetric].all()
    assert sorted(table["second"][~symmetric]) == list(range(30))
    half = images.shape[flip] // 2
    first = np.take(images, range(half), axis=flip)
    assert np.array_equal(first[:30], first[30:])
    last = np.take(mirrored, range(half), axis=flip)
    partner = table["second"][30:].to_numpy()
    assert np.array_equal(last[30:], last[:30][partner])


def test_patterns_have_the_spread_and_the_blank_axis_of_the_definition():
    images, _ = symmetric_patterns((28, 28), (0, 2), n=300)
    assert images[..., :8].std() == pytest.approx(0.4, rel=0.05)
    assert (images[..., 12:16] == 1).all()  # the central 4 pixels
    assert images[..., 10].std() < images[..., 8].std()
    again, _ = symmetric_patterns((28, 28), (0, 2), n=300)
    other, _ = symmetric_patterns((28, 28), (0, 2), n=300, random_state=1)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)


@given(n=st.integers(2, 40), seed=st.integers(0, 99))
def test_pairing_is_a_derangement(n, seed):
    _, table = symmetric_patterns((4, 4), n=n, random_state=seed)
    second = table["second"][n:].to_numpy()
    assert sorted(second) == list(range(n))
    assert (second != np.arange(n)).all()


def test_patterns_refuse():
    with pytest.raises(ValueError, match="'left-right' or 'up-down'"):
        symmetric_patterns((8, 8), axis="diagonal")
    with pytest.raises(ValueError, match="2 or more"):
        symmetric_patterns((8, 8), n=1)
    with pytest.raises(ValueError, match="two pixels or more"):
        symmetric_patterns((8, 1))


# ------------------------------------------------------------------ probes


def test_probes_stand_at_every_place():
    images, table = eccentricity_probes((28, 28))
    assert len(images) == 8 * 25 * 25
    assert not table.duplicated(["texture", "row", "column"]).any()
    for i in (0, 700, 4999):
        row, column = table.row[i], table.column[i]
        patch = images[i, 0].copy()
        assert np.abs(patch[row : row + 4, column : column + 4] - 0.5).max() == (
            pytest.approx(0.5)
        )
        patch[row : row + 4, column : column + 4] = 0.5
        assert (patch == 0.5).all()
        distance = np.hypot(row + 1.5 - 13.5, column + 1.5 - 13.5)
        assert table.eccentricity[i] == pytest.approx(distance / 14)


def test_probes_of_tiny_images_are_pixels():
    images, table = eccentricity_probes((3, 3), n_textures=2)
    assert len(images) == 18
    assert ((images != 0.5).sum(axis=(1, 2, 3)) == 1).all()
    assert table.eccentricity.min() == 0
    with pytest.raises(ValueError, match="n_textures"):
        eccentricity_probes((3, 3), n_textures=0)


# ------------------------------------------------------------------ parts and numbers


SETS = {
    "gratings": partial(sine_gratings, n_orientations=5, contrast=0.7),
    "patterns": partial(symmetric_patterns, n=40),
    "upright patterns": partial(symmetric_patterns, n=41, axis="up-down"),
    "probes": partial(eccentricity_probes, n_textures=3),
}


@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
@pytest.mark.parametrize("shape", [(12, 12), (3, 9, 20), (2, 7, 2), (1, 3, 3)])
def test_images_made_in_parts_are_the_same_bits(make, shape, monkeypatch):
    images, table = make(shape, (-3.0, 5.0))
    lazy, same = make(shape, (-3.0, 5.0), lazy=True)
    assert same.equals(table)
    assert isinstance(lazy, LazyImages)
    assert len(lazy) == len(table) == len(images)
    assert lazy.shape == images.shape
    some = np.random.default_rng(0).permutation(len(images))[:7]
    for rows in (slice(None), slice(3, 8), slice(-3, None), some, some.tolist(), 5, -1):
        assert np.array_equal(lazy[rows], images[rows])
        assert lazy[rows].dtype == np.float32
    assert np.array_equal(list(lazy), images)
    monkeypatch.setattr("sktopo.stimuli._PART_VALUES", 1)
    assert np.array_equal(make(shape, (-3.0, 5.0))[0], images)


@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
def test_a_part_takes_little_memory(make):
    shape = (3, 64, 64)
    image = 4 * np.prod(shape)
    tracemalloc.start()
    try:
        lazy, table = make(shape, lazy=True)
        for start in range(0, 320, 64):
            assert len(lazy[start : start + 64]) in (0, 16, 17, 18, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    table_size = table.memory_usage().sum()
    assert peak < 4 * table_size + 64 * 8 * image


@pytest.mark.parametrize("make", [blank, *SETS.values()], ids=["blank", *SETS])
def test_value_ranges_in_any_form(make):
    def images(value_range):
        made = make((6, 6), value_range)
        return made if make is blank else made[0]

    expected = images((0.0, 2.0))
    for value_range in (
        [0, 2],
        iter((0, 2)),
        np.array([0, 2]),
        torch.tensor([0.0, 2.0], requires_grad=True),
        torch.tensor([0.0, 2.0], dtype=torch.bfloat16),
        (torch.tensor(0.0, requires_grad=True), np.float32(2)),
    ):
        assert np.array_equal(images(value_range), expected)
    masked = np.ma.masked_array([0.0, 2.0], [False, True])
    with pytest.raises(ValueError, match="masked") as error:
        images(masked)
    assert "\n" not in str(error.value)
    for wrong in ((1, 0), (0, np.nan), (0,), 1, None, "01", (0, 1j)):
        with pytest.raises(ValueError, match="two finite numbers"):
            images(wrong)


def test_contrast_in_any_form():
    expected = sine_gratings((6, 6), contrast=0.5)[0]
    for contrast in (torch.tensor(0.5, requires_grad=True), np.float32(0.5)):
        assert np.array_equal(sine_gratings((6, 6), contrast=contrast)[0], expected)
    for contrast in (np.nan, "high", [0.5], None):
        with pytest.raises(ValueError, match="contrast must lie"):
            sine_gratings((6, 6), contrast=contrast)


# ------------------------------------------------------------------ tuning in measure


def value(table, name, parameter=""):
    row = table[(table["measure"] == name) & (table["parameter"] == parameter)]
    return row["value"].item(), row["n"].item()


def test_tuning_is_that_of_the_whole_arrays(fitted, digits):
    X, y = digits[0][1200:1400], digits[1][1200:1400]
    table = measure(fitted, X, y, include="tuning", random_state=0)
    settings = fitted.image_shape_, fitted.pixel_range_
    probes, places = eccentricity_probes(*settings)
    rest = fitted.transform(blank(*settings))[0]
    responses = fitted.transform(probes)
    found = metrics.eccentricity_profile(responses, places["eccentricity"], rest)
    for name, values in (
        ("eccentricity_abs", found.E_abs),
        ("eccentricity_abs_relative", found.relative_abs),
        ("eccentricity", found.E),
        ("eccentricity_relative", found.relative),
    ):
        known = values[~np.isnan(values)]
        mean, n = value(table, name)
        assert mean == pytest.approx(known.mean(), rel=1e-6)
        assert n == len(known)
    assert value(table, "eccentricity_abs")[1] == 121  # all units that respond
    A, mirrored = fitted.transform(X), fitted.transform(X[..., ::-1])
    r = metrics.symmetry_sensitivity(A, mirrored, y, 0).r
    assert value(table, "mirror_correlation", "axis=left-right")[0] == pytest.approx(
        r.mean()
    )
    seed = np.random.RandomState(0).randint(2**31)
    patterns, halves = symmetric_patterns(*settings, random_state=seed)
    d = metrics.d_prime(fitted.transform(patterns), halves["symmetric"])[:, -1]
    found = value(table, "symmetry_d_prime", "axis=left-right")
    assert found == (pytest.approx(d.mean(), rel=1e-6), 121)


def test_tuning_keeps_responses_only(digits):
    X, y = digits
    X = np.pad(X[:60], ((0, 0), (0, 0), (36, 36), (36, 36)))  # 80 x 80 pixels
    clf = TopographicCNNClassifier(
        None, backbone=pooled, grid_shape=(2, 2), max_epochs=1, random_state=0
    )
    clf.fit(X, y[:60])
    tracemalloc.start()
    try:
        measure(clf, X, y[:60], include="tuning")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 2**20  # the probes alone would be 1.1 GB


def pooled(image_shape):
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
