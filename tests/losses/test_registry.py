"""Every named loss, and how a loss is made."""

import copy
import inspect
import pickle
import re
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from torch import nn

import sktopo
from sktopo.losses import (
    DISTANCES,
    LOSSES,
    ActivationSimilarity,
    WeightSimilarity,
    neighbor_distance,
)
from sktopo.losses.registry import DEFAULTS, make_loss
from sktopo.study import TopographicStudy

SHAPE, N_VALUES = (3, 4), 7
every_loss = pytest.mark.parametrize("name", sorted(LOSSES))


class Toy(nn.Module):
    """Mean square of what is read; it has no setting."""

    source = "weights"

    def __init__(self, grid_shape):
        super().__init__()
        self.grid_shape = grid_shape

    def forward(self, x):
        return x.square().mean()


class Graded(Toy):
    """A loss with a setting that it demands."""

    def __init__(self, grid_shape, neighborhood, power=2):
        super().__init__(grid_shape)
        self.neighborhood, self.power = neighborhood, power


def given_vectors(loss, vectors):
    """What a loss reads when these are the vectors of the units."""
    return vectors if loss.source == "weights" else vectors.T.contiguous()


def value_and_gradient(loss, vectors):
    vectors = vectors.clone().requires_grad_()
    value = loss(given_vectors(loss, vectors))
    value.backward()
    return value, vectors.grad


def random_vectors(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (SHAPE[0] * SHAPE[1], N_VALUES)
    return torch.randn(shape, generator=generator, dtype=dtype)


# -------------------------------------------------------------- all that are listed


@every_loss
def test_each_is_described_and_reachable(name):
    loss = make_loss(name, SHAPE)
    assert loss.source in ("weights", "activations")
    cls = type(loss)
    assert getattr(sktopo.losses, cls.__name__) is cls
    assert cls.__name__ in sktopo.losses.__all__
    sections = inspect.getdoc(cls)
    for section in ("Parameters", "Attributes", "Raises", "References", "Examples"):
        assert f"\n{section}\n---" in sections


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["zero", "constant", "equal", "one alive", "random"])
def test_value_and_gradient_are_finite(kind, dtype, name):
    vectors = random_vectors(dtype=dtype)
    vectors = {
        "zero": torch.zeros_like(vectors),
        "constant": torch.full_like(vectors, 0.1),
        "equal": vectors[:1].expand_as(vectors).contiguous(),
        "one alive": vectors * (torch.arange(len(vectors)) == 5)[:, None],
        "random": vectors,
    }[kind]
    value, gradient = value_and_gradient(make_loss(name, SHAPE), vectors)
    assert value.shape == ()
    assert value.dtype == dtype
    assert value.isfinite()
    assert gradient.isfinite().all()
    if kind == "random":
        assert gradient.any()


@every_loss
def test_the_sign_of_all_vectors_does_not_matter(name):
    loss = make_loss(name, SHAPE)
    vectors = given_vectors(loss, random_vectors())
    assert loss(-vectors).item() == pytest.approx(loss(vectors).item(), rel=1e-12)


@every_loss
def test_the_grid_may_be_turned_around(name):
    """Rows and columns backwards, each neighbour where it was."""
    # A small sheet is read from the first row on: turned the same where all fit in.
    settings = {"factor": (3, 2)} if name == "laplacian" else {}
    loss = make_loss(name, SHAPE, **settings)
    vectors = given_vectors(loss, random_vectors())
    turned = vectors.flip(0 if loss.source == "weights" else 1)
    if name == "as_untransposed":  # which mixes units with images
        turned = vectors.flip(0, 1)
    assert loss(turned).item() == pytest.approx(loss(vectors).item(), rel=1e-12)


@every_loss
def test_a_call_leaves_no_trace(name):
    loss = make_loss(name, SHAPE)
    vectors = given_vectors(loss, random_vectors())
    before, kept = vectors.clone(), torch.get_rng_state()
    values = [loss(vectors).item() for _ in range(2)]
    assert values[0] == values[1]
    assert torch.equal(vectors, before)
    assert torch.equal(torch.get_rng_state(), kept)


@every_loss
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))]
)
def test_copies_give_the_same_value(copied, used, name):
    loss = make_loss(name, SHAPE)
    vectors = random_vectors()
    if used:
        value_and_gradient(loss, vectors)
    vectors = given_vectors(loss, vectors)
    assert copied(loss)(vectors).item() == loss(vectors).item()
    assert repr(copied(loss)) == repr(loss)


@every_loss
def test_wrong_sizes_are_refused(name):
    loss = make_loss(name, SHAPE)
    with pytest.raises(ValueError, match=r"with 12 units.*got \(5, 5\)"):
        loss(torch.zeros(5, 5))


@every_loss
def test_each_trains_a_classifier_on_small_batches(name, quick, digits):
    X, y = digits
    quick.set_params(topo_loss=name, max_epochs=1, batch_size=2)
    history = quick.fit(X[:20], y[:20]).history_
    assert np.isfinite(history["topo_loss"]).all()


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_each_distance_is_offered(distance, quick, digits):
    assert f'"{distance}"' in inspect.getdoc(neighbor_distance)
    X, y = digits
    quick.set_params(distance=distance, max_epochs=1).fit(X[:50], y[:50])
    assert quick.net_.criterion_.topo_loss.distance == distance


# ------------------------------------------------------------------ one line is enough


def test_a_loss_that_is_added_is_known_everywhere(monkeypatch, quick, digits):
    X, y = digits
    X, y = X[:100], y[:100]
    with pytest.raises(ValueError, match="The 'topo_loss' parameter") as unknown:
        quick.set_params(topo_loss="toy").fit(X, y)
    assert "'toy'" not in str(unknown.value).partition("Got")[0]
    monkeypatch.setitem(LOSSES, "toy", Toy)
    by_name = quick.fit(X, y).grid_weights_
    assert quick.history_["topo_loss"].notna().all()
    by_class = quick.set_params(topo_loss=Toy).fit(X, y).grid_weights_
    np.testing.assert_array_equal(by_name, by_class)
    with pytest.raises(ValueError, match=r"must be a str among .*'toy'"):
        quick.set_params(topo_loss="no such loss").fit(X, y)
    study = TopographicStudy(
        quick.set_params(topo_loss="ws"), topo_losses=["toy"], lams=[1], n_seeds=1,
        include=["performance"], random_state=0,
    )  # fmt: skip
    with joblib.parallel_config("threading"):  # processes would not know the toy
        study.run(X, y, X, y)
    assert list(study.conditions_) == ["control", "toy"]
    assert set(study.results_["condition"]) == {"control", "toy"}


def test_a_distance_that_is_added_is_known_everywhere(monkeypatch, quick, digits):
    X, y = digits
    quick.set_params(distance="toy")
    with pytest.raises(ValueError, match="The 'distance' parameter"):
        quick.fit(X[:50], y[:50])
    monkeypatch.setitem(DISTANCES, "toy", lambda vectors, pairs: vectors.sum())
    assert quick.fit(X[:50], y[:50]).history_["topo_loss"].notna().all()
    with pytest.raises(ValueError, match=r"one of .*'toy'"):
        WeightSimilarity((2, 2), distance="other")


# ----------------------------------------------------------------- how it is called


def test_only_what_differs_from_its_default_is_passed():
    calls = []

    def factory(grid_shape, **settings):
        calls.append((grid_shape, settings))
        return Toy(grid_shape)

    make_loss(factory, (2, 3), neighborhood="moore", distance=None)
    make_loss(factory, (2, 3), neighborhood="von_neumann", distance=None)
    make_loss(factory, (2, 3), distance="cosine", power=2)
    assert calls == [
        ((2, 3), {}),
        ((2, 3), {"neighborhood": "von_neumann"}),
        ((2, 3), {"distance": "cosine", "power": 2}),
    ]


def test_a_setting_without_a_default_is_passed_always():
    assert make_loss(Graded, (2, 3), neighborhood="moore").neighborhood == "moore"


def test_settings_that_a_partial_fixes_stay_unless_they_are_asked_for():
    factory = partial(ActivationSimilarity, distance="cosine")
    assert make_loss(factory, (2, 3), distance=None).distance == "cosine"
    assert make_loss(factory, (2, 3), distance="euclidean").distance == "euclidean"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": "cosine"}, "Toy.*has no setting distance, only none"),
        ({"neighborhood": "von_neumann"}, "has no setting neighborhood"),
        ({"radius": 3, "factor": 2}, "no setting factor and no radius"),
    ],
)
def test_a_setting_that_a_loss_lacks(settings, message):
    with pytest.raises(TypeError, match=message):
        make_loss(Toy, (2, 3), **settings)


def test_the_settings_of_a_loss_are_named():
    with pytest.raises(TypeError, match="only distance, neighborhood, wrap; leave"):
        make_loss("ws", (2, 3), layout="untransposed")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Toy((2, 3)), "give its class"),
        (lambda: Toy((2, 3)), "failed: .*0 positional"),
        (lambda grid_shape: nn.Identity(), "gave Identity with source None"),
        (lambda grid_shape: "a name", "gave str with source None"),
        (dict, "which"),
    ],
)
def test_what_is_no_factory(factory, message):
    settings = ", ".join(f"{name}=..." for name in DEFAULTS)
    wanted = re.escape(f"factory(grid_shape, {settings})") + ".*source"
    with pytest.raises(TypeError, match=f"{wanted}.*{message}"):
        make_loss(factory, (2, 3))
