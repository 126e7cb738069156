"""Backbones and the topographic head (torch)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = "grid"
"""What the grid layer is called among the layers of a network."""


class _GlobalAveragePool(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


def _max_pool(height, width):
    """Halve each axis of two pixels or more: the layers for it, and what is left."""
    kernel = (2 if height > 1 else 1, 2 if width > 1 else 1)
    layers = [nn.MaxPool2d(kernel)] if max(kernel) > 1 else []
    return layers, height // kernel[0], width // kernel[1]


def _convolutions(image_shape, widths, n_pools, batch_norm):
    channels, height, width = image_shape
    layers = []
    for i, n_filters in enumerate(widths):
        layers.append(nn.Conv2d(channels, n_filters, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(n_filters))
        if i < n_pools:
            # Before the ReLU: the same values for a quarter of the rectifications.
            pool, height, width = _max_pool(height, width)
            layers.extend(pool)
        layers.append(nn.ReLU())
        channels = n_filters
    return nn.Sequential(*layers, _GlobalAveragePool())


def small_backbone(image_shape: tuple[int, int, int]) -> nn.Module:
    """Two convolutions (32 and 64 filters), each max-pooled, then averaged over space.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width; down to one pixel (a pooling that would empty an
        axis is left out).

    Returns
    -------
    nn.Module
        Maps (n, channels, height, width) to (n, 64).

    References
    ----------
    The MNIST network of Truong & Hasson, arXiv 2508.00043.

    Examples
    --------
    >>> import torch
    >>> from sktopo.networks import small_backbone
    >>> small_backbone((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 64])
    """
    return _convolutions(image_shape, (32, 64), n_pools=2, batch_norm=False)


def deep_backbone(image_shape: tuple[int, int, int]) -> nn.Module:
    """Four convolutions with batch norm, 32 to 256 filters, averaged over space.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width; down to one pixel.

    Returns
    -------
    nn.Module
        Maps (n, channels, height, width) to (n, 256).

    References
    ----------
    The CIFAR-10 network of Truong & Hasson, arXiv 2508.00043.

    Examples
    --------
    >>> import torch
    >>> from sktopo.networks import deep_backbone
    >>> deep_backbone((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 256])
    """
    return _convolutions(image_shape, (32, 64, 128, 256), n_pools=3, batch_norm=True)


def lenet_backbone(image_shape: tuple[int, int, int]) -> nn.Module:
    """Two convolutions (32 and 64 filters), max-pooled, normed and flattened.

    Unlike the networks that average over space, it keeps where things are.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width; down to one pixel.

    Returns
    -------
    nn.Module
        Maps (n, channels, height, width) to (n, 64 * rows * columns), where rows and
        columns are a quarter of height and width, at least 1; more than 7 of either are
        averaged down to 7.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 86 (1998), for the layout. The batch norm stands after the pooling: it
    works on a quarter of the values there, which saves a quarter of the time.

    Examples
    --------
    >>> import torch
    >>> from sktopo.networks import lenet_backbone
    >>> lenet_backbone((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 3136])
    """
    channels, height, width = image_shape
    layers = []
    for n_filters in (32, 64):
        pool, height, width = _max_pool(height, width)
        layers.extend([nn.Conv2d(channels, n_filters, 3, padding=1), *pool])
        layers.extend([nn.BatchNorm2d(n_filters), nn.ReLU()])
        channels = n_filters
    return nn.Sequential(*layers, *_keep_at_most(7, height, width), nn.Flatten())


def _keep_at_most(n_positions, height, width):
    """Average a map down to so many rows and columns: the layers for it."""
    shape = (height, width)
    kept = tuple(min(n_positions, size) for size in shape)
    stride = tuple(size // n for size, n in zip(shape, kept))
    kernel = tuple(size - (n - 1) * s for size, n, s in zip(shape, kept, stride))
    if kept == shape:
        return []
    # Adaptive windows that are all alike are plain pooling, which every device has and
    # repeats to the bit (8 positions: images of 32 pixels).
    if kernel == tuple(-(-size // n) for size, n in zip(shape, kept)):
        return [nn.AvgPool2d(kernel, stride)]
    return [nn.AdaptiveAvgPool2d(kept)]


def resnet18_backbone(image_shape: tuple[int, int, int]) -> nn.Module:
    """Torchvision's resnet18 without its last layer, its weights drawn anew.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width; any number of channels, down to one pixel.

    Returns
    -------
    torchvision.models.ResNet
        Maps (n, channels, height, width) to (n, 512). Images of under 64 pixels in
        height and width meet a convolution of 3 x 3 with stride 1 and no max pooling
        before the first of the four blocks, larger ones its own, of 7 x 7 with stride
        2 and max pooling.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016; for small
    images section 4.2 there.

    Examples
    --------
    >>> import torch
    >>> from sktopo.networks import resnet18_backbone
    >>> resnet18_backbone((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 512])
    """
    # Torchvision takes most of a second to import, and only this network needs it.
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    network.fc = nn.Identity()
    if _is_small(image_shape):
        network.conv1 = nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    else:
        network.conv1 = nn.Conv2d(image_shape[0], 64, 7, 2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _is_small(image_shape):
    """Whether an image has under 64 pixels in height and width."""
    return max(image_shape[1:]) < 64


# Every backbone, by the name that estimators know it by.
BACKBONES = {
    "lenet": lenet_backbone,
    "small": small_backbone,
    "deep": deep_backbone,
    "resnet18": resnet18_backbone,
}
__all__ = [
    "BACKBONES",
    "GRID",
    "GridHead",
    "GridNetwork",
    "Head",
    "ProjectionNetwork",
    "TopographicNetwork",
    "auto_backbone",
    "make_network",
    *(backbone.__name__ for backbone in BACKBONES.values()),
]


def auto_backbone(image_shape: tuple[int, int, int]) -> str:
    """Name of the backbone that "auto" stands for.

    Parameters
    ----------
    image_shape : tuple of (int, int, int)
        Channels, height and width.

    Returns
    -------
    str
        "lenet" for images of under 64 pixels in height and width, else "deep".

    Examples
    --------
    >>> from sktopo.networks import auto_backbone
    >>> auto_backbone((1, 28, 28)), auto_backbone((3, 224, 224))
    ('lenet', 'deep')
    """
    return "lenet" if _is_small(image_shape) else "deep"


class GridNetwork(nn.Module):
    """Raw images to responses of a grid: standardisation, backbone, grid layer.

    What comes after the grid is an heir's, as `answer`.

    Parameters
    ----------
    backbone : nn.Module
        Maps images (n, C, H, W) to features (n, n_features).
    n_features : int
        Number of features of the backbone.
    n_units : int
        Number of grid units.
    dropout : float
        Share of rectified grid responses that are zeroed in training.
    mean, std : Tensor of shape (C,)
        Per-channel mean and standard deviation that images are standardised by.
    generator : torch.Generator
        Draws the dropout masks, on the CPU, so that no global state is used.

    Attributes
    ----------
    grid : nn.Linear
        The grid layer; its output, before the ReLU, is "the activation".

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sktopo.networks import GridNetwork
    >>> settings = {"dropout": 0.0, "mean": torch.zeros(1), "std": torch.ones(1)}
    >>> network = GridNetwork(
    ...     nn.Flatten(), 64, 12, generator=torch.Generator(), **settings
    ... )
    >>> network.features(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        n_units: int,
        dropout: float,
        mean: Tensor,
        std: Tensor,
        generator: torch.Generator,
    ):
        super().__init__()
        self.register_buffer("mean", mean.float().reshape(-1, 1, 1))
        self.register_buffer("std", std.float().reshape(-1, 1, 1))
        self.backbone = backbone
        self.grid = nn.Linear(n_features, n_units)
        self.dropout = dropout
        self.generator = generator

    def features(self, images: Tensor) -> Tensor:
        """Backbone features of raw images.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W)
            Raw images, any real dtype.

        Returns
        -------
        Tensor of shape (n, n_features)
            What the grid layer sees.

        Raises
        ------
        ValueError
            If the backbone gives anything else.
        """
        images = (images.float() - self.mean) / self.std
        features = self.backbone(images.contiguous(memory_format=torch.channels_last))
        _check_features(features, images.shape, self.grid.in_features)
        return features

    def activations(self, images: Tensor) -> Tensor:
        """Pre-ReLU responses of the grid units to raw images.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W)
            Raw images, any real dtype.

        Returns
        -------
        Tensor of shape (n, n_units)
            Row-major over the grid.
        """
        return self.grid(self.features(images))

    def rectify(self, activations: Tensor) -> Tensor:
        """Rectified grid responses, some of them dropped in training.

        Parameters
        ----------
        activations : Tensor of shape (n, n_units)
            Pre-ReLU responses of the grid units.

        Returns
        -------
        Tensor of shape (n, n_units)
            What the layers after the grid see.
        """
        responses = F.relu(activations)
        if self.training and self.dropout > 0:
            keep = 1 - self.dropout
            mask = torch.empty(responses.shape, dtype=torch.float32, device="cpu")
            mask.bernoulli_(keep, generator=self.generator)
            responses = responses * mask.to(responses.device).div_(keep)
        return responses

    def forward(self, images: Tensor) -> Tensor:
        """Answers to raw images.

        Parameters
        ----------
        images : Tensor of shape (n, C, H, W)
            Raw images, any real dtype.

        Returns
        -------
        Tensor of shape (n, n_outputs)
            Logits of a classifier, projections of an encoder.
        """
        return self.answer(self.activations(images))


class TopographicNetwork(GridNetwork):
    """Raw images to logits: standardisation, backbone, grid layer, readout.

    Parameters
    ----------
    backbone : nn.Module
        Maps images (n, C, H, W) to features (n, n_features).
    n_features : int
        Number of features of the backbone.
    n_units : int
        Number of grid units.
    n_classes : int
        Number of classes.
    **settings : dict
        Further arguments of `GridNetwork`.

    Attributes
    ----------
    grid : nn.Linear
        The grid layer; its output, before the ReLU, is "the activation".
    readout : nn.Linear
        From rectified grid responses to logits.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sktopo.networks import TopographicNetwork
    >>> settings = {"dropout": 0.0, "mean": torch.zeros(1), "std": torch.ones(1)}
    >>> network = TopographicNetwork(
    ...     nn.Flatten(), 64, 12, n_classes=10, generator=torch.Generator(), **settings
    ... )
    >>> network(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        n_units: int,
        n_classes: int,
        **settings,
    ):
        super().__init__(backbone, n_features, n_units, **settings)
        self.readout = nn.Linear(n_units, n_classes)

    def classify(self, activations: Tensor) -> Tensor:
        """Logits from pre-ReLU grid activations.

        Parameters
        ----------
        activations : Tensor of shape (n, n_units)
            Pre-ReLU responses of the grid units.

        Returns
        -------
        Tensor of shape (n, n_classes)
            Unnormalised log probabilities.
        """
        return self.readout(self.rectify(activations))

    answer = classify

    def head(self) -> Head:
        """Grid layer and readout in NumPy.

        Returns
        -------
        Head
            A copy of them as they are now.
        """
        return Head.of(self)


class ProjectionNetwork(GridNetwork):
    """Raw images to projections: standardisation, backbone, grid layer, projection.

    Parameters
    ----------
    backbone : nn.Module
        Maps images (n, C, H, W) to features (n, n_features).
    n_features : int
        Number of features of the backbone.
    n_units : int
        Number of grid units.
    projection_dim : int
        Number of values of a projection.
    **settings : dict
        Further arguments of `GridNetwork`.

    Attributes
    ----------
    grid : nn.Linear
        The grid layer; its output, before the ReLU, is "the activation".
    projection : nn.Sequential
        From rectified grid responses to projections, by one rectified layer of as many
        units as the grid has.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual
    representations", ICML 2020, for the projection.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sktopo.networks import ProjectionNetwork
    >>> settings = {"dropout": 0.0, "mean": torch.zeros(1), "std": torch.ones(1)}
    >>> network = ProjectionNetwork(
    ...     nn.Flatten(), 64, 12, projection_dim=5,
    ...     generator=torch.Generator(), **settings,
    ... )
    >>> network.project(torch.zeros(2, 12)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        backbone: nn.Module,
        n_features: int,
        n_units: int,
        projection_dim: int,
        **settings,
    ):
        super().__init__(backbone, n_features, n_units, **settings)
        self.projection = nn.Sequential(
            nn.Linear(n_units, n_units), nn.ReLU(), nn.Linear(n_units, projection_dim)
        )

    def project(self, activations: Tensor) -> Tensor:
        """Projections of pre-ReLU grid activations.

        Parameters
        ----------
        activations : Tensor of shape (n, n_units)
            Pre-ReLU responses of the grid units.

        Returns
        -------
        Tensor of shape (n, projection_dim)
            What the contrastive loss compares, of any length.
        """
        return self.projection(self.rectify(activations))

    answer = project

    def head(self) -> GridHead:
        """Grid layer in NumPy.

        Returns
        -------
        GridHead
            A copy of it as it is now.
        """
        return GridHead.of(self)


@dataclass(frozen=True)
class GridHead:  # numpydoc ignore=PR02
    """A trained grid layer in NumPy: features to activations.

    Sums are taken in float64 and rounded to float32 once, so that the result for an
    image does not depend on the images that are evaluated beside it.

    Parameters
    ----------
    grid_weights : ndarray of shape (n_units, n_features)
        Incoming weights of the grid layer.
    grid_bias : ndarray of shape (n_units,)
        Its biases.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.networks import GridHead
    >>> head = GridHead(np.eye(2), np.array([0.0, -5.0]))
    >>> head.activations(np.array([[3.0, 4.0]])).tolist()
    [[3.0, -1.0]]
    """

    grid_weights: np.ndarray
    grid_bias: np.ndarray

    @classmethod
    def of(cls, network: GridNetwork) -> GridHead:
        """Copy the grid layer of a network.

        Parameters
        ----------
        network : GridNetwork
            The network.

        Returns
        -------
        GridHead
            Its grid layer, of float32 arrays.
        """
        return cls(*_copied(network.grid))

    def activations(self, features: np.ndarray) -> np.ndarray:
        """Pre-ReLU responses of the grid units.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
            Backbone features.

        Returns
        -------
        ndarray of shape (n, n_units), float32
            Row-major over the grid.
        """
        return _affine(features, self.grid_weights, self.grid_bias)

    answers = activations


@dataclass(frozen=True)
class Head(GridHead):  # numpydoc ignore=PR02
    """The trained head in NumPy: features to activations to logits.

    Sums are taken in float64 and rounded to float32 once, so that the result for an
    image does not depend on the images that are evaluated beside it.

    Parameters
    ----------
    grid_weights : ndarray of shape (n_units, n_features)
        Incoming weights of the grid layer.
    grid_bias : ndarray of shape (n_units,)
        Its biases.
    readout_weights : ndarray of shape (n_classes, n_units)
        Weights of the readout.
    readout_bias : ndarray of shape (n_classes,)
        Its biases.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.networks import Head
    >>> head = Head(np.eye(2), np.array([0.0, -5.0]), np.ones((1, 2)), np.zeros(1))
    >>> head.logits(np.array([[3.0, 4.0]])).tolist()
    [[3.0]]
    """

    readout_weights: np.ndarray
    readout_bias: np.ndarray

    @classmethod
    def of(cls, network: TopographicNetwork) -> Head:
        """Copy the head of a network.

        Parameters
        ----------
        network : TopographicNetwork
            The network.

        Returns
        -------
        Head
            Its head, of float32 arrays.
        """
        return cls(*_copied(network.grid), *_copied(network.readout))

    def classify(self, activations: np.ndarray) -> np.ndarray:
        """Logits from pre-ReLU grid activations.

        Parameters
        ----------
        activations : ndarray of shape (n, n_units)
            Pre-ReLU responses of the grid units.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            Unnormalised log probabilities.
        """
        return _affine(
            np.maximum(activations, 0), self.readout_weights, self.readout_bias
        )

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits from backbone features.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
            Backbone features.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            Unnormalised log probabilities.
        """
        return self.classify(self.activations(features))

    answers = logits


def _copied(layer):
    """Weights and biases of a layer, as arrays of their own."""
    return [t.detach().cpu().numpy().copy() for t in (layer.weight, layer.bias)]


def _affine(x, weights, bias):
    x, weights, bias = (torch.from_numpy(v).double() for v in (x, weights, bias))
    return torch.addmm(bias, x, weights.T).float().numpy()


def make_network(
    backbone: str | Callable[[tuple[int, int, int]], nn.Module],
    image_shape: tuple[int, int, int],
    network: type[GridNetwork] = TopographicNetwork,
    **head,
) -> GridNetwork:
    """Build a network, measuring how many features the backbone gives.

    Parameters
    ----------
    backbone : str or callable
        A name in `BACKBONES`, or "auto": see `auto_backbone`. A callable is given the
        image shape and returns an nn.Module, of which a deep copy is used.
    image_shape : tuple of (int, int, int)
        Channels, height and width.
    network : type, default=TopographicNetwork
        What to build: `TopographicNetwork` or `ProjectionNetwork`.
    **head : dict
        Further arguments of `network`.

    Returns
    -------
    GridNetwork
        Initialised from torch's global generator, in channels-last memory.

    Raises
    ------
    TypeError
        If the callable does not return an nn.Module, or one that cannot be copied.
    ValueError
        If a callable's backbone does not take the images, or if the output of any is
        not (n, n_features).

    Examples
    --------
    >>> import torch
    >>> from sktopo.networks import make_network
    >>> network = make_network(
    ...     "small", (1, 8, 8), n_units=12, n_classes=10, dropout=0.0,
    ...     mean=torch.zeros(1), std=torch.ones(1), generator=torch.Generator(),
    ... )
    >>> network.grid
    Linear(in_features=64, out_features=12, bias=True)
    """
    if backbone == "auto":
        backbone = auto_backbone(image_shape)
    if isinstance(backbone, nn.Module):
        raise TypeError(
            f"backbone must be a callable that makes a module from the image shape, so "
            f"that each fit starts anew; got a {type(backbone).__name__} instance. Use "
            f"a function (image_shape) -> nn.Module."
        )
    make = BACKBONES[backbone] if isinstance(backbone, str) else backbone
    module = make(tuple(image_shape))
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"A callable backbone must return an nn.Module when it is called with the "
            f"image shape {tuple(image_shape)}; got {type(module).__name__}."
        )
    if make is backbone:  # what it returned may be the user's own, and in use
        module = own_copy(module, "backbone").to("cpu")
    probe = torch.zeros(2, *image_shape, dtype=torch.float32)
    try:
        with torch.no_grad():
            features = module.float().eval()(probe)
    except RuntimeError as error:
        if make is not backbone:
            raise
        raise ValueError(
            f"The backbone cannot see images of shape {tuple(probe.shape)}: {error}. "
            f"Make it for the image shape that the callable is given, or give it such "
            f"images (grey ones for a network of three channels: X repeated three "
            f"times on the axis of channels)."
        ) from error
    _check_features(features, probe.shape)
    built = network(module, features.shape[1], **head)
    return built.to(dtype=torch.float32, memory_format=torch.channels_last)


def own_copy(module, name):
    """Copy a module that a factory returned, so that fits share nothing.

    Parameters
    ----------
    module : nn.Module
        What the factory returned; it may be the user's own, and in use elsewhere.
    name : str
        The parameter that holds the factory, for the error.

    Returns
    -------
    nn.Module
        A deep copy.

    Raises
    ------
    TypeError
        If it cannot be copied.
    """
    # Results that a module keeps (as the old weight_norm does) are made anew by its
    # forward pass, and torch copies none that hang on a graph.
    results = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(module, results)
    except Exception as error:  # whatever the module's own parts raise
        raise TypeError(
            f"What {name} returned, a {type(module).__name__}, cannot be copied "
            f"({type(error).__name__}: {error}). Each fit trains a copy of it, so that "
            f"fits share nothing: give a module that copy.deepcopy can copy."
        ) from error


def _check_features(features, images_shape, n_features=None):
    """Raise a ValueError unless these are features (n, d) of images."""
    n, *shape = images_shape
    found = f"a {type(features).__name__}"
    if isinstance(features, Tensor):
        # not len, which would fix the number of images in an exported program
        fits = features.ndim == 2 and features.shape[0] == n
        fits = fits and n_features in (None, features.shape[1])
        if fits and features.is_floating_point():
            return
        found = f"shape {tuple(features.shape)}, {features.dtype}"
    d = "d" if n_features is None else n_features
    raise ValueError(
        f"The backbone must map images (n, {', '.join(map(str, shape))}) to a tensor "
        f"of features (n, {d}), in training as after it; for n={n} it returned "
        f"{found}. Let it return one tensor, and end it with pooling or nn.Flatten()."
    )
