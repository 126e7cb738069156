import numpy as np
import pytest

from sktopo.grid import Grid, neighbor_sum

SHAPES = [(11, 11), (10, 12), (1, 7), (7, 1), (2, 2), (1, 1)]


def brute_force_edges(shape, neighborhood):
    cells = [(i, j) for i in range(shape[0]) for j in range(shape[1])]
    edges = set()
    for a, (i, j) in enumerate(cells):
        for b, (k, m) in enumerate(cells):
            step = (abs(i - k), abs(j - m))
            moore = max(step) == 1
            if a < b and moore and (neighborhood == "moore" or sum(step) == 1):
                edges.add((a, b))
    return edges


@pytest.mark.parametrize("neighborhood", ["moore", "von_neumann"])
@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_each_neighbouring_pair_once(shape, neighborhood):
    edges = Grid(shape, neighborhood).edges
    found = {tuple(sorted(edge)) for edge in edges.tolist()}
    assert len(found) == len(edges)
    assert found == brute_force_edges(shape, neighborhood)


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


@pytest.mark.parametrize("neighborhood", ["moore", "von_neumann"])
@pytest.mark.parametrize("shape", SHAPES)
def test_neighbor_sum_is_the_sum_over_edges(shape, neighborhood, rng):
    maps = rng.normal(size=(3, *shape))
    edges = Grid(shape, neighborhood).edges
    flat = maps.reshape(3, -1)
    expected = (flat[:, edges[:, 0]] * flat[:, edges[:, 1]]).sum(axis=1)
    np.testing.assert_allclose(neighbor_sum(maps, neighborhood), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2, 2), (2.5, 2), "ab", (True, 2)])
def test_bad_shape(shape):
    with pytest.raises(ValueError, match="two positive integers"):
        Grid(shape)


def test_bad_neighborhood():
    with pytest.raises(ValueError, match=r"moore.*von_neumann.*'queen'"):
        Grid((2, 2), "queen")
