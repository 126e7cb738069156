"""skorch's callbacks meet a classifier, and errors that say what to do."""

import inspect

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.base import clone, is_classifier
from sklearn.metrics import get_scorer
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
)

from sktopo import TopographicCNNClassifier

SCORINGS = [
    "accuracy", "balanced_accuracy", "f1_macro", "matthews_corrcoef", "neg_log_loss",
    "roc_auc_ovr", "roc_auc_ovo_weighted",
]  # fmt: skip
BINARY = ["roc_auc", "average_precision", "f1", "neg_brier_score"]
CASES = [("multi-class", name) for name in [*SCORINGS, "top_k_accuracy"]]
CASES += [("binary", name) for name in [*SCORINGS, *BINARY]]


@pytest.fixture(scope="module")
def data(digits):
    """Few classes, so that each batch has all of them."""
    X, y = digits
    rows = np.flatnonzero(y < 3)[:120]
    X, y = X[rows], y[rows]
    return {"binary": (X, (y > 0).astype(int)), "multi-class": (X, y)}


@pytest.fixture(scope="module")
def small():
    return TopographicCNNClassifier(
        lam=0.1, grid_shape=(3, 3), max_epochs=2, lr=0.01, batch_size=40, dropout=0,
        early_stopping=True, validation_fraction=0.3, random_state=0,
    )  # fmt: skip


class Keep(Callback):
    """Keeps the data sets of a training."""

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train, self.valid = dataset_train, dataset_valid


@pytest.mark.parametrize("caching", [True, False])
@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize(("problem", "name"), CASES)
def test_epochs_are_scored_as_by_a_classifier(
    problem, name, on_train, caching, small, data
):
    X, y = data[problem]
    score = EpochScoring(name, on_train=on_train, name="score", use_caching=caching)
    keeper = Keep()
    clf = clone(small).set_params(callbacks=[score, keeper]).fit(X, y)
    values = clf.net_.history[:, "score"]
    assert len(values) == 2
    assert np.isfinite(values).all()
    if on_train and caching:  # answers given while the epoch ran
        return
    rows = (keeper.train if on_train else keeper.valid).rows
    assert 0 < len(rows) < len(X)
    best = clf.history_["valid_accuracy"].argmax()
    if best == 1:  # the model as it was then
        wanted = get_scorer(name)(clf, X[rows], y[rows])
        assert values[-1] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("caching", [True, False])
@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss", "roc_auc_ovr"])
def test_batches_are_scored(name, on_train, caching, small, data):
    X, y = data["multi-class"]
    score = BatchScoring(name, on_train=on_train, name="score", use_caching=caching)
    clf = clone(small).set_params(callbacks=[score], batch_size=120)
    clf.fit(X, y.astype(str))  # a batch of all, or it may lack a class
    values = clf.net_.history[:, "score"]
    assert len(values) == 2
    assert np.isfinite(values).all()
    if name == "accuracy" and not on_train:
        np.testing.assert_allclose(values, clf.history_["valid_accuracy"], atol=1e-6)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_scores_of_training_need_no_held_out_images(early_stopping, small, data):
    X, y = data["binary"]
    score = EpochScoring("roc_auc", on_train=True, lower_is_better=False)
    stop = EarlyStopping("roc_auc", patience=9, lower_is_better=False)
    clf = clone(small).set_params(
        callbacks=[score, stop], early_stopping=early_stopping
    )
    clf.fit(X, np.where(y, "a", "b")).set_params(early_stopping=False)
    clf.partial_fit(X, np.where(y, "a", "b"))
    assert len(clf.net_.history[:, "roc_auc"]) == 3
    assert 0 <= clf.net_.history[-1, "roc_auc"] <= 1


@pytest.mark.parametrize("problem", ["binary", "multi-class"])
def test_the_net_is_a_classifier_of_indices(problem, small, data):
    X, y = data[problem]
    names = np.array(["x", "y", "z"])[y]
    clf = clone(small).fit(X, names)
    net = clf.net_
    assert is_classifier(net)
    assert net.classes_.tolist() == list(range(len(clf.classes_)))
    flat = X.reshape(len(X), -1)
    for images in (X, X[:, 0], flat, X.astype(float), torch.from_numpy(X.copy())):
        proba = net.predict_proba(images)
        np.testing.assert_allclose(proba, clf.predict_proba(X), atol=1e-5)
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert np.array_equal(clf.classes_[net.predict(X)], clf.predict(X))
    assert net.score(X, y) == clf.score(X, names)
    for name in ("neg_log_loss", "roc_auc_ovr"):
        wanted = get_scorer(name)(clf, X, names)
        assert get_scorer(name)(net, X, y) == pytest.approx(wanted, abs=1e-5)


# ------------------------------------------------------------ what is monitored


def monitors():
    """Each of skorch's callbacks that watches a value, with several values."""
    for name in skorch.callbacks.__all__:
        kind = getattr(skorch.callbacks, name)
        parameters = inspect.signature(kind.__init__).parameters
        if "monitor" not in parameters:
            continue
        best = "_best" if name == "Checkpoint" else ""
        for monitor in ("valid_loss", "valid_accuracy", "no_such_score"):
            yield name, monitor + best


def make(name, monitor, folder):
    settings = {
        "LRScheduler": {"policy": torch.optim.lr_scheduler.ReduceLROnPlateau},
        "Checkpoint": {"dirname": folder},
    }
    kind = getattr(skorch.callbacks, name)
    return kind(monitor=monitor, **settings.get(name, {}))


@pytest.mark.parametrize(("name", "monitor"), monitors())
def test_a_value_that_is_not_there(name, monitor, small, data, tmp_path):
    X, y = data["multi-class"]
    clf = clone(small).set_params(early_stopping=False)
    clf.set_params(callbacks=[make(name, monitor, tmp_path)])
    message = f"{name} monitors '{monitor}'.*it has .*train_loss.*early_stopping=True"
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "net_")
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, y, classes=range(3))
    if "no_such" in monitor:
        clf.set_params(early_stopping=True)
        with pytest.raises(ValueError, match=f"'{monitor}'.*valid_loss"):
            clf.fit(X, y)
        return
    assert clf.set_params(early_stopping=True).fit(X, y).n_iter_ == 2
    on_train = monitor.replace("valid_accuracy", "valid_loss").replace("valid", "train")
    clf.set_params(callbacks=[make(name, on_train, tmp_path)], early_stopping=False)
    assert clf.fit(X, y).n_iter_ == 2


def test_defaults_of_skorch(small, data, tmp_path):
    X, y = data["multi-class"]
    clf = clone(small).set_params(early_stopping=False)
    for callback in (EarlyStopping(), Checkpoint(dirname=tmp_path)):
        clf.set_params(callbacks=[("named", callback)])
        with pytest.raises(ValueError, match="monitors 'valid_loss"):
            clf.fit(X, y)
    clf.set_params(callbacks=[LRScheduler(torch.optim.lr_scheduler.ReduceLROnPlateau)])
    clf.fit(X, y)
    assert (
        clf.set_params(callbacks=[LRScheduler()]).fit(X, y).history_["event_lr"].all()
    )


class Broken(Callback):
    monitor = "train_loss"

    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, net, **kwargs):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("mine"), ValueError("valid_loss is bad")])
def test_errors_of_callbacks_that_are_no_missing_value(error, small, data):
    X, y = data["multi-class"]
    clf = clone(small).set_params(callbacks=[Broken(error), EarlyStopping()])
    with pytest.raises(type(error), match=str(error)):
        clf.fit(X, y)
