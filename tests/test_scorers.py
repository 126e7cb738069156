import inspect
import pickle
import pydoc

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    LearningCurveDisplay,
    RandomizedSearchCV,
    ValidationCurveDisplay,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from sktopo import ImageNoise, TopographicCNNClassifier, scorers
from sktopo._observed import ObservedNetwork
from sktopo.metrics import (
    expert_localization,
    expert_units,
    functional_localization,
    morans_i,
)
from sktopo.robustness import image_noise_curve, weight_noise_curve

NAMES = scorers.get_scorer_names()


@pytest.fixture(scope="module")
def held_out(digits):
    X, y = digits
    return X[1200:], y[1200:]


def test_names():
    assert sorted(NAMES) == NAMES
    assert {
        "expert_localization",
        "functional_localization",
        "image_robustness",
        "smoothness",
        "weight_robustness",
    } <= set(NAMES)
    for name in NAMES:
        ready = getattr(scorers, f"{name}_scorer")
        assert repr(ready) == repr(scorers.get_scorer(name))
        assert ready.name == name
        assert f"{name}_scorer" in scorers.__all__
    with pytest.raises(
        ValueError, match=r"'f1' is no scorer of sktopo.*sklearn"
    ) as error:
        scorers.get_scorer("f1")
    assert all(repr(name) in str(error.value) for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'f1_scorer'"):
        _ = scorers.f1_scorer


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
    run = ObservedNetwork.features
    monkeypatch.setattr(
        ObservedNetwork,
        "features",
        lambda self, X: calls.append(len(X)) or run(self, X),
    )
    monkeypatch.setattr(ObservedNetwork, "look", None)
    names = [name for name in NAMES if name != "image_robustness"]
    scorers.multi_scorer(names)(fitted, *held_out)
    assert calls == [len(held_out[1])]


def test_kinds_are_relative_to_clean(fitted, held_out):
    clean = fitted.score(*held_out)
    for make in (
        scorers.make_weight_robustness_scorer,
        scorers.make_image_robustness_scorer,
    ):
        accuracy, change, retained = (
            make(kind=k)(fitted, *held_out) for k in ("accuracy", "change", "retained")
        )
        assert change == pytest.approx(accuracy - clean)
        assert retained == pytest.approx(accuracy / clean)
        with pytest.raises(ValueError, match="'accuracy', 'change', 'retained'"):
            make(kind="ratio")


@pytest.mark.filterwarnings("ignore:.*none of the classes:UserWarning")
def test_retained_in_one_pass_and_undefined_without_accuracy(fitted, held_out):
    X, y = held_out
    makes = (
        scorers.make_weight_robustness_scorer,
        scorers.make_image_robustness_scorer,
    )
    multi = scorers.multi_scorer([make(kind="retained") for make in makes])
    whole = scorers.multi_scorer([make() for make in makes])(fitted, X, y)
    for name, value in multi(fitted, X, y).items():
        clean = whole["accuracy"] if name != "accuracy" else 1
        assert value == pytest.approx(whole[name] / clean)
    for name, value in multi(fitted, X, y + 100).items():
        assert value == 0 if name == "accuracy" else np.isnan(value)


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_a_scorer_does(name):
    make = scorers.SCORERS[name]
    for scorer in (
        getattr(scorers, f"{name}_scorer"),
        pickle.loads(pickle.dumps(make())),
    ):
        text = pydoc.render_doc(scorer, renderer=pydoc.plaintext)
        assert inspect.getdoc(make).splitlines()[0] in text
        assert make.__name__ in text
        assert "reater is better" in text or "owards 1" in text
        assert "Method resolution order" not in text
    own = scorers.TopographicScorer("own", len)
    assert own.__doc__ == scorers.TopographicScorer.__doc__


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


def search(estimator):
    return GridSearchCV(
        estimator,
        {"topo_loss": ["ws", "as"], "lam": [0, 3]},
        scoring=scorers.multi_scorer(NAMES),
        refit="accuracy",
        cv=2,
        error_score="raise",
    )


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


# ------------------------------------------------------------------ settings


MAKERS = {
    "sigmas": (
        scorers.make_weight_robustness_scorer,
        {"n_repeats": 1},
        [0.1, 0.5],
    ),
    "levels": (scorers.make_image_robustness_scorer, {"kinds": "white"}, [0.1, 0.5]),
    "kinds": (
        scorers.make_image_robustness_scorer,
        {"levels": 0.2},
        ["pink", "white"],
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_settings_are_taken_once(name, fitted, held_out):
    X, y = held_out[0][:100], held_out[1][:100]
    make, settings, values = MAKERS[name]
    plain = make(**{name: values}, **settings)
    expected = plain(fitted, X, y)
    for form in (
        iter(values),
        (value for value in values),
        set(values),
        np.array(values),
        pd.Series(values),
        [*values, values[0]],
        dict.fromkeys(values),
    ):
        scorer = make(**{name: form}, **settings)
        assert repr(scorer) == repr(plain)
        multi = scorers.multi_scorer(s for s in [scorer])
        for _ in range(2):  # the second score is as good as the first
            assert scorer(fitted, X, y) == expected
            assert multi(fitted, X, y)[scorer.name] == expected
        again = pickle.loads(pickle.dumps(scorer))
        assert clone(again, safe=False)(fitted, X, y) == expected
    values.append("changed afterwards")
    assert plain(fitted, X, y) == expected
    values.pop()


def test_thresholds_and_ranges_in_any_form(fitted, held_out):
    for make in (
        scorers.make_expert_localization_scorer,
        scorers.make_functional_localization_scorer,
    ):
        expected = make(0.3)(fitted, *held_out)
        for threshold in (0.1 + 0.2, np.float32(0.3), torch.tensor(0.3), np.array(0.3)):
            assert repr(make(threshold)) == repr(make(0.3))
            assert make(threshold)(fitted, *held_out) == expected
    make = scorers.make_image_robustness_scorer
    for value_range in (iter([0, 16]), torch.tensor([0.0, 16.0]), np.array([0, 16])):
        assert repr(make(value_range=value_range)) == repr(
            make(value_range=(0.0, 16.0))
        )


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        ("weight_robustness", {"sigmas": [-1]}),
        ("weight_robustness", {"sigmas": ()}),
        ("weight_robustness", {"scale": "max"}),
        ("weight_robustness", {"layers": 3}),
        ("weight_robustness", {"scale": np.array(["std", "absolute"])}),
        ("weight_robustness", {"layers": np.array(["head"])}),
        ("weight_robustness", {"n_repeats": 0}),
        ("weight_robustness", {"n_repeats": True}),
        ("weight_robustness", {"n_repeats": 1.5}),
        ("weight_robustness", {"kind": "ratio"}),
        ("weight_robustness", {"kind": np.array(["accuracy", "change"])}),
        ("weight_robustness", {"random_state": "seed"}),
        ("image_robustness", {"kinds": ["green"]}),
        ("image_robustness", {"levels": [np.nan]}),
        ("image_robustness", {"levels": [11]}),
        ("image_robustness", {"kind": "ratio"}),
        ("image_robustness", {"value_range": (1, 0)}),
        ("image_robustness", {"random_state": "seed"}),
        ("expert_localization", {"threshold": 1.5}),
        ("expert_localization", {"threshold": "high"}),
        ("functional_localization", {"threshold": np.nan}),
        ("functional_localization", {"threshold": [0.5]}),
        ("smoothness", {"neighborhood": "hexagonal"}),
        ("smoothness", {"neighborhood": ["moore"]}),
        ("smoothness", {"standardize": "no"}),
    ],
)
def test_settings_are_checked_at_the_edge(make, settings):
    with pytest.raises(ValueError, match=r"must|cannot|at most"):
        getattr(scorers, f"make_{make}_scorer")(**settings)


# ------------------------------------------------------------------ scikit-learn


def test_names_of_scorers(tmp_path):
    for name in scorers.get_scorer_names():
        assert scorers.get_scorer(name).__name__ == name
        assert pickle.loads(pickle.dumps(scorers.get_scorer(name))).__name__ == name
    assert scorers.multi_scorer(["smoothness"]).__name__ == "multi_scorer"


@pytest.fixture(scope="module")
def some(digits):
    X, y = digits
    return X.reshape(len(X), -1)[:120], y[:120] % 3


@pytest.mark.parametrize("name", NAMES)
def test_every_scorer_in_every_tool(name, quick, some):
    X, y = some
    scorer = scorers.get_scorer(name)
    quick.set_params(max_epochs=1)
    grid = {"lam": [0.0, 1.0]}
    # so many images that each class is there on each rung
    halving = {"factor": 2, "min_resources": 60, "random_state": 0, "cv": 2}
    searches = (
        GridSearchCV(quick, grid, scoring=scorer, cv=2),
        RandomizedSearchCV(quick, grid, n_iter=2, scoring=scorer, cv=2, random_state=0),
        HalvingGridSearchCV(quick, grid, scoring=scorer, **halving),
        HalvingRandomSearchCV(quick, grid, n_candidates=2, scoring=scorer, **halving),
    )
    for search in searches:
        search.set_params(error_score="raise").fit(X, y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert np.isfinite(search.score(X, y))
    scores = [
        cross_validate(quick, X, y, scoring=scorer, cv=2)["test_score"],
        cross_validate(quick, X, y, scoring={"a": scorer, "b": "accuracy"}, cv=2)[
            "test_a"
        ],
        cross_val_score(quick, X, y, scoring=scorer, cv=2),
        learning_curve(quick, X, y, train_sizes=[0.5], scoring=scorer, cv=2)[2],
        validation_curve(
            quick, X, y, param_name="lam", param_range=[0, 1], scoring=scorer, cv=2
        )[1],
    ]
    quick.fit(X[:, 18:22], y)
    for scoring in (scorer, scorers.multi_scorer([scorer])):
        found = permutation_importance(
            quick, X[:30, 18:22], y[:30], scoring=scoring, n_repeats=1, random_state=0
        )
        found = found if scoring is scorer else found[name]
        scores.append(found["importances"])
        assert found["importances"].shape == (4, 1)
    assert all(np.isfinite(score).all() for score in scores)


def test_displays_name_the_scorer(quick, some):
    matplotlib = pytest.importorskip("matplotlib")
    X, y = some
    quick.set_params(max_epochs=1)
    scorer = scorers.smoothness_scorer
    display = LearningCurveDisplay.from_estimator(
        quick, X, y, train_sizes=[0.5, 1.0], scoring=scorer, cv=2
    )
    assert display.ax_.get_ylabel().lower() == "smoothness"
    display = ValidationCurveDisplay.from_estimator(
        quick, X, y, param_name="lam", param_range=[0, 1], scoring=scorer, cv=2
    )
    assert display.ax_.get_ylabel().lower() == "smoothness"
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("refit", [True, False, "accuracy"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_halving_searches_are_told_that_they_take_one_score(refit, n_jobs, quick, some):
    multi = scorers.multi_scorer(["smoothness"])
    quick.set_params(max_epochs=1)
    rungs = {"cv": 2, "factor": 2, "min_resources": 60, "random_state": 0}
    searches = [HalvingGridSearchCV(quick, {"lam": [0, 1]}, **rungs)]
    if n_jobs == 1:
        other = HalvingRandomSearchCV(quick, {"lam": [0, 1]}, n_candidates=2, **rungs)
        searches.append(other)
    for search in searches:
        search.set_params(scoring=multi, refit=refit, n_jobs=n_jobs)
        with pytest.raises(ValueError, match=r"Halving\w+SearchCV takes one score"):
            search.fit(*some)


def test_several_scores_where_they_are_welcome(quick, some, fitted, held_out):
    quick.set_params(max_epochs=1)
    multi = scorers.multi_scorer(["smoothness", "functional_localization"])
    names = {"accuracy", "smoothness", "functional_localization"}
    found = cross_validate(quick, *some, scoring=multi, cv=2, return_train_score=True)
    assert {f"test_{name}" for name in names} < set(found)
    inner = GridSearchCV(
        quick, {"lam": [0, 1]}, cv=2, scoring=multi, refit="smoothness"
    )
    # a search inside a halving search may use several
    outer = HalvingGridSearchCV(
        inner, {"refit": ["accuracy", "smoothness"]}, cv=2, factor=2,
        min_resources=60, random_state=0, scoring=scorers.smoothness_scorer,
        error_score="raise",
    ).fit(*some)  # fmt: skip
    assert set(outer.best_estimator_.cv_results_) > {f"mean_test_{n}" for n in names}
    scores = multi(fitted, *held_out)
    assert isinstance(scores, dict)
    assert pickle.loads(pickle.dumps(scores)) == scores == dict(scores)
    assert set(scores) == names == set(scores.keys())


@pytest.mark.parametrize("name", [["smoothness"], scorers.smoothness_scorer, None, 1])
def test_get_scorer_takes_a_name(name):
    with pytest.raises(ValueError, match="no scorer of sktopo"):
        scorers.get_scorer(name)
