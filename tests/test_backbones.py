"""Backbones that give something else than features say so in one line."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn

from sktopo import TopographicCNNClassifier

Outputs = namedtuple("Outputs", ["logits", "aux"])

# What a backbone may wrongly make of its features (n, 6).
RESULTS = {
    "tuple": lambda features: (features, features),
    "list": lambda features: [features],
    "dict": lambda features: {"out": features},
    "named tuple": lambda features: Outputs(features, features),
    "None": lambda features: None,
    "array": lambda features: features.detach().numpy(),
    "number": lambda features: 1.0,
    "sum": lambda features: features.sum(),
    "one axis": lambda features: features.mean(dim=1),
    "three axes": lambda features: features[..., None],
    "whole numbers": lambda features: features.long(),
    "complex": lambda features: features.to(torch.complex64),
    "transposed": lambda features: torch.cat([features, features]).T,
    "one image": lambda features: features[:1],
    "wider": lambda features: torch.cat([features, features], dim=1),
}
ONLY_AFTER_ANOTHER = ("wider",)  # as a first answer this is right


class Backbone(nn.Module):
    def __init__(self, result, when):
        super().__init__()
        self.convolution = nn.Conv2d(1, 6, 3)
        self.result = result
        self.when = when

    def forward(self, images):
        features = self.convolution(images).mean(dim=(2, 3))
        return self.result(features) if self.when(self) else features


WHEN = {
    "always": lambda module: True,
    "in training": lambda module: module.training,
}


@pytest.mark.parametrize("when", ["always", "in training"])
@pytest.mark.parametrize("result", RESULTS)
def test_what_is_no_features(result, when, quick, digits):
    X, y = digits
    if when == "always" and result in ONLY_AFTER_ANOTHER:
        return
    quick.set_params(backbone=lambda shape: Backbone(RESULTS[result], WHEN[when]))
    message = r"backbone must map images \(n, 1, 8, 8\) to a tensor of features \(n, "
    with pytest.raises(ValueError, match=message + r"(d|6)\), in training as after it"):
        quick.fit(X[:50], y[:50])
    assert not hasattr(quick, "net_")
    with pytest.raises(ValueError, match=message):
        quick.partial_fit(X[:50], y[:50], range(10))
    assert not hasattr(quick, "net_")


@pytest.mark.parametrize("result", RESULTS)
def test_what_is_no_features_any_more(result, quick, digits):
    X, y = digits
    fitted = quick.set_params(
        backbone=lambda shape: Backbone(RESULTS[result], lambda module: False)
    ).fit(X[:50], y[:50])
    before = fitted.grid_weights_
    fitted.module_.backbone.when = lambda module: True
    for call in (
        lambda: fitted.predict(X[:50]),
        lambda: fitted.partial_fit(X[:50], y[:50]),
        lambda: fitted.set_params(warm_start=True).fit(X[:50], y[:50]),
    ):
        with pytest.raises(ValueError, match="backbone must map images"):
            call()
    assert np.array_equal(fitted.grid_weights_, before)


def test_a_file_with_such_a_backbone(quick, digits, tmp_path):
    X, y = digits
    path = tmp_path / "model.safetensors"
    quick.set_params(backbone=lambda shape: Backbone(None, lambda module: False))
    quick.fit(X[:50], y[:50]).save(path)
    with pytest.raises(ValueError, match=r"backbone must map images.*a tuple"):
        TopographicCNNClassifier.load(
            path, backbone=lambda shape: Backbone(RESULTS["tuple"], WHEN["always"])
        )


def test_bfloat16_features_are_welcome(quick, digits):
    X, y = digits
    quick.set_params(precision="bfloat16", max_epochs=1)
    quick.set_params(backbone=lambda shape: Backbone(None, lambda module: False))
    assert quick.fit(X[:50], y[:50]).transform(X[:2]).dtype == np.float32
