"""What `lam` means: itself, a calibrated ratio of gradients, or one that is tracked."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sktopo import TopographicCNNClassifier
from sktopo._training import LAM_MODES, CrossEntropy, Objective, Term
from sktopo._training.strength import CALIBRATION_STEPS, Calibrated, Matched
from sktopo.losses import WeightSimilarity

ORACLES = np.load(Path(__file__).parents[1] / "oracles" / "matched_strength.npz")
MEASURED = [name for name in LAM_MODES if name != "fixed"]


@pytest.mark.parametrize("case", ["ws", "global"])
def test_the_moving_average_is_that_of_contopo(case):
    """rho .05 times the ratio, which begins with that of the first step."""
    strength = Matched()
    for _, _, task, topo, _, applied in ORACLES[f"{case}_steps"]:
        strength.note(task, topo)
        assert 0.05 * strength.factor == pytest.approx(applied, rel=1e-9)


def test_a_training_of_contopos_ends_where_theirs_does():
    """Its own loop: norms over weights and biases, plain SGD."""
    X, y = torch.from_numpy(ORACLES["ws_X"]), torch.from_numpy(ORACLES["ws_y"])
    encoder, readout = nn.Linear(20, 36).double(), nn.Linear(36, 5).double()
    for layer, name in ((encoder, "enc"), (readout, "cls")):
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(ORACLES[f"ws_{name}_weight"]))
            layer.bias.copy_(torch.from_numpy(ORACLES[f"ws_{name}_bias"]))
    loss, strength = WeightSimilarity((6, 6)), Matched()
    optimizer = torch.optim.SGD([*encoder.parameters(), *readout.parameters()], lr=0.1)
    for images, targets in zip(X, y):
        optimizer.zero_grad()
        task = F.cross_entropy(readout(encoder(images).relu()), targets)
        topo = loss(encoder.weight)
        norms = []
        for part in (task, topo):
            found = torch.autograd.grad(
                part, list(encoder.parameters()), retain_graph=True, allow_unused=True
            )
            found = [grad.flatten() for grad in found if grad is not None]
            norms.append(torch.cat(found).norm().item())
        strength.note(*norms)
        (task + 0.05 * strength.factor * topo).backward()
        optimizer.step()
    wanted = ORACLES["ws_enc_weight_after"]
    np.testing.assert_allclose(encoder.weight.detach().numpy(), wanted, rtol=1e-9)


def test_calibration_is_held_after_its_steps():
    strength = Calibrated()
    for step in range(1, CALIBRATION_STEPS + 1):
        assert strength.measures
        strength.note(3.0 * step, 0.5 * step)
        assert strength.factor == pytest.approx(6.0)
    assert not strength.measures


@pytest.mark.parametrize("kind", [Calibrated, Matched])
def test_gradients_that_vanish_or_are_not_finite(kind):
    strength = kind()
    strength.note(float("nan"), 1.0)
    strength.note(1.0, float("inf"))
    assert strength.n_steps == 0
    strength.note(1.0, 0.0)
    assert strength.factor == 1e4
    strength = kind()
    strength.note(0.0, 1.0)
    assert strength.factor == 0


@pytest.mark.parametrize("mode", MEASURED)
def test_lam_is_the_ratio_of_the_gradients_at_the_layer(mode):
    """In one step, taken apart: at the layer's weights the spatial gradient has lam
    times the norm of the task's."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    terms = [
        Term("0", WeightSimilarity((2, 3)), 2.0, "first"),
        Term("2", WeightSimilarity((1, 3)), 1.0, "second"),
    ]
    strength = LAM_MODES[mode]()
    objective = Objective(CrossEntropy(), terms, lam=0.3, strength=strength)
    images, targets = torch.randn(8, 5), torch.arange(8) % 3
    _, parts = objective(network, {}, network(images), targets, torch.ones(8))
    weight = network[0].weight
    task = F.cross_entropy(network(images), targets)
    norm = torch.autograd.grad(task, weight)[0].norm()
    spatial = parts["lam"] * 2 * WeightSimilarity((2, 3))(weight)
    found = torch.autograd.grad(spatial, weight)[0].norm()
    assert (found / norm).item() == pytest.approx(0.3, rel=1e-5)
    objective.eval()
    before = strength.n_steps.item()
    objective(network, {}, network(images), targets, torch.ones(8))
    assert strength.n_steps == before


def test_in_a_training_calibration_ends_and_tracking_goes_on(quick, digits):
    X, y = digits[0][:320], digits[1][:320]
    lams = {}
    for mode in LAM_MODES:
        clf = quick.set_params(lam=0.2, lam_mode=mode, max_epochs=4)
        lams[mode] = clf.fit(X, y).history_["lam"]
    assert (lams["fixed"] == 0.2).all()
    held = lams["calibrated"][2:]  # ten steps are two epochs of five
    assert held.nunique() == 1
    assert lams["calibrated"][0] != held.iloc[0]
    assert lams["matched"].nunique() == 4


@pytest.mark.parametrize("mode", MEASURED)
@pytest.mark.parametrize("how", ["pickle", "deepcopy", "file"])
def test_a_copy_goes_on_with_what_was_measured(mode, how, quick, digits, tmp_path):
    X, y = digits[0][:700], digits[1][:700]
    clf = quick.set_params(lam_mode=mode, max_epochs=1, optimizer="sgd").fit(X, y)
    if how == "pickle":
        again = pickle.loads(pickle.dumps(clf))
    elif how == "deepcopy":
        again = copy.deepcopy(clf)
    else:
        clf.save(tmp_path / "model.safetensors")
        again = TopographicCNNClassifier.load(tmp_path / "model.safetensors")
    strengths = [model.net_.criterion_.strength for model in (clf, again)]
    assert strengths[0].n_steps == strengths[1].n_steps > 0
    assert strengths[0].factor == strengths[1].factor
    again.partial_fit(X, y)
    if mode == "calibrated":
        last = again.history_["lam"].iloc[-1]
        assert last == pytest.approx(clf.lam * strengths[0].factor)


def test_lam_and_its_meaning_can_change_as_training_goes_on(quick, digits):
    X, y = digits[0][:700], digits[1][:700]
    clf = quick.set_params(
        lam_mode="calibrated", lam=0.2, warm_start=True, max_epochs=1
    )
    clf.fit(X, y)
    factor = clf.net_.criterion_.strength.factor
    clf.set_params(lam=0.5).fit(X, y)
    assert clf.history_["lam"].iloc[-1] == pytest.approx(0.5 * factor)
    clf.set_params(lam_mode="fixed").fit(X, y)
    assert clf.history_["lam"].iloc[-1] == 0.5


def normed(image_shape):
    """A backbone whose weights are computed of others."""
    convolution = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 6, 3))
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("mode", MEASURED)
@pytest.mark.parametrize(
    ("backbone", "layer"), [("lenet", "backbone.3"), (normed, "backbone.0")]
)
def test_a_first_layer_without_trained_weights(mode, backbone, layer, quick, digits):
    quick.set_params(topo_loss="as", topo_layers=layer, backbone=backbone)
    X, y = digits[0][:50], digits[1][:50]
    quick.set_params(warm_start=True, max_epochs=1).fit(X, y)
    for _ in range(2):  # which leaves nothing behind
        with pytest.raises(ValueError, match=f"'{layer}', which has none that are"):
            quick.set_params(lam_mode=mode).fit(X, y)
    quick.set_params(lam_mode="fixed").fit(X, y)
    assert (quick.history_["lam"] == quick.lam).all()


def test_an_unknown_meaning(quick, digits):
    with pytest.raises(ValueError, match=r"lam_mode.*'calibrated'"):
        quick.set_params(lam_mode="tracked").fit(*digits)
