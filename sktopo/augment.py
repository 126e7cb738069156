"""Changes of training images, drawn anew in each step, and their registries (torch)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktopo._numbers import as_float
from sktopo.noise import check_level


def default_augmentation(
    images: Tensor, *, generator: torch.Generator, value_range: tuple[float, float]
) -> Tensor:
    """Change place, side, brightness and contrast of each image by chance.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W), float32
        Images in `value_range`.
    generator : torch.Generator
        Draws what is done, on the CPU.
    value_range : tuple of (float, float)
        Lowest and highest value of an image; results are clipped to it.

    Returns
    -------
    Tensor of shape (n, C, H, W)
        Each image is a crop of itself with its edges repeated, by up to an eighth of
        its height and width (at least a pixel) in each direction; left and right are
        swapped in half of them; contrast is .8 to 1.2 times what it was, about the
        image's mean; brightness is up to a tenth of the range more or less.
        Where left and right tell classes apart, as in digits, use an augmentation of
        your own.

    Examples
    --------
    >>> import torch
    >>> from sktopo.augment import default_augmentation
    >>> images = torch.rand(5, 1, 8, 8)
    >>> generator = torch.Generator().manual_seed(0)
    >>> changed = default_augmentation(images, generator=generator, value_range=(0, 1))
    >>> changed.shape
    torch.Size([5, 1, 8, 8])
    """
    low, high = value_range
    images = _shift(images, generator)
    mirrored, contrast, brightness = _draw(3, images, generator)
    images = torch.where(mirrored < 0.5, images.flip(3), images)
    means = images.mean(dim=(1, 2, 3), keepdim=True)
    images = means + (0.8 + 0.4 * contrast) * (images - means)
    return (images + (0.2 * brightness - 0.1) * (high - low)).clamp(low, high)


def _draw(n_numbers, images, generator):
    """Numbers from 0 to 1 for each image."""
    shape = (n_numbers, len(images), 1, 1, 1)
    drawn = torch.rand(shape, generator=generator, dtype=images.dtype, device="cpu")
    return drawn.to(images.device)


def _shift(images, generator):
    """Move each image by up to an eighth of its size; its edges are repeated."""
    n, _, *shape = images.shape
    margins = [max(1, size // 8) if size > 1 else 0 for size in shape]
    padded = F.pad(images, [m for m in margins[::-1] for _ in range(2)], "replicate")
    places = []
    for size, margin in zip(shape, margins):
        drawn = torch.randint(
            2 * margin + 1, (n, 1), generator=generator, device="cpu"
        ).to(images.device)
        places.append(drawn + torch.arange(size, device=images.device))
    rows, columns = places[0][:, :, None], places[1][:, None, :]
    each = torch.arange(n, device=images.device)[:, None, None]
    return padded.movedim(1, -1)[each, rows, columns].movedim(-1, 1)


@dataclass(frozen=True)
class WhiteNoise:  # numpydoc ignore=PR02
    """White noise in training, as `sktopo.noise.white_noise` adds it to test images.

    Parameters
    ----------
    level : float, default=0.1
        Standard deviation, as a share of the range of values.

    Raises
    ------
    ValueError
        If the level is not a finite number of at least 0.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.augment import WhiteNoise
    >>> clf = TopographicCNNClassifier(augment=WhiteNoise(0.1))
    """

    level: float = 0.1

    def __post_init__(self):
        check_level(self.level)

    def __call__(
        self,
        images: Tensor,
        *,
        generator: torch.Generator,
        value_range: tuple[float, float],
    ) -> Tensor:
        """Add noise to a batch.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W), float32
            Images in `value_range`.
        generator : torch.Generator
            Draws the noise, on the CPU.
        value_range : tuple of (float, float)
            Lowest and highest value of an image; results are clipped to it.

        Returns
        -------
        Tensor of shape (n, C, H, W)
            The noisy images.
        """
        low, high = value_range
        noise = torch.randn(
            images.shape, generator=generator, dtype=images.dtype, device="cpu"
        )
        scale = self.level * (high - low)
        return (images + scale * noise.to(images.device)).clamp(low, high)


@dataclass(frozen=True)
class RandomViews:  # numpydoc ignore=PR02
    """Views of images for contrastive learning: crops, mirrored, in other colours.

    Each image of a batch is changed by draws of its own.

    Parameters
    ----------
    smallest_crop : float, default=0.3
        Least share of an image's area that is kept, in (0, 1]; it is drawn evenly up to
        the whole image. Crops are 3:4 to 4:3 times as wide as the image, and are scaled
        (bilinearly) to its size.
    mirror : bool, default=True
        Whether half of the images have left and right swapped. Not where that makes
        another thing of them, as of digits.
    strength : float, default=1.0
        Of the changes of brightness, contrast and colour, in [0, 2]; 0 is none of them.

    Raises
    ------
    ValueError
        On settings outside these ranges.

    See Also
    --------
    default_augmentation : Weaker changes, for classifiers.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual
    representations", ICML 2020; without their blur, as they do for small images.

    Examples
    --------
    >>> from sktopo import TopographicEncoder
    >>> from sktopo.augment import RandomViews
    >>> encoder = TopographicEncoder(augment=RandomViews(mirror=False))
    """

    smallest_crop: float = 0.3
    mirror: bool = True
    strength: float = 1.0

    def __post_init__(self):
        crop, strength = (
            as_float(getattr(self, name), name)
            for name in ("smallest_crop", "strength")
        )
        if crop is None or not 0 < crop <= 1:
            raise ValueError(
                f"smallest_crop must be a share of the area, in (0, 1]; got "
                f"{self.smallest_crop!r}."
            )
        if strength is None or not 0 <= strength <= 2:
            raise ValueError(f"strength must lie in [0, 2]; got {self.strength!r}.")

    def __call__(
        self,
        images: Tensor,
        *,
        generator: torch.Generator,
        value_range: tuple[float, float],
    ) -> Tensor:
        """Make one view of each image.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W), float32
            Images in `value_range`.
        generator : torch.Generator
            Draws what is done, on the CPU.
        value_range : tuple of (float, float)
            Lowest and highest value of an image; results are clipped to it.

        Returns
        -------
        Tensor of shape (n, C, H, W)
            The views. Contrast is .6 to 1.4 times what it was, about the image's mean,
            and brightness likewise, above the lowest value. Of images of three channels
            saturation is .2 to 1.8 times what it was, hue is turned by up to a tenth of
            the circle either way, and a fifth are grey. (All at strength 1.)
        """
        low, high = value_range
        images = self._crop(images, generator)
        if self.strength:
            if images.shape[1] == 3:
                images = self._recolor(images, generator)
            drawn = _draw(2, images, generator)
            contrast, brightness = 1 + 0.4 * self.strength * (2 * drawn - 1)
            means = images.mean(dim=(1, 2, 3), keepdim=True)
            images = means + contrast * (images - means)
            images = low + brightness * (images - low)
        return images.clamp(low, high)

    def _crop(self, images, generator):
        """A part of each image, scaled to the size of the whole, and its mirror."""
        area, ratio, x, y, mirrored = _draw(5, images, generator)[..., 0, 0, 0]
        area = self.smallest_crop + (1 - self.smallest_crop) * area
        ratio = (4 / 3) ** (2 * ratio - 1)
        width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
        where = images.new_zeros(len(images), 2, 3)
        for axis, size, place in ((0, width, x), (1, height, y)):
            size = size.clamp(max=1)
            where[:, axis, axis] = size
            where[:, axis, 2] = (2 * place - 1) * (1 - size)
        if self.mirror:
            where[:, 0, 0] *= torch.where(mirrored < 0.5, -1.0, 1.0)
        points = F.affine_grid(where, list(images.shape), align_corners=False)
        return F.grid_sample(images, points, padding_mode="border", align_corners=False)

    def _recolor(self, images, generator):
        """Other saturations and hues: the grey axis stays, what is beside it turns."""
        saturation, hue, grey = _draw(3, images, generator)
        saturation = 1 + 0.8 * self.strength * (2 * saturation - 1)
        saturation = saturation.clamp(min=0) * (grey >= 0.2 * self.strength)
        angle = 0.2 * math.pi * self.strength * (2 * hue - 1)
        means = images.mean(dim=1, keepdim=True)
        color = images - means
        across = (color.roll(1, 1) - color.roll(-1, 1)) / math.sqrt(3)
        return means + saturation * (angle.cos() * color + angle.sin() * across)


# Every augmentation that classifiers, and that encoders, know by name.
AUGMENTATIONS = {"default": default_augmentation}
VIEWS = {"default": RandomViews()}
# Those that have settings, which files of models hold.
WITH_SETTINGS = {kind.__name__: kind for kind in (RandomViews, WhiteNoise)}
__all__ = [
    "AUGMENTATIONS",
    "VIEWS",
    "augment_batch",
    *WITH_SETTINGS,
    *(augmentation.__name__ for augmentation in AUGMENTATIONS.values()),
]


def augment_batch(
    augment: str | Callable,
    images: Tensor,
    generator: torch.Generator,
    value_range: tuple[float, float],
) -> Tensor:
    """Change a batch of images as an augmentation says.

    Parameters
    ----------
    augment : str or callable
        A name in `AUGMENTATIONS`, or a callable, given the images and, of `generator`
        and `value_range`, what it names.
    images : Tensor of shape (n, C, H, W)
        Images, any real dtype.
    generator : torch.Generator
        For what is left to chance; on the CPU.
    value_range : tuple of (float, float)
        Lowest and highest value of the training images.

    Returns
    -------
    Tensor of shape (n, C, H, W), float32
        The changed images.

    Raises
    ------
    ValueError
        If the callable gives no tensor of the same shape.

    Examples
    --------
    >>> import torch
    >>> from sktopo.augment import augment_batch
    >>> images = torch.arange(4).reshape(1, 1, 2, 2)
    >>> mirrored = augment_batch(lambda x: x.flip(3), images, torch.Generator(), (0, 3))
    >>> mirrored.flatten().tolist()
    [1.0, 0.0, 3.0, 2.0]
    """
    change = AUGMENTATIONS[augment] if isinstance(augment, str) else augment
    settings = {"generator": generator, "value_range": value_range}
    # the call of a module takes anything, and hands it on
    called = change.forward if isinstance(change, nn.Module) else change
    try:
        named = inspect.signature(called).parameters
    except (TypeError, ValueError):  # it does not say what it takes
        named = {}
    if not any(p.kind is p.VAR_KEYWORD for p in named.values()):
        settings = {name: v for name, v in settings.items() if name in named}
    if isinstance(change, partial):  # what it was given stays
        settings = {n: v for n, v in settings.items() if n not in change.keywords}
    images = images.float()
    changed = change(images, **settings)
    if not isinstance(changed, Tensor) or changed.shape != images.shape:
        found = type(changed).__name__
        if isinstance(changed, Tensor):
            found = tuple(changed.shape)
        raise ValueError(
            f"augment must give a tensor of the shape of the images, "
            f"{tuple(images.shape)}; {augment!r} gave {found}. Give a callable on a "
            f"batch, such as WhiteNoise(0.1), not its class."
        )
    return changed.float()
