import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from sktopo import ImageNoise, TopographicCNNClassifier, scorers
from sktopo.metrics import (
    expert_localization,
    expert_units,
    functional_localization,
    morans_i,
)
from sktopo.robustness import image_noise_curve, weight_noise_curve

NAMES = [
    "expert_localization",
    "functional_localization",
    "image_robustness",
    "smoothness",
    "weight_robustness",
]


@pytest.fixture(scope="module")
def held_out(digits):
    X, y = digits
    return X[1200:], y[1200:]


def test_names():
    assert scorers.get_scorer_names() == NAMES
    for name in NAMES:
        ready = getattr(scorers, f"{name}_scorer")
        assert repr(ready) == repr(scorers.get_scorer(name))
        assert ready.name == name
    with pytest.raises(ValueError, match=r"'f1' is no scorer of sktopo.*sklearn"):
        scorers.get_scorer("f1")


def test_scores_are_those_of_the_measures(fitted, held_out):
    X, y = held_out
    A = fitted.transform(X)
    expected = {
        "weight_robustness": weight_noise_curve(fitted, X, y, random_state=None),
        "image_robustness": image_noise_curve(fitted, X, y, random_state=None),
        "expert_localization": 1
        - expert_localization(expert_units(A, y), (11, 11)).pooled,
        "functional_localization": 1
        - functional_localization(A, (11, 11), [0.5])["ratio"].item(),
        "smoothness": morans_i(fitted.activation_maps(X)).mean(),
    }
    for name, value in expected.items():
        score = scorers.get_scorer(name)(fitted, X, y)
        assert isinstance(score, float)
        if isinstance(value, pd.DataFrame):
            assert score == pytest.approx(value["accuracy"].mean(), abs=0.02)
        else:
            assert score == pytest.approx(value)


def test_multi_scorer_equals_the_single_ones(fitted, held_out):
    scores = scorers.multi_scorer(NAMES)(fitted, *held_out)
    assert list(scores) == ["accuracy", *NAMES]
    assert scores["accuracy"] == fitted.score(*held_out)
    for name in NAMES:
        assert scores[name] == scorers.get_scorer(name)(fitted, *held_out)


def test_multi_scorer_runs_the_backbone_once(fitted, held_out, monkeypatch):
    calls = []
    run = TopographicCNNClassifier._evaluate
    monkeypatch.setattr(
        TopographicCNNClassifier,
        "_evaluate",
        lambda self, X, *args: calls.append(len(X)) or run(self, X, *args),
    )
    names = [name for name in NAMES if name != "image_robustness"]
    scorers.multi_scorer(names)(fitted, *held_out)
    assert calls == [len(held_out[1])]


def test_kind_change_is_relative_to_clean(fitted, held_out):
    clean = fitted.score(*held_out)
    for make in (
        scorers.make_weight_robustness_scorer,
        scorers.make_image_robustness_scorer,
    ):
        accuracy, change = (
            make(kind=k)(fitted, *held_out) for k in ("accuracy", "change")
        )
        assert change == pytest.approx(accuracy - clean)
        with pytest.raises(ValueError, match="'accuracy' or 'change'"):
            make(kind="ratio")


def test_settings_reach_the_measure(fitted, held_out):
    none = scorers.make_weight_robustness_scorer(sigmas=[0], n_repeats=1)
    assert none(fitted, *held_out) == fitted.score(*held_out)
    none = scorers.make_image_robustness_scorer(kinds=["pink"], levels=[0])
    assert none(fitted, *held_out) == fitted.score(*held_out)
    rook = scorers.make_smoothness_scorer("von_neumann")(fitted, *held_out)
    assert rook != scorers.smoothness_scorer(fitted, *held_out)
    for make in (
        scorers.make_functional_localization_scorer,
        scorers.make_expert_localization_scorer,
    ):
        assert make(0.4)(fitted, *held_out) != make(0.6)(fitted, *held_out)


def test_sample_weight(fitted, held_out):
    X, y = held_out
    right = fitted.predict(X) == y
    multi = scorers.multi_scorer(["weight_robustness"])
    assert multi(fitted, X, y, right.astype(float))["accuracy"] == 1
    assert multi(fitted, X, y, 1.0 - right)["accuracy"] == 0
    assert multi(fitted, X, y, np.full(len(y), 3.0)) == multi(fitted, X, y)


@pytest.mark.parametrize("name", NAMES)
def test_pickle_and_clone(name, fitted, held_out):
    scorer = scorers.get_scorer(name)
    expected = scorer(fitted, *held_out)
    assert pickle.loads(pickle.dumps(scorer))(fitted, *held_out) == expected
    assert clone(scorer, safe=False)(fitted, *held_out) == expected
    assert scorer(fitted, *held_out) == expected


@pytest.mark.filterwarnings("ignore:.*none of the classes:UserWarning")
@pytest.mark.parametrize("labels", ["one", "few", "unseen"])
def test_finite_for_awkward_labels(labels, fitted, held_out):
    X, y = held_out
    y = {"one": np.full(len(y), 3), "few": y % 2, "unseen": y + 100}
    scores = scorers.multi_scorer(NAMES)(fitted, X, y[labels])
    assert np.isfinite(list(scores.values())).all()
    scores = scorers.multi_scorer(NAMES)(fitted, X[:1], y[labels][:1])
    assert np.isfinite(list(scores.values())).all()


def test_finite_without_any_structure(digits):
    X, y = digits
    clf = TopographicCNNClassifier(
        None, grid_shape=(1, 1), max_epochs=1, random_state=0
    )
    clf.fit(X[:64], y[:64])
    scores = scorers.multi_scorer(NAMES)(clf, X[:200], y[:200])
    assert scores["smoothness"] == scores["functional_localization"] == 0
    assert np.isfinite(list(scores.values())).all()


def test_pipeline(fitted, held_out):
    X, y = held_out
    noise = ImageNoise(level=0.3, random_state=0).fit(X)
    pipe = make_pipeline(noise, fitted)
    multi = scorers.multi_scorer(NAMES)
    assert multi(pipe, X, y) == multi(fitted, noise.transform(X), y)


def test_metadata_routing(quick, digits):
    X, y = digits
    X, y, weights = X[:200], y[:200], np.linspace(0, 2, 200)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = clone(quick).set_fit_request(sample_weight=False)
        multi = scorers.multi_scorer(["smoothness"])
        asking = clone(multi, safe=False).set_score_request(sample_weight=True)
        params = {"sample_weight": weights}
        weighted = cross_validate(estimator, X, y, cv=2, scoring=asking, params=params)
        plain = cross_validate(estimator, X, y, cv=2, scoring=multi)
        assert (weighted["test_accuracy"] != plain["test_accuracy"]).all()
        assert (weighted["test_smoothness"] == plain["test_smoothness"]).all()
        single = scorers.make_weight_robustness_scorer().set_score_request(
            sample_weight=True
        )
        alone = cross_validate(estimator, X, y, cv=2, scoring=single, params=params)
        multi = scorers.multi_scorer(["weight_robustness"])
        multi.set_score_request(sample_weight=True)
        same = cross_validate(estimator, X, y, cv=2, scoring=multi, params=params)
        np.testing.assert_array_equal(
            alone["test_score"], same["test_weight_robustness"]
        )
        multi.set_score_request(sample_weight=False)
        with pytest.raises(TypeError, match="sample_weight"):
            cross_validate(estimator, X, y, cv=2, scoring=multi, params=params)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("smoothness", TypeError, r"\['smoothness'\]"),
        (["f1"], ValueError, "no scorer of sktopo"),
        (["smoothness", "smoothness"], ValueError, "smoothness"),
        ([len], TypeError, "make_"),
    ],
)
def test_multi_scorer_refuses(names, error, message):
    with pytest.raises(error, match=message):
        scorers.multi_scorer(names)


# ------------------------------------------------------------------ GridSearchCV


def search(estimator, n_jobs=1, **settings):
    return GridSearchCV(
        estimator,
        {"topo_loss": ["ws", "as"], "lam": [0, 3]},
        scoring=scorers.multi_scorer(NAMES),
        refit="accuracy",
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
        **settings,
    )


def test_search_is_the_same_in_workers(quick, digits):
    X, y = digits
    tables = []
    for n_jobs in (1, 2):
        table = pd.DataFrame(search(quick, n_jobs).fit(X[:300], y[:300]).cv_results_)
        tables.append(table.drop(columns=[c for c in table if "time" in c]))
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert tables[0].filter(like="test_").notna().all(axis=None)


def test_search_of_one_scorer_and_of_a_dict(quick, digits):
    X, y = digits
    quick.set_params(max_epochs=8)
    single = GridSearchCV(
        quick, {"lam": [0, 3]}, scoring=scorers.smoothness_scorer, cv=2
    ).fit(X[:300], y[:300])
    assert single.best_params_ == {"lam": 3}
    several = GridSearchCV(
        quick,
        {"lam": [0, 3]},
        scoring={"smooth": scorers.smoothness_scorer, "acc": "accuracy"},
        refit="smooth",
        cv=2,
    ).fit(X[:300], y[:300])
    np.testing.assert_array_equal(
        several.cv_results_["mean_test_smooth"], single.cv_results_["mean_test_score"]
    )


def test_search_without_refit_name_is_scikit_learns_own_error(quick, digits):
    X, y = digits
    multi = search(quick).set_params(refit=True)
    with pytest.raises(ValueError, match="refit"):
        multi.fit(X[:100], y[:100])
    with pytest.raises(ValueError, match="refit"):
        GridSearchCV(quick, {"lam": [0, 1]}, scoring=["accuracy", "f1_macro"]).fit(
            X[:100], y[:100]
        )


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_interrupting_a_fit_stops_the_search(quick, digits):
    X, y = digits
    stopped = search(quick.set_params(callbacks=[Interrupt()]))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X[:100], y[:100])
    assert not hasattr(stopped, "cv_results_")
