from itertools import product

import numpy as np
import pytest

from sktopo.grid import Grid, neighbor_sum, pairs_at_offsets, sheet_shape

SHAPES = [(11, 11), (10, 12), *product(range(1, 6), range(1, 7))]
all_grids = pytest.mark.parametrize(
    ("shape", "neighborhood", "wrap"),
    list(product(SHAPES, ["moore", "von_neumann"], [False, True])),
)


def brute_force_edges(shape, neighborhood, wrap):
    """Every unit, and each step from it, within the grid or around the torus."""
    rows, columns = shape
    steps = [step for step in product((-1, 0, 1), repeat=2) if any(step)]
    if neighborhood == "von_neumann":
        steps = [step for step in steps if not all(step)]
    edges = set()
    for i, j in product(range(rows), range(columns)):
        for down, right in steps:
            there = i + down, j + right
            if wrap:
                there = there[0] % rows, there[1] % columns
            elif not (0 <= there[0] < rows and 0 <= there[1] < columns):
                continue
            edges.add(tuple(sorted((i * columns + j, there[0] * columns + there[1]))))
    return {(first, second) for first, second in edges if first != second}


def brute_force_distances(shape, wrap):
    """The nearest of the copies of a unit, of which a torus has one all around."""
    copies = (-1, 0, 1) if wrap else (0,)
    places = np.indices(shape).reshape(2, -1).T
    step = places[:, None] - places[None]
    shifts = np.array(list(product(copies, repeat=2))) * shape
    return np.linalg.norm(step[..., None, :] + shifts, axis=-1).min(axis=-1)


@all_grids
def test_edges_are_each_neighbouring_pair_once(shape, neighborhood, wrap):
    edges = Grid(shape, neighborhood, wrap).edges
    found = {tuple(sorted(edge)) for edge in edges.tolist()}
    assert edges.shape == (len(found), 2)
    assert found == brute_force_edges(shape, neighborhood, wrap)


@all_grids
def test_links_are_the_edges_by_slices(shape, neighborhood, wrap):
    grid = Grid(shape, neighborhood, wrap)
    unit = np.arange(grid.n_units).reshape(shape)
    found = [[unit[end].ravel() for end in link] for link in grid.links]
    ends = np.concatenate([np.empty((2, 0), int), *found], axis=1)
    np.testing.assert_array_equal(ends.T, grid.edges)
    # of a few, however large the grid
    assert len(grid.links) <= (12 if wrap else 4)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_distances_of_all_pairs(shape, wrap):
    grid = Grid(shape, wrap=wrap)
    expected = brute_force_distances(shape, wrap)
    np.testing.assert_allclose(grid.distances, expected, atol=1e-12)
    if grid.n_units > 1:
        pairs = expected[np.triu_indices(grid.n_units, k=1)]
        assert grid.mean_distance == pytest.approx(pairs.mean(), rel=1e-13)
    n_pairs = pairs_at_offsets(shape, wrap)
    assert n_pairs[0, 0] == grid.n_units
    offsets = np.hypot(*np.indices(n_pairs.shape))
    for distance in np.unique(expected.round(9)):
        here = np.isclose(offsets, distance)
        twice = np.isclose(expected, distance).sum() + n_pairs[0, 0] * (distance == 0)
        assert 2 * n_pairs[here].sum() == twice


def test_a_torus_has_as_many_neighbours_everywhere():
    for neighborhood, n_neighbors in (("moore", 8), ("von_neumann", 4)):
        edges = Grid((3, 5), neighborhood, wrap=True).edges
        assert (np.bincount(edges.ravel()) == n_neighbors).all()


def test_a_grid_for_a_shape():
    torus = Grid((3, 4), "von_neumann", wrap=True)
    assert Grid.of(torus) is torus
    assert Grid.of((3, 4)) == Grid((3, 4)) != Grid((3, 4), wrap=True)
    assert Grid([3, np.int64(4)], wrap=np.bool_(True)) == Grid((3, 4), wrap=True)


@pytest.mark.parametrize(
    ("n_units", "shape"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (36, (6, 6)), (512, (16, 32))],
)
def test_sheet_shape(n_units, shape):
    assert sheet_shape(n_units) == shape


def test_sheet_shape_of_a_prime_warns():
    with pytest.warns(UserWarning, match="13 units, a prime number"):
        assert sheet_shape(13) == (1, 13)


def test_number_of_directed_edges_of_the_paper():
    assert 2 * len(Grid((11, 11)).edges) == 840
    assert 2 * len(Grid((10, 12)).edges) == 832


def test_units_are_row_major():
    grid = Grid((3, 5))
    assert grid.n_units == 15
    assert grid.coordinates[7].tolist() == [1, 2]
    assert grid.distances[0, 6] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("shape", "mean"), [((11, 11), 5.758545271680614), ((4, 6), 2.6856156204385027)]
)
def test_mean_distance(shape, mean):
    assert Grid(shape).mean_distance == pytest.approx(mean, rel=1e-14)


def test_mean_distance_of_one_unit_is_undefined():
    assert np.isnan(Grid((1, 1)).mean_distance)


@all_grids
def test_neighbor_sum_is_the_sum_over_edges(shape, neighborhood, wrap, rng):
    maps = rng.normal(size=(3, *shape))
    edges = Grid(shape, neighborhood, wrap).edges
    flat = maps.reshape(3, -1)
    expected = (flat[:, edges[:, 0]] * flat[:, edges[:, 1]]).sum(axis=1)
    found = neighbor_sum(maps, neighborhood, wrap)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2, 2), (2.5, 2), "ab", (True, 2)])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match="two positive integers"):
        Grid(shape)


def test_bad_neighborhood():
    with pytest.raises(ValueError, match=r"moore.*von_neumann.*'queen'"):
        Grid((2, 2), "queen")


@pytest.mark.parametrize("wrap", [None, 1, "no"])
def test_bad_wrap(wrap):
    with pytest.raises(ValueError, match="wrap must be True or False"):
        Grid((2, 2), wrap=wrap)
