"""A torch network seen at one of its layers: units, answers, weights (private)."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor, nn

from sktopo import _training
from sktopo._forward import images_at_once, run_in_batches
from sktopo._layers import find_layer
from sktopo._modes import plain_modes
from sktopo._modules import as_numpy, plain_copy, weight_rows
from sktopo._units import Units
from sktopo.grid import sheet_shape
from sktopo.networks import GRID, Head


class ObservedNetwork:
    """A private copy of a network, one layer of which is looked at.

    The network that is given is never run, moved, hooked or changed.

    Parameters
    ----------
    module : nn.Module
        Maps images (n, C, H, W) to logits (n, k), or to whatever else, which is then no
        answer.
    layer : str
        Name of the layer, as in ``module.named_modules()``.
    readout : str, default=None
        Name of the layer that gives the logits. None: the last nn.Linear, if it has as
        many outputs as there are logits.
    image_shape : tuple of (int, int, int)
        Channels, height and width.
    value_range : tuple of (float, float)
        Smallest and largest value of an image.
    batch_size : int
        Images at once.
    preprocess : callable, default=None
        Is given the images (n, C, H, W), float32, and gives what the network takes.
    pool : {"mean", "max", "flatten"}, default="mean"
        What makes one unit of a channel's positions, or (flatten) that each position
        is a unit.
    device : str, default="cpu"
        Where to run.
    answers : bool, default=True
        Whether what the network gives can be logits, as far as its shape goes.

    Attributes
    ----------
    n_units : int
        Number of units of the layer.
    n_logits : int or None
        Number of logits; None for a network that gives none.
    readout : str or None
        Name of the readout.
    answer_kind : str
        What it gave last, in words.
    head : Head or None
        Where the layer is linear, rectified, and followed by the readout alone: both,
        so that all before them needs to run only once.
    """

    def __init__(
        self,
        module,
        layer,
        *,
        readout=None,
        image_shape,
        value_range,
        batch_size,
        preprocess=None,
        pool="mean",
        device="cpu",
        answers=True,
    ):
        self.image_shape, self.value_range = image_shape, value_range
        self.batch_size = batch_size
        self.device = _training.resolve_device(device)
        with plain_modes():
            self.module = plain_copy(module).to(self.device).eval()
            if isinstance(preprocess, nn.Module):
                preprocess = plain_copy(preprocess).to(self.device).eval()
        self.preprocess, self.can_answer = preprocess, answers
        self.layer = find_layer(self.module, layer, "layer")
        self._layer = self.module.get_submodule(self.layer)
        self._units = Units(self._layer, self.layer, pool)
        self._reading, self._changed = False, None
        self._layer.register_forward_hook(self._look)
        self._learn_shapes(readout)

    # ------------------------------------------------------------ what it is made of

    def _learn_shapes(self, readout):
        """Numbers of units and logits, from two images, and the readout."""
        low, high = self.value_range
        with plain_modes(), torch.inference_mode():
            images = torch.full((2, *self.image_shape), (low + high) / 2)
            try:
                units, logits = self._run(images, reading=True)
            except (RuntimeError, IndexError) as error:  # as of shapes that do not fit
                raise ValueError(
                    f"The module cannot see images of shape (2, "
                    f"{', '.join(map(str, self.image_shape))}): {error}. Give the "
                    f"image_shape that it takes, or the preprocess that it needs."
                ) from error
        self.n_units = units.shape[1]
        self.n_logits = None if logits is None else logits.shape[1]
        if readout is not None:
            readout = find_layer(self.module, readout, "readout")
            if weight_rows(self.module.get_submodule(readout)) is None:
                raise ValueError(
                    f"readout={readout!r} is a "
                    f"{type(self.module.get_submodule(readout)).__name__}; give the "
                    f"name of an nn.Linear or of a convolution."
                )
        elif linear := [
            name
            for name, part in self.module.named_modules()
            if isinstance(part, nn.Linear)
        ]:
            last = self.module.get_submodule(linear[-1])
            readout = linear[-1] if last.out_features == self.n_logits else None
        self.readout = readout

    @cached_property
    def head(self):
        return self._make_head() if self._ends_in_head() else None

    def _ends_in_head(self):
        """Whether nothing but a ReLU is between and beside the layer and the readout.

        That is seen by what they do, with images of noise: whatever the layer is made
        to give, the readout gets it rectified, and what the readout gives is the
        answer; and both are linear.
        """
        readout = self.readout and self.module.get_submodule(self.readout)
        fits = isinstance(self._layer, nn.Linear) and isinstance(readout, nn.Linear)
        if not fits or self.n_logits is None or self._layer.weight is readout.weight:
            return False
        if self._n_axes != 2 or readout.in_features != self.n_units:
            return False
        rng, (low, high) = np.random.default_rng(0), self.value_range
        images = rng.uniform(low, high, (6, *self.image_shape)).astype(np.float32)
        images[4:] = np.float32([low, high]).reshape(2, 1, 1, 1)
        given = rng.standard_normal((6, self.n_units), np.float32)
        given[::2] *= 1000
        taken, answers = [], []

        def look(module, args, kwargs, output):
            taken.append(_first(args, kwargs).clone())
            answers.append(output.float().clone())

        hook = readout.register_forward_hook(look, with_kwargs=True)
        try:
            with plain_modes(), torch.inference_mode():
                given = torch.from_numpy(given).to(self.device, self._dtype)
                images = torch.from_numpy(images)
                with self._giving(lambda units: given.clone()):
                    _, logits = self._run(images)
                features = self._inputs(images)
                units, plain_logits = self._run(images, reading=True)
        finally:
            hook.remove()
        if len(taken) != 2 or not torch.equal(taken[0], given.clamp(min=0)):
            return False
        if not torch.equal(answers[0], logits):
            return False
        # as it is, not of another kind that calls itself linear
        head = self._make_head()
        found = head.activations(features.cpu().numpy())
        return _alike(found, units) and _alike(head.classify(found), plain_logits)

    def _make_head(self):
        layers = (self._layer, self.module.get_submodule(self.readout))
        parts = []
        for part in layers:
            bias = part.bias
            if bias is None:
                bias = torch.zeros(part.out_features, device="cpu")
            parts += [as_numpy(part.weight), as_numpy(bias)]
        return Head(*parts)

    @property
    def _dtype(self):
        """That of its weights."""
        tensors = (*self.module.parameters(), *self.module.buffers())
        kinds = (t.dtype for t in tensors if t.is_floating_point())
        return next(kinds, torch.float32)

    @property
    def weights(self):
        """Incoming weights (n_units, fan_in) of the units; None where there are none.

        Positions of one channel have the same weights.
        """
        return self._units.weights(self.n_units)

    @property
    def readout_weights(self):
        """Weights (n_classes, fan_in) of the readout; None without one."""
        if self.readout is None:
            return None
        return weight_rows(self.module.get_submodule(self.readout))

    def weight_names(self, layers):
        """Names of the weights that a user's name stands for.

        Parameters
        ----------
        layers : str
            "grid" (the layer that is looked at), "readout", "head" (both), "all", or
            the name of any module.

        Returns
        -------
        list of str
            Names of parameters of two dimensions or more.

        Raises
        ------
        ValueError
            If there are no such weights.
        """
        if layers in ("readout", "head") and self.readout is None:
            raise ValueError(
                f"layers={layers!r} needs a readout, and this network has none: its "
                f"last nn.Linear does not give the logits. Name it (readout=...), or "
                f"use layers='grid', 'all' or the name of a module."
            )
        parts = {
            "grid": [self.layer],
            "readout": [self.readout],
            "head": [self.layer, self.readout],
            "all": [""],
        }
        if layers in parts:
            parts = parts[layers]
        else:
            parts = [find_layer(self.module, layers, "layers", sorted(parts))]
        names = [
            f"{part}.{name}" if part else name
            for part in dict.fromkeys(parts)
            for name, weight in self.module.get_submodule(part).named_parameters()
            if weight.ndim > 1 and weight.is_floating_point()
        ]
        if not names:
            raise ValueError(
                f"layers={layers!r} has no weights that noise could be added to "
                f"(parameters of two dimensions or more)."
            )
        return list(dict.fromkeys(names))

    def get_weights(self, names):
        """Arrays of the weights of these names."""
        return {name: as_numpy(self.module.get_parameter(name)) for name in names}

    @property
    def head_names(self):
        """Names of the weights in the head: the layer's, the readout's."""
        return (f"{self.layer}.weight", f"{self.readout}.weight")

    # ------------------------------------------------------------ what it does

    def features(self, X):
        """What comes before the head, of checked images; and their largest value."""
        return self._over(X, lambda images: (self._inputs(images),), _same)

    def look(self, X, *, units=True, logits=True):
        """Responses of the units and logits, of checked images.

        Parameters
        ----------
        X : ndarray or LazyImages
            Checked images.
        units, logits : bool, default=True
            What is wanted.

        Returns
        -------
        tuple of ((ndarray, ndarray), float)
            Responses (n, n_units) and logits (n, k), float32, None for what is not
            wanted or not there; and the largest absolute value of the images.
        """
        if self.head is not None:
            return self._over(
                X,
                lambda images: (self._inputs(images),),
                lambda features: _answers(self.head, features, units, logits),
            )

        def run(images):
            found = self._run(images, reading=units)
            return tuple(part for part in found if part is not None)

        def finish(*parts):
            responses = parts[0] if units else None
            wanted = logits and self.n_logits is not None
            return responses, parts[-1] if wanted else None

        return self._over(X, run, finish, 1e30 if units else math.inf)

    def answers(self, X):
        """Logits as the network itself gives them; and the images' largest value."""
        return self._over(X, lambda images: self._run(images)[1:], _same, math.inf)

    @contextlib.contextmanager
    def with_weights(self, weights):
        """Other weights by name, for as long as the context lasts."""
        with torch.no_grad():
            parameters = {name: self.module.get_parameter(name) for name in weights}
            before = {name: p.detach().clone() for name, p in parameters.items()}
            head = self.head
            try:
                for name, parameter in parameters.items():
                    parameter.copy_(torch.from_numpy(weights[name]))
                if head is not None:
                    self.head = self._make_head()
                yield
            finally:
                self.head = head
                for name, parameter in parameters.items():
                    parameter.copy_(before[name])

    @contextlib.contextmanager
    def without(self, units):
        """These units give 0, for as long as the context lasts."""
        with self._giving(lambda output: self._units.silence(output, units)):
            yield

    def _over(self, X, run, finish, limit=1e30):
        settings = self.image_shape, self.batch_size, self.value_range
        return run_in_batches(X, *settings, run, finish, limit)

    def _run(self, images, reading=False):
        """The units' responses if they are read, and logits; None for what is not."""
        self._reading, self._seen, self._n_runs = reading, None, 0
        self._n_images = len(images)
        output = self.module(self._prepare(images))
        if self._n_runs != 1:
            raise ValueError(
                f"layer={self.layer!r} ran {self._n_runs} times for one batch of "
                f"images. Name a layer that runs once, through its module's call."
            )
        output = getattr(output, "logits", output)
        self.answer_kind = f"a {type(output).__name__}"
        if isinstance(output, Tensor):
            self.answer_kind = f"shape {tuple(output.shape)}, {output.dtype}"
        logits = None
        if self.can_answer and isinstance(output, Tensor) and output.ndim in (1, 2):
            fits = len(output) == self._n_images and output.is_floating_point()
            logits = output.float() if fits else None
        if logits is not None and logits.shape[1:] in ((), (1,)):
            # one output that says yes or no
            yes = logits.reshape(-1, 1)
            logits = torch.cat([torch.zeros_like(yes), yes], dim=1)
        return self._seen, logits

    def _inputs(self, images):
        """What the layer is given; what comes after it is not run."""

        def stop(module, args, kwargs):
            raise _ReachedLayer(_first(args, kwargs))

        handle = self._layer.register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.module(self._prepare(images))
        except _ReachedLayer as reached:
            return reached.inputs.float()
        finally:
            handle.remove()

    def _prepare(self, images):
        """Images as the module takes them."""
        images = images.to(self.device).float()
        if self.preprocess is None:
            return images.to(self._dtype)
        found = self.preprocess(images)
        if not isinstance(found, Tensor):
            raise TypeError(
                f"preprocess must give a tensor; got {type(found).__name__}."
            )
        if found.ndim == 0 or len(found) != len(images):
            raise ValueError(
                f"preprocess must give as many images as it is given; of "
                f"{tuple(images.shape)} it made {tuple(found.shape)}."
            )
        return found.to(self._dtype)

    def _look(self, module, args, output):
        """The hook of the layer: what is read, and what is given in its place."""
        self._n_runs += 1
        self._n_axes = getattr(output, "ndim", 0)
        if self._reading:
            self._seen = self._units.responses(output, self._n_images)
        return None if self._changed is None else self._changed(output)

    @contextlib.contextmanager
    def _giving(self, change):
        """The layer gives ``change(output)``."""
        self._changed = change
        try:
            yield
        finally:
            self._changed = None


def observe_trained(estimator, layer=None):
    """See the network of a model that was trained here at a layer.

    Parameters
    ----------
    estimator : estimator
        The fitted classifier or encoder.
    layer : str, default=None
        Name of the layer. None: the grid.

    Returns
    -------
    ObservedNetwork
        A copy of its network, which can be run; that of an encoder gives no logits.
    """
    answers = is_classifier(estimator)
    return ObservedNetwork(
        estimator.module_,
        GRID if layer is None else layer,
        readout="readout" if answers else None,
        image_shape=estimator.image_shape_,
        value_range=estimator.pixel_range_,
        batch_size=images_at_once(estimator.n_features_in_),
        device=estimator.net_.device,
        answers=answers,
    )


def sheet_of_trained(estimator, network):
    """Find the sheet that the units of a layer stand on, of a model trained here.

    Parameters
    ----------
    estimator : estimator
        The fitted classifier or encoder.
    network : ObservedNetwork
        From `observe_trained`.

    Returns
    -------
    Grid
        Its grid; of another layer one of `sktopo.grid.sheet_shape`, with its
        neighbours and wrap-around.
    """
    grid = estimator.grid_
    if network.layer == GRID:
        return grid
    return replace(grid, shape=sheet_shape(network.n_units))


def _same(values):
    return values


def _first(args, kwargs):
    """What a layer was called with."""
    return args[0] if args else next(iter(kwargs.values()))


class _ReachedLayer(BaseException):
    """The network has come to the layer, and need not go on."""

    def __init__(self, inputs):
        self.inputs = inputs


def _alike(found, wanted):
    """Whether values agree, up to what a type of few digits leaves."""
    wanted = wanted.cpu().numpy()
    return np.allclose(found, wanted, rtol=0.02, atol=0.02 * np.abs(wanted).max())


def _answers(head, features, units, logits):
    """Responses and logits that a head makes of features, those that are wanted."""
    activations = head.activations(features)
    answers = head.classify(activations) if logits else None
    return activations if units else None, answers
