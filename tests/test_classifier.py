import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    LoadInitState,
    LRScheduler,
)
from torch import nn

from sktopo import TopographicCNNClassifier
from sktopo.losses import ActivationSimilarity, WeightSimilarity
from sktopo.metrics import morans_i


def flat(image_shape):
    return nn.Flatten()


def same(first, second, X):
    return np.array_equal(first.predict_proba(X), second.predict_proba(X))


# ------------------------------------------------------------------ what it learns


def test_defaults_learn_digits_and_a_smooth_map(digits):
    X, y = digits
    clf = TopographicCNNClassifier(random_state=0).fit(X[:320], y[:320])
    control = clone(clf).set_params(topo_loss=None).fit(X[:320], y[:320])
    assert clf.n_iter_ == control.n_iter_ == 100  # of 5 steps
    assert clf.score(X[1200:], y[1200:]) > 0.9
    assert control.score(X[1200:], y[1200:]) > 0.9
    smooth = morans_i(clf.activation_maps(X[1200:])).mean()
    rough = morans_i(control.activation_maps(X[1200:])).mean()
    assert smooth > 0.2
    assert abs(rough) < 0.15


def test_the_papers_network_learns_digits_and_a_smooth_map(digits):
    X, y = digits
    clf = TopographicCNNClassifier(
        lam=0.3, backbone="small", max_epochs=6, lr=3e-3, random_state=0
    )
    clf.fit(X[:1200], y[:1200])
    assert clf.score(X[1200:], y[1200:]) > 0.85
    assert morans_i(clf.activation_maps(X[1200:])).mean() > 0.15


@pytest.mark.parametrize("batch_size", [64, 300])
def test_auto_epochs_count_the_images_that_are_trained_on(
    batch_size, quick, digits, count_steps
):
    X, y = digits
    count, steps = count_steps
    quick.set_params(max_epochs="auto", batch_size=batch_size, backbone=flat)
    quick.set_params(callbacks=[count]).fit(X[:1700], y[:1700])
    wanted = {64: 75, 300: 100}[batch_size]
    assert quick.n_iter_ == wanted
    assert steps == [wanted * {64: 27, 300: 6}[batch_size]]


def test_auto_epochs_do_not_count_images_that_are_held_out(quick, digits, monkeypatch):
    X, y = digits
    monkeypatch.setattr("sktopo._training.data.AUTO_STEPS", 480)
    quick.set_params(max_epochs="auto", early_stopping=True, n_iter_no_change=200)
    quick.set_params(backbone=flat).fit(X[:1700], y[:1700])
    assert len(quick.history_) == quick.n_iter_ == 20  # of 24 steps: 170 held out


def test_candidates_of_a_search_take_the_same_number_of_steps(
    quick, digits, count_steps, monkeypatch
):
    X, y = digits
    count, counted = count_steps
    monkeypatch.setattr("sktopo._training.data.AUTO_STEPS", 200)
    quick.set_params(max_epochs="auto", backbone=flat, callbacks=[count])
    one_split = ShuffleSplit(1, test_size=0.3, random_state=0)
    grid = {"lam": [0, 0.3], "topo_loss": ["ws", "as"]}
    GridSearchCV(quick, grid, cv=one_split).fit(X[:500], y[:500])
    assert len(counted) == 4 + 1
    assert len(set(counted)) == 2  # the refit has more images, about as many steps
    assert all(190 <= n <= 210 for n in counted)


@pytest.mark.parametrize("topo_loss", ["ws", "as", "as_untransposed"])
def test_each_loss_falls_under_training(topo_loss, quick, digits):
    X, y = digits
    quick.set_params(topo_loss=topo_loss, lam=3.0, max_epochs=4)
    history = quick.fit(X[:600], y[:600]).history_
    assert history["topo_loss"].iloc[-1] < history["topo_loss"].iloc[0]


def test_lam_zero_is_the_control(quick, digits):
    X, y = digits
    quick.set_params(lam=0).fit(X[:300], y[:300])
    control = clone(quick).set_params(topo_loss=None, lam=1.0).fit(X[:300], y[:300])
    assert same(quick, control, X)
    assert quick.history_["topo_loss"].isna().all()


@pytest.mark.parametrize(
    "factory",
    [
        WeightSimilarity,
        partial(ActivationSimilarity, layout="untransposed"),
        partial(WeightSimilarity, distance="cosine"),
    ],
)
def test_a_loss_factory_is_searched_like_any_parameter(factory, quick, digits):
    X, y = digits
    quick.set_params(topo_loss=factory).fit(X[:200], y[:200])
    cloned = clone(quick).topo_loss
    assert getattr(cloned, "func", cloned) == getattr(factory, "func", factory)
    assert getattr(cloned, "keywords", {}) == getattr(factory, "keywords", {})
    assert same(pickle.loads(pickle.dumps(quick)), quick, X[:9])


def test_named_losses_are_their_classes(quick, digits):
    X, y = digits
    pairs = [
        ("ws", WeightSimilarity),
        ("as", ActivationSimilarity),
        ("as_untransposed", partial(ActivationSimilarity, layout="untransposed")),
    ]
    for name, factory in pairs:
        by_name = clone(quick).set_params(topo_loss=name).fit(X[:200], y[:200])
        by_class = clone(quick).set_params(topo_loss=factory).fit(X[:200], y[:200])
        assert same(by_name, by_class, X)


def test_distance_and_neighborhood_reach_the_loss(quick, digits):
    X, y = digits
    quick.set_params(distance="squared_correlation", neighborhood="von_neumann")
    loss = quick.fit(X[:100], y[:100]).net_.criterion_.topo_loss
    assert (loss.distance, loss.grid.neighborhood) == (
        "squared_correlation",
        "von_neumann",
    )
    assert quick.grid_.neighborhood == "von_neumann"


def test_a_factory_without_source_is_refused(quick, digits):
    X, y = digits
    with pytest.raises(TypeError, match="`source` is 'weights' or 'activations'"):
        quick.set_params(topo_loss=lambda shape, neighborhood: nn.Identity()).fit(X, y)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_optimizers_and_precisions_learn(optimizer, precision, quick, digits):
    X, y = digits
    lr = 0.05 if optimizer == "sgd" else 3e-3
    quick.set_params(optimizer=optimizer, precision=precision, lr=lr)
    quick.set_params(dropout=0, max_epochs=6)
    history = quick.fit(X[:300], y[:300]).history_
    assert history["task_loss"].iloc[-1] < 0.9 * history["task_loss"].iloc[0]
    assert all(p.dtype == torch.float32 for p in quick.module_.parameters())
    assert quick.transform(X[:2]).dtype == np.float32


@pytest.mark.parametrize(
    "optimizer", [torch.optim.NAdam, partial(torch.optim.SGD, momentum=0.5)]
)
def test_optimizers_of_torch(optimizer, quick, digits):
    X, y = digits
    quick.set_params(optimizer=optimizer, lr=0.02, weight_decay=0.1, max_epochs=4)
    history = quick.fit(X[:300], y[:300]).history_
    assert history["task_loss"].iloc[-1] < history["task_loss"].iloc[0]
    found = quick.net_.optimizer_
    assert type(found) is getattr(optimizer, "func", optimizer)
    assert found.param_groups[0]["weight_decay"] == 0.1
    assert found.param_groups[0].get("momentum", 0.5) == 0.5


def test_what_is_no_optimizer(quick, digits):
    X, y = digits[0][:50], digits[1][:50]
    for wrong in (nn.Linear, lambda parameters: None):
        with pytest.raises(TypeError, match=r"'sgd'\], a subclass of torch.optim"):
            quick.set_params(optimizer=wrong).fit(X, y)


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        (partial(torch.optim.SGD, lr=0.1), ValueError, "gives lr, .* Set lr=0.1 there"),
        (partial(torch.optim.SGD, weight_decay=1e-2), ValueError, "weight_decay=0.01"),
        (torch.optim.LBFGS, TypeError, "computes the loss several times a step"),
    ],
)
def test_what_no_optimizer_is_given(optimizer, error, message, quick, digits):
    with pytest.raises(error, match=message):
        quick.set_params(optimizer=optimizer).fit(digits[0][:50], digits[1][:50])


@pytest.mark.parametrize("settings", [{"fused": False}, {"foreach": True}])
def test_an_optimizer_need_not_be_fused(settings, quick, digits):
    quick.set_params(optimizer=partial(torch.optim.Adam, **settings), max_epochs=1)
    quick.fit(digits[0][:50], digits[1][:50])
    (group,) = quick.net_.optimizer_.param_groups
    assert not group["fused"]
    assert group["foreach"] == settings.get("foreach")


def test_a_warm_start_that_fails_at_once_changes_nothing(quick, digits):
    X, y = digits[0][:100], digits[1][:100]
    quick.set_params(warm_start=True, early_stopping=True, max_epochs=1).fit(X, y)
    grid, best = quick.grid_, quick.best_epoch_
    quick.set_params(wrap=True)
    for wrong in ({"topo_layers": "none"}, {"topo_layers": None, "lr": 1e30}):
        with pytest.raises(ValueError, match=r"is no layer|finite"):
            quick.set_params(**wrong).fit(X, y)
        assert (quick.grid_, quick.best_epoch_) == (grid, best)


class Plain(torch.optim.Optimizer):
    """An optimizer without weight decay."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad
        return loss


def test_weight_decay_needs_an_optimizer_that_has_it(quick, digits):
    X, y = digits[0][:100], digits[1][:100]
    history = quick.set_params(optimizer=Plain, lr=0.1).fit(X, y).history_
    assert history["loss"].is_monotonic_decreasing
    with pytest.raises(ValueError, match="Plain has no weight decay"):
        quick.set_params(weight_decay=0.1).fit(X, y)


def test_loss_is_task_plus_lam_times_topo(fitted):
    history = fitted.history_
    expected = history["task_loss"] + fitted.lam * history["topo_loss"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    assert history.columns.tolist() == [
        "epoch",
        "loss",
        "task_loss",
        "topo_loss",
        "train_batch_count",
        "duration",
        "lam",
    ]
    np.testing.assert_allclose(history["lam"], fitted.lam)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert fitted.n_iter_ == 6


def test_fitted_attributes(fitted, digits):
    X, _ = digits
    assert fitted.classes_.tolist() == list(range(10))
    assert fitted.n_features_in_ == 64
    assert fitted.image_shape_ == (1, 8, 8)
    assert fitted.pixel_range_ == (0.0, 16.0)
    assert fitted.grid_.shape == (11, 11)
    assert fitted.grid_weights_.shape == (121, 64 * 4)
    assert fitted.readout_weights_.shape == (10, 121)
    weights = fitted.grid_weights_
    weights[:] = 0  # a copy
    assert fitted.grid_weights_.any()
    logits = fitted.module_(torch.from_numpy(X[:50].copy()))
    np.testing.assert_allclose(
        logits.detach(), fitted.decision_function(X[:50]), atol=1e-4
    )
    names = fitted.get_feature_names_out()
    assert (names[0], names[12], names[120]) == ("grid_0_0", "grid_1_1", "grid_10_10")


def test_outputs_belong_together(fitted, digits):
    X, _ = digits
    X = X[:40]
    logits, proba = fitted.decision_function(X), fitted.predict_proba(X)
    assert logits.dtype == proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        proba, torch.softmax(torch.from_numpy(logits), 1), rtol=1e-4
    )
    assert (fitted.predict(X) == fitted.classes_[logits.argmax(axis=1)]).all()
    activations = fitted.transform(X)
    assert np.array_equal(fitted.activation_maps(X), activations.reshape(-1, 11, 11))
    module = fitted.module_
    readout = module.readout(torch.from_numpy(activations).clamp(min=0)).detach()
    np.testing.assert_allclose(readout, logits, atol=1e-4)


def test_results_do_not_depend_on_the_batch(fitted, digits):
    X, _ = digits
    whole = fitted.decision_function(X[:70])
    assert np.array_equal(fitted.decision_function(X[:70][::-1])[::-1], whole)
    for rows in (slice(0, 1), slice(5, 7), slice(3, 40)):
        assert np.array_equal(fitted.decision_function(X[rows]), whole[rows])


def test_binary_decision_is_the_difference_of_logits(quick, digits):
    X, y = digits
    rows = y < 2
    quick.fit(X[rows], y[rows])
    logits = quick.module_(torch.from_numpy(X[rows])).detach().numpy()
    decision = quick.decision_function(X[rows])
    assert decision.shape == (rows.sum(),)
    np.testing.assert_allclose(decision, logits[:, 1] - logits[:, 0], atol=1e-4)
    assert np.array_equal(quick.predict(X[rows]), (decision > 0).astype(int))


# ------------------------------------------------------------------ seeds and state


def test_same_seed_same_bits_and_global_states_untouched(quick, digits):
    X, y = digits
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    first = clone(quick).fit(X[:300], y[:300])
    second = clone(quick).fit(X[:300], y[:300])
    assert same(first, second, X)
    again = first.fit(X[:300], y[:300])
    assert same(again, second, X)
    other = clone(quick).set_params(random_state=1).fit(X[:300], y[:300])
    assert not same(other, second, X)
    unseeded = clone(quick).set_params(random_state=None)
    assert not same(unseeded.fit(X[:300], y[:300]), clone(unseeded).fit(X, y), X)
    assert torch.equal(torch.get_rng_state(), torch_state)
    for before, after in zip(numpy_state, np.random.get_state()):  # noqa: NPY002
        assert np.array_equal(before, after)
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator here")
def test_accelerator(quick, digits):
    X, y = digits
    quick.set_params(device="auto", max_epochs=8).fit(X[:900], y[:900])
    assert next(quick.module_.parameters()).device.type != "cpu"
    assert quick.score(X[900:], y[900:]) > 0.5
    assert same(pickle.loads(pickle.dumps(quick)), quick, X)
    quick.partial_fit(X[:900], y[:900])


def test_random_state_instance(quick, digits):
    X, y = digits
    fits = [
        clone(quick)
        .set_params(random_state=np.random.RandomState(seed))
        .fit(X[:200], y[:200])
        for seed in (0, 0, 1)
    ]
    assert same(fits[0], fits[1], X)
    assert not same(fits[0], fits[2], X)


def test_conditions_share_initialisation_and_order(digits):
    X, y = digits
    weights = []
    for topo_loss in (None, "ws", "as"):
        clf = TopographicCNNClassifier(
            topo_loss, max_epochs=1, lr=1e-12, random_state=0
        )
        clf.fit(X[:64], y[:64])
        weights.append(clf.grid_weights_)
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-9)
    np.testing.assert_allclose(weights[0], weights[2], atol=1e-9)


def test_module_can_be_exported_for_any_number_of_images(fitted, digits):
    X, _ = digits
    free = ({0: torch.export.Dim("n")},)
    program = torch.export.export(
        fitted.module_, (torch.zeros(9, 1, 8, 8),), dynamic_shapes=free
    ).module()
    for n in (1, 9, 20):
        logits = program(torch.from_numpy(X[:n].copy()).float()).detach()
        np.testing.assert_allclose(logits, fitted.decision_function(X[:n]), atol=1e-4)


def test_clone_is_unfitted(fitted, digits):
    X, _ = digits
    unfitted = clone(fitted)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        with pytest.raises(NotFittedError):
            getattr(unfitted, method)(X)
    for name in ("module_", "grid_weights_", "history_", "n_iter_"):
        assert not hasattr(unfitted, name)


# ------------------------------------------------------------------ forms of images


def test_forms_of_one_image_set_agree(quick, digits, tmp_path):
    X, y = digits
    X, y = X[:200], y[:200]
    path = tmp_path / "images.npy"
    np.save(path, X)
    names = [f"pixel{i}" for i in range(64)]
    forms = {
        "four axes": X,
        "three axes": X[:, 0],
        "flat": X.reshape(len(X), -1),
        "float32": X.astype(np.float32),
        "float64": X.astype(np.float64),
        "big-endian": X.astype(">f8"),
        "int64": X.astype(np.int64),
        "object": X.reshape(len(X), -1).astype(object),
        "memmap": np.load(path, mmap_mode="r"),
        "Fortran order": np.asfortranarray(X),
        "tensor": torch.from_numpy(X.copy()),
        "float tensor": torch.from_numpy(X.copy()).float().requires_grad_(),
        "list": X.reshape(len(X), -1).tolist(),
        "DataFrame": pd.DataFrame(X.reshape(len(X), -1), columns=names),
    }
    reference = clone(quick).fit(X, y).predict_proba(X)
    for name, form in forms.items():
        clf = clone(quick).fit(form, y)
        assert np.array_equal(clf.predict_proba(form), reference), name
        assert clf.image_shape_ == (1, 8, 8)
        assert hasattr(clf, "feature_names_in_") == (name == "DataFrame")
    mixed = clone(quick).fit(X, y)
    for name in ("three axes", "flat", "float64", "tensor", "list"):
        assert np.array_equal(mixed.predict_proba(forms[name]), reference), name


def test_dataframe_names(quick, digits):
    X, y = digits
    frame = pd.DataFrame(
        X.reshape(len(X), -1)[:200], columns=[f"p{i}" for i in range(64)]
    )
    quick.fit(frame, pd.Series(y[:200]))
    assert quick.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.warns(UserWarning, match="valid feature names"):
        quick.predict(frame.to_numpy())
    with pytest.raises(ValueError, match="feature names"):
        quick.predict(frame.rename(columns={"p0": "q0"}))


@pytest.mark.parametrize(
    ("shape", "n_features", "image_shape"),
    [
        ((3, 32, 32), 64 * 49, (3, 32, 32)),
        ((3, 96, 96), 256, (3, 96, 96)),
        ((64, 48), 256, (1, 64, 48)),
        ((1, 8, 8), 64 * 4, (1, 8, 8)),
        ((1, 9), 64 * 2, (1, 1, 9)),
        ((3, 1, 1), 64, (3, 1, 1)),
        ((1, 1), 64, (1, 1, 1)),
        ((2, 5, 4), 64, (2, 5, 4)),
    ],
)
def test_image_shapes_train(shape, n_features, image_shape, rng):
    n = 70 if max(shape) < 64 else 20
    X = rng.random((n, *shape), dtype=np.float32)
    y = np.arange(n) % 2
    X[y == 1] += 1
    clf = TopographicCNNClassifier(lam=0.1, max_epochs=15, lr=5e-3, random_state=0)
    clf.fit(X, y)
    assert clf.image_shape_ == image_shape
    assert clf.grid_weights_.shape[1] == n_features
    assert clf.score(X, y) > 0.8


def test_flat_rows_are_read_as_squares_or_strips(quick, rng):
    y = np.arange(20) % 2
    X = rng.random((20, 12)) + y[:, None]
    assert clone(quick).fit(X, y).image_shape_ == (3, 2, 2)
    given = clone(quick).set_params(image_shape=(4, 3)).fit(X, y)
    assert given.image_shape_ == (1, 4, 3)
    given = clone(quick).set_params(image_shape=[2, 3, 2]).fit(X, y)
    assert given.image_shape_ == (2, 3, 2)
    with pytest.warns(UserWarning, match=r"1 x 10 pixels.*image_shape="):
        strip = clone(quick).fit(X[:, :10], y)
    assert strip.image_shape_ == (1, 1, 10)


def test_callable_backbone_with_lazy_layers(quick, digits):
    X, y = digits

    def backbone(shape):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(20), nn.ReLU())

    quick.set_params(backbone=backbone, max_epochs=4).fit(X[:600], y[:600])
    assert quick.grid_weights_.shape == (20, 20)
    assert quick.score(X[:600], y[:600]) > 0.5


def test_standardisation_is_of_the_training_images(digits):
    X, y = digits
    X = np.concatenate([X, X * 3 + 5], axis=1).astype(float)
    X[:, 1, :, :] = 7.0
    clf = TopographicCNNClassifier(max_epochs=1, random_state=0)
    clf.fit(X[:300], y[:300])
    mean, std = clf.module_.mean.ravel(), clf.module_.std.ravel()
    np.testing.assert_allclose(mean, X[:300].mean(axis=(0, 2, 3)), rtol=1e-6)
    assert std[0].item() == pytest.approx(X[:300, 0].std(), rel=1e-6)
    assert std[1] == 1
    clf.set_params(standardize=False).fit(X[:300], y[:300])
    assert clf.module_.mean.tolist() == [[[0.0]], [[0.0]]]


def test_x_is_never_changed(quick, digits):
    X, y = digits
    X = X[:100].astype(float)
    before = X.copy()
    quick.fit(X, y[:100]).predict(X)
    assert np.array_equal(X, before)


# ------------------------------------------------------------------ labels and weights


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: np.array([f"digit {v}" for v in y]),
        lambda y: np.array([f"digit {v}" for v in y], dtype=object),
        lambda y: y.astype(np.int16),
        lambda y: y.astype(np.int32),
        lambda y: y.astype(np.uint8) * 20 + 3,
        lambda y: y > 4,
        lambda y: y.astype(float),
        lambda y: torch.from_numpy(y),
        lambda y: y.tolist(),
        lambda y: pd.Series(y, dtype="category"),
    ],
    ids=[
        "str",
        "object",
        "int16",
        "int32",
        "gaps",
        "bool",
        "float",
        "tensor",
        "list",
        "category",
    ],
)
def test_labels_of_any_kind(convert, quick, digits):
    X, y = digits
    labels = convert(y[:400])
    quick.set_params(backbone=flat, max_epochs=14, lr=0.01, dropout=0)
    quick.fit(X[:400], labels)
    expected = np.asarray(labels)
    predicted = quick.predict(X[:400])
    assert set(np.unique(predicted)) <= set(np.unique(expected))
    assert np.mean(predicted == expected) > 0.6


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(20), r"at least two classes.*1 class\(es\): \[0.0\]"),
        (np.array(["only"] * 20), "at least two classes.*only"),
        (np.linspace(0, 1, 20), "continuous"),
        (np.arange(19) % 2, "inconsistent numbers of samples"),
        (np.array([np.nan] + [1.0] * 19), "NaN"),
        (None, "requires y to be passed"),
    ],
)
def test_bad_labels(y, message, quick, digits):
    X, _ = digits
    with pytest.raises(ValueError, match=message):
        quick.fit(X[:20], y)
    with pytest.raises(NotFittedError):
        quick.predict(X)


def test_column_vector_of_labels_warns(quick, digits):
    X, y = digits
    with pytest.warns(UserWarning, match="column-vector"):
        quick.fit(X[:50], y[:50, None])


def test_weights_are_relative(quick, digits):
    X, y = digits
    X, y = X[:200], y[:200]
    plain = clone(quick).fit(X, y)
    assert same(plain, clone(quick).fit(X, y, sample_weight=np.full(200, 7.0)), X)
    weights = np.linspace(0.1, 2, 200)
    weighted = clone(quick).fit(X, y, sample_weight=weights)
    assert same(weighted, clone(quick).fit(X, y, sample_weight=weights * 4), X)
    assert not same(weighted, plain, X)


def test_loss_of_a_batch_is_the_mean_of_weighted_cross_entropy(digits):
    X, y = digits
    X, y = X[:30], y[:30] % 3
    weights = np.linspace(0, 2, 30)
    clf = TopographicCNNClassifier(
        None, backbone="small", max_epochs=1, lr=1e-12, dropout=0, random_state=0,
        class_weight={0: 2.0, 1: 1.0, 2: 0.5},
    )  # fmt: skip
    clf.fit(X, y, sample_weight=weights)
    w = weights * np.array([2.0, 1.0, 0.5])[y]
    cross_entropy = -np.log(clf.predict_proba(X)[np.arange(30), y])
    expected = np.mean(w / w.mean() * cross_entropy)
    assert clf.history_["task_loss"].item() == pytest.approx(expected, rel=1e-5)


def test_balanced_equals_explicit_class_weights(quick, digits):
    X, y = digits
    X, y = X[:200], (y[:200] == 3).astype(int)
    balanced = clone(quick).set_params(class_weight="balanced").fit(X, y)
    explicit = dict(enumerate(len(y) / (2 * np.bincount(y))))
    assert same(balanced, clone(quick).set_params(class_weight=explicit).fit(X, y), X)


@pytest.mark.parametrize(
    ("settings", "weights", "message"),
    [
        ({}, (0, 0), "at least (two classes|one non-zero)"),
        ({}, (1, 0), r"at least two classes.*1 class\(es\): \['a'\]"),
        ({"class_weight": {"a": 0}}, (1, 1), r"1 class\(es\): \['b'\]"),
        ({"class_weight": {"a": -1}}, (1, 1), "at least 0"),
        ({}, (1, -1), "[Nn]egative"),
        ({}, (1, np.nan), "NaN"),
    ],
)
def test_bad_weights(settings, weights, message, quick, digits):
    X, _ = digits
    y = np.array(["a", "b"])[np.arange(20) % 2]
    with pytest.raises(ValueError, match=message):
        quick.set_params(**settings).fit(
            X[:20], y, sample_weight=np.array(weights)[np.arange(20) % 2]
        )


# ------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X: np.where(X == 3, np.nan, X), ValueError, "NaN"),
        (lambda X: np.where(X == 3, np.inf, X), ValueError, "infinity"),
        (lambda X: X.astype(float) * 1e38, ValueError, "too large for dtype..float32"),
        (lambda X: sparse.csr_array(X.reshape(len(X), -1)), TypeError, "toarray"),
        (lambda X: np.moveaxis(X, 1, -1), ValueError, "np.moveaxis"),
        (lambda X: np.repeat(np.moveaxis(X, 1, -1), 3, -1), ValueError, "permute"),
        (lambda X: X[..., None], ValueError, r"\(n, C, H, W\), \(n, H, W\)"),
        (lambda X: X[:0], ValueError, "0 sample"),
        (lambda X: X[:, :, :0], ValueError, "at least one value"),
        (lambda X: X.ravel(), ValueError, "Expected 2D array"),
        (lambda X: X.astype(str).reshape(len(X), -1), ValueError, "string|numeric"),
        (lambda X: X * 1j, ValueError, "Complex"),
    ],
)
def test_bad_images(change, error, message, quick, digits):
    X, y = digits
    bad = change(X[:40])
    with pytest.raises(error, match=message):
        quick.fit(bad, y[:40])
    with pytest.raises(NotFittedError):
        quick.predict(X[:40])


def test_other_shapes_at_predict(fitted, digits):
    X, _ = digits
    with pytest.raises(ValueError, match=r"\(4, 16\).*\(1, 8, 8\)"):
        fitted.predict(X.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match=r"\(4, 4, 4\).*\(1, 8, 8\)"):
        fitted.predict(X.reshape(-1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*np.moveaxis"):
        fitted.predict(np.moveaxis(X, 1, -1))
    with pytest.raises(ValueError, match=r"X has 32 features.*expecting 64 features"):
        fitted.predict(X.reshape(len(X), -1)[:, :32])
    with pytest.raises(ValueError, match="too large"):
        fitted.predict(X.astype(float) * 1e38)


def test_image_shape_must_fit(quick, digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"does not hold images of shape \(1, 5, 5\)"):
        quick.set_params(image_shape=(5, 5)).fit(X, y)
    with pytest.raises(ValueError, match="positive integers"):
        quick.set_params(image_shape=(0, 8, 8)).fit(X, y)
    quick.set_params(image_shape=(8, 8, 1), grid_shape=(2, 2))
    assert quick.fit(np.moveaxis(X, 1, -1)[:50], y[:50]).image_shape_ == (8, 8, 1)


@pytest.mark.parametrize("factor", [1 / 100, 100])
def test_another_value_range_at_predict_warns(factor, fitted, digits):
    X, _ = digits
    X = X.astype(float)
    with pytest.warns(UserWarning, match=r"made for values in \(0.0, 16.0\): those of"):
        fitted.predict(X[:32] * factor)
    fitted.predict(X[:31] * factor)  # too few to say
    fitted.predict(X[:32] * (1 + np.sign(factor - 1) * 0.5))


@pytest.mark.parametrize(
    ("parameter", "value", "choices"),
    [
        ("lam", -0.1, ["float in the range [0.0, inf)"]),
        ("lam", np.inf, ["lam"]),
        ("topo_loss", "smooth", ["'as'", "'as_untransposed'", "'ws'", "None"]),
        ("distance", "manhattan", ["'cosine'", "'euclidean'", "'correlation'"]),
        ("backbone", "resnet", ["'auto'", "'deep'", "'resnet18'", "callable"]),
        ("neighborhood", "queen", ["'moore'", "'von_neumann'"]),
        ("optimizer", "lbfgs", ["'adam'", "'adamw'", "'sgd'"]),
        ("precision", "float16", ["'auto'", "'bfloat16'", "'float32'"]),
        ("dropout", 1.0, ["[0.0, 1.0)"]),
        ("max_epochs", 0, ["[1, inf)", "{'auto'}"]),
        ("max_epochs", "many", ["[1, inf)", "{'auto'}"]),
        ("max_epochs", 2.5, ["[1, inf)", "{'auto'}"]),
        ("grid_shape", 11, ["tuple", "list"]),
    ],
)
def test_bad_parameters_name_the_choices(parameter, value, choices, quick, digits):
    X, y = digits
    with pytest.raises(InvalidParameterError) as caught:
        quick.set_params(**{parameter: value}).fit(X, y)
    for word in [parameter, repr(value), *choices]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("grid_shape", (0, 3), "two positive integers"),
        ("grid_shape", (1, 1), "no neighbouring units"),
        ("device", "toaster", "not available"),
    ],
)
def test_parameters_that_cannot_work(parameter, value, message, quick, digits):
    X, y = digits
    with pytest.raises(ValueError, match=message):
        quick.set_params(**{parameter: value}).fit(X, y)


@pytest.mark.parametrize("grid_shape", [(1, 7), (7, 1), [2, 3]])
def test_any_grid_shape_trains(grid_shape, quick, digits):
    X, y = digits
    quick.set_params(grid_shape=grid_shape).fit(X[:200], y[:200])
    assert quick.activation_maps(X[:2]).shape == (2, *grid_shape)


def test_a_grid_of_one_unit_trains_as_control(digits):
    X, y = digits
    clf = TopographicCNNClassifier(
        None, grid_shape=(1, 1), dropout=0, max_epochs=2, random_state=0
    )
    rows = (y < 2).nonzero()[0]
    assert clf.fit(X[rows], y[rows]).transform(X).shape == (len(X), 1)


@pytest.mark.parametrize("lam", [1e30, 1e38])
def test_overflow_is_an_error_that_names_its_cause(lam, quick, digits):
    X, y = digits
    message = r"epoch 1, with lam=1e\+\d+ and lr=0.003\. Lower lam"
    with pytest.raises(ValueError, match=message):
        quick.set_params(lam=lam).fit(X, y)
    with pytest.raises(NotFittedError):
        quick.predict(X)


def test_divergence_is_an_error(quick, digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"no longer finite.*lr=1e\+30"):
        quick.set_params(lr=1e30, max_epochs=10).fit(X, y)


def test_a_warning_that_is_made_an_error_leaves_the_model(quick, digits):
    X, y = digits
    quick.set_params(lam=1e15, lr=1e-5, backbone="small")
    with pytest.raises(ConvergenceWarning):  # warnings are errors here
        quick.fit(X, y)
    assert quick.n_iter_ == 2


def test_constant_predictions_are_not_silent(quick, digits):
    X, y = digits
    with pytest.warns(ConvergenceWarning, match=r"smaller lam \(now 1e\+15\)"):
        quick.set_params(lam=1e15, lr=1e-5, backbone="small").fit(X, y)


def test_batch_norm_and_batches_of_one(quick, digits):
    X, y = digits
    for backbone in ("lenet", "resnet18", "deep"):
        quick.set_params(backbone=backbone, batch_size=1)
        with pytest.raises(ValueError, match="batch_size=2 or more"):
            quick.fit(X[:10], y[:10])
    quick.set_params(batch_size=9).fit(X[:200], y[:200])  # the last would be of two
    quick.set_params(batch_size=199).fit(X[:200], y[:200])  # and of one


def test_fewer_images_than_the_batch_size(quick, digits):
    X, y = digits
    quick.set_params(max_epochs=80, lr=0.01, dropout=0).fit(X[:12], y[:12])
    assert quick.score(X[:12], y[:12]) > 0.9


def test_last_error_leaves_the_estimator_unfitted(quick, digits):
    X, y = digits
    quick.fit(X[:100], y[:100])
    with pytest.raises(ValueError, match="NaN"):
        quick.fit(np.full((20, 64), np.nan), y[:20])
    with pytest.raises(NotFittedError):
        quick.predict(X)
    assert not [name for name in vars(quick) if name.endswith("_")]


# ------------------------------------------------------------------ callbacks, progress


class Rows(Callback):
    """Records which rows were trained on, and may interrupt."""

    def __init__(self, interrupt_in=None, error=KeyboardInterrupt):
        self.interrupt_in = interrupt_in
        self.error = error

    def on_train_begin(self, net, **kwargs):
        self.epochs = []

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append([])

    def on_batch_end(self, net, batch, training, **kwargs):
        if training:
            images = batch[0]["images"]
            self.epochs[-1].append(images[:, 0, 0, 0].tolist())
            if len(net.history) == self.interrupt_in:
                raise self.error


@pytest.mark.parametrize("n_images", [5, 64, 65, 130])
def test_each_epoch_sees_each_row_once(n_images, quick):
    X = np.zeros((n_images, 1, 2, 2), dtype=np.uint8)
    X[:, 0, 0, 0] = np.arange(n_images)
    rows = Rows()
    quick.set_params(callbacks=[rows], max_epochs=2, lr=0.1)
    quick.fit(X, np.arange(n_images) % 2)
    for epoch in rows.epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(n_images))
        assert min(len(batch) for batch in epoch) > 1
    assert rows.epochs[0] != rows.epochs[1]


def test_an_interruption_keeps_the_finished_epochs(quick, digits):
    X, y = digits
    X, y = X[:300], y[:300]
    quick.set_params(max_epochs=4)
    two = clone(quick).set_params(max_epochs=2).fit(X, y)
    whole = clone(quick).fit(X, y)
    quick.set_params(callbacks=[Rows(interrupt_in=3)])
    with pytest.raises(KeyboardInterrupt):
        quick.fit(X, y)
    assert quick.n_iter_ == len(quick.history_) == 2
    assert same(quick, two, X)
    quick.set_params(callbacks=None)
    quick.partial_fit(X, y).partial_fit(X, y)
    assert same(quick, whole, X)


def test_an_interruption_of_the_first_epoch_leaves_it_unfitted(quick, digits):
    X, y = digits
    with pytest.raises(KeyboardInterrupt):
        quick.set_params(callbacks=[Rows(interrupt_in=1)]).fit(X, y)
    with pytest.raises(NotFittedError):
        quick.predict(X)


def test_an_error_in_a_later_epoch_leaves_it_unfitted(quick, digits):
    X, y = digits
    with pytest.raises(ZeroDivisionError):
        quick.set_params(callbacks=[Rows(2, ZeroDivisionError)]).fit(X[:200], y[:200])
    with pytest.raises(NotFittedError):
        quick.predict(X)


def test_callbacks_of_skorch_work(quick, digits, tmp_path):
    X, y = digits
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    keep = Checkpoint(monitor="train_loss_best", dirname=tmp_path)
    quick.set_params(callbacks=[schedule, ("keep", keep)], max_epochs=3)
    quick.fit(X[:200], y[:200])
    assert quick.net_.optimizer_.param_groups[0]["lr"] == quick.lr / 8
    assert (tmp_path / "params.pt").exists()


def test_training_goes_on_from_a_checkpoint(quick, digits, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    X, y = digits
    X, y = X[:300], y[:300]
    keep = Checkpoint(monitor=None, dirname=tmp_path / "kept")
    crashed = clone(quick).set_params(callbacks=[keep, Rows(3, ZeroDivisionError)])
    with pytest.raises(ZeroDivisionError):
        crashed.set_params(max_epochs=4).fit(X, y)
    again = clone(quick).set_params(callbacks=[keep, LoadInitState(keep)], max_epochs=1)
    again.fit(X, y)
    assert again.n_iter_ == 3
    steps = {int(s["step"]) for s in again.net_.optimizer_.state.values()}
    assert steps == {3 * -(-len(X) // quick.batch_size)}
    two = clone(quick).set_params(max_epochs=2).fit(X, y)
    pd.testing.assert_series_equal(again.history_.loss[:2], two.history_.loss)
    assert list(tmp_path.joinpath("work").iterdir()) == []


def test_a_callback_may_stop_the_training(quick, digits):
    X, y = digits
    stop = EarlyStopping("train_loss", patience=2, threshold=10.0, sink=lambda _: None)
    quick.set_params(callbacks=[stop], max_epochs=9).fit(X[:200], y[:200])
    assert quick.n_iter_ == 3


def test_progress(quick, digits, capsys):
    X, y = digits
    quick.fit(X[:200], y[:200])
    assert capsys.readouterr() == ("", "")
    quick.set_params(verbose=1).fit(X[:200], y[:200])
    out, err = capsys.readouterr()
    assert out == ""
    assert "Epoch 2" in err
    assert "topo=" in err


# ------------------------------------------------------------------ going on


def test_early_stopping_restores_the_best_epoch(digits):
    X, y = digits
    clf = TopographicCNNClassifier(
        lam=0.3, max_epochs=40, lr=0.01, early_stopping=True, n_iter_no_change=3,
        validation_fraction=0.2, random_state=0,
    ).fit(X[:800], y[:800])  # fmt: skip
    accuracy = clf.history_["valid_accuracy"]
    best = int(accuracy.argmax())
    assert clf.n_iter_ == len(accuracy) == best + 4
    shorter = clone(clf).set_params(max_epochs=best + 1).fit(X[:800], y[:800])
    assert same(clf, shorter, X)
    assert clf.best_epoch_ == shorter.best_epoch_ == best + 1
    assert clf.history_["valid_loss"].notna().all()
    clf.set_params(early_stopping=False).partial_fit(X[:100], y[:100])
    with pytest.raises(AttributeError, match="early_stopping=True"):
        clf.best_epoch_  # noqa: B018


def test_early_stopping_needs_members_of_each_class(quick, digits):
    X, y = digits
    y = np.array([0] * 30 + [1])
    with pytest.raises(ValueError, match="least populated class"):
        quick.set_params(early_stopping=True).fit(X[:31], y)


def test_warm_start_goes_on(quick, digits):
    X, y = digits
    whole = clone(quick).set_params(max_epochs=4).fit(X[:300], y[:300])
    quick.set_params(warm_start=True).fit(X[:300], y[:300]).fit(X[:300], y[:300])
    assert same(quick, whole, X)
    assert quick.history_["epoch"].tolist() == [1, 2, 3, 4]
    quick.set_params(lam=5.0, lr=1e-4, topo_loss="as").fit(X[:300] // 2, y[:300])
    assert quick.pixel_range_ == (0.0, 16.0)
    assert quick.net_.optimizer_.param_groups[0]["lr"] == 1e-4
    assert quick.net_.criterion_.lam == 5.0
    assert isinstance(quick.net_.criterion_.topo_loss, ActivationSimilarity)


def test_warm_start_refuses_what_does_not_fit_and_keeps_the_model(quick, digits):
    X, y = digits
    quick.set_params(warm_start=True).fit(X[:300], y[:300])
    before = copy.deepcopy(quick)
    with pytest.raises(ValueError, match="grid_shape cannot change"):
        quick.set_params(grid_shape=(3, 3)).fit(X, y)
    quick.set_params(grid_shape=(4, 5))
    with pytest.raises(ValueError, match="unseen labels"):
        quick.fit(X[:10], y[:10] + 100)
    with pytest.raises(ValueError, match="NaN"):
        quick.fit(np.full((20, 64), np.nan), y[:20])
    with pytest.raises(KeyboardInterrupt):
        quick.set_params(callbacks=[Rows(interrupt_in=3)]).fit(X[:300], y[:300])
    assert same(quick, before, X)
    assert quick.n_iter_ == 2


def test_partial_fit_is_an_epoch_of_fit(quick, digits):
    X, y = digits
    X, y = X[:300], y[:300]
    whole = clone(quick).fit(X, y)
    quick.partial_fit(X, y, classes=np.arange(10)).partial_fit(X, y)
    assert same(quick, whole, X)


def test_partial_fit_sees_classes_to_come(quick, digits):
    X, y = digits
    quick.partial_fit(X[y == 1], y[y == 1], classes=range(10))
    assert quick.classes_.tolist() == list(range(10))
    quick.partial_fit(X[:100], y[:100])
    assert quick.pixel_range_ == (X[y == 1].min(), X[y == 1].max())
    before = copy.deepcopy(quick)
    with pytest.raises(ValueError, match="unseen labels"):
        quick.partial_fit(X[:10], y[:10] + 10)
    with pytest.raises(ValueError, match="classes"):
        quick.partial_fit(X[:10], y[:10], classes=[0, 1])
    with pytest.raises(KeyboardInterrupt):
        quick.set_params(callbacks=[Rows(interrupt_in=3)]).partial_fit(X, y)
    assert same(quick, before, X)


@pytest.mark.parametrize(
    ("settings", "classes", "message"),
    [
        ({}, None, "classes must be passed on the first call"),
        ({}, [0], "at least two classes"),
        ({"class_weight": "balanced"}, range(10), "class_weight='balanced'"),
        ({"early_stopping": True}, range(10), "stop early"),
    ],
)
def test_partial_fit_refuses(settings, classes, message, quick, digits):
    X, y = digits
    X, y = (X[y == 0], y[y == 0]) if classes == [0] else (X, y)
    with pytest.raises(ValueError, match=message):
        quick.set_params(**settings).partial_fit(X, y, classes=classes)
    with pytest.raises(NotFittedError):
        quick.predict(X)
