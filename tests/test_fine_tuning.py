"""A network that is trained already is made topographic, and stays as it was."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from sktopo import FrozenNetwork, TopographicCNNClassifier, measure
from sktopo.metrics import morans_i

BEFORE = "layer1.0.conv2"
LAYER = f"backbone.{BEFORE}"


def trained_network():
    """A narrow network of torchvision's kind, as if it had been trained."""
    torch.manual_seed(0)
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.conv1 = nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False)
    for name in ("maxpool", "layer2", "layer3", "layer4"):
        setattr(network, name, nn.Identity())
    network.fc = nn.Linear(64, 10)
    network(torch.randn(20, 1, 8, 8)).square().mean().backward()
    return network


TRAINED = trained_network()


def pretrained(image_shape):
    network = copy.deepcopy(TRAINED)
    network.fc = nn.Identity()
    return network


class WithoutReadout(nn.Module):
    """A view of the one network, which all copies would share if there were none."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        network = self.network
        images = network.relu(network.bn1(network.conv1(images)))
        return network.layer1(images).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def tuned(digits):
    """Fine-tuned with the spatial loss on the grid and on a convolution."""
    X, y = digits
    clf = TopographicCNNClassifier(
        "ws", 2.0, backbone=pretrained, topo_layers=("grid", LAYER), grid_shape=(4, 5),
        lam_mode="calibrated", standardize=False, lr=3e-3, max_epochs=6,
        batch_size=32, random_state=0,
    )  # fmt: skip
    return clf.fit(X[:300] / 16, y[:300])


def test_a_fit_starts_from_the_weights_of_the_network(quick, digits):
    X, y = digits
    quick.set_params(backbone=pretrained, lr=1e-9, max_epochs=1).fit(X[:40], y[:40])
    for name, weights in quick.module_.backbone.named_parameters():
        torch.testing.assert_close(weights, TRAINED.get_parameter(name), msg=name)


def test_maps_before_and_after(tuned, digits):
    X = digits[0][300:600] / 16
    before = FrozenNetwork(TRAINED, BEFORE, image_shape=(1, 8, 8))
    maps = [before.activation_maps(X), tuned.activation_maps(X, LAYER)]
    assert maps[0].shape == maps[1].shape == (300, 8, 8)
    smooth = [np.nanmean(morans_i(found)) for found in maps]
    assert smooth[0] < 0.15
    assert smooth[1] > smooth[0] + 0.3
    assert np.nanmean(morans_i(tuned.activation_maps(X))) > 0.05
    table = measure(tuned, X, digits[1][300:600], ["smoothness"], layer=LAYER)
    row = table[
        (table["measure"] == "morans_i") & table["parameter"].str.contains("moore")
    ]
    assert row["value"].item() == pytest.approx(smooth[1], rel=1e-4)
    assert row["n"].item() == 300


COPIES = {
    "pickle": lambda clf, path: pickle.loads(pickle.dumps(clf)),
    "deepcopy": lambda clf, path: copy.deepcopy(clf),
    "file": lambda clf, path: (
        clf.save(path),
        TopographicCNNClassifier.load(path, backbone=pretrained),
    )[1],
}


@pytest.mark.parametrize("copied", COPIES)
def test_copies_of_a_tuned_model(copied, tuned, digits, tmp_path):
    X, y = digits[0][:60] / 16, digits[1][:60]
    again = COPIES[copied](tuned, tmp_path / "model.safetensors")
    assert np.array_equal(again.predict_proba(X), tuned.predict_proba(X))
    assert again.get_params()["topo_layers"] == ("grid", LAYER)
    again.partial_fit(X, y)
    last = again.history_.iloc[-1]
    assert last["lam"] == tuned.history_.iloc[-1]["lam"]
    assert last["topo_loss"] == pytest.approx(
        last["topo_loss_grid"] + last[f"topo_loss_{LAYER}"]
    )


def test_a_search_and_its_network(digits):
    X, y = digits[0][:90] / 16, digits[1][:90] % 3
    network = copy.deepcopy(TRAINED)
    network.layer1[0].bn2.eval()
    network(torch.ones(2, 1, 8, 8)).sum().backward()
    before = copy.deepcopy(network.state_dict())
    modes = [part.training for part in network.modules()]
    clf = TopographicCNNClassifier(
        backbone=lambda shape: WithoutReadout(network), grid_shape=(3, 3),
        topo_layers=f"backbone.network.{BEFORE}", max_epochs=1, random_state=0,
    )  # fmt: skip
    search = GridSearchCV(clf, {"lam": [0.5, 1.0]}, cv=2).fit(X, y)
    clone(search.best_estimator_).fit(X, y)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert [part.training for part in network.modules()] == modes
    assert all(weights.grad is not None for weights in network.layer1.parameters())


def frozen_stem(image_shape):
    network = pretrained(image_shape)
    for part in (network.conv1, network.bn1):
        part.requires_grad_(False)
    return network


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop])
def test_what_is_frozen_stays_as_it_is(optimizer, quick, digits, tmp_path):
    X, y = digits
    quick.set_params(backbone=frozen_stem, optimizer=optimizer, weight_decay=0.1)
    quick.set_params(topo_layers=LAYER).fit(X[:60], y[:60])
    quick.save(tmp_path / "model.safetensors")
    again = TopographicCNNClassifier.load(
        tmp_path / "model.safetensors", backbone=frozen_stem
    )
    again.partial_fit(X[:60], y[:60])
    for clf in (quick, again):
        found = clf.module_.backbone
        assert not found.conv1.weight.requires_grad
        for name in ("conv1.weight", "bn1.weight", "bn1.bias"):
            assert torch.equal(found.get_parameter(name), TRAINED.get_parameter(name))
        weights = found.get_parameter(f"{BEFORE}.weight")
        assert not torch.equal(weights, TRAINED.get_parameter(f"{BEFORE}.weight"))


def wholly_frozen(image_shape):
    return pretrained(image_shape).requires_grad_(False)


@pytest.mark.parametrize("topo_loss", ["ws", "as", "laplacian"])
def test_a_spatial_loss_of_what_is_frozen(topo_loss, quick, digits):
    X, y = digits
    quick.set_params(topo_loss=topo_loss, backbone=wholly_frozen, topo_layers=LAYER)
    with pytest.raises(ValueError, match=rf"{LAYER}' would change nothing.*is frozen"):
        quick.fit(X[:60], y[:60])
    assert not hasattr(quick, "net_")
    quick.set_params(topo_layers=("grid", LAYER), lam_mode="calibrated")
    with pytest.raises(ValueError, match="would change nothing"):
        quick.fit(X[:60], y[:60])
    quick.set_params(topo_layers=None).fit(X[:60], y[:60])


class FrozenNorm(nn.Module):
    """Keeps a part in the mode of evaluation, as detection networks do."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def train(self, mode=True):
        super().train(mode)
        self.network.bn1.eval()
        return self

    def forward(self, images):
        return self.network(images)


def test_statistics_go_on_unless_the_module_says_no(quick, digits):
    X, y = digits
    kept = TRAINED.bn1.running_mean
    quick.set_params(backbone=frozen_stem).fit(X[:60], y[:60])
    assert not torch.equal(quick.module_.backbone.bn1.running_mean, kept)
    quick.set_params(backbone=lambda shape: FrozenNorm(frozen_stem(shape)))
    quick.fit(X[:60], y[:60])
    assert torch.equal(quick.module_.backbone.network.bn1.running_mean, kept)


def test_grey_images_and_a_network_of_three_channels(quick, digits):
    X, y = digits

    three_channels = lambda shape: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten())  # noqa: E731
    quick.set_params(backbone=three_channels)
    message = r"backbone cannot see images of shape \(2, 1, 8, 8\):.*3 channels"
    with pytest.raises(ValueError, match=message):
        quick.fit(X[:60], y[:60])
    quick.fit(np.repeat(X[:60], 3, axis=1), y[:60])
    assert quick.image_shape_ == (3, 8, 8)
