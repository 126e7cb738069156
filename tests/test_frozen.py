"""Torch networks that were trained elsewhere, seen at any of their layers."""

import copy
import pickle
import warnings
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from sktopo import (
    FrozenNetwork,
    measure,
    measure_activations,
    scorers,
    unit_table,
)
from sktopo._evaluation import Evaluation
from sktopo.grid import Grid, sheet_shape
from sktopo.metrics import average_precision, d_prime, morans_i
from sktopo.robustness import image_noise_curve, pruning_curve, weight_noise_curve

LINEAR, CONV = "7", "3"


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(192, 20),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(20, 10),
    )


@pytest.fixture(scope="module")
def images(digits):
    X, y = digits
    return (X[:600] / np.float32(16)).astype(np.float32), y[:600]


@pytest.fixture(scope="module")
def net(images):
    """Trained in a plain loop, and left in training mode."""
    torch.manual_seed(0)
    net, (X, y) = small_cnn(), map(torch.from_numpy, images)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(8):
        for rows in torch.randperm(400).split(50):
            optimizer.zero_grad()
            F.cross_entropy(net(X[rows]), y[rows]).backward()
            optimizer.step()
    return net


@pytest.fixture(scope="module")
def held_out(images):
    X, y = images
    return X[400:], y[400:]


def freeze(net, layer=LINEAR, **settings):
    return FrozenNetwork(net, layer, **{"image_shape": (1, 8, 8), **settings})


def by_hook(net, layer, X, change=None):
    """What a layer gives and what the network answers, by a hook of our own."""
    seen, modes = [], {part: part.training for part in net.modules()}

    def look(module, args, output):
        seen.append(output.clone())
        return None if change is None else change(output)

    handle = net.get_submodule(layer).register_forward_hook(look)
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(X))
    handle.remove()
    for part, mode in modes.items():
        part.training = mode
    return seen[0].numpy(), logits.numpy()


# ------------------------------------------------------------------ what it sees


@pytest.mark.parametrize(
    ("layer", "pool", "reduce"),
    [
        (LINEAR, "mean", lambda v: v),
        (CONV, "mean", lambda v: v.mean(axis=(2, 3))),
        (CONV, "max", lambda v: v.max(axis=(2, 3))),
        (CONV, "flatten", lambda v: v.reshape(len(v), -1)),
        ("4", "mean", lambda v: v.mean(axis=(2, 3))),
    ],
)
def test_responses_are_what_the_layer_gives(layer, pool, reduce, net, held_out):
    X, _ = held_out
    frozen = freeze(net, layer, pool=pool)
    expected, logits = by_hook(net, layer, X)
    found = frozen.transform(X)
    np.testing.assert_allclose(found, reduce(expected), rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32
    shape = sheet_shape(found.shape[1])
    assert frozen.grid_.shape == shape
    maps = freeze(net).activation_maps(X, None if layer == LINEAR else layer)
    if pool == "mean":
        np.testing.assert_array_equal(maps.reshape(len(X), -1), found)
    np.testing.assert_allclose(
        frozen.decision_function(X), logits, rtol=1e-5, atol=1e-5
    )
    assert (frozen.predict(X) == logits.argmax(axis=1)).all()
    p = frozen.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.log(p), frozen.predict_log_proba(X), atol=1e-4)


def test_the_head_is_known_by_what_it_does(net):
    class Bent(nn.Module):
        def forward(self, x):
            return F.relu6(x)

    def head(layer, change=None, **settings):
        other = copy.deepcopy(net)
        if change is not None:
            other[8] = change
        X, y = np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, int)
        return Evaluation.of(freeze(other, layer, **settings), X, y).head

    assert head(LINEAR) is not None
    assert head(LINEAR, nn.Sequential(nn.Identity(), nn.ReLU())) is not None
    for other in (nn.GELU(), Bent(), nn.Identity(), nn.LeakyReLU(), nn.Sigmoid()):
        assert head(LINEAR, other) is None
    for layer in (CONV, "10", "0"):
        assert head(layer) is None


class Beside(nn.Module):
    """A head, and something beside it that a black image does not show."""

    def __init__(self, form):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 4)
        self.skip = nn.Linear(64, 4, bias=False)
        self.form = form

    def forward(self, x):
        return self.form(self, x.flatten(1))


class Adapted(nn.Linear):
    """A linear layer and what was learned later, in a product of lower rank."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.A = nn.Parameter(torch.randn(n_in, 2))
        self.B = nn.Parameter(torch.randn(2, n_out))

    def forward(self, x):
        return super().forward(x) + x @ self.A @ self.B


class Cosine(nn.Linear):
    def forward(self, x):
        return 20 * F.linear(F.normalize(x), F.normalize(self.weight))


def hooked(layer, change):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 4))
    net[layer].register_forward_hook(change)
    return net


LIKE_A_HEAD = {
    "residual": (Beside(lambda m, x: m.fc2(F.relu(m.fc1(x)) + x)), "fc1"),
    "skip": (Beside(lambda m, x: m.fc2(F.relu(m.fc1(x))) + m.skip(x)), "fc1"),
    "gate": (
        Beside(lambda m, x: m.fc2(F.relu(m.fc1(x)) * (1 + x.mean(1))[:, None])),
        "fc1",
    ),
    "adapted": (
        nn.Sequential(nn.Flatten(), Adapted(64, 12), nn.ReLU(), nn.Linear(12, 4)),
        "1",
    ),
    "cosine": (
        nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), Cosine(12, 4)),
        "1",
    ),
    "hook of the layer": (hooked(1, lambda m, a, o: o.roll(1, 1) * 2 - 0.5), "1"),
    "hook of the readout": (hooked(3, lambda m, a, o: o - o.roll(1, 1)), "1"),
}


@pytest.mark.parametrize("name", LIKE_A_HEAD)
def test_what_is_only_like_a_head(name, held_out):
    module, layer = LIKE_A_HEAD[name]
    X, _ = held_out
    frozen = freeze(module, layer)
    expected, logits = by_hook(module, layer, X)
    np.testing.assert_allclose(frozen.transform(X), expected, rtol=1e-5, atol=1e-5)
    y = logits.argmax(axis=1)
    curve = weight_noise_curve(frozen, X, y, [0], n_repeats=1)
    assert curve["accuracy"].item() == frozen.score(X, y) == 1
    assert measure(frozen, X, y, ["performance"])["value"].item() == 1
    assert pruning_curve(frozen, X, y, "zeros", [0])["accuracy"].item() == 1


@pytest.mark.parametrize("layers", ["grid", "readout", "head", "all", "0", "4", "3"])
@pytest.mark.parametrize("layer", [LINEAR, CONV])
def test_weight_noise_is_added_where_it_is_asked_for(layer, layers, net, held_out):
    X, y = held_out
    parts = {"grid": [layer], "readout": ["10"], "head": [layer, "10"], "all": [""]}
    parts = parts.get(layers, [layers])
    frozen = freeze(net, layer)
    if layers == "4":  # batch norm: no weights of two dimensions
        with pytest.raises(ValueError, match="no weights that noise"):
            weight_noise_curve(frozen, X, y, layers=layers)
        return
    seed = np.random.RandomState(3).randint(2**31)
    curve = weight_noise_curve(
        frozen, X, y, [0.3], layers=layers, n_repeats=2, random_state=3
    )
    for repeat, accuracy in enumerate(curve["accuracy"]):
        other = copy.deepcopy(net)
        for name, weight in other.named_parameters():
            named = any(p == "" or name.startswith(f"{p}.") for p in parts)
            if weight.ndim < 2 or not named:
                continue
            rng = np.random.default_rng([seed, repeat, zlib.crc32(name.encode())])
            eps = rng.standard_normal(tuple(weight.shape), dtype=np.float32)
            std = weight.detach().numpy().std()
            weight.data += torch.from_numpy(0.3 * std * eps)
        _, logits = by_hook(other, layer, X)
        expected = np.mean(logits.argmax(axis=1) == y)
        assert accuracy == pytest.approx(expected, abs=1.5 / len(y))
    assert curve.attrs["clean_accuracy"] == pytest.approx(frozen.score(X, y))
    assert curve["rsm_similarity"].between(0, 1).all()


@pytest.mark.parametrize(
    ("layer", "pool"), [(LINEAR, "mean"), (CONV, "mean"), (CONV, "flatten")]
)
def test_silenced_units_give_zero(layer, pool, net, held_out):
    X, y = held_out
    frozen = freeze(net, layer, pool=pool)
    n_units = frozen.grid_.n_units
    order = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    order.integers(n_units)
    units = order.permutation(n_units)[: round(0.5 * n_units)]

    def silence(output):
        flat = output.flatten(1) if pool == "flatten" else output
        flat[:, units] = 0
        return flat.reshape(output.shape)

    curve = pruning_curve(frozen, X, y, "random", [0, 0.5, 1], random_state=0)
    for row, change in zip(curve.itertuples(), (None, silence, torch.zeros_like)):
        _, logits = by_hook(net, layer, X, change)
        assert row.accuracy == np.mean(logits.argmax(axis=1) == y)
    assert curve["n_pruned"].tolist() == [0, len(units), n_units]


def test_readout_norm_needs_a_readout_of_these_units(net, held_out):
    assert len(pruning_curve(freeze(net), *held_out, "readout_norm", [0.5])) == 1
    with pytest.raises(ValueError, match="readout that reads the units of '3'"):
        pruning_curve(freeze(net, CONV), *held_out, "readout_norm")
    table = measure(freeze(net, CONV), *held_out, ["robustness"])
    pruned = table[table["parameter"].str.contains("pruning")]["parameter"]
    assert not pruned.str.contains("readout_norm").any()
    assert pruned.str.contains("zeros").any()


def test_a_classifier_wrapped_gives_its_own_table(fitted, digits):
    X, y = digits[0][1200:1500], digits[1][1200:1500]
    wrapped = FrozenNetwork(
        fitted.module_,
        "grid",
        fitted.grid_shape,
        image_shape=(1, 8, 8),
        value_range=fitted.pixel_range_,
    )
    for layer in (None, "backbone.0"):
        own = measure(fitted, X, y, layer=layer)
        found = measure(wrapped, X, y, layer=layer)
        pd.testing.assert_frame_equal(found, own, rtol=1e-5)
        pd.testing.assert_frame_equal(
            unit_table(wrapped, X, y, layer), unit_table(fitted, X, y, layer), rtol=1e-5
        )
    other = measure(wrapped, X, y, ["geometry"], reference=fitted)
    cka = other.set_index("measure")["value"]["linear_cka"]
    assert cka == pytest.approx(1)


def test_units_may_stand_on_a_torus(net, held_out):
    X, y = held_out
    torus = Grid((4, 5), "von_neumann", wrap=True)
    frozen = clone(freeze(net, grid_shape=torus))
    assert frozen.grid_ == torus
    A = frozen.transform(X)
    groups = ["smoothness", "localization", "selectivity"]
    found = measure(frozen, X, y, groups)
    expected, open_grid = (
        measure_activations(A, grid, y) for grid in (torus, Grid((4, 5)))
    )
    expected = expected[expected["group"].isin(groups)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)
    rows = open_grid["measure"].isin(["morans_i", "experts_distance_ratio"])
    assert not np.isin(open_grid[rows]["value"], expected["value"]).any()
    smooth = scorers.make_smoothness_scorer()(frozen, X, y)
    assert smooth == pytest.approx(np.nanmean(morans_i(A, grid_shape=torus)))
    assert smooth != pytest.approx(np.nanmean(morans_i(A, grid_shape=(4, 5))))


def test_the_grid_by_its_name_is_the_grid(fitted, digits):
    X, y = digits[0][1200:1400], digits[1][1200:1400]
    pd.testing.assert_frame_equal(
        measure(fitted, X, y, ["smoothness"], layer="grid"),
        measure(fitted, X, y, ["smoothness"]),
    )
    named = fitted.activation_maps(X, "grid")
    np.testing.assert_array_equal(named, fitted.activation_maps(X))


# ------------------------------------------------------------ what it leaves alone


class Told(nn.Module):
    """Fails when it is told to, and counts what it sees."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.register_buffer("n_seen", torch.zeros(()))
        self.fails_at = None

    def forward(self, x):
        self.n_seen += len(x)
        if self.fails_at is not None and len(x) >= self.fails_at:
            raise KeyboardInterrupt
        return self.net(x)


def calls(X, y):
    """Each kind of call that runs a network."""
    yield lambda frozen: frozen.predict(X)
    yield lambda frozen: frozen.transform(X)
    yield lambda frozen: weight_noise_curve(frozen, X, y, [0.1], n_repeats=1)
    yield lambda frozen: weight_noise_curve(
        frozen, X, y, [0.1], n_repeats=1, layers="all"
    )
    yield lambda frozen: image_noise_curve(frozen, X, y, levels=[0.1])
    yield lambda frozen: pruning_curve(frozen, X, y, "zeros", [0.5])
    yield lambda frozen: measure(frozen, X, y, ["tuning"])
    yield lambda frozen: scorers.get_scorer("smoothness")(frozen, X, y)


@pytest.mark.parametrize("layer", ["net.7", "net.3"])
@pytest.mark.parametrize("fails_at", [None, 5])
def test_the_module_is_as_it_was(layer, fails_at, net, held_out):
    module = Told(copy.deepcopy(net))
    module.net[4].eval()  # one part in another mode than the others
    module.net[7].weight.grad = torch.ones_like(module.net[7].weight)
    handle = module.net[0].register_forward_hook(lambda *_: None)
    module.fails_at = fails_at
    state = {k: v.clone() for k, v in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    frozen = freeze(module, layer)
    for call in calls(*held_out):
        if fails_at is None:
            call(frozen)
        else:
            with pytest.raises(KeyboardInterrupt):
                call(frozen)
        assert [part.training for part in module.modules()] == modes
        after = module.state_dict()
        assert all(torch.equal(after[k], v) for k, v in state.items())
        hooks = [len(part._forward_hooks) for part in module.modules()]
        assert sum(hooks) == 1
        assert list(module.net[0]._forward_hooks) == [handle.id]
        assert module.net[7].weight.grad.eq(1).all()
        assert module.net[7].weight.requires_grad


def test_fit_and_clone_keep_the_module(net, held_out, tmp_path):
    frozen = freeze(net)
    assert frozen.fit(*held_out) is frozen
    other = clone(frozen).set_params(layer=CONV)
    assert other.module is frozen.module
    assert frozen.layer == LINEAR
    assert is_classifier(frozen)
    again = pickle.loads(pickle.dumps(frozen))
    np.testing.assert_array_equal(
        again.transform(held_out[0]), frozen.transform(held_out[0])
    )
    assert frozen.get_feature_names_out()[5] == "grid_1_0"
    frame = frozen.set_output(transform="pandas").transform(held_out[0])
    assert frame.columns[5] == "grid_1_0"


def test_inside_other_estimators(net, held_out):
    X, y = held_out
    frozen = freeze(net)
    direct = weight_noise_curve(frozen, X, y, random_state=0)
    halve = FunctionTransformer(lambda X: (X / 2).astype(np.float32))
    search = GridSearchCV(frozen, {"pool": ["mean"]}, cv=2).fit(X, y)
    for estimator, seen in (
        (FrozenEstimator(frozen), X),
        (make_pipeline(halve, frozen), 2 * X),
        (search, X),
        (frozen, torch.from_numpy(X)),
        (frozen, pd.DataFrame(X.reshape(len(X), -1))),
    ):
        found = weight_noise_curve(estimator, seen, y, random_state=0)
        pd.testing.assert_frame_equal(found, direct)
    scores = cross_val_score(frozen, X, y, scoring=scorers.smoothness_scorer)
    assert len(set(scores)) == 5


def test_each_model_meets_the_images_once_a_layer(net, held_out):
    seen = []

    def count(images):
        seen.append(len(images))
        return images

    for layer in (LINEAR, CONV):
        seen.clear()
        frozen = freeze(net, layer, preprocess=count)
        measure(frozen, *held_out, ["performance", "smoothness", "selectivity"])
        assert sum(n for n in seen if n > 8) == len(held_out[1])
    seen.clear()
    frozen = freeze(net, preprocess=count)
    names = ["smoothness", scorers.make_expert_localization_scorer(layer=CONV)]
    scorers.multi_scorer(names)(frozen, *held_out)
    assert sum(n for n in seen if n > 8) == 2 * len(held_out[1])


def test_scorers_look_at_the_layer(net, held_out):
    frozen = freeze(net)
    for name, make in scorers.SCORERS.items():
        if name == "image_robustness":
            continue
        there = make(layer=CONV)
        assert there(frozen, *held_out) == make()(freeze(net, CONV), *held_out)
        assert "layer='3'" in repr(there)
        both = scorers.multi_scorer([there])(frozen, *held_out)
        assert both[name] == there(frozen, *held_out)


# ------------------------------------------------------------------ other networks


class Tokens(nn.Module):
    """Rows of an image as tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 12)
        self.read = nn.Linear(12, 10)

    def forward(self, x):
        return self.read(self.embed(x.flatten(1, 2)).relu().mean(dim=1))


def test_a_linear_layer_at_several_positions(held_out):
    net = Tokens()
    frozen = freeze(net, "embed")
    expected, _ = by_hook(net, "embed", held_out[0])
    np.testing.assert_allclose(
        frozen.transform(held_out[0]), expected.mean(axis=1), rtol=1e-5, atol=1e-6
    )
    flat = freeze(net, "embed", pool="flatten")
    found = flat.transform(held_out[0])
    np.testing.assert_allclose(
        found, expected.transpose(0, 2, 1).reshape(len(found), -1), rtol=1e-5, atol=1e-6
    )
    assert flat.grid_weights_.shape == (96, 8)
    np.testing.assert_array_equal(flat.grid_weights_[8:16], [flat.grid_weights_[8]] * 8)
    assert len(pruning_curve(flat, *held_out, "block", [0.5])) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda net: parametrizations.weight_norm(net[7]),
        lambda net: parametrizations.spectral_norm(net[7]),
        lambda net: prune.random_unstructured(net[7], "weight", 0.3),
        lambda net: net.double(),
        lambda net: net.requires_grad_(False),
        lambda net: net.to(memory_format=torch.channels_last),
        lambda net: net[7].register_parameter("bias", None),
    ],
    ids=[
        "weight_norm",
        "spectral_norm",
        "prune",
        "double",
        "frozen",
        "last",
        "no bias",
    ],
)
def test_networks_of_many_kinds(change, net, held_out):
    X, y = held_out
    other = copy.deepcopy(net)
    change(other)
    frozen = freeze(other)
    assert np.isfinite(frozen.grid_weights_).all()
    given = X.astype(np.float64) if other[10].weight.dtype == torch.float64 else X
    _, logits = by_hook(other, LINEAR, given)
    np.testing.assert_allclose(
        frozen.decision_function(X), logits, rtol=1e-4, atol=1e-4
    )
    clean = weight_noise_curve(frozen, X, y, [0], n_repeats=1)
    assert clean["accuracy"].item() == frozen.score(X, y)
    noisy = weight_noise_curve(frozen, X, y, [5], n_repeats=1, layers="grid")
    assert noisy["accuracy"].item() < clean["accuracy"].item()


def test_half_precision(net, held_out):
    X, y = held_out
    half = copy.deepcopy(net).to(torch.bfloat16)
    assert freeze(half).score(X, y) == pytest.approx(freeze(net).score(X, y), abs=0.05)
    assert freeze(half, CONV).transform(X).dtype == np.float32


class Answers(nn.Module):
    """A network whose answer comes in some form."""

    def __init__(self, net, form):
        super().__init__()
        self.net, self.form = net, form

    def forward(self, x):
        return self.form(self.net(x))


def as_namespace(logits):
    return SimpleNamespace(logits=logits)


def test_an_answer_with_logits(net, held_out):
    X, y = held_out
    frozen = freeze(Answers(net, as_namespace), f"net.{LINEAR}")
    np.testing.assert_array_equal(
        frozen.decision_function(X), freeze(net).decision_function(X)
    )
    assert weight_noise_curve(frozen, X, y, [0.1])["accuracy"].between(0, 1).all()


def one_output(logits):
    return logits[:, :1] - logits[:, 1:2]


@pytest.mark.parametrize("form", [one_output, lambda v: one_output(v).squeeze(1)])
def test_one_output_is_for_the_second_of_two_classes(form, net, held_out):
    X, y = held_out
    frozen = freeze(Answers(net, form), f"net.{LINEAR}", classes=["one", "zero"])
    logits = freeze(net).decision_function(X)
    positive = logits[:, 0] > logits[:, 1]
    assert (frozen.predict(X) == np.where(positive, "zero", "one")).all()
    rows = y < 2
    assert frozen.score(X[rows], np.where(y[rows] == 0, "zero", "one")) > 0.9


@pytest.mark.parametrize("classes", [None, []])
def test_a_network_that_is_no_classifier(classes, net, held_out):
    X, y = held_out
    module = nn.Sequential(*net[:4]) if classes is None else net
    frozen = freeze(module, CONV, classes=classes)
    with pytest.raises(ValueError, match="no classifier"):
        frozen.predict(X)
    for curve in (weight_noise_curve, image_noise_curve, pruning_curve):
        with pytest.raises(ValueError, match="FrozenNetwork has no classes"):
            curve(frozen, X, y)
    table = measure(frozen, X, y)
    assert not {"performance", "robustness"} & set(table["group"])
    assert {"smoothness", "selectivity", "tuning"} <= set(table["group"])
    without = measure(frozen, X)
    assert "selectivity" not in set(without["group"])
    assert "accuracy" not in set(measure(freeze(net), X, None)["measure"])
    with pytest.raises(ValueError, match="needs the labels"):
        weight_noise_curve(freeze(net), X, None)


def test_without_a_readout(net, held_out):
    module = nn.Sequential(*net, nn.Linear(10, 3), nn.Linear(3, 4, bias=False))
    module = nn.Sequential(module, nn.Conv1d(1, 1, 1), nn.Flatten())
    module = nn.Sequential(Unsqueezed(module[0]), module[1], nn.Flatten(), Pad())
    frozen = freeze(module, "0.net.7")
    assert not hasattr(frozen, "readout_weights_")
    X, y = held_out
    for layers in ("readout", "head"):
        with pytest.raises(ValueError, match="needs a readout, and this network"):
            weight_noise_curve(frozen, X, y, layers=layers)
    curve = weight_noise_curve(frozen, X, y, layers="grid")
    assert curve["rsm_similarity"].isna().all()
    table = measure(frozen, X, y, ["robustness", "geometry"])
    assert "geometry" not in set(table["group"])
    assert not table["parameter"].str.contains("layers=").any()


class Unsqueezed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[:, None]


class Pad(nn.Module):
    def forward(self, x):
        return F.pad(x, (0, 6))


# ------------------------------------------------------------------ any classifier


def test_image_noise_takes_any_classifier(images, held_out):
    X, y = images
    flat = X.reshape(len(X), -1)
    model = LogisticRegression(max_iter=2000).fit(flat[:400], y[:400])
    settings = {"value_range": (0, 1), "random_state": 0}
    curve = image_noise_curve(model, flat[400:], y[400:], **settings)
    assert curve.attrs["clean_accuracy"] == model.score(flat[400:], y[400:])
    assert curve["accuracy"].is_monotonic_decreasing or curve["accuracy"].min() < 0.9
    frame = pd.DataFrame(flat, columns=[f"p{i}" for i in range(64)])
    named = LogisticRegression(max_iter=2000).fit(frame[:400], y[:400].astype(str))
    found = image_noise_curve(named, frame[400:], y[400:].astype(str), **settings)
    pd.testing.assert_frame_equal(found, curve)
    score = scorers.make_image_robustness_scorer(value_range=(0, 1))
    assert score(model, flat[400:], y[400:]) == pytest.approx(curve["accuracy"].mean())
    with pytest.raises(ValueError, match="LogisticRegression does not know the range"):
        image_noise_curve(model, flat, y)
    with pytest.raises(TypeError, match="got PCA"):
        image_noise_curve(PCA().fit(flat), flat, y)


# ------------------------------------------------------------------ a row a unit


def test_unit_table(net, held_out):
    X, y = held_out
    dead = copy.deepcopy(net)
    dead[7].weight.data[4], dead[7].bias.data[4] = 0, 0
    frozen = freeze(dead, grid_shape=(5, 4), classes=np.arange(10).astype(str))
    table = unit_table(frozen, X, y.astype(str))
    assert table.columns.tolist() == [
        "unit",
        "row",
        "column",
        "best_class",
        "average_precision",
        "d_prime",
        "variance",
        "percentage_of_zeros",
        "preferred_orientation",
        "orientation_amplitude",
        "eccentricity",
    ]
    assert (table["unit"] == 4 * table["row"] + table["column"]).all()
    A = freeze(dead).transform(X)
    precision = average_precision(A, y)
    for unit, row in table.iterrows():
        if unit == 4:
            assert pd.isna(row["best_class"])
            assert np.isnan(row["average_precision"])
            assert row["variance"] == 0
            continue
        best = precision[unit].argmax()
        assert row["best_class"] == str(best)
        assert row["average_precision"] == precision[unit, best]
        assert row["d_prime"] == d_prime(A, y)[unit, best]
    assert unit_table(freeze(dead), X)["d_prime"].isna().all()


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"layer": "fc"}, ValueError, r"layer='fc' is no layer of this Sequential"),
        ({"layer": None}, ValueError, "layer=None is no layer: give its name"),
        ({"grid_shape": (3, 7)}, ValueError, r"has 21 units, and the layer '7' has 20"),
        ({"grid_shape": (0, 7)}, ValueError, "two positive integers"),
        ({"readout": "logits"}, ValueError, "readout='logits' is no layer"),
        ({"readout": "8"}, ValueError, "readout='8' is a ReLU"),
        ({"classes": ["a", "b"]}, ValueError, "2 labels, but the module gives 10"),
        ({"classes": [0] * 10}, ValueError, "each label once"),
        (
            {"image_shape": (3, 8, 8)},
            ValueError,
            r"cannot see images of .*\(2, 3, 8, 8",
        ),
        ({"image_shape": (8,)}, ValueError, "image_shape must be"),
        ({"value_range": (1, 0)}, ValueError, "value_range must be"),
        ({"value_range": 1}, ValueError, "value_range must be"),
        ({"preprocess": "resize"}, TypeError, "preprocess must be"),
        ({"preprocess": lambda x: 1}, TypeError, "preprocess must give a tensor"),
        ({"preprocess": lambda x: x[:1]}, ValueError, r"as many images .*\(1, 1, 8, 8"),
        ({"preprocess": lambda x: x.repeat(2, 1, 1, 1)}, ValueError, "as many images"),
        ({"classes": "abcdefghij"}, ValueError, "classes must be a sequence"),
        ({"classes": np.eye(10)}, ValueError, "classes must be a sequence"),
        (
            {"classes": ["a", *range(9)]},
            ValueError,
            "classes cannot be labels: .*mixes",
        ),
        ({"image_shape": 64}, ValueError, "image_shape must be .*; got 64"),
        ({"module": nn.LazyLinear(3), "layer": "x"}, ValueError, "has no values yet"),
        (
            {"module": nn.Linear(3, 3, device="meta"), "layer": "x"},
            ValueError,
            "has no values yet",
        ),
        ({"pool": "sum"}, ValueError, r"pool must be one of \['flatten', 'max', 'mean"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"device": "tpu9"}, ValueError, "device='tpu9' is not available"),
        ({"module": "net"}, TypeError, "must be an nn.Module; got str"),
    ],
)
def test_wrong_settings(settings, error, message, net, held_out):
    given = {"module": net, "layer": LINEAR, "image_shape": (1, 8, 8), **settings}
    with pytest.raises(error, match=message):
        FrozenNetwork(**given).grid_, FrozenNetwork(**given).score(*held_out)


def test_layers_that_do_not_run_once(net, held_out):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn, self.spare = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, x):
            return self.turn(self.turn(x.flatten(1)))

    for layer, n in (("turn", 2), ("spare", 0)):
        with pytest.raises(ValueError, match=f"layer='{layer}' ran {n} times"):
            freeze(Twice(), layer).transform(held_out[0])


def test_what_is_no_subject(net, held_out):
    with pytest.raises(
        TypeError, match=r"got Sequential\. Wrap a torch network: Frozen"
    ):
        measure(net, *held_out)
    with pytest.raises(TypeError, match=r"got Sequential\. Wrap"):
        image_noise_curve(net, *held_out)


def test_names_with_wrappers_before_them(net, held_out):
    parallel = nn.DataParallel(net)
    for module, layer in ((parallel, "module.7"), (parallel, "7"), (net, "module.7")):
        np.testing.assert_array_equal(
            freeze(module, layer).transform(held_out[0]),
            freeze(net).transform(held_out[0]),
        )


def test_errors_name_what_was_given(net, held_out):
    X, _ = held_out
    for call in ("predict", "transform"):
        with pytest.raises(ValueError, match=r"grid_shape=.* has 121 units"):
            getattr(freeze(net, grid_shape=(11, 11)), call)(X)
        with pytest.raises(ValueError, match=r"and image_shape=\(1, 8, 8\) was given"):
            getattr(freeze(net), call)(np.zeros((2, 1, 28, 28), np.float32))
    with pytest.raises(ValueError, match="it gives a tuple"):
        freeze(Answers(net, lambda v: (v, v)), f"net.{LINEAR}").predict(X)


def test_images_of_another_range_are_told(net, held_out):
    X, _ = held_out
    with pytest.warns(UserWarning, match="largest absolute value") as seen:
        freeze(net).predict(255 * X)
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("n", "shape"), [(1, (1, 1)), (2, (1, 2)), (12, (3, 4)), (121, (11, 11))]
)
def test_sheets_are_as_square_as_can_be(n, shape):
    assert sheet_shape(n) == shape


def test_a_prime_number_of_units():
    with pytest.warns(UserWarning, match="13 units, a prime number, stand in one row"):
        assert sheet_shape(13) == (1, 13)
    for n in (0, -4, 2.5, "4", True):
        with pytest.raises(ValueError, match="positive integer"):
            sheet_shape(n)


def test_a_search_over_layers_leaves_its_network_alone(net, held_out):
    frozen = freeze(net)
    search = GridSearchCV(
        frozen, {"layer": [LINEAR, CONV, "0"]}, scoring=scorers.smoothness_scorer, cv=2
    )
    search.fit(*held_out)
    assert frozen.layer == LINEAR
    assert len(set(search.cv_results_["mean_test_score"])) == 3


def test_units_that_never_change(net, held_out):
    X, y = held_out
    frozen, same = freeze(net), np.ones((40, 1, 8, 8), np.float32)
    assert unit_table(frozen, same, None)["orientation_amplitude"].isna().all()
    dead = copy.deepcopy(net)
    dead[7].weight.data.zero_()
    dead[7].bias.data.zero_()
    table = measure(frozen, X, y, ["activity"], reference=freeze(dead))
    assert "entropy_shared_range" not in set(table["measure"])


def test_preprocess_is_left_alone_too(net, held_out):
    X, _ = held_out
    norm = nn.BatchNorm2d(1)
    frozen = freeze(net, preprocess=norm)
    np.testing.assert_array_equal(frozen.transform(X), frozen.transform(X))
    assert norm.num_batches_tracked == 0
    assert norm.training


def test_called_by_keyword_and_scripted(net, held_out):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn, self.read = nn.Linear(64, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.read(input=self.turn(input=x.flatten(1)).relu())

    module, (X, _) = Named(), held_out
    expected, _ = by_hook(module, "turn", X)
    frozen = freeze(module, "turn")
    np.testing.assert_allclose(frozen.transform(X), expected, rtol=1e-5, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # newer torch would export
        traced = torch.jit.trace(module, torch.zeros(2, 1, 8, 8))
    with pytest.raises(TypeError, match="which hides its layers"):
        freeze(traced, "turn").predict(X)


def masked(logits):
    return logits.masked_fill(torch.arange(10) == 3, -torch.inf)


def test_classes_that_are_masked(net, held_out):
    frozen = freeze(Answers(net, masked), f"net.{CONV}")
    assert 3 not in frozen.predict(held_out[0])
    curve = weight_noise_curve(frozen, *held_out, [0.1], n_repeats=1, layers="grid")
    assert curve["accuracy"].between(0.5, 1).all()
