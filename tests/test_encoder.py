"""Learning without labels: the objective, the training, and who takes an encoder."""

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

from sktopo import (
    GridActivations,
    TopographicCNNClassifier,
    TopographicEncoder,
    measure,
    scorers,
    unit_table,
)
from sktopo._training import Contrast
from sktopo.augment import VIEWS, RandomViews
from sktopo.losses import LOSSES
from sktopo.metrics import morans_i
from sktopo.plotting import GridMapDisplay
from sktopo.robustness import image_noise_curve, weight_noise_curve

LOSS_COLUMNS = ["epoch", "loss", "task_loss", "topo_loss"]


@pytest.fixture
def quick():
    """An encoder that trains in a moment."""
    return TopographicEncoder(
        lam=0.3, grid_shape=(4, 5), max_epochs=2, lr=3e-3, random_state=0
    )


@pytest.fixture(scope="module")
def encoder(digits):
    """A WS encoder of the digits, to be looked at and not changed."""
    X, _ = digits
    views = RandomViews(mirror=False, smallest_crop=0.5)
    return TopographicEncoder(
        lam=3.0, augment=views, max_epochs=12, lr=3e-3, random_state=0
    ).fit(X[:600])


@pytest.fixture(scope="module")
def some(digits):
    X, y = digits
    return X[:120], y[:120]


def plain_loss(z, labels, temperature):
    """The formula, for views of these labels."""
    z = z / z.norm(dim=1, keepdim=True)
    others = 1 - torch.eye(len(z))
    s = z @ z.T / temperature
    log_p = s - (others * s.exp()).sum(dim=1, keepdim=True).log()
    alike = (labels[:, None] == labels) * others
    return -((alike * log_p).sum(dim=1) / alike.sum(dim=1)).mean()


# ------------------------------------------------------------------ the objective


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 2], [0, 1] * 3])
def test_the_task_is_the_formula(labels, temperature):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, 5, generator=generator).double().requires_grad_()
    labels = torch.tensor(labels)
    found = Contrast(temperature)(z, labels, None)
    wanted = plain_loss(z, labels.repeat(2), temperature)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
    found, wanted = (torch.autograd.grad(v, z)[0] for v in (found, wanted))
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_pairs_that_are_told_apart_count_as_zero_and_are_counted():
    """The library leaves losses of zero out of its mean unless it is told not to."""
    far = torch.eye(4).repeat(2, 1) * 3
    far[4:6] = far[[5, 4]]  # two of the four pairs are swapped
    labels = torch.arange(4)
    found = Contrast(0.01)(far, labels, None).item()
    assert found == pytest.approx(
        plain_loss(far.double(), labels.repeat(2), 0.01).item()
    )


class Watch(Callback):
    """Keeps the network as it was at the start, and the first batch's targets."""

    def on_train_begin(self, net, **kwargs):
        self.module = copy.deepcopy(net.module_)

    def on_batch_begin(self, net, batch=None, **kwargs):
        self.targets = batch[1]


class Recorded:
    """An augmentation that keeps what it gives."""

    def __init__(self):
        self.given = []

    def __call__(self, images, *, generator, value_range):
        changed = VIEWS["default"](images, generator=generator, value_range=value_range)
        self.given.append(changed)
        return changed


@pytest.mark.parametrize("objective", ["simclr", "supcon"])
def test_what_fit_makes_small_is_the_formula_of_two_views(objective, quick, some):
    X, y = some
    watch, views = Watch(), Recorded()
    quick.set_params(
        objective=objective, augment=views, callbacks=[watch], batch_size=len(X)
    )
    quick.set_params(max_epochs=1, dropout=0.0).fit(X, y)
    first, second = views.given
    differ = (first != second).flatten(1).any(dim=1)
    assert differ.all()
    n_targets = {"simclr": len(X), "supcon": 10}[objective]
    assert len(watch.targets.unique()) == n_targets
    z = watch.module.train()(torch.cat([first, second]))
    assert z.shape == (2 * len(X), 128)
    wanted = plain_loss(z, watch.targets.repeat(2), 0.1).item()
    row = quick.history_.iloc[0]
    assert row["task_loss"] == pytest.approx(wanted, rel=1e-6)
    assert row["loss"] == pytest.approx(wanted + 0.3 * row["topo_loss"], rel=1e-6)


def test_the_pairs_come_together(encoder, digits):
    losses = encoder.history_["task_loss"].to_numpy()
    assert losses[-1] < 0.7 * losses[0]
    X = torch.tensor(digits[0][600:700]).float()
    draw = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        z = [
            encoder.module_(encoder.augment(X, generator=draw, value_range=(0, 16)))
            for _ in range(2)
        ]
    first, second = (nn.functional.normalize(part) for part in z)
    found = (first @ second.T).argmax(dim=1)
    assert (found == torch.arange(len(X))).float().mean() > 0.3  # chance is .01


def test_neighbors_are_alike_with_the_spatial_loss(encoder, digits):
    control = (
        clone(encoder).set_params(topo_loss=None, max_epochs=1).fit(digits[0][:99])
    )
    X = digits[0][600:]
    smooth, rough = (
        np.nanmean(morans_i(model.activation_maps(X))) for model in (encoder, control)
    )
    assert smooth > rough + 0.1
    assert "lam" not in control.history_


def test_loss_of_zero_weight_is_nan_in_the_history(quick, some):
    assert quick.set_params(lam=0).fit(some[0]).history_["topo_loss"].isna().all()


@pytest.mark.parametrize("topo_loss", LOSSES)
def test_every_spatial_loss_trains(topo_loss, quick, some):
    quick.set_params(topo_loss=topo_loss, lam=3.0, lam_mode="calibrated", max_epochs=4)
    losses = quick.fit(some[0]).history_["topo_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_other_layers_and_modes_of_lam(quick, some):
    quick.set_params(topo_layers={"grid": 1.0, "backbone.0": 0.5}, lam_mode="matched")
    row = quick.fit(some[0]).history_.iloc[-1]
    parts = row["topo_loss_grid"] + 0.5 * row["topo_loss_backbone.0"]
    assert row["topo_loss"] == pytest.approx(parts, rel=1e-6)
    assert row["lam"] != 0.3
    maps = quick.activation_maps(some[0][:3], layer="backbone.0")
    assert maps.shape == (3, 4, 8)


class Seen(nn.Module):
    """A spatial loss that keeps how many responses it was given."""

    source = "activations"
    sizes = []

    def __init__(self, grid_shape):
        super().__init__()

    def forward(self, activations):
        self.sizes.append(len(activations))
        return activations.square().mean()


def test_a_loss_of_activations_sees_both_views_at_once(quick, some):
    Seen.sizes.clear()
    quick.set_params(topo_loss=Seen, batch_size=50, max_epochs=1).fit(some[0])
    assert Seen.sizes == [100, 100, 40]


# -------------------------------------------------------------------- the training


@pytest.mark.parametrize("objective", ["simclr", "supcon"])
def test_same_seed_same_bits_and_nothing_global(objective, quick, some):
    quick.set_params(objective=objective)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (clone(quick).fit(*some).transform(some[0]) for _ in range(2))
    other = clone(quick).set_params(random_state=1).fit(*some).transform(some[0])
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_labels_change_nothing_where_they_are_not_asked_for(quick, some):
    X, y = some
    without, with_labels = clone(quick).fit(X), clone(quick).fit(X, y)
    np.testing.assert_array_equal(without.transform(X), with_labels.transform(X))
    by_label = clone(quick).set_params(objective="supcon").fit(X, y).transform(X)
    assert not np.array_equal(by_label, without.transform(X))
    names = np.array([f"class {label}" for label in y])
    named = clone(quick).set_params(objective="supcon").fit(X, names).transform(X)
    np.testing.assert_array_equal(named, by_label)


def test_images_in_any_form_are_the_same_images(quick, some, tmp_path):
    X, _ = some
    path = tmp_path / "X.npy"
    np.save(path, X)
    frame = pd.DataFrame(X.reshape(len(X), -1)).add_prefix("pixel_")
    wanted = clone(quick).fit(X).transform(X)
    for form in (np.load(path, mmap_mode="r"), X[:, 0], torch.tensor(X), frame):
        model = clone(quick).fit(form)
        np.testing.assert_array_equal(model.transform(form), wanted)
    assert model.feature_names_in_[0] == "pixel_0"
    table = model.set_output(transform="pandas").transform(frame)
    assert table.columns[-1] == model.get_feature_names_out()[-1] == "grid_3_4"


@pytest.mark.parametrize("shape", [(3, 9, 12), (1, 1, 30), (2, 1, 1), (3, 16, 8)])
def test_images_of_any_size(shape, quick, rng):
    X = rng.random((12, *shape), dtype=np.float32)
    assert np.isfinite(quick.fit(X).transform(X)).all()
    assert quick.image_shape_ == shape


def test_going_on_is_as_without_a_pause(quick, some):
    X, _ = some
    whole = clone(quick).set_params(max_epochs=4).fit(X)
    quick.set_params(warm_start=True).fit(X)
    again = pickle.loads(pickle.dumps(quick))
    quick.fit(X)
    again.partial_fit(X).partial_fit(X)
    for model in (quick, again):
        np.testing.assert_array_equal(model.transform(X), whole.transform(X))
        assert model.history_[LOSS_COLUMNS].equals(whole.history_[LOSS_COLUMNS])


def test_what_can_change_while_it_goes_on(quick, some):
    quick.set_params(warm_start=True).fit(*some)
    quick.set_params(objective="supcon", temperature=1.0).fit(*some)
    assert quick.n_iter_ == 4
    assert quick.net_.criterion_.task.temperature == 1.0
    as_before = clone(quick).set_params(objective="simclr", temperature=0.1)
    as_before.set_params(warm_start=False, max_epochs=4).fit(*some)
    losses = quick.history_["task_loss"], as_before.history_["task_loss"]
    assert losses[0][:2].equals(losses[1][:2])
    assert not np.isclose(losses[0][2:], losses[1][2:]).any()
    with pytest.raises(ValueError, match="projection_dim cannot change"):
        quick.set_params(projection_dim=5).fit(*some)


def test_early_stopping_looks_at_the_same_views_in_each_epoch(quick, some):
    quick.set_params(early_stopping=True, validation_fraction=0.3, backbone="small")
    quick.set_params(lr=1e-12, max_epochs=9, n_iter_no_change=3).fit(some[0])
    losses = quick.history_["valid_loss"]
    assert np.ptp(losses) < 1e-4
    assert len(losses) == 4
    assert quick.best_epoch_ == 1


def test_early_stopping_restores_the_best_epoch(quick, some, capsys):
    quick.set_params(early_stopping=True, validation_fraction=0.3, verbose=1)
    quick.set_params(max_epochs=6, n_iter_no_change=2).fit(*some)
    best = quick.best_epoch_
    losses = quick.history_["valid_loss"].to_numpy()
    assert losses.argmin() == best - 1
    assert "valid. loss" in capsys.readouterr().err
    shorter = clone(quick).set_params(max_epochs=best, verbose=0).fit(*some)
    np.testing.assert_array_equal(shorter.transform(some[0]), quick.transform(some[0]))


# --------------------------------------------------------------------- keeping it


def flat_backbone(image_shape):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8))


@pytest.mark.parametrize(
    "changed",
    [
        {"topo_loss": "as", "temperature": 0.5, "projection_dim": 7},
        {"objective": "supcon", "early_stopping": True, "backbone": flat_backbone},
    ],
)
def test_a_saved_encoder_is_the_same_encoder(changed, quick, some, tmp_path):
    X, y = some
    path = tmp_path / "encoder.safetensors"
    quick.set_params(**changed).fit(X, y).save(path)
    own = {n: v for n, v in changed.items() if callable(v)}
    again = TopographicEncoder.load(path, **own)
    np.testing.assert_array_equal(again.transform(X), quick.transform(X))
    assert again.get_params() == quick.get_params()
    assert sorted(vars(again)) == sorted(vars(quick))
    images = torch.tensor(X[:5])
    with torch.inference_mode():
        assert torch.equal(again.module_(images), quick.module_(images))
    again.set_params(early_stopping=False).partial_fit(X, y)
    assert again.n_iter_ == quick.n_iter_ + 1


def test_a_file_is_opened_by_its_own_class(encoder, fitted, tmp_path):
    encoder.save(tmp_path / "encoder")
    fitted.save(tmp_path / "classifier")
    with pytest.raises(ValueError, match=r"of the kind 'encoder'.*'classifier'"):
        TopographicCNNClassifier.load(tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"of the kind 'classifier'.*'encoder'"):
        TopographicEncoder.load(tmp_path / "classifier")
    with pytest.raises(NotFittedError):
        TopographicEncoder().save(tmp_path / "nothing")


def test_a_backbone_is_known_again(quick, some, tmp_path):
    path = tmp_path / "encoder.safetensors"
    quick.set_params(backbone=flat_backbone).fit(some[0]).save(path)

    def other(image_shape):
        return nn.Sequential(*flat_backbone(image_shape), nn.ReLU())

    with pytest.raises(ValueError, match="gives other answers"):
        TopographicEncoder.load(path, backbone=other)


# --------------------------------------------------------------- who takes an encoder


def test_a_probe_is_a_pipeline(encoder, digits):
    X, y = digits
    frozen = FrozenEstimator(encoder)
    for reader in (LogisticRegression(max_iter=3000), KNeighborsClassifier()):
        probe = make_pipeline(frozen, reader).fit(X[:600], y[:600])
        assert probe.score(X[600:1000], y[600:1000]) > 0.8
    curve = image_noise_curve(
        probe,
        X[600:700],
        y[600:700],
        kinds=["white"],
        levels=[0.1],
        value_range=(0, 16),
    )
    assert curve["accuracy"].between(0.2, 1).all()
    step = GridActivations(frozen, response="post_relu").fit(X)
    np.testing.assert_array_equal(
        step.transform(X[:9]), encoder.transform(X[:9]).clip(0)
    )


def test_measures_that_need_no_classifier(encoder, digits):
    X, y = digits[0][600:800], digits[1][600:800]
    table = measure(encoder, X, y, reference=encoder)
    groups = {"smoothness", "localization", "selectivity", "activity", "geometry"}
    assert set(table["group"]) == groups | {"dimensionality", "tuning"}
    rows = table.set_index("measure")["value"]
    smooth = np.nanmean(morans_i(encoder.activation_maps(X)))
    found = table.query("measure == 'morans_i' and parameter == 'neighborhood=moore'")
    assert found["value"].item() == pytest.approx(smooth, rel=1e-4)
    assert rows["linear_cka"] == pytest.approx(1)
    assert "readout_similarity" not in rows.index
    norms = np.linalg.norm(encoder.grid_weights_, axis=1)
    assert rows["weight_norm"] == pytest.approx(norms.mean())
    assert unit_table(encoder, X, y)["best_class"].isin(y).all()
    assert "selectivity" not in set(measure(encoder, X)["group"])
    display = GridMapDisplay.from_estimator(encoder, X[:2])
    assert display.label == "response (pre-ReLU)"


def test_a_group_without_rows_is_told_where_it_was_asked_for(encoder, fitted, digits):
    X, y = (part[:60] for part in digits)
    with pytest.warns(UserWarning, match=r"'robustness' has no rows: it needs a netw"):
        table = measure(encoder, X, y, ["smoothness", "robustness"])
    assert set(table["group"]) == {"smoothness"}
    with pytest.warns(UserWarning, match=r"'performance' has no rows: .*labels of the"):
        measure(fitted, X, None, "performance")


def test_scorers_in_searches(quick, some):
    X, y = some
    grid = {"lam": [0, 3.0]}
    several = scorers.multi_scorer(["smoothness", "functional_localization"])
    for scoring, refit, labels in (("smoothness", True, None), (several, False, y)):
        if isinstance(scoring, str):
            scoring = scorers.get_scorer(scoring)
        search = GridSearchCV(quick, grid, scoring=scoring, refit=refit, cv=2)
        found = search.fit(X, labels).cv_results_
    assert {name for name in found if name.startswith("mean_test")} == {
        "mean_test_smoothness",
        "mean_test_functional_localization",
    }
    assert np.isfinite(found["mean_test_smoothness"]).all()


def test_what_needs_predictions_says_so(encoder, digits):
    X, y = digits[0][:50], digits[1][:50]
    for name in ("weight_robustness", "image_robustness"):
        with pytest.raises(
            ValueError, match=r"Encoder has no classes.*make_pipeline\("
        ):
            scorers.get_scorer(name)(encoder, X, y)
    with pytest.raises(ValueError, match="Encoder has no classes"):
        weight_noise_curve(encoder, X, y)
    localization = scorers.get_scorer("expert_localization")
    assert -1 < localization(encoder, X, y) < 1
    with pytest.raises(ValueError, match="needs the labels"):
        localization(encoder, X)


# ------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    ("settings", "rows", "y", "found"),
    [
        ({"objective": "supcon"}, 9, None, "requires y to be passed"),
        ({"objective": "supcon"}, 9, [1] * 9, "at least two labels.*all 9"),
        ({"objective": "supcon"}, 9, [0, 1] * 4, "inconsistent numbers of samples"),
        ({"objective": "byol"}, 9, None, "'objective' parameter"),
        ({"augment": None}, 9, None, "'augment' parameter"),
        ({"temperature": 0.0}, 9, None, "'temperature' parameter"),
        ({}, 1, None, "two or more; got n_samples=1"),
        ({"batch_size": 1}, 9, None, "contrastive loss cannot train on batches of one"),
        ({"early_stopping": True}, 9, None, "8 of 9 images to train on, and 1 to look"),
        ({"augment": lambda images: images[..., 1:]}, 9, None, "must give a tensor"),
    ],
)
def test_wrong_use(settings, rows, y, found, quick, some):
    quick.set_params(**settings)
    with pytest.raises(ValueError, match=found):
        quick.fit(some[0][:rows], y)
    with pytest.raises(NotFittedError):
        quick.transform(some[0])


def test_a_label_that_comes_once_has_its_own_other_view(quick, some):
    y = np.r_[np.zeros(60, int), np.ones(59, int), 7]
    model = quick.set_params(objective="supcon", early_stopping=True).fit(some[0], y)
    assert np.isfinite(model.transform(some[0])).all()
    assert np.isfinite(model.history_["task_loss"]).all()


def test_partial_fit_cannot_stop_early(quick, some):
    with pytest.raises(ValueError, match="partial_fit cannot stop early"):
        quick.set_params(early_stopping=True).partial_fit(some[0])
    assert not hasattr(quick, "image_shape_")


def test_without_the_library(quick, some, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(ImportError, match=r"pip install 'sktopo\[contrastive\]'"):
        quick.fit(some[0])
    with pytest.raises(AttributeError, match="TopographicEncoder has no module_"):
        _ = quick.module_
