"""From the parameters of an estimator to its network, its objective and its net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from numbers import Real

import torch
from sklearn.base import is_classifier
from torch import nn

from sktopo._files import describe
from sktopo._images import as_chw
from sktopo._layers import find_layer
from sktopo._training.callbacks import own_callbacks
from sktopo._training.devices import native_bfloat16, resolve_device
from sktopo._training.net import TopographicNet, optimizer_settings
from sktopo._training.objective import (
    TOPO_LOSS,
    Objective,
    Term,
    outputs_of,
)
from sktopo._training.seeds import seeded_initialisation
from sktopo._training.strength import LAM_MODES, Fixed
from sktopo._training.tasks import Contrast, CrossEntropy
from sktopo.augment import augment_batch
from sktopo.grid import Grid, sheet_shape
from sktopo.losses.reading import channel_count, unit_responses, unit_weights
from sktopo.losses.registry import DEFAULTS, make_loss
from sktopo.networks import (
    GRID,
    ProjectionNetwork,
    TopographicNetwork,
    auto_backbone,
    make_network,
    own_copy,
)

# What a model is made of: these cannot change while its training goes on.
STRUCTURE = ("grid_shape", "backbone", "image_shape", "standardize", "optimizer")


def make_task(estimator):
    """What an estimator trains a network for: to classify, or else to tell apart."""
    if is_classifier(estimator):
        return CrossEntropy()
    return Contrast(float(estimator.temperature))


def make_module(estimator, mean, std, generator):
    """The network that an estimator asks for, its weights drawn by torch.

    Parameters
    ----------
    estimator : estimator
        Knows the shape of its images, and a classifier its classes.
    mean, std : Tensor of shape (C,)
        What images are standardised by.
    generator : torch.Generator
        For dropout.

    Returns
    -------
    GridNetwork
        With a readout for a classifier, with a projection for an encoder.
    """
    kind = {"network": ProjectionNetwork}
    if is_classifier(estimator):
        kind = {"network": TopographicNetwork, "n_classes": len(estimator.classes_)}
    else:
        kind["projection_dim"] = estimator.projection_dim
    return make_network(
        estimator.backbone,
        estimator.image_shape_,
        **kind,
        n_units=Grid(estimator.grid_shape).n_units,
        dropout=estimator.dropout,
        mean=mean,
        std=std,
        generator=generator,
    )


def structure_of(estimator):
    """What the parameters of an estimator ask a model to be made of."""
    names = STRUCTURE if is_classifier(estimator) else (*STRUCTURE, "projection_dim")
    structure = {name: getattr(estimator, name) for name in names}
    if estimator.backbone == "auto":
        structure["backbone"] = auto_backbone(estimator.image_shape_)
    structure["grid_shape"] = Grid(estimator.grid_shape).shape
    shape = estimator.image_shape
    shape = estimator.image_shape_ if shape is None else as_chw(shape)
    structure["image_shape"] = shape
    return structure


def check_structure(estimator):
    """Raise a ValueError if a model is to be made of something else than it is."""
    now = structure_of(estimator)
    before = estimator.net_.structure
    changed = [name for name, value in before.items() if now[name] != value]
    if changed:
        raise ValueError(
            f"{', '.join(changed)} cannot change while training goes on. Set back "
            f"what the model was made with, or fit anew with warm_start=False."
        )


def make_objective(estimator, task, network, seed):
    """The loss of a task plus the spatial terms that an estimator asks for.

    Parameters
    ----------
    estimator : estimator
        Its parameters say which.
    task : Task
        The task of the `Objective`.
    network : GridNetwork
        Has the layers; it is run once if other layers than the grid are asked for.
    seed : int
        For losses that draw.

    Returns
    -------
    Objective
        Task and terms.

    Raises
    ------
    ValueError
        If a layer is not there, or does not give what the loss reads.
    TypeError
        If the loss cannot be made so.
    """
    key = _terms_key(estimator)
    if key is None:
        return Objective(task)
    layers = _topographic_layers(estimator, network)
    n_units = count_units(network, layers, estimator.image_shape_)
    terms = []
    for layer, weight in layers.items():
        shape = Grid(estimator.grid_shape).shape
        if layer != GRID:
            shape = sheet_shape(n_units[layer])
        loss = own_copy(_make_loss(estimator, shape, seed), "topo_loss")
        if loss.source == "weights":
            unit_weights(network.get_submodule(layer), layer)  # or its error
        name = TOPO_LOSS if len(layers) == 1 else f"{TOPO_LOSS}_{layer}"
        terms.append(Term(layer, loss, weight, name))
    objective = Objective(task, terms, key)
    set_strength(objective, estimator, network)
    return objective


def _make_loss(estimator, grid_shape, seed):
    """The loss that an estimator asks for, for one sheet."""
    settings = {name: getattr(estimator, name) for name in DEFAULTS}
    own = estimator.loss_params or {}
    if twice := [n for n in settings if n in own and settings[n] != DEFAULTS[n]]:
        raise ValueError(
            f"{twice[0]}={settings[twice[0]]!r} and loss_params["
            f"{twice[0]!r}]={own[twice[0]]!r} say the same thing twice. Give one of "
            f"them."
        )
    if own.get("wrap", estimator.wrap) != estimator.wrap:
        raise ValueError(
            f"loss_params['wrap']={own['wrap']!r} is not the grid's: give "
            f"wrap={own['wrap']!r} itself, so that measures follow it."
        )
    return make_loss(estimator.topo_loss, grid_shape, seed, own, **settings)


def _topographic_layers(estimator, network):
    """Weights of the topographic layers, by their names in the network."""
    given = GRID if estimator.topo_layers is None else estimator.topo_layers
    if isinstance(given, str):
        given = [given]
    pairs = given.items() if isinstance(given, Mapping) else [(n, 1.0) for n in given]
    layers = {}
    for name, weight in pairs:
        found = find_layer(network, name, "topo_layers")
        if found in layers:
            raise ValueError(f"topo_layers names the layer {found!r} twice.")
        if not isinstance(weight, Real) or not 0 < weight < math.inf:
            raise ValueError(
                f"topo_layers[{name!r}]={weight!r} is no weight of a layer: give a "
                f"positive number."
            )
        layers[found] = float(weight)
    if not layers:
        raise ValueError(
            "topo_layers is empty. Name a layer, or use topo_loss=None for a network "
            "without a spatial loss."
        )
    return layers


def count_units(network, layers, image_shape):
    """Numbers of units of layers by name; the network is run if one does not say it.

    Parameters
    ----------
    network : GridNetwork
        The network.
    layers : iterable of str
        Names of its layers.
    image_shape : tuple of (int, int, int)
        Channels, height and width.

    Returns
    -------
    dict
        Channels of a convolution, units of any other layer.

    Raises
    ------
    ValueError
        If a layer gives no units, or does not run.
    """
    counts = {name: channel_count(network.get_submodule(name)) for name in layers}
    others = [name for name, count in counts.items() if count is None]
    if not others:
        return counts
    device, training = network.mean.device, network.training
    images = torch.zeros(2, *image_shape, dtype=torch.float32, device=device)
    try:
        with outputs_of(network.eval(), others) as outputs, torch.no_grad():
            network(images)
    finally:
        network.train(training)
    for layer in others:
        output, module = next(iter(outputs[layer]), None), network.get_submodule(layer)
        counts[layer] = unit_responses(output, module, layer, "pooled").shape[1]
    return counts


def _terms_key(estimator):
    """What the spatial terms are made from; None: there are none."""
    if estimator.topo_loss is None or estimator.lam == 0:
        return None
    names = ("topo_layers", "loss_params", *DEFAULTS)
    settings = {name: getattr(estimator, name) for name in names}
    return estimator.topo_loss, {n: describe(v, n) for n, v in settings.items()}


def has_asked_terms(objective, estimator):
    """Whether an objective has the spatial terms that the parameters now ask for."""
    kind = LAM_MODES[estimator.lam_mode] if objective.terms else Fixed
    same = type(objective.strength) is kind
    return same and objective.key == _terms_key(estimator)


def set_strength(objective, estimator, network):
    """Give an objective the lam that an estimator asks for, and what it means."""
    objective.lam = float(estimator.lam)
    kind = LAM_MODES[estimator.lam_mode]
    if not objective.terms or type(objective.strength) is kind:
        return
    layer = objective.terms[0].layer
    weight = getattr(network.get_submodule(layer), "weight", None)
    trained = isinstance(weight, nn.Parameter) and weight.requires_grad
    if kind is not Fixed and not trained:
        raise ValueError(
            f"lam_mode={estimator.lam_mode!r} compares gradients at the weights of the "
            f"first of the topo_layers, {layer!r}, which has none that are trained "
            f"(frozen ones, and those that a parametrization computes, are not). Name "
            f"a layer that has first, or use lam_mode='fixed'."
        )
    objective.strength = kind()


def make_net(estimator, module, objective, seeds, optimizer=None):
    """The net that trains a module on an objective, its optimizer fresh.

    Parameters
    ----------
    estimator : estimator
        Its parameters say how.
    module : GridNetwork
        What is trained.
    objective : Objective
        What is made small.
    seeds : Seeds
        For shuffling, augmentation and held-out images.
    optimizer : str or class, default=None
        Another optimizer than the estimator's.

    Returns
    -------
    TopographicNet
        Initialised.
    """
    return TopographicNet(
        module,
        criterion=objective,
        **optimizer_settings(optimizer or estimator.optimizer),
        lr=estimator.lr,
        device=str(resolve_device(estimator.device)),
        verbose=0,
        shuffling=torch.Generator().manual_seed(seeds.shuffling),
        augmentation=torch.Generator().manual_seed(seeds.augmentation),
        image_shape=estimator.image_shape_,
        structure=structure_of(estimator),
        split_seed=seeds.split,
    ).initialize()


def configure(net, estimator):
    """Give a net what may change from one call of fit to the next."""
    settings = {"lr": estimator.lr, "weight_decay": estimator.weight_decay}
    if estimator.weight_decay and "weight_decay" not in net.optimizer_.defaults:
        raise ValueError(
            f"The optimizer {type(net.optimizer_).__name__} has no weight decay; use "
            f"weight_decay=0, or another optimizer."
        )
    for group in net.optimizer_.param_groups:
        group.update(settings)
    if net.criterion_.key != _terms_key(estimator):
        with seeded_initialisation(net.split_seed):
            objective = make_objective(
                estimator, net.criterion_.task, net.module_, net.split_seed
            )
        net.criterion_ = objective
    set_strength(net.criterion_, estimator, net.module_)
    net.criterion_.to(net.device)
    for term in net.criterion_.terms:
        weight = getattr(net.module_.get_submodule(term.layer), "weight", None)
        if weight is not None and term.layer not in net.initial_norms:
            net.initial_norms[term.layer] = weight.detach().norm().item()
    net.augment = None
    if estimator.augment is not None:  # skorch takes a module for a part of the net
        augment = estimator.augment
        if isinstance(augment, str):
            augment = net.criterion_.task.augmentations[augment]
        net.augment = partial(augment_batch, augment)
    net.value_range = estimator.pixel_range_
    net.module_.dropout = estimator.dropout
    net.batch_size = estimator.batch_size
    device = torch.device(net.device)
    net.bfloat16 = estimator.precision == "bfloat16" or (
        estimator.precision == "auto" and native_bfloat16(device)
    )
    _set_callbacks(net, estimator)


def _set_callbacks(net, estimator):
    for callback in estimator.callbacks or []:
        callback = callback[1] if isinstance(callback, tuple) else callback
        if not hasattr(callback, "on_epoch_end"):
            raise TypeError(
                f"callbacks must be skorch callbacks (skorch.callbacks.Callback), "
                f"or pairs of a name and one; got {callback!r}."
            )
    own = own_callbacks(
        net.criterion_.task,
        estimator.early_stopping,
        estimator.n_iter_no_change,
        estimator.tol,
        estimator.verbose,
    )
    net.callbacks = [*own, *(estimator.callbacks or [])]
    net.initialize_callbacks()
