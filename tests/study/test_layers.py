"""Measures of several layers, and of networks that a study did not train."""

import copy
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import FitFailedWarning
from torch import nn

from sktopo import FrozenNetwork, TopographicCNNClassifier, measure
from sktopo.replication import claims
from sktopo.study import TopographicStudy, load_results

INCLUDE = ["performance", "smoothness", "activity", "geometry", "robustness"]
COLUMNS = ["condition", "lam", "seed", "layer", "group", "measure", "parameter"]


def make_study(store=None, **changed):
    estimator = TopographicCNNClassifier(
        grid_shape=(3, 4), max_epochs=1, lr=3e-3, backbone="small"
    )
    settings = {"topo_losses": ["ws"], "lams": [1], "n_seeds": 2, "verbose": 0}
    settings |= {"include": INCLUDE, **changed}
    return TopographicStudy(estimator, store=store, **settings)


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:300], y[:300], X[300:450], y[300:450]


def trained_elsewhere(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(432, 10)
    return nn.Sequential(*layers)


def subject(seed=0, **changed):
    settings = {"image_shape": (1, 8, 8), "value_range": (0, 16), **changed}
    return FrozenNetwork(trained_elsewhere(seed), "0", **settings)


def layer_name(study):
    """A convolution of the networks."""
    module = study.load_model("control").module_
    return next(n for n, m in module.named_modules() if isinstance(m, nn.Conv2d))


def response(classifier, X, y):
    return float(classifier.transform(X).mean())


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("plain") / "store").run(*data)


@pytest.fixture(scope="module")
def layered(data, plain, tmp_path_factory):
    """The same store, with a layer and a subject added to it."""
    store = tmp_path_factory.mktemp("layered") / "store"
    shutil.copytree(plain.store, store)
    study = make_study(
        store,
        layers=["grid", layer_name(plain)],
        subjects={"elsewhere": subject()},
        measures={"own": response},
    )
    return study.run(*data)


# ------------------------------------------------------------------ what is measured


def test_rows_of_the_grid_are_as_without_layers(plain, layered):
    found = layered.results_
    assert found.columns[:7].tolist() == COLUMNS
    grid = found[found["layer"] == "grid"].drop(columns="layer")
    grid = grid[(grid["condition"] != "elsewhere") & (grid["group"] != "own")]
    pd.testing.assert_frame_equal(
        grid.reset_index(drop=True), plain.results_, check_exact=True
    )
    assert "layer" not in plain.results_


def test_rows_of_a_layer_are_what_measure_gives(layered, data):
    X, y = data[2:]
    name = layer_name(layered)
    for seed in (100, 101):
        model = layered.load_model("ws", 1, seed)
        control = layered.load_model("control", seed=seed)
        by_layer = INCLUDE[1:]  # accuracy is the same at each layer
        wanted = measure(
            *(model, X, y, by_layer, control), model.random_state, layer=name
        )
        found = layered.results_
        found = found[(found["layer"] == name) & (found["seed"] == seed)]
        found = found[found["condition"] == "ws"][wanted.columns]
        pd.testing.assert_frame_equal(
            found.reset_index(drop=True), wanted, check_exact=True
        )
    for group in ("own", "performance"):
        rows = layered.results_[layered.results_["group"] == group]
        assert rows["layer"].unique().tolist() == ["grid"]


def test_rows_of_a_subject_are_what_measure_gives(layered, data):
    X, y = data[2:]
    control = layered.load_model("control")
    wanted = measure(subject(), X, y, INCLUDE, control, control.random_state)
    found = layered.results_[layered.results_["condition"] == "elsewhere"]
    assert found[["lam", "seed", "layer"]].drop_duplicates().values.tolist() == [
        [0.0, 100, "grid"]
    ]
    assert found["group"].iloc[-1] == "own"
    found = found[found["group"] != "own"][wanted.columns]
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), wanted, check_exact=True
    )


def test_statistics_keep_layers_apart_and_subjects_out_of_pairs(plain, layered):
    wanted = plain.compare()
    found = layered.compare()
    assert found["layer"].unique().tolist() == ["grid", layer_name(layered)]
    assert set(found["condition"]) == {"ws"}
    grid = found[(found["layer"] == "grid") & (found["group"] != "own")]
    pd.testing.assert_frame_equal(
        grid.drop(columns="layer").reset_index(drop=True), wanted, check_exact=True
    )
    asked = layered.compare(measures=[("dip", {"layer": "grid"})])
    assert asked["layer"].tolist() == ["grid"]
    with pytest.raises(ValueError, match="was not trained by the study"):
        layered.compare("elsewhere")
    keys = ["condition", "lam", "layer", "group", "measure", "parameter"]
    assert not layered.summary().duplicated(keys).any()
    pd.testing.assert_frame_equal(
        layered.consistency(), plain.consistency(), check_exact=True
    )
    pd.testing.assert_frame_equal(claims(layered), claims(plain), check_exact=True)


def test_pictures_are_of_the_grid_unless_a_layer_is_named(
    plain, layered, coarse_figures, tmp_path
):
    pytest.importorskip("matplotlib")
    first, second = (study.plot("accuracy").summary_ for study in (plain, layered))
    trained = second[second["condition"] != "elsewhere"]
    assert trained["mean"].tolist() == first["mean"].tolist()
    assert len(layered.plot("dip", layer=layer_name(layered)).summary_) == 2
    layered.report(tmp_path / "report.html")
    assert "elsewhere" in (tmp_path / "report.html").read_text()


# ------------------------------------------------------------------ the store


def test_results_with_layers_and_subjects_are_read(layered):
    found = load_results(layered.store)
    pd.testing.assert_frame_equal(found.table, layered.results_, check_exact=True)
    assert found.grid_shape("elsewhere") == (3, 4)
    assert list(found.responses) == list(layered._found.responses)
    assert {key[0] for key in found.responses} == {"control", "ws"}


def test_only_what_is_new_is_measured(data, layered, tmp_path):
    store = shutil.copytree(layered.store, tmp_path / "store")
    before = {path: path.read_bytes() for path in store.glob("*/*")}
    settings = {"layers": layered.layers, "measures": {"own": response}}
    again = make_study(store, **settings, subjects={"elsewhere": subject()})
    again.run(*data)
    pd.testing.assert_frame_equal(again.results_, layered.results_, check_exact=True)
    assert {path: path.read_bytes() for path in store.glob("*/*")} == before
    assert again.load_model("elsewhere") is again.subjects["elsewhere"]
    another_device = subject(batch_size=7)
    make_study(store, subjects={"elsewhere": another_device}).run(*data)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "subject: state is"),
        ({"pool": "max"}, 'subject: pool is "mean" there and "max" here'),
        ({"grid_shape": (2, 6)}, "grid_shape"),
    ],
)
def test_another_subject_of_that_name_is_refused(changed, message, data, layered):
    study = make_study(layered.store, subjects={"elsewhere": subject(**changed)})
    with pytest.raises(ValueError, match=f"condition elsewhere: {message}"):
        study.run(*data)


def test_a_subject_is_not_changed(data):
    model = subject()
    before = copy.deepcopy(model.module.state_dict())
    model.module.train()
    make_study(
        subjects={"elsewhere": model}, topo_losses=[], n_seeds=1, include=["robustness"]
    ).run(*data)
    assert model.module.training
    for name, values in model.module.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"layers": [3]}, ValueError, r"layers must be names of layers.* got \[3\]"),
        ({"layers": ["x" * 99]}, ValueError, "layers must be names"),
        ({"subjects": [1]}, TypeError, "subjects must map names to FrozenNetworks"),
        (
            {"subjects": {"a": nn.ReLU()}},
            TypeError,
            "a FrozenNetwork; got ReLU",
        ),
        ({"subjects": {"ws": subject()}}, ValueError, "names of their own, not 'ws'"),
        ({"subjects": {"a\nb": subject()}}, ValueError, "names of their own"),
    ],
)
def test_wrong_layers_and_subjects(changed, error, message):
    with pytest.raises(error, match=message):
        make_study(**changed).cells()


def test_an_unknown_layer_is_refused_before_anything_is_trained(data, tmp_path):
    with pytest.raises(ValueError, match=r"Condition 'control': layers='backbone.99'"):
        make_study(tmp_path / "store", layers=["backbone.99"]).run(*data)
    assert not (tmp_path / "store").exists()


def test_a_subject_that_cannot_see_its_images_is_refused(data, tmp_path):
    other = subject(image_shape=(1, 8, 9))
    with pytest.raises(ValueError, match=r"cannot see images of shape \(2, 1, 8, 9\)"):
        make_study(tmp_path / "store", subjects={"elsewhere": other}).run(*data)


def test_a_subject_that_cannot_be_measured_is_named(data, tmp_path):
    settings = {"topo_losses": [], "n_seeds": 1, "include": ["performance"]}
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(81, 10))
    other = FrozenNetwork(module, "1", image_shape=(1, 9, 9))
    study = make_study(tmp_path, **settings, subjects={"elsewhere": other})
    with pytest.warns(FitFailedWarning, match="elsewhere, lam 0, seed 100"):
        study.run(*data)
    assert study.results_["condition"].unique().tolist() == ["control"]
    with pytest.warns(UserWarning, match="elsewhere.* lacks measures_performance"):
        found = load_results(tmp_path)
    pd.testing.assert_frame_equal(found.table, study.results_, check_exact=True)
