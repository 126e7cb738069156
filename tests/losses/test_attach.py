"""Spatial losses of any layers, in one's own torch loop."""

import copy
import datetime
import gc
import io
import pickle
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sktopo.grid import Grid
from sktopo.losses import (
    ActivationSimilarity,
    LaplacianPyramid,
    SpatialCorrelation,
    TopographicLoss,
    WeightSimilarity,
)

OWN = Path(__file__).parents[1] / "oracles" / "two_layers.npz"


class Net(nn.Module):
    """A convolution, rectified in place, two layers, and one that never runs."""

    def __init__(self, seed=0, n_channels=6):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(1, n_channels, 3)
            self.relu = nn.ReLU(inplace=True)
            self.fc = nn.Linear(n_channels * 16, 12)
            self.out = nn.Linear(12, 3)
            self.aside = nn.Linear(3, 4)
        self.again, self.reentrant = False, None

    def hidden(self, x):
        return self.fc(self.relu(self.conv(x)).flatten(1))

    def forward(self, x):
        if self.reentrant is None:
            hidden = self.hidden(x)
        else:
            hidden = checkpoint(self.hidden, x, use_reentrant=self.reentrant)
        if self.again:
            hidden = hidden + self.hidden(2 * x)
        return self.out(F.relu(hidden))


class Learned(nn.Module):
    """A loss with a parameter, which says in what it computes."""

    source = "activations"

    def __init__(self, grid_shape):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.grid_shape = grid_shape

    def forward(self, x):
        self.given = x.dtype, torch.is_autocast_enabled("cpu"), tuple(x.shape)
        return (self.gain * x).square().mean()


def make_learned(grid_shape):
    return Learned(grid_shape)


def not_a_loss(grid_shape):
    return nn.Linear(1, 1)


def images(seed=0, n=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 6, 6, generator=generator, dtype=dtype)


def hooks(model):
    """All hooks of a model's parts."""
    return [
        hook
        for part in model.modules()
        for held in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
        for hook in held.values()
    ]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {
        k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None
    }


def step(model, topo, x=None):
    """Value and gradients of a step."""
    x = images() if x is None else x
    loss = model(x).square().mean() + topo(model)
    return loss.item(), gradients(model, loss)


def assert_same(found, expected):
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient)


TERMS = {
    "conv": ["ws", ActivationSimilarity],
    "fc": [WeightSimilarity, partial(ActivationSimilarity, distance="cosine")],
    "relu": "as",
}


def by_hand(model, x, lam=0.3):
    """The same without TopographicLoss: values of TERMS before lam, and a step."""
    conv = model.conv(x)
    rectified = F.relu(conv)
    hidden = model.fc(rectified.flatten(1))
    channels = [r.movedim(1, -1).reshape(-1, r.shape[1]) for r in (conv, rectified)]
    values = {
        ("conv", "ws"): WeightSimilarity((2, 3))(model.conv.weight.flatten(1)),
        ("conv", "ActivationSimilarity"): ActivationSimilarity((2, 3))(channels[0]),
        ("fc", "WeightSimilarity"): WeightSimilarity((3, 4))(model.fc.weight),
        ("fc", "ActivationSimilarity"): ActivationSimilarity((3, 4), "cosine")(hidden),
        ("relu", "as"): ActivationSimilarity((2, 3))(channels[1]),
    }
    loss = model.out(F.relu(hidden)).square().mean() + lam * sum(values.values())
    return values, (loss.item(), gradients(model, loss))


# ------------------------------------------------------------------------- the value


def test_values_and_gradients():
    """Two terms of a layer both count, and ReLUs in place change nothing."""
    model = Net()
    values, expected = by_hand(model, images())
    topo = TopographicLoss(TERMS, lam=0.3).attach(model)
    assert topo.values_ == {}
    assert_same(step(model, topo), expected)
    found = topo.values_
    assert list(found) == list(values)
    assert all(type(value) is float for value in found.values())
    assert found == pytest.approx({key: v.item() for key, v in values.items()})


def test_lam_by_layer_and_reductions():
    model = Net()
    values, _ = by_hand(model, images())
    lam = {"conv": 0.5, "fc": 2.0, "relu": 0.0}
    expected = {key: lam[key[0]] * value.item() for key, value in values.items()}
    found = {}
    for reduction in ("sum", "mean", "none"):
        topo = TopographicLoss(TERMS, lam, reduction=reduction).attach(model)
        model(images())
        found[reduction] = topo(model)
        topo.remove()
    assert {key: v.item() for key, v in found["none"].items()} == pytest.approx(
        expected
    )
    assert found["sum"].item() == pytest.approx(sum(expected.values()))
    assert found["mean"].item() == pytest.approx(sum(expected.values()) / 5)
    assert all(value.requires_grad for value in found["none"].values())


def test_lam_may_change_between_steps():
    model = Net()
    topo = TopographicLoss({"fc": "ws"}, lam=1.0).attach(model)
    whole = topo(model).item()
    topo.lam = 0.25
    assert topo(model).item() == pytest.approx(whole / 4)
    assert topo.values_["fc", "ws"] == pytest.approx(whole)


def test_equals_the_mean_of_two_layers_of_the_published_code():
    known = np.load(OWN)
    model = nn.Sequential(nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 49)).double()
    with torch.no_grad():
        for layer, number in ((model[0], 0), (model[2], 1)):
            layer.weight.copy_(torch.from_numpy(known[f"weight{number}"]))
    terms = {
        "0": partial(LaplacianPyramid, factor=(2, 2)),
        "2": partial(LaplacianPyramid, factor=(3, 3)),
    }
    topo = TopographicLoss(terms, {"0": 0.5, "2": 2.0}, reduction="mean").attach(model)
    found = topo(model)
    grads = gradients(model, found)
    assert found.item() == pytest.approx(known["mean_scaled_loss"].item(), rel=1e-9)
    for name, number in (("0.weight", 0), ("2.weight", 1)):
        expected = known[f"gradnorm{number}"].item()
        assert grads[name].norm().item() == pytest.approx(expected, rel=1e-9)
    scaled = known["scaled_losses"] / [0.5, 2.0]
    assert list(topo.values_.values()) == pytest.approx(scaled, rel=1e-9)


@pytest.mark.parametrize("conv", ["pooled", "per_image", "units"])
def test_responses_of_a_convolution(conv):
    model = Net(n_channels=4)
    x = images(n=3)
    maps = model.conv(x)
    loss = ActivationSimilarity((2, 2))
    expected = {
        "pooled": lambda: loss(maps.movedim(1, -1).reshape(-1, 4)),
        "per_image": lambda: sum(loss(image.reshape(4, -1).T) for image in maps) / 3,
        "units": lambda: ActivationSimilarity((8, 8))(maps.reshape(3, -1)),
    }[conv]()
    topo = TopographicLoss({"conv": "as"}, conv=conv).attach(model)
    model(x)
    torch.testing.assert_close(topo(model), expected)
    torch.testing.assert_close(topo.values_["conv", "as"], expected.item())


def test_weights_are_a_row_a_channel_whatever_conv_is():
    model = Net()
    topo = TopographicLoss({"conv": ["ws", "as"]}, conv="units").attach(model)
    model(images())
    topo(model)
    shapes = {key: loss.grid.shape for key, loss in topo.losses.items()}
    assert shapes == {"conv:ws": (2, 3), "conv:as": (8, 12)}


def test_grid_shapes():
    model = Net()
    shapes = {"fc": (2, 6), "relu": (1, 6)}
    topo = TopographicLoss(TERMS, grid_shapes=shapes).attach(model)
    model(images())
    topo(model)
    found = {key: loss.grid.shape for key, loss in topo.losses.items()}
    assert found["conv:ws"] == (2, 3)
    assert found["fc:WeightSimilarity"] == (2, 6)
    assert found["relu:as"] == (1, 6)


def test_a_grid_gives_its_torus():
    grid = Grid((3, 4), "von_neumann", wrap=True)
    topo = TopographicLoss({"fc": "ws"}, grid_shapes={"fc": grid}).attach(Net())
    (loss,) = topo.losses.values()
    assert loss.grid == grid
    with pytest.raises(TypeError, match=r"'fc'.*no setting neighborhood and no wrap"):
        TopographicLoss({"fc": "laplacian"}, grid_shapes={"fc": grid}).attach(Net())


def test_one_image_is_too_few_to_compare_responses():
    topo = TopographicLoss({"fc": "as"}).attach(model := Net())
    model(images()[:1])
    with pytest.raises(ValueError, match=r"'fc' compares responses over 2.*got 1"):
        topo(model)
    topo = TopographicLoss({"conv": "as"}).attach(model)
    model(images()[:1])  # positions are further images
    topo(model)


def test_names_of_several_losses_of_one_layer():
    terms = {"fc": ["ws", "ws", WeightSimilarity, partial(WeightSimilarity)]}
    topo = TopographicLoss({**terms, "conv": make_learned}).attach(model := Net())
    model(images())
    topo(model)
    of_fc = ["ws", "ws_2", "WeightSimilarity", "WeightSimilarity_2"]
    assert list(topo.values_) == [*(("fc", n) for n in of_fc), ("conv", "make_learned")]


def test_outputs_of_several_axes():
    """Blocks, and linear layers on sequences, which have their units last."""

    class Blocks(nn.Sequential):
        pass

    model = nn.Sequential(Blocks(nn.Linear(4, 6), nn.Tanh()), nn.Linear(6, 8))
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    topo = TopographicLoss({"1": "as"}).attach(model)
    expected = ActivationSimilarity((2, 4))(model(x).reshape(-1, 8))
    model(x)
    torch.testing.assert_close(topo(model), expected)
    flat = TopographicLoss({"0": "as"}).attach(model)
    expected = ActivationSimilarity((2, 3))(model[0](x[:, 0]))
    model(x[:, 0])
    torch.testing.assert_close(flat(model), expected)


def test_a_layer_that_runs_twice_gives_the_mean():
    model = Net()
    model.again = True
    topo = TopographicLoss({"conv": "as", "fc": "ws"}, reduction="none").attach(model)
    loss = ActivationSimilarity((2, 3))
    model(images())
    outputs = [
        model.conv(x).movedim(1, -1).reshape(-1, 6) for x in (images(), 2 * images())
    ]
    found = topo(model)
    expected = (loss(outputs[0]) + loss(outputs[1])) / 2
    torch.testing.assert_close(found["conv", "as"], expected)


def test_the_last_forward_pass_counts():
    model = Net()
    topo = TopographicLoss(TERMS).attach(model)
    model(images(1))
    model(images(2))
    last = topo(model).item()
    model(images(2))
    assert topo(model).item() == last


# ------------------------------------------------------------------- never out of date


def test_stale_activations_raise():
    model = Net()
    topo = TopographicLoss(TERMS).attach(model)
    with pytest.raises(RuntimeError, match=r"'conv' are stale.*no forward pass"):
        topo(model)
    model(images())
    topo(model)
    with pytest.raises(RuntimeError, match="stale"):
        topo(model)
    model.out(F.relu(model.hidden(images())))  # its parts, not the model
    with pytest.raises(RuntimeError, match="the attached model itself"):
        topo(model)


def test_weights_are_never_stale():
    model = Net()
    topo = TopographicLoss({"fc": "ws"}).attach(model)
    assert not hooks(model)
    first = topo(model).item()
    with torch.no_grad():
        model.fc.weight *= 2
    assert topo(model).item() == pytest.approx(2 * first)


def test_hooks_only_for_what_is_read_and_one_a_layer():
    model = Net()
    TopographicLoss({"fc": "ws"}).attach(model)
    assert not hooks(model)
    topo = TopographicLoss({"fc": ["ws", "as", "inverse_distance"]}).attach(model)
    assert len(model.fc._forward_hooks) == 1
    assert len(hooks(model)) == 2  # and where a pass begins
    topo.remove()
    assert not hooks(model)


def test_forward_without_gradients():
    model = Net()
    topo = TopographicLoss(TERMS).attach(model)
    with torch.no_grad():
        model(images())
    with pytest.raises(RuntimeError, match=r"ran without gradients.*no_grad"):
        topo(model)
    with torch.no_grad():
        model(images())
        assert not topo(model).requires_grad
    with torch.inference_mode():
        model(images())
        value = topo(model).item()
    assert np.isfinite(value)
    model.requires_grad_(False)  # frozen: there is nothing to be had
    model(images())
    assert topo(model).item() == pytest.approx(value)


@pytest.mark.parametrize("apart", [False, True])
def test_checkpoints(apart):
    """Layers that run again in the backward pass are not read again."""
    model = Net()
    topo = TopographicLoss(TERMS, lam=0.3).attach(model)
    _, expected = by_hand(model, images())
    model.reentrant = False
    if apart:  # the task's backward pass first
        task = model(images()).square().mean()
        model.zero_grad()
        task.backward(retain_graph=True)
        total = topo(model)
        total.backward()
        found = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
        found = (task + total).item(), found
    else:
        found = step(model, topo)
    assert_same(found, expected)
    with pytest.raises(RuntimeError, match="stale"):
        topo(model)


def test_the_whole_model_in_a_checkpoint():
    model = Net()
    topo = TopographicLoss(TERMS, lam=0.3).attach(model)
    _, expected = by_hand(model, images())
    loss = checkpoint(model, images(), use_reentrant=False).square().mean()
    loss = loss + topo(model)
    assert_same((loss.item(), gradients(model, loss)), expected)
    with pytest.raises(RuntimeError, match="stale"):
        topo(model)


def test_reentrant_checkpoints_raise():
    model = Net()
    model.reentrant = True
    topo = TopographicLoss(TERMS).attach(model)
    model(images().requires_grad_())
    with pytest.raises(RuntimeError, match="use_reentrant=False"):
        topo(model)


def test_nothing_grows():
    """Neither objects nor graphs, over steps and over passes that nobody reads."""
    model = Net()
    topo = TopographicLoss({"conv": "ws", "fc": "as"}, lam=0.3).attach(model)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    def tensors():
        gc.collect()
        return sum(type(thing) is torch.Tensor for thing in gc.get_objects())

    counts = []
    for i in range(60):
        optimizer.zero_grad()
        step(model, topo)
        optimizer.step()
        if i in (5, 59):
            counts.append(tensors())
    assert counts[0] == counts[1]
    for _ in range(3):
        model(images())
    read = tensors()
    for _ in range(50):
        model(images())
    assert tensors() == read
    topo(model)
    assert tensors() <= counts[0]


class Marked(torch.autograd.Function):
    """Keeps a mark for as long as the graph lives."""

    @staticmethod
    def forward(ctx, x, mark):
        ctx.mark = mark
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def test_no_graph_is_kept_alive():
    class Mark:
        pass

    model, mark = Net(), Mark()
    topo = TopographicLoss(TERMS).attach(model)
    answers = model(Marked.apply(images().requires_grad_(), mark))
    value = topo(model)
    alive = weakref.ref(mark)
    del answers, mark
    gc.collect()
    assert alive() is not None  # the value's graph
    del value
    gc.collect()
    assert alive() is None
    assert np.isfinite(list(topo.values_.values())).all()


# --------------------------------------------------------------- modes, dtypes, devices


def test_losses_follow_the_mode_of_the_model():
    model = Net()
    draw = partial(SpatialCorrelation, radius=1.5, seed=3)
    topo = TopographicLoss({"fc": draw}).attach(model)
    (loss,) = topo.losses.values()

    def value():
        model(images())
        return topo(model).item()

    drawn = [value() for _ in range(4)]
    assert len(set(drawn)) > 1
    assert int(loss.step) == 4
    model.eval()
    assert value() == value()
    assert int(loss.step) == 4
    model.train()
    topo.eval()
    value()
    assert int(loss.step) == 4


def test_a_loss_can_learn_and_its_state_is_kept():
    model = Net()
    topo = TopographicLoss({"fc": Learned, "conv": "ws"}).attach(model)
    step(model, topo)
    assert [name for name, _ in topo.named_parameters()] == ["losses.fc:Learned.gain"]
    assert topo.losses["fc:Learned"].gain.grad is not None
    with torch.no_grad():
        topo.losses["fc:Learned"].gain.fill_(3)
    other = TopographicLoss({"fc": Learned, "conv": "ws"}).attach(Net(1))
    other.load_state_dict(topo.state_dict())
    assert other.losses["fc:Learned"].gain.item() == 3
    topo.attach(Net(2))  # what fits is kept
    assert topo.losses["fc:Learned"].gain.item() == 3
    topo.attach(wide := Net(2))
    wide.fc = nn.Linear(96, 20)
    topo.attach(wide)
    assert topo.losses["fc:Learned"].grid_shape == (4, 5)


@pytest.mark.parametrize("loss", [Learned, ActivationSimilarity])
def test_losses_compute_in_float32_under_autocast(loss):
    model = Net()
    topo = TopographicLoss({"fc": [loss, "ws"]}).attach(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images()).dtype == torch.bfloat16
        value = topo(model)
    assert value.dtype == torch.float32
    assert gradients(model, value)["fc.weight"].isfinite().all()
    if loss is Learned:
        given = topo.losses["fc:Learned"].given
        assert given == (torch.float32, False, (5, 12))


def test_a_model_that_changes_its_dtype():
    model = Net()
    topo = TopographicLoss(TERMS).attach(model)
    model(images())
    single = topo(model)
    model.double()
    model(images().double())
    double = topo(model)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(double.float(), single)
    model.bfloat16()
    model(images().bfloat16())
    assert topo(model).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_an_accelerator():
    terms = {**TERMS, "fc": ["laplacian", "spatial_correlation", "inverse_distance"]}
    model = Net()
    topo = TopographicLoss(terms, lam=0.3).attach(model)
    value, expected = step(model, topo)
    values = topo.values_
    model.to("cuda")
    found, grads = step(model, topo, images().to("cuda"))
    assert found == pytest.approx(value, rel=1e-5)
    assert topo.values_ == pytest.approx(values, rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(grads[name].cpu(), gradient, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------ copies and pickles


def through_torch(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_pickle(thing):
    return pickle.loads(pickle.dumps(thing))


copies = pytest.mark.parametrize("how", [copy.deepcopy, through_pickle, through_torch])
moments = pytest.mark.parametrize("moment", ["new", "after a pass", "after a step"])


def attached(moment):
    model = Net()
    topo = TopographicLoss(TERMS, lam=0.3).attach(model)
    if moment == "after a pass":
        model(images(3))
    if moment == "after a step":
        step(model, topo, images(3))
    return model, topo


@copies
@moments
@pytest.mark.parametrize("first", ["model", "topo"])
def test_copied_together(how, moment, first):
    model, topo = attached(moment)
    if first == "model":
        other, others = how((model, topo))
    else:
        others, other = how((topo, model))
    assert others.values_ == topo.values_
    _, expected = by_hand(model, images())
    assert_same(step(other, others), expected)
    with pytest.raises(RuntimeError, match="stale"):  # that pass was the other's
        topo.__class__.forward(others, other)
    assert_same(step(model, topo), expected)
    for mine, wrong in ((topo, other), (others, model)):
        wrong(images())
        with pytest.raises(ValueError, match="a copy of the model"):
            mine(wrong)
    others.remove()
    assert (len(hooks(other)), len(hooks(model))) == (0, 4)


@moments
def test_a_copy_of_the_model_alone_has_no_hooks(moment):
    model, topo = attached(moment)
    other = copy.deepcopy(model)
    assert not hooks(other)
    assert len(hooks(model)) == 4
    other.register_forward_hook(lambda *args: None)
    other(images())
    _, expected = by_hand(model, images())
    assert_same(step(model, topo), expected)
    again = TopographicLoss(TERMS, lam=0.3).attach(other)
    assert_same(step(other, again), expected)


@pytest.mark.parametrize("how", [through_pickle, through_torch])
@moments
def test_an_unpickled_model_alone_has_hooks_that_do_nothing(how, moment):
    model, _ = attached(moment)
    other = how(model)
    other(images())
    assert all(hook.forward_pass.outputs is None for hook in hooks(other))
    again = TopographicLoss(TERMS, lam=0.3).attach(other)
    _, expected = by_hand(model, images())
    assert_same(step(other, again), expected)


@copies
@moments
def test_a_copy_of_the_loss_alone_is_to_be_attached(how, moment):
    model, topo = attached(moment)
    others = how(topo)
    assert others.values_ == topo.values_
    assert len(hooks(model)) == 4
    model(images())
    with pytest.raises(ValueError, match=r"Call topo.attach\(model\)"):
        others(model)
    other = Net()
    others.attach(other)
    _, expected = by_hand(model, images())
    assert_same(step(other, others), expected)


def test_the_loss_as_a_part_of_the_model():
    model, topo = attached("after a pass")
    model.topo = topo
    other = copy.deepcopy(model)
    _, expected = by_hand(Net(), images())
    assert_same(step(other, other.topo), expected)
    other = through_pickle(model)
    assert_same(step(other, other.topo), expected)


def test_the_state_of_the_model_is_as_before():
    model = Net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = [name for name, _ in model.named_modules()]
    topo = TopographicLoss(TERMS).attach(model)
    model(images())
    topo(model)
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [name for name, _ in model.named_modules()] == names
    assert not set(topo.modules()) & set(model.modules())
    assert not list(topo.parameters())


def test_remove_and_attach_again():
    model = Net()
    topo = TopographicLoss(TERMS, lam=0.3)
    with pytest.raises(RuntimeError, match="attached to no model"):
        topo(model)
    assert topo.attach(model) is topo
    topo.remove()
    topo.remove()
    assert not hooks(model)
    model(images())
    with pytest.raises(RuntimeError, match="attached to no model"):
        topo(model)
    topo.attach(model)
    topo.attach(model)
    assert len(hooks(model)) == 4
    topo.attach(other := Net(1))
    assert not hooks(model)
    _, expected = by_hand(other, images())
    assert_same(step(other, topo), expected)


def test_hooks_go_with_the_loss():
    model = Net()
    topo = TopographicLoss(TERMS).attach(model)
    assert hooks(model)
    del topo
    gc.collect()
    assert not hooks(model)


def test_a_failed_attach_leaves_nothing():
    model = Net()
    topo = TopographicLoss({"conv": "as", "fcc": "as"})
    with pytest.raises(ValueError, match="fcc"):
        topo.attach(model)
    assert not hooks(model)


# ----------------------------------------------------------------- wrappers and devices


def test_two_models_of_one_class():
    models = [Net(seed) for seed in (0, 1)]
    losses = [TopographicLoss(TERMS, lam=0.3).attach(model) for model in models]
    for model in models:
        model(images())
    for i, model in enumerate(models):
        with pytest.raises(ValueError, match="another model"):
            losses[1 - i](model)
    for model, topo in zip(models, losses, strict=True):
        _, expected = by_hand(model, images())
        assert_same(step(model, topo), expected)


def test_a_layer_that_was_replaced():
    model = Net()
    topo = TopographicLoss({"fc": "ws"}).attach(model)
    model.fc = nn.Linear(96, 12)
    with pytest.raises(ValueError, match="layer was replaced"):
        topo(model)


@pytest.mark.parametrize("attach_to", ["wrapper", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_data_parallel(attach_to, prefix):
    model = Net()
    wrapper = nn.DataParallel(model)
    terms = {prefix + name: loss for name, loss in TERMS.items()}
    topo = TopographicLoss(terms, lam=0.3)
    topo.attach(wrapper if attach_to == "wrapper" else model)
    _, expected = by_hand(model, images())
    loss = wrapper(images()).square().mean() + topo(wrapper)
    assert_same((loss.item(), gradients(model, loss)), expected)
    wrapper.device_ids = [0, 1]
    with pytest.raises(RuntimeError, match="DistributedDataParallel"):
        topo(wrapper)


@pytest.fixture
def compiler():
    torch.compiler.reset()
    yield partial(torch.compile, backend="eager", fullgraph=True)
    torch.compiler.reset()


# torch itself looks at gradients of what is no leaf, and hides the warning from all
# but those who made an error of it
gently = pytest.mark.filterwarnings("ignore:The .grad attribute")


@pytest.mark.parametrize("way", ["torch.compile", "in place", "the wrapper attached"])
def test_compiled_after_it_was_attached(compiler, way):
    model = Net()
    topo = TopographicLoss(TERMS, lam=0.3)
    if way == "the wrapper attached":
        compiled = compiler(model)
        topo.attach(compiled)
    else:
        topo.attach(model)
        compiled = model if way == "in place" else compiler(model)
        if way == "in place":
            model.compile(backend="eager", fullgraph=True)
    for seed in range(3):
        _, expected = by_hand(model, images(seed))
        loss = compiled(images(seed)).square().mean() + topo(compiled)
        assert_same((loss.item(), gradients(model, loss)), expected)
        with pytest.raises(RuntimeError, match="stale"):
            topo(compiled)
    topo.remove()
    compiled(images())
    with pytest.raises(RuntimeError, match="no model"):
        topo(compiled)


def test_compiled_before_it_was_attached(compiler):
    model = Net()
    compiled = compiler(model)
    compiled(images())
    topo = TopographicLoss(TERMS, lam=0.3).attach(model)
    compiled(images())
    with pytest.raises(RuntimeError, match=r"torch.compiler.reset\(\)"):
        topo(compiled)
    torch.compiler.reset()
    _, expected = by_hand(model, images())
    loss = compiled(images()).square().mean() + topo(compiled)
    assert_same((loss.item(), gradients(model, loss)), expected)


def test_compiled_models_of_one_class(compiler):
    """What is compiled for one does not write into the other's loss."""
    models = [Net(seed) for seed in (0, 1, 2)]
    losses = [TopographicLoss(TERMS, lam=0.3).attach(model) for model in models[:2]]
    compiled = [compiler(model) for model in models]
    pairs = list(zip(models, compiled, losses, strict=False))

    def check():
        for model, wrapper, topo in pairs:
            _, expected = by_hand(model, images())
            loss = wrapper(images()).square().mean() + topo(wrapper)
            assert_same((loss.item(), gradients(model, loss)), expected)

    check()
    check()
    compiled[2](images())  # one that has no hooks
    for model, wrapper, topo in pairs:
        with pytest.raises(RuntimeError, match="stale"):
            topo(model)
        wrapper(images())  # torch takes the code without hooks for it
        with pytest.raises(RuntimeError, match="skip_nnmodule_hook_guards = False"):
            topo(model)
    torch.compiler.reset()
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
        compiled[2](images())
        check()
        compiled[2](images())
        check()


@gently
def test_a_compiled_step(compiler):
    model = Net()
    topo = TopographicLoss({"fc": "as"}, lam=0.3).attach(model)

    @partial(torch.compile, backend="eager")
    def run(x):
        return model(x).square().mean() + topo(model)

    expected = step(model, topo)
    for _ in range(2):
        loss = run(images())
        assert_same((loss.item(), gradients(model, loss)), expected)


@gently
def test_a_compiled_part(compiler):
    model = Net()
    _, expected = by_hand(model, images())
    model.fc = compiler(model.fc)
    topo = TopographicLoss(TERMS, lam=0.3).attach(model)
    value, grads = step(model, topo)
    plain = {name.replace("_orig_mod.", ""): grad for name, grad in grads.items()}
    assert_same((value, plain), expected)


def work(rank, file):
    """What one process of two does; it raises where the gradients are wrong."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{file}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(minutes=5),  # for the other to begin
    )
    model = Net()
    parts = [images(seed) for seed in (0, 1)]
    local = [by_hand(model, part)[1][1] for part in parts]
    model.zero_grad()
    expected = {name: (local[0][name] + local[1][name]) / 2 for name in local[0]}
    wrapper = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    topo = TopographicLoss(TERMS, lam=0.3).attach(wrapper)
    for _ in range(2):
        model.zero_grad()
        loss = wrapper(parts[rank]).square().mean() + topo(wrapper)
        loss.backward()
        for name, gradient in expected.items():
            torch.testing.assert_close(model.get_parameter(name).grad, gradient)
    weights = {key: v for key, v in topo.values_.items() if "w" in key[1].lower()}
    known = by_hand(model, parts[0])[0]
    assert len(weights) == 2
    for key, value in weights.items():
        assert abs(value - known[key].item()) < 1e-6
    torch.distributed.destroy_process_group()


def work_second(_, file):
    work(1, file)


@pytest.mark.filterwarnings("default")  # torch has some of its own
def test_two_processes(tmp_path):
    """Gradients are the mean of what each process would have alone."""
    file = str(tmp_path / "meeting")
    other = torch.multiprocessing.spawn(work_second, (file,), nprocs=1, join=False)
    work(0, file)
    other.join()


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: TopographicLoss({}), ValueError, "terms must be a dict"),
        (lambda: TopographicLoss(["fc"]), ValueError, "terms must be a dict"),
        (lambda: TopographicLoss({"fc": []}), ValueError, "is empty"),
        (lambda: TopographicLoss({"fc": "wss"}), ValueError, r"no loss.*'ws'"),
        (lambda: TopographicLoss({"fc": 3}), TypeError, "must be a loss class"),
        (
            lambda: TopographicLoss({"fc": WeightSimilarity((3, 4))}),
            TypeError,
            "must be a loss class",
        ),
        (
            lambda: TopographicLoss({"fc": "ws"}, {"fc": 1, "fcc": 2}),
            ValueError,
            r"lam names \['fcc'\].*\['fc'\]",
        ),
        (
            lambda: TopographicLoss({"fc": "ws", "conv": "ws"}, {"fc": 1}),
            ValueError,
            r"no weight for \['conv'\]",
        ),
        (lambda: TopographicLoss({"fc": "ws"}, -1), ValueError, "at least 0"),
        (lambda: TopographicLoss({"fc": "ws"}, {"fc": "a"}), ValueError, "at least 0"),
        (lambda: TopographicLoss({"fc": "ws"}, np.nan), ValueError, "at least 0"),
        (
            lambda: TopographicLoss({"fc": "ws"}, grid_shapes={"fcc": (3, 4)}),
            ValueError,
            "grid_shapes names",
        ),
        (
            lambda: TopographicLoss({"fc": "ws"}, grid_shapes={"fc": 12}),
            ValueError,
            "two positive integers",
        ),
        (lambda: TopographicLoss({"fc": "ws"}, conv="x"), ValueError, "conv must be"),
        (
            lambda: TopographicLoss({"fc": "ws"}, reduction="x"),
            ValueError,
            "reduction must be",
        ),
    ],
)
def test_errors_at_the_start(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(
    ("terms", "kind", "message"),
    [
        ({"fcc": "ws"}, ValueError, r"layer='fcc' is no layer of this Net.*'fc'"),
        ({3: "ws"}, ValueError, "layer=3 is no layer"),
        ({"relu": "ws"}, ValueError, "'relu' is a ReLU, which has no weights"),
        (
            {"fc": partial(LaplacianPyramid, distance="cosine")},
            TypeError,
            "layer 'fc'.*unexpected keyword argument 'distance'",
        ),
        ({"fc": not_a_loss}, TypeError, "layer 'fc'.*source"),
        ({"out": partial(WeightSimilarity, distance="x")}, ValueError, "layer 'out'"),
    ],
)
def test_errors_of_attach(terms, kind, message):
    with pytest.raises(kind, match=message):
        TopographicLoss(terms).attach(Net())


def test_no_model():
    with pytest.raises(TypeError, match=r"model must be an nn\.Module; got dict"):
        TopographicLoss({"fc": "ws"}).attach({})


def test_a_grid_that_does_not_fit():
    match = r"grid_shapes\['fc'\]=\(3, 3\) has 9 units, but 12"
    with pytest.raises(ValueError, match=match):
        TopographicLoss({"fc": "as"}, grid_shapes={"fc": (3, 3)}).attach(Net())
    topo = TopographicLoss({"relu": "as"}, grid_shapes={"relu": (3, 3)})
    topo.attach(model := Net())
    model(images())
    with pytest.raises(ValueError, match="9 units, but 6 are read"):
        topo(model)


def test_a_layer_that_never_ran():
    topo = TopographicLoss({"fc": "as", "aside": "as"}).attach(model := Net())
    model(images())
    with pytest.raises(RuntimeError, match="'aside' did not run in the last forward"):
        topo(model)


def test_a_layer_that_gives_no_tensor():
    model = nn.Sequential(nn.LSTM(3, 4, batch_first=True))
    topo = TopographicLoss({"0": "as"}).attach(model)
    model(torch.zeros(2, 5, 3))
    with pytest.raises(ValueError, match="a LSTM, gives tuple"):
        topo(model)


def test_a_function_that_does_not_say_what_it_reads():
    topo = TopographicLoss({"relu": lambda shape: WeightSimilarity(shape)})
    topo.attach(model := Net())
    model(images())
    with pytest.raises(ValueError, match="attribute `source` = 'weights'"):
        topo(model)


def test_a_prime_number_of_channels_only_warns():
    model = Net(n_channels=7)
    with pytest.warns(UserWarning, match="7 units, a prime number") as caught:
        topo = TopographicLoss({"conv": "ws", "relu": "as"}).attach(model)
    assert [w.filename for w in caught] == [__file__]
    model(images())
    with pytest.warns(UserWarning, match="7 units") as caught:
        topo(model)
    assert [w.filename for w in caught] == [__file__]
    model(images())
    topo(model)  # once


def test_a_list_within_a_list_of_losses():
    with pytest.raises(TypeError, match=r"terms\['0'\] must be .*got \['ws'\]"):
        TopographicLoss({"0": [["ws"]]})
