import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from sktopo.grid import Grid
from sktopo.losses import (
    DISTANCES,
    ActivationSimilarity,
    WeightSimilarity,
    neighbor_distance,
)

ORACLES = np.load(Path(__file__).parents[1] / "oracles" / "neighbor_losses.npz")
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


def cases_of(family):
    return sorted({key.split("/")[1] for key in ORACLES if key.startswith(family)})


@pytest.mark.parametrize("case", cases_of("contopo_ws"))
def test_equals_the_local_loss_of_contopo(case):
    weights = torch.from_numpy(ORACLES[f"contopo_ws/{case}/weight"])
    loss = WeightSimilarity(ORACLES[f"contopo_ws/{case}/sheet"])
    value, gradient = value_and_gradient(loss, weights)
    expected = ORACLES[f"contopo_ws/{case}/loss"].item()
    norm = ORACLES[f"contopo_ws/{case}/gradnorm"].item()
    assert value == pytest.approx(expected, rel=1e-9)
    assert gradient.norm().item() == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize(("name", "wrap"), [("torus4", True), ("open4", False)])
@pytest.mark.parametrize(
    "case", sorted(set(cases_of("alltnn")) - {"2x2pos_k2x2_in3_out12"})
)
def test_half_the_cosine_is_the_loss_of_all_tnn(case, name, wrap):
    """Of 4 neighbours on square sheets: it is the mean of the means by direction."""
    vectors = torch.from_numpy(ORACLES[f"alltnn/{case}/sheet_vectors"])
    sheet = ORACLES[f"alltnn/{case}/sheet"]
    loss = WeightSimilarity(sheet, "cosine", "von_neumann", wrap)
    value, gradient = value_and_gradient(loss, vectors)
    expected = ORACLES[f"alltnn/{case}/{name}/loss"].item()
    norm = ORACLES[f"alltnn/{case}/{name}/gradnorm"].item()
    assert value / 2 == pytest.approx(expected, rel=1e-9)
    assert gradient.norm().item() / 2 == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("neighborhood", ["moore", "von_neumann"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (2, 3)])
@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_is_the_mean_over_pairs(distance, shape, neighborhood, wrap, rng):
    vectors = rng.normal(size=(shape[0] * shape[1], 9))
    pairs = Grid(shape, neighborhood, wrap).edges
    expected = np.mean([reference(distance, vectors[i], vectors[j]) for i, j in pairs])
    ws = WeightSimilarity(shape, distance, neighborhood, wrap)
    assert ws(torch.from_numpy(vectors)).item() == pytest.approx(expected, rel=1e-10)
    activations = ActivationSimilarity(shape, distance, neighborhood, wrap=wrap)
    assert activations(torch.from_numpy(vectors.T)).item() == pytest.approx(expected)


def test_defaults():
    assert WeightSimilarity((2, 2)).distance == "euclidean"
    assert ActivationSimilarity((2, 2)).distance == "correlation"
    for cls, source, n in (
        (WeightSimilarity, "weights", 1),
        (ActivationSimilarity, "activations", 2),
    ):
        assert (cls.source, cls.min_images) == (source, n)
        assert not cls((2, 2)).grid.wrap


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


def by_index(distance, vectors, edges):
    """A distance as one would write it, with arrays of all pairs by all values."""
    if distance == "euclidean":
        scale = vectors.detach().abs().max()
        step = (vectors / scale)[edges[0]] - (vectors / scale)[edges[1]]
        return step.norm(dim=1).mean() * scale
    first, second = vectors[edges[0]], vectors[edges[1]]
    if distance == "mean_squared":
        return (first - second).square().mean()
    if distance != "cosine":
        first = first - first.mean(dim=1, keepdim=True)
        second = second - second.mean(dim=1, keepdim=True)
    r = torch.cosine_similarity(first, second)
    power = {"squared_correlation": r.square(), "absolute_correlation": r.abs()}
    return 1 - power.get(distance, r).mean()


SHEETS = [((4, 5), "moore", False), ((4, 5), "moore", True), ((2, 3), "moore", True)]
SHEETS += [((1, 7), "von_neumann", False), ((3, 5), "von_neumann", True)]


@pytest.mark.parametrize("fan_in", [511, 513, 1300])
@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_wide_weights_are_taken_in_blocks(distance, sheet, fan_in):
    """The same as without blocks, in value and gradient, equal neighbours included."""
    loss = WeightSimilarity(sheet[0], distance, *sheet[1:])
    generator = torch.Generator().manual_seed(0)
    shape = loss.grid.n_units, fan_in
    weights = torch.randn(shape, dtype=torch.float64, generator=generator)
    weights[1] = weights[0]
    weights.requires_grad_()
    expected = by_index(distance, weights, loss.edges)
    torch.testing.assert_close(loss(weights), expected)
    (slope,) = torch.autograd.grad(expected * 2, weights)
    (found,) = torch.autograd.grad(loss(weights) * 2, weights)
    torch.testing.assert_close(found, slope.nan_to_num())  # the norm of no difference
    assert found.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fan_in", [512, 700, 3136])
@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_slices_and_indices_give_the_same_bits(distance, fan_in, dtype):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(30, fan_in, dtype=dtype, generator=generator)
    weights.requires_grad_()
    loss = WeightSimilarity((5, 6), distance)
    found, other = loss(weights), neighbor_distance(weights, loss.edges, distance)
    assert found.item() == other.item()
    slope, other_slope = (
        torch.autograd.grad(value * 0.3, weights)[0] for value in (found, other)
    )
    assert torch.equal(slope, other_slope)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("fan_in", [9, 600])
@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_second_derivatives(distance, fan_in, wrap, monkeypatch):
    """Of a penalty on the gradient, and in torch.func; both were zero for a while."""
    if fan_in > 512:
        monkeypatch.setattr("sktopo.losses.distances._BLOCK", 4)
        fan_in = 9
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(6, fan_in, dtype=torch.float64, generator=generator)
    weights.requires_grad_()
    loss = WeightSimilarity((2, 3), distance, wrap=wrap)
    assert torch.autograd.gradgradcheck(loss, weights)
    hessian = torch.autograd.functional.hessian(loss, weights)
    assert hessian.abs().max() > 1e-3
    found = torch.func.grad(loss)(weights.detach())
    torch.testing.assert_close(found, torch.autograd.grad(loss(weights), weights)[0])


@pytest.mark.parametrize("fan_in", [64, 600])
@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_compiled(distance, fan_in):
    torch.compiler.reset()  # which counts compilations of one piece of code
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(12, fan_in, generator=generator).requires_grad_()
    loss = WeightSimilarity((3, 4), distance, wrap=True)
    torch.compiler.reset()  # it refuses a ninth
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(weights), loss(weights))
    found, expected = (
        torch.autograd.grad(f(weights), weights)[0] for f in (compiled, loss)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("distance", sorted(set(DISTANCES) - {"mean_squared"}))
def test_no_array_of_all_pairs_by_all_values(distance):
    """Of wide vectors, whose pairs are many times as many as their values."""
    weights = torch.randn(512, 1024, generator=torch.Generator().manual_seed(0))
    weights.requires_grad_()
    loss = WeightSimilarity((16, 32), distance)
    largest = [0]

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for part in made if isinstance(made, tuple | list) else (made,):
                if isinstance(part, torch.Tensor):
                    largest[0] = max(largest[0], part.numel())
            return made

    with Watch():
        loss(weights).backward()
    assert largest[0] == weights.numel()
