"""From the parameters of an estimator to its net and its objective."""

from __future__ import annotations

import torch

from sktopo._images import as_chw
from sktopo._training.callbacks import own_callbacks
from sktopo._training.devices import native_bfloat16, resolve_device
from sktopo._training.net import OPTIMIZERS, TopographicNet
from sktopo._training.objective import Objective, Term
from sktopo._training.seeds import seeded_initialisation
from sktopo.grid import Grid
from sktopo.losses.registry import make_loss
from sktopo.networks import GRID, auto_backbone, own_copy

# What a model is made of: these cannot change while its training goes on.
STRUCTURE = ("grid_shape", "backbone", "image_shape", "standardize", "optimizer")


def structure_of(estimator):
    """What the parameters of an estimator ask a model to be made of."""
    structure = {name: getattr(estimator, name) for name in STRUCTURE}
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


def make_objective(estimator, task):
    """The loss of a task plus the spatial terms that an estimator asks for."""
    key = _terms_key(estimator)
    if key is None:
        return Objective(task)
    loss = make_loss(
        estimator.topo_loss,
        Grid(estimator.grid_shape).shape,
        neighborhood=estimator.neighborhood,
        distance=estimator.distance,
    )
    term = Term(GRID, own_copy(loss, "topo_loss"), _lams(estimator)[GRID])
    return Objective(task, [term], key)


def _lams(estimator):
    """The weight of the spatial term of each layer that an estimator asks for."""
    return {GRID: float(estimator.lam)}


def _terms_key(estimator):
    """What the spatial terms are made from; None: there are none."""
    if estimator.topo_loss is None or estimator.lam == 0:
        return None
    return estimator.topo_loss, estimator.distance, estimator.neighborhood


def make_net(estimator, module, objective, shuffling_seed, split_seed):
    """The net that trains a module on an objective, its optimizer fresh."""
    return TopographicNet(
        module,
        criterion=objective,
        **OPTIMIZERS[estimator.optimizer],
        optimizer__fused=True,
        lr=estimator.lr,
        device=str(resolve_device(estimator.device)),
        verbose=0,
        shuffling=torch.Generator().manual_seed(shuffling_seed),
        image_shape=estimator.image_shape_,
        structure=structure_of(estimator),
        split_seed=split_seed,
    ).initialize()


def configure(net, estimator):
    """Give a net what may change from one call of fit to the next."""
    settings = {"lr": estimator.lr, "weight_decay": estimator.weight_decay}
    for group in net.optimizer_.param_groups:
        group.update(settings)
    if net.criterion_.key != _terms_key(estimator):
        with seeded_initialisation(net.split_seed):
            objective = make_objective(estimator, net.criterion_.task)
        net.criterion_ = objective.to(net.device)
    lams = _lams(estimator)
    for term in net.criterion_.terms:
        term.lam = lams.get(term.layer, term.lam)
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
        estimator.early_stopping,
        estimator.n_iter_no_change,
        estimator.tol,
        estimator.verbose,
    )
    net.callbacks = [*own, *(estimator.callbacks or [])]
    net.initialize_callbacks()
