"""Cost of measures: what is computed once, and how much is held. No clock."""

import tracemalloc

import numpy as np
import pytest

from sktopo import measure_activations, metrics
from sktopo.grid import Grid
from sktopo.metrics import activations as activations_module
from sktopo.metrics._pairs import sum_of_distances
from sktopo.metrics.distances import DistanceBins

SHAPE, N = (40, 40), 60
N_UNITS = SHAPE[0] * SHAPE[1]
MATRIX = 8 * N_UNITS**2  # bytes of one number for each pair of units
PERMUTED = {"n_permutations": 2, "random_state": 0}


def activations():
    A = np.random.default_rng(0).normal(size=(N, N_UNITS)).astype(np.float32)
    A[:, 3] = 1.0
    return A, np.arange(N) % 3


def maps(A):
    return A.reshape(-1, *SHAPE)


# Matrices of pairs that each may hold, its working memory included; most hold none.
SPATIAL = {
    "everything": (3.6, lambda A, y: measure_activations(A, SHAPE, y, A.T)),
    "correlation": (2.2, lambda A, y: metrics.correlation_by_distance(A, SHAPE)),
    "its null": (
        2.2,
        lambda A, y: metrics.correlation_by_distance(A, SHAPE, **PERMUTED),
    ),
    "localization": (
        2.2,
        lambda A, y: metrics.functional_localization(A, SHAPE, **PERMUTED),
    ),
    "bimodality": (3.6, lambda A, y: metrics.correlation_bimodality(A)),
    "differences": (
        0.6,
        lambda A, y: metrics.difference_by_distance(A[0], SHAPE, 1.0, **PERMUTED),
    ),
    "experts": (
        0.6,
        lambda A, y: metrics.expert_localization(A.T > 0, SHAPE, **PERMUTED),
    ),
    "Moran's I": (0.6, lambda A, y: metrics.morans_i(maps(A), **PERMUTED)),
    "lags": (0.6, lambda A, y: metrics.spatial_autocorrelation(maps(A))),
    "lags' null": (
        2.2,
        lambda A, y: metrics.spatial_autocorrelation(maps(A), **PERMUTED),
    ),
    "few images, many units": (
        0.6,
        lambda A, y: metrics.effective_dimensionality(A, "entropy", "correlation"),
    ),
    "few columns, many units": (
        0.6,
        lambda A, y: metrics.effective_dimensionality(A.T, "entropy"),
    ),
    "CKA": (0.6, lambda A, y: metrics.linear_cka(A, A[::-1])),
    "debiased CKA": (0.6, lambda A, y: metrics.linear_cka(A, A[::-1], True)),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_memory_of_a_large_grid(name):
    matrices, run = SPATIAL[name]
    A, y = activations()
    run(A[:4, :], y[:4])  # what is imported late
    tracemalloc.start()
    try:
        run(A, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < matrices * MATRIX, f"{peak / MATRIX:.2f} matrices"


def test_every_measure_by_images_is_looked_at_in_parts(rng):
    """Many images: no measure holds more than one float64 copy and a little."""
    A = rng.normal(size=(40_000, 64)).astype(np.float32)
    y = np.arange(len(A)) % 4
    copy = 8 * A.size
    tracemalloc.start()
    try:
        measure_activations(A, (8, 8), y, value_range=(-1, 1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # the float64 copy, and blocks of 2 ** 21 values with what is computed of them
    assert peak < copy + 8 * 8 * 2**21, f"{peak / copy:.2f} copies"


def test_one_gram_matrix_and_one_set_of_eigenvalues_serve_all_groups(monkeypatch, rng):
    calls = {"pearson": 0, "eigvalsh": 0}

    def _counted(name, function):
        def _call(*args):
            calls[name] += 1
            return function(*args)

        return _call

    monkeypatch.setattr(
        activations_module, "pearson", _counted("pearson", activations_module.pearson)
    )
    monkeypatch.setattr(np.linalg, "eigvalsh", _counted("eigvalsh", np.linalg.eigvalsh))
    A, W = rng.normal(size=(50, 20)), rng.normal(size=(20, 9))
    measure_activations(A, (4, 5), np.arange(50) % 3, W)
    assert calls == {"pearson": 2, "eigvalsh": 4}  # of A and of W; by covariance or r
    metrics.effective_dimensionality(A)
    assert calls["eigvalsh"] == 4  # the participation ratio needs none


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_takes_the_smaller_product(debiased, rng):
    """The values of both ways agree, and neither makes the larger matrix."""
    wide, narrow = rng.normal(size=(30, 9000)), rng.normal(size=(30, 2))
    basis = np.linalg.svd(wide - wide.mean(axis=0), full_matrices=False)
    same_geometry = basis[0] * basis[1]  # 30 columns with the same inner products
    for other in (wide[::-1], narrow, np.tanh(wide[:, :40])):
        found = metrics.linear_cka(wide, other, debiased)
        assert found == pytest.approx(
            metrics.linear_cka(same_geometry, other, debiased), rel=1e-10
        )
        assert found == pytest.approx(metrics.linear_cka(other, wide, debiased))
    tracemalloc.start()
    try:
        metrics.linear_cka(wide, wide[::-1], debiased)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * wide.nbytes


@pytest.mark.parametrize("shape", [(1, 2), (1, 9), (6, 1), (3, 5), (11, 11)])
def test_pairs_of_a_grid(shape, rng):
    grid = Grid(shape)
    upper = np.triu_indices(grid.n_units, k=1)
    distances = grid.distances[upper]
    assert grid.mean_distance == pytest.approx(distances.mean(), rel=1e-14)
    bins = DistanceBins(shape)
    whole, n_pairs = np.unique(np.floor(distances + 1e-9), return_counts=True)
    np.testing.assert_array_equal(bins.distances, whole)
    np.testing.assert_array_equal(bins.n_pairs, n_pairs)
    members = rng.random((grid.n_units, 3)) < 0.4
    both = members[:, None] & members[None]
    expected = (both[upper] * distances[:, None]).sum(axis=0)
    found = sum_of_distances(members, grid)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_blocks_do_not_change_a_measure(monkeypatch, rng):
    """Whatever is looked at in one go, the numbers are the same."""
    A = rng.normal(size=(30, 12)).round(1)
    y = np.arange(30) % 3
    expected = measure_activations(A, (3, 4), y, A.T)
    for module in ("_checks", "_pairs", "smoothness", "activity", "geometry"):
        monkeypatch.setattr(
            f"sktopo.metrics.{module}.block_slices",
            lambda n, *_: [slice(i, min(i + 5, n)) for i in range(0, n, 5)],
        )
    found = measure_activations(A, (3, 4), y, A.T)
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-12)
    np.testing.assert_array_equal(found["n"], expected["n"])
