"""Robustness of a fitted classifier to weight noise and image noise."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sktopo._evaluation import Evaluation
from sktopo._images import as_batch, slices
from sktopo.classifier import _best_class
from sktopo.metrics import (
    percentage_of_zeros,
    representational_similarity,
    rsm_similarity,
)
from sktopo.networks import Head
from sktopo.noise import (
    NOISES,
    _check_exponent,
    _check_level,
    _check_value_range,
    add_noise,
)

__all__ = [
    "area_under_curve",
    "image_noise_curve",
    "pruning_curve",
    "weight_noise_curve",
]

# Layers of the head that each name stands for; "all" is every layer of the network.
LAYERS = {
    "grid": ("grid.weight",),
    "readout": ("readout.weight",),
    "head": ("grid.weight", "readout.weight"),
}
SCALES = ("std", "absolute")
ORDERS = ("zeros", "readout_norm", "random", "block")

# Noisy images made in one go, so that memory is bounded; fewer of large ones.
_CHUNK, _CHUNK_VALUES = 512, 2**21


def weight_noise_curve(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    sigmas: Sequence[float] = (0.05, 0.1, 0.2, 0.5, 1.0),
    scale: str = "std",
    layers: str = "head",
    n_repeats: int = 10,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """Accuracy of a fitted classifier whose weights are perturbed.

    Weights W become W + sigma * s * eps with eps standard normal; biases stay. The
    estimator itself is never changed. With one random state, each repeat draws the same
    eps for a layer of a given shape, at each sigma and in each model.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images.
    y : array-like of shape (n,)
        Class labels.
    sigmas : sequence of float, default=(0.05, 0.1, 0.2, 0.5, 1.0)
        Strengths of the noise, each at least 0.
    scale : {"std", "absolute"}, default="std"
        s is the standard deviation of the layer's own weights, or 1.
    layers : {"grid", "readout", "head", "all"}, default="head"
        Which weights: the grid layer, the readout, both, or every tensor of the network
        with two dimensions or more. Up to "head", the backbone runs once for all.
    n_repeats : int, default=10
        Draws of eps.
    random_state : int, RandomState instance or None, default=None
        Seed of eps.

    Returns
    -------
    DataFrame
        A row a sigma and repeat: sigma, repeat, accuracy, accuracy_change (perturbed
        minus clean, negative is a loss), rsm_similarity (cosine between the readout's
        cosine similarity matrices before and after; nan for fewer than three classes).
        `attrs` holds n_images and clean_accuracy.

    Raises
    ------
    ValueError
        On an unknown scale or layer, a negative sigma, or y of another length.
    TypeError
        If the estimator holds no topographic classifier.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.robustness import weight_noise_curve
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=3, lr=3e-3, random_state=0).fit(X, y)
    >>> curve = weight_noise_curve(clf, X, y, n_repeats=2, random_state=0)
    >>> curve.shape
    (10, 5)
    """
    evaluation = Evaluation(estimator, X, y)
    seed = check_random_state(random_state).randint(2**31)
    return _weight_noise(evaluation, sigmas, scale, layers, n_repeats, seed)


def _weight_noise(evaluation, sigmas, scale, layers, n_repeats, seed):
    """The curve of an `Evaluation`; parameters as for `weight_noise_curve`."""
    sigmas = _check_weight_noise(sigmas, scale, layers, n_repeats)
    module = evaluation.classifier.module_
    names = LAYERS.get(layers) or [
        n for n, w in module.named_parameters() if w.ndim > 1
    ]
    weights = {n: module.get_parameter(n).detach().cpu().numpy() for n in names}
    steps = [_noise_steps(weights, scale, seed, repeat) for repeat in range(n_repeats)]
    conditions = [(sigma, repeat) for sigma in sigmas for repeat in range(n_repeats)]
    noisy = (
        {n: weights[n] + sigma * steps[repeat][n] for n in names}
        for sigma, repeat in conditions
    )
    if layers == "all":
        accuracies, heads = _network_accuracies(evaluation, noisy)
    else:
        accuracies, heads = _head_accuracies(evaluation, noisy)
    clean = evaluation.accuracy if layers == "all" else accuracies.pop()
    table = pd.DataFrame(conditions, columns=["sigma", "repeat"])
    table["accuracy"] = accuracies
    table["accuracy_change"] = table["accuracy"] - clean
    table["rsm_similarity"] = _readout_similarity(evaluation.head, heads)
    table.attrs.update(n_images=len(evaluation.y), clean_accuracy=clean)
    return table


def _check_weight_noise(sigmas, scale, layers, n_repeats):
    """The strengths as a list, if all settings are in order."""
    if layers not in (*LAYERS, "all"):
        raise ValueError(
            f"layers must be one of {sorted((*LAYERS, 'all'))}; got {layers!r}."
        )
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {sorted(SCALES)}; got {scale!r}.")
    if not isinstance(n_repeats, Integral) or n_repeats < 1:
        raise ValueError(
            f"n_repeats must be an integer of 1 or more; got {n_repeats!r}."
        )
    sigmas = np.atleast_1d(sigmas).tolist()
    if not sigmas or not all(isinstance(s, Real) and 0 <= s <= 1e30 for s in sigmas):
        raise ValueError(
            f"sigmas must be one number or more, finite (up to 1e30) and at least 0; "
            f"got {sigmas}."
        )
    return sigmas


def _noise_steps(weights, scale, seed, repeat):
    """Noise of strength 1 for each layer: s * eps, keyed by seed, repeat and name."""
    steps = {}
    for name, weight in weights.items():
        rng = np.random.default_rng([seed, repeat, zlib.crc32(name.encode())])
        eps = rng.standard_normal(weight.shape, dtype=np.float32)
        steps[name] = eps * weight.std() if scale == "std" else eps
    return steps


def _head_accuracies(evaluation, noisy):
    """Accuracies of perturbed heads, the clean one last; features are reused."""
    clean = evaluation.head
    heads = []
    for weights in noisy:
        grid = weights.get("grid.weight", clean.grid_weights)
        readout = weights.get("readout.weight", clean.readout_weights)
        heads.append(Head(grid, clean.grid_bias, readout, clean.readout_bias))
    accuracies = np.zeros(len(heads) + 1)
    for rows, features in evaluation.chunks():
        for i, head in enumerate([*heads, clean]):
            accuracies[i] += evaluation.hits(_best_class(head, features), rows)
    return (accuracies / evaluation.total_weight).tolist(), heads


def _network_accuracies(evaluation, noisy):
    """Accuracies of perturbed copies of the whole network."""
    classifier = evaluation.classifier
    module = copy.deepcopy(classifier.module_)
    accuracies, heads = [], []
    for weights in noisy:
        for name, weight in weights.items():
            module.get_parameter(name).data.copy_(torch.from_numpy(weight))
        heads.append(Head.of(module))
        best, _ = classifier._evaluate(evaluation.X, _best_class, module)
        hits = evaluation.hits(best, slice(None))
        accuracies.append(hits / evaluation.total_weight)
    return accuracies, heads


def _readout_similarity(clean, heads):
    if len(clean.readout_weights) < 3:
        return np.nan
    before = representational_similarity(clean.readout_weights)
    return [
        rsm_similarity(before, representational_similarity(head.readout_weights))
        for head in heads
    ]


def image_noise_curve(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    kinds: Sequence[str] = ("white", "pink", "salt_and_pepper"),
    levels: Sequence[float] = (0.01, 0.05, 0.1, 0.15, 0.2),
    random_state: int | np.random.RandomState | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    exponent: float = 1.0,
) -> pd.DataFrame:
    """Accuracy of a fitted classifier on noisy images.

    With one random state, each model meets the same noisy images.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, or a Pipeline that ends in one; there the
        noise is added to the classifier's input.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images.
    y : array-like of shape (n,)
        Class labels.
    kinds : sequence of {"white", "pink", "salt_and_pepper"}, default=all three
        Kinds of noise; see `sktopo.noise`.
    levels : sequence of float, default=(0.01, 0.05, 0.1, 0.15, 0.2)
        Strengths as shares of the value range, each at least 0.
    random_state : int, RandomState instance or None, default=None
        Seed of the noise.
    value_range : tuple of (float, float), default=None
        Smallest and largest value that an image can take; None: `pixel_range_` of the
        classifier. To compare models that were trained on different images, give one
        range to all.
    exponent : float, default=1.0
        Slope of the amplitudes of pink noise.

    Returns
    -------
    DataFrame
        A row a kind and level: kind, level, accuracy, accuracy_change (noisy minus
        clean, negative is a loss). `attrs` holds n_images and clean_accuracy.

    Raises
    ------
    ValueError
        On an unknown kind, a negative level, or y of another length.
    TypeError
        If the estimator holds no topographic classifier.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.robustness import image_noise_curve
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=3, lr=3e-3, random_state=0).fit(X, y)
    >>> image_noise_curve(clf, X, y, kinds=["white"], random_state=0).shape
    (5, 4)
    """
    evaluation = Evaluation(estimator, X, y)
    seed = check_random_state(random_state).randint(2**31)
    return _image_noise(evaluation, kinds, levels, seed, value_range, exponent)


def _image_noise(evaluation, kinds, levels, seed, value_range=None, exponent=1.0):
    """The curve of an `Evaluation`; parameters as for `image_noise_curve`."""
    kinds, levels = _check_image_noise(kinds, levels, exponent)
    classifier = evaluation.classifier
    if value_range is None:
        value_range = classifier.pixel_range_
    value_range = _check_value_range(value_range)
    conditions = [(kind, level) for kind in kinds for level in levels]
    # One stream a kind, so that levels share their draws and kinds can be left out.
    streams = {
        (kind, level): np.random.default_rng([seed, zlib.crc32(kind.encode())])
        for kind, level in conditions
    }
    hits = dict.fromkeys(conditions, 0.0)
    chunk = max(2, min(_CHUNK, _CHUNK_VALUES // classifier.n_features_in_))
    for rows in slices(len(evaluation.y), chunk):
        images = as_batch(evaluation.X, rows, classifier.image_shape_).numpy()
        for condition in conditions:
            kind, level = condition
            noisy = add_noise(
                images,
                kind,
                level,
                value_range=value_range,
                rng=streams[condition],
                exponent=exponent,
            )
            best, _ = classifier._evaluate(noisy, _best_class)
            hits[condition] += evaluation.hits(best, rows)
    clean = evaluation.accuracy
    table = pd.DataFrame(conditions, columns=["kind", "level"])
    table["accuracy"] = np.array(list(hits.values())) / evaluation.total_weight
    table["accuracy_change"] = table["accuracy"] - clean
    table.attrs.update(n_images=len(evaluation.y), clean_accuracy=clean)
    return table


def _check_image_noise(kinds, levels, exponent=1.0):
    """Kinds and levels as lists, each once, if all settings are in order."""
    kinds = list(dict.fromkeys([kinds] if isinstance(kinds, str) else kinds))
    levels = list(dict.fromkeys(np.atleast_1d(levels).tolist()))
    if not kinds or not levels:
        raise ValueError(
            f"Give one kind and one level or more; got {kinds} and {levels}."
        )
    if unknown := [kind for kind in kinds if kind not in NOISES]:
        raise ValueError(f"kinds must be among {sorted(NOISES)}; got {unknown}.")
    for level in levels:
        _check_level(level)
    _check_exponent(exponent)
    return kinds, levels


def pruning_curve(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    order: str | Sequence[str] = "zeros",
    fractions: Sequence[float] = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """Accuracy of a fitted classifier as more and more grid units are silenced.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, or a Pipeline that ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images.
    y : array-like of shape (n,)
        Class labels.
    order : {"zeros", "readout_norm", "random", "block"} or sequence, default="zeros"
        Which units go first: those that are silent for most of these images; those
        with the smallest readout weights; in random order; or the neighbourhood of a
        randomly chosen unit, nearest first. Several names give several curves.
    fractions : sequence of float, default=(0, 0.1, ..., 1)
        Shares of the units that are silenced, in [0, 1].
    random_state : int, RandomState instance or None, default=None
        Seed of "random" and "block".

    Returns
    -------
    DataFrame
        A row an order and fraction: order, fraction, n_pruned (units), accuracy,
        accuracy_change (pruned minus clean, negative is a loss). `attrs` holds n_images
        and clean_accuracy.

    Raises
    ------
    ValueError
        On an unknown order, a fraction outside [0, 1], or y of another length.
    TypeError
        If the estimator holds no topographic classifier.

    See Also
    --------
    area_under_curve : A summary of each curve.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.robustness import pruning_curve
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=3, lr=3e-3, random_state=0).fit(X, y)
    >>> pruning_curve(clf, X, y, fractions=[0, 0.5]).n_pruned.tolist()
    [0, 60]
    """
    evaluation = Evaluation(estimator, X, y)
    seed = check_random_state(random_state).randint(2**31)
    return _pruning(evaluation, order, fractions, seed)


def _pruning(evaluation, order, fractions, seed):
    orders = list(dict.fromkeys([order] if isinstance(order, str) else order))
    if unknown := [name for name in orders if name not in ORDERS]:
        raise ValueError(f"order must be among {sorted(ORDERS)}; got {unknown}.")
    fractions = list(dict.fromkeys(np.atleast_1d(fractions).tolist()))
    inside = all(isinstance(f, Real) and 0 <= f <= 1 for f in fractions)
    if not orders or not fractions or not inside:
        raise ValueError(
            f"Give one order and one fraction or more, fractions must lie in [0, 1]; "
            f"got {orders} and {fractions}."
        )
    grid, head = evaluation.classifier.grid_, evaluation.head
    rng = np.random.default_rng(seed)
    center = rng.integers(grid.n_units)
    ranked = {
        "random": rng.permutation(grid.n_units),
        "block": np.argsort(grid.distances[center], kind="stable"),
    }
    norms = np.linalg.norm(head.readout_weights, axis=0)
    ranked["readout_norm"] = np.argsort(norms, kind="stable")
    evaluation.keep_features()
    if "zeros" in orders:
        silent = np.zeros(grid.n_units)
        for _, activations in evaluation.activation_chunks():
            silent += percentage_of_zeros(activations) * len(activations)
        ranked["zeros"] = np.argsort(-silent.round(), kind="stable")
    table = pd.DataFrame(
        [(name, fraction) for name in orders for fraction in fractions],
        columns=["order", "fraction"],
    )
    n_pruned = np.floor(table["fraction"] * grid.n_units + 0.5 - 1e-9).astype(int)
    table["n_pruned"] = n_pruned
    pruned = [ranked[name][:n] for name, n in zip(table["order"], n_pruned)]
    hits = np.zeros(len(pruned) + 1)  # the last for the whole head
    for rows, activations in evaluation.activation_chunks():
        for i, units in enumerate([*pruned, []]):
            kept = activations.copy()
            kept[:, units] = 0
            hits[i] += evaluation.hits(head.classify(kept).argmax(axis=1), rows)
    *accuracies, clean = (hits / evaluation.total_weight).tolist()
    table["accuracy"] = accuracies
    table["accuracy_change"] = table["accuracy"] - clean
    table.attrs.update(n_images=len(evaluation.y), clean_accuracy=clean)
    return table


# What runs along each curve, what tells curves of one table apart, and the unit.
_CURVES = {
    "sigma": (None, "accuracy x sigma"),
    "level": ("kind", "accuracy x share of the value range"),
    "fraction": ("order", "accuracy x share of units"),
}


def area_under_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Summarise each curve of a table by its area.

    Parameters
    ----------
    curve : DataFrame
        From `weight_noise_curve` (repeats are averaged), `image_noise_curve` or
        `pruning_curve`, with two points or more a curve.

    Returns
    -------
    DataFrame
        A row a curve: curve, the kind of noise or order of pruning ("weight noise" for
        weights); area, of the accuracy by the trapezoidal rule; unit; mean_accuracy,
        the area over the length of the axis; n_points.

    Raises
    ------
    ValueError
        If the table is no such curve, or holds a curve of one point.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktopo.robustness import area_under_curve
    >>> curve = pd.DataFrame({"sigma": [0.0, 0.5], "accuracy": [1.0, 0.5]})
    >>> area_under_curve(curve).area.tolist()
    [0.375]
    """
    axis = next((name for name in _CURVES if name in curve), None)
    if axis is None or "accuracy" not in curve:
        raise ValueError(
            f"Expected a table of weight_noise_curve, image_noise_curve or "
            f"pruning_curve; got columns {list(curve)}."
        )
    by, unit = _CURVES[axis]
    names = curve[by] if by else pd.Series("weight noise", index=curve.index)
    rows = []
    for name, part in curve.groupby(names, sort=False):
        mean = part.groupby(axis)["accuracy"].mean().sort_index()
        if len(mean) < 2:
            raise ValueError(f"An area needs two points or more; {name!r} has one.")
        area = float(np.trapezoid(mean, mean.index))
        length = mean.index[-1] - mean.index[0]
        rows.append((name, area, unit, area / length, len(mean)))
    columns = ["curve", "area", "unit", "mean_accuracy", "n_points"]
    return pd.DataFrame(rows, columns=columns)
