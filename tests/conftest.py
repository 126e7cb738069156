"""One torch thread, and real images."""

import warnings
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

import sktopo._training.data
from sktopo import TopographicCNNClassifier, measure, robustness, scorers
from sktopo.datasets import fetch_fashion_mnist, load_digits_images

torch.set_num_threads(1)

# Each function of (estimator, X, y) that compares labels with a model's classes.
LOOKS = {
    name: getattr(robustness, name)
    for name in robustness.__all__
    if name.endswith("_curve") and name != "area_under_curve"
}
LOOKS.update({name: scorers.get_scorer(name) for name in scorers.get_scorer_names()})
LOOKS["multi_scorer"] = scorers.multi_scorer(scorers.get_scorer_names())
LOOKS["measure"] = partial(measure, include=["performance"])


def pytest_collection_modifyitems(items):
    """The long ones first, so that no worker sits alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits_images(return_X_y=True)
    X.flags.writeable = False
    return X, y


@pytest.fixture(scope="session")
def fashion(tmp_path_factory):
    """Fashion-MNIST, where a copy lies on disk."""
    try:
        X, y = fetch_fashion_mnist(return_X_y=True, download_if_missing=False)
    except OSError as error:
        pytest.skip(f"needs Fashion-MNIST on disk: {error}")
    return X, y


@pytest.fixture(scope="session")
def fitted(digits):
    """A WS model of the digits, to be looked at and not changed."""
    X, y = digits
    clf = TopographicCNNClassifier(lam=0.3, max_epochs=6, lr=3e-3, random_state=0)
    return clf.fit(X[:1200], y[:1200])


@pytest.fixture
def quick():
    """A classifier that trains in a moment."""
    return TopographicCNNClassifier(
        lam=0.3, grid_shape=(4, 5), max_epochs=2, lr=3e-3, random_state=0
    )


@pytest.fixture
def count_steps():
    """A callback, and the list in which it counts the steps of each training."""
    counts = []

    class Count(Callback):
        def on_train_begin(self, net, **kwargs):
            counts.append(0)

        def on_batch_end(self, net, training=False, **kwargs):
            counts[-1] += training

    return Count(), counts


@pytest.fixture
def coarse_figures(monkeypatch):
    """Images are as they are, but for their fineness, which takes time."""
    Figure = pytest.importorskip("matplotlib.figure").Figure
    save = Figure.savefig

    def coarse(figure, *args, dpi=None, **kwargs):
        save(figure, *args, dpi=40, **kwargs)

    monkeypatch.setattr(Figure, "savefig", coarse)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def in_short(tmp_path, monkeypatch):
    """What is long is short here: "auto" is one epoch, and all is in one process."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sktopo._training.data, "FEWEST_EPOCHS", 1)
    monkeypatch.setattr(sktopo._training.data, "AUTO_STEPS", 1)
    with joblib.parallel_config("sequential"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of so few steps
        yield
    pyplot.close("all")
