"""What estimators that train a topographic network share: classifier and encoder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktopo import _saving
from sktopo._diagnosis import warn_of_failures
from sktopo._files import name_backbone
from sktopo._forward import evaluate, warn_of_range
from sktopo._images import image_statistics, validate_images
from sktopo._modes import plain_modes
from sktopo._observed import observe_trained, sheet_of_trained
from sktopo._sklearn_private import (
    Interval,
    StrOptions,
    check_feature_names_in,
    one_of,
    validate_params,
)
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
    make_module,
    make_net,
    make_objective,
    make_task,
)
from sktopo._units import unit_names
from sktopo.augment import AUGMENTATIONS
from sktopo.grid import NEIGHBORHOODS, Grid
from sktopo.losses import DISTANCES, LOSSES
from sktopo.networks import BACKBONES, GridHead, auto_backbone

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


class TopographicEstimator(TransformerMixin, BaseEstimator):
    """A network whose grid responds to images: what classifier and encoder both do."""

    def __setstate__(self, state):
        super().__setstate__(state)
        _open_old_pickle(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    # ----------------------------------------------------------------- keeping

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted model to one .safetensors file.

        The file holds weights, parameters, a classifier's classes, image shape, pixel
        range, history and library versions, and no code: nothing in it is executed when
        it is loaded.
        The optimizer's state is left out (pickle, joblib and `copy.deepcopy` keep it),
        and so are callbacks, `set_output` and requests for metadata. A backbone, loss,
        augmentation or optimizer of your own is recorded by name. The file is written
        beside its place and then moved there: an old file is replaced whole or not at
        all. What is written is read back in memory first, and must give the same state
        and answers.

        Parameters
        ----------
        path : str or path-like
            Where to write, by custom ending in ``.safetensors``.

        Raises
        ------
        NotFittedError
            Before the first epoch is finished.
        ValueError
            If a parameter is a RandomState instance or invalid, if what the model is
            made of was changed since it was fitted, or if its modules were changed so
            that the file would not give the same model back.
        TypeError
            If a parameter or a class label is of a kind that JSON cannot hold.
        OSError
            If the file cannot be written; an old one is as it was.

        See Also
        --------
        load : The way back.
        """
        check_is_fitted(self)
        validate_params(self)
        check_structure(self)
        _saving.save(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        *,
        backbone: Callable | None = None,
        topo_loss: Callable | None = None,
        augment: Callable | None = None,
        optimizer: Callable | None = None,
        callbacks: list | None = None,
        device: str = "cpu",
    ) -> TopographicEstimator:
        """Read a model that `save` wrote, on any machine.

        Answers and grid responses are those of the saved model, to the last bit on
        the same machine and versions. Training goes on with a fresh optimizer.

        Parameters
        ----------
        path : str or path-like
            The file.
        backbone : callable, default=None
            The backbone, for a model that was trained with one of your own.
        topo_loss : callable, default=None
            The loss, for a model that was trained with one of your own. Without it the
            model predicts, and cannot be trained on.
        augment, optimizer : callable, default=None
            In the same way; the optimizers of torch are found by their names.
        callbacks : list of skorch callbacks, default=None
            Callbacks of further training; those of the saved model are not kept.
        device : str, default="cpu"
            Where to predict and train, whatever the model was trained on.

        Returns
        -------
        estimator
            The fitted estimator, of the class that it is called on.

        Raises
        ------
        ValueError
            If the file is damaged, is something else, holds a model of another kind,
            does not fit together, or was written by a newer version; if a backbone is
            missing, or another one than the model was trained with.
        OSError
            If there is no such file, or it cannot be read.

        Examples
        --------
        >>> import os, tempfile
        >>> from sktopo import TopographicCNNClassifier
        >>> from sktopo.datasets import load_digits_images
        >>> X, y = load_digits_images(return_X_y=True)
        >>> clf = TopographicCNNClassifier(max_epochs=1, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "digits.safetensors")
        ...     clf.save(path)
        ...     same = TopographicCNNClassifier.load(path)
        >>> bool((same.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        own = {
            "backbone": backbone,
            "topo_loss": topo_loss,
            "augment": augment,
            "optimizer": optimizer,
        }
        return _saving.load(cls, path, own, callbacks, device)

    # -------------------------------------------------------- what was learned

    @property
    def module_(self) -> nn.Module:  # numpydoc ignore=GL08
        return fitted_net(self, "module_").module_

    @property
    def grid_weights_(self) -> np.ndarray:  # numpydoc ignore=GL08
        return layer_weights(self, "grid", "grid_weights_")

    @property
    def n_iter_(self) -> int:  # numpydoc ignore=GL08
        return len(fitted_net(self, "n_iter_").history)

    @property
    def history_(self) -> pd.DataFrame:  # numpydoc ignore=GL08
        return _history_table(fitted_net(self, "history_"))

    @property
    def best_epoch_(self) -> int:  # numpydoc ignore=GL08
        return _best_epoch(self)

    # --------------------------------------------------------------- responses

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Pre-ReLU responses of the grid units.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_units), float32
            Row-major over the grid.
        """
        return self._run(X, GridHead.activations)

    def activation_maps(self, X: ArrayLike, layer: str | None = None) -> np.ndarray:
        """Pre-ReLU responses as maps.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        layer : str, default=None
            Name of a layer, as in ``module_.named_modules()``; its units (of a
            convolution the channels, averaged over positions) stand on the sheet of
            `sktopo.grid.sheet_shape`. None: the grid.

        Returns
        -------
        ndarray of shape (n, rows, columns), float32
            One map an image.
        """
        if layer is None:
            return self._run(X, GridHead.activations).reshape(-1, *self.grid_.shape)
        check_is_fitted(self)
        network = observe_trained(self, layer)
        X = validate_images(self, X, reset=False)
        (responses, _), largest = network.look(X, logits=False)
        warn_of_range(largest, len(responses), self.pixel_range_)
        return responses.reshape(-1, *sheet_of_trained(self, network).shape)

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
        check_feature_names_in(self, input_features)
        return unit_names(self.grid_)

    def _run(self, X, function):
        """``function(head, features)`` over X, once it is checked."""
        check_is_fitted(self)
        X = validate_images(self, X, reset=False)
        result, largest = evaluate(self, X, function)
        warn_of_range(largest, len(result), self.pixel_range_)
        return result


# -------------------------------------------------------------------------- training


@dataclass
class TrainingImages:
    """Images and what training needs to know of each.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Checked images in any accepted form.
    y : ndarray of shape (n,), int64
        Targets of the task: indices of classes, or of what counts as alike.
    loss_weights, weights : ndarray of shape (n,), float64
        Relative weights of the images in the loss, and in scores of those held out.
    splitter : type, default=StratifiedShuffleSplit
        How early stopping chooses the images that it holds out.
    """

    X: object
    y: np.ndarray
    loss_weights: np.ndarray
    weights: np.ndarray
    splitter: type = StratifiedShuffleSplit


def fit(estimator, read):
    """Train a new model, or under `warm_start` go on with the one that is there.

    Parameters
    ----------
    estimator : estimator
        Its parameters say how; it is unfitted by an error, but for one in going on.
    read : callable
        ``read(reset)`` checks what the estimator was given and gives `TrainingImages`;
        a model that begins (`reset`) learns what its images look like.
    """
    going_on = estimator.warm_start and hasattr(estimator, "net_")
    if not going_on:
        _forget(estimator)
    with _unfitted_by_errors(estimator, going_on):
        validate_params(estimator)
        images = read(not going_on)
        _train(estimator, images, estimator.max_epochs, going_on)
    warn_of_failures(estimator, images.X)


def partial_fit(estimator, read):
    """Train for one epoch more, as `fit` does.

    Parameters
    ----------
    estimator : estimator
        The estimator.
    read : callable
        As in `fit`.

    Raises
    ------
    ValueError
        Also with early stopping.
    """
    going_on = hasattr(estimator, "net_")
    with _unfitted_by_errors(estimator, going_on):
        validate_params(estimator)
        if estimator.early_stopping:
            raise ValueError(
                "partial_fit cannot stop early: it does not know which images are yet "
                "to come. Use early_stopping=False, or fit with warm_start=True."
            )
        _train(estimator, read(not going_on), 1, going_on)


def _forget(estimator):
    """Drop everything that was learned."""
    for name in list(vars(estimator)):
        if name.endswith("_") and not name.startswith("_"):
            delattr(estimator, name)


@contextlib.contextmanager
def _unfitted_by_errors(estimator, going_on):
    """A new model is dropped by an error; an interruption may keep its epochs."""
    try:
        yield
    except BaseException as error:
        kept = isinstance(error, KeyboardInterrupt) and hasattr(estimator, "net_")
        if not going_on and not kept:
            _forget(estimator)
        raise


def _train(estimator, images, epochs, going_on):
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
            net.criterion_.task = make_task(estimator)  # its settings may change
        else:
            net = _new_net(estimator, images.X)
        configure(net, estimator)
        train_set, valid_set = _split(estimator, images, net)
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


def _new_net(estimator, X):
    """A net for a new model, its weights drawn from the random state."""
    seeds = draw_seeds(estimator.random_state)
    mean, std, estimator.pixel_range_ = image_statistics(X, estimator.image_shape_)
    if not estimator.standardize:
        mean, std = np.zeros_like(mean), np.ones_like(std)
    mean, std = torch.from_numpy(mean), torch.from_numpy(std)
    with seeded_initialisation(seeds.initialisation):
        dropout = torch.Generator().manual_seed(seeds.dropout)
        module = make_module(estimator, mean, std, dropout)
        objective = make_objective(estimator, make_task(estimator), module, seeds.split)
        return make_net(estimator, module, objective, seeds)


def _split(estimator, images, net):
    """Training and (with early stopping) validation set, weights of mean one."""
    weights, n_images = images.loss_weights, len(images.X)
    if not estimator.early_stopping:
        return _dataset(estimator, images, weights, np.arange(n_images)), None
    fraction = estimator.validation_fraction
    splitter = images.splitter(1, test_size=fraction, random_state=net.split_seed)
    try:
        rows, held_out = next(splitter.split(images.y, images.y))
    except ValueError as error:
        raise ValueError(
            f"early_stopping with validation_fraction={fraction:g} cannot hold out "
            f"images of each class ({error}). Raise the fraction, add images of rare "
            f"classes, or use early_stopping=False."
        ) from error
    fewest = net.criterion_.task.min_images
    if min(len(rows), len(held_out)) < fewest:
        raise ValueError(
            f"early_stopping with validation_fraction={fraction:g} leaves {len(rows)} "
            f"of {n_images} images to train on, and {len(held_out)} to look at; each "
            f"part needs {fewest} or more, to compare them. Give more images, another "
            f"fraction, or early_stopping=False."
        )
    return (
        _dataset(estimator, images, weights, rows),
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
    cause, advice = None, 'backbone="small" has no batch norm, and WS needs no batch.'
    if any(isinstance(module, norms) for module in net.module_.modules()):
        cause = "A backbone with batch norm"
    for term in net.criterion_.terms:
        if getattr(term.loss, "min_images", 1) > 1:
            cause = f"The spatial loss {type(term.loss).__name__}"
    if net.criterion_.task.min_images > 1:
        cause, advice = "A contrastive loss", "It tells the images of a batch apart."
    if cause:
        raise ValueError(
            f"{cause} cannot train on batches of one image; use batch_size=2 or "
            f"more, and at least two images (batch_size is {net.batch_size}, "
            f"images {len(train_set)}). {advice}"
        )


# ------------------------------------------------------------------- what was learned


def fitted_net(estimator, name):
    """The net, or an AttributeError that says what is missing: `name`."""
    if not hasattr(estimator, "net_"):
        raise AttributeError(
            f"{type(estimator).__name__} has no {name} before it is fitted."
        )
    return estimator.net_


def _best_epoch(estimator):
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


def _history_table(net):
    """One row an epoch, as `history_` is described."""
    table = pd.DataFrame(list(net.history)).select_dtypes("number")
    first = ["epoch", "train_loss", "task_loss", "topo_loss"]
    table = table.reindex(columns=list(dict.fromkeys([*first, *table])))
    return table.rename(columns={"train_loss": "loss", "dur": "duration"})


def _open_old_pickle(estimator):
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
