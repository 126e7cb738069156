"""Spatial losses of any layers, through the classifier."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sktopo import TopographicCNNClassifier
from sktopo.losses import LOSSES, WeightSimilarity
from sktopo.study import TopographicStudy
from sktopo.transformers import ImageNoise

LAYERS = ("grid", "backbone.4")  # of "lenet": the second convolution, 64 channels


@pytest.fixture
def few(digits):
    X, y = digits
    return X[:120], y[:120]


def norms_of_neighbors(clf, layer="backbone.4", shape=(8, 8)):
    weight = clf.module_.get_submodule(layer).weight.detach().flatten(1)
    return WeightSimilarity(shape, "cosine")(weight).item()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_on_two_layers(name, quick, few):
    clf = quick.set_params(topo_loss=name, topo_layers=LAYERS).fit(*few)
    history = clf.history_
    columns = [f"topo_loss_{layer}" for layer in LAYERS]
    assert np.isfinite(history[columns]).all(axis=None)
    np.testing.assert_allclose(history["topo_loss"], history[columns].sum(axis=1))
    sheets = {term.layer: term.loss.grid.shape for term in clf.net_.criterion_.terms}
    assert sheets == {"grid": (4, 5), "backbone.4": (8, 8)}


def test_the_layers_neighbours_become_alike(quick, few):
    quick.set_params(distance="cosine", lam=10, max_epochs=4)
    alone = clone(quick).fit(*few)
    both = clone(quick).set_params(topo_layers=LAYERS).fit(*few)
    only = clone(quick).set_params(topo_layers="backbone.4").fit(*few)
    assert norms_of_neighbors(both) < 0.8 * norms_of_neighbors(alone)
    assert norms_of_neighbors(only) < 0.8 * norms_of_neighbors(alone)
    of_grid = [norms_of_neighbors(clf, "grid", (4, 5)) for clf in (both, only)]
    assert of_grid[0] < 0.8 * of_grid[1]
    assert list(only.history_.filter(like="topo_loss")) == ["topo_loss"]


def test_relative_weights(quick, few):
    weights = {"grid": 1.0, "backbone.4": 0.25}
    history = quick.set_params(topo_layers=weights, lam=2.0).fit(*few).history_
    spatial = history["topo_loss_grid"] + 0.25 * history["topo_loss_backbone.4"]
    np.testing.assert_allclose(history["topo_loss"], spatial)
    loss = history["task_loss"] + 2 * spatial
    np.testing.assert_allclose(history["loss"], loss, rtol=1e-6)


def test_the_grid_by_name_is_the_default(quick, few):
    default = clone(quick).fit(*few)
    for layers in ("grid", ["grid"], {"grid": 1.0}):
        named = clone(quick).set_params(topo_layers=layers).fit(*few)
        assert (named.grid_weights_ == default.grid_weights_).all()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("backbone.44", r"topo_layers='backbone\.44' is no layer.*'backbone\.4'"),
        (("grid", 4), "topo_layers=4 is no layer"),
        ((), "topo_layers is empty"),
        (("grid", "grid"), "names the layer 'grid' twice"),
        ({}, "topo_layers is empty"),
        ({"grid": -1.0}, r"topo_layers\['grid'\]=-1.0 is no weight"),
        ({"grid": "much"}, "is no weight"),
        ({"grid": float("nan")}, "is no weight"),
        ("backbone.1", "'backbone.1' is a MaxPool2d, which has no weights"),
        (3, "The 'topo_layers' parameter"),
    ],
)
def test_layers_that_are_none(layers, message, quick, few):
    with pytest.raises(ValueError, match=message):
        quick.set_params(topo_layers=layers).fit(*few)
    assert not hasattr(quick, "net_")


class Odd(nn.Module):
    """A backbone with a layer that never runs, and one that runs twice."""

    def __init__(self, image_shape):
        super().__init__()
        self.first = nn.Conv2d(image_shape[0], 7, 3)
        self.twice = nn.ReLU()
        self.idle = nn.Linear(4, 4)

    def forward(self, images):
        maps = self.twice(self.first(images))
        return self.twice(maps - 1).mean(dim=(2, 3))


def test_a_layer_that_never_runs(quick, few):
    quick.set_params(backbone=Odd, topo_loss="as", topo_layers="backbone.idle")
    with pytest.raises(ValueError, match=r"'backbone\.idle'.*no part in the forward"):
        quick.fit(*few)


@pytest.mark.filterwarnings("ignore:7 units, a prime number")
def test_a_layer_that_runs_twice_gives_the_mean(quick, few):
    quick.set_params(backbone=Odd, topo_loss="as", topo_layers="backbone.twice")
    history = quick.fit(*few).history_
    assert np.isfinite(history["topo_loss"]).all()


def test_a_prime_number_of_channels_warns(quick, few):
    quick.set_params(backbone=Odd, topo_layers="backbone.first")
    with pytest.warns(UserWarning, match="7 units, a prime number") as found:
        quick.fit(*few)
    assert found[0].filename == __file__


def test_settings_that_are_said_twice(quick, few):
    quick.set_params(distance="cosine", loss_params={"distance": "correlation"})
    with pytest.raises(ValueError, match=r"distance='cosine' and loss_params"):
        quick.fit(*few)


def test_a_torus_is_the_grids(quick, few):
    quick.set_params(loss_params={"wrap": True})
    with pytest.raises(ValueError, match="give wrap=True itself"):
        quick.fit(*few)
    quick.set_params(wrap=True, loss_params=None).fit(*few)


def test_settings_of_a_loss(quick, few):
    quick.set_params(topo_loss="laplacian", loss_params={"factor": (2, 2)})
    assert quick.fit(*few).net_.criterion_.terms[0].loss.factor == (2, 2)
    quick.set_params(loss_params={"radius": 2})
    with pytest.raises(TypeError, match="no setting radius, only factor"):
        quick.fit(*few)
    quick.set_params(loss_params=None, distance="cosine")
    with pytest.raises(TypeError, match="no setting distance"):
        quick.fit(*few)


def test_what_a_loss_draws_is_the_random_states(quick, few):
    quick.set_params(topo_loss="spatial_correlation", loss_params={"radius": 2})
    same = [clone(quick).fit(*few) for _ in range(2)]
    other = clone(quick).set_params(random_state=1).fit(*few)
    seeds = [c.net_.criterion_.terms[0].loss.seed for c in (*same, other)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert (same[0].grid_weights_ == same[1].grid_weights_).all()
    quick.set_params(loss_params={"radius": 2, "seed": 5})
    assert quick.fit(*few).net_.criterion_.terms[0].loss.seed == 5


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "file"])
def test_copies_go_on_with_all_layers(how, quick, few, tmp_path):
    positions = np.linspace(0, 1, 40).reshape(20, 2)
    clf = quick.set_params(
        topo_loss="spatial_correlation",
        topo_layers={"grid": 0.5},
        loss_params={"positions": positions},
        lam_mode="calibrated",
        wrap=False,
    )
    clf.fit(*few)
    if how == "pickle":
        again = pickle.loads(pickle.dumps(clf))
    elif how == "deepcopy":
        again = copy.deepcopy(clf)
    else:
        clf.save(tmp_path / "model.safetensors")
        again = TopographicCNNClassifier.load(tmp_path / "model.safetensors")
        assert again.loss_params["positions"].dtype == positions.dtype
    assert (again.predict_proba(few[0]) == clf.predict_proba(few[0])).all()
    np.testing.assert_array_equal(again.loss_params["positions"], positions)
    objective = again.net_.criterion_
    again.partial_fit(*few)
    assert again.net_.criterion_ is objective  # what it was made from is the same
    assert again.n_iter_ == 3


def test_a_torus_is_kept(quick, few, tmp_path):
    clf = quick.set_params(wrap=True).fit(*few)
    assert clf.grid_.wrap
    assert clf.net_.criterion_.terms[0].loss.grid.wrap
    clf.save(tmp_path / "model.safetensors")
    again = TopographicCNNClassifier.load(tmp_path / "model.safetensors")
    assert again.grid_ == clf.grid_


def test_layers_are_searched_in_a_pipeline(few):
    X, y = few
    clf = TopographicCNNClassifier(
        grid_shape=(3, 4), max_epochs=1, random_state=0, image_shape=(1, 8, 8)
    )
    pipeline = make_pipeline(ImageNoise(level=0.01, random_state=0), clf)
    choices = {
        "topographiccnnclassifier__topo_layers": [None, LAYERS, {"backbone.0": 1.0}],
        "topographiccnnclassifier__lam_mode": ["fixed", "calibrated"],
    }
    search = GridSearchCV(pipeline, choices, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_layers_are_conditions_of_a_study(few, tmp_path):
    base = TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1)
    study = TopographicStudy(
        base,
        topo_losses=["ws"],
        lams=[0.5],
        conditions={"layers": {"topo_layers": LAYERS, "lam_mode": "calibrated"}},
        n_seeds=1,
        include=["performance"],
        store=tmp_path / "store",
    )
    study.run(*few, *few)
    layers = study.load_model("layers", 0.5, 100).net_.criterion_.terms
    assert [term.layer for term in layers] == list(LAYERS)
    study.run(*few, *few)  # known again


def test_two_terms_that_read_responses_share_a_pass(quick, few):
    """The gradient reaches the convolution from both."""
    quick.set_params(topo_loss="as", topo_layers=LAYERS, lam=3.0)
    clf = quick.fit(*few)
    objective = clf.net_.criterion_
    assert objective.read_layers == list(LAYERS)
    assert not any(part._forward_hooks for part in clf.module_.modules())


def test_callers_module_is_not_in_training_mode_afterwards(quick, few):
    clf = quick.set_params(topo_layers=LAYERS).fit(*few)
    assert not any(part.training for part in clf.module_.modules())
    torch.testing.assert_close(
        clf.module_(torch.tensor(few[0][:2])).detach(),
        torch.from_numpy(clf.decision_function(few[0][:2])),
    )
