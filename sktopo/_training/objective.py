"""What training makes small: a task's loss, and spatial terms by layer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sktopo._training.strength import Fixed
from sktopo._training.tasks import CrossEntropy
from sktopo.losses.reading import loss_value, read_layer
from sktopo.networks import GRID

# What the spatial loss, and the weight that it had, are called in the history.
TOPO_LOSS, LAM = "topo_loss", "lam"


@dataclass
class Term:
    """A spatial loss of one layer.

    Parameters
    ----------
    layer : str
        Name of the layer in the network.
    loss : nn.Module
        Its `source` says whether it is given the layer's weights, one row a unit, or
        the layer's output in the forward pass of this step, one column a unit. A layer
        that runs several times gives the mean.
    weight : float, default=1.0
        The loss's part of the whole.
    name : str, default="topo_loss"
        What the term is called in the history, and the loss in the objective's state.
    """

    layer: str
    loss: nn.Module
    weight: float = 1.0
    name: str = TOPO_LOSS

    def value(self, network, outputs):
        """The loss, before it is weighted."""
        source, name = self.loss.source, self.layer
        layer, given = network.get_submodule(name), [None]
        if source == "activations":
            given = outputs[name] or given  # which is an error
        read = [read_layer(source, layer, name, out, conv="pooled") for out in given]
        return sum(loss_value(self.loss, part, name) for part in read) / len(read)


class Objective(nn.Module):
    """The loss of a task plus `lam` times the spatial terms.

    Parameters
    ----------
    task : Task
        One of `sktopo._training.tasks`.
    terms : sequence of Term, default=()
        Added in this order; their names differ.
    key : tuple, default=None
        What the terms were made from.
    lam : float, default=1.0
        The weight of the terms, or what the strength makes of it.
    strength : nn.Module, default=None
        One of `LAM_MODES`; None: `Fixed`.
    """

    def __init__(self, task, terms=(), key=None, lam=1.0, strength=None):
        super().__init__()
        self.task = task
        self.terms = list(terms)
        self.key = key
        self.lam = lam
        self.strength = Fixed() if strength is None else strength
        for term in self.terms:  # what a loss learns is part of the state
            self.add_module(term.name.replace(".", "_"), term.loss)

    def __setstate__(self, state):
        super().__setstate__(state)
        if "terms" not in state:  # pickled when the grid had the only term
            vars(self).pop("topo_loss", None)
            loss = dict(self.named_children()).get(TOPO_LOSS)
            self.task = CrossEntropy()
            self.terms = [] if loss is None else [Term(GRID, loss)]
            self.strength = Fixed()
        if isinstance(self.key, tuple) and len(self.key) == 3:  # before tori and layers
            loss, distance, neighborhood = self.key
            settings = {"distance": distance, "neighborhood": neighborhood}
            more = {"topo_layers": None, "loss_params": None, "wrap": False}
            self.key = loss, {**settings, **more}

    @property
    def names(self):
        """What the parts of the loss are called."""
        if not self.terms:
            return ["task_loss"]
        return list(dict.fromkeys(["task_loss", TOPO_LOSS, *self._term_names, LAM]))

    @property
    def _term_names(self):
        return [term.name for term in self.terms]

    @property
    def read_layers(self):
        """Names of the layers whose responses are read."""
        terms = [t for t in self.terms if t.loss.source == "activations"]
        return list(dict.fromkeys(term.layer for term in terms))

    def forward(self, network, outputs, answers, targets, weights):
        """The loss of a batch, and its parts by name, as numbers.

        Parameters
        ----------
        network : nn.Module
            What is trained.
        outputs : dict
            Responses of the layers that are read, from `outputs_of`.
        answers : Tensor
            What the network made of the images.
        targets, weights : Tensor
            Of the images.
        """
        task = self.task(answers, targets, weights)
        if not self.terms:
            return task, {"task_loss": task.item()}
        values = [term.value(network, outputs) for term in self.terms]
        if self.training:
            self._check_trained(values)
        topo = sum(term.weight * value for term, value in zip(self.terms, values))
        if self.training and self.strength.measures:
            self._measure(network, task, topo)
        lam = self.lam * self.strength.factor
        parts = {"task_loss": task, **dict(zip(self._term_names, values))}
        parts = {**parts, TOPO_LOSS: topo}
        return task + lam * topo, {**{k: v.item() for k, v in parts.items()}, LAM: lam}

    def _check_trained(self, values):
        """Raise a ValueError if a term is one that training cannot change."""
        for term, value in zip(self.terms, values):
            if torch.is_grad_enabled() and not value.requires_grad:
                raise ValueError(
                    f"The spatial loss of the layer {term.layer!r} would change "
                    f"nothing: all that it depends on is frozen (requires_grad=False), "
                    f"or the loss itself passes no gradient. Let the layer be trained, "
                    f"or leave it out of topo_layers."
                )

    def _measure(self, network, task, topo):
        """Let the strength know the gradients at the first term's layer."""
        weight = network.get_submodule(self.terms[0].layer).weight
        norms = []
        for part in (task, topo):
            found = [None]
            if part.requires_grad:
                found = torch.autograd.grad(
                    part, [weight], retain_graph=True, allow_unused=True
                )
            norms.append(0.0 if found[0] is None else found[0].norm().item())
        self.strength.note(*norms)


@contextlib.contextmanager
def outputs_of(network, layers):
    """What layers give in a forward pass: a list by name, an output each time it ran.

    The network has hooks meanwhile, and none afterwards.
    """
    outputs = {name: [] for name in layers}

    def keep(name):
        def hook(module, inputs, output):
            if name != GRID and isinstance(output, Tensor):
                output = output.clone()  # what comes next may write into it
            outputs[name].append(output)

        return hook

    with contextlib.ExitStack() as stack:
        for name in layers:
            handle = network.get_submodule(name).register_forward_hook(keep(name))
            stack.callback(handle.remove)
        yield outputs
