"""A torch network seen at one of its layers: units, answers, weights (private)."""

from __future__ import annotations

import contextlib
import difflib
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from sktopo import _training
from sktopo._forward import images_at_once, run_in_batches
from sktopo._modes import plain_modes
from sktopo.networks import Head, own_copy

POOLS = ("mean", "max", "flatten")
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Wrappers whose names stand before those of the network that they hold.
_WRAPPERS = ("module", "_orig_mod")
# What makes plain weights of those that older functions of torch compute in a hook.
_OLDER = (
    ("weight_mask", lambda part: prune.remove(part, "weight")),
    ("weight_g", nn.utils.remove_weight_norm),
    ("weight_orig", nn.utils.remove_spectral_norm),
)


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

    Attributes
    ----------
    n_units : int
        Number of units of the layer.
    n_logits : int or None
        Number of logits; None for a network that gives none.
    readout : str or None
        Name of the readout.
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
    ):
        self.image_shape, self.value_range = image_shape, value_range
        self.batch_size, self.preprocess, self.pool = batch_size, preprocess, pool
        self.device = _training.resolve_device(device)
        with plain_modes():
            self.module = _plain_copy(module).to(self.device).eval()
        self.layer = find_layer(self.module, layer, "layer")
        self._layer = self.module.get_submodule(self.layer)
        self._reading = self._changed = None
        self._layer.register_forward_hook(self._look)
        self._learn_shapes(readout)

    # ------------------------------------------------------------ what it is made of

    def _learn_shapes(self, readout):
        """Numbers of units and logits, from two images, and the readout."""
        low, high = self.value_range
        with plain_modes(), torch.inference_mode():
            images = torch.full((2, *self.image_shape), (low + high) / 2)
            try:
                units, logits = self._run(images, "units")
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
            if _rows(self.module.get_submodule(readout)) is None:
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

        That is seen by what they do: whatever the layer is made to give, the readout
        gets it rectified, and what the readout gives is the answer.
        """
        readout = self.readout and self.module.get_submodule(self.readout)
        fits = isinstance(self._layer, nn.Linear) and isinstance(readout, nn.Linear)
        fits = fits and self._n_axes == 2 and self.n_logits is not None
        if not fits or readout.in_features != self.n_units:
            return False
        seen = []
        hook = readout.register_forward_hook(
            lambda module, args, output: seen.append((args[0].clone(), output.clone()))
        )
        given = np.random.default_rng(0).standard_normal((4, self.n_units), np.float32)
        given *= np.array([1, 1, 1e3, 1e3], np.float32)[:, None]
        given = torch.from_numpy(given).to(self.device, self._dtype)
        try:
            with (
                plain_modes(),
                torch.inference_mode(),
                self._giving(lambda units: given.clone()),
            ):
                images = torch.full((4, *self.image_shape), self.value_range[0])
                _, logits = self._run(images, None)
        finally:
            hook.remove()
        if len(seen) != 1:
            return False
        ((taken, answer),) = seen
        return torch.equal(taken, given.clamp(min=0)) and torch.equal(
            answer.float(), logits
        )

    def _make_head(self):
        layers = (self._layer, self.module.get_submodule(self.readout))
        parts = []
        for part in layers:
            bias = part.bias
            if bias is None:
                bias = torch.zeros(part.out_features, device="cpu")
            parts += [_array(part.weight), _array(bias)]
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
        rows = _rows(self._layer)
        if rows is None or self.n_units % len(rows):
            return None
        return np.repeat(rows, self.n_units // len(rows), axis=0)

    @property
    def readout_weights(self):
        """Weights (n_classes, fan_in) of the readout; None without one."""
        if self.readout is None:
            return None
        return _rows(self.module.get_submodule(self.readout))

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
        return {name: _array(self.module.get_parameter(name)) for name in names}

    @property
    def head_names(self):
        """Names of the weights in the head: the layer's, the readout's."""
        return (f"{self.layer}.weight", f"{self.readout}.weight")

    # ------------------------------------------------------------ what it does

    def features(self, X):
        """What comes before the head, of checked images; and their largest value."""
        return self._over(X, lambda images: self._run(images, "inputs")[:1], _same)

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
                lambda images: self._run(images, "inputs")[:1],
                lambda features: _answers(self.head, features, units, logits),
            )

        def run(images):
            found = self._run(images, "units" if units else None)
            return tuple(part for part in found if part is not None)

        def finish(*parts):
            responses = parts[0] if units else None
            wanted = logits and self.n_logits is not None
            return responses, parts[-1] if wanted else None

        return self._over(X, run, finish)

    def answers(self, X):
        """Logits as the network itself gives them; and the images' largest value."""
        return self._over(X, lambda images: self._run(images, None)[1:], _same)

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
        units = torch.as_tensor(np.asarray(units, dtype=int), device=self.device)

        def silence(output):
            output = output.clone()
            if isinstance(self._layer, nn.Linear):
                by_unit = output.movedim(-1, 1)
            else:
                by_unit = output
            if self.pool == "flatten" and output.ndim > 2:
                flat = by_unit.flatten(1)
                flat[:, units] = 0
                by_unit = flat.reshape(by_unit.shape)
                if isinstance(self._layer, nn.Linear):
                    return by_unit.movedim(1, -1)
                return by_unit
            by_unit[:, units] = 0  # a view of the output
            return output

        with self._giving(silence):
            yield

    def _over(self, X, run, finish):
        return run_in_batches(
            X, self.image_shape, self.batch_size, self.value_range, run, finish
        )

    def _run(self, images, reading):
        """What is read at the layer, and logits (None where there are none)."""
        images = images.to(self.device).float()
        if self.preprocess is not None:
            images = self.preprocess(images)
            if not isinstance(images, Tensor):
                raise TypeError(
                    f"preprocess must give a tensor; got {type(images).__name__}."
                )
        self._reading, self._seen, self._n_runs = reading, None, 0
        self._n_images = len(images)
        output = self.module(images.to(self._dtype))
        if self._n_runs != 1:
            raise ValueError(
                f"layer={self.layer!r} ran {self._n_runs} times for one batch of "
                f"images. Name a layer that runs once, through its module's call."
            )
        output = getattr(output, "logits", output)
        logits = None
        if isinstance(output, Tensor) and output.ndim in (1, 2):
            fits = len(output) == self._n_images and output.is_floating_point()
            logits = output.float() if fits else None
        if logits is not None and logits.shape[1:] in ((), (1,)):
            # one output that says yes or no
            yes = logits.reshape(-1, 1)
            logits = torch.cat([torch.zeros_like(yes), yes], dim=1)
        return self._seen, logits

    def _look(self, module, args, output):
        """The hook of the layer: what is read, and what is given in its place."""
        self._n_runs += 1
        if self._reading == "inputs":
            self._seen = args[0].float().clone()
        elif self._reading == "units":
            self._seen = self._as_units(output)
        return None if self._changed is None else self._changed(output)

    @contextlib.contextmanager
    def _giving(self, change):
        """The layer gives ``change(output)``."""
        self._changed = change
        try:
            yield
        finally:
            self._changed = None

    def _as_units(self, output):
        """Responses (n, n_units) of a tensor of their own, float32."""
        kind = type(self._layer).__name__
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer={self.layer!r} is a {kind} that gives a "
                f"{type(output).__name__}, not a tensor; name a layer that gives one."
            )
        known = isinstance(self._layer, (nn.Linear, *CONVOLUTIONS))
        if output.ndim < 2 or len(output) != self._n_images:
            raise ValueError(
                f"layer={self.layer!r}, a {kind}, gives shape {tuple(output.shape)} "
                f"for {self._n_images} images; wanted are (n, units), or (n, channels, "
                f"...) with a row for each image."
            )
        if output.ndim == 3 and not known:
            raise ValueError(
                f"layer={self.layer!r}, a {kind}, gives shape {tuple(output.shape)}, "
                f"which does not say what is a unit and what a position. Name an "
                f"nn.Linear or a convolution."
            )
        self._n_axes = output.ndim
        output = output.float()
        if isinstance(self._layer, nn.Linear):
            output = output.movedim(-1, 1)
        if output.ndim == 2:
            return output.clone()
        if self.pool == "flatten":
            return output.flatten(1).clone()
        flat = output.flatten(2)
        return flat.mean(dim=2) if self.pool == "mean" else flat.amax(dim=2)


def observe_classifier(classifier, layer=None):
    """See a fitted classifier's network at a layer.

    Parameters
    ----------
    classifier : TopographicCNNClassifier
        The model.
    layer : str, default=None
        Name of the layer. None: the grid.

    Returns
    -------
    ObservedNetwork
        A copy of its network, which can be run.
    """
    return ObservedNetwork(
        classifier.module_,
        "grid" if layer is None else layer,
        readout="readout",
        image_shape=classifier.image_shape_,
        value_range=classifier.pixel_range_,
        batch_size=images_at_once(classifier.n_features_in_),
        device=classifier.net_.device,
    )


def _same(values):
    return values


def _answers(head, features, units, logits):
    """Responses and logits that a head makes of features, those that are wanted."""
    activations = head.activations(features)
    return activations if units else None, head.classify(
        activations
    ) if logits else None


def _array(tensor):
    return tensor.detach().float().cpu().numpy().copy()


def _rows(part):
    """Weights of a layer, a row a unit or channel; None for another kind of layer."""
    if isinstance(part, nn.Linear):
        return _array(part.weight)
    if isinstance(part, CONVOLUTIONS):
        return _array(part.weight.flatten(1))
    return None


def find_layer(module, name, parameter, more=()):
    """Name of a layer in a network, also where wrappers come first.

    Parameters
    ----------
    module : nn.Module
        The network.
    name : str
        As in ``module.named_modules()``, with or without the names of wrappers
        (``module.``, ``_orig_mod.``).
    parameter : str
        What the user calls the name, for the error.
    more : sequence of str, default=()
        Further names that were possible, for the error.

    Returns
    -------
    str
        The name in this network.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    names = [known for known, _ in module.named_modules() if known]
    if isinstance(name, str):
        found = name
        while True:
            if found in names:
                return found
            first, _, rest = found.partition(".")
            if first not in _WRAPPERS or not rest:
                break
            found = rest
    near = difflib.get_close_matches(str(name), names, n=5, cutoff=0.4) or names[-8:]
    raise ValueError(
        f"{parameter}={name!r} is no layer of this {type(module).__name__}; layers of "
        f"names like it, or its last ones, are {[*more, *near]}. All are in "
        f"dict(module.named_modules())."
    )


def _plain_copy(module):
    """A copy that can be run, hooked and changed, its weights as they take effect."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be an nn.Module; got {type(module).__name__}.")
    while True:
        children = dict(module.named_children())
        inner = children.get("_orig_mod", children.get("module"))
        parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
        if inner is None or not (
            "_orig_mod" in children or isinstance(module, parallel)
        ):
            break
        module = inner
    try:
        copied = own_copy(module, "module").eval()
    except TypeError as error:
        raise TypeError(
            f"The module, a {type(module).__name__}, cannot be copied "
            f"({error.__cause__!r}). A copy of it is run, so that it is never changed: "
            f"give a module that copy.deepcopy can copy."
        ) from error
    for part in copied.modules():
        if parametrize.is_parametrized(part):
            _make_plain(part)
        # the older ways, by the tensors that they add
        for mark, remove in _OLDER:
            if hasattr(part, mark):
                remove(part)
                break
    return copied


def _make_plain(part):
    """Replace the parametrizations of a copied layer by what they give.

    torch's own way to remove them would change the class that the copy shares with the
    layer that it was copied from.
    """
    effective = {name: getattr(part, name).detach() for name in part.parametrizations}
    del part.parametrizations
    part.__class__ = type(part).__bases__[0]
    for name, value in effective.items():
        part.register_parameter(name, nn.Parameter(value.clone(), requires_grad=False))
