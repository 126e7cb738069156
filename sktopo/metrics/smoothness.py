"""Smoothness of maps over the grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_array

from sktopo.grid import Grid, neighbor_sum
from sktopo.metrics._checks import permuted_units


def morans_i(
    maps: ArrayLike,
    neighborhood: str = "moore",
    standardize: bool = False,
    n_permutations: int = 0,
    random_state: int | None = None,
) -> np.ndarray | Bunch:
    """Moran's I of each map: how alike neighbouring values are.

    With z the centred values of a map of N units and A the binary adjacency without
    wrap-around, I = (N / S0) z'Az / z'z, S0 the sum of A. Its expectation without
    structure is -1 / (N - 1).

    Parameters
    ----------
    maps : array-like of shape (n_maps, rows, columns)
        One map a row, for example `TopographicCNNClassifier.activation_maps`.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        8 or 4 neighbours. Moore neighbourhoods cannot see a checkerboard.
    standardize : bool, default=False
        Whether to z-score each unit over maps first. The raw I is confounded by each
        unit's gain and bias. A unit that is constant over maps becomes 0.
    n_permutations : int, default=0
        Shuffles of the unit positions for the null, each shared by all maps.
    random_state : int or None, default=None
        Seed of the shuffles.

    Returns
    -------
    ndarray of shape (n_maps,), or Bunch if n_permutations > 0
        I of each map, nan for a constant map. The Bunch holds the arrays `value`,
        `null_mean`, `excess` (value minus null_mean) and `p_value`, the chance under
        shuffling of an I at least as large.

    Raises
    ------
    ValueError
        If the maps are not three-dimensional, not finite, or of a single unit.

    References
    ----------
    Moran, "Notes on continuous stochastic phenomena", Biometrika 37 (1950).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import morans_i
    >>> ramp = np.tile(np.arange(11.0), (1, 11, 1))
    >>> morans_i(ramp).round(4)
    array([0.8524])
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or maps.shape[1] * maps.shape[2] < 2:
        raise ValueError(
            f"maps must be (n_maps, rows, columns) with two units or more; got shape "
            f"{maps.shape}. For activations (n, n_units) use A.reshape(-1, rows, "
            f"columns); for a single map use map[None]."
        )
    maps = check_array(maps, dtype=np.float64, allow_nd=True, input_name="maps")
    grid = Grid(maps.shape[1:], neighborhood)
    if standardize:
        std = maps.std(axis=0)
        constant = np.ptp(maps, axis=0) == 0
        maps = np.where(constant, 0.0, maps - maps.mean(axis=0)) / np.where(
            constant, 1.0, std
        )
    constant = np.ptp(maps, axis=(1, 2)) == 0
    scale = np.abs(maps).max(axis=(1, 2), keepdims=True)
    z = maps / np.where(scale > 0, scale, 1)
    z = z - z.mean(axis=(1, 2), keepdims=True)
    denominator = np.where(constant, 1.0, np.square(z).sum(axis=(1, 2)))
    factor = np.where(constant, np.nan, grid.n_units / len(grid.edges) / denominator)
    value = factor * neighbor_sum(z, neighborhood)
    if not n_permutations:
        return value
    flat = z.reshape(len(z), -1)
    total, extreme = np.zeros(len(z)), np.zeros(len(z))
    for order in permuted_units(grid.n_units, n_permutations, random_state):
        null = factor * neighbor_sum(flat[:, order].reshape(z.shape), neighborhood)
        total += null
        extreme += null >= value - 1e-12
    null_mean = total / n_permutations
    p_value = np.where(constant, np.nan, (1 + extreme) / (1 + n_permutations))
    return Bunch(
        value=value, null_mean=null_mean, excess=value - null_mean, p_value=p_value
    )
