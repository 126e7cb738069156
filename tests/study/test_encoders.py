"""Studies of encoders: no classifier, so no accuracy and no readout."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from sktopo import TopographicCNNClassifier, TopographicEncoder, measure
from sktopo.study import TopographicStudy, load_results

pytest.importorskip("pytorch_metric_learning")


def probe(encoder, X, y):
    reader = LogisticRegression(max_iter=2000)
    return cross_val_score(reader, encoder.transform(X), y, cv=2).mean()


def encoder(**changed):
    plain = {"grid_shape": (3, 4), "max_epochs": 1, "lr": 3e-3, "backbone": "small"}
    return TopographicEncoder(**{**plain, **changed})


def study_of(estimator, **changed):
    settings = {
        "topo_losses": ["ws"],
        "lams": [1],
        "n_seeds": 2,
        "include": ["performance", "smoothness", "selectivity"],
        "measures": {"probe": probe},
        "conditions": {"supcon": {"objective": "supcon", "lam": 1.0}},
        "layers": ["backbone.3"],
        "verbose": 0,
    }
    return TopographicStudy(estimator, **{**settings, **changed})


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:120], y[:120], X[120:220], y[120:220]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "store"


@pytest.fixture(scope="module")
def study(data, store):
    return study_of(encoder(), store=store).run(*data)


def test_rows_are_those_of_encoders_trained_one_by_one(study, data):
    X, y, X_test, y_test = data
    seed = int(np.random.SeedSequence([0, 100]).generate_state(1)[0])
    for name in ("control", "ws", "supcon"):
        changed = {"objective": "supcon"} if name == "supcon" else {}
        changed |= {"topo_loss": None} if name == "control" else {}
        own = encoder(random_state=seed, **changed).fit(X, y)
        rows = study.results_.query("condition == @name and seed == 100")
        assert rows.query("group == 'probe'")["value"].item() == probe(
            own, X_test, y_test
        )
        smoothness = rows[rows["group"] == "smoothness"].groupby("layer")
        for layer, found in smoothness:
            at = None if layer == "grid" else layer
            wanted = measure(own, X_test, y_test, ["smoothness"], layer=at)
            np.testing.assert_array_equal(found["value"], wanted["value"])
    assert "performance" not in set(study.results_["group"])  # it does not predict


def test_models_come_back_and_go_on(study, store, data):
    found = study.load_model("supcon", seed=101)
    assert isinstance(found, TopographicEncoder)
    assert found.objective == "supcon"
    again = study_of(encoder(), store=store, n_seeds=3).run(*data)
    pd.testing.assert_frame_equal(
        again.results_.query("seed < 102").reset_index(drop=True), study.results_
    )


def test_results_are_read_without_data(study, store, data, tmp_path):
    found = load_results(study_of(encoder(), store=store).run(*data).store)
    pd.testing.assert_frame_equal(found.table, study.results_)
    assert set(found.consistency()["representation"]) == {
        *("activations", "class_means", "post_relu")
    }
    assert "readout" not in found.responses["ws", 1.0, 100]
    assert len(found.compare(measures=["morans_i", "probe"])) > 0
    found.report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "supcon" in text
    assert "probe" in text


def test_a_store_of_encoders_is_not_one_of_classifiers(store, study, data):
    other = TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1, backbone="small")
    with pytest.raises(ValueError, match="belongs to another study"):
        study_of(other, conditions={}, store=store).run(*data)


def test_what_no_encoder_is():
    with pytest.raises(TypeError, match="TopographicEncoder or None; got Logistic"):
        TopographicStudy(LogisticRegression()).cells()
    with pytest.raises(ValueError, match=r"Condition 'odd'.*objective"):
        study_of(encoder(), conditions={"odd": {"objective": "byol"}}).cells()


def test_a_layer_that_is_not_there_is_told_before_training(data):
    with pytest.raises(ValueError, match=r"Condition 'control'.*conv9"):
        study_of(encoder(), layers=["conv9"]).run(*data)
