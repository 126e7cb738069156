"""Every group of measures, whatever the units are like."""

import numpy as np
import pytest
import torch
from torch import nn

from sktopo import FrozenNetwork, measure, measure_activations
from sktopo._measures.registry import GROUPS

UNITS = {"random": (3, 4), "constant": (3, 4), "one": (1, 1)}


def network(kind, n_units):
    torch.manual_seed(0)
    grid = nn.Linear(64, n_units)
    if kind == "constant":
        nn.init.zeros_(grid.weight)
    return nn.Sequential(nn.Flatten(), grid, nn.ReLU(), nn.Linear(n_units, 3))


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("name", GROUPS)
def test_every_value_is_finite_or_nan_of_nothing(name, kind, rng):
    n_units = int(np.prod(UNITS[kind]))
    X, y = rng.random((30, 1, 8, 8)), np.arange(30) % 3
    frozen = FrozenNetwork(
        network(kind, n_units), "1", UNITS[kind], image_shape=(8, 8), classes=range(3)
    )
    reference = FrozenNetwork(
        network("random", n_units), "1", UNITS[kind], image_shape=(8, 8)
    )
    table = measure(frozen, X, y, include=name, reference=reference)
    if not GROUPS[name].needs & {"images", "classifier"}:
        A, weights = frozen.transform(X), frozen.grid_weights_
        of_arrays = measure_activations(A, UNITS[kind], y, weights)
        rows = of_arrays[of_arrays["group"] == name]
        assert set(rows["measure"]) <= set(table["measure"])
    assert not np.isinf(table["value"]).any()
    defined = table[table["value"].notna()]
    assert (defined["n"] > 0).all()
    if kind == "random":
        assert len(defined)


@pytest.mark.parametrize("name", GROUPS)
def test_the_order_of_units_on_the_sheet_is_all_that_space_is(name, rng):
    """Mirrored rows of the sheet are the same neighbours and the same distances."""
    if GROUPS[name].needs & {"images", "classifier"}:
        pytest.skip("of models")
    A, y = rng.normal(size=(40, 12)), np.arange(40) % 3
    mirrored = A.reshape(-1, 3, 4)[:, ::-1].reshape(-1, 12)
    tables = [measure_activations(each, (3, 4), y) for each in (A, mirrored)]
    here, there = (table[table["group"] == name] for table in tables)
    assert here.drop(columns="value").equals(there.drop(columns="value"))
    np.testing.assert_allclose(here["value"], there["value"], rtol=1e-9, atol=1e-12)
