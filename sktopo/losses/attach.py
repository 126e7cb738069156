"""Spatial losses of any layers, in one's own torch loop."""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Real

import torch
from torch import Tensor, nn

from sktopo._layers import find_layer, unwrap
from sktopo._numbers import check_name
from sktopo.grid import Grid, sheet_shape
from sktopo.losses.outputs import ForwardPass
from sktopo.losses.reading import CONVS, channel_count, loss_value, read_layer
from sktopo.losses.registry import LOSSES, make_loss


def _sum(values):
    return sum(values.values())


def _mean(values):
    return _sum(values) / len(values)


REDUCTIONS = {"sum": _sum, "mean": _mean, "none": dict}
"""What is made of the weighted terms."""

_DEAF = (
    "If torch has compiled it, or another model of its class, without these hooks, "
    "call torch.compiler.reset() after topo.attach(model), or set "
    "torch._dynamo.config.skip_nnmodule_hook_guards = False before compiling."
)


@dataclass
class _Term:
    """One loss of one layer; what it reads, and of how many units, is found out."""

    layer: str
    name: str
    factory: object
    source: str | None = None
    n_units: int | None = None

    @property
    def key(self):
        return f"{self.layer.replace('.', '/')}:{self.name}"


class TopographicLoss(nn.Module):
    """Spatial losses of any layers of a torch network, in a training loop of one's own.

    Parameters
    ----------
    terms : dict of str to (str, callable, or list of them)
        By name of a layer, as in ``model.named_modules()`` (wrappers' ``module.`` and
        ``_orig_mod.`` may be left out), the losses that it has: a loss class, a
        `functools.partial` of one, another factory of a loss, a name of `LOSSES`, or a
        list of these, which all count.
    lam : float or dict of str to float, default=1.0
        The weight of all terms, or of those of each layer, all layers named. It may be
        set anew between steps.
    grid_shapes : dict of str to tuple of (int, int) or Grid, default=None
        Rows and columns by layer, where the rule is not wanted: units stand row-major
        on the most square sheet that there is, `sktopo.grid.sheet_shape`. A `Grid`
        gives its neighbourhood, and its torus, too.
    conv : {"pooled", "per_image", "units"}, default="pooled"
        How losses read the responses of a convolution (n, C, ...). "pooled": channels
        are units, positions are further images. "per_image": channels are units,
        positions are images, and the loss is the mean over the images. "units": every
        channel at every position is a unit, channel after channel. Their weights are
        always a row a channel.
    reduction : {"sum", "mean", "none"}, default="sum"
        What a call gives: the sum of the weighted terms, their mean, or a dict of them
        with the keys of `values_`.

    Attributes
    ----------
    values_ : dict of (str, str) to float
        Each term's value in the last call, before lam, by layer and loss: the name that
        it was given by, or that of its class or function, with "_2" and so on where a
        layer has several of one name. Looked at, it waits for an accelerator; otherwise
        nothing does.
    losses : nn.ModuleDict
        The losses, by "layer:loss" with slashes for the layer's dots. A loss whose
        number of units only the first forward pass tells is made in the first call.

    Raises
    ------
    TypeError
        If a loss is none of these, or an instance.
    ValueError
        If there are no terms, or lam, grid_shapes, conv or reduction do not fit.

    See Also
    --------
    sktopo.FrozenNetwork : Measures and maps of the trained network.
    sktopo.TopographicCNNClassifier : The same losses without a loop.

    Notes
    -----
    **Once a pass.** Losses of weights need no hook and read what the weights are at the
    call. Losses of activations read what layers gave in the last forward pass of the
    attached model, once: a call without a new pass raises. A layer that runs several
    times in a pass gives the mean of its values. Call the attached model itself (within
    any wrapper): a pass begins there. Of two passes before a call the last one counts.
    Checkpointed layers are read when they run first; reentrant checkpoints record no
    gradients there, which raises.

    **Mode and device.** Losses follow the mode of the model (those that draw, draw anew
    only in training), and what they read to its device. They compute in float32, or
    float64 where the model does, whatever autocast says.

    **Copies.** A copy of the model alone (`copy.deepcopy`) has no hooks; unpickled
    alone, it has hooks that do nothing. Copied or pickled together, as in
    ``copy.deepcopy((model, topo))``, in any order, the copies are attached to each
    other. A copy of the loss alone carries the layers that it read, and is attached to
    no model of yours: `attach` it. The model's ``state_dict`` never changes.

    **Compiled models.** Attach first, then compile and run. What torch has compiled
    without the hooks, of this model or of another one of its class, does not see them,
    and a call raises. `torch.compiler.reset` lets it be compiled anew; models of one
    class with and without hooks side by side need
    ``torch._dynamo.config.skip_nnmodule_hook_guards = False``.

    **Several devices.** With `torch.nn.parallel.DistributedDataParallel`, losses of
    weights are exact; those of activations are each process's own, of its part of the
    batch, and gradients are averaged. In a `torch.nn.DataParallel` of several devices,
    losses of activations raise.

    References
    ----------
    Margalit et al., "A unifying framework for functional organization in early and
    higher ventral visual cortex", Neuron 112 (2024), and Deb et al., "TopoNets", ICLR
    (2025), for spatial losses of several layers.

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import TopographicLoss, WeightSimilarity
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.Linear(12, 2))
    >>> topo = TopographicLoss({"0": [WeightSimilarity, "as"]}, lam=0.3).attach(model)
    >>> loss = model(torch.randn(5, 8)).square().mean() + topo(model)
    >>> loss.backward()
    >>> sorted(topo.values_)
    [('0', 'WeightSimilarity'), ('0', 'as')]
    """

    def __init__(
        self,
        terms: Mapping[str, str | Callable | list],
        lam: float | Mapping[str, float] = 1.0,
        *,
        grid_shapes: Mapping[str, tuple[int, int] | Grid] | None = None,
        conv: str = "pooled",
        reduction: str = "sum",
    ):
        super().__init__()
        self._terms = _read_terms(terms)
        layers = {term.layer: None for term in self._terms}
        _check_lam(lam, layers)
        _check_names("grid_shapes", grid_shapes or {}, layers)
        check_name("conv", conv, CONVS)
        check_name("reduction", reduction, REDUCTIONS)
        self.lam = lam
        self.grid_shapes = {
            layer: Grid.of(shape) for layer, shape in (grid_shapes or {}).items()
        }
        self.conv = conv
        self.reduction = reduction
        self.losses = nn.ModuleDict()
        self._layers = {}
        self._pass = ForwardPass()
        self._handles = []
        self._values = {}

    def __setstate__(self, state):
        super().__setstate__(state)
        if self._handles:
            self._look_after_hooks()

    @property
    def values_(self) -> dict[tuple[str, str], float]:  # numpydoc ignore=GL08
        return {key: float(value) for key, value in self._values.items()}

    # ------------------------------------------------------------------- the model

    def attach(self, model: nn.Module) -> TopographicLoss:
        """Find the layers of a model, and hook those whose responses are read.

        Parameters
        ----------
        model : nn.Module
            The model that will be trained, also within wrappers. What was attached
            before is left; losses that still fit are kept with what they learned.

        Returns
        -------
        TopographicLoss
            Itself.

        Raises
        ------
        TypeError
            If a loss cannot be made with its settings.
        ValueError
            If there is no such layer, it has no weights for a loss that reads them, or
            its grid does not fit.
        """
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be an nn.Module; got {type(model).__name__}.")
        self.remove()
        layers = {}
        for name in dict.fromkeys(term.layer for term in self._terms):
            found = find_layer(model, name, "layer")
            layers[name] = unwrap(model.get_submodule(found))
        for term in self._terms:
            self._prepare(term, layers[term.layer])
        read = {
            term.layer: layers[term.layer]
            for term in self._terms
            if term.source == "activations"
        }
        self._layers = layers
        if read:
            self._pass = ForwardPass()
            self._handles = self._pass.follow(unwrap(model), read)
            self._look_after_hooks()
        return self

    def remove(self) -> None:
        """Leave the model: take the hooks away, and forget its layers."""
        _remove(self._pass, self._handles)
        self._handles, self._layers = [], {}

    def _look_after_hooks(self):
        """Let the hooks go with this object."""
        self._pass.followed = True
        weakref.finalize(self, _remove, self._pass, self._handles).atexit = False

    def _prepare(self, term, layer):
        """Find out what a term reads; make its loss where its units are known yet."""
        n_units = channel_count(layer)
        term.source = getattr(_bare(term.factory), "source", None)
        if term.source is None:  # a function, which is asked
            known = n_units is not None
            term.source = (
                _make(term, Grid(sheet_shape(n_units))).source
                if known
                else "activations"
            )
        if term.source == "weights" and n_units is None:
            read_layer(term.source, layer, term.layer, None, self.conv)  # raises
        if n_units is not None and (term.source == "weights" or self.conv != "units"):
            self._loss(term, n_units)

    def _loss(self, term, n_units):
        """The loss of a term, made for so many units unless it is there."""
        grid = self.grid_shapes.get(term.layer)
        if grid is not None and grid.n_units != n_units:
            raise ValueError(
                f"grid_shapes[{term.layer!r}]={grid.shape} has {grid.n_units} units, "
                f"but {n_units} are read of the layer. Give a shape of so many, or "
                f"none, for the most square sheet."
            )
        if term.n_units != n_units:
            grid = Grid(sheet_shape(n_units)) if grid is None else grid
            self.losses[term.key] = _make(term, grid)
            term.n_units = n_units
        return self.losses[term.key]

    # ------------------------------------------------------------------- the value

    def forward(self, model: nn.Module) -> Tensor | dict[tuple[str, str], Tensor]:
        """Compute the loss, of the model's weights and its last forward pass.

        Parameters
        ----------
        model : nn.Module
            The model that it is attached to, or a wrapper of that.

        Returns
        -------
        Tensor of shape (), or dict of (str, str) to Tensor
            The reduction of the terms, each times its lam.

        Raises
        ------
        RuntimeError
            If it is attached to no model, or a layer whose responses are read did not
            run since the last call, or ran without gradients that are wanted now.
        ValueError
            If it is attached to another model, or a layer does not give what is read.
        """
        self._check_model(model)
        outputs = self._pass.take()
        training = self.training and model.training
        values = {
            (term.layer, term.name): self._value(term, outputs, training)
            for term in self._terms
        }
        self._values = {key: value.detach() for key, value in values.items()}
        weighted = {key: self._lam(key[0]) * value for key, value in values.items()}
        return REDUCTIONS[self.reduction](weighted)

    def _value(self, term, outputs, training):
        """The value of a term, before lam: the mean over the layer's outputs."""
        layer, given = self._layers[term.layer], [None]
        if term.source == "activations":
            given = _outputs_of(term.layer, outputs)
        values = []
        for output in given:
            read = read_layer(term.source, layer, term.layer, output, self.conv)
            loss = self._loss(term, read.shape[0 if term.source == "weights" else -1])
            _move(loss, read.device)
            if loss.training != training:
                loss.train(training)
            values.append(loss_value(loss, read, term.layer))
        return sum(values) / len(values)

    def _lam(self, layer):
        return self.lam[layer] if isinstance(self.lam, Mapping) else self.lam

    def _check_model(self, model):
        """Raise an error unless the attached layers are this model's."""
        if not self._layers:
            raise RuntimeError(
                "This TopographicLoss is attached to no model: call "
                "topo.attach(model) first."
            )
        own = set(model.modules())
        for name, layer in self._layers.items():
            if layer not in own:
                raise ValueError(
                    f"The layer {name!r} that this TopographicLoss is attached to is "
                    f"none of this {type(model).__name__}'s: it was given another "
                    f"model, a copy of the model, or one whose layer was replaced. "
                    f"Call topo.attach(model) with the model that is trained."
                )
        parallel = isinstance(model, nn.DataParallel) and len(model.device_ids) > 1
        if parallel and self._handles:
            raise RuntimeError(
                "Losses of activations cannot be read in an nn.DataParallel of several "
                "devices. Use nn.parallel.DistributedDataParallel."
            )

    def extra_repr(self) -> str:  # numpydoc ignore=GL08
        terms = ", ".join(f"{term.layer}: {term.name}" for term in self._terms)
        settings = f"lam={self.lam}, conv={self.conv!r}, reduction={self.reduction!r}"
        return f"{terms}; {settings}"


def _read_terms(terms):
    """The terms that a dict by layer tells."""
    if not isinstance(terms, Mapping) or not terms:
        raise ValueError(
            f"terms must be a dict of a layer's name to its loss or losses, of one "
            f"layer or more; got {terms!r}."
        )
    found = {}
    for layer, factories in terms.items():
        factories = factories if isinstance(factories, list | tuple) else [factories]
        if not factories:
            raise ValueError(
                f"terms[{layer!r}] is empty; give a loss, or leave it out."
            )
        for factory in factories:
            _check_factory(layer, factory)
            name = _name_of(factory)
            names = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
            name = next(name for name in names if (layer, name) not in found)
            found[layer, name] = _Term(layer, name, factory)
    return list(found.values())


def _check_factory(layer, factory):
    if isinstance(factory, str) and factory not in LOSSES:
        raise ValueError(
            f"terms[{layer!r}]={factory!r} is no loss; those with a name are "
            f"{sorted(LOSSES)}."
        )
    known = isinstance(factory, str) or callable(factory)
    if isinstance(factory, nn.Module) or not known:
        raise TypeError(
            f"terms[{layer!r}] must be a loss class, a partial of one, a name of "
            f"LOSSES, or a list of them; got {factory!r}."
        )


def _bare(factory):
    """The class or function that a name or a partial stands for."""
    factory = LOSSES[factory] if isinstance(factory, str) else factory
    while isinstance(factory, partial):
        factory = factory.func
    return factory


def _make(term, grid):
    """Make the loss of a term; errors name the layer."""
    settings = {"neighborhood": grid.neighborhood, "wrap": grid.wrap}
    try:
        made = make_loss(term.factory, grid.shape, **settings)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The layer {term.layer!r}: {error}") from error
    if term.source not in (None, made.source):
        raise ValueError(
            f"The layer {term.layer!r}: the loss {term.name} reads {made.source}, "
            f"which was not known before it was made. Give its factory the attribute "
            f"`source` = {made.source!r}."
        )
    return made


def _name_of(factory):
    if isinstance(factory, str):
        return factory
    bare = _bare(factory)
    return getattr(bare, "__name__", type(bare).__name__)


def _check_lam(lam, layers):
    _check_names("lam", lam if isinstance(lam, Mapping) else {}, layers)
    if isinstance(lam, Mapping) and (absent := [n for n in layers if n not in lam]):
        raise ValueError(
            f"lam has no weight for {absent}: a dict names every layer of terms."
        )
    for value in lam.values() if isinstance(lam, Mapping) else [lam]:
        if not isinstance(value, Real) or not 0 <= value < math.inf:
            raise ValueError(
                f"lam must be a number of at least 0, or a dict of one by layer; got "
                f"{lam!r}."
            )


def _check_names(parameter, given, layers):
    if unknown := [name for name in given if name not in layers]:
        raise ValueError(
            f"{parameter} names {unknown}, which are no layers of terms; those are "
            f"{list(layers)}."
        )


def _remove(forward_pass, handles):
    """Take hooks away, and what they kept; a compiled model may still run them."""
    forward_pass.followed, forward_pass.outputs = False, None
    for handle in handles:
        handle.remove()


def _outputs_of(layer, outputs):
    """What a layer gave in the last pass, or an error that says why it is not known."""
    if outputs is None:
        raise RuntimeError(
            f"The responses of the layer {layer!r} are stale: the attached model ran "
            f"no forward pass since the last call. Call model(x) before each "
            f"topo(model): the attached model itself, not its parts or a copy. {_DEAF}"
        )
    if layer not in outputs:
        raise RuntimeError(
            f"The layer {layer!r} did not run in the last forward pass of the attached "
            f"model, so that its responses cannot be read. Name a layer that images go "
            f"through. {_DEAF}"
        )
    if torch.is_grad_enabled() and not all(out.with_grad for out in outputs[layer]):
        raise RuntimeError(
            f"The layer {layer!r} ran without gradients, which are wanted now. Call "
            f"topo(model) under torch.no_grad() too; or, where a checkpoint runs the "
            f"layer, give that use_reentrant=False."
        )
    return [out.value for out in outputs[layer]]


def _move(loss, device):
    """Let a loss follow what it reads."""
    held = itertools.chain(loss.parameters(), loss.buffers())
    if any(tensor.device != device for tensor in held):
        loss.to(device)
