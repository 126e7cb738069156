"""Pickle, joblib and deepcopy keep all that training needs to go on."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from sktopo import TopographicCNNClassifier


def by_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "oldest protocol": lambda clf: pickle.loads(pickle.dumps(clf, protocol=2)),
    "joblib": by_joblib,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("way", COPIES)
def test_training_goes_on_as_without_the_copy(way, optimizer, quick, digits):
    X, y = digits
    X, y = X[:300], y[:300]
    quick.set_params(optimizer=optimizer).fit(X, y)
    again = COPIES[way](quick)
    np.testing.assert_array_equal(again.predict_proba(X), quick.predict_proba(X))
    for _ in range(2):
        quick.partial_fit(X, y)
        again.partial_fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), quick.predict_proba(X))
    columns = ["epoch", "loss", "task_loss", "topo_loss"]
    assert again.history_[columns].equals(quick.history_[columns])
    fresh = clone(quick).fit(X, y).partial_fit(X, y)
    assert not np.array_equal(fresh.grid_weights_, quick.grid_weights_)


BEFORE_LAYERS = ("distance", "neighborhood")


def as_pickled_before(clf, **changed):
    """What a model is made of stood beside its net, and its objective had no terms."""
    net = clf.net_
    clf._structure = {**net.structure, **changed}
    clf._split_seed = net.split_seed
    net.structure, net.split_seed = None, 0
    objective = net.criterion_
    objective.key = tuple(getattr(clf, n) for n in ("topo_loss", *BEFORE_LAYERS))
    del objective.terms, objective.task, objective.strength
    for name in ("augmentation", "augment", "value_range", "initial_norms"):
        delattr(net, name)
    return pickle.dumps(clf)


@pytest.mark.parametrize(("n_channels", "name"), [(1, "small"), (3, "deep")])
def test_backbone_auto_in_a_pickle_of_the_first_house(
    n_channels, name, quick, digits, tmp_path
):
    """There it was kept as it was given, and stood for other networks."""
    X, y = digits
    X, y = np.repeat(X[:300], n_channels, axis=1), y[:300]
    quick.set_params(backbone=name).fit(X, y)
    whole = copy.deepcopy(quick)
    quick.backbone = "auto"
    again = pickle.loads(as_pickled_before(quick, backbone="auto"))
    assert again.backbone == again.net_.structure["backbone"] == name
    again.save(tmp_path / "model.safetensors")
    again.partial_fit(X, y)
    assert again.n_iter_ == 3
    np.testing.assert_array_equal(
        again.grid_weights_, whole.partial_fit(X, y).grid_weights_
    )
    unfitted = TopographicCNNClassifier()
    assert pickle.loads(pickle.dumps(unfitted)).backbone == "auto"
    # set after the fit: a wish for the next one
    again.backbone = "lenet"
    again = pickle.loads(as_pickled_before(again, backbone="auto"))
    assert (again.backbone, again.net_.structure["backbone"]) == ("lenet", name)


def test_the_loss_in_a_pickle_from_before_terms(quick, digits):
    X, y = digits
    X, y = X[:200], y[:200]
    quick.fit(X, y)
    whole = copy.deepcopy(quick)
    again = pickle.loads(as_pickled_before(quick))
    for clf in (whole, again):
        clf.set_params(topo_loss="as", random_state=None)  # a new loss: of the old seed
        clf.partial_fit(X, y)
    assert again.net_.split_seed == whole.net_.split_seed != 0
    np.testing.assert_array_equal(again.grid_weights_, whole.grid_weights_)
    assert again.history_["topo_loss"].equals(whole.history_["topo_loss"])
    assert not hasattr(again, "_structure")


def test_a_pickle_of_a_fit_that_failed(quick, digits):
    """The first house kept what the model would have been made of."""
    X, y = digits
    with pytest.raises(ValueError, match="no longer finite"):
        quick.set_params(lr=1e30, max_epochs=9).fit(X[:300], y[:300])
    assert not hasattr(quick, "net_")
    quick._structure = {"backbone": "auto"}
    again = pickle.loads(pickle.dumps(quick))
    assert again.backbone == "auto"
    assert not hasattr(again, "_structure")


@pytest.mark.parametrize("way", COPIES)
def test_copies_do_not_share_weights(way, quick, digits):
    X, y = digits
    quick.fit(X[:300], y[:300])
    again, before = COPIES[way](quick), quick.grid_weights_
    again.partial_fit(X[:300], y[:300])
    np.testing.assert_array_equal(quick.grid_weights_, before)


def test_batches_are_not_kept(quick, digits):
    """Nor their number: a model does not grow with the images that it saw."""
    X, y = digits
    few = clone(quick).fit(X[:100], y[:100])
    many = clone(quick).set_params(batch_size=4).fit(X, y)
    for clf in (few, many):
        assert all(epoch["batches"] == [] for epoch in clf.net_.history)
    assert abs(len(pickle.dumps(many)) - len(pickle.dumps(few))) < 200


@pytest.mark.parametrize("location", ["cuda:0", "mps"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_model_of_an_accelerator_opens_without_one(
    optimizer, location, quick, digits, monkeypatch
):
    """Its pickle holds storages that are tagged as another device's."""
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator here")
    X, y = digits
    X, y = X[:300], y[:300]
    quick.set_params(optimizer=optimizer, lr=0.01).fit(X, y)
    wanted = quick.predict_proba(X)
    net = quick.net_
    states = net.optimizer_.state.values()
    tensors = [*net.module_.state_dict().values(), *net.criterion_.buffers()]
    tensors += [v for state in states for v in state.values() if v is not None]
    there = {tensor.untyped_storage().data_ptr() for tensor in tensors}

    def tag(storage):
        return location if storage.data_ptr() in there else "cpu"

    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", tag)
        patch.setattr(net, "device", location.partition(":")[0])
        data = pickle.dumps(quick)
    assert location.encode() in data
    again = pickle.loads(data)
    assert torch.device(again.net_.device).type == "cpu"
    np.testing.assert_array_equal(again.predict_proba(X), wanted)
    again.partial_fit(X, y)
    quick.partial_fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), quick.predict_proba(X))


def test_a_saved_model_of_an_accelerator_loads_without_one(quick, digits, tmp_path):
    X, y = digits
    quick.fit(X[:300], y[:300]).set_params(device="cuda")
    quick.save(tmp_path / "model.safetensors")
    again = TopographicCNNClassifier.load(tmp_path / "model.safetensors")
    assert again.device == "cpu"
    np.testing.assert_array_equal(again.predict_proba(X), quick.predict_proba(X))
    again.partial_fit(X[:300], y[:300])
