"""A fit changes nothing that it does not own, and shares nothing with other fits."""

import copy
import threading

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback
from torch import nn

from sktopo import GridActivations, TopographicCNNClassifier


def network():
    """A module that nobody but its owner may change."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(),
        nn.Linear(180, 30), nn.ReLU(), nn.Dropout(0.0),
    )  # fmt: skip
    net.register_buffer("hidden", torch.ones(2), persistent=False)
    net[4].requires_grad_(False)
    net[2].eval()
    net.register_forward_hook(lambda *args: None)
    return net.double().to(memory_format=torch.channels_last)


class SharedLoss(nn.Module):
    source = "activations"

    def __init__(self):
        super().__init__()
        self.direction = nn.Parameter(torch.ones(9, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, activations):
        self.calls += 1
        return (activations * self.direction.float()).square().mean()


def snapshot(module):
    """All that a module is."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return [
        (name, t.dtype, t.device, t.stride(), t.requires_grad, t.grad is None,
         t.data_ptr(), None if t.is_inference() else t._version, t.tolist())
        for name, t in tensors
    ] + [
        (name, part.training, len(part._forward_hooks), id(part))
        for name, part in module.named_modules()
    ]  # fmt: skip


# Each parameter that holds a factory of modules, with a module that all calls share.
SHARED = {
    "backbone": lambda module: lambda shape: module,
    "topo_loss": lambda module: lambda grid_shape, neighborhood: module,
}
MODULES = {"backbone": network, "topo_loss": SharedLoss}


def test_all_factories_are_looked_at():
    constraints = TopographicCNNClassifier._parameter_constraints
    made = {name for name, kinds in constraints.items() if callable in kinds}
    # an augmentation is used as it is, and an optimizer made of a class
    assert set(SHARED) == made - {"augment", "optimizer"}


@pytest.fixture(params=SHARED)
def shared(request):
    """A classifier whose factory returns the same module each time, and the module."""
    module = MODULES[request.param]()
    clf = TopographicCNNClassifier(
        lam=0.3, grid_shape=(3, 3), max_epochs=2, lr=0.01, random_state=0,
        **{request.param: SHARED[request.param](module)},
    )  # fmt: skip
    return request.param, clf, module


OPERATIONS = {
    "fit": lambda clf, X, y: clf.fit(X, y),
    "partial_fit": lambda clf, X, y: clf.partial_fit(X, y, range(10)),
    "go on": lambda clf, X, y: clf.fit(X, y).partial_fit(X, y),
    "warm start": lambda clf, X, y: clf.set_params(warm_start=True).fit(X, y).fit(X, y),
    "early stopping": lambda clf, X, y: clf.set_params(early_stopping=True).fit(X, y),
    "bfloat16": lambda clf, X, y: clf.set_params(precision="bfloat16").fit(X, y),
    "deepcopy": lambda clf, X, y: copy.deepcopy(clf).fit(X, y),
    "GridActivations": lambda clf, X, y: GridActivations(clf).fit(X, y).estimator_,
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_module_of_a_factory_is_left_as_it_was(operation, shared, digits, tmp_path):
    name, clf, module = shared
    X, y = digits
    X, y = X[:100], y[:100]
    before = snapshot(module)
    first = OPERATIONS[operation](clone(clf), X, y)
    answers = first.predict_proba(X)
    second = OPERATIONS[operation](clone(clf), X, y)
    assert np.array_equal(second.predict_proba(X), answers)
    OPERATIONS[operation](clone(clf).set_params(lr=0.1), X[::-1].copy(), y)
    assert np.array_equal(first.predict_proba(X), answers)
    first.save(tmp_path / "model.safetensors")
    given = {name: SHARED[name](module)}
    again = TopographicCNNClassifier.load(tmp_path / "model.safetensors", **given)
    assert np.array_equal(again.predict_proba(X), answers)
    again.set_params(early_stopping=False).partial_fit(X, y)
    assert np.array_equal(first.predict_proba(X), answers)
    assert snapshot(module) == before


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_folds_do_not_leak_through_a_shared_module(n_jobs, digits, rng):
    """Labels are random, so that whatever is above chance was seen in training.

    Two jobs are threads, which share the module; processes would copy it.
    """
    X, _ = digits
    X, y = X[:60], rng.permutation(np.arange(60) % 2)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU())
    clf = TopographicCNNClassifier(
        None, grid_shape=(4, 4), backbone=lambda shape: net, dropout=0, lr=0.01,
        max_epochs=25, random_state=0,
    )  # fmt: skip
    with joblib.parallel_config("threading", n_jobs=n_jobs):
        scores = cross_val_score(clf, X, y, cv=5)
        search = GridSearchCV(clf, {"lr": [0.01, 0.02]}, cv=5).fit(X, y)
    assert scores.mean() < 0.65
    assert search.best_score_ < 0.7
    assert search.best_estimator_.score(X, y) > 0.9


def test_a_module_that_is_part_of_another_model(digits):
    """Transfer: the backbone of a fitted model, which stays as it is."""
    X, y = digits
    X, y = X[:100], y[:100]
    first = TopographicCNNClassifier(grid_shape=(3, 3), max_epochs=1, random_state=0)
    answers = first.fit(X, y).predict_proba(X)
    second = clone(first).set_params(
        backbone=lambda shape: first.module_.backbone, lr=0.1
    )
    second.fit(X, y)
    assert np.array_equal(first.predict_proba(X), answers)


def with_a_lock(module):
    module.lock = threading.Lock()


def with_a_generator(module):
    module.items = (i for i in range(3))


@pytest.mark.parametrize("spoil", [with_a_lock, with_a_generator])
def test_a_module_that_cannot_be_copied(spoil, shared, digits):
    name, clf, module = shared
    X, y = digits
    spoil(module)
    message = f"What {name} returned, a .* cannot be copied .*copy.deepcopy can copy"
    with pytest.raises(TypeError, match=message):
        clf.fit(X[:50], y[:50])
    assert not hasattr(clf, "net_")


def old_weight_norm(shape):
    return nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(64, 9)))


def old_spectral_norm(shape):
    return nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(64, 9)))


def of_inference_mode(shape):
    with torch.inference_mode():
        return nn.Sequential(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.Flatten())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "make", [old_weight_norm, old_spectral_norm, of_inference_mode]
)
def test_modules_that_are_hard_to_copy(make, quick, digits):
    X, y = digits
    X, y = X[:100], y[:100]
    first = clone(quick).set_params(backbone=make, topo_loss=None).fit(X, y)
    weights = [w.detach().clone() for w in first.module_.backbone.parameters()]
    shared = make((1, 8, 8)).train()
    with torch.no_grad() if make is of_inference_mode else torch.enable_grad():
        shared.eval()(torch.ones(2, 1, 8, 8))
    before = snapshot(shared)
    second = clone(first).set_params(backbone=lambda shape: shared)
    second.fit(X, y).fit(X, y)
    assert snapshot(shared) == before
    first.partial_fit(X, y)
    changed = zip(weights, first.module_.backbone.parameters(), strict=True)
    assert any(not torch.equal(was, now) for was, now in changed)


class Seen(Callback):
    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def test_callbacks_are_the_users_own(quick, digits):
    X, y = digits
    seen = Seen()
    quick.set_params(callbacks=[seen], max_epochs=2).fit(X[:50], y[:50])
    quick.fit(X[:50], y[:50])
    assert seen.epochs == 4


def test_arrays_are_left_as_they_were(quick, digits):
    X, y = digits
    given = [
        X[:60].astype(np.float32),
        y[:60].copy(),
        np.arange(60) + 1.0,
        np.arange(10),
    ]
    before = copy.deepcopy(given)
    inplace = lambda shape: nn.Sequential(nn.ReLU(inplace=True), nn.Flatten())  # noqa: E731
    quick.set_params(backbone=inplace, standardize=False)
    images, labels, weights, classes = given
    quick.fit(images, labels, weights).predict(images)
    clone(quick).partial_fit(images, labels, classes, weights).transform(images)
    for found, wanted in zip(given, before, strict=True):
        np.testing.assert_array_equal(found, wanted)
