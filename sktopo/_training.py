"""Training: the skorch net, its data, its callbacks and its seeds (private)."""

from __future__ import annotations

import contextlib
import copy
import math
import threading

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    PassthroughScoring,
)
from skorch.dataset import Dataset
from skorch.exceptions import SkorchException
from skorch.helper import predefined_split
from skorch.utils import noop, to_device
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from sktopo._images import as_array_like, as_batch
from sktopo._modes import plain_modes

OPTIMIZERS = {
    "adam": {"optimizer": torch.optim.Adam},
    "adamw": {"optimizer": torch.optim.AdamW},
    "sgd": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
}

_initialising = threading.RLock()  # a factory may open another model


@contextlib.contextmanager
def seeded_initialisation(seed):
    """Torch's global CPU generator and dtype, for one thread and restored afterwards.

    The generator is seeded, and the dtype of new tensors is float32.
    """
    with _initialising:
        before, dtype = torch.get_rng_state(), torch.get_default_dtype()
        torch.default_generator.manual_seed(seed)
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_rng_state(before)
            if dtype != torch.float32:
                torch.set_default_dtype(dtype)


def native_bfloat16(device):
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def resolve_device(device):
    """The torch device of that name; "auto" picks an accelerator where there is one."""
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or (
            torch.device("cpu")
        )
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
        if found.type == "meta":
            raise RuntimeError("it holds no data")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} is not available here ({error}). "
            f"Use 'cpu', or 'auto' for an accelerator where there is one."
        ) from error
    return found


class ImageDataset(Dataset):
    """Images, labels and weights, indexed a whole batch at a time.

    X keeps its form and dtype (a memmap stays on disk); a batch is made when asked for.
    """

    def __init__(self, X, y, weights, image_shape, rows=None):
        self.images = X
        self.labels = y
        self.weights = weights
        self.image_shape = image_shape
        self.rows = np.arange(len(X)) if rows is None else rows

    # What skorch's scoring asks for: what to predict on, and the labels of it.

    @property
    def X(self):  # noqa: N802
        return self

    @property
    def y(self):
        return self.labels[self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitems__(self, indices):
        rows = self.rows[indices]
        images = as_batch(self.images, rows, self.image_shape)
        # pairs of inputs and targets, as skorch's callbacks expect
        inputs = {"images": images, "weights": torch.from_numpy(self.weights[rows])}
        return inputs, torch.from_numpy(self.labels[rows])


class Batches:
    """Index arrays of the batches of one epoch; none of them holds a single row.

    Every row comes once. A last batch of one is merged into the batch before it, since
    a single image has no batch statistics.
    """

    def __init__(self, n_rows, batch_size, generator=None):
        self.n_rows = n_rows
        self.generator = generator
        self.bounds = list(range(0, n_rows, batch_size))
        if n_rows % batch_size == 1 and len(self.bounds) > 1:
            self.bounds.pop()
        self.bounds.append(n_rows)

    def __len__(self):
        return len(self.bounds) - 1

    def __iter__(self):
        if self.generator is None:
            order = np.arange(self.n_rows)
        else:
            order = torch.randperm(
                self.n_rows, generator=self.generator, device="cpu"
            ).numpy()
        for start, stop in zip(self.bounds, self.bounds[1:], strict=False):
            yield order[start:stop]


# What max_epochs="auto" stands for.
AUTO_STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 2000, 10, 100


def auto_epochs(n_rows, batch_size):
    """Ten passes, and more where they are needed for 2,000 steps, up to 100."""
    epochs = math.ceil(AUTO_STEPS / len(Batches(n_rows, batch_size)))
    return min(max(FEWEST_EPOCHS, epochs), MOST_EPOCHS)


def _as_it_is(batch):
    return batch


class Objective(nn.Module):
    """Weighted cross entropy plus lam times the spatial loss (if there is one)."""

    def __init__(self, topo_loss, key):
        super().__init__()
        self.topo_loss = topo_loss
        self.key = key  # the parameters that the loss was made from
        self.lam = 0.0

    def forward(self, logits, activations, grid_weights, targets, weights):
        task = (F.cross_entropy(logits, targets, reduction="none") * weights).mean()
        if self.topo_loss is None:
            return task, task, None
        source = self.topo_loss.source
        topo = self.topo_loss(grid_weights if source == "weights" else activations)
        if topo.numel() != 1:
            raise ValueError(
                f"topo_loss must return a single number; got shape {tuple(topo.shape)}."
            )
        return task + self.lam * topo, task, topo


def probabilities(logits):
    """What skorch makes of the module's answers, for scorers."""
    return logits.softmax(dim=-1)


class TopographicNet(ClassifierMixin, NeuralNet):
    """The skorch net that trains a `TopographicNetwork`.

    To scorers it is a classifier whose classes are indices, as the labels are that they
    are given with it.
    """

    def __init__(
        self,
        *args,
        shuffling,
        image_shape=None,
        bfloat16=False,
        predict_nonlinearity=probabilities,
        **kwargs,
    ):
        super().__init__(*args, predict_nonlinearity=predict_nonlinearity, **kwargs)
        self.shuffling = shuffling
        self.image_shape = image_shape
        self.bfloat16 = bfloat16

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
        with plain_modes():
            super().__setstate__(state)
        self.module, self.criterion = self.module_, self.criterion_

    @property
    def classes_(self):
        return np.arange(self.module_.readout.out_features)

    @property
    def _default_callbacks(self):
        losses = ("train_loss", "task_loss", "topo_loss")
        scores = [(name, PassthroughScoring(name, on_train=True)) for name in losses]
        accuracy = PassthroughScoring("valid_accuracy", lower_is_better=False)
        scores.append(("valid_loss", PassthroughScoring("valid_loss")))
        scores.append(("valid_accuracy", accuracy))
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
        self._set_training(True)
        torch.clear_autocast_cache()  # not emptied by itself if the caller autocasts
        inputs, targets = to_device(batch, self.device)
        images, weights = inputs["images"], inputs["weights"]
        module = self.module_
        with torch.autocast(
            images.device.type, dtype=torch.bfloat16, enabled=self.bfloat16
        ):
            features = module.features(images)
        activations = module.grid(features.float())
        logits = module.classify(activations)
        loss, task, topo = self.criterion_(
            logits, activations, module.grid.weight, targets, weights
        )
        if not math.isfinite(loss.item()):
            raise NonFiniteTrainingError("The loss is no longer finite")
        loss.backward()
        self.history.record_batch("task_loss", task.item())
        if topo is not None:
            self.history.record_batch("topo_loss", topo.item())
        return {"loss": loss, "y_pred": logits}

    def validation_step(self, batch, **fit_params):
        self._set_training(False)
        inputs, targets = to_device(batch, self.device)
        weights = inputs["weights"]
        with torch.no_grad():
            logits = self.infer(inputs)
            loss = (F.cross_entropy(logits, targets, reduction="none") * weights).mean()
            correct = ((logits.argmax(dim=1) == targets) * weights).mean()
        self.history.record_batch("valid_accuracy", correct.item())
        return {"loss": loss, "y_pred": logits}

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
        self.max_epochs = epochs
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
        except BaseException:
            keeper.restore(self)
            raise
        finally:
            keeper.forget()
            for _, callback in self.callbacks_:
                if isinstance(callback, Progress):
                    callback.close()
            forget_batches(self.history)
            self.train_split = None
            self._set_training(False)

    def _stopped_early(self):
        """Whether the KeyboardInterrupt is skorch's way to say "enough"."""
        return any(
            isinstance(callback, EarlyStopping)
            and callback.misses_ >= callback.patience
            for _, callback in self.callbacks_
        )


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
        net._set_training(False)
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
            "dropout": net.module_.generator.get_state(),
        }
        return copy.deepcopy(state), len(net.history)

    def restore(self, net):
        state, n_epochs = self.kept
        net.module_.load_state_dict(state["module"])
        net.criterion_.load_state_dict(state["criterion"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.shuffling.set_state(state["shuffling"])
        net.module_.generator.set_state(state["dropout"])
        del net.history[n_epochs:]

    def forget(self):
        self.kept = None


class Progress(Callback):
    """One progress bar for the whole training, with the losses of the last batch."""

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
        if "valid_accuracy" in net.history[-1]:
            accuracy = net.history[-1, "valid_accuracy"]
            epoch = f"Epoch {len(net.history)}, valid. accuracy {accuracy:.3f}"
            self.bar_.set_description(epoch)

    def close(self):
        if getattr(self, "bar_", None) is not None:
            self.bar_.close()
            self.bar_ = None


def own_callbacks(early_stopping, n_iter_no_change, tol, verbose):
    """The callbacks that the classifier's parameters ask for, by name.

    Their names are their own: skorch groups callbacks of one name, and would run a
    user's EarlyStopping beside ours, before the scores that it monitors.
    """
    callbacks = []
    if early_stopping:
        stopping = EarlyStopping(
            monitor="valid_accuracy",
            lower_is_better=False,
            patience=n_iter_no_change,
            threshold=tol,
            threshold_mode="abs",
            load_best=True,
            sink=noop,
        )
        callbacks.append(("sktopo_early_stopping", stopping))
    if verbose:
        callbacks.append(("sktopo_progress", Progress()))
    return callbacks
