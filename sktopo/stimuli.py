"""Generated stimuli: gratings, symmetric patterns, eccentricity probes and a blank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from sktopo._images import as_chw, slices
from sktopo._numbers import as_float, check_whole
from sktopo.noise import check_value_range, filter_noise, power_law_gain

__all__ = [
    "LazyImages",
    "blank",
    "eccentricity_probes",
    "sine_gratings",
    "symmetric_patterns",
]

# Values that are computed in one go.
_PART_VALUES = 2**20


class LazyImages:
    """Images that are made when they are asked for; ``images[rows]`` makes some.

    Parameters
    ----------
    shape : tuple of (int, int, int, int)
        Number of images, channels, height and width.
    make : callable
        Maps row numbers, an integer array of shape (m,), to images (m, C, H, W).

    Examples
    --------
    >>> from sktopo.stimuli import eccentricity_probes
    >>> images, table = eccentricity_probes((3, 96, 96), lazy=True)
    >>> len(images), images[:64].shape
    (56448, (64, 3, 96, 96))
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        make: Callable[[np.ndarray], np.ndarray],
    ):
        self.shape = shape
        self._make = make

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        rows = np.arange(len(self))[rows]
        images = self._make(np.atleast_1d(rows))
        return images if rows.ndim else images[0]


def _in_parts(make, shape, dtype):
    """An array of this shape, filled some rows at a time."""
    whole = np.empty(shape, dtype)
    n_rows = max(1, _PART_VALUES // max(1, int(np.prod(shape[1:]))))
    for rows in slices(len(whole), n_rows):
        whole[rows] = make(np.arange(rows.start, rows.stop))
    return whole


def _images(patterns, n, image_shape, lazy):
    """Images with equal channels of grey patterns (m, H, W), made by row numbers."""

    def make(rows):
        grey = patterns(rows).astype(np.float32)
        return np.repeat(grey[:, None], image_shape[0], axis=1)

    shape = (n, *image_shape)
    return LazyImages(shape, make) if lazy else _in_parts(make, shape, np.float32)


def _settings(image_shape, value_range):
    shape = as_chw(image_shape)
    low, high = check_value_range(value_range)
    return shape, low, high, (low + high) / 2


def _pink_noise(rng, shape):
    """Noise whose amplitude falls as 1 / f, mean 0 and standard deviation 1 each."""
    return filter_noise(rng.standard_normal(shape), power_law_gain(shape[-2:], 1.0))


def blank(
    image_shape: tuple[int, ...], value_range: tuple[float, float] = (0.0, 1.0)
) -> np.ndarray:
    """One uniform image in the middle of the value range.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W) or (H, W).
    value_range : tuple of (float, float), default=(0.0, 1.0)
        Smallest and largest value, for example a classifier's `pixel_range_`.

    Returns
    -------
    ndarray of shape (1, C, H, W), float32
        The image.

    Examples
    --------
    >>> from sktopo.stimuli import blank
    >>> blank((2, 2), (0, 4)).ravel()
    array([2., 2., 2., 2.], dtype=float32)
    """
    shape, _, _, middle = _settings(image_shape, value_range)
    return np.full((1, *shape), middle, dtype=np.float32)


def sine_gratings(
    image_shape: tuple[int, ...],
    value_range: tuple[float, float] = (0.0, 1.0),
    n_orientations: int = 8,
    n_frequencies: int = 8,
    n_phases: int = 8,
    contrast: float = 1.0,
    *,
    lazy: bool = False,
) -> tuple[np.ndarray | LazyImages, pd.DataFrame]:
    """Sine gratings in a soft disc, over orientations, frequencies and phases.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W) or (H, W); S is the smaller of H and W.
    value_range : tuple of (float, float), default=(0.0, 1.0)
        Smallest and largest value, for example a classifier's `pixel_range_`.
    n_orientations, n_frequencies, n_phases : int, default=8
        Numbers of orientations over 180 degrees, of frequencies from min(2, 0.15 S) to
        0.3 S cycles an image (higher ones would alias onto the pixel axes), spaced
        geometrically, and of phases over 360 degrees.
    contrast : float, default=1.0
        In [0, 1]; 1 spans the value range.
    lazy : bool, default=False
        Whether to make the images only when they are asked for, some at a time, where
        all of them would take too much memory.

    Returns
    -------
    images : ndarray of shape (n, C, H, W), float32, or LazyImages
        Channels equal; outside the disc the middle of the value range.
    table : DataFrame
        A row an image: orientation, the direction of the bars in degrees, counter-
        clockwise from horizontal; frequency in cycles an image; phase in degrees.

    Raises
    ------
    ValueError
        On a contrast outside [0, 1], or numbers below 1.

    Examples
    --------
    >>> from sktopo.stimuli import sine_gratings
    >>> images, table = sine_gratings((28, 28))
    >>> images.shape, table.frequency.max().round(1)
    ((512, 1, 28, 28), np.float64(8.4))
    """
    amplitude = as_float(contrast, "contrast")
    if amplitude is None or not 0 <= amplitude <= 1:
        raise ValueError(f"contrast must lie in [0, 1]; got {contrast!r}.")
    check_whole("n_orientations", n_orientations, 1)
    check_whole("n_frequencies", n_frequencies, 1)
    check_whole("n_phases", n_phases, 1)
    shape, low, high, middle = _settings(image_shape, value_range)
    height, width = shape[1:]
    size = min(height, width)
    orientations = np.arange(n_orientations) * 180 / n_orientations
    frequencies = np.geomspace(min(2, 0.15 * size), 0.3 * size, n_frequencies)
    phases = np.arange(n_phases) * 360 / n_phases
    table = pd.MultiIndex.from_product(
        [orientations, frequencies, phases], names=["orientation", "frequency", "phase"]
    ).to_frame(index=False)
    y, x = np.indices((height, width), dtype=float)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    window = _soft_disc(np.hypot(x, y), size / 2 - 1)
    theta, phase = (
        np.deg2rad(table[name].to_numpy()) for name in ("orientation", "phase")
    )
    angles = np.stack([theta, table["frequency"].to_numpy(), phase])[..., None, None]

    def _gratings(rows):
        theta, frequency, phase = angles[:, rows]
        across = x * np.sin(theta) + y * np.cos(theta)
        waves = np.sin(2 * np.pi * (frequency * across / size) + phase)
        return middle + amplitude * (high - low) / 2 * window * waves

    return _images(_gratings, len(table), shape, lazy), table


def _soft_disc(distance, radius):
    """1 inside, falling to 0 by a raised cosine over the outer 15 % of the radius."""
    if radius < 1:  # an image too small for a disc
        return np.ones_like(distance)
    share = np.clip((radius - distance) / (0.15 * radius), 0, 1)
    return (1 - np.cos(np.pi * share)) / 2


def symmetric_patterns(
    image_shape: tuple[int, ...],
    value_range: tuple[float, float] = (0.0, 1.0),
    n: int = 1000,
    axis: str = "left-right",
    random_state: int | None = 0,
    *,
    lazy: bool = False,
) -> tuple[np.ndarray | LazyImages, pd.DataFrame]:
    """Mirror-symmetric noise patterns and asymmetric ones of the same halves.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W) or (H, W); S is the smaller of H and W.
    value_range : tuple of (float, float), default=(0.0, 1.0)
        Smallest and largest value, for example a classifier's `pixel_range_`.
    n : int, default=1000
        Number of patterns of each sort, 2 or more.
    axis : {"left-right", "up-down"}, default="left-right"
        Which halves mirror each other.
    random_state : int or None, default=0
        Seed of the noise and of the pairing.
    lazy : bool, default=False
        Whether to make the images only when they are asked for, some at a time, where
        all of them would take too much memory.

    Returns
    -------
    images : ndarray of shape (2 n, C, H, W), float32, or LazyImages
        First the symmetric patterns [h_i | flip h_i], then the asymmetric ones
        [h_i | flip h_pi(i)], pi a derangement, so that both sets hold the same halves.
        The halves are noise with amplitudes falling as 1 / f, its standard deviation
        0.2 of the value range about the middle, clipped. The central S // 7 pixels
        across the axis are at the middle, with cosine ramps of 2 pixels, so that no
        contour marks the axis.
    table : DataFrame
        A row an image: symmetric (bool), first and second, the halves' numbers.

    Raises
    ------
    ValueError
        On an unknown axis, n below 2, or images of one pixel across the axis.

    Notes
    -----
    Compare the responses to the two sets with `sktopo.metrics.d_prime`. Behind global
    average pooling a d' near 0 is expected: the pooled features hardly know which half
    stands where.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.stimuli import symmetric_patterns
    >>> images, table = symmetric_patterns((28, 28), n=5)
    >>> np.array_equal(images[:5], images[:5, ..., ::-1])
    True
    """
    if axis not in ("left-right", "up-down"):
        raise ValueError(f"axis must be 'left-right' or 'up-down'; got {axis!r}.")
    check_whole("n", n, 2)  # halves are swapped between patterns
    shape, low, high, middle = _settings(image_shape, value_range)
    height, width = shape[1:] if axis == "left-right" else shape[:0:-1]
    if width < 2:
        raise ValueError(f"Images need two pixels or more across the {axis} axis.")
    rng = np.random.default_rng(random_state)
    n_columns = (width + 1) // 2
    ramp = _axis_ramp(width, min(height, width) // 7)[:n_columns]

    def _halves(rows):
        noise = _pink_noise(rng, (len(rows), height, width))[..., :n_columns]
        noise = np.clip(0.2 * (high - low) * noise, low - middle, high - middle)
        return middle + noise * ramp

    halves = _in_parts(_halves, (n, height, n_columns), np.float32)
    second = np.concatenate([np.arange(n), _derangement(rng, n)])
    first = np.tile(np.arange(n), 2)

    def _patterns(rows):
        mirrored = halves[second[rows], :, : width // 2][..., ::-1]
        whole = np.concatenate([halves[first[rows]], mirrored], axis=-1)
        return whole if axis == "left-right" else whole.swapaxes(-1, -2)

    table = pd.DataFrame(
        {"symmetric": np.arange(2 * n) < n, "first": first, "second": second}
    )
    return _images(_patterns, len(table), shape, lazy), table


def _axis_ramp(width, strip):
    """0 over the central `strip` pixels, then a cosine ramp of 2 pixels to 1."""
    if strip < 1:
        return np.ones(width)
    outside = np.abs(np.arange(width) - (width - 1) / 2) - (strip - 1) / 2
    return (1 - np.cos(np.pi * np.clip(outside / 3, 0, 1))) / 2


def _derangement(rng, n):
    """A random permutation of range(n) without a fixed point, n of 2 or more."""
    order = rng.permutation(n)
    partner = np.empty(n, dtype=int)
    partner[order] = np.roll(order, 1)
    return partner


def eccentricity_probes(
    image_shape: tuple[int, ...],
    value_range: tuple[float, float] = (0.0, 1.0),
    n_textures: int = 8,
    *,
    lazy: bool = False,
) -> tuple[np.ndarray | LazyImages, pd.DataFrame]:
    """Small textured patches at every place of the image.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W) or (H, W); S is the smaller of H and W.
    value_range : tuple of (float, float), default=(0.0, 1.0)
        Smallest and largest value, for example a classifier's `pixel_range_`.
    n_textures : int, default=8
        Number of textures, the same in every call.
    lazy : bool, default=False
        Whether to make the images only when they are asked for, some at a time, where
        all of them would take too much memory.

    Returns
    -------
    images : ndarray of shape (n, C, H, W), float32, or LazyImages
        Patches of side max(1, S // 7) pixels at stride 1, on the middle of the value
        range: noise with amplitudes falling as 1 / f, of full contrast, under a
        Gaussian of standard deviation side / 2.5.
    table : DataFrame
        A row an image: texture; row and column of the patch's upper left pixel;
        eccentricity, the distance of its centre from the image's centre over S / 2.

    Raises
    ------
    ValueError
        On n_textures below 1.

    Examples
    --------
    >>> from sktopo.stimuli import eccentricity_probes
    >>> images, table = eccentricity_probes((28, 28))
    >>> images.shape
    (5000, 1, 28, 28)
    """
    check_whole("n_textures", n_textures, 1)
    shape, low, high, middle = _settings(image_shape, value_range)
    height, width = shape[1:]
    size = min(height, width)
    side = max(1, size // 7)
    textures = (high - low) / 2 * _textures(n_textures, side)
    table = pd.MultiIndex.from_product(
        [range(n_textures), range(height - side + 1), range(width - side + 1)],
        names=["texture", "row", "column"],
    ).to_frame(index=False)
    places = table.to_numpy()
    top, left = places[:, 1], places[:, 2]
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    distance = np.hypot(
        top + (side - 1) / 2 - middle_row, left + (side - 1) / 2 - middle_column
    )
    table["eccentricity"] = distance / (size / 2)

    def _probes(rows):
        images = np.full((len(rows), height, width), middle, dtype=np.float32)
        texture, top, left = places[rows].T[..., None, None]
        patch_rows, columns = top + np.arange(side)[:, None], left + np.arange(side)
        here = np.arange(len(rows))[:, None, None], patch_rows, columns
        images[here] += textures[texture[:, 0, 0]]
        return images

    return _images(_probes, len(table), shape, lazy), table


def _textures(n_textures, side):
    """Noise under a Gaussian, its largest absolute value 1; the same in every call."""
    if side == 1:  # a pixel: bright and dark in turn
        return np.where(np.arange(n_textures) % 2, -1.0, 1.0)[:, None, None]
    offset = np.arange(side) - (side - 1) / 2
    envelope = np.exp(-(np.hypot(offset, offset[:, None]) ** 2) / 2 / (side / 2.5) ** 2)
    textures = _pink_noise(np.random.default_rng(0), (n_textures, side, side))
    textures *= envelope
    return textures / np.abs(textures).max(axis=(1, 2), keepdims=True)
