"""Every spatial measure takes a grid whole: its neighbourhood and its wrap-around."""

import inspect

import numpy as np
import pandas as pd
import pytest

from sktopo import measure_activations, metrics
from sktopo.grid import NEIGHBORHOODS, Grid
from sktopo.metrics import (
    correlation_by_distance,
    difference_by_distance,
    expert_localization,
    functional_localization,
    morans_i,
    spatial_autocorrelation,
)
from sktopo.metrics.distances import DistanceBins

SHAPE = (4, 5)
N_UNITS = 20
A = np.random.default_rng(0).normal(size=(30, 3)) @ np.random.default_rng(1).normal(
    size=(3, N_UNITS)
)
Y = np.arange(30) % 3
GIVEN = {
    "A": A,
    "maps": A.reshape(-1, *SHAPE),
    "values": A[0],
    "experts": A.T > 1,
    "y": Y,
    "thresholds": (0.0, 0.5),
    "random_state": 0,
}
FUNCTIONS = {name: getattr(metrics, name) for name in metrics.__all__}
FUNCTIONS["measure_activations"] = measure_activations
SPATIAL = [
    name
    for name, function in FUNCTIONS.items()
    if "grid_shape" in inspect.signature(function).parameters
]
each_measure = pytest.mark.parametrize("name", SPATIAL)


def taken(name, grid_shape, given=GIVEN, **settings):
    """The numbers that a measure gives, in a row."""
    function = FUNCTIONS[name]
    wanted = inspect.signature(function).parameters
    settings |= {key: value for key, value in given.items() if key in wanted}
    found = function(grid_shape=grid_shape, **settings)
    if isinstance(found, dict):
        parts = [found[key] for key in sorted(found)]
        parts = [np.asarray(part, dtype=float) for part in parts]
        return np.concatenate([np.ravel(part) for part in parts])
    if isinstance(found, pd.DataFrame):
        found = found.select_dtypes("number")
    return np.ravel(np.asarray(found, dtype=float))


def permuted(name):
    """Settings that ask for a null, where there is one."""
    wanted = inspect.signature(FUNCTIONS[name]).parameters
    return {"n_permutations": 3} if "n_permutations" in wanted else {}


def rolled(steps):
    """What is measured, with the units of the sheet moved around it."""

    def roll(values, axis):
        sheets = np.moveaxis(np.asarray(values), axis, -1)
        sheets = sheets.reshape(*sheets.shape[:-1], *SHAPE)
        moved = np.roll(sheets, steps, axis=(-2, -1))
        flat = moved.reshape(*moved.shape[:-2], N_UNITS)
        return np.moveaxis(flat, -1, axis)

    moved = roll(A, 1)
    return GIVEN | {
        "A": moved,
        "maps": moved.reshape(-1, *SHAPE),
        "values": roll(A[0], 0),
        "experts": roll(A.T > 1, 0),
    }


@each_measure
def test_an_open_grid_is_its_shape(name):
    expected = taken(name, SHAPE, **permuted(name))
    found = taken(name, Grid(SHAPE), **permuted(name))
    np.testing.assert_array_equal(found, expected)


@each_measure
def test_a_torus_has_no_border(name):
    """Units that move around it all stand as before; on an open grid they do not."""
    torus, moved = Grid(SHAPE, wrap=True), rolled((1, 2))
    expected = taken(name, torus)
    np.testing.assert_allclose(taken(name, torus, moved), expected, rtol=1e-9)
    assert not np.array_equal(taken(name, SHAPE), expected)
    assert not np.allclose(taken(name, SHAPE, moved), taken(name, SHAPE))


@each_measure
def test_a_grid_that_does_not_fit_is_refused(name):
    for grid in (Grid((3, 5)), Grid((3, 5), wrap=True), (3, 5)):
        with pytest.raises(ValueError, match=r"\(3, 5\)"):
            taken(name, grid)


@pytest.mark.parametrize("neighborhood", NEIGHBORHOODS)
@pytest.mark.parametrize("shape", [(4, 5), (1, 6), (2, 3), (2, 2), (5, 1)])
def test_morans_i_equals_esda_on_a_torus(shape, neighborhood, rng):
    esda = pytest.importorskip("esda")
    from libpysal.weights import W

    near = {(0, 1), (0, -1), (1, 0), (-1, 0)}
    if neighborhood == "moore":
        near |= {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    rows, columns = shape
    neighbors = {}
    for unit in range(rows * columns):
        row, column = divmod(unit, columns)
        around = {
            (row + down) % rows * columns + (column + right) % columns
            for down, right in near
        }
        neighbors[unit] = sorted(around - {unit})
    weights = W(neighbors, silence_warnings=True)
    maps = rng.normal(size=(4, *shape)).cumsum(axis=2)
    with np.errstate(
        invalid="ignore", divide="ignore"
    ):  # of the variance, if all are neighbours
        oracle = [
            esda.Moran(m.ravel(), weights, transformation="B", permutations=0).I
            for m in maps
        ]
    grid = Grid(shape, neighborhood, wrap=True)
    np.testing.assert_allclose(morans_i(maps, grid_shape=grid), oracle, rtol=1e-9)


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_waves_around_a_torus(frequency):
    """Of a wave along an axis, I and the autocorrelation are means of cosines."""
    n = 12
    wave = np.cos(2 * np.pi * frequency * np.arange(n) / n)
    maps = np.tile(wave, (1, 5, 1))
    step = np.cos(2 * np.pi * frequency / n)
    for neighborhood, expected in (
        ("von_neumann", (2 + 2 * step) / 4),
        ("moore", (2 + 6 * step) / 8),
    ):
        grid = Grid((5, n), neighborhood, wrap=True)
        assert morans_i(maps, grid_shape=grid).item() == pytest.approx(expected)
    table = spatial_autocorrelation(maps, 9, grid_shape=Grid((5, n), wrap=True))
    lags = {axis: table[table.axis == axis] for axis in ("row", "column")}
    assert lags["row"].lag.tolist() == [1, 2]
    assert lags["column"].lag.tolist() == [1, 2, 3, 4, 5, 6]
    angle = 2 * np.pi * frequency * lags["column"].lag / n
    np.testing.assert_allclose(lags["column"].correlation, np.cos(angle), atol=1e-12)
    np.testing.assert_allclose(lags["row"].correlation, 1)


@pytest.mark.parametrize("shape", [(1, 2), (1, 9), (6, 1), (2, 2), (3, 5), (4, 6)])
def test_pairs_of_a_torus(shape, rng):
    """Bins, distances and lags against all pairs."""
    grid = Grid(shape, wrap=True)
    upper = np.triu_indices(grid.n_units, k=1)
    distances = grid.distances[upper]
    bins = np.floor(distances + 1e-9)
    found = DistanceBins(grid)
    whole, n_pairs = np.unique(bins, return_counts=True)
    np.testing.assert_array_equal(found.distances, whole)
    np.testing.assert_array_equal(found.n_pairs, n_pairs)

    activations = rng.normal(size=(20, grid.n_units))
    r = np.corrcoef(activations.T)[upper]
    table = correlation_by_distance(activations, grid)
    expected = [r[bins == edge].mean() for edge in whole]
    np.testing.assert_allclose(table.correlation, expected)

    values = rng.normal(size=grid.n_units)
    difference = np.abs(values[upper[0]] - values[upper[1]])
    profile = difference_by_distance(values, grid).profile
    expected = [difference[bins == edge].mean() for edge in whole]
    np.testing.assert_allclose(profile.difference, expected)

    table = functional_localization(activations, grid, (-1.0, 0.0))
    mean = distances.mean()
    assert table.mean_distance[0] == pytest.approx(mean)
    assert table.ratio[0] == pytest.approx(1)
    if (r >= 0).any():
        assert table.ratio[1] == pytest.approx(distances[r >= 0].mean() / mean)

    experts = rng.random((grid.n_units, 1)) < 0.6
    experts[:2] = True
    both = (experts & experts.T)[upper]
    pooled = expert_localization(experts, grid).pooled
    assert pooled == pytest.approx(distances[both].mean() / mean)


def test_a_grid_brings_its_neighborhood(rng):
    maps = rng.normal(size=(3, *SHAPE)).cumsum(axis=1)
    rook = Grid(SHAPE, "von_neumann")
    expected = morans_i(maps, "von_neumann")
    np.testing.assert_array_equal(morans_i(maps, grid_shape=rook), expected)
    np.testing.assert_array_equal(
        morans_i(maps, "von_neumann", grid_shape=rook), expected
    )
    np.testing.assert_array_equal(
        morans_i(maps, "von_neumann", grid_shape=SHAPE), expected
    )
    with pytest.raises(ValueError, match=r"neighborhood='moore'.*'von_neumann'"):
        morans_i(maps, "moore", grid_shape=rook)


@pytest.mark.parametrize("function", [morans_i, spatial_autocorrelation])
def test_maps_may_be_flat_where_the_grid_is_given(function, rng):
    maps = rng.normal(size=(3, *SHAPE))
    found = np.asarray(function(maps.reshape(3, -1), grid_shape=SHAPE))
    np.testing.assert_array_equal(found, np.asarray(function(maps)))
    with pytest.raises(ValueError, match=r"got shape \(3, 5, 4\)"):
        function(maps.reshape(3, 5, 4), grid_shape=SHAPE)
