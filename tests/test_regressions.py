"""Odd inputs that once gave a wrong result, a leaked warning or an unclear error."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EarlyStopping, EpochScoring

from sktopo import ImageNoise, TopographicCNNClassifier, scorers
from sktopo.losses import WeightSimilarity
from sktopo.metrics import (
    average_precision,
    expert_localization,
    expert_units,
    functional_localization,
    morans_i,
    representational_similarity,
    rsm_similarity,
)
from sktopo.noise import add_noise
from sktopo.robustness import image_noise_curve, weight_noise_curve


@pytest.fixture
def small(quick, digits):
    X, y = digits
    return quick.fit(X[:200], y[:200])


def test_five_axes_are_refused_at_predict(small, digits):
    X = np.stack([digits[0]] * 2, axis=1)
    for method in (
        small.predict,
        small.transform,
        ImageNoise().fit(digits[0]).transform,
    ):
        with pytest.raises(ValueError, match="fitted on images of shape"):
            method(X)
    three = np.stack([digits[0][:, 0]] * 3, axis=1)[:50]
    rgb = TopographicCNNClassifier(max_epochs=1, random_state=0)
    rgb.fit(three, digits[1][:50])
    with pytest.raises(ValueError, match=r"use X\[None\]"):
        rgb.predict(three[0])


def test_frames_give_no_warning_about_names(quick, digits):
    X, y = digits
    frame = pd.DataFrame(X[:200].reshape(200, -1)).add_prefix("p")
    clf = quick.fit(frame, y[:200])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_frame = image_noise_curve(clf, frame, y[:200], random_state=0)
        scorers.multi_scorer(scorers.get_scorer_names())(clf, frame, y[:200])
        weight_noise_curve(clf, frame, y[:200], layers="all", n_repeats=1)
    by_array = image_noise_curve(quick.fit(X[:200], y[:200]), X[:200], y[:200],
                                 random_state=0)  # fmt: skip
    pd.testing.assert_frame_equal(by_frame, by_array)


def test_a_batch_may_lack_a_weighted_class(quick, digits):
    X, y = digits
    quick.set_params(class_weight={0: 5.0}, warm_start=True)
    quick.partial_fit(X[:300], y[:300], classes=range(10))
    rows = y[:300] != 0
    quick.partial_fit(X[:300][rows], y[:300][rows]).fit(X[:300][rows], y[:300][rows])
    with pytest.raises(ValueError, match="class_weight"):
        clone(quick).set_params(class_weight={11: 2.0}).fit(X[:300], y[:300])


@pytest.mark.parametrize("convert", [bool, np.float16, np.int8, float])
def test_curves_agree_with_score_on_the_kind_of_labels(convert, quick, digits):
    X, y = digits
    y = (y > 4).astype(int)
    clf = quick.set_params(max_epochs=4).fit(X[:400], y[:400])
    labels = y.astype(convert)
    curve = weight_noise_curve(clf, X, labels, [0], n_repeats=1)
    assert curve.attrs["clean_accuracy"] == clf.score(X, labels) > 0.6


@pytest.mark.parametrize("weight", [1e308, 1e-300])
def test_the_scale_of_weights_never_matters(weight, quick, digits):
    X, y = digits
    X, y = X[:200], y[:200]
    plain = clone(quick).fit(X, y).predict_proba(X)
    weights = np.full(200, weight)
    heavy = clone(quick).fit(X, y, sample_weight=weights)
    assert np.array_equal(heavy.predict_proba(X), plain)
    by_class = clone(quick).set_params(class_weight=dict.fromkeys(range(10), weight))
    assert np.array_equal(by_class.fit(X, y).predict_proba(X), plain)
    scorer = scorers.weight_robustness_scorer
    assert scorer(heavy, X, y, sample_weight=weights) == scorer(heavy, X, y)


def test_grid_follows_the_neighborhood(small, digits):
    X, y = digits
    small.set_params(warm_start=True, neighborhood="von_neumann").fit(X[:200], y[:200])
    assert small.grid_.neighborhood == "von_neumann"


@pytest.mark.parametrize("settings", [{"lr": 1e30}, {"optimizer": "sgd", "lr": 1e37}])
def test_no_fit_ends_with_a_model_that_cannot_answer(settings, quick, digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"no longer finite|overflowed"):
        quick.set_params(max_epochs=1, **settings).fit(X[:60], y[:60])
    with pytest.raises(NotFittedError):
        quick.predict(X)


def test_no_answer_for_images_that_overflow_the_model(small, digits):
    with pytest.raises(
        ValueError, match=r"too large .* trained on images from 0 to 16"
    ):
        small.predict(digits[0][:3].astype(np.float32) * 1e37)


def test_equivalent_settings_are_no_change_under_warm_start(small, digits):
    X, y = digits
    small.set_params(warm_start=True, grid_shape=[4, 5], image_shape=(8, 8))
    assert small.fit(X[:200], y[:200]).n_iter_ == 4
    with pytest.raises(ValueError, match="image_shape cannot change"):
        small.set_params(image_shape=(4, 16)).fit(X[:200], y[:200])


# ------------------------------------------------------------------ callables


class Unhashable:
    __hash__ = None

    def __call__(self, grid_shape, neighborhood="moore"):
        return WeightSimilarity(grid_shape, neighborhood=neighborhood)


class Columns:
    __hash__ = None

    def __call__(self, image_shape):
        return torch.nn.Flatten()


def test_any_callable_is_a_factory(quick, digits):
    X, y = digits
    quick.set_params(topo_loss=Unhashable(), backbone=Columns()).fit(X[:100], y[:100])
    assert quick.grid_weights_.shape == (20, 64)


class VectorLoss(torch.nn.Module):
    source = "weights"

    def __init__(self, grid_shape, neighborhood):
        super().__init__()

    def forward(self, x):
        return x.mean(dim=1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"topo_loss": WeightSimilarity((4, 5))}, TypeError, "give its class"),
        ({"topo_loss": lambda a: a}, TypeError, r"factory\(grid_shape, neighborhood"),
        ({"topo_loss": VectorLoss, "distance": "cosine"}, TypeError, "distance=..."),
        ({"topo_loss": VectorLoss}, ValueError, r"single number; .*gave shape \(20,\)"),
        ({"backbone": torch.nn.Flatten()}, TypeError, "Flatten instance"),
        ({"callbacks": ["x"]}, TypeError, "skorch callbacks.*'x'"),
        ({"device": "meta"}, ValueError, "not available"),
        (
            {"topo_loss": "as", "batch_size": 1},
            ValueError,
            "ActivationSimilarity cannot",
        ),
        (
            {"early_stopping": True, "validation_fraction": 0.01},
            ValueError,
            r"validation_fraction=0\.01",
        ),
    ],
)
def test_wrong_settings_are_explained(settings, error, message, quick, digits):
    X, y = digits
    with pytest.raises(error, match=message):
        quick.set_params(**settings).fit(X[:50], y[:50])
    assert not hasattr(quick, "net_")


def test_default_dtype_and_double_backbones(quick, digits):
    X, y = digits
    plain = clone(quick).fit(X[:100], y[:100]).predict_proba(X)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert clone(quick).fit(X[:100], y[:100]).predict_proba(X).dtype == np.float32
    finally:
        torch.set_default_dtype(before)
    quick.set_params(backbone=lambda shape: torch.nn.Flatten().double())
    assert quick.fit(X[:100], y[:100]).predict_proba(X).shape == plain.shape


def test_skorch_scoring_and_stopping_callbacks(quick, digits):
    X, y = digits
    quick.set_params(
        max_epochs=3,
        early_stopping=True,
        validation_fraction=0.3,
        callbacks=[
            EpochScoring("accuracy", on_train=True, name="train_acc"),
            EarlyStopping(patience=50),
        ],
    ).fit(X[:300], y[:300])
    assert len(quick.net_.history[:, "train_acc"]) == 3
    assert quick.net_.history[-1, "valid_loss"] > 0


def test_flat_channels_last_rows_are_doubted(rng, quick):
    X, y = rng.random((20, 48)), np.arange(20) % 2
    with pytest.warns(UserWarning, match="8 channels of 2 x 3 pixels"):
        quick.set_params(image_shape=(8, 2, 3)).fit(X, y)


def test_log_proba(small, digits):
    X, _ = digits
    np.testing.assert_allclose(
        np.exp(small.predict_log_proba(X)), small.predict_proba(X), rtol=1e-5
    )


# ------------------------------------------------------------------ noise and scorers


def test_noise_of_stacked_images_as_a_frame(quick, digits):
    X, y = digits
    pipe = make_pipeline(ImageNoise(random_state=0), quick)
    plain = pipe.fit(X[:200], y[:200]).predict_proba(X)
    pipe.set_output(transform="pandas")
    frame = pipe[:1].fit_transform(X[:200])
    assert frame.shape == (200, 64)
    pipe.fit(X[:200], y[:200])
    assert np.array_equal(pipe.predict_proba(X), plain)


def test_noise_does_not_depend_on_the_dtype(digits):
    X, _ = digits
    noise = ImageNoise("pink", random_state=0).fit(X)
    single, double = (noise.transform(X.astype(t)) for t in (np.float32, np.float64))
    np.testing.assert_allclose(single, double, atol=1e-4)


@pytest.mark.parametrize("exponent", [-40, 0, 20, 40, 300])
def test_pink_noise_of_any_exponent(exponent):
    images = np.full((3, 1, 28, 28), 0.5, dtype=np.float32)
    rng = np.random.default_rng(0)
    noisy = add_noise(
        images, "pink", 0.1, value_range=(0, 1), rng=rng, exponent=exponent
    )
    assert (noisy - 0.5).std() == pytest.approx(0.1, rel=0.05)


def test_salt_and_pepper_clips_as_the_other_noises_do(digits):
    noise = ImageNoise("salt_and_pepper", 0.3, value_range=(0, 1), random_state=0)
    assert noise.fit_transform(digits[0] * 1.0).max() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value_range": (1, 0)}, "smaller one first"),
        ({"value_range": (-1e300, 1e300)}, "within float32"),
        ({"value_range": ()}, "two finite numbers"),
        ({"exponent": np.nan}, "exponent"),
        ({"exponent": "a"}, "exponent"),
        ({"images": np.ones((8, 8))}, r"\(n, C, H, W\)"),
        ({"images": np.ones((1, 1, 8, 8)) * 1j}, "complex"),
    ],
)
def test_add_noise_checks_its_edge(change, message, rng):
    settings = {"images": np.ones((1, 1, 4, 4)), "value_range": (0, 1), "rng": rng}
    with pytest.raises(ValueError, match=message):
        add_noise(**{**settings, "kind": "pink", **change})


def test_value_range_as_an_array(small, digits):
    X, y = digits
    pair = image_noise_curve(small, X, y, "pink", [0.1], 0, value_range=(0, 16))
    array = image_noise_curve(
        small, X, y, "pink", [0.1], 0, value_range=np.array([0, 16])
    )
    pd.testing.assert_frame_equal(pair, array)


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (scorers.make_weight_robustness_scorer, {"sigmas": []}),
        (scorers.make_weight_robustness_scorer, {"sigmas": [1e39]}),
        (scorers.make_weight_robustness_scorer, {"layers": 3}),
        (scorers.make_weight_robustness_scorer, {"random_state": "a"}),
        (scorers.make_image_robustness_scorer, {"levels": []}),
        (scorers.make_image_robustness_scorer, {"kinds": []}),
        (scorers.make_image_robustness_scorer, {"value_range": (1, 0)}),
        (scorers.make_smoothness_scorer, {"neighborhood": "x"}),
        (scorers.make_expert_localization_scorer, {"threshold": 2}),
        (scorers.make_functional_localization_scorer, {"threshold": [0.1, 0.2]}),
    ],
)
def test_scorer_settings_are_checked_when_made(make, settings):
    with pytest.raises(ValueError):  # noqa: PT011
        make(**settings)


def test_scorers_equal_the_curves_of_the_same_seed(small, digits):
    X, y = digits
    for make, curve in (
        (scorers.make_weight_robustness_scorer, weight_noise_curve),
        (scorers.make_image_robustness_scorer, image_noise_curve),
    ):
        expected = curve(small, X, y, random_state=7)["accuracy"].mean()
        assert make(random_state=7)(small, X, y) == pytest.approx(expected, rel=1e-12)
    fresh = scorers.make_weight_robustness_scorer(random_state=None)
    assert fresh(small, X, y) != fresh(small, X, y)


# ------------------------------------------------------------------ metrics


def test_maps_that_differ_by_rounding_only_are_constant(rng):
    signal = rng.normal(size=20)
    A = signal[:, None] * rng.uniform(0.5, 2, 12) + rng.normal(size=12)
    assert np.isnan(morans_i(A.reshape(-1, 3, 4), standardize=True)).all()
    maps = rng.normal(size=(6, 4, 5))
    for standardize in (False, True):
        expected = morans_i(maps, standardize=standardize)
        for gain in (1e300, 1e-300):
            found = morans_i(maps * gain, standardize=standardize)
            np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("n_permutations", [-1, 1.5, "9"])
def test_number_of_permutations_is_checked(n_permutations, rng):
    calls = [
        lambda n: morans_i(rng.normal(size=(2, 3, 4)), n_permutations=n),
        lambda n: functional_localization(
            rng.normal(size=(9, 12)), (3, 4), n_permutations=n
        ),
        lambda n: expert_localization(np.ones((12, 2), bool), (3, 4), n_permutations=n),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="n_permutations must be an integer of 0"):
            call(n_permutations)


@pytest.mark.parametrize(
    "y", [None, [0, 1, np.nan], np.array([0, "a", None], dtype=object)]
)
def test_missing_or_mixed_labels(y, rng):
    with pytest.raises(ValueError, match=r"missing labels|y is None"):
        average_precision(rng.normal(size=(3, 2)), y)


def test_a_constant_unit_is_never_an_expert():
    """Its average precision is its prevalence, whatever rounding makes of it."""
    for n in range(2, 60):
        for positives in range(1, n):
            y = np.arange(n) < positives
            experts = expert_units(np.zeros((n, 1)), y, positives / n, classes=[True])
            assert not experts.any(), (positives, n)


def test_similarities_of_rounding_size_are_none(rng):
    basis, _ = np.linalg.qr(rng.normal(size=(9, 5)))
    R = representational_similarity(basis.T)
    assert np.isnan(rsm_similarity(R, R))
