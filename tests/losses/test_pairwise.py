"""Losses of all pairs, against published code, NumPy, and what they say of draws."""

import copy
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sktopo.losses import InverseDistance, SpatialCorrelation
from sktopo.losses.reading import loss_value, unit_responses
from sktopo.losses.registry import make_loss

RIVALS = np.load(Path(__file__).parents[1] / "oracles" / "rival_losses.npz")
FORMS = ("relative", "absolute")
every_form = pytest.mark.parametrize("form", FORMS)
every_loss = pytest.mark.parametrize(
    "factory",
    [
        partial(SpatialCorrelation, form="relative"),
        partial(SpatialCorrelation, form="absolute"),
        InverseDistance,
    ],
    ids=["relative", "absolute", "inverse_distance"],
)


def cases(family):
    """Names of the cases of a family."""
    names = {name.split("/")[1] for name in RIVALS.files if name.startswith(family)}
    return sorted(names)


def value_and_gradient(loss, x):
    x = x.clone().requires_grad_()
    value = loss(x)
    value.backward()
    return value.item(), x.grad


def value_and_norm(loss, x):
    value, gradient = value_and_gradient(loss, torch.from_numpy(x))
    return value, gradient.norm().item()


def random_responses(n_images, n_units, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_images, n_units, generator=generator, dtype=dtype)


def compared(loss, A, points):
    """The formula of a loss, by NumPy, for units at these points."""
    pairs = np.triu_indices(len(points), 1)
    step = points[:, None] - points[None]
    closeness = (1 / (1 + np.sqrt((step**2).sum(-1))))[pairs]
    if isinstance(loss, InverseDistance):
        units = A / np.linalg.norm(A, axis=0)
        return np.mean(((units.T @ units)[pairs] - closeness) ** 2)
    r = np.corrcoef(A.T)[pairs]
    if loss.form == "absolute":
        return np.mean(np.abs(r - closeness))
    return (1 - np.corrcoef(r, closeness)[0, 1]) / 2


# ----------------------------------------------------------------------- published code


@every_form
@pytest.mark.parametrize("case", cases("tdann/"))
def test_tdann(case, form):
    read = RIVALS[f"tdann/{case}/neighborhood"].astype(int)
    places = RIVALS[f"tdann/{case}/positions"][read]
    loss = SpatialCorrelation((1, len(read)), form, positions=places)
    value, norm = value_and_norm(
        lambda x: loss(x.flatten(1)[:, read]), RIVALS[f"tdann/{case}/features"]
    )
    wanted, slope = RIVALS[f"tdann/{case}/{form}"]
    assert value == pytest.approx(wanted, abs=1e-9)
    if case == "linear_32x36_dead_units":  # two silent units: nan there
        assert np.isnan(slope)
        rounded = {"relative": 0.0306, "absolute": 0.00902}[form]
        assert float(f"{norm:.3g}") == rounded
    else:
        assert norm == pytest.approx(slope, abs=1e-9)


def test_topolm_and_the_grid_as_positions():
    found = value_and_norm(
        SpatialCorrelation((11, 11)), RIVALS["tdann/linear_48x121/features"]
    )
    assert found == pytest.approx(RIVALS["topolm/linear_48x121"], abs=1e-9)


@pytest.mark.parametrize(
    ("case", "shape"), [("32x121", (11, 11)), ("24x256", (16, 16)), ("16x60", (6, 10))]
)
def test_contopo(case, shape):
    found = value_and_norm(
        InverseDistance(shape), RIVALS[f"contopo_global/{case}/activations"]
    )
    assert found == pytest.approx(RIVALS[f"contopo_global/{case}"], abs=1e-9)


class CityBlock(InverseDistance):
    """With sums of the steps along each axis, as in one of the published layouts."""

    def _distances(self, points, others):
        return np.abs(points[:, None] - others[None]).sum(axis=-1)


@pytest.mark.parametrize("case", cases("bootphon/"))
def test_poli_and_colleagues_within_each_image(case):
    places = RIVALS[f"bootphon/{case}/positions"]
    factory = CityBlock if case.endswith("_l1") else InverseDistance
    loss = factory((1, len(places)), positions=places)
    layer = nn.Conv2d(1, len(places), 1)
    found = value_and_norm(
        lambda x: loss_value(loss, unit_responses(x, layer, "", "per_image"), ""),
        RIVALS[f"bootphon/{case}/activations"],
    )
    assert found == pytest.approx(RIVALS[f"bootphon/{case}"], abs=1e-9)


# ------------------------------------------------------------------------- the formulas


@every_loss
@pytest.mark.parametrize("n_images", [5, 40])
def test_the_formula(factory, n_images):
    """With fewer images than units and with more."""
    A = random_responses(n_images, 12) + 0.3 * random_responses(n_images, 1, seed=1)
    places = random_responses(12, 3, seed=2).numpy()
    loss = factory((3, 4), positions=places)
    wanted = compared(loss, A.numpy(), places)
    assert loss(A).item() == pytest.approx(wanted, rel=1e-12)
    assert loss(A.float()).item() == pytest.approx(wanted, rel=1e-5)


@every_loss
@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (1, 6), (2, 2)])
@pytest.mark.parametrize("positions", ["grid", "unit_square"])
def test_a_torus(factory, shape, positions):
    """Each unit stands where it does, and once more a whole turn away on each side."""
    rows, columns = np.indices(shape).reshape(2, -1)
    turns = [np.array([i, j]) * shape for i in (-1, 0, 1) for j in (-1, 0, 1)]
    here = np.stack([rows, columns], axis=1)
    scale = 1.0
    if positions == "unit_square":
        scale = np.maximum(np.array(shape) - 1, 1)
    steps = [(here[:, None] - here[None] + turn) / scale for turn in turns]
    wanted = np.min([np.linalg.norm(step, axis=-1) for step in steps], axis=0)
    loss = factory(shape, positions=positions, wrap=True)
    points = loss._places.points
    np.testing.assert_allclose(loss._distances(points, points), wanted, atol=1e-15)
    assert loss.grid.wrap


@every_loss
def test_a_torus_has_no_edge(factory):
    """Turned by a row and two columns it is the same, which an open grid is not."""
    A = random_responses(20, 12)
    turned = A.view(20, 3, 4).roll((1, 2), (1, 2)).flatten(1)
    torus, sheet = factory((3, 4), wrap=True), factory((3, 4))
    assert torus(turned).item() == pytest.approx(torus(A).item(), rel=1e-12)
    assert abs(sheet(turned).item() - sheet(A).item()) > 1e-4


def test_a_perfect_fit_is_zero():
    """Units at angles whose cosines are what is asked for; and r in order."""
    pair = torch.tensor([[1.0, 0.5], [0.0, 0.75**0.5]], dtype=torch.float64)
    assert InverseDistance((1, 2), "grid")(pair).item() == pytest.approx(0, abs=1e-15)
    closeness = 1 / (1 + np.abs(np.subtract.outer(np.arange(4), np.arange(4))))
    A = np.linalg.cholesky(closeness).T
    # Vectors of mean 0 with these products: their correlations are the closeness.
    A = torch.from_numpy(np.vstack([A, -A]))
    for form in FORMS:
        value = SpatialCorrelation((1, 4), form)(A).item()
        assert value == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("spread", [1, 0.1, 0.01])
def test_rounding_of_units_that_are_nearly_alike(spread):
    """Sums of squares that cancel would leave noise of r where all units agree."""
    A = random_responses(64, 1, seed=1) + spread * random_responses(64, 121)
    loss = SpatialCorrelation((11, 11))
    wanted = compared(loss, A.numpy(), loss.grid.coordinates)
    assert loss(A).item() == pytest.approx(wanted, rel=1e-11)
    assert loss(A.float()).item() == pytest.approx(wanted, rel=1e-4)


# ----------------------------------------------------------------- values at the limits


@every_form
def test_a_correlation_that_is_undefined_has_no_gradient(form):
    alike = random_responses(20, 1).expand(20, 12)
    value, gradient = value_and_gradient(SpatialCorrelation((3, 4), form), alike)
    if form == "relative":
        assert value == 0.5
        assert not gradient.any()
    value, gradient = value_and_gradient(
        SpatialCorrelation((1, 2), form), random_responses(20, 2)
    )
    assert np.isfinite(value)
    assert (form == "absolute") == bool(gradient.any())


def test_distances_that_are_all_equal_give_no_order():
    triangle = np.eye(3)
    loss = SpatialCorrelation((1, 3), positions=triangle)
    value, gradient = value_and_gradient(loss, random_responses(20, 3))
    assert value == 0.5
    assert not gradient.any()


@every_loss
def test_silent_units_count_as_unlike_all_others(factory):
    A = random_responses(20, 12)
    A[:, 3] = 0
    A[:, 7] = 0.1 if factory is not InverseDistance else 0
    loss = factory((3, 4), positions="grid")
    value, gradient = value_and_gradient(loss, A)
    with np.errstate(invalid="ignore"):
        similar = A / A.norm(dim=0).clamp(min=1e-9)
        if factory is not InverseDistance:
            similar = torch.from_numpy(np.nan_to_num(np.corrcoef(A.T.numpy())))
        else:
            similar = similar.T @ similar
    pairs = np.triu_indices(12, 1)
    target = (1 / (1 + loss.grid.distances))[pairs]
    similar = similar.numpy()[pairs]
    wanted = {
        "relative": lambda: (1 - np.corrcoef(similar, target)[0, 1]) / 2,
        "absolute": lambda: np.abs(similar - target).mean(),
        "squared": lambda: ((similar - target) ** 2).mean(),
    }[getattr(loss, "form", "squared")]()
    assert value == pytest.approx(wanted, rel=1e-12)
    assert gradient.isfinite().all()
    assert not gradient[:, [3, 7]].any()
    assert gradient.any()


@every_loss
@pytest.mark.parametrize("scale", [1e30, 1e-20, 1e-33])
def test_scales_do_not_matter(factory, scale):
    A = random_responses(20, 12, dtype=torch.float32)
    loss = factory((3, 4))
    value, gradient = value_and_gradient(loss, A * scale)
    assert np.isfinite(value)
    assert gradient.isfinite().all()
    if scale > 1e-30:
        assert value == pytest.approx(loss(A).item(), rel=1e-5)


@every_loss
@pytest.mark.parametrize("shape", [(3, 4), (1, 2)])
@pytest.mark.parametrize("n_images", [1, 2])
def test_few_images_and_few_units(factory, shape, n_images):
    A = random_responses(n_images, shape[0] * shape[1], dtype=torch.float32)
    value, gradient = value_and_gradient(factory(shape), A)
    assert np.isfinite(value)
    assert gradient.isfinite().all()


# --------------------------------------------------------------- precision and autograd


@every_loss
def test_half_precision_is_computed_in_float32(factory):
    A = random_responses(20, 12).bfloat16()
    loss = factory((3, 4))
    wanted = loss(A.float()).item()
    value = loss(A)
    assert value.dtype == torch.float32
    assert value.item() == wanted
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(A).item() == wanted
    assert copy.deepcopy(loss).bfloat16()(A).item() == pytest.approx(wanted, rel=1e-6)
    exact = copy.deepcopy(loss).double()(random_responses(20, 12)).item()
    assert exact == loss(random_responses(20, 12)).item()


@every_loss
def test_gradients_of_gradients(factory):
    A = random_responses(4, 6).requires_grad_()
    loss = factory((2, 3))
    assert torch.autograd.gradcheck(loss, A)
    assert torch.autograd.gradgradcheck(loss, A)


@every_loss
def test_functional_gradients(factory):
    A = random_responses(20, 12)
    loss = factory((3, 4))
    _, gradient = value_and_gradient(loss, A)
    torch.testing.assert_close(torch.func.grad(loss)(A), gradient)


def test_blocks_of_rows_are_all_read():
    """The absolute form takes 256 units at a time."""
    A = random_responses(5, 600)
    loss = SpatialCorrelation((20, 30), "absolute")
    wanted = compared(loss, A.numpy(), loss.grid.coordinates)
    assert loss(A).item() == pytest.approx(wanted, rel=1e-12)


# ---------------------------------------------------------------------------- the draws


def near_each(loss):
    """Units within the radius of each unit."""
    return [np.flatnonzero(row <= loss.radius) for row in loss.grid.distances]


@every_form
def test_each_call_reads_what_is_near_one_unit(form):
    A = random_responses(20, 12)
    loss = SpatialCorrelation((3, 4), form, radius=1.5, seed=3)
    points = loss.grid.coordinates
    wanted = [compared(loss, A.numpy()[:, s], points[s]) for s in near_each(loss)]
    values = [loss(A).item() for _ in range(80)]
    found = {int(np.argmin(np.abs(np.array(wanted) - value))) for value in values}
    nearest = [min(abs(value - w) for w in wanted) for value in values]
    assert max(nearest) < 1e-12
    assert found == set(range(12))
    assert loss.step == 80


def test_units_that_are_not_read_have_no_gradient():
    loss = SpatialCorrelation((5, 5), radius=1)
    _, gradient = value_and_gradient(loss, random_responses(20, 25))
    read = set(np.flatnonzero(gradient.abs().sum(dim=0)))
    assert read in [set(near) for near in near_each(loss)]


def test_a_seed_and_a_place_make_a_draw():
    A = random_responses(20, 25)

    def values(loss, n=6):
        return [loss(A).item() for _ in range(n)]

    factory = partial(SpatialCorrelation, (5, 5), radius=2)
    before = torch.get_rng_state()
    wanted = values(factory(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert values(factory(seed=1)) == wanted
    assert values(factory(seed=2)) != wanted
    assert len(set(wanted)) > 2
    loss = factory(seed=1)
    values(loss, 2)
    copied = copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), factory(seed=1)
    copied[2].load_state_dict(loss.state_dict())
    for other in copied:
        assert values(other, 4) == wanted[2:]


def test_eval_mode_takes_the_first_draw_and_does_not_count():
    A = random_responses(20, 25)
    loss = SpatialCorrelation((5, 5), radius=2)
    first, second = loss(A).item(), loss(A).item()
    assert first != second
    loss.eval()
    assert [loss(A).item() for _ in range(3)] == [first] * 3
    assert loss.step == 2


def test_a_loss_that_does_not_draw_has_no_state():
    assert not SpatialCorrelation((5, 5)).state_dict()
    assert not InverseDistance((5, 5)).state_dict()
    assert list(SpatialCorrelation((5, 5), radius=2).state_dict()) == ["step"]


def test_a_radius_over_the_edge_of_a_torus():
    loss = SpatialCorrelation((1, 9), radius=2, wrap=True)
    read = set()
    for _ in range(60):
        _, gradient = value_and_gradient(loss, random_responses(20, 9))
        read.add(tuple(np.flatnonzero(gradient.abs().sum(dim=0))))
    assert {len(units) for units in read} == {5}
    assert (0, 1, 2, 7, 8) in read


# ---------------------------------------------------------------------- what is refused


@every_loss
@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ("mm", "got 'mm'"),
        (np.zeros((11, 2)), r"got shape \(11, 2\)"),
        (np.zeros(12), r"got shape \(12,\)"),
        ([["a"] * 2] * 12, r"got shape \(12, 2\)"),
        (np.full((12, 2), np.nan), "finite"),
    ],
)
def test_positions_that_do_not_fit(factory, positions, message):
    with pytest.raises(ValueError, match=message):
        factory((3, 4), positions=positions)


@every_loss
def test_a_torus_of_positions_of_ones_own(factory):
    with pytest.raises(ValueError, match="no edges to join"):
        factory((3, 4), positions=np.zeros((12, 2)), wrap=True)


@every_loss
def test_a_single_unit(factory):
    with pytest.raises(ValueError, match="A single unit has no pairs"):
        factory((1, 1))


@pytest.mark.parametrize("radius", [0, 0.9, -1, float("nan"), float("inf")])
def test_a_radius_that_reaches_nothing(radius):
    with pytest.raises(ValueError, match="1 or more here"):
        SpatialCorrelation((3, 4), radius=radius)


def test_the_radius_is_in_the_unit_of_the_positions():
    SpatialCorrelation((3, 6), radius=0.2, positions="unit_square")
    with pytest.raises(ValueError, match=r"0\.2 or more here"):
        SpatialCorrelation((3, 6), radius=0.19, positions="unit_square")


def test_other_values_that_are_refused():
    with pytest.raises(ValueError, match=r"'absolute', 'relative'.*got 'squared'"):
        SpatialCorrelation((3, 4), "squared")
    with pytest.raises(ValueError, match="at least 0; got -1"):
        SpatialCorrelation((3, 4), radius=2, seed=-1)


@pytest.mark.parametrize("name", ["spatial_correlation", "inverse_distance"])
def test_a_distance_for_a_loss_that_has_none(name):
    with pytest.raises(TypeError, match=r"no setting distance, only .*positions"):
        make_loss(name, (3, 4), distance="cosine")


def test_descriptions_are_short():
    places = np.zeros((12, 3))
    assert "array of shape (12, 3)" in repr(InverseDistance((3, 4), places))
    assert "radius=2" in repr(SpatialCorrelation((3, 4), radius=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_positions_as_a_tensor(dtype):
    positions = torch.rand((6, 3), generator=torch.Generator().manual_seed(0))
    positions = positions.to(dtype).requires_grad_()
    x = torch.randn((9, 6), generator=torch.Generator().manual_seed(1))
    for kind in (SpatialCorrelation, InverseDistance):
        found = kind((2, 3), positions=positions)(x)
        assert found == kind((2, 3), positions=positions.detach().numpy())(x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positions": np.zeros((6, 0))}, r"positions must be .*\(6, 0\)"),
        ({"radius": "2"}, "radius must be None, or a distance"),
        ({"radius": True}, "radius must be None, or a distance"),
        ({"radius": 2, "seed": 1.5}, "seed must be an integer"),
        ({"radius": 2, "seed": None}, "seed must be an integer"),
    ],
)
def test_settings_of_the_wrong_kind(settings, message):
    with pytest.raises(ValueError, match=message):
        SpatialCorrelation((2, 3), **settings)
