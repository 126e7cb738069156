import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from sktopo import TopographicCNNClassifier
from sktopo.networks import (
    BACKBONES,
    Head,
    TopographicNetwork,
    auto_backbone,
    deep_backbone,
    lenet_backbone,
    make_network,
    resnet18_backbone,
    small_backbone,
)

SHAPES = [(1, 1, 1), (1, 1, 10), (3, 1, 1), (1, 8, 8), (3, 32, 32), (2, 13, 9)]


def network(backbone="small", image_shape=(1, 8, 8), **changes):
    head = {
        "n_units": 6,
        "n_classes": 3,
        "dropout": 0.5,
        "mean": torch.full((image_shape[0],), 2.0),
        "std": torch.full((image_shape[0],), 4.0),
        "generator": torch.Generator().manual_seed(0),
    }
    return make_network(backbone, image_shape, **{**head, **changes})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("backbone", "width"), [(small_backbone, 64), (deep_backbone, 256)]
)
def test_features_of_any_image_shape(backbone, width, shape):
    assert backbone(shape).eval()(torch.randn(2, *shape)).shape == (2, width)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_features_of_any_image_shape(name, shape):
    layers = BACKBONES[name](shape)
    images = torch.rand(3, *shape)
    layers(images).square().sum().backward()
    assert any(weights.grad.any() for weights in layers.parameters())
    assert all(weights.grad.isfinite().all() for weights in layers.parameters())
    features = layers.eval()(images)
    assert (features.ndim, len(features)) == (2, 3)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    torch.testing.assert_close(
        layers(images[1:2]), features[1:2]
    )  # no image knows others
    assert network(name, shape).grid.in_features == features.shape[1]


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_takes_no_memory_where_none_is_wanted(name):
    before = torch.get_rng_state()
    with torch.device("meta"):
        empty = network(name, (2, 9, 9))
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    assert torch.equal(torch.get_rng_state(), before)
    assert empty.grid.in_features == network(name, (2, 9, 9)).grid.in_features


def test_an_unknown_backbone_is_told_all_names():
    with pytest.raises(ValueError, match="'backbone' parameter") as error:
        TopographicCNNClassifier(backbone="resnet").fit(np.zeros((4, 9)), [0, 1, 0, 1])
    assert all(repr(name) in str(error.value) for name in ("auto", *BACKBONES))


def test_small_is_the_network_of_the_paper():
    layers = small_backbone((1, 28, 28))
    x = torch.randn(3, 1, 28, 28)
    first, second = (m for m in layers if isinstance(m, nn.Conv2d))
    published = F.max_pool2d(F.relu(first(x)), 2)
    published = F.max_pool2d(F.relu(second(published)), 2).mean(dim=(2, 3))
    torch.testing.assert_close(layers(x), published)
    assert sum(p.numel() for p in layers.parameters()) == 320 + 18496


def test_deep_is_the_network_of_the_paper():
    layers = deep_backbone((3, 32, 32)).eval()
    x = torch.randn(2, 3, 32, 32)
    published = x
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    norms = [m for m in layers if isinstance(m, nn.BatchNorm2d)]
    for i, (convolution, norm) in enumerate(zip(convolutions, norms)):
        published = F.relu(norm(convolution(published)))
        published = F.max_pool2d(published, 2) if i < 3 else published
    torch.testing.assert_close(layers(x), published.mean(dim=(2, 3)))
    assert [c.out_channels for c in convolutions] == [32, 64, 128, 256]


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((1, 28, 28), (7, 7)),
        ((3, 63, 9), (7, 2)),
        ((3, 32, 32), (7, 7)),
        ((1, 40, 57), (7, 7)),
        ((2, 1, 5), (1, 1)),
        ((1, 1, 1), (1, 1)),
    ],
)
def test_lenet_keeps_places(shape, kept):
    layers = lenet_backbone(shape).eval()
    x = torch.randn(2, *shape)
    expected = x
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    norms = [m for m in layers if isinstance(m, nn.BatchNorm2d)]
    assert [c.out_channels for c in convolutions] == [32, 64]
    for convolution, norm in zip(convolutions, norms, strict=True):
        expected = convolution(expected)
        expected = F.max_pool2d(expected, [min(2, n) for n in expected.shape[2:]])
        expected = F.relu(norm(expected))
    expected = F.adaptive_avg_pool2d(expected, kept).flatten(1)
    torch.testing.assert_close(layers(x), expected)
    assert expected.shape == (2, 64 * kept[0] * kept[1])


@pytest.mark.parametrize(
    ("shape", "kernel", "positions"),
    [
        ((1, 28, 28), 3, (28, 28)),
        ((2, 63, 63), 3, (63, 63)),
        ((3, 64, 64), 7, (16, 16)),
        ((3, 20, 64), 7, (5, 16)),
        ((4, 96, 96), 7, (24, 24)),
    ],
)
def test_resnet18_is_torchvisions(shape, kernel, positions):
    torch.manual_seed(0)
    layers = resnet18_backbone(shape).eval()
    assert layers.conv1.kernel_size == (kernel, kernel)
    stem = nn.Sequential(layers.conv1, layers.bn1, layers.relu, layers.maxpool)
    images = torch.randn(2, *shape)
    with torch.no_grad():
        assert stem(images).shape == (2, 64, *positions)
        found = layers(images)
    whole = torchvision.models.resnet18().eval()
    whole.fc, whole.conv1 = nn.Identity(), layers.conv1
    if kernel == 3:
        whole.maxpool = nn.Identity()
    else:
        assert str(layers.conv1)[8:] == str(torchvision.models.resnet18().conv1)[8:]
    whole.load_state_dict(layers.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(whole(images), found)
    assert found.shape == (2, 512)


def test_resnet18_draws_from_the_global_generator_alone():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(resnet18_backbone((1, 8, 8)).state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert not torch.equal(drawn[0]["conv1.weight"], drawn[2]["conv1.weight"])
    std = drawn[0]["conv1.weight"].std().item()
    assert std == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_auto_takes_lenet_for_small_images_and_deep_for_large_ones():
    for shape in [(1, 8, 8), (3, 32, 32), (1, 63, 63), (1, 1, 1)]:
        assert auto_backbone(shape) == "lenet"
    for shape in [(1, 64, 64), (3, 96, 96), (1, 1, 64), (3, 64, 8)]:
        assert auto_backbone(shape) == "deep"
    assert network("auto", (1, 28, 28)).grid.in_features == 64 * 49
    assert network("auto", (1, 64, 64)).grid.in_features == 256


def test_standardises_inside():
    net = network().eval()
    images = torch.randint(0, 17, (4, 1, 8, 8), dtype=torch.uint8)
    by_hand = net.backbone((images.float() - 2) / 4)
    torch.testing.assert_close(net.features(images), by_hand)
    torch.testing.assert_close(net.activations(images), net.grid(by_hand))
    torch.testing.assert_close(net(images), net.readout(F.relu(net.grid(by_hand))))


def test_dropout_draws_from_its_own_generator():
    activations = torch.ones(200, 6)
    net = network().train()
    before = torch.get_rng_state()
    first = net.classify(activations)
    net.generator.manual_seed(0)
    assert torch.equal(net.classify(activations), first)
    assert not torch.equal(net.classify(activations), first)
    net.readout = nn.Identity()
    kept = net.classify(activations)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert kept.mean().item() == pytest.approx(1, abs=0.15)
    assert torch.equal(net.eval().classify(activations), activations)
    assert torch.equal(torch.get_rng_state(), before)


def test_head_equals_the_network(rng):
    net = network().eval()
    images = torch.from_numpy(rng.random((7, 1, 8, 8), dtype=np.float32))
    head = Head.of(net)
    with torch.inference_mode():
        features = net.features(images)
        activations, logits = net.activations(images), net(images)
    np.testing.assert_allclose(
        head.activations(features.numpy()), activations, atol=1e-6
    )
    np.testing.assert_allclose(head.logits(features.numpy()), logits, atol=1e-6)
    assert head.logits(features.numpy()).dtype == np.float32


def test_callable_backbone():
    net = network(lambda shape: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)))
    assert isinstance(net, TopographicNetwork)
    assert net.grid.in_features == 5


def test_callable_that_gives_no_module():
    with pytest.raises(TypeError, match=r"must return an nn.Module.*got str"):
        network(lambda shape: "resnet")


def test_callable_that_keeps_the_image():
    with pytest.raises(ValueError, match=r"features \(n, d\).*\(2, 4, 8, 8\)"):
        network(lambda shape: nn.Conv2d(1, 4, 3, padding=1))
