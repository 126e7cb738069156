"""The loss of TopoNets, against the values of its own code and against the formula."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sktopo.losses import LaplacianPyramid
from sktopo.losses.reading import unit_weights
from sktopo.losses.registry import make_loss

RIVALS = np.load(Path(__file__).parents[1] / "oracles" / "rival_losses.npz")
CASES = [
    name for name in RIVALS.files if name.startswith("topoloss/") and "_fw" in name
]


def value_and_gradient(loss, x):
    x = x.clone().requires_grad_()
    value = loss(x)
    value.backward()
    return value.item(), x.grad


def formula(weights, shape, factor, mode="bilinear"):
    """1 - mean cos(w_u, up(down(w))_u), as it is written, with images of sheets."""
    sheets = weights.T.reshape(1, -1, *shape)
    aligned = {"align_corners": False} if mode == "bilinear" else {}
    scales = tuple(1 / f for f in factor)
    small = F.interpolate(sheets, scale_factor=scales, mode=mode, **aligned)
    blurred = F.interpolate(small, size=shape, mode=mode, **aligned)
    return 1 - F.cosine_similarity(weights, blurred.reshape(weights.T.shape).T).mean()


def random_weights(n_units, fan_in, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_units, fan_in, generator=generator, dtype=torch.float64)


def test_there_are_cases():
    assert len(CASES) > 100


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_of_the_published_code(case):
    _, layer, settings = case.split("/")
    high, wide, mode = settings.split("_")
    loss = LaplacianPyramid(
        RIVALS[f"topoloss/{layer}/sheet"], (float(high[2:]), float(wide[2:])), mode
    )
    weights = torch.from_numpy(RIVALS[f"topoloss/{layer}/weight"])
    module = torch.nn.Linear(1, 1, dtype=torch.float64)
    if weights.ndim == 4:
        module = torch.nn.Conv2d(1, 1, 1, dtype=torch.float64)
    module.weight = torch.nn.Parameter(weights)
    value = loss(unit_weights(module, layer))
    value.backward()
    found = value.item(), module.weight.grad.norm().item()
    assert found == pytest.approx(RIVALS[case], abs=1e-9)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("shape", "fan_in", "factor"),
    [((6, 10), 20, (2, 8)), ((16, 32), 4, (8, 8)), ((1, 13), 8, (1, 3))],
)
def test_sheets_that_the_published_code_refuses(shape, fan_in, factor, mode):
    weights = random_weights(shape[0] * shape[1], fan_in)
    value, gradient = value_and_gradient(LaplacianPyramid(shape, factor, mode), weights)
    wanted, slope = value_and_gradient(
        partial(formula, shape=shape, factor=factor, mode=mode), weights
    )
    assert value == pytest.approx(wanted, abs=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=0, atol=1e-12)


def test_the_order_of_the_inputs_does_not_matter():
    weights = random_weights(60, 9)
    loss = LaplacianPyramid((6, 10))
    mixed = weights[:, torch.randperm(9, generator=torch.Generator().manual_seed(0))]
    assert loss(mixed).item() == pytest.approx(loss(weights).item(), rel=1e-14)
    assert (
        abs(
            loss(
                weights[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
            ).item()
            - loss(weights).item()
        )
        > 1e-6
    )


def test_directions_alone_matter():
    weights = random_weights(60, 9)
    loss = LaplacianPyramid((6, 10))
    assert loss(1e-7 * weights).item() == pytest.approx(loss(weights).item(), rel=1e-12)


def test_one_factor_serves_both_axes():
    assert LaplacianPyramid((6, 10), 2).factor == (2.0, 2.0)


def test_the_largest_factor_makes_one_row():
    """1 / 49 times 49 is less than 1 in floating point."""
    assert any(n * (1 / n) < 1 for n in range(2, 64))
    for n in range(2, 64):
        assert len(LaplacianPyramid((n, 2), (n, 2)).down) == 1
    weights = random_weights(98, 3)
    middle = weights.view(49, 2, 3)[24].mean(dim=0)
    wanted = 1 - torch.cosine_similarity(weights, middle[None]).mean()
    found = LaplacianPyramid((49, 2), (49, 2))(weights)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-12)


@pytest.mark.parametrize(
    ("factor", "shape"),
    [
        ((3, 3), (1, 13)), ((7, 3), (6, 10)), ((3, 11), (6, 10)), ((0.5, 2), (6, 10)),
        ((1, 1), (6, 10)), ((2,), (6, 10)), ((2, 2, 2), (6, 10)), ("3", (6, 10)),
        ((float("nan"), 2), (6, 10)), (None, (6, 10)), ((True, 2), (6, 10)),
    ],
)  # fmt: skip
def test_a_factor_that_does_not_fit(factor, shape):
    rows, columns = shape
    wanted = f"1 to {rows} for the rows and 1 to {columns} for the columns, not both 1"
    with pytest.raises(ValueError, match=wanted):
        LaplacianPyramid(shape, factor)


def test_an_unknown_interpolation():
    with pytest.raises(ValueError, match=r"'bilinear', 'nearest'.*got 'cubic'"):
        LaplacianPyramid((6, 10), interpolation="cubic")


@pytest.mark.parametrize(
    "setting", [{"distance": "cosine"}, {"neighborhood": "von_neumann"}, {"wrap": True}]
)
def test_settings_of_other_losses_are_refused(setting):
    (name,) = setting
    with pytest.raises(
        TypeError, match=f"no setting {name}, only factor, interpolation"
    ):
        make_loss("laplacian", (6, 10), **setting)
