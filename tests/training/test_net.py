"""The net trains on any terms and any task."""

import numpy as np
import torch

from sktopo._training import CrossEntropy, ImageDataset, Objective, Seeds, Task, Term
from sktopo._training.making import configure, make_net
from sktopo.losses import ActivationSimilarity, WeightSimilarity
from sktopo.networks import make_network

SHAPE, N_CLASSES = (1, 8, 8), 10


def network(seed=0):
    torch.manual_seed(seed)
    return make_network(
        "small", SHAPE, n_units=12, n_classes=N_CLASSES, dropout=0.2,
        mean=torch.zeros(1), std=torch.full((1,), 16.0),
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip


def trained(quick, digits, task, terms, epochs=3):
    """A net of the terms, its weights before, and the net when it is trained."""
    X, y = digits
    X, y = X[:200], y[:200].astype(np.int64)
    quick.set_params(topo_loss=None, lam=1.0, lr=0.01)
    quick.image_shape_, quick.pixel_range_ = SHAPE, (0.0, 1.0)
    module = network()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    net = make_net(quick, module, Objective(task, terms), Seeds(0, 1, 2, 3, 4))
    configure(net, quick)
    data = ImageDataset(X, y, np.ones(len(X), np.float32), SHAPE)
    net.train(data, None, epochs)
    return net, before


def neighbors(net):
    """How far filters that are neighbours on a 4 x 8 sheet are from each other."""
    weight = net.module_.get_submodule("backbone.0").weight
    return WeightSimilarity((4, 8))(weight.detach().flatten(1)).item()


def test_a_second_term_on_a_layer_of_the_backbone(quick, digits):
    grid = ("grid", WeightSimilarity((3, 4)))
    first = ("backbone.0", WeightSimilarity((4, 8)))
    nets = {}
    for lam in (0.0, 3.0):
        terms = [Term(*grid, 0.3, name="grid"), Term(*first, lam, name="first")]
        nets[lam], before = trained(quick, digits, CrossEntropy(), terms)
    for lam, net in nets.items():
        last = net.history[-1]
        assert np.isclose(last["topo_loss"], 0.3 * last["grid"] + lam * last["first"])
        total = last["task_loss"] + last["topo_loss"]
        assert np.isclose(last["train_loss"], total, rtol=1e-5)
    assert neighbors(nets[3.0]) < 0.8 * neighbors(nets[0.0])
    moved = nets[3.0].module_.get_parameter("backbone.0.weight")
    assert not torch.equal(moved, before["backbone.0.weight"])


def test_a_term_reads_a_convolutions_responses_in_any_precision(quick, digits):
    for precision in ("float32", "bfloat16"):
        quick.set_params(precision=precision)
        term = Term("backbone.0", ActivationSimilarity((4, 8)), 3.0)
        net, _ = trained(quick, digits, CrossEntropy(), [term])
        losses = net.history[:, "topo_loss"]
        assert losses[-1] < 0.8 * losses[0]


class Distance(Task):
    """Another task: answers to images of one class are to be alike."""

    def forward(self, answers, targets, weights):
        alike = targets[:, None] == targets
        return (torch.cdist(answers, answers).square() * alike).mean()


def test_another_task(quick, digits):
    term = Term("grid", WeightSimilarity((3, 4)), 0.1)
    net, _ = trained(quick, digits, Distance(), [term])
    assert net.history[-1, "task_loss"] < 0.5 * net.history[0, "task_loss"]
    assert "valid_accuracy" not in net.history[-1]
