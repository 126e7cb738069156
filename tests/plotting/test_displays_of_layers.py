"""Displays of any layer of any network: what is drawn is that layer's."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("matplotlib")

from matplotlib import pyplot as plt

from sktopo import FrozenNetwork, plotting
from sktopo.grid import sheet_shape
from sktopo.metrics import correlation_by_distance, eccentricity_profile
from sktopo.robustness import pruning_curve, weight_noise_curve
from sktopo.stimuli import blank, eccentricity_probes

DISPLAYS = [
    name
    for name in plotting.__all__
    if hasattr(getattr(plotting, name), "from_estimator")
]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def held_out(digits):
    X, y = digits
    return (X[1200:1400] / np.float32(16)).astype(np.float32), y[1200:1400]


@pytest.fixture(scope="module")
def frozen():
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(432, 20), nn.ReLU()
    )
    net.append(nn.Linear(20, 10))
    return FrozenNetwork(net, "3", image_shape=(1, 8, 8))


def draw(name, model, X, y, **settings):
    """A display of a model, whatever of images and labels it wants."""
    make = getattr(plotting, name).from_estimator
    wanted = inspect.signature(make).parameters
    given = [v for k, v in (("X", X), ("y", y)) if k in wanted]
    return make(model, *given, **settings)


@pytest.mark.parametrize("name", DISPLAYS)
def test_every_display_of_a_frozen_network(name, frozen, held_out):
    X, y = held_out
    display = draw(name, frozen, X[:40], y[:40])
    axes = np.ravel(display.ax_)
    assert all(ax.has_data() for ax in axes)
    assert axes[0].get_title()


@pytest.mark.parametrize("name", [n for n in DISPLAYS if n != "RSMDisplay"])
@pytest.mark.parametrize("layer", ["0", "backbone.0"])
def test_every_display_takes_a_layer(name, layer, frozen, fitted, held_out):
    model = frozen if layer == "0" else fitted
    X, y = held_out
    X = X if layer == "0" else 16 * X
    display = draw(name, model, X[:40], y[:40], layer=layer)
    assert all(ax.has_data() for ax in np.ravel(display.ax_))
    with pytest.raises(ValueError, match="layer='no' is no layer"):
        draw(name, model, X[:40], y[:40], layer="no")


def test_what_is_drawn_is_the_layers(frozen, held_out):
    X, y = held_out
    A = frozen.set_params(layer="0").transform(X)
    frozen.set_params(layer="3")
    shape = sheet_shape(12)
    maps = draw("GridMapDisplay", frozen, X[:2], y, layer="0")
    np.testing.assert_allclose(maps.maps, A[:2].reshape(2, *shape), rtol=1e-6)
    curve = draw("CorrelationDistanceDisplay", frozen, X, y, layer="0")
    expected = correlation_by_distance(A, shape)["correlation"]
    np.testing.assert_allclose(curve.line_.get_ydata(), expected, rtol=1e-6)
    profile = draw("EccentricityDisplay", frozen, X, y, layer="0").profile
    frozen.set_params(layer="0")
    probes, places = eccentricity_probes((1, 8, 8), (0, 1))
    rest = frozen.transform(blank((1, 8, 8), (0, 1)))[0]
    expected = eccentricity_profile(
        frozen.transform(probes), places["eccentricity"], rest
    )
    frozen.set_params(layer="3")
    np.testing.assert_allclose(profile.E_abs, expected.E_abs, rtol=1e-6)
    for kind, curve in (("weight", weight_noise_curve), ("pruning", pruning_curve)):
        display = draw("RobustnessDisplay", frozen, X, y, layer="0", kind=kind)
        expected = curve(frozen, X, y, layer="0", random_state=0)
        assert display.curve.equals(expected)
        assert "layer 0, n = 200 images" in display.ax_.get_title()
    for settings in ({}, {"layer": "0", "kind": "image"}):
        display = draw("RobustnessDisplay", frozen, X, y, **settings)
        assert "layer" not in display.ax_.get_title()


def test_there_is_no_similarity_without_a_readout(held_out):
    net = nn.Sequential(nn.Conv2d(1, 12, 3), nn.Flatten())
    frozen = FrozenNetwork(net, "0", image_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="FrozenNetwork has no readout"):
        plotting.RSMDisplay.from_estimator(frozen)
