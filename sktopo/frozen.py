"""Torch networks that were trained elsewhere, as fitted estimators."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from torch import nn

from sktopo._forward import warn_of_range
from sktopo._images import as_chw, as_images, validate_images
from sktopo._labels import as_labels
from sktopo._layers import find_layer
from sktopo._numbers import as_number, check_name, elements
from sktopo._observed import ObservedNetwork
from sktopo._units import POOLS, unit_names
from sktopo.grid import Grid, sheet_shape

__all__ = ["FrozenNetwork"]


class FrozenNetwork(ClassifierMixin, TransformerMixin, BaseEstimator):
    """A torch network that was trained elsewhere, seen at one of its layers.

    All that takes a fitted `TopographicCNNClassifier` (measures, curves, scorers and
    displays) takes it too. The module is never changed: a copy of it is run, and its
    weights, its mode and its hooks stay as they are.

    Parameters
    ----------
    module : nn.Module
        Maps images (n, C, H, W) to logits (n, n_classes), or to one output (n, 1) that
        is positive for the second of two classes. What it was trained with does not
        matter.
    layer : str
        A name from ``module.named_modules()``: the units are those of an nn.Linear, or
        the channels of a convolution (or of another layer that gives (n, units) or (n,
        channels, height, width)). Their responses are what the layer gives.
    grid_shape : tuple of (int, int) or Grid, default=None
        Rows and columns of the sheet that the units stand on, row-major; or a
        `sktopo.grid.Grid`, which may be a torus. None: `sktopo.grid.sheet_shape` of
        their number.
    readout : str, default=None
        Name of the layer that gives the logits. None: the last nn.Linear if it has as
        many outputs as there are classes, else none; what needs a readout is then left
        out.
    classes : array-like of shape (n_classes,), default=None
        Labels of the logits, in their order. None: 0 to n - 1. Empty: the network is no
        classifier, and what needs predictions is left out.
    image_shape : tuple of int
        (C, H, W) or (H, W) of the images that it is shown.
    value_range : tuple of (float, float), default=(0, 1)
        Smallest and largest value of an image: the scale of noise and probes.
    preprocess : callable, default=None
        Is given the images (n, C, H, W) as a float32 tensor of that range, and gives
        what the module takes, such as ``torchvision.transforms.Normalize(mean, std)``.
    pool : {"mean", "max", "flatten"}, default="mean"
        What the response of a channel is: the mean or the largest of its positions, or
        ("flatten") each position is a unit of its own.
    batch_size : int, default=128
        Images at once.
    device : str, default="cpu"
        Where to run; "auto" picks an accelerator where there is one.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    grid_ : sktopo.grid.Grid
        The sheet.
    grid_weights_ : ndarray of shape (n_units, fan_in)
        Incoming weights of the units, of a convolution those of each channel.
    readout_weights_ : ndarray of shape (n_classes, n_features)
        Weights of the readout.
    image_shape_ : tuple of (int, int, int)
        Channels, height and width.
    pixel_range_ : tuple of (float, float)
        As `value_range`.
    n_features_in_ : int
        Values an image: C * H * W.

    See Also
    --------
    sktopo.measure : Every measure of it.
    sktopo.robustness : Weight noise, image noise and pruning.

    Notes
    -----
    It is fitted from birth: `fit` changes nothing, and ``clone`` gives an estimator
    with the same module, so that a search over `layer` trains nothing. Parameters are
    checked when it is first used.

    Hooks of the module's own are part of it: they run on the copy, where the closures
    that they call are shared, also for the few images of noise by which its shapes are
    learned.

    Weight noise on "grid" is on `layer`, on "readout" on the readout, on "head" on
    both, and any other name of a module stands for all its weights. A silenced unit
    gives 0.

    Where the layer is linear and only a ReLU (and dropout) is between it and the
    readout, noise in these two layers and pruning need the rest of the network once.
    Elsewhere the whole network runs for each draw.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sktopo import FrozenNetwork, measure
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> torch.manual_seed(0) and None
    >>> net = nn.Sequential(
    ...     nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(),
    ...     nn.Linear(432, 24), nn.ReLU(), nn.Linear(24, 10),
    ... )
    >>> shown = {"image_shape": (1, 8, 8), "value_range": (0, 16)}
    >>> frozen = FrozenNetwork(net, "3", **shown)
    >>> frozen.grid_.shape, frozen.transform(X[:2]).shape
    ((4, 6), (2, 24))
    >>> measure(frozen, X[:200], y[:200], include=["smoothness"], layer="0").n.max()
    np.int64(200)
    """

    def __init__(
        self,
        module: nn.Module,
        layer: str,
        grid_shape: tuple[int, int] | Grid | None = None,
        *,
        readout: str | None = None,
        classes: ArrayLike | None = None,
        image_shape: tuple[int, ...],
        value_range: tuple[float, float] = (0, 1),
        preprocess: Callable | None = None,
        pool: str = "mean",
        batch_size: int = 128,
        device: str = "cpu",
    ):
        self.module = module
        self.layer = layer
        self.grid_shape = grid_shape
        self.readout = readout
        self.classes = classes
        self.image_shape = image_shape
        self.value_range = value_range
        self.preprocess = preprocess
        self.pool = pool
        self.batch_size = batch_size
        self.device = device

    def fit(self, X=None, y=None, **fit_params) -> FrozenNetwork:
        """Change nothing: the network was trained elsewhere.

        Parameters
        ----------
        X, y : object, default=None
            Ignored.
        **fit_params : dict
            Ignored.

        Returns
        -------
        FrozenNetwork
            Itself.
        """
        return self

    # ------------------------------------------------------------ what it is

    @property
    def image_shape_(self) -> tuple[int, int, int]:  # numpydoc ignore=GL08
        return as_chw(self.image_shape)

    @property
    def n_features_in_(self) -> int:  # numpydoc ignore=GL08
        return math.prod(self.image_shape_)

    @property
    def pixel_range_(self) -> tuple[float, float]:  # numpydoc ignore=GL08
        values = [as_number(v, "value_range") for v in elements(self.value_range, "")]
        if len(values) != 2 or None in values or not values[0] < values[1]:
            raise ValueError(
                f"value_range must be two numbers, the smallest and the largest value "
                f"of an image; got {self.value_range!r}."
            )
        return tuple(values)

    @property
    def classes_(self) -> np.ndarray:  # numpydoc ignore=GL08
        return check_classes(self, observe(self))

    @property
    def grid_(self) -> Grid:  # numpydoc ignore=GL08
        return sheet(self, observe(self))

    @property
    def grid_weights_(self) -> np.ndarray:  # numpydoc ignore=GL08
        weights = observe(self).weights
        if weights is None:
            raise AttributeError(f"The layer {self.layer!r} has no rows of weights.")
        return weights

    @property
    def readout_weights_(self) -> np.ndarray:  # numpydoc ignore=GL08
        weights = observe(self).readout_weights
        if weights is None:
            raise AttributeError(
                "The network has no readout; name the layer that gives the logits, "
                "readout=..."
            )
        return weights

    # ------------------------------------------------------------ what it answers

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Logits of images.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes, float32
            Logits. For two classes that of `classes_[1]` minus that of `classes_[0]`.

        Raises
        ------
        ValueError
            If the network gives no logits, or others than there are classes.
        """
        logits, _ = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the class of images.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n,)
            Class labels.
        """
        logits, classes = self._logits(X)
        return classes[logits.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            Softmax of the logits, columns in the order of `classes_`.
        """
        return softmax(self._logits(X)[0], axis=1)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            Log-softmax of the logits, columns in the order of `classes_`.
        """
        return log_softmax(self._logits(X)[0], axis=1)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Responses of the layer's units.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_units), float32
            What the layer gives; row-major over the sheet.
        """
        return self._responses(X, None)[0]

    def activation_maps(self, X: ArrayLike, layer: str | None = None) -> np.ndarray:
        """Responses of a layer's units as maps.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        layer : str, default=None
            Name of a layer. None: `layer`, on its own sheet; others stand on that of
            `sktopo.grid.sheet_shape`.

        Returns
        -------
        ndarray of shape (n, rows, columns), float32
            One map an image.
        """
        responses, network = self._responses(X, layer)
        return responses.reshape(-1, *sheet(self, network).shape)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the units, ``grid_<row>_<column>``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored.

        Returns
        -------
        ndarray of shape (n_units,), object
            Names in the order of the columns of `transform`.
        """
        return unit_names(self.grid_)

    def _responses(self, X, layer):
        X, network = check_images(self, X), observe(self, layer)
        _check_sheet(self, network)
        (responses, _), largest = network.look(X, logits=False)
        warn_of_range(largest, len(responses), self.pixel_range_)
        return responses, network

    def _logits(self, X):
        X, network = check_images(self, X), observe(self)
        _check_sheet(self, network)
        classes = check_classes(self, network)
        if not len(classes):
            raise ValueError(
                f"This network is no classifier: classes is empty, or it does not give "
                f"logits (n, n_classes); it gives {network.answer_kind}. Its responses "
                f"are in transform(X)."
            )
        logits, largest = network.answers(X)
        warn_of_range(largest, len(logits), self.pixel_range_)
        return logits, classes

    def __sklearn_clone__(self):
        return copy.copy(self)  # of the same module

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def observe(frozen: FrozenNetwork, layer: str | None = None) -> ObservedNetwork:
    """See a frozen network at one of its layers.

    Parameters
    ----------
    frozen : FrozenNetwork
        The network and its settings, which are checked here.
    layer : str, default=None
        Name of a layer. None: its own.

    Returns
    -------
    ObservedNetwork
        A copy of its module, which can be run.

    Raises
    ------
    ValueError
        On a bad setting, an unknown layer, or images that the module does not take.
    TypeError
        If the module is none, or cannot be copied.
    """
    check_name("pool", frozen.pool, POOLS)
    size = as_number(frozen.batch_size, "batch_size")
    if size is None or size < 1 or size != int(size):
        raise ValueError(
            f"batch_size must be an integer of 1 or more; got {frozen.batch_size!r}."
        )
    if frozen.preprocess is not None and not callable(frozen.preprocess):
        raise TypeError(
            f"preprocess must be a callable on a tensor (n, C, H, W), or None; got "
            f"{frozen.preprocess!r}."
        )
    return ObservedNetwork(
        frozen.module,
        frozen.layer if layer is None else layer,
        readout=frozen.readout,
        image_shape=frozen.image_shape_,
        value_range=frozen.pixel_range_,
        batch_size=int(size),
        preprocess=frozen.preprocess,
        pool=frozen.pool,
        device=frozen.device,
    )


def check_images(frozen: FrozenNetwork, X: ArrayLike) -> np.ndarray:
    """Check images for a frozen network, which knows no names of columns.

    Parameters
    ----------
    frozen : FrozenNetwork
        The network and its settings.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images.

    Returns
    -------
    ndarray
        In the form in which they came.
    """
    array = as_images(X)
    array = array.to_numpy() if hasattr(array, "to_numpy") else array
    _check_shape(frozen, array)
    return validate_images(frozen, array, reset=False)


def _check_shape(frozen, X):
    """Say which parameter does not fit stacked images."""
    given, wanted = X.shape[1:], frozen.image_shape_
    if len(given) > 1 and given != wanted and (1, *given) != wanted:
        raise ValueError(
            f"X holds images of shape {given}, and image_shape={frozen.image_shape!r} "
            f"was given (channels, height, width). Change the one or the other."
        )


def _check_sheet(frozen, network):
    """Raise a ValueError if the units do not fit the sheet that was given."""
    if frozen.grid_shape is not None:
        sheet(frozen, network)


def check_classes(frozen: FrozenNetwork, network: ObservedNetwork) -> np.ndarray:
    """Find the labels of a frozen network's logits.

    Parameters
    ----------
    frozen : FrozenNetwork
        The network and its settings.
    network : ObservedNetwork
        From `observe`.

    Returns
    -------
    ndarray of shape (n_classes,)
        The labels; none for a network that is no classifier.

    Raises
    ------
    ValueError
        If there are not as many labels as logits, or one comes twice.
    """
    if frozen.classes is None:
        return np.arange(network.n_logits or 0)
    given = frozen.classes
    if isinstance(given, str | set | dict) or np.ndim(given) != 1:
        raise ValueError(
            f"classes must be a sequence of labels, one for each logit; got {given!r}."
        )
    try:
        # one by one, since an array of several types makes strings of them all
        classes = as_labels(np.array([*given, None], dtype=object)[:-1])
    except ValueError as error:
        raise ValueError(f"classes cannot be labels: {error}") from error
    if len(classes) and len(classes) != (network.n_logits or 0):
        raise ValueError(
            f"classes holds {len(classes)} labels, but the module gives "
            f"{network.n_logits or 'no'} logits. Give a label for each, in their "
            f"order, or classes=[] for a network that is no classifier."
        )
    if len(np.unique(classes)) != len(classes):
        raise ValueError(f"classes must hold each label once; got {classes.tolist()}.")
    return classes


def sheet(frozen: FrozenNetwork, network: ObservedNetwork) -> Grid:
    """Find the sheet that the units of a frozen network's layer stand on.

    Parameters
    ----------
    frozen : FrozenNetwork
        The network and its settings.
    network : ObservedNetwork
        From `observe`.

    Returns
    -------
    Grid
        Its own, at its own layer; else one of `sktopo.grid.sheet_shape`.

    Raises
    ------
    ValueError
        If `grid_shape` has another number of units than the layer.
    """
    own = find_layer(network.module, frozen.layer, "layer") == network.layer
    if frozen.grid_shape is None or not own:
        return Grid(sheet_shape(network.n_units))
    grid = Grid.of(frozen.grid_shape)
    if grid.n_units != network.n_units:
        raise ValueError(
            f"grid_shape={grid.shape} has {grid.n_units} units, and the layer "
            f"{network.layer!r} has {network.n_units}; sheet_shape gives "
            f"{sheet_shape(network.n_units)}."
        )
    return grid
