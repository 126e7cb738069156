import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktopo import ImageNoise
from sktopo.noise import NOISES, add_noise

UNIT = (0.0, 1.0)


def draw(images, kind, level, seed=0, value_range=UNIT, **settings):
    rng = np.random.default_rng(seed)
    return add_noise(images, kind, level, value_range=value_range, rng=rng, **settings)


@pytest.mark.parametrize("kind", NOISES)
def test_level_zero_is_the_identity_and_a_copy(kind, rng):
    images = rng.random((3, 2, 8, 9))
    noisy = draw(images, kind, 0)
    assert np.array_equal(noisy, images)
    assert not np.shares_memory(noisy, images)


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("value_range", [UNIT, (-3.0, 5.0)])
def test_stays_in_range_and_scales_with_it(kind, value_range, rng):
    low, high = value_range
    images = rng.random((4, 3, 8, 8))
    scaled = low + (high - low) * images
    before = scaled.copy()
    noisy = draw(scaled, kind, 0.3, value_range=value_range)
    assert np.array_equal(scaled, before)
    assert noisy.min() >= low
    assert noisy.max() <= high
    np.testing.assert_allclose(
        (noisy - low) / (high - low), draw(images, kind, 0.3), atol=1e-12
    )


@pytest.mark.parametrize("kind", NOISES)
def test_seeds(kind, rng):
    images = rng.random((2, 1, 8, 8))
    assert np.array_equal(draw(images, kind, 0.2), draw(images, kind, 0.2))
    assert not np.array_equal(draw(images, kind, 0.2), draw(images, kind, 0.2, seed=1))


@pytest.mark.parametrize("kind", NOISES)
def test_chunks_continue_one_stream(kind, rng):
    images = rng.random((6, 1, 8, 8))
    stream = np.random.default_rng(0)
    parts = [
        add_noise(images[rows], kind, 0.2, value_range=UNIT, rng=stream)
        for rows in (slice(0, 2), slice(2, 6))
    ]
    assert np.array_equal(np.concatenate(parts), draw(images, kind, 0.2))


def test_white_noise_has_the_level_as_standard_deviation():
    noise = draw(np.full((40, 1, 28, 28), 0.5), "white", 0.05) - 0.5
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    neighbours = np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.02


@pytest.mark.parametrize(("exponent", "slope"), [(1.0, -2.0), (0.5, -1.0), (0.0, 0.0)])
def test_power_of_pink_noise_falls_with_frequency(exponent, slope):
    noise = draw(np.full((60, 1, 64, 64), 0.5), "pink", 0.01, exponent=exponent) - 0.5
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=(0, 1)).ravel()
    frequency = np.hypot.outer(np.fft.fftfreq(64), np.fft.fftfreq(64)).ravel()
    band = (frequency > 0.03) & (frequency < 0.4)
    fit = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)
    assert fit[0] == pytest.approx(slope, abs=0.1)


def test_pink_noise_has_mean_zero_and_the_level_for_each_image_and_channel():
    noise = draw(np.full((5, 3, 28, 28), 0.5), "pink", 0.02) - 0.5
    np.testing.assert_allclose(noise.mean(axis=(2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(noise.std(axis=(2, 3)), 0.02, rtol=1e-12)


def test_pink_noise_of_one_pixel_is_none():
    images = np.full((2, 1, 1, 1), 0.5)
    assert np.array_equal(draw(images, "pink", 0.5), images)


def test_salt_and_pepper_share():
    images = np.full((400, 3, 28, 28), 0.5)
    noisy = draw(images, "salt_and_pepper", 0.2)
    touched = noisy != 0.5
    assert np.array_equal(touched[:, 0], touched[:, 2])  # shared by channels
    assert np.array_equal(noisy[:, 0], noisy[:, 1])
    # 156 draws of 784 pixels with replacement
    expected = 1 - (1 - 1 / 784) ** 156
    assert expected == pytest.approx(0.1805374661099588, rel=1e-12)
    assert touched.mean() == pytest.approx(expected, abs=0.002)
    assert set(np.unique(noisy)) == {0.0, 0.5, 1.0}
    assert (noisy[touched] == 1).mean() == pytest.approx(0.5, abs=0.01)


def test_salt_and_pepper_rounds_the_number_of_pixels_down():
    noisy = draw(np.full((50, 1, 3, 3), 0.5), "salt_and_pepper", 0.12)
    assert ((noisy != 0.5).sum(axis=(1, 2, 3)) == 1).all()
    assert not (draw(np.full((9, 1, 3, 3), 0.5), "salt_and_pepper", 0.1) != 0.5).any()


@given(
    dtype=st.sampled_from([np.uint8, np.int64, np.float32, np.float64, bool]),
    kind=st.sampled_from(sorted(NOISES)),
    shape=st.tuples(*[st.integers(1, 5)] * 4),
)
def test_any_dtype_and_shape(dtype, kind, shape):
    images = np.ones(shape, dtype=dtype)
    noisy = draw(images, kind, 0.5)
    assert noisy.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert noisy.shape == shape
    assert np.isfinite(noisy).all()


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("green", 0.1, ", ".join(map(repr, sorted(NOISES)))),
        (["white"], 0.1, r"must be one of .*got \['white'\]"),
        (np.array(["white", "pink"]), 0.1, "must be one of"),
        ("white", -0.1, "at least"),
        ("white", np.nan, "finite"),
        ("white", np.inf, "finite"),
        ("white", "high", "'high'"),
    ],
)
def test_errors(kind, level, message):
    with pytest.raises(ValueError, match=message):
        draw(np.ones((1, 1, 2, 2)), kind, level)


# ------------------------------------------------------------------ the coin and parts


def test_salt_and_pepper_tosses_a_coin_for_each_draw(rng):
    noisy = draw(np.full((2000, 1, 5, 5), 0.5), "salt_and_pepper", 0.04)  # one draw
    salt = (noisy == 1).sum(axis=(1, 2, 3))
    pepper = (noisy == 0).sum(axis=(1, 2, 3))
    assert (salt + pepper == 1).all()
    assert salt.mean() == pytest.approx(0.5, abs=0.04)
    where = np.argmax(noisy != 0.5, axis=-1).ravel()
    assert np.bincount(where, minlength=5).min() > 0
    # the last draw of a pixel counts, and the number of bright ones is free
    one = draw(np.full((2000, 2, 1, 1), 0.5), "salt_and_pepper", 7)
    assert set(np.unique(one)) == {0.0, 1.0}
    assert one[:, 0].mean() == pytest.approx(0.5, abs=0.04)
    many = draw(np.full((500, 1, 28, 28), 0.5), "salt_and_pepper", 0.2)
    n_bright, n_dark = (many == 1).sum(axis=(1, 2, 3)), (many == 0).sum(axis=(1, 2, 3))
    # 156 tosses each: both counts vary about half of the pixels that are touched
    assert (n_bright - n_dark).std() == pytest.approx(np.sqrt(141.5), rel=0.15)


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("shape", [(9, 1, 8, 8), (5, 3, 6, 11)])
def test_parts_change_nothing(kind, shape, monkeypatch, rng):
    images = rng.random(shape, dtype=np.float32)
    whole = draw(images, kind, 0.7)
    keyed = ImageNoise(kind, 0.7, random_state=0).fit(images)
    alone = np.concatenate(
        [keyed.transform(images[i : i + 1]) for i in range(len(images))]
    )
    for size in (1, 400):
        monkeypatch.setattr("sktopo.noise._PART_VALUES", size)
        assert np.array_equal(draw(images, kind, 0.7), whole)
        assert np.array_equal(keyed.transform(images), alone)


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("level", [0.2, 10])
def test_what_is_drawn_stays_small(kind, level, rng):
    images = np.full((600, 1, 64, 64), 0.5, dtype=np.float32)
    tracemalloc.start()
    try:
        NOISES[kind](images, level, UNIT, rng)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes + 80 * 2**20


def test_a_level_of_salt_and_pepper_is_bounded():
    images = np.full((1, 1, 4, 4), 0.5)
    assert set(np.unique(draw(images, "salt_and_pepper", 10))) <= {0.0, 0.5, 1.0}
    for add in (
        lambda: draw(images, "salt_and_pepper", 1e9),
        lambda: NOISES["salt_and_pepper"](images, 10.1, UNIT, 0),
        lambda: ImageNoise("salt_and_pepper", 1e9).fit_transform(images),
    ):
        with pytest.raises(ValueError, match="at most 10"):
            add()
    draw(images, "white", 1e9)


# ------------------------------------------------------------------ what is welcome


def by_add_noise(kind):
    return lambda images, level, value_range, rng: add_noise(
        images, kind, level, value_range=value_range, rng=rng
    )


ALL = {**NOISES, **{f"add_noise, {kind}": by_add_noise(kind) for kind in NOISES}}


@pytest.mark.parametrize("add", ALL.values(), ids=ALL)
def test_seeds_and_tensors_are_welcome(add, rng):
    images = rng.random((3, 2, 6, 6), dtype=np.float32)
    expected = add(images, 0.2, UNIT, np.random.default_rng(3))
    assert np.array_equal(add(images, 0.2, UNIT, 3), expected)
    assert np.array_equal(add(images, 0.2, UNIT, np.int64(3)), expected)
    level = torch.tensor(0.2, requires_grad=True)
    grad = torch.tensor(images, requires_grad=True)
    value_range = torch.tensor([0.0, 1.0], requires_grad=True)
    for form in (grad, grad.tolist()):
        found = add(form, level, value_range, 3)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for pair in (tuple(value_range), iter(UNIT), np.float32(UNIT)):
        assert np.array_equal(add(images, np.float32(0.2), pair, 3), expected)
    short = torch.tensor(images, dtype=torch.bfloat16)
    same = add(short.float().numpy(), 0.2, UNIT, 3)
    assert np.array_equal(add(short, torch.tensor(0.2), UNIT, 3), same)
    whole = (images * 9).astype(np.uint8)
    same = add(whole.astype(np.float32), 0.2, (0, 9), 3)
    assert np.array_equal(add(whole, 0.2, (0, 9), 3), same)


@pytest.mark.parametrize("add", ALL.values(), ids=ALL)
def test_masked_values_are_refused(add):
    images = np.full((2, 1, 3, 3), 0.5)
    masked = np.ma.masked_array(images, images == 0.5)
    pair = np.ma.masked_array([0.0, 1.0], [False, True])
    for wrong in (
        (masked, 0.1, UNIT),
        (images, 0.1, pair),
        (images, np.ma.masked, UNIT),
    ):
        with pytest.raises(ValueError, match="masked") as error:
            add(*wrong, 0)
        assert "\n" not in str(error.value)
    assert add(images[:0], 0.1, UNIT, 0).shape == (0, 1, 3, 3)
    unmasked = np.ma.masked_array(images, False)
    assert np.array_equal(add(unmasked, 0.1, UNIT, 0), add(images, 0.1, UNIT, 0))
    empty = [images[:, :0], images[:, :, :0], images[..., :0]]
    for wrong in (images[0], images.astype(complex), images.astype(str), *empty):
        with pytest.raises(ValueError, match="real numbers of shape"):
            add(wrong, 0.1, UNIT, 0)
    for level in (np.nan, -1, "high", None, [0.1], 1j):
        with pytest.raises(ValueError, match="finite number of at least"):
            add(images, level, UNIT, 0)
    for pair in ((1, 0), (0, 1, 2), 1, "01", (0, np.nan), (0, 1e39), None):
        with pytest.raises(ValueError, match="two finite numbers"):
            add(images, 0.1, pair, 0)
