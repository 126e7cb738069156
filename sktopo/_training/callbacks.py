"""Callbacks of every training: going back to the last epoch, stopping, progress."""

from __future__ import annotations

import copy

import numpy as np
import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import noop
from tqdm.auto import tqdm

from sktopo._training.data import Batches

# What the early stopping that a parameter asks for is called.
OWN_EARLY_STOPPING = "sktopo_early_stopping"


def forget_batches(history):
    """Drop the per-batch rows of finished epochs, which would grow without bound."""
    for epoch in history:
        epoch["batches"] = []


class NonFiniteTrainingError(ValueError):
    """The loss, a weight or the optimizer's state is no longer finite."""


class LastEpoch(Callback):
    """Keeps what training needs to go back to the end of the last finished epoch."""

    def __init__(self):
        self.kept = None

    def on_train_begin(self, net, **kwargs):
        self.kept = self._state(net)

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        tensors = [*net.module_.state_dict().values()]
        for state in net.optimizer_.state.values():
            tensors.extend(v for v in state.values() if isinstance(v, torch.Tensor))
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise NonFiniteTrainingError(
                "A weight, or its gradient squared, overflowed"
            )
        # finite weights can still be too large for finite answers
        n_images = min(len(dataset_train), net.batch_size, 32)
        inputs, _ = dataset_train.__getitems__(np.arange(n_images))
        net.train_mode(False)
        with torch.no_grad():
            answers = net.infer(inputs)
        if not answers.isfinite().all():
            raise NonFiniteTrainingError("The model's answers are no longer finite")
        self.kept = self._state(net)

    def on_epoch_begin(self, net, **kwargs):
        forget_batches(net.history[:-1])

    @staticmethod
    def _state(net):
        state = {
            "module": net.module_.state_dict(),
            "criterion": net.criterion_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "shuffling": net.shuffling.get_state(),
            "augmentation": net.augmentation.get_state(),
            "dropout": net.module_.generator.get_state(),
        }
        return copy.deepcopy(state), len(net.history)

    def restore(self, net):
        state, n_epochs = self.kept
        net.module_.load_state_dict(state["module"])
        net.criterion_.load_state_dict(state["criterion"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.shuffling.set_state(state["shuffling"])
        net.augmentation.set_state(state["augmentation"])
        net.module_.generator.set_state(state["dropout"])
        del net.history[n_epochs:]

    def forget(self):
        self.kept = None


class Progress(Callback):
    """One progress bar for the whole training, with the losses of the last batch.

    Parameters
    ----------
    shown : str, default="valid_accuracy"
        What is shown of each epoch, where the history has it.
    """

    def __init__(self, shown="valid_accuracy"):
        self.shown = shown

    def on_train_begin(self, net, **kwargs):
        self.bar_ = None

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        if self.bar_ is None:
            n_batches = len(Batches(len(dataset_train), net.batch_size))
            self.bar_ = tqdm(total=net.max_epochs * n_batches, unit="batch")
        self.bar_.set_description(f"Epoch {len(net.history)}")

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            batch = net.history[-1]["batches"][-1]
            names = {"train_loss": "loss", "task_loss": "task", "topo_loss": "topo"}
            losses = {names[key]: batch[key] for key in names if key in batch}
            self.bar_.set_postfix(losses, refresh=False)
            self.bar_.update()

    def on_epoch_end(self, net, **kwargs):
        if self.shown in net.history[-1]:
            name = self.shown.replace("valid_", "valid. ")
            epoch = (
                f"Epoch {len(net.history)}, {name} {net.history[-1, self.shown]:.3f}"
            )
            self.bar_.set_description(epoch)

    def close(self):
        if getattr(self, "bar_", None) is not None:
            self.bar_.close()
            self.bar_ = None


def own_callbacks(task, early_stopping, n_iter_no_change, tol, verbose):
    """The callbacks that an estimator's parameters ask for, by name.

    Their names are their own: skorch groups callbacks of one name, and would run a
    user's EarlyStopping beside ours, before the scores that it monitors.
    """
    callbacks = []
    if early_stopping:
        stopping = EarlyStopping(
            monitor=task.stop_by,
            lower_is_better=task.less_is_better,
            patience=n_iter_no_change,
            threshold=tol,
            threshold_mode="abs",
            load_best=True,
            sink=noop,
        )
        callbacks.append((OWN_EARLY_STOPPING, stopping))
    if verbose:
        callbacks.append(("sktopo_progress", Progress(task.stop_by)))
    return callbacks
