"""Robustness of a fitted classifier to weight noise and image noise."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterable
from itertools import product
from sys import float_info

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sktopo._evaluation import Evaluation
from sktopo._images import as_batch, slices
from sktopo._numbers import as_names, as_numbers, check_name, check_whole
from sktopo.classifier import _best_class
from sktopo.metrics import (
    percentage_of_zeros,
    representational_similarity,
    rsm_similarity,
)
from sktopo.networks import Head
from sktopo.noise import (
    NOISES,
    add_noise,
    check_exponent,
    check_level,
    check_value_range,
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
    sigmas: Iterable[float] = (0.05, 0.1, 0.2, 0.5, 1.0),
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
    sigmas : iterable of float, default=(0.05, 0.1, 0.2, 0.5, 1.0)
        Strengths of the noise, each at least 0. A number that comes twice, in whatever
        spelling (0.3 and 0.1 + 0.2), counts once; so in all curves.
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
    return evaluate_weight_noise(evaluation, sigmas, scale, layers, n_repeats, seed)


def evaluate_weight_noise(evaluation, sigmas, scale, layers, n_repeats, seed):
    """Take the curve of `weight_noise_curve` from an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        The classifier and its responses.
    sigmas, scale, layers, n_repeats : object
        As for `weight_noise_curve`.
    seed : int
        Seed of eps.

    Returns
    -------
    DataFrame
        As `weight_noise_curve` gives.
    """
    sigmas = check_weight_noise(sigmas, scale, layers, n_repeats)
    noise = _WeightNoise(
        evaluation.classifier.module_, sigmas, scale, layers, n_repeats, seed
    )
    if layers == "all":
        hits, clean = _network_hits(evaluation, noise), evaluation.accuracy
    else:
        *hits, clean = _head_hits(evaluation, noise)
        clean /= evaluation.total_weight
    table = pd.DataFrame(noise.conditions, columns=["sigma", "repeat"])
    table["accuracy"] = np.array(hits) / evaluation.total_weight
    table["accuracy_change"] = table["accuracy"] - clean
    table["rsm_similarity"] = _readout_similarity(evaluation.head, noise)
    table.attrs.update(n_images=len(evaluation.y), clean_accuracy=clean)
    return table


def check_weight_noise(sigmas, scale, layers, n_repeats):
    """Check the settings of `weight_noise_curve`.

    Parameters
    ----------
    sigmas, scale, layers, n_repeats : object
        As for `weight_noise_curve`.

    Returns
    -------
    list of float
        The strengths, each once.
    """
    check_name("layers", layers, (*LAYERS, "all"))
    check_name("scale", scale, SCALES)
    check_whole("n_repeats", n_repeats, 1)
    return as_numbers("sigmas", sigmas, 0, 1e30, "finite (up to 1e30) and at least 0")


class _WeightNoise:
    """Perturbed weights of the layers, drawn anew each time that they are asked for.

    The draw is keyed by seed, repeat and the layer's name, so that one set of weights
    is held at a time, whatever the number of conditions.
    """

    def __init__(self, module, sigmas, scale, layers, n_repeats, seed):
        self.sigmas, self.n_repeats = sigmas, n_repeats
        self.scale, self.seed = scale, seed
        names = LAYERS.get(layers) or [
            n for n, w in module.named_parameters() if w.ndim > 1
        ]
        self.weights = {
            n: module.get_parameter(n).detach().cpu().numpy() for n in names
        }

    @property
    def conditions(self):
        """Each sigma and repeat."""
        return list(product(self.sigmas, range(self.n_repeats)))

    def draws(self, only=None):
        """The number of each condition and its weights by name, one after the other."""
        chosen = {n: w for n, w in self.weights.items() if only in (None, n)}
        for repeat in range(self.n_repeats):
            steps = _noise_steps(chosen, self.scale, self.seed, repeat)
            for i, sigma in enumerate(self.sigmas):
                noisy = {n: w + sigma * steps[n] for n, w in chosen.items()}
                yield i * self.n_repeats + repeat, noisy


def _noise_steps(weights, scale, seed, repeat):
    """Noise of strength 1 for each layer: s * eps, keyed by seed, repeat and name."""
    steps = {}
    for name, weight in weights.items():
        rng = np.random.default_rng([seed, repeat, zlib.crc32(name.encode())])
        eps = rng.standard_normal(weight.shape, dtype=np.float32)
        steps[name] = eps * weight.std() if scale == "std" else eps
    return steps


def _head_hits(evaluation, noise):
    """Hits of perturbed heads, those of the clean one last; the backbone runs once."""
    clean = evaluation.head
    hits = np.zeros(len(noise.conditions) + 1)
    for rows, features in evaluation.chunks():
        for i, weights in noise.draws():
            grid = weights.get("grid.weight", clean.grid_weights)
            readout = weights.get("readout.weight", clean.readout_weights)
            head = Head(grid, clean.grid_bias, readout, clean.readout_bias)
            hits[i] += evaluation.hits(_best_class(head, features), rows)
        hits[-1] += evaluation.hits(_best_class(clean, features), rows)
    return hits


def _network_hits(evaluation, noise):
    """Hits of perturbed copies of the whole network."""
    classifier = evaluation.classifier
    module = copy.deepcopy(classifier.module_)
    hits = np.zeros(len(noise.conditions))
    for i, weights in noise.draws():
        for name, weight in weights.items():
            module.get_parameter(name).data.copy_(torch.from_numpy(weight))
        best, _ = classifier._evaluate(evaluation.X, _best_class, module)
        hits[i] = evaluation.hits(best, slice(None))
    return hits


def _readout_similarity(clean, noise):
    """Cosine of the readout's similarity matrices before and after each condition."""
    similarity = np.full(len(noise.conditions), np.nan)
    if len(clean.readout_weights) < 3:
        return similarity
    before = representational_similarity(clean.readout_weights)
    for i, weights in noise.draws(only="readout.weight"):
        readout = weights.get("readout.weight", clean.readout_weights)
        after = representational_similarity(readout)
        similarity[i] = rsm_similarity(before, after)
    return similarity


def image_noise_curve(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    kinds: Iterable[str] = ("white", "pink", "salt_and_pepper"),
    levels: Iterable[float] = (0.01, 0.05, 0.1, 0.15, 0.2),
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
    kinds : iterable of str, default=("white", "pink", "salt_and_pepper")
        Kinds of noise; see `sktopo.noise`.
    levels : iterable of float, default=(0.01, 0.05, 0.1, 0.15, 0.2)
        Strengths as shares of the value range, each at least 0; of salt and pepper at
        most 10.
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
    return evaluate_image_noise(evaluation, kinds, levels, seed, value_range, exponent)


def evaluate_image_noise(
    evaluation, kinds, levels, seed, value_range=None, exponent=1.0
):
    """Take the curve of `image_noise_curve` from an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        The classifier and the images.
    kinds, levels : object
        As for `image_noise_curve`.
    seed : int
        Seed of the noise.
    value_range, exponent : object
        As for `image_noise_curve`.

    Returns
    -------
    DataFrame
        As `image_noise_curve` gives.
    """
    kinds, levels = check_image_noise(kinds, levels)
    exponent = check_exponent(exponent)
    classifier = evaluation.classifier
    if value_range is None:
        value_range = classifier.pixel_range_
    value_range = check_value_range(value_range)
    conditions = list(product(kinds, levels))
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


def check_image_noise(kinds, levels):
    """Check the kinds and levels of `image_noise_curve`.

    Parameters
    ----------
    kinds, levels : object
        As for `image_noise_curve`.

    Returns
    -------
    tuple of (list of str, list of float)
        Both, each value once.
    """
    kinds = as_names("kinds", kinds, NOISES)
    levels = as_numbers("levels", levels, 0, float_info.max, "finite and at least 0")
    for kind, level in product(kinds, levels):
        check_level(level, kind)
    return kinds, levels


def pruning_curve(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    order: str | Iterable[str] = "zeros",
    fractions: Iterable[float] = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
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
    order : {"zeros", "readout_norm", "random", "block"} or iterable, default="zeros"
        Which units go first: those that are silent for most of these images; those
        with the smallest readout weights; in random order; or the neighbourhood of a
        randomly chosen unit, nearest first. Several names give several curves.
    fractions : iterable of float, default=(0, 0.1, ..., 1)
        Shares of the units that are silenced, in [0, 1]; the number of units is
        rounded, halves to even.
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
    return evaluate_pruning(evaluation, order, fractions, seed)


def evaluate_pruning(evaluation, order, fractions, seed):
    """Take the curve of `pruning_curve` from an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        The classifier and its responses.
    order, fractions : object
        As for `pruning_curve`.
    seed : int
        Seed of the random order and of the block's centre.

    Returns
    -------
    DataFrame
        As `pruning_curve` gives.
    """
    orders = as_names("order", order, ORDERS)
    fractions = as_numbers("fractions", fractions, 0, 1, "that must lie in [0, 1]")
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
    conditions = list(product(orders, fractions))
    table = pd.DataFrame(conditions, columns=["order", "fraction"])
    n_pruned = np.rint(table["fraction"] * grid.n_units).astype(int)
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
