"""Models whose modules were changed since the fit: saved as they are, or refused."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import fusion, parametrizations, parametrize, prune

from sktopo import TopographicCNNClassifier
from sktopo._saving import serialise


class Plain(nn.Module):
    """A backbone that holds what no state dict holds."""

    def __init__(self, shape):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(shape[0], 6, 3), nn.BatchNorm2d(6))
        self.activation = nn.ReLU()
        self.register_buffer("shift", torch.zeros(6), persistent=False)
        self.scale = 1.0

    def forward(self, images):
        features = self.activation(self.body(images)).mean(dim=(2, 3))
        return features * self.scale + self.shift


@pytest.fixture(scope="module")
def models(digits):
    X, y = digits
    found = {}
    for backbone in ("small", "deep", Plain):
        clf = TopographicCNNClassifier(
            lam=0.3, grid_shape=(3, 3), backbone=backbone, max_epochs=1, lr=0.01,
            random_state=0,
        )  # fmt: skip
        name = backbone if isinstance(backbone, str) else "own"
        found[name] = clf.fit(X[:200], y[:200])
    return found


def convolution(module):
    return next(part for part in module.modules() if isinstance(part, nn.Conv2d))


def swap(module, kind, new):
    """Replace each submodule of a type."""
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if type(part) is kind:
                setattr(parent, name, new(part))


def fuse(module):
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    if not any(isinstance(m, nn.BatchNorm2d) for m in layers):
        return
    fused = fusion.fuse_conv_bn_eval(layers[0].eval(), layers[1].eval())
    swap(module, nn.Conv2d, lambda part: fused if part is layers[0] else part)
    swap(module, nn.BatchNorm2d, lambda p: nn.Identity() if p is layers[1] else p)


class Half(nn.Module):
    def forward(self, weight):
        return weight / 2


class Compiled(nn.Module):
    """What torch.compile does to the names of a state dict, without a compiler."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module

    def forward(self, images):
        return self._orig_mod(images)


def prune_for_good(module):
    prune.l1_unstructured(module.grid, "weight", 0.5)
    prune.remove(module.grid, "weight")


def weight_norm_and_back(module):
    parametrizations.weight_norm(module.grid)
    parametrize.remove_parametrizations(module.grid, "weight")


def quantise(module):
    module.grid = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(module.grid), {nn.Linear}, dtype=torch.qint8
    )[0]


def set_attribute(name, value):
    return lambda module: setattr(module, name, value)


def double_output(module, inputs, output):
    return output * 2


def own_only(change):
    def checked(module):
        if isinstance(module.backbone, Plain):
            change(module.backbone)

    return checked


# Each changes a network in place.
CHANGES = {
    "nothing": lambda module: None,
    "prune": lambda module: prune.l1_unstructured(module.grid, "weight", 0.5),
    "prune for good": prune_for_good,
    "parametrize": lambda module: parametrize.register_parametrization(
        module.readout, "weight", Half()
    ),
    "weight_norm": lambda module: parametrizations.weight_norm(convolution(module)),
    "weight_norm and back": weight_norm_and_back,
    "spectral_norm": lambda module: parametrizations.spectral_norm(module.grid),
    "old spectral_norm": lambda module: nn.utils.spectral_norm(module.grid),
    "fused": fuse,
    "half": lambda module: module.half(),
    "double": lambda module: module.double(),
    "bfloat16": lambda module: module.backbone.bfloat16(),
    "GELU": lambda module: swap(module, nn.ReLU, lambda part: nn.GELU()),
    "other pooling": lambda module: swap(
        module, nn.MaxPool2d, lambda part: nn.AvgPool2d(2)
    ),
    "ReLU in place": lambda module: swap(
        module, nn.ReLU, lambda part: nn.ReLU(inplace=True)
    ),
    "compiled": lambda module: setattr(module, "backbone", Compiled(module.backbone)),
    "quantised": quantise,
    "extra buffer": lambda module: module.register_buffer("extra", torch.zeros(1)),
    "extra parameter": lambda module: module.grid.register_parameter(
        "extra", nn.Parameter(torch.zeros(1))
    ),
    "extra module": lambda module: module.add_module("extra", nn.Linear(2, 2)),
    "hidden buffer": lambda module: module.register_buffer(
        "hidden", torch.zeros(1), persistent=False
    ),
    "lazy": lambda module: module.add_module("extra", nn.LazyLinear(3)),
    "missing": lambda module: module.grid.register_parameter("bias", None),
    "meta": lambda module: module.to("meta"),
    "larger": set_attribute("readout", nn.Linear(9, 11)),
    "hook": lambda module: module.backbone.register_forward_hook(double_output),
    "hook on the grid": lambda module: module.grid.register_forward_hook(double_output),
    "hook on all": lambda module: module.register_forward_hook(double_output),
    "channels first": lambda module: module.to(memory_format=torch.contiguous_format),
    "frozen": lambda module: module.requires_grad_(False),
    "patched": lambda module: set_attribute(
        "forward", lambda images: images.mean(dim=(2, 3)).repeat(1, 64)
    )(module.backbone),
    "epsilon": lambda module: [
        setattr(m, "eps", 1.0)
        for m in module.modules()
        if isinstance(m, nn.BatchNorm2d)
    ],
    "attribute": own_only(set_attribute("scale", 2.0)),
    "unsaved buffer": own_only(lambda backbone: backbone.shift.fill_(1.0)),
    "state beside": lambda module: setattr(
        module.grid, "get_extra_state", lambda: {"a": 1}
    ),
    "sync": lambda module: nn.SyncBatchNorm.convert_sync_batchnorm(module),
    "not finite": lambda module: module.grid.bias.data.fill_(np.inf),
}
WELCOME = {
    "nothing", "prune for good", "weight_norm and back", "ReLU in place",
    "hidden buffer", "channels first", "frozen",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("backbone", ["small", "deep", "own"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_written_is_readable_or_nothing_is_written(
    change, backbone, models, digits, tmp_path
):
    X, _ = digits
    clf, path = copy.deepcopy(models[backbone]), tmp_path / "model.safetensors"
    models[backbone].save(path)
    before = path.read_bytes()
    CHANGES[change](clf.module_)
    try:
        clf.save(path)
    except ValueError as error:
        assert change not in WELCOME
        text = str(error)
        assert "sav" in text or "pickle" in text
        assert "\n" not in text.strip()
        assert path.read_bytes() == before
        with pytest.raises(ValueError, match=re.escape(text)):
            serialise(clf)
        return
    given = {"backbone": Plain} if backbone == "own" else {}
    again = TopographicCNNClassifier.load(path, **given)
    np.testing.assert_allclose(
        again.predict_proba(X), clf.predict_proba(X), rtol=1e-5, atol=1e-6
    )
    images = torch.from_numpy(X[:9].copy())
    for found, wanted in zip(again.module_(images), clf.module_(images), strict=True):
        torch.testing.assert_close(found, wanted)
    assert again.module_.state_dict().keys() == clf.module_.state_dict().keys()
    again.partial_fit(X[:20], digits[1][:20])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("prune", r"grid\.weight_mask.*grid\.weight_orig"),
        ("half", r"module\.\S+ is torch.float16, and torch.float32 is wanted"),
        ("GELU", r"backbone\.\d+ is GELU, and was ReLU"),
        ("compiled", "_orig_mod"),
        ("hook", "hooks"),
        ("larger", r"readout\.\w+ has shape"),
        ("lazy", r"extra\.\w+"),
    ],
)
def test_what_differs_is_named(change, message, models, tmp_path):
    clf = copy.deepcopy(models["small"])
    CHANGES[change](clf.module_)
    with pytest.raises(ValueError, match=message):
        clf.save(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_was_changed(models, tmp_path):
    clf = copy.deepcopy(models["small"])
    clf.net_.criterion_.topo_loss.register_buffer("extra", torch.zeros(2))
    with pytest.raises(ValueError, match=r"its criterion .*topo_loss\.extra"):
        clf.save(tmp_path / "model.safetensors")


def test_a_compiled_model(models, digits, tmp_path):
    """Compiled in place the state keeps its names; this runs no compiler."""
    X, _ = digits
    clf, path = copy.deepcopy(models["small"]), tmp_path / "model.safetensors"
    clf.module_.compile(backend="eager")
    clf.save(path)
    again = TopographicCNNClassifier.load(path)
    np.testing.assert_array_equal(again.predict(X), models["small"].predict(X))
    clf.module_.backbone = torch.compile(clf.module_.backbone, backend="eager")
    with pytest.raises(ValueError, match="_orig_mod"):
        clf.save(path)


def test_a_factory_that_gives_another_module_each_time(digits, tmp_path):
    X, y = digits
    kinds = iter([nn.ReLU, nn.Tanh])
    clf = TopographicCNNClassifier(
        backbone=lambda shape: nn.Sequential(nn.Flatten(), next(kinds)()),
        grid_shape=(3, 3), max_epochs=1, random_state=0,
    ).fit(X[:60], y[:60])  # fmt: skip
    with pytest.raises(ValueError, match=r"backbone\.1 is ReLU, and was Tanh"):
        clf.save(tmp_path / "model.safetensors")
