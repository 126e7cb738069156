"""The main job on photographs of clothes, at a size that tests can afford."""

import numpy as np
import pytest

from sktopo import TopographicCNNClassifier
from sktopo.metrics import morans_i
from sktopo.robustness import image_noise_curve, weight_noise_curve


@pytest.fixture(scope="module")
def models(fashion):
    X, y = fashion
    made = {}
    for name, topo_loss in {"control": None, "ws": "ws", "as": "as"}.items():
        clf = TopographicCNNClassifier(
            topo_loss, backbone="small", max_epochs=4, random_state=0
        )
        made[name] = clf.set_params(lr=2e-3).fit(X[:6000], y[:6000])
    return made


def test_topography_and_accuracy(models, fashion):
    X, y = fashion
    X, y = X[-1000:], y[-1000:]
    smoothness = {
        name: morans_i(m.activation_maps(X)).mean() for name, m in models.items()
    }
    assert abs(smoothness["control"]) < 0.15
    assert smoothness["ws"] > 0.2
    assert smoothness["as"] > 0.2
    for name, model in models.items():
        assert model.score(X, y) > 0.6, name


def test_curves(models, fashion):
    X, y = fashion
    X, y = X[-500:], y[-500:]
    for model in models.values():
        weights = weight_noise_curve(model, X, y, n_repeats=3, random_state=0)
        images = image_noise_curve(model, X, y, random_state=0)
        assert weights["accuracy_change"].iloc[-3:].mean() < 0
        assert images["accuracy_change"].iloc[-1] < 0
        assert np.isfinite(weights.to_numpy()).all()
