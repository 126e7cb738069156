"""What training makes small: a task's loss, and spatial terms by layer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from torch import nn
from torch.nn import functional as F

from sktopo.networks import GRID


class CrossEntropy(nn.Module):
    """The task of a classifier: cross entropy of logits, weighted by image."""

    score_names = ("valid_accuracy",)

    def forward(self, logits, targets, weights):
        return (F.cross_entropy(logits, targets, reduction="none") * weights).mean()

    def scores(self, logits, targets, weights):
        """The scores of a batch of held-out images, of which more is better."""
        correct = ((logits.argmax(dim=1) == targets) * weights).mean()
        return {"valid_accuracy": correct}


@dataclass
class Term:
    """`lam` times a spatial loss of one layer.

    Parameters
    ----------
    layer : str
        Name of the layer in the network: a module with a weight, such as "grid".
    loss : nn.Module
        Its `source` says whether it is given the layer's weights, one row a unit, or
        the layer's output in the forward pass of this step, one column a unit.
    lam : float
        The weight of the loss.
    name : str
        What the term is called in the history, and the loss in the objective's state.
    """

    layer: str
    loss: nn.Module
    lam: float
    name: str = "topo_loss"

    def value(self, network, outputs):
        """The loss, before `lam`."""
        if self.loss.source == "weights":
            # one row a filter, in the order (in, height, width), whatever the memory
            read = network.get_submodule(self.layer).weight.flatten(1)
        elif self.layer in outputs:
            read = outputs[self.layer]
        else:
            raise ValueError(
                f"{self.name} reads the responses of the layer {self.layer}, which had "
                f"no part in the forward pass. Give a layer that images go through."
            )
        value = self.loss(read)
        if value.numel() != 1:
            raise ValueError(
                f"{self.name} must return a single number; got shape "
                f"{tuple(value.shape)}."
            )
        return value


class Objective(nn.Module):
    """The loss of a task plus spatial terms.

    Parameters
    ----------
    task : nn.Module
        Called with the network's answers to a batch, its targets and weights, it gives
        a number. `scores`, called in the same way, gives those of `score_names`.
    terms : sequence of Term
        Added in this order; their names differ.
    key : tuple or None
        What the terms were made from.
    """

    def __init__(self, task, terms=(), key=None):
        super().__init__()
        self.task = task
        self.terms = list(terms)
        self.key = key
        for term in self.terms:  # what a loss learns is part of the state
            self.add_module(term.name, term.loss)

    def __setstate__(self, state):
        super().__setstate__(state)
        if "terms" not in state:  # pickled when the grid had the only term
            lam = vars(self).pop("lam")
            vars(self).pop("topo_loss", None)
            loss = dict(self.named_children()).get("topo_loss")
            self.task = CrossEntropy()
            self.terms = [] if loss is None else [Term(GRID, loss, lam)]

    @property
    def read_layers(self):
        """Names of the layers whose responses are read."""
        terms = [t for t in self.terms if t.loss.source == "activations"]
        return list(dict.fromkeys(term.layer for term in terms))

    def forward(self, network, outputs, answers, targets, weights):
        """The loss of a batch, and its parts by name.

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
        task = loss = self.task(answers, targets, weights)
        parts = {"task_loss": task}
        for term in self.terms:
            parts[term.name] = term.value(network, outputs)
            loss = loss + term.lam * parts[term.name]
        return loss, parts


@contextlib.contextmanager
def outputs_of(network, layers):
    """What layers give in a forward pass, by name, one column a unit.

    The channels of a convolution are its units, and its positions further images. The
    network has hooks meanwhile, and none afterwards.
    """
    outputs = {}

    def keep(name):
        def hook(module, inputs, output):
            if name != GRID:  # what comes after a layer may write into its output
                output = output.clone()
            if output.ndim > 2:
                output = output.movedim(1, -1).flatten(0, -2)
            outputs[name] = output

        return hook

    with contextlib.ExitStack() as stack:
        for name in layers:
            handle = network.get_submodule(name).register_forward_hook(keep(name))
            stack.callback(handle.remove)
        yield outputs
