"""What estimators that train a topographic network share: functions of an estimator."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedShuffleSplit

from sktopo import _saving
from sktopo._files import name_backbone
from sktopo._images import image_statistics
from sktopo._modes import plain_modes
from sktopo._sklearn_private import Interval, StrOptions, one_of, validate_params
from sktopo._training import (
    LAM_MODES,
    OPTIMIZERS,
    ImageDataset,
    NonFiniteTrainingError,
    auto_epochs,
    draw_seeds,
    seeded_initialisation,
)
from sktopo._training.making import (
    check_structure,
    configure,
    make_net,
    make_objective,
)
from sktopo.augment import AUGMENTATIONS
from sktopo.grid import NEIGHBORHOODS, Grid
from sktopo.losses import DISTANCES, LOSSES
from sktopo.networks import BACKBONES, auto_backbone, make_network

_FROM_ZERO = Interval(Real, 0, None, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
CONSTRAINTS = {
    "topo_loss": [one_of(LOSSES), callable, None],
    "lam": [_FROM_ZERO],
    "lam_mode": [one_of(LAM_MODES)],
    "topo_layers": [str, list, tuple, dict, None],
    "loss_params": [dict, None],
    "distance": [one_of(DISTANCES), None],
    "grid_shape": [tuple, list],
    "neighborhood": [one_of(NEIGHBORHOODS)],
    "wrap": ["boolean"],
    "backbone": [one_of(BACKBONES, {"auto": auto_backbone}), callable],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "image_shape": [tuple, list, None],
    "standardize": ["boolean"],
    "max_epochs": [_COUNT, StrOptions({"auto"})],
    "batch_size": [_COUNT],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "augment": [one_of(AUGMENTATIONS), callable, None],
    "optimizer": [one_of(OPTIMIZERS), callable],
    "weight_decay": [_FROM_ZERO],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [_COUNT],
    "tol": [_FROM_ZERO],
    "callbacks": [list, tuple, None],
    "device": [str],
    "precision": [StrOptions({"float32", "bfloat16", "auto"})],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


# -------------------------------------------------------------------------- training


@dataclass
class TrainingImages:
    """Images and what training needs to know of each.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Checked images in any accepted form.
    y : ndarray of shape (n,), int64
        Indices of the classes.
    loss_weights, weights : ndarray of shape (n,), float64
        Relative weights of the images in the loss, and in scores of those held out.
    """

    X: object
    y: np.ndarray
    loss_weights: np.ndarray
    weights: np.ndarray


def forget(estimator):
    """Drop everything that was learned."""
    for name in list(vars(estimator)):
        if name.endswith("_") and not name.startswith("_"):
            delattr(estimator, name)


@contextlib.contextmanager
def unfitted_by_errors(estimator, going_on):
    """A new model is dropped by an error; an interruption may keep its epochs."""
    try:
        yield
    except BaseException as error:
        kept = isinstance(error, KeyboardInterrupt) and hasattr(estimator, "net_")
        if not going_on and not kept:
            forget(estimator)
        raise


def train(estimator, images, epochs, going_on, task, n_outputs):
    """Make a net or take the one that is there, and train it for some epochs.

    Parameters
    ----------
    estimator : estimator
        Gets net_, grid_ and, for a new model, pixel_range_.
    images : TrainingImages
        What to train on.
    epochs : int or "auto"
        Epochs to train for.
    going_on : bool
        Whether the model that is there is trained further.
    task : nn.Module
        The task of a new model's `Objective`.
    n_outputs : int
        Number of values in the network's answer to an image.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted; net_ is there if one epoch was finished.
    ValueError
        If the images, the settings and the model do not go together, or if the
        training diverged.
    """
    with plain_modes():
        if going_on:
            _saving.check_loaded(estimator)
            check_structure(estimator)
            net = estimator.net_
        else:
            net = _new_net(estimator, images.X, task, n_outputs)
        configure(net, estimator)
        train_set, valid_set = _split(estimator, images, net.split_seed)
        _check_single_images(net, train_set)
        if epochs == "auto":
            epochs = auto_epochs(len(train_set), estimator.batch_size)
        n_before = len(net.history)
        try:
            net.train(train_set, valid_set, epochs)
        except KeyboardInterrupt:
            if len(net.history):
                estimator.net_ = net
            raise
        except NonFiniteTrainingError as error:
            raise ValueError(
                f"{error} in epoch {len(net.history) + 1}, with lam={estimator.lam:g} "
                f"and lr={estimator.lr:g}. Lower lam or lr, or look for extreme values "
                f"in X or in the sample weights."
            ) from None
        finally:
            if len(net.history) > n_before:
                grid = estimator.grid_shape, estimator.neighborhood, estimator.wrap
                estimator.grid_ = Grid(*grid)
    estimator.net_ = net


def _new_net(estimator, X, task, n_outputs):
    """A net for a new model, its weights drawn from the random state."""
    seeds = draw_seeds(estimator.random_state)
    mean, std, estimator.pixel_range_ = image_statistics(X, estimator.image_shape_)
    if not estimator.standardize:
        mean, std = np.zeros_like(mean), np.ones_like(std)
    with seeded_initialisation(seeds.initialisation):
        module = make_network(
            estimator.backbone,
            estimator.image_shape_,
            n_units=Grid(estimator.grid_shape).n_units,
            n_classes=n_outputs,
            dropout=estimator.dropout,
            mean=torch.from_numpy(mean),
            std=torch.from_numpy(std),
            generator=torch.Generator().manual_seed(seeds.dropout),
        )
        objective = make_objective(estimator, task, module, seeds.split)
        return make_net(estimator, module, objective, seeds)


def _split(estimator, images, seed):
    """Training and (with early stopping) validation set, weights of mean one."""
    n_images = len(images.X)
    if not estimator.early_stopping:
        return _dataset(
            estimator, images, images.loss_weights, np.arange(n_images)
        ), None
    fraction = estimator.validation_fraction
    splitter = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    try:
        rows, held_out = next(splitter.split(images.y, images.y))
    except ValueError as error:
        raise ValueError(
            f"early_stopping with validation_fraction={fraction:g} cannot hold out "
            f"images of each class ({error}). Raise the fraction, add images of rare "
            f"classes, or use early_stopping=False."
        ) from error
    return (
        _dataset(estimator, images, images.loss_weights, rows),
        _dataset(estimator, images, images.weights, held_out),
    )


def _dataset(estimator, images, weights, rows):
    mean = weights[rows].mean()
    if mean == 0:
        raise ValueError(
            "All samples of the training or of the validation part have weight zero. "
            "Give more samples a positive weight, or use early_stopping=False."
        )
    scaled = (weights / mean).astype(np.float32)
    shape = estimator.image_shape_
    return ImageDataset(images.X, images.y, scaled, shape, np.sort(rows))


def _check_single_images(net, train_set):
    """Refuse batches of one image where nothing can be learned from them."""
    if min(net.batch_size, len(train_set)) > 1:
        return
    norms = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
    cause = None
    if any(isinstance(module, norms) for module in net.module_.modules()):
        cause = "A backbone with batch norm"
    for term in net.criterion_.terms:
        if getattr(term.loss, "min_images", 1) > 1:
            cause = f"The spatial loss {type(term.loss).__name__}"
    if cause:
        raise ValueError(
            f"{cause} cannot train on batches of one image; use batch_size=2 or "
            f"more, and at least two images (batch_size is {net.batch_size}, "
            f'images {len(train_set)}). backbone="small" has no batch norm, and WS '
            f"needs no batch."
        )


# ------------------------------------------------------------------- what was learned


def fitted_net(estimator, name):
    """The net, or an AttributeError that says what is missing: `name`."""
    if not hasattr(estimator, "net_"):
        raise AttributeError(
            f"{type(estimator).__name__} has no {name} before it is fitted."
        )
    return estimator.net_


def best_epoch(estimator):
    """The epoch that early stopping restored, or an AttributeError."""
    found = fitted_net(estimator, "best_epoch_").best_epoch
    if found is None:
        raise AttributeError(
            f"{type(estimator).__name__} has no best_epoch_: it was not trained last "
            f"by fit with early_stopping=True."
        )
    return found


def layer_weights(estimator, layer, name):
    """A copy of the weights of a layer, for the attribute `name`."""
    weight = fitted_net(estimator, name).module_.get_submodule(layer).weight
    return weight.detach().cpu().numpy().copy()


def history_table(net):
    """One row an epoch, as `history_` is described."""
    table = pd.DataFrame(list(net.history)).select_dtypes("number")
    first = ["epoch", "train_loss", "task_loss", "topo_loss"]
    table = table.reindex(columns=list(dict.fromkeys([*first, *table])))
    return table.rename(columns={"train_loss": "loss", "dur": "duration"})


# --------------------------------------------------------------------------- keeping


def save(estimator, path):
    """Write a model to a file, if it is as its parameters say."""
    validate_params(estimator)
    check_structure(estimator)
    _saving.save(estimator, path)


def open_old_pickle(estimator):
    """Mend the state of an estimator that another version pickled.

    What a model is made of stood beside its net for a while, and the backbone "auto"
    stood for other networks then.
    """
    structure = vars(estimator).pop("_structure", None)
    split_seed = vars(estimator).pop("_split_seed", None)
    if structure is None or not hasattr(estimator, "net_"):
        return
    if structure["backbone"] == "auto":
        structure |= name_backbone(structure, estimator.image_shape_[0])
        if estimator.backbone == "auto":
            estimator.backbone = structure["backbone"]
    estimator.net_.structure = structure
    estimator.net_.split_seed = split_seed
