"""Networks in use: images in batches, and values that a network was not made for."""

from __future__ import annotations

import numpy as np
import torch

from sktopo._images import as_batch, slices
from sktopo._modes import plain_modes
from sktopo._warn import warn_user


def run_in_batches(X, image_shape, size, value_range, run, finish, limit=1e30):
    """Let a network see images, some at a time.

    Parameters
    ----------
    X : ndarray or LazyImages
        Checked images in any accepted form.
    image_shape : tuple of (int, int, int)
        Channels, height and width.
    size : int
        Images at once.
    value_range : tuple of (float, float)
        Values that the network was made for, for the error.
    run : callable
        Maps a tensor (n, C, H, W) to a tuple of tensors (n, ...), on any device.
    finish : callable
        Maps these, as float arrays, to the array (n, ...) that is kept, or to a tuple
        of several.
    limit : float, default=1e30
        What `run` gives first is at most so large: below this a head cannot overflow
        float32. It is never nan.

    Returns
    -------
    tuple of (ndarray or tuple of ndarray, float)
        What was kept of all images, and the largest absolute value of the images.

    Raises
    ------
    ValueError
        If an image, or what `run` gives first, is too large or not finite.
    """
    largest, kept = 0.0, None
    with plain_modes(), torch.inference_mode():
        for rows in slices(len(X), size):
            images = as_batch(X, rows, image_shape)
            low, high = (float(v) for v in torch.aminmax(images))
            largest = max(largest, abs(low), abs(high))
            n_images = len(images)
            if n_images == 1:  # one image alone would take another kernel
                images = images.repeat(2, 1, 1, 1)
            tensors = run(images)
            if not (np.isfinite(largest) and bool(tensors[0].abs().max() <= limit)):
                raise ValueError(
                    f"Input X contains infinity or a value too large for "
                    f"dtype('float32') or for this model, which was trained on "
                    f"images from {value_range[0]:g} to {value_range[1]:g}."
                )
            parts = finish(*(t.cpu().numpy()[:n_images] for t in tensors))
            kept = _keep(kept, parts, rows, len(X))
    return kept, largest


def _keep(kept, parts, rows, n):
    """Put the rows of a batch where they belong, in arrays made by the first."""
    if isinstance(parts, tuple):
        kept = kept or (None,) * len(parts)
        return tuple(_keep(k, p, rows, n) for k, p in zip(kept, parts))
    if parts is None:
        return None
    if kept is None:
        kept = np.empty((n, *parts.shape[1:]), parts.dtype)
    kept[rows] = parts
    return kept


def images_at_once(n_features):
    """Up to 128 small images; fewer of large ones, whose layers are large too."""
    return int(np.clip(2**21 // (4 * n_features), 2, 128))


def evaluate(estimator, X, function):
    """``function(head, features)`` over checked images, for a model trained here.

    Parameters
    ----------
    estimator : estimator
        The fitted classifier or encoder.
    X : ndarray or LazyImages
        Checked images.
    function : callable
        Maps the network's head in NumPy (a `sktopo.networks.GridHead`, a classifier's a
        `Head`) and the backbone's features (n, d) to an array (n, ...).

    Returns
    -------
    tuple of (ndarray, float)
        The result, and the largest absolute value of the images.
    """
    module, device = estimator.module_.eval(), estimator.net_.device
    head = module.head()
    return run_in_batches(
        X,
        estimator.image_shape_,
        images_at_once(estimator.n_features_in_),
        estimator.pixel_range_,
        lambda images: (module.features(images.to(device)),),
        lambda features: function(head, features),
    )


def warn_of_range(largest, n_images, value_range):
    """Say so if images have other values than the model was made for.

    Parameters
    ----------
    largest : float
        Largest absolute value of the images.
    n_images : int
        Number of images; a few may well be dark.
    value_range : tuple of (float, float)
        What the model was made for.
    """
    usual = max(abs(value) for value in value_range)
    if n_images >= 32 and not 0.02 * usual <= largest <= 10 * usual:
        warn_user(
            f"The largest absolute value of these {n_images} images is {largest:g}; "
            f"the model was made for values in {value_range}: those of its training "
            f"images, or the value_range of a FrozenNetwork. Give images in that "
            f"range, or the FrozenNetwork another value_range."
        )


def best_class(head, features):
    """Index of the class of each image."""
    return head.logits(features).argmax(axis=1)
