"""What a fit came to where it did not learn, and what to do about it (private)."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sktopo._forward import best_class, evaluate, images_at_once, run_in_batches
from sktopo._images import slices
from sktopo._modes import plain_modes
from sktopo._modules import weight_rows
from sktopo._warn import warn_user
from sktopo.grid import Grid
from sktopo.losses.reading import CONVOLUTIONS, unit_responses
from sktopo.networks import GRID

N_IMAGES = 256
"""At most so many training images are looked at, and fewer of very large ones."""
FEWEST_STEPS = 100
"""A model of fewer steps is not judged, unless its spatial loss rules the task."""
COLLAPSED = 0.95
"""Mean Pearson r over all pairs of units above which a sheet is one map."""
SHRUNK = 1 / 3
"""Norm of a layer's weights, over that at the start, under which they are shrunk."""
ALIGNED = 0.1
"""Mean cosine of neighbours' weights from which on they are aligned at all."""
MOSTLY = 0.5
"""Share of that cosine in dead inputs above which neighbours are aligned there."""

# What values of no more than float32's rounding differ by, over the largest.
_ROUNDING = 1e-6
# Values of the images that are looked at.
_MOST_VALUES = 2**24
# At most so many positions of a convolution are read of each image.
_N_POSITIONS = 16


@dataclass
class Finding:
    """What is wrong with a model, in words, and what to do about it.

    Parameters
    ----------
    what, advice : str
        A clause without its full stop, and a sentence.
    """

    what: str
    advice: str


def warn_of_failures(estimator, X):
    """Say so if a model that was trained for a while did not learn what it was to.

    It knows one answer only, or its spatial loss was met by cheating: the responses of
    a sheet are one map, weights are shrunk, or neighbours are alike in inputs that
    carry nothing. Each is a ConvergenceWarning, as scikit-learn calls an end of
    training that is none; a model of one answer gets one warning, that holds all.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    X : ndarray or LazyImages
        Its checked training images.
    """
    if not _is_judged(estimator):
        return
    n_images = int(np.clip(_MOST_VALUES // estimator.n_features_in_, 2, N_IMAGES))
    images = X[np.unique(np.linspace(0, len(X) - 1, n_images).astype(int))]
    constant = _find_one_answer(estimator, images) if is_classifier(estimator) else None
    found = find_cheats(estimator, images)
    if constant is not None:
        what = ". ".join(finding.what for finding in [constant, *found])
        found = [Finding(what, constant.advice)]
    for finding in found:
        warn_user(f"{finding.what}. {finding.advice}", ConvergenceWarning)


def _is_judged(estimator):
    history, lam = estimator.net_.history, estimator.lam
    last = history[-1]
    n_steps = sum(epoch.get("train_batch_count", 0) for epoch in history)
    topo_loss = last.get("lam", lam) * last.get("topo_loss", 0)
    return n_steps >= FEWEST_STEPS or topo_loss > 10 * last["task_loss"]


def _find_one_answer(classifier, images):
    """Whether a classifier knows one answer only."""
    found = set()
    for part in slices(len(images), min(32, images_at_once(classifier.n_features_in_))):
        best, _ = evaluate(classifier, images[part], best_class)
        found.update(best.tolist())
        if len(found) > 1:
            return None
    answer = classifier.classes_[[found.pop()]].tolist()[0]
    return Finding(
        f"The trained model predicts {answer!r} for each of "
        f"{len(images)} training images looked at",
        f"Use a smaller lam (now {classifier.lam:g}), another lr (now "
        f"{classifier.lr:g}), or train for more epochs (now {classifier.n_iter_}).",
    )


def find_cheats(estimator, images):
    """How spatial losses of a fitted model were met by cheating.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    images : ndarray
        Checked training images.

    Returns
    -------
    list of Finding
        One a kind of cheat, for all layers.
    """
    terms = estimator.net_.criterion_.terms
    if not terms:
        return []
    layers = list(dict.fromkeys(term.layer for term in terms))
    with plain_modes():
        seen = _look(estimator, images, layers)
        found = (
            _find_collapse(seen, len(images)),
            _find_shrinking(estimator, terms),
            _find_dead_inputs(estimator, terms, seen, len(images)),
        )
    return [finding for finding in found if finding is not None]


# ------------------------------------------------------------------- what layers do


@dataclass
class Seen:
    """What a layer gave and was given, for some images.

    Parameters
    ----------
    responses : ndarray of shape (n, n_units)
        Of a convolution at some positions, which count as further images.
    dead : ndarray of shape (n_inputs,), bool
        Inputs, of a convolution channels, that are the same in all images, everywhere.
    """

    responses: np.ndarray
    dead: np.ndarray


def _look(estimator, images, layers):
    """What layers give and are given, by name; those that images go through once."""
    network, device = estimator.module_.eval(), estimator.net_.device
    names = []

    def run(batch):
        with _recorded(network, layers) as parts:
            answers = network(batch.to(device))
        names[:] = [name for name in parts if len(parts[name]) == 1]
        return answers, *(tensor for name in names for tensor in parts[name][0])

    kept, _ = run_in_batches(
        images,
        estimator.image_shape_,
        images_at_once(estimator.n_features_in_),
        estimator.pixel_range_,
        run,
        lambda answers, *parts: parts,
    )
    seen = {}
    for i, name in enumerate(names):
        responses, lowest, highest = kept[3 * i : 3 * i + 3]
        responses = responses.reshape(-1, responses.shape[-1])
        seen[name] = Seen(responses, _is_constant(lowest.min(0), highest.max(0)))
    return seen


@contextlib.contextmanager
def _recorded(network, layers):
    """Responses of layers at some positions, lowest and highest value of each input."""
    parts = {name: [] for name in layers}

    def keep(name):
        def hook(module, args, kwargs, output):
            given = next(iter((*args, *kwargs.values())))
            if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
                given = output  # it has no weights that read an input
            given, gave = (
                unit_responses(values.float(), module, name, "per_image")
                for values in (given, output)
            )
            given, gave = (v if v.ndim == 3 else v[:, None] for v in (given, gave))
            step = math.ceil(gave.shape[1] / _N_POSITIONS)
            parts[name].append((gave[:, ::step].clone(), *torch.aminmax(given, dim=1)))

        return hook

    with contextlib.ExitStack() as stack:
        for name in layers:
            layer = network.get_submodule(name)
            handle = layer.register_forward_hook(keep(name), with_kwargs=True)
            stack.callback(handle.remove)
        yield parts


def _is_constant(lowest, highest):
    """Which values differ by no more than rounding."""
    return highest - lowest <= _ROUNDING * np.maximum(abs(lowest), abs(highest))


# ------------------------------------------------------------------- kinds of cheats


def mean_correlation(responses):
    """Mean Pearson r over all pairs of units that are not constant.

    Parameters
    ----------
    responses : ndarray of shape (n, n_units)
        Responses of units to images.

    Returns
    -------
    tuple of (float, int)
        The mean, nan of fewer than two such units; and their number.
    """
    alive = ~_is_constant(responses.min(axis=0), responses.max(axis=0))
    n_alive = int(alive.sum())
    if n_alive < 2:
        return np.nan, n_alive
    z = responses[:, alive].astype(float)
    z /= np.abs(z).max(axis=0)
    z -= z.mean(axis=0)
    z /= np.linalg.norm(z, axis=0)
    # the sum over all pairs, each unit with itself among them
    total = np.square(z.sum(axis=1)).sum()
    return (total - n_alive) / (n_alive * (n_alive - 1)), n_alive


def _find_collapse(seen, n_images):
    found = []
    for layer, layer_seen in seen.items():
        r, n_alive = mean_correlation(layer_seen.responses)
        n_units = layer_seen.responses.shape[1]
        if n_alive < 2:
            found.append(
                f"{layer!r}: {n_units - n_alive} of {n_units} units are constant"
            )
        elif r > COLLAPSED:
            found.append(
                f"{layer!r}: mean r = {r:.3f} over all pairs of {n_alive} units"
            )
    if not found:
        return None
    return Finding(
        f"Units of a topographic layer all respond alike to {n_images} training images "
        f"looked at, so that the sheet is one map ({_listed(found)})",
        'Use a smaller lam, lam_mode="calibrated" in place of "matched", or another '
        "lr; a sheet of one map tells images apart by one number.",
    )


def _find_shrinking(estimator, terms):
    found = []
    for term in terms:
        rows, grid = _sheet(estimator, term)
        start = estimator.net_.initial_norms.get(term.layer, 0)
        if rows is None:
            continue
        norm = float(np.linalg.norm(rows.astype(float)))
        cosine, _ = neighbor_cosine(rows, grid.edges)
        by_alignment = np.sqrt(np.clip(1 - cosine, 0, 1))
        shrunk = norm < SHRUNK * start * by_alignment
        if shrunk and _feels_scale(term.loss, rows.shape):
            found.append(
                f"{term.layer!r}: norm {norm:.3g}, at the start {start:.3g}, mean "
                f"cosine of neighbours {cosine:.2f}"
            )
    if not found:
        return None
    return Finding(
        f"Weights of a topographic layer shrank more than neighbours became alike, "
        f"which makes a spatial loss small without a map ({_listed(found)})",
        "Use a smaller lam, or a loss that does not feel how large weights are, such "
        'as that of distance="cosine".',
    )


def _feels_scale(loss, shape):
    """Whether a loss has another value for vectors of the same directions.

    One of the user's own that cannot read random vectors is taken to have none.
    """
    if loss.source == "activations":
        shape = (32, shape[0])
    vectors = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    vectors = vectors.float()
    for tensor in (*loss.parameters(), *loss.buffers()):
        vectors = vectors.to(tensor.device)
    try:
        with torch.no_grad():
            values = [float(loss(scale * vectors)) for scale in (1, 3)]
    except Exception:  # whatever it raises
        return False
    return not np.isclose(*values, rtol=1e-3, atol=1e-6)


def neighbor_cosine(weights, edges, dead=None):
    """Neighbours' mean cosine, and the share of it that lies in dead inputs.

    Parameters
    ----------
    weights : ndarray of shape (n_units, fan_in)
        Incoming weights of the units; those of a unit of zeros have the cosine 0.
    edges : ndarray of shape (n_edges, 2)
        Pairs of neighbours.
    dead : ndarray of shape (n_units, fan_in), bool, default=None
        Which of them are weights of dead inputs. None: none.

    Returns
    -------
    tuple of (float, float)
        The mean over pairs of cos(w_i, w_j), and the sum over pairs and dead inputs of
        w_ik w_jk / (||w_i|| ||w_j||) over the sum over pairs and all inputs; nan
        where neighbours are not alike at all.
    """
    weights = weights.astype(float)
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    weights /= np.where(norms > 0, norms, 1)
    first, second = np.asarray(edges).T
    whole = in_dead = 0.0
    for part in slices(weights.shape[1], 512):
        products = weights[first, part] * weights[second, part]
        whole += products.sum()
        if dead is not None:
            in_dead += products[dead[first, part] & dead[second, part]].sum()
    return whole / len(first), in_dead / whole if whole > 0 else np.nan


def _find_dead_inputs(estimator, terms, seen, n_images):
    found = []
    for term in terms:
        rows, grid = _sheet(estimator, term)
        if term.loss.source != "weights" or rows is None or term.layer not in seen:
            continue
        dead = seen[term.layer].dead
        if not dead.any():
            continue
        module = estimator.module_.get_submodule(term.layer)
        cosine, share = neighbor_cosine(rows, grid.edges, _dead_weights(module, dead))
        if cosine >= ALIGNED and share > MOSTLY:
            found.append(
                f"{term.layer!r}: {dead.sum()} of {len(dead)} inputs, which hold "
                f"{min(share, 1):.2f} of the neighbours' mean cosine of {cosine:.2f}"
            )
    if not found:
        return None
    return Finding(
        f"Neighbours of a topographic layer are alike mostly in their weights of dead "
        f"inputs, which are the same for all of {n_images} training images looked at: "
        f"that costs nothing, and makes no responses alike ({_listed(found)})",
        "Keep inputs alive (crop blank borders, use a backbone with batch norm such as "
        '"lenet", or a smaller lr), or use a loss that gains little there: '
        'topo_loss="as", or "ws" with its Euclidean distance.',
    )


def _sheet(estimator, term):
    """Weights of a term's layer, a row a unit, and its grid; None without either."""
    rows = weight_rows(estimator.module_.get_submodule(term.layer))
    grid = getattr(term.loss, "grid", None)
    if grid is None and term.layer == GRID:
        grid = estimator.grid_
    fits = rows is not None and isinstance(grid, Grid) and len(rows) == grid.n_units
    return (rows, grid) if fits else (None, None)


def _dead_weights(module, dead):
    """Which weights of a layer (n_units, fan_in) read dead inputs."""
    weight = module.weight
    if isinstance(module, nn.Linear):
        return np.broadcast_to(dead, tuple(weight.shape))
    n_units, n_read = weight.shape[:2]
    groups = np.repeat(dead.reshape(module.groups, n_read), n_units // module.groups, 0)
    return np.repeat(groups, weight[0, 0].numel(), axis=1)


def _listed(found):
    return "; ".join(dict.fromkeys(found))
