"""Image noise (NumPy): white, pink, and salt and pepper."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from math import inf

import numpy as np

from sktopo._images import as_images, slices
from sktopo._numbers import as_float, as_number, check_name, elements


def white_noise(
    images: np.ndarray,
    level: float,
    value_range: tuple[float, float],
    rng: int | np.random.Generator,
) -> np.ndarray:
    """Add independent Gaussian noise to each value.

    Parameters
    ----------
    images : ndarray of shape (n, C, H, W), float
        Images in `value_range`.
    level : float
        Standard deviation of the noise, as a share of the value range.
    value_range : tuple of (float, float)
        Smallest and largest value that an image can take.
    rng : int or numpy.random.Generator
        Source of randomness, or a seed: what `numpy.random.default_rng` takes.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Noisy images, clipped to the value range.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.noise import white_noise
    >>> images = np.full((1, 1, 10, 10), 0.5)
    >>> noisy = white_noise(images, 0.1, (0, 1), rng=0)
    >>> round(float(noisy.std()), 1)
    0.1
    """
    images, level, (low, high), rng = _checked(images, level, value_range, rng)

    def _noisy(part):
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        return _add(part, noise, level * (high - low), (low, high))

    return _in_parts(_noisy, images)


def pink_noise(
    images: np.ndarray,
    level: float,
    value_range: tuple[float, float],
    rng: int | np.random.Generator,
    exponent: float = 1.0,
) -> np.ndarray:
    """Add spatially correlated Gaussian noise.

    Parameters
    ----------
    images : ndarray of shape (n, C, H, W), float
        Images in `value_range`.
    level : float
        Standard deviation of the noise, as a share of the value range.
    value_range : tuple of (float, float)
        Smallest and largest value that an image can take.
    rng : int or numpy.random.Generator
        Source of randomness, or a seed: what `numpy.random.default_rng` takes.
    exponent : float, default=1.0
        Amplitudes fall as 1 / f^exponent, f the spatial frequency; power has twice that
        slope. 1 is the paper's noise, whose power falls as 1 / f^2; pink in the strict
        sense, power 1 / f, is 0.5.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Noisy images, clipped to the value range. The noise of each image and channel
        has mean 0 and standard deviation 1 before it is scaled.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.noise import pink_noise
    >>> images = np.full((1, 1, 10, 10), 0.5)
    >>> noisy = pink_noise(images, 0.1, (0, 1), rng=0)
    >>> round(float(noisy.std()), 1)
    0.1
    """
    exponent = check_exponent(exponent)
    images, level, (low, high), rng = _checked(images, level, value_range, rng)
    gain = power_law_gain(images.shape[-2:], exponent).astype(images.dtype)

    def _noisy(part):
        white = rng.standard_normal(part.shape, dtype=np.float32).astype(part.dtype)
        noise = filter_noise(white, gain)
        return _add(part, noise, level * (high - low), (low, high))

    return _in_parts(_noisy, images)


def power_law_gain(shape, exponent):
    """Make the factors that give white noise a spectrum that falls as 1 / f^exponent.

    Parameters
    ----------
    shape : tuple of (int, int)
        Height and width of the images.
    exponent : float
        How fast amplitudes fall with the spatial frequency f.

    Returns
    -------
    ndarray of shape (height, width // 2 + 1)
        Factors of the half spectrum, the largest 1, that of the mean 0.
    """
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1.0
    # relative to the largest, so that no exponent overflows; the mean is 0 anyway
    log_gain = -exponent * np.log(frequency)
    log_gain[0, 0] = -np.inf
    return np.exp(log_gain - (log_gain.max() if frequency.size > 1 else 0))


def filter_noise(white, gain):
    """Give white noise another spectrum.

    Parameters
    ----------
    white : ndarray of shape (..., height, width)
        White noise.
    gain : ndarray of shape (height, width // 2 + 1)
        Factors of its half spectrum.

    Returns
    -------
    ndarray of shape (..., height, width)
        Noise of mean 0 and standard deviation 1 each (0 where nothing varies).
    """
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain, s=white.shape[-2:])
    noise -= noise.mean(axis=(-2, -1), keepdims=True)
    std = noise.std(axis=(-2, -1), keepdims=True)
    noise /= np.where(std > 0, std, 1)
    return noise


def salt_and_pepper_noise(
    images: np.ndarray,
    level: float,
    value_range: tuple[float, float],
    rng: int | np.random.Generator,
) -> np.ndarray:
    """Set randomly drawn pixels to the largest or the smallest value, by a fair coin.

    Parameters
    ----------
    images : ndarray of shape (n, C, H, W), float
        Images in `value_range`.
    level : float
        Pixels drawn, as a share of H * W, rounded down; at most 10. They are drawn with
        replacement, as in the published code, and the last draw of a pixel counts: at
        0.2 about 18 % of the pixels of a 28 x 28 image are touched, at 1 about 63 %.
    value_range : tuple of (float, float)
        Smallest and largest value that an image can take.
    rng : int or numpy.random.Generator
        Source of randomness, or a seed: what `numpy.random.default_rng` takes.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Noisy images; a pixel is the same in all channels.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.noise import salt_and_pepper_noise
    >>> images = np.full((1, 1, 10, 10), 0.5)
    >>> noisy = salt_and_pepper_noise(images, 0.2, (0, 1), rng=0)
    >>> np.unique(noisy).tolist()
    [0.0, 0.5, 1.0]
    """
    images, level, (low, high), rng = _checked(
        images, level, value_range, rng, "salt_and_pepper"
    )
    _, channels, height, width = images.shape
    n_draws = int(height * width * level)

    def _noisy(part):
        # pixel and coin in one draw: an image's draws are next to each other in the
        # stream, so that parts change nothing
        drawn = rng.integers(0, 2 * height * width, size=(len(part), n_draws))
        values = np.where(drawn & 1, part.dtype.type(high), part.dtype.type(low))
        drawn >>= 1
        noisy = np.clip(part, low, high).reshape(len(part), channels, -1)
        for channel in range(channels):
            np.put_along_axis(noisy[:, channel], drawn, values, axis=1)
        return noisy.reshape(part.shape)

    return _in_parts(_noisy, images, n_draws)


def _in_parts(
    change: Callable[[np.ndarray], np.ndarray], images: np.ndarray, n_draws: int = 0
) -> np.ndarray:
    """Noisy images, some of them at a time, so that what is drawn stays small."""
    noisy = np.empty(images.shape, images.dtype)
    values = max(1, n_draws, images[:1].size)
    for rows in slices(len(images), max(1, _PART_VALUES // values)):
        noisy[rows] = change(images[rows])
    return noisy


def _add(images, noise, scale, value_range):
    noise = noise.astype(images.dtype, copy=False)
    with np.errstate(over="ignore"):  # what overflows is clipped
        noise *= scale
        noise += images
    return np.clip(noise, *value_range, out=noise)


# Every noise, by the name that curves, scorers and `ImageNoise` know it by.
NOISES = {
    "white": white_noise,
    "pink": pink_noise,
    "salt_and_pepper": salt_and_pepper_noise,
}
__all__ = ["NOISES", "add_noise", *(noise.__name__ for noise in NOISES.values())]

# Values that are drawn in one go.
_PART_VALUES = 2**20
# Pixels are drawn one by one: ten draws a pixel leave 5 in 100,000 untouched.
_LARGEST_LEVEL = {"salt_and_pepper": 10.0}


def _checked(images, level, value_range, rng, kind=None):
    """What all noises are given: float images, floats, and a generator."""
    if not callable(getattr(rng, "integers", None)):  # a seed
        rng = np.random.default_rng(rng)
    level = check_level(level, kind)
    return _check_images(images), level, check_value_range(value_range), rng


def _check_images(images) -> np.ndarray:
    """Images as float32 or float64, or a ValueError."""
    images = np.asarray(as_images(images, "images"))
    if images.ndim != 4 or images.dtype.kind not in "biuf" or 0 in images.shape[1:]:
        raise ValueError(
            f"images must be real numbers of shape (n, C, H, W), each image of one "
            f"value or more; got {images.dtype} of shape {images.shape}."
        )
    if images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float32)
    return images


def check_level(level, kind: str | None = None) -> float:
    """Check the level of a noise.

    Parameters
    ----------
    level : float
        What somebody gave.
    kind : str, default=None
        The kind of noise, since some have a largest level.

    Returns
    -------
    float
        The level.

    Raises
    ------
    ValueError
        If this is not a finite number of at least 0, or larger than the kind allows.
    """
    number, most = as_number(level, "level"), _LARGEST_LEVEL.get(kind, inf)
    if number is None or not 0 <= number < inf:
        raise ValueError(
            f"A noise level is a share of the value range, a finite number of at least "
            f"0; got {level!r}."
        )
    if number > most:
        raise ValueError(
            f"A level of {kind} is the number of draws over that of pixels, at most "
            f"{most:g}; got {level!r}."
        )
    return number


def check_exponent(exponent) -> float:
    """Check the exponent of pink noise.

    Parameters
    ----------
    exponent : float
        What somebody gave.

    Returns
    -------
    float
        The exponent.

    Raises
    ------
    ValueError
        If this is not a finite number.
    """
    number = as_float(exponent, "exponent")
    if number is None or not np.isfinite(number):
        raise ValueError(
            f"The exponent of pink noise must be a finite number; got {exponent!r}."
        )
    return number


def check_value_range(value_range) -> tuple[float, float]:
    """Check the smallest and the largest value that images can take.

    Parameters
    ----------
    value_range : tuple of (float, float)
        What somebody gave.

    Returns
    -------
    tuple of (float, float)
        The two ends.

    Raises
    ------
    ValueError
        If these are not two finite numbers in order.
    """
    given = elements(value_range, "value_range")
    values = [as_float(value, "value_range") for value in given]
    largest = float(np.finfo(np.float32).max)
    fits = len(values) == 2 and all(v is not None and abs(v) <= largest for v in values)
    if not fits or values[0] > values[1]:
        raise ValueError(
            f"value_range must be two finite numbers within float32, the smaller one "
            f"first; got {given}."
        )
    return values[0], values[1]


def add_noise(
    images: np.ndarray,
    kind: str = "white",
    level: float = 0.1,
    *,
    value_range: tuple[float, float],
    rng: int | np.random.Generator,
    exponent: float = 1.0,
) -> np.ndarray:
    """Add noise of some kind and level.

    Parameters
    ----------
    images : ndarray of shape (n, C, H, W)
        Images in `value_range`; integers are taken as float32.
    kind : str, default="white"
        The kind of noise, a name in `NOISES`: "white", "pink" and others.
    level : float, default=0.1
        Strength as a share of the value range; see the functions of that name. 0
        changes nothing. Salt and pepper at most 10.
    value_range : tuple of (float, float)
        Smallest and largest value that an image can take.
    rng : int or numpy.random.Generator
        Source of randomness, or a seed: what `numpy.random.default_rng` takes.
    exponent : float, default=1.0
        Slope of the amplitudes of pink noise; other kinds have none.

    Returns
    -------
    ndarray of shape (n, C, H, W), float32 (float64 if the images are)
        A new array.

    Raises
    ------
    ValueError
        On an unknown kind, a level that is not a finite number of at least 0 (of salt
        and pepper: above 10), or images with masked values.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.noise import add_noise
    >>> images = np.full((2, 1, 28, 28), 0.5)
    >>> noisy = add_noise(images, "white", 0.1, value_range=(0, 1), rng=0)
    >>> round(float(noisy.std()), 2)
    0.1
    """
    check_name("kind", kind, NOISES)
    exponent = check_exponent(exponent)
    if check_level(level, kind) == 0:
        images, *_ = _checked(images, level, value_range, rng)
        return images.copy()
    add = NOISES[kind]
    has_slope = "exponent" in signature(add).parameters
    settings = {"exponent": exponent} if has_slope else {}
    return add(images, level, value_range, rng, **settings)
