"""Torch's modes belong to its user: they change no bit, and are left as they were."""

import contextlib
import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sktopo import (
    GridActivations,
    ImageNoise,
    TopographicCNNClassifier,
    measure,
    robustness,
    scorers,
)


@contextlib.contextmanager
def default_device():
    before = torch.empty(0).device
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None if before.type == "cpu" else before)


@contextlib.contextmanager
def default_dtype():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def anomaly():
    torch.autograd.set_detect_anomaly(True)
    try:
        yield
    finally:
        torch.autograd.set_detect_anomaly(False)


MODES = {
    "default device": default_device,
    "device context": lambda: torch.device("meta"),
    "default dtype": default_dtype,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "anomaly": anomaly,
    "deterministic": deterministic,
}


def state():
    return (
        torch.empty(0).device,
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )


class OwnBackbone(nn.Module):
    """Makes tensors without saying of what type and where, as users do."""

    def __init__(self, shape):
        super().__init__()
        self.convolution = nn.Conv2d(shape[0], 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.scale = nn.Parameter(torch.rand(6))
        self.register_buffer("shift", torch.zeros(6))

    def forward(self, images):
        features = self.norm(self.convolution(images)).relu().mean(dim=(2, 3))
        return features * self.scale + self.shift + torch.ones(6).to(features.dtype)


class OwnLoss(nn.Module):
    source = "activations"

    def __init__(self, grid_shape, neighborhood):
        super().__init__()
        self.direction = nn.Parameter(torch.rand(grid_shape[0] * grid_shape[1]))

    def forward(self, activations):
        return ((activations * self.direction) ** 2).mean()


MODELS = {
    "ws": {},
    "as": {"topo_loss": "as", "distance": "cosine", "precision": "bfloat16"},
    "deep": {"backbone": "deep", "optimizer": "sgd", "early_stopping": True},
    "own": {"backbone": OwnBackbone, "topo_loss": OwnLoss, "optimizer": "adamw"},
}


def train(settings, X, y):
    clf = TopographicCNNClassifier(
        lam=0.3, grid_shape=(3, 4), max_epochs=2, lr=0.01, random_state=0
    )
    return clf.set_params(**settings).fit(X, y)


def answers(clf, X):
    states = [clf.module_.state_dict(), clf.net_.criterion_.state_dict()]
    tensors = [tensor.numpy() for part in states for tensor in part.values()]
    return [clf.predict_proba(X), clf.transform(X), *tensors]


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:100], y[:100] % 3


@pytest.fixture(scope="module")
def models(data):
    return {name: train(settings, *data) for name, settings in MODELS.items()}


def save_and_load(clf, path):
    path = path / "model.safetensors"
    clf.save(path)
    given = {
        name: getattr(clf, name)
        for name in ("backbone", "topo_loss")
        if callable(getattr(clf, name))
    }
    return TopographicCNNClassifier.load(path, **given)


def set_loss(clf, X, y):
    loss = OwnLoss if clf.topo_loss is not OwnLoss else "ws"
    return copy.deepcopy(clf).set_params(topo_loss=loss, distance=None).fit(X, y)


# Each gives models or arrays from a fitted model, which it leaves alone.
OPERATIONS = {
    "fit": lambda clf, X, y, path: clone(clf).fit(X, y),
    "partial_fit": lambda clf, X, y, path: (
        clone(clf).set_params(early_stopping=False).partial_fit(X, y, range(3))
    ),
    "go on": lambda clf, X, y, path: (
        copy.deepcopy(clf).set_params(early_stopping=False).partial_fit(X, y)
    ),
    "warm start with another loss": lambda clf, X, y, path: set_loss(
        copy.deepcopy(clf).set_params(warm_start=True), X, y
    ),
    "pickle": lambda clf, X, y, path: pickle.loads(pickle.dumps(clf)),
    "deepcopy": lambda clf, X, y, path: copy.deepcopy(clf),
    "save and load": lambda clf, X, y, path: save_and_load(clf, path),
    "GridActivations": lambda clf, X, y, path: (
        GridActivations(clone(clf)).fit(X, y).estimator_
    ),
    "predict": lambda clf, X, y, path: [
        clf.predict(X), clf.predict_proba(X), clf.predict_log_proba(X),
        clf.decision_function(X), clf.transform(X), clf.activation_maps(X),
        clf.score(X, y), clf.grid_weights_, clf.readout_weights_,
    ],
    "the net": lambda clf, X, y, path: [
        clf.net_.predict_proba(X), clf.net_.predict(X), clf.net_.score(X, y)
    ],
    "noise": lambda clf, X, y, path: [ImageNoise(random_state=0).fit_transform(X)],
    "curves": lambda clf, X, y, path: [
        robustness.weight_noise_curve(clf, X, y, [0.5], layers=layers, n_repeats=2,
                                      random_state=0)
        for layers in ("head", "all")
    ] + [
        robustness.image_noise_curve(clf, X, y, levels=[0.1], random_state=0),
        robustness.pruning_curve(clf, X, y, random_state=0),
    ],
    "scorers": lambda clf, X, y, path: [
        pd.DataFrame([scorers.multi_scorer(scorers.get_scorer_names())(clf, X, y)])
    ],
    "measure": lambda clf, X, y, path: [
        measure(clf, X, y, ["smoothness", "dimensionality", "tuning"])
    ],
}  # fmt: skip


def compare(found, wanted, X):
    if isinstance(wanted, TopographicCNNClassifier):
        found, wanted = answers(found, X), answers(wanted, X)
    for one, other in zip(found, wanted, strict=True):
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        else:
            np.testing.assert_array_equal(one, other)
            assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.fixture(scope="module")
def without(models, data, tmp_path_factory):
    """What each operation gives without any mode."""
    known = {}

    def result(operation, model):
        if (operation, model) not in known:
            path = tmp_path_factory.mktemp("plain")
            found = OPERATIONS[operation](models[model], *data, path)
            known[operation, model] = found
        return known[operation, model]

    return result


LEARNING = ("fit", "partial_fit", "go on", "warm start with another loss")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_mode_changes_no_bit_and_stays(
    operation, mode, models, without, data, tmp_path
):
    X, y = data
    for model in models if operation in (*LEARNING, "save and load") else ["own"]:
        wanted = without(operation, model)
        with MODES[mode]():
            before = state()
            found = OPERATIONS[operation](models[model], X, y, tmp_path)
            assert state() == before
        compare(found, wanted, X)
        if isinstance(found, TopographicCNNClassifier):  # and it can be trained on
            parameters = [*found.module_.parameters()]
            assert not any(tensor.is_inference() for tensor in parameters)
            assert all(tensor.requires_grad for tensor in parameters)
            found.set_params(early_stopping=False).partial_fit(X[:8], y[:8])


@pytest.mark.parametrize("mode", MODES)
def test_a_factory_may_open_another_model_under_any_mode(mode, models, data, tmp_path):
    X, y = data
    path = tmp_path / "first.safetensors"
    models["ws"].save(path)

    def backbone(shape):
        return TopographicCNNClassifier.load(path).module_.backbone

    with MODES[mode]():
        found = clone(models["ws"]).set_params(backbone=backbone).fit(X, y)
    wanted = clone(found).fit(X, y)
    compare(found, wanted, X)
