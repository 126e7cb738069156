import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktopo import GridActivations, ImageNoise, TopographicCNNClassifier


def test_responses_are_those_of_the_classifier(quick, digits):
    X, y = digits
    clf = clone(quick).fit(X[:200], y[:200])
    before = GridActivations(quick).fit(X[:200], y[:200])
    after = GridActivations(quick, response="post_relu").fit(X[:200], y[:200])
    assert np.array_equal(before.transform(X), clf.transform(X))
    assert np.array_equal(after.transform(X), np.maximum(clf.transform(X), 0))
    assert not hasattr(quick, "net_")  # a clone was fitted
    assert before.n_features_in_ == 64
    assert before.get_feature_names_out()[7] == "grid_1_2"


def test_frozen_model_is_not_fitted_again(fitted, digits):
    X, y = digits
    pipe = make_pipeline(
        GridActivations(FrozenEstimator(fitted)), LogisticRegression(max_iter=2000)
    )
    pipe.fit(X[:1200], y[:1200])
    assert pipe[0].estimator_.estimator is fitted
    assert np.array_equal(pipe[:1].transform(X[:5]), fitted.transform(X[:5]))
    assert pipe.score(X[1200:], y[1200:]) > 0.9


def test_pandas_output(fitted, digits):
    X, y = digits
    transformer = GridActivations(FrozenEstimator(fitted), response="post_relu")
    frame = transformer.set_output(transform="pandas").fit(X, y).transform(X[:4])
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns[0] == "grid_0_0"
    assert (frame >= 0).all(axis=None)


def test_parameters_of_the_network_are_searched_through_the_pipeline(quick, digits):
    X, y = digits
    pipe = make_pipeline(GridActivations(quick), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipe, {"gridactivations__estimator__lam": [0, 1]}, cv=2)
    search.fit(X[:200], y[:200])
    assert search.best_estimator_.score(X[:200], y[:200]) > 0.5


def test_sample_weight_without_routing(quick, digits):
    X, y = digits
    weights = np.linspace(0.1, 2, 200)
    transformer = GridActivations(quick).fit(X[:200], y[:200], sample_weight=weights)
    direct = clone(quick).fit(X[:200], y[:200], sample_weight=weights)
    assert np.array_equal(transformer.transform(X), direct.transform(X))


def test_metadata_routing(quick, digits):
    X, y = digits
    X, y, weights = X[:200], y[:200], np.linspace(0.1, 2, 200)
    direct = clone(quick).fit(X, y, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        asking = clone(quick).set_fit_request(sample_weight=True)
        pipe = make_pipeline(
            GridActivations(asking),
            LogisticRegression(max_iter=2000).set_fit_request(sample_weight=False),
        )
        pipe.fit(X, y, sample_weight=weights)
        assert np.array_equal(pipe[0].transform(X), direct.transform(X))
        plain = GridActivations(asking).fit(X, y)
        assert not np.array_equal(plain.transform(X), direct.transform(X))
        with pytest.raises(UnsetMetadataPassedError):
            GridActivations(clone(quick)).fit(X, y, sample_weight=weights)


def test_grid_activations_refuse_what_cannot_work(fitted, digits):
    X, y = digits
    with pytest.raises(NotFittedError):
        GridActivations(fitted).transform(X)
    with pytest.raises(ValueError, match="post_relu"):
        GridActivations(fitted, response="relu").fit(X, y)
    with pytest.raises(ValueError, match="estimator"):
        GridActivations(LogisticRegression()).fit(X, y)


# ------------------------------------------------------------------ ImageNoise


@pytest.mark.parametrize("kind", ["white", "pink", "salt_and_pepper"])
def test_noise_belongs_to_the_image_and_the_seed(kind, digits):
    X, _ = digits
    noise = ImageNoise(kind, 0.3, random_state=0).fit(X)
    noisy = noise.transform(X)
    assert noise.value_range_ == (0.0, 16.0)
    assert noisy.dtype == np.float32
    assert not np.array_equal(noisy, X)
    assert noisy.min() >= 0
    assert noisy.max() <= 16
    assert np.array_equal(noise.transform(X), noisy)
    assert np.array_equal(noise.transform(X[::-1])[::-1], noisy)
    assert np.array_equal(noise.transform(X[7:9]), noisy[7:9])
    other = clone(noise).set_params(random_state=1).fit(X)
    assert not np.array_equal(other.transform(X), noisy)


def test_noise_differs_between_images():
    X = np.repeat(np.linspace(0.4, 0.6, 50), 64).reshape(50, 1, 8, 8)
    noise = ImageNoise("white", 0.05, value_range=(0, 1), random_state=0).fit(X)
    fields = (noise.transform(X) - X).reshape(50, -1)
    r = np.corrcoef(fields)[np.triu_indices(50, k=1)]
    assert np.abs(r).max() < 0.6


def test_without_a_seed_each_call_draws_anew(digits):
    X, _ = digits
    noise = ImageNoise("white", 0.3).fit(X)
    assert not np.array_equal(noise.transform(X), noise.transform(X))
    stream = ImageNoise(random_state=np.random.RandomState(0)).fit(X)
    assert not np.array_equal(stream.transform(X), stream.transform(X))


def test_noise_keeps_the_form_of_the_images(digits):
    X, _ = digits
    X = X[:5]
    forms = [X, X[:, 0], X.reshape(5, -1), X.astype(float), torch.from_numpy(X.copy())]
    for form in forms:
        noisy = ImageNoise(random_state=0, value_range=(0, 16)).fit_transform(form)
        assert noisy.shape == tuple(form.shape)
    frame = pd.DataFrame(X.reshape(5, -1), columns=[f"p{i}" for i in range(64)])
    out = ImageNoise(random_state=0).set_output(transform="pandas").fit_transform(frame)
    assert out.columns.tolist() == frame.columns.tolist()


def test_noise_in_front_of_a_network(quick, digits):
    X, y = digits
    pipe = make_pipeline(ImageNoise(level=0.2, random_state=0), quick)
    pipe.set_params(topographiccnnclassifier__max_epochs=6).fit(X[:900], y[:900])
    assert pipe.score(X[900:], y[900:]) > 0.5
    assert isinstance(pipe[-1], TopographicCNNClassifier)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "green"}, "kind"),
        ({"level": -1}, "level"),
        ({"value_range": (1, 0)}, "smaller one first"),
        ({"value_range": (0, 1, 2)}, "two finite numbers"),
        ({"image_shape": (5, 5)}, "does not hold images"),
    ],
)
def test_noise_refuses_bad_settings(settings, message, digits):
    X, _ = digits
    with pytest.raises(ValueError, match=message):
        ImageNoise(**settings).fit(X)
