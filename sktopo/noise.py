"""Image noise (NumPy): white, pink, and salt and pepper."""

from __future__ import annotations

from numbers import Real

import numpy as np

from sktopo._images import as_array_like

__all__ = ["NOISES", "add_noise", "pink_noise", "salt_and_pepper_noise", "white_noise"]


def white_noise(
    images: np.ndarray,
    level: float,
    value_range: tuple[float, float],
    rng: np.random.Generator,
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
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Noisy images, clipped to the value range.
    """
    low, high = value_range
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return _add(images, noise, level * (high - low), value_range)


def pink_noise(
    images: np.ndarray,
    level: float,
    value_range: tuple[float, float],
    rng: np.random.Generator,
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
    rng : numpy.random.Generator
        Source of randomness.
    exponent : float, default=1.0
        Amplitudes fall as 1 / f^exponent, f the spatial frequency; power has twice that
        slope. 1 is the paper's noise, whose power falls as 1 / f^2; pink in the strict
        sense, power 1 / f, is 0.5.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Noisy images, clipped to the value range. The noise of each image and channel
        has mean 0 and standard deviation 1 before it is scaled.
    """
    low, high = value_range
    height, width = images.shape[-2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1.0
    # relative to the largest, so that no exponent overflows; the mean goes below
    log_gain = -exponent * np.log(frequency)
    log_gain[0, 0] = -np.inf
    gain = np.exp(log_gain - (log_gain.max() if frequency.size > 1 else 0))
    white = rng.standard_normal(images.shape, dtype=np.float32).astype(images.dtype)
    spectrum = np.fft.rfft2(white) * gain.astype(images.dtype)
    noise = np.fft.irfft2(spectrum, s=(height, width))
    noise -= noise.mean(axis=(-2, -1), keepdims=True)
    std = noise.std(axis=(-2, -1), keepdims=True)
    noise /= np.where(std > 0, std, 1)
    return _add(images, noise, level * (high - low), value_range)


def salt_and_pepper_noise(
    images: np.ndarray,
    level: float,
    value_range: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Set randomly drawn pixels to the largest or the smallest value, in turn.

    Parameters
    ----------
    images : ndarray of shape (n, C, H, W), float
        Images in `value_range`.
    level : float
        Pixels drawn, as a share of H * W, rounded down. They are drawn with
        replacement, as in the published code: at 0.2 about 18 % of the pixels of a
        28 x 28 image are touched.
    value_range : tuple of (float, float)
        Smallest and largest value that an image can take.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (n, C, H, W)
        Noisy images; a pixel is the same in all channels.
    """
    n_images, channels, height, width = images.shape
    n_draws = int(height * width * level)
    drawn = rng.integers(0, height * width, size=(n_images, n_draws))
    values = np.empty(n_draws, dtype=images.dtype)
    values[0::2], values[1::2] = value_range[1], value_range[0]
    noisy = np.clip(images, *value_range).reshape(n_images, channels, -1)
    for channel in range(channels):
        np.put_along_axis(noisy[:, channel], drawn, values[None], axis=1)
    return noisy.reshape(images.shape)


def _add(images, noise, scale, value_range):
    noise = noise.astype(images.dtype, copy=False)
    with np.errstate(over="ignore"):  # what overflows is clipped
        noise *= scale
        noise += images
    return np.clip(noise, *value_range, out=noise)


NOISES = {
    "white": white_noise,
    "pink": pink_noise,
    "salt_and_pepper": salt_and_pepper_noise,
}


def _check_level(level: float) -> None:
    """Raise a ValueError unless `level` is a finite number of at least 0."""
    if not (isinstance(level, Real) and 0 <= level < np.inf):
        raise ValueError(
            f"A noise level is a share of the value range, a finite number of at least "
            f"0; got {level!r}."
        )


def _check_exponent(exponent: float) -> None:
    """Raise a ValueError unless `exponent` is a finite number."""
    if not (isinstance(exponent, Real) and np.isfinite(exponent)):
        raise ValueError(
            f"The exponent of pink noise must be a finite number; got {exponent!r}."
        )


def _check_value_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Return `value_range` as two floats, or raise a ValueError."""
    values = np.asarray(as_array_like(value_range, "value_range"), dtype=float).ravel()
    largest = np.finfo(np.float32).max
    fits = len(values) == 2 and (np.abs(values) <= largest).all()
    if not fits or values[0] > values[1]:
        raise ValueError(
            f"value_range must be two finite numbers within float32, the smaller one "
            f"first; got {value_range!r}."
        )
    return float(values[0]), float(values[1])


def add_noise(
    images: np.ndarray,
    kind: str = "white",
    level: float = 0.1,
    *,
    value_range: tuple[float, float],
    rng: np.random.Generator,
    exponent: float = 1.0,
) -> np.ndarray:
    """Add noise of some kind and level.

    Parameters
    ----------
    images : ndarray of shape (n, C, H, W)
        Images in `value_range`; integers are taken as float32.
    kind : {"white", "pink", "salt_and_pepper"}, default="white"
        The kind of noise.
    level : float, default=0.1
        Strength as a share of the value range; see the functions of that name. 0
        changes nothing.
    value_range : tuple of (float, float)
        Smallest and largest value that an image can take.
    rng : numpy.random.Generator
        Source of randomness.
    exponent : float, default=1.0
        Slope of the amplitudes of pink noise.

    Returns
    -------
    ndarray of shape (n, C, H, W), float32 (float64 if the images are)
        A new array.

    Raises
    ------
    ValueError
        On an unknown kind or a level that is not a finite number of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.noise import add_noise
    >>> rng = np.random.default_rng(0)
    >>> images = np.full((2, 1, 28, 28), 0.5)
    >>> noisy = add_noise(images, "white", 0.1, value_range=(0, 1), rng=rng)
    >>> round(float(noisy.std()), 2)
    0.1
    """
    if kind not in NOISES:
        raise ValueError(f"kind must be one of {sorted(NOISES)}; got {kind!r}.")
    _check_level(level)
    _check_exponent(exponent)
    value_range = _check_value_range(value_range)
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype.kind not in "biuf":
        raise ValueError(
            f"images must be real numbers of shape (n, C, H, W); got {images.dtype} of "
            f"shape {images.shape}."
        )
    if images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float32)
    if level == 0:
        return images.copy()
    settings = {"exponent": exponent} if kind == "pink" else {}
    return NOISES[kind](images, level, value_range, rng, **settings)
