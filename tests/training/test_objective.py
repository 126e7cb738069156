"""A task's loss and spatial terms by layer."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sktopo._training import CrossEntropy, Objective, Term
from sktopo._training.objective import outputs_of
from sktopo.losses import ActivationSimilarity, WeightSimilarity
from sktopo.networks import make_network

N_CLASSES, N_IMAGES = 3, 8


class InPlace(nn.Module):
    """A backbone whose rectifier writes into what the layer before it gave."""

    def __init__(self, image_shape):
        super().__init__()
        self.first = nn.Conv2d(image_shape[0], 6, 3)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten())
        self.idle = nn.Linear(2, 2)

    def forward(self, images):
        return self.rest(self.first(images))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return make_network(
        InPlace, (1, 6, 6), n_units=6, n_classes=N_CLASSES, dropout=0.0,
        mean=torch.zeros(1), std=torch.ones(1), generator=torch.Generator(),
    )  # fmt: skip


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(N_IMAGES, 1, 6, 6, generator=generator)
    targets = torch.arange(N_IMAGES) % N_CLASSES
    return images, targets, torch.rand(N_IMAGES, generator=generator)


def run(objective, network, batch):
    images, targets, weights = batch
    with outputs_of(network, objective.read_layers) as outputs:
        answers = network(images)
    return objective(network, outputs, answers, targets, weights)


def filters(layer="backbone.first", weight=0.5, shape=(2, 3)):
    return Term(layer, WeightSimilarity(shape), weight, name="filters")


def channels(layer="backbone.first", weight=0.5, shape=(2, 3)):
    loss = ActivationSimilarity(shape, "euclidean")
    return Term(layer, loss, weight, name="channels")


def test_the_task_is_weighted_cross_entropy(network, batch):
    images, targets, weights = batch
    loss, parts = run(Objective(CrossEntropy()), network, batch)
    each = F.cross_entropy(network(images), targets, reduction="none")
    assert loss.item() == pytest.approx((each * weights).mean().item(), rel=1e-6)
    assert parts == {"task_loss": loss.item()}


def test_the_scores_of_the_task(network, batch):
    images, targets, weights = batch
    logits = network(images)
    scores = CrossEntropy().scores(logits, targets, weights)
    assert set(scores) == set(CrossEntropy.score_names)
    right = (logits.argmax(dim=1) == targets).float()
    expected = (right * weights).mean().item()
    assert scores["valid_accuracy"].item() == pytest.approx(expected)


def test_each_term_is_reported_and_weighted(network, batch):
    grid = Term("grid", WeightSimilarity((2, 3)), 2.0, name="grid")
    terms = [grid, filters(), channels(weight=0.25)]
    objective = Objective(CrossEntropy(), terms, lam=3.0)
    loss, values = run(objective, network, batch)
    assert set(values) == set(objective.names)
    assert set(values) == {"task_loss", "topo_loss", *(t.name for t in terms), "lam"}
    assert values["lam"] == 3
    expected = WeightSimilarity((2, 3))(network.grid.weight).item()
    assert values["grid"] == pytest.approx(expected, rel=1e-6)
    expected = WeightSimilarity((2, 3))(network.backbone.first.weight.flatten(1))
    assert values["filters"] == pytest.approx(expected.item(), rel=1e-6)
    spatial = 2 * values["grid"] + 0.5 * values["filters"] + 0.25 * values["channels"]
    assert values["topo_loss"] == pytest.approx(spatial, rel=1e-6)
    total = values["task_loss"] + 3 * spatial
    assert loss.item() == pytest.approx(total, rel=1e-6)


def test_weights_of_a_convolution_are_one_row_a_filter(network, batch):
    """Whatever the order in memory: networks are channels-last."""
    images = torch.zeros(2, 4, 6, 6)
    layer = nn.Conv2d(4, 6, (2, 3)).to(memory_format=torch.channels_last)
    found = filters("0").value(nn.Sequential(layer), {})
    rows = torch.stack([w.contiguous().reshape(-1) for w in layer.weight])
    assert rows.shape == (6, 4 * 2 * 3)
    assert layer(images).shape[1] == 6
    assert found.item() == WeightSimilarity((2, 3))(rows).item()


def test_channels_are_units_and_positions_are_images(network, batch):
    """As they leave the layer, whatever comes after it writes there."""
    images = batch[0]
    objective = Objective(CrossEntropy(), [channels()])
    value = run(objective, network, batch)[1]["channels"]
    maps = network.backbone.first(images)
    assert (maps < 0).any()
    columns = np.moveaxis(maps.detach().numpy(), 1, -1).reshape(-1, 6)
    assert columns.shape == (N_IMAGES * 4 * 4, 6)
    expected = ActivationSimilarity((2, 3), "euclidean")(torch.from_numpy(columns))
    assert value == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("make", [filters, channels])
def test_the_gradient_reaches_the_layer_and_no_later_one(make, network, batch):
    term = make()
    objective = Objective(CrossEntropy(), [term])
    with outputs_of(network, objective.read_layers) as outputs:
        network(batch[0])
    term.value(network, outputs).backward()
    assert network.backbone.first.weight.grad.abs().max() > 0
    assert network.grid.weight.grad is None
    assert network.readout.weight.grad is None


def test_the_grids_responses_are_those_of_the_step(network, batch):
    term = Term("grid", ActivationSimilarity((2, 3)), 1.0)
    with outputs_of(network, Objective(CrossEntropy(), [term]).read_layers) as outputs:
        activations = network.activations(batch[0])
    assert outputs["grid"][0] is activations


def test_a_layer_is_read_once_for_several_terms(network):
    terms = [channels(), channels("grid"), filters("readout")]
    terms[1].name, terms[2].name = "b", "c"
    again = channels()
    again.name = "again"
    objective = Objective(CrossEntropy(), [*terms, again])
    assert objective.read_layers == ["backbone.first", "grid"]


def hooks(network):
    return sum(len(part._forward_hooks) for part in network.modules())


def test_hooks_are_gone_after_the_step(network, batch):
    objective = Objective(CrossEntropy(), [channels(), channels("grid")])
    objective.terms[1].name = "other"
    run(objective, network, batch)
    assert hooks(network) == 0
    with outputs_of(network, objective.read_layers):
        assert hooks(network) == 2
    wrong = (torch.zeros(2, 5, 6, 6), *batch[1:])
    with pytest.raises(RuntimeError):
        run(objective, network, wrong)
    assert hooks(network) == 0


def test_a_layer_that_images_do_not_pass(network, batch):
    objective = Objective(CrossEntropy(), [channels("backbone.idle")])
    with pytest.raises(ValueError, match=r"'backbone\.idle', a Linear, had no part"):
        run(objective, network, batch)


class Learned(nn.Module):
    source = "weights"

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.scale * x.square().mean()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda objective: pickle.loads(pickle.dumps(objective))]
)
def test_copies_keep_terms_and_what_they_learned(copied, network, batch):
    terms = [Term("grid", Learned(), name="a"), Term("readout", Learned(), name="b")]
    objective = Objective(CrossEntropy(), terms)
    assert set(objective.state_dict()) == {"a.scale", "b.scale"}
    again = copied(objective)
    assert run(again, network, batch)[0] == run(objective, network, batch)[0]
    with torch.no_grad():
        again.a.scale.zero_()
    assert run(again, network, batch)[1]["a"] == 0
    assert objective.a.scale == 2


def test_terms_move_with_the_objective():
    objective = Objective(CrossEntropy(), [filters()]).to("meta")
    assert objective.terms[0].loss.edges.is_meta
