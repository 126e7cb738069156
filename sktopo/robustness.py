"""Robustness of a fitted classifier to weight noise and image noise."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from itertools import product
from sys import float_info

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from sktopo._evaluation import Evaluation, LabelledImages
from sktopo._forward import best_class
from sktopo._images import as_batch, slices
from sktopo._numbers import as_names, as_numbers, check_name, check_whole
from sktopo._subject import open_predictor
from sktopo._warn import warn_user
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
    *,
    layer: str | None = None,
) -> pd.DataFrame:
    """Accuracy of a fitted classifier whose weights are perturbed.

    Weights W become W + sigma * s * eps with eps standard normal; biases stay. The
    estimator itself is never changed. With one random state, each repeat draws the same
    eps for a layer of a given shape, at each sigma and in each model.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, a FrozenNetwork, or a Pipeline or search that
        ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images.
    y : array-like of shape (n,)
        Class labels.
    sigmas : iterable of float, default=(0.05, 0.1, 0.2, 0.5, 1.0)
        Strengths of the noise, each at least 0. A number that comes twice, in whatever
        spelling (0.3 and 0.1 + 0.2), counts once; so in all curves.
    scale : {"std", "absolute"}, default="std"
        s is the standard deviation of the layer's own weights, or 1.
    layers : {"grid", "readout", "head", "all"} or str, default="head"
        Which weights: the grid layer (of any layer that is looked at, see `layer`), the
        readout, both, or every tensor of the network with two dimensions or more; or
        the name of a module, for all tensors in it. In the two layers of a topographic
        classifier's head, noise needs the backbone once for all.
    n_repeats : int, default=10
        Draws of eps.
    random_state : int, RandomState instance or None, default=None
        Seed of eps.
    layer : str, default=None
        Name of the layer that "grid" stands for. None: the grid.

    Returns
    -------
    DataFrame
        A row a sigma and repeat: sigma, repeat, accuracy, accuracy_change (perturbed
        minus clean, negative is a loss), rsm_similarity (cosine between the readout's
        cosine similarity matrices before and after; nan for fewer than three classes,
        or without a readout). `attrs` holds n_images and clean_accuracy.

    Raises
    ------
    ValueError
        On an unknown scale or layer, a negative sigma, or y of another length; or if
        the model has no such weights, or no classes.
    TypeError
        If the estimator holds no network.

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
    evaluation = Evaluation.of(estimator, X, y, layer=layer)
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
    evaluation.require_accuracy()
    names = evaluation.network.weight_names(layers)
    weights = evaluation.network.get_weights(names)
    noise = _WeightNoise(weights, sigmas, scale, n_repeats, seed)
    head = evaluation.head
    if head is not None and set(names) <= set(evaluation.network.head_names):
        *hits, clean = _head_hits(evaluation, noise)
        clean /= evaluation.total_weight
    else:
        hits, clean = _network_hits(evaluation, noise), evaluation.accuracy
    table = pd.DataFrame(noise.conditions, columns=["sigma", "repeat"])
    table["accuracy"] = np.array(hits) / evaluation.total_weight
    table["accuracy_change"] = table["accuracy"] - clean
    table["rsm_similarity"] = _readout_similarity(evaluation.network, noise)
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
    if not isinstance(layers, str):
        raise ValueError(
            f"layers must be one of 'all', 'grid', 'head', 'readout', or the name of a "
            f"module; got {layers!r}."
        )
    check_name("scale", scale, SCALES)
    check_whole("n_repeats", n_repeats, 1)
    return as_numbers("sigmas", sigmas, 0, 1e30, "finite (up to 1e30) and at least 0")


class _WeightNoise:
    """Perturbed weights of the layers, drawn anew each time that they are asked for.

    The draw is keyed by seed, repeat and the layer's name, so that one set of weights
    is held at a time, whatever the number of conditions.
    """

    def __init__(self, weights, sigmas, scale, n_repeats, seed):
        self.sigmas, self.n_repeats = sigmas, n_repeats
        self.scale, self.seed = scale, seed
        self.weights = weights

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
    grid_name, readout_name = evaluation.network.head_names
    hits = np.zeros(len(noise.conditions) + 1)
    for rows, features in evaluation.chunks():
        for i, weights in noise.draws():
            grid = weights.get(grid_name, clean.grid_weights)
            readout = weights.get(readout_name, clean.readout_weights)
            head = Head(grid, clean.grid_bias, readout, clean.readout_bias)
            hits[i] += evaluation.hits(best_class(head, features), rows)
        hits[-1] += evaluation.hits(best_class(clean, features), rows)
    return hits


def _network_hits(evaluation, noise):
    """Hits of the whole network with perturbed weights."""
    hits = np.zeros(len(noise.conditions))
    for i, weights in noise.draws():
        with evaluation.network.with_weights(weights):
            best, _ = evaluation.subject.best(evaluation.X)
        hits[i] = evaluation.hits(best, slice(None))
    return hits


def _readout_similarity(network, noise):
    """Cosine of the readout's similarity matrices before and after each condition."""
    similarity = np.full(len(noise.conditions), np.nan)
    clean = network.readout_weights
    if clean is None or len(clean) < 3:
        return similarity
    before, name = representational_similarity(clean), network.head_names[1]
    for i, weights in noise.draws(only=name):
        after = weights[name].reshape(clean.shape) if name in weights else clean
        similarity[i] = rsm_similarity(before, representational_similarity(after))
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
        A fitted TopographicCNNClassifier, a FrozenNetwork, or a Pipeline or search that
        ends in one; there the noise is added to the network's input. Or any other
        fitted classifier; there it is added to X.
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
        classifier (other classifiers have none, and need one here). To compare models
        that were trained on different images, give one range to all.
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
        On an unknown kind, a negative level, or y of another length; or without a value
        range.
    TypeError
        If the estimator is no fitted classifier.

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
    evaluation = LabelledImages(*open_predictor(estimator, X), y)
    seed = check_random_state(random_state).randint(2**31)
    return evaluate_image_noise(evaluation, kinds, levels, seed, value_range, exponent)


def evaluate_image_noise(
    evaluation, kinds, levels, seed, value_range=None, exponent=1.0
):
    """Take the curve of `image_noise_curve` from an evaluation.

    Parameters
    ----------
    evaluation : LabelledImages
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
    evaluation.require_accuracy()
    subject = evaluation.subject
    if value_range is None:
        value_range = subject.value_range
    if value_range is None:
        raise ValueError(
            f"{type(subject.estimator).__name__} does not know the range of its "
            f"images' values, of which the levels are shares. Give it: "
            f"value_range=(smallest, largest)."
        )
    value_range = check_value_range(value_range)
    conditions = list(product(kinds, levels))
    # One stream a kind, so that levels share their draws and kinds can be left out.
    streams = {
        (kind, level): np.random.default_rng([seed, zlib.crc32(kind.encode())])
        for kind, level in conditions
    }
    hits = dict.fromkeys(conditions, 0.0)
    extremes = []
    chunk = max(2, min(_CHUNK, _CHUNK_VALUES // math.prod(subject.image_shape)))
    for rows in slices(len(evaluation.y), chunk):
        images = as_batch(evaluation.X, rows, subject.image_shape).numpy()
        extremes += [images.min(), images.max()]
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
            best, _ = subject.best(noisy)
            hits[condition] += evaluation.hits(best, rows)
    _warn_of_clipping(min(extremes), max(extremes), value_range)
    clean = evaluation.accuracy
    table = pd.DataFrame(conditions, columns=["kind", "level"])
    table["accuracy"] = np.array(list(hits.values())) / evaluation.total_weight
    table["accuracy_change"] = table["accuracy"] - clean
    table.attrs.update(n_images=len(evaluation.y), clean_accuracy=clean)
    return table


def _warn_of_clipping(smallest, largest, value_range):
    """Say so if noise, which is clipped, took much more than noise from the images."""
    low, high = value_range
    if smallest < low - (high - low) / 2 or largest > high + (high - low) / 2:
        warn_user(
            f"Images have values from {smallest:g} to {largest:g}, and the noisy ones "
            f"are clipped to {value_range}, so that more than noise is lost. Give the "
            f"range of the images: value_range=(smallest, largest), here or, where it "
            f"is one, to the FrozenNetwork."
        )


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
    *,
    layer: str | None = None,
) -> pd.DataFrame:
    """Accuracy of a fitted classifier as more and more units are silenced.

    A silenced unit gives 0 whatever it sees: of a channel, at each position.

    Parameters
    ----------
    estimator : estimator
        A fitted TopographicCNNClassifier, a FrozenNetwork, or a Pipeline or search that
        ends in one.
    X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
        Images.
    y : array-like of shape (n,)
        Class labels.
    order : {"zeros", "readout_norm", "random", "block"} or iterable, default="zeros"
        Which units go first: those that are silent for most of these images; those
        with the smallest readout weights (of units that the readout reads itself, with
        at most a ReLU between); in random order; or the neighbourhood of a randomly
        chosen unit, nearest first. Several names give several curves.
    fractions : iterable of float, default=(0, 0.1, ..., 1)
        Shares of the units that are silenced, in [0, 1]; the number of units is
        rounded, halves to even.
    random_state : int, RandomState instance or None, default=None
        Seed of "random" and "block".
    layer : str, default=None
        Name of the layer whose units are silenced. None: the grid.

    Returns
    -------
    DataFrame
        A row an order and fraction: order, fraction, n_pruned (units), accuracy,
        accuracy_change (pruned minus clean, negative is a loss). `attrs` holds n_images
        and clean_accuracy.

    Raises
    ------
    ValueError
        On an unknown order, a fraction outside [0, 1], or y of another length; or if
        the model has no classes, or no readout of its units.
    TypeError
        If the estimator holds no network.

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
    evaluation = Evaluation.of(estimator, X, y, layer=layer)
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
    evaluation.require_accuracy()
    n_units = evaluation.subject.grid.n_units
    evaluation.keep_if_small()
    ranked = _rank_units(evaluation, orders, seed)
    conditions = list(product(orders, fractions))
    table = pd.DataFrame(conditions, columns=["order", "fraction"])
    table["n_pruned"] = np.rint(table["fraction"] * n_units).astype(int)
    pruned = [ranked[o][:n] for o, n in zip(table["order"], table["n_pruned"])]
    hits = np.zeros(len(pruned) + 1)  # the last for the whole network
    for rows, activations in evaluation.activation_chunks():
        for i, units in enumerate([*pruned, []]):
            best = evaluation.best_without(units, rows, activations)
            hits[i] += evaluation.hits(best, rows)
    *accuracies, clean = (hits / evaluation.total_weight).tolist()
    table["accuracy"] = accuracies
    table["accuracy_change"] = table["accuracy"] - clean
    table.attrs.update(n_images=len(evaluation.y), clean_accuracy=clean)
    return table


def pruning_orders(evaluation):
    """Orders in which the units of a network can be silenced.

    Parameters
    ----------
    evaluation : Evaluation
        The network at its layer.

    Returns
    -------
    list of str
        All, but "readout_norm" only where the readout reads these units.
    """
    return [name for name in ORDERS if name != "readout_norm" or evaluation.head]


def _rank_units(evaluation, orders, seed):
    """The units in each order, those first that are silenced first."""
    grid = evaluation.subject.grid
    rng = np.random.default_rng(seed)
    center = rng.integers(grid.n_units)
    ranked = {
        "random": rng.permutation(grid.n_units),
        "block": np.argsort(grid.distances[center], kind="stable"),
    }
    if unknown := set(orders) - set(pruning_orders(evaluation)):
        raise ValueError(
            f"order={sorted(unknown)} needs a readout that reads the units of "
            f"{evaluation.network.layer!r} themselves, with at most a ReLU between; "
            f"this network has none. Use another order."
        )
    if "readout_norm" in orders:
        norms = np.linalg.norm(evaluation.head.readout_weights, axis=0)
        ranked["readout_norm"] = np.argsort(norms, kind="stable")
    if "zeros" in orders:
        silent = np.zeros(grid.n_units)
        for _, activations in evaluation.activation_chunks():
            silent += percentage_of_zeros(activations) * len(activations)
        ranked["zeros"] = np.argsort(-silent.round(), kind="stable")
    return ranked


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
