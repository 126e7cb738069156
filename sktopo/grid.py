"""Geometry of the unit grid: coordinates, neighbours and distances (NumPy only)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np

from sktopo._warn import warn_user

__all__ = ["NEIGHBORHOODS", "Grid", "sheet_shape"]

NEIGHBORHOODS = {
    "moore": ((0, 1), (1, 0), (1, 1), (1, -1)),
    "von_neumann": ((0, 1), (1, 0)),
}


def _check_grid_shape(grid_shape: tuple[int, int]) -> tuple[int, int]:
    """Return `grid_shape` as a tuple of two Python ints, or raise a ValueError."""
    values = np.ravel(np.asarray(grid_shape, dtype=object)).tolist()
    whole = all(isinstance(v, Integral) and not isinstance(v, bool) for v in values)
    if len(values) != 2 or not whole or min(values) < 1:
        raise ValueError(
            f"grid_shape must be two positive integers (rows, columns), for example "
            f"(11, 11); got {grid_shape!r}."
        )
    return int(values[0]), int(values[1])


@dataclass(frozen=True)
class Grid:  # numpydoc ignore=PR02
    """A grid of units in row-major order, without wrap-around.

    Unit ``u`` of a grid with ``columns`` columns stands at row ``u // columns``, column
    ``u % columns``. Neighbouring units are one grid step apart.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns, each at least 1.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        "moore": the 8 surrounding units are neighbours; "von_neumann": the 4 units that
        share an edge.

    Attributes
    ----------
    n_units : int
        Number of units, rows times columns.
    coordinates : ndarray of shape (n_units, 2)
        Row and column of each unit.
    edges : ndarray of shape (n_edges, 2)
        Each pair of neighbouring units once.
    distances : ndarray of shape (n_units, n_units)
        Euclidean distance between units, in grid steps.
    mean_distance : float
        Mean distance over all pairs of different units; nan for a single unit.

    Raises
    ------
    ValueError
        If the shape is not two positive integers or the neighbourhood is unknown.

    Examples
    --------
    >>> from sktopo.grid import Grid
    >>> grid = Grid((11, 11))
    >>> grid.n_units, len(grid.edges)
    (121, 420)
    >>> round(grid.mean_distance, 3)
    5.759
    """

    shape: tuple[int, int]
    neighborhood: str = "moore"
    wrap: bool = False

    def __post_init__(self):
        object.__setattr__(self, "shape", _check_grid_shape(self.shape))
        if self.neighborhood not in NEIGHBORHOODS:
            raise ValueError(
                f"neighborhood must be one of {sorted(NEIGHBORHOODS)}; "
                f"got {self.neighborhood!r}."
            )

    @property
    def n_units(self) -> int:  # numpydoc ignore=GL08
        return self.shape[0] * self.shape[1]

    @cached_property
    def coordinates(self) -> np.ndarray:  # numpydoc ignore=GL08
        return np.indices(self.shape).reshape(2, -1).T

    @cached_property
    def edges(self) -> np.ndarray:  # numpydoc ignore=GL08
        unit = np.arange(self.n_units).reshape(self.shape)
        pairs = []
        for down, right in NEIGHBORHOODS[self.neighborhood]:
            here, there = _overlap(unit, down, right)
            pairs.append(np.stack([here.ravel(), there.ravel()], axis=1))
        return np.concatenate(pairs)

    @cached_property
    def distances(self) -> np.ndarray:  # numpydoc ignore=GL08
        step = self.coordinates[:, None] - self.coordinates[None]
        return np.hypot(step[..., 0], step[..., 1])

    @cached_property
    def mean_distance(self) -> float:  # numpydoc ignore=GL08
        n = self.n_units
        total = (pairs_at_offsets(self.shape) * np.hypot(*np.indices(self.shape))).sum()
        return float(2 * total / (n * (n - 1))) if n > 1 else float("nan")


def sheet_shape(n_units: int) -> tuple[int, int]:
    """Rows and columns of the sheet that so many units stand on, as square as can be.

    Parameters
    ----------
    n_units : int
        Number of units, at least 1.

    Returns
    -------
    tuple of (int, int)
        Rows, the largest divisor up to the square root, and columns. A prime number of
        units makes one row, with a warning (beyond three units).

    Raises
    ------
    ValueError
        If the number is no positive integer.

    Examples
    --------
    >>> from sktopo.grid import sheet_shape
    >>> sheet_shape(128)
    (8, 16)
    """
    if not isinstance(n_units, Integral) or isinstance(n_units, bool) or n_units < 1:
        raise ValueError(f"n_units must be a positive integer; got {n_units!r}.")
    n_units = int(n_units)
    rows = next(r for r in range(math.isqrt(n_units), 0, -1) if n_units % r == 0)
    if rows == 1 and n_units > 3:
        warn_user(
            f"{n_units} units, a prime number, stand in one row: no sheet of them has "
            f"more. Give the grid_shape that is wanted, or a layer of another size."
        )
    return rows, n_units // rows


def pairs_at_offsets(shape: tuple[int, int]) -> np.ndarray:
    """Number of pairs of units that stand so many rows and columns apart.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns.

    Returns
    -------
    ndarray of shape (rows, columns)
        Each undirected pair counts once; at (0, 0) each unit with itself.
    """
    down, right = np.indices(shape)
    both_ways = np.where((down > 0) & (right > 0), 2, 1)
    return both_ways * (shape[0] - down) * (shape[1] - right)


def _overlap(values, down, right):
    """Views of the last two axes of `values`, the second shifted by (down, right)."""
    rows, columns = values.shape[-2:]
    left = max(0, -right)
    here = values[..., : rows - down, left : columns - max(0, right)]
    there = values[..., down:, left + right : columns + min(0, right)]
    return here, there


def neighbor_sum(maps: np.ndarray, neighborhood: str = "moore") -> np.ndarray:
    """Sum over neighbouring pairs of the product of their values, for each map.

    Parameters
    ----------
    maps : ndarray of shape (..., rows, columns)
        One or more maps of per-unit values.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        Which units are neighbours.

    Returns
    -------
    ndarray of shape (...)
        Each undirected pair counts once.
    """
    total = np.zeros(maps.shape[:-2])
    for down, right in NEIGHBORHOODS[neighborhood]:
        here, there = _overlap(maps, down, right)
        total += np.einsum("...ij,...ij->...", here, there)
    return total
