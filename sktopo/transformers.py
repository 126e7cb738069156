"""Transformers: grid activations as a pipeline step, and image noise."""

from __future__ import annotations

import zlib
from itertools import islice
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted, check_random_state

from sktopo._images import image_statistics, validate_images
from sktopo._sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    get_output_config,
    validate_params,
)
from sktopo.noise import NOISES, add_noise, check_value_range

__all__ = ["GridActivations", "ImageNoise"]


class GridActivations(MetaEstimatorMixin, TransformerMixin, BaseEstimator):
    """The grid responses of a topographic classifier, as a step of a pipeline.

    Parameters
    ----------
    estimator : TopographicCNNClassifier
        A clone of it is fitted. To use a model that is fitted already, wrap it in
        `sklearn.frozen.FrozenEstimator`.
    response : {"pre_relu", "post_relu"}, default="pre_relu"
        Responses before or after rectification.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    n_features_in_ : int
        Values an image.
    feature_names_in_ : ndarray of str
        Column names, if the classifier saw a DataFrame.

    See Also
    --------
    sktopo.TopographicCNNClassifier.transform : The same responses of one classifier.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.transformers import GridActivations
    >>> X, y = load_digits_images(return_X_y=True)
    >>> cnn = TopographicCNNClassifier(max_epochs=2, lr=3e-3, random_state=0)
    >>> pipe = make_pipeline(GridActivations(cnn), LogisticRegression(max_iter=1000))
    >>> pipe.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "transform"])],
        "response": [StrOptions({"pre_relu", "post_relu"})],
    }

    def __init__(self, estimator: BaseEstimator, *, response: str = "pre_relu"):
        self.estimator = estimator
        self.response = response

    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, **fit_params
    ) -> GridActivations:
        """Fit a clone of the classifier.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,)
            Class labels.
        **fit_params : dict
            Passed to the classifier's `fit`, as scikit-learn's metadata routing says
            where it is on.

        Returns
        -------
        GridActivations
            The fitted transformer.
        """
        validate_params(self)
        if get_config()["enable_metadata_routing"]:
            fit_params = process_routing(self, "fit", **fit_params).estimator.fit
        self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Responses of the grid units.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_units), float32
            Row-major over the grid.
        """
        check_is_fitted(self)
        activations = self.estimator_.transform(X)
        return activations.clip(0) if self.response == "post_relu" else activations

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the grid units, ``grid_<row>_<column>``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only checked against the names seen in `fit`.

        Returns
        -------
        ndarray of shape (n_units,), object
            Names in the order of the columns of `transform`.
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    def get_metadata_routing(self) -> MetadataRouter:
        """Say that `fit` passes metadata to the classifier's `fit`.

        Returns
        -------
        MetadataRouter
            The routing.
        """
        mapping = MethodMapping()
        for caller in ("fit", "fit_transform"):  # a Pipeline calls the latter
            mapping.add(caller=caller, callee="fit")
        return MetadataRouter(owner=self).add(
            estimator=self.estimator, method_mapping=mapping
        )

    def __getattr__(self, name):
        # Only what the classifier learned of its input, once it is fitted.
        if name in ("n_features_in_", "feature_names_in_") and "estimator_" in vars(
            self
        ):
            return getattr(self.estimator_, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.target_tags.required = inner.target_tags.required
        tags.input_tags = inner.input_tags
        tags.non_deterministic = inner.non_deterministic
        tags.transformer_tags.preserves_dtype = inner.transformer_tags.preserves_dtype
        return tags


class ImageNoise(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Add noise to images.

    Parameters
    ----------
    kind : str, default="white"
        The kind of noise, a name in `sktopo.noise.NOISES`.
    level : float, default=0.1
        Strength as a share of the value range, at least 0.
    exponent : float, default=1.0
        Slope of the amplitudes of pink noise.
    value_range : tuple of (float, float), default=None
        Smallest and largest value that an image can take. None: the range of the images
        seen in `fit`.
    image_shape : tuple of int, default=None
        (C, H, W) or (H, W), as for `TopographicCNNClassifier`.
    random_state : int, RandomState instance or None, default=None
        With an int, each image gets noise of its own that depends on the image and on
        the int alone: not on the images beside it, nor on their order. None draws anew
        at each call; an instance goes on from call to call.

    Attributes
    ----------
    value_range_ : tuple of (float, float)
        The value range in use.
    image_shape_ : tuple of (int, int, int)
        Channels, height and width.
    n_features_in_ : int
        Values an image.
    feature_names_in_ : ndarray of str
        Column names, if X was a DataFrame with string names.

    See Also
    --------
    sktopo.robustness.image_noise_curve : Accuracy over kinds and levels of noise.

    Examples
    --------
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.transformers import ImageNoise
    >>> X, y = load_digits_images(return_X_y=True)
    >>> noisy = ImageNoise("pink", 0.2, random_state=0).fit_transform(X)
    >>> noisy.shape, float(noisy.min()), float(noisy.max())
    ((1797, 1, 8, 8), 0.0, 16.0)
    """

    _parameter_constraints = {
        "kind": [StrOptions(NOISES.keys())],
        "level": [Interval(Real, 0, None, closed="left")],
        "exponent": [Interval(Real, None, None, closed="neither")],
        "value_range": [tuple, list, None],
        "image_shape": [tuple, list, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kind: str = "white",
        level: float = 0.1,
        *,
        exponent: float = 1.0,
        value_range: tuple[float, float] | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.kind = kind
        self.level = level
        self.exponent = exponent
        self.value_range = value_range
        self.image_shape = image_shape
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> ImageNoise:
        """Learn the image shape and the value range.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like, default=None
            Ignored.

        Returns
        -------
        ImageNoise
            The fitted transformer.

        Raises
        ------
        ValueError
            On a bad parameter or bad images.
        """
        validate_params(self)
        X = validate_images(self, X, reset=True, image_shape=self.image_shape)
        if self.value_range is None:
            *_, self.value_range_ = image_statistics(X, self.image_shape_)
        else:
            self.value_range_ = check_value_range(self.value_range)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Add noise.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of the shape of X, float32 (float64 if X is)
            Noisy images, clipped to the value range. Where `set_output` asks for a
            frame, each image is a row of it.
        """
        check_is_fitted(self)
        X = validate_images(self, X, reset=False)
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float32)
        images = np.ascontiguousarray(X).reshape(-1, *self.image_shape_)
        seed = check_random_state(self.random_state).randint(2**31)
        noisy = add_noise(
            images,
            self.kind,
            self.level,
            value_range=self.value_range_,
            rng=_ImageKeyed(seed, images),
            exponent=self.exponent,
        )
        if get_output_config("transform", self)["dense"] != "default":
            return noisy.reshape(len(noisy), -1)  # a frame has two axes
        return noisy.reshape(X.shape)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class _ImageKeyed:
    """Draws for a stack of images, each from a generator keyed by seed and image.

    It stands in for a generator: images come one after the other, in one or more parts.
    """

    def __init__(self, seed, images):
        keys = (zlib.crc32(image.astype(np.float32).tobytes()) for image in images)
        self._rngs = (np.random.Generator(np.random.Philox([seed, k])) for k in keys)

    def standard_normal(self, size, dtype):
        rngs = islice(self._rngs, size[0])
        return np.stack([g.standard_normal(size[1:], dtype) for g in rngs])

    def integers(self, low, high, size):
        rngs = islice(self._rngs, size[0])
        return np.stack([g.integers(low, high, size[1:]) for g in rngs])
