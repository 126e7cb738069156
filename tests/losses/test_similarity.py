import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sktopo.grid import Grid
from sktopo.losses import (
    DISTANCES,
    ActivationSimilarity,
    WeightSimilarity,
    neighbor_distance,
)

OFFICIAL = np.load(Path(__file__).parents[1] / "oracles" / "official_values.npz")


def value_and_gradient(loss, x):
    x = x.clone().requires_grad_()
    value = loss(x)
    value.backward()
    return value.item(), x.grad


def reference(distance, a, b):
    """The distance of two vectors, as NumPy and its corrcoef have it."""
    r = np.corrcoef(a, b)[0, 1]
    return {
        "euclidean": np.linalg.norm(a - b),
        "mean_squared": np.mean((a - b) ** 2),
        "cosine": 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b),
        "correlation": 1 - r,
        "squared_correlation": 1 - r**2,
        "absolute_correlation": 1 - abs(r),
    }[distance]


@pytest.mark.parametrize("fan_in", [64, 256])
@pytest.mark.parametrize("distance", ["euclidean", "cosine", "correlation"])
def test_equals_the_published_values(distance, fan_in):
    weights = torch.from_numpy(OFFICIAL[f"weights_{fan_in}"]).double()
    value, gradient = value_and_gradient(WeightSimilarity((11, 11), distance), weights)
    expected = OFFICIAL[f"{distance}_loss_{fan_in}"].item()
    norm = OFFICIAL[f"{distance}_gradnorm_{fan_in}"].item()
    assert value == pytest.approx(expected, rel=1e-6)
    assert gradient.norm().item() == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("neighborhood", ["moore", "von_neumann"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 5)])
@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_is_the_mean_over_pairs(distance, shape, neighborhood, rng):
    vectors = rng.normal(size=(shape[0] * shape[1], 9))
    pairs = Grid(shape, neighborhood).edges
    expected = np.mean([reference(distance, vectors[i], vectors[j]) for i, j in pairs])
    ws = WeightSimilarity(shape, distance, neighborhood)
    assert ws(torch.from_numpy(vectors)).item() == pytest.approx(expected, rel=1e-10)
    activations = ActivationSimilarity(shape, distance, neighborhood)
    assert activations(torch.from_numpy(vectors.T)).item() == pytest.approx(expected)


def test_defaults():
    assert WeightSimilarity((2, 2)).distance == "euclidean"
    assert ActivationSimilarity((2, 2)).distance == "correlation"
    assert (WeightSimilarity.source, ActivationSimilarity.source) == (
        "weights",
        "activations",
    )


def test_untransposed_mixes_units_with_images(rng):
    batch = torch.from_numpy(rng.normal(size=(10, 12)))
    loss = ActivationSimilarity((3, 4), layout="untransposed")
    mixed = WeightSimilarity((3, 4), "correlation")(batch.reshape(12, 10))
    assert loss(batch).item() == pytest.approx(mixed.item())
    assert loss(batch).item() != pytest.approx(
        ActivationSimilarity((3, 4))(batch).item(), rel=1e-3
    )


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_gradient_is_the_slope(distance, rng):
    loss = WeightSimilarity((2, 3), distance)
    x = torch.from_numpy(rng.normal(size=(6, 5))).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x,))


ROWS = st.sampled_from(
    ["zero", "constant", "tenth", "huge", "-huge", "tiny", "normal", "mixed", "ramp"]
)


def row(kind, n):
    rng = np.random.default_rng(3)
    return {
        "zero": np.zeros(n),
        "constant": np.ones(n),
        "tenth": np.full(n, 0.1),
        "huge": np.full(n, 1e30),
        "-huge": -1e30 * np.ones(n),
        "tiny": rng.normal(size=n) * 1e-38,
        "normal": rng.normal(size=n),
        "mixed": rng.normal(size=n) * np.logspace(-30, 30, n),
        "ramp": np.arange(n, dtype=float),
    }[kind]


@given(
    kinds=st.lists(ROWS, min_size=4, max_size=4),
    n=st.sampled_from([1, 2, 7, 64]),
    distance=st.sampled_from(sorted(DISTANCES)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=300, deadline=None)
def test_value_and_gradient_are_finite(kinds, n, distance, dtype):
    vectors = torch.from_numpy(np.stack([row(kind, n) for kind in kinds])).to(dtype)
    loss = WeightSimilarity((2, 2), distance)
    value, gradient = value_and_gradient(loss, vectors)
    assert np.isfinite(value)
    assert gradient.isfinite().all()
    if distance not in ("euclidean", "mean_squared"):
        assert -1e-5 <= value <= 2 + 1e-5


@pytest.mark.parametrize("distance", ["cosine", "correlation"])
@pytest.mark.parametrize("gain", [1e-20, 1.0, 1e20])
def test_angles_do_not_depend_on_scale(distance, gain, rng):
    vectors = torch.from_numpy(rng.normal(size=(4, 8))).float()
    loss = WeightSimilarity((2, 2), distance)
    assert loss(vectors * gain).item() == pytest.approx(loss(vectors).item(), rel=1e-5)


def test_correlation_with_a_constant_vector_counts_as_zero():
    vectors = torch.full((4, 64), 0.1)
    value, gradient = value_and_gradient(
        WeightSimilarity((2, 2), "correlation"), vectors
    )
    assert value == 1
    assert not gradient.any()


def test_equal_vectors_are_at_distance_zero(rng):
    vectors = torch.from_numpy(np.tile(rng.normal(size=8), (4, 1)))
    for distance in DISTANCES:
        loss = WeightSimilarity((2, 2), distance)
        assert loss(vectors).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("given_dtype", "computed"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision(given_dtype, computed):
    x = torch.ones(4, 3, dtype=given_dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert WeightSimilarity((2, 2), "cosine")(x).dtype == computed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightSimilarity((2, 2), "manhattan"), "distance must be one of"),
        (lambda: WeightSimilarity((2, 2), neighborhood="x"), "neighborhood must be"),
        (lambda: ActivationSimilarity((2, 2), layout="x"), "layout must be"),
        (lambda: WeightSimilarity((1, 1)), "no neighbouring units"),
        (lambda: WeightSimilarity((2, 2))(torch.ones(3, 4)), "with 4 units"),
        (lambda: ActivationSimilarity((2, 2))(torch.ones(4, 3)), "with 4 units"),
        (
            lambda: neighbor_distance(torch.ones(2, 2), torch.tensor([[0], [1]]), "x"),
            "distance must be one of",
        ),
    ],
)
def test_errors_name_the_choices(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_no_warning_from_scalars():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WeightSimilarity((2, 2))(torch.zeros(4, 1))


@pytest.mark.parametrize("fan_in", [511, 512, 513, 1300])
def test_wide_weights_are_taken_in_blocks(fan_in):
    """The same as without blocks, in value and gradient, equal neighbours included."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(6, fan_in, dtype=torch.float64, generator=generator)
    weights[1] = weights[0]
    weights.requires_grad_()
    loss = WeightSimilarity((2, 3))
    first, second = loss.edges
    lengths = (weights[first] - weights[second]).norm(dim=1)
    (expected,) = torch.autograd.grad(lengths.mean() * 2, weights)
    (found,) = torch.autograd.grad(loss(weights) * 2, weights)
    torch.testing.assert_close(loss(weights), lengths.mean())
    torch.testing.assert_close(found, expected)
    assert found.isfinite().all()


@pytest.mark.parametrize("fan_in", [5, 600])
def test_second_derivatives(fan_in, monkeypatch):
    """Of a penalty on the gradient, and in torch.func; both were zero for a while."""
    if fan_in > 512:
        monkeypatch.setattr("sktopo.losses.distances._BLOCK", 4)
        fan_in = 9
    weights = torch.randn(4, fan_in, dtype=torch.float64, requires_grad=True)
    loss = WeightSimilarity((2, 2))
    assert torch.autograd.gradgradcheck(loss, weights)
    hessian = torch.autograd.functional.hessian(loss, weights)
    assert hessian.abs().max() > 1e-3
    found = torch.func.grad(loss)(weights.detach())
    torch.testing.assert_close(found, torch.autograd.grad(loss(weights), weights)[0])
