"""The skorch net that trains a topographic network."""

from __future__ import annotations

import inspect
import math

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochTimer, PassthroughScoring
from skorch.exceptions import SkorchException
from skorch.helper import predefined_split
from skorch.utils import to_device
from torch.utils.data import DataLoader

from sktopo._images import as_array_like
from sktopo._modes import plain_modes
from sktopo._training.callbacks import (
    OWN_EARLY_STOPPING,
    LastEpoch,
    NonFiniteTrainingError,
    Progress,
    forget_batches,
)
from sktopo._training.data import Batches, ImageDataset
from sktopo._training.devices import resolve_device
from sktopo._training.objective import outputs_of

OPTIMIZERS = {
    "adam": {"optimizer": torch.optim.Adam},
    "adamw": {"optimizer": torch.optim.AdamW},
    "sgd": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
}

# Settings of optimizers that torch does not take together with a fused step.
_NEVER_FUSED = ("foreach", "differentiable")


def optimizer_settings(optimizer):
    """What skorch is told of an optimizer.

    Parameters
    ----------
    optimizer : str, class or partial
        A name in `OPTIMIZERS`, a class of torch, or a partial of one.

    Returns
    -------
    dict
        Settings of a net.

    Raises
    ------
    TypeError
        If it is no optimizer, or one that computes the loss itself.
    ValueError
        If a partial gives what the estimator has a parameter for.
    """
    settings = OPTIMIZERS.get(optimizer, {"optimizer": optimizer})
    kind = getattr(settings["optimizer"], "func", settings["optimizer"])
    if not isinstance(kind, type) or not issubclass(kind, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer must be one of {sorted(OPTIMIZERS)}, a subclass of "
            f"torch.optim.Optimizer, or a functools.partial of one; got {optimizer!r}."
        )
    if issubclass(kind, torch.optim.LBFGS):
        raise TypeError(
            f"optimizer={optimizer!r} computes the loss several times a step, and "
            f"dropout and augmentations draw anew each time. Use one that needs one "
            f"gradient a step."
        )
    given = getattr(settings["optimizer"], "keywords", {})
    if twice := [name for name in ("lr", "weight_decay") if name in given]:
        raise ValueError(
            f"optimizer={optimizer!r} gives {twice[0]}, which is a parameter of the "
            f"estimator too. Set {twice[0]}={given[twice[0]]!r} there, and leave it "
            f"out of the partial."
        )
    known = inspect.signature(settings["optimizer"]).parameters
    if "fused" in known and not given.keys() & {"fused", *_NEVER_FUSED}:
        settings = {**settings, "optimizer__fused": True}
    return settings


def _as_it_is(batch):
    return batch


def probabilities(logits):
    """What skorch makes of the module's answers, for scorers."""
    return logits.softmax(dim=-1)


class TopographicNet(ClassifierMixin, NeuralNet):
    """The skorch net that trains a `GridNetwork`.

    To scorers that of a classifier is one whose classes are indices, as the labels are
    that they are given with it.
    """

    def __init__(
        self,
        *args,
        shuffling,
        augmentation=None,
        augment=None,
        image_shape=None,
        value_range=None,
        bfloat16=False,
        structure=None,
        split_seed=0,
        predict_nonlinearity=probabilities,
        **kwargs,
    ):
        super().__init__(*args, predict_nonlinearity=predict_nonlinearity, **kwargs)
        self.shuffling = shuffling
        self.augmentation = augmentation
        self.augment = augment
        self.image_shape = image_shape
        self.value_range = value_range
        self.bfloat16 = bfloat16
        self.structure = structure
        self.split_seed = split_seed
        # Frobenius norms of the topographic layers' weights when they became such
        self.initial_norms = {}
        self.best_epoch = None

    # skorch moves module_ and criterion_ between devices, and not the same objects
    # under these names, which would be pickled a second time.

    def __getstate__(self):
        with plain_modes():
            return {**super().__getstate__(), "module": None, "criterion": None}

    def __setstate__(self, state):
        try:
            resolve_device(state["device"])
        except ValueError:  # trained on an accelerator that is not here
            state = {**state, "device": "cpu"}
        if "augmentation" not in state:  # of a version without it
            generator = torch.Generator().manual_seed(state["split_seed"])
            added = {"augment": None, "initial_norms": {}, "best_epoch": None}
            state = {**added, "augmentation": generator, **state}
        with plain_modes():
            super().__setstate__(state)
        self.module, self.criterion = self.module_, self.criterion_

    @property
    def classes_(self):
        return np.arange(self.module_.readout.out_features)

    @property
    def _default_callbacks(self):  # which skorch asks its heirs for
        objective = getattr(self, "criterion_", self.criterion)
        losses = ["train_loss", *objective.names]
        scores = [PassthroughScoring(name, on_train=True) for name in losses]
        scores.append(PassthroughScoring("valid_loss"))
        for name in objective.task.score_names:
            scores.append(PassthroughScoring(name, lower_is_better=False))
        scores = [(score.name, score) for score in scores]
        return [("timer", EpochTimer()), *scores, ("last_epoch", LastEpoch())]

    def get_dataset(self, X, y=None):
        """Images in any form, or a batch of a data set, with labels if there are."""
        if isinstance(X, ImageDataset):
            return X
        images = as_array_like(X["images"] if isinstance(X, dict) else X)
        labels = np.zeros(len(images), int) if y is None else np.asarray(y)
        weights = np.ones(len(images), np.float32)
        return ImageDataset(images, labels, weights, self.image_shape)

    def get_iterator(self, dataset, training=False):
        generator = self.shuffling if training else torch.Generator()
        batches = Batches(
            len(dataset), self.batch_size, generator if training else None
        )
        return DataLoader(
            dataset, batch_sampler=batches, collate_fn=_as_it_is, generator=generator
        )

    def train_step_single(self, batch, **fit_params):
        self.train_mode(True)
        torch.clear_autocast_cache()  # not emptied by itself if the caller autocasts
        inputs, targets = to_device(batch, self.device)
        module, objective = self.module_, self.criterion_
        images = self._views(inputs["images"], self.augmentation)
        with outputs_of(module, objective.read_layers) as outputs:
            answers = self._answers(images)
        loss, parts = objective(module, outputs, answers, targets, inputs["weights"])
        if not math.isfinite(loss.item()):
            raise NonFiniteTrainingError("The loss is no longer finite")
        loss.backward()
        for name, value in parts.items():
            self.history.record_batch(name, value)
        return {"loss": loss, "y_pred": answers}

    def _views(self, images, generator):
        """What the task shows the network of a batch, changed copies after each other.

        Each is drawn by a call of its own: an augmentation may draw once a batch.
        """
        if self.augment is None:
            return images
        n_views = self.criterion_.task.n_views
        views = [
            self.augment(images, generator, self.value_range) for _ in range(n_views)
        ]
        return views[0] if n_views == 1 else torch.cat(views)

    def _answers(self, images):
        """What the network makes of images in training, its head in float32."""
        with torch.autocast(
            images.device.type, dtype=torch.bfloat16, enabled=self.bfloat16
        ):
            features = self.module_.features(images)
        return self.module_.answer(self.module_.grid(features.float()))

    def validation_step(self, batch, **fit_params):
        self.train_mode(False)
        inputs, targets = to_device(batch, self.device)
        task = self.criterion_.task
        images = inputs["images"]
        if task.n_views > 1:  # the same in each epoch
            images = self._views(images, torch.Generator().manual_seed(self.split_seed))
        with torch.no_grad():
            answers = self.infer(images)
            batch = (answers, targets, inputs["weights"])
            loss, scores = task(*batch), task.scores(*batch)
        for name, score in scores.items():
            self.history.record_batch(name, score.item())
        return {"loss": loss, "y_pred": answers}

    def train_mode(self, training):
        """Put network and objective into the mode of training, or out of it."""
        self.module_.train(training)
        self.criterion_.train(training)

    def infer(self, x, **fit_params):
        torch.clear_autocast_cache()
        images = x["images"] if isinstance(x, dict) else x
        return self.module_(images.to(self.device))

    def predict_proba(self, X):
        with plain_modes():
            return super().predict_proba(X)

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)

    def notify(self, method_name, **cb_kwargs):
        try:
            super().notify(method_name, **cb_kwargs)
        except (KeyError, ValueError, SkorchException) as error:
            for _, callback in self.callbacks_:
                self._check_monitor(callback, error)
            raise

    def _check_monitor(self, callback, error):
        """Explain an error that comes from a value that the history does not hold."""
        monitor = getattr(callback, "monitor", None)
        known = self.history[-1] if len(self.history) else {}
        finished = "train_loss" in known  # what callbacks monitor is there by now
        if not isinstance(monitor, str) or not finished or monitor in known:
            return
        if monitor not in str(error):
            return
        names = [k for k, v in known.items() if isinstance(v, (int, float))]
        raise ValueError(
            f"{type(callback).__name__} monitors {monitor!r}, which this training does "
            f"not have: it has {', '.join(sorted(names))}. For values of held-out "
            f"images (valid_loss, valid_accuracy) fit with early_stopping=True; "
            f'without them use monitor="train_loss". A scoring callback of that name '
            f"must come before those that monitor it."
        ) from error

    def train(self, train_set, valid_set, epochs):
        """Train for some epochs more, and end at the last finished or best epoch.

        An interruption is raised again, after the net has gone back to the end of its
        last finished epoch; so is an error. Callbacks stop the training as in skorch.
        """
        self.max_epochs, n_before = epochs, len(self.history)
        self.train_split = None if valid_set is None else predefined_split(valid_set)
        keeper = dict(self.callbacks_)["last_epoch"]
        try:
            self.notify("on_train_begin", X=train_set, y=None)
            try:
                self.fit_loop(train_set)
            except KeyboardInterrupt:
                if not self._stopped_early():
                    raise
            self.notify("on_train_end", X=train_set, y=None)
            stopping = dict(self.callbacks_).get(OWN_EARLY_STOPPING)
            self.best_epoch = None if stopping is None else stopping.best_epoch_
        except BaseException:
            keeper.restore(self)
            if len(self.history) > n_before:
                self.best_epoch = None
            raise
        finally:
            keeper.forget()
            for _, callback in self.callbacks_:
                if isinstance(callback, Progress):
                    callback.close()
            forget_batches(self.history)
            self.train_split = None
            self.train_mode(False)

    def _stopped_early(self):
        """Whether the KeyboardInterrupt is skorch's way to say "enough"."""
        return any(
            isinstance(callback, EarlyStopping)
            and callback.misses_ >= callback.patience
            for _, callback in self.callbacks_
        )
