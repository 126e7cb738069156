"""Geometry of the unit grid: coordinates, neighbours and distances (NumPy only)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np

from sktopo._numbers import check_name
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
    """A grid of units in row-major order.

    Unit ``u`` of a grid with ``columns`` columns stands at row ``u // columns``, column
    ``u % columns``. Neighbouring units are one grid step apart.

    What takes a grid shape takes a Grid in its place, whose neighbourhood and
    wrap-around it follows.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns, each at least 1.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        "moore": the 8 surrounding units are neighbours; "von_neumann": the 4 units that
        share an edge.
    wrap : bool, default=False
        Whether the grid is a torus: the last row adjoins the first, the last column
        too, also over the corners.

    Attributes
    ----------
    n_units : int
        Number of units, rows times columns.
    coordinates : ndarray of shape (n_units, 2)
        Row and column of each unit.
    edges : ndarray of shape (n_edges, 2)
        Each pair of neighbouring units once, also on a torus two wide, where a unit
        meets another on both sides. No unit is its own neighbour.
    links : tuple of (tuple of slice, tuple of slice)
        The edges by slices: the units of an array of shape (rows, columns) that the
        first cuts out are neighbours of those that the second cuts out, one by one,
        in the order of the edges.
    distances : ndarray of shape (n_units, n_units)
        Euclidean distance between units, in grid steps, on a torus the shortest way.
    mean_distance : float
        Mean distance over all pairs of different units; nan for a single unit.

    Raises
    ------
    ValueError
        If the shape is not two positive integers, the neighbourhood is unknown, or wrap
        is neither True nor False.

    Examples
    --------
    >>> from sktopo.grid import Grid
    >>> grid = Grid((11, 11))
    >>> grid.n_units, len(grid.edges)
    (121, 420)
    >>> round(grid.mean_distance, 3)
    5.759
    >>> torus = Grid((11, 11), wrap=True)
    >>> len(torus.edges), torus.distances[0, 120].round(3)
    (484, np.float64(1.414))
    """

    shape: tuple[int, int]
    neighborhood: str = "moore"
    wrap: bool = False

    def __post_init__(self):
        object.__setattr__(self, "shape", _check_grid_shape(self.shape))
        check_name("neighborhood", self.neighborhood, NEIGHBORHOODS)
        if not isinstance(self.wrap, bool | np.bool_):
            raise ValueError(f"wrap must be True or False; got {self.wrap!r}.")
        object.__setattr__(self, "wrap", bool(self.wrap))

    @classmethod
    def of(cls, grid_shape: tuple[int, int] | Grid) -> Grid:
        """Return the grid of a shape, or the one that is given.

        Parameters
        ----------
        grid_shape : tuple of (int, int) or Grid
            Rows and columns, of an open grid; or a Grid, which is returned as it is.

        Returns
        -------
        Grid
            The grid.
        """
        return grid_shape if isinstance(grid_shape, Grid) else cls(grid_shape)

    @property
    def n_units(self) -> int:  # numpydoc ignore=GL08
        return self.shape[0] * self.shape[1]

    @cached_property
    def coordinates(self) -> np.ndarray:  # numpydoc ignore=GL08
        return np.indices(self.shape).reshape(2, -1).T

    @cached_property
    def links(self) -> tuple:  # numpydoc ignore=GL08
        found = []
        for down, right in _steps(self):
            rows = _shifted(self.shape[0], down, self.wrap)
            columns = _shifted(self.shape[1], right, self.wrap)
            if _leads_back(self, down, right):  # half of the pairs are all of them
                rows, columns = (rows[:1], columns) if down else (rows, columns[:1])
            found += [
                ((row, column), (row_there, column_there))
                for row, row_there in rows
                for column, column_there in columns
            ]
        return tuple(found)

    @cached_property
    def edges(self) -> np.ndarray:  # numpydoc ignore=GL08
        unit = np.arange(self.n_units).reshape(self.shape)
        pairs = [
            np.stack([unit[here].ravel(), unit[there].ravel()], axis=1)
            for here, there in self.links
        ]
        return np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=unit.dtype)

    @cached_property
    def distances(self) -> np.ndarray:  # numpydoc ignore=GL08
        step = self.coordinates[:, None] - self.coordinates[None]
        return np.hypot(*self.shortest(step[..., 0], step[..., 1]))

    @cached_property
    def mean_distance(self) -> float:  # numpydoc ignore=GL08
        n, n_pairs = self.n_units, pairs_at_offsets(self.shape, self.wrap)
        total = (n_pairs * np.hypot(*np.indices(n_pairs.shape))).sum()
        return float(2 * total / (n * (n - 1))) if n > 1 else float("nan")

    def shortest(self, down: np.ndarray, right: np.ndarray) -> tuple:
        """Turn differences of coordinates into steps the shortest way.

        Parameters
        ----------
        down, right : ndarray
            Differences of rows, and of columns.

        Returns
        -------
        tuple of (ndarray, ndarray)
            On a torus the numbers of rows and of columns between the units, the
            shortest way around; else what was given.
        """
        if not self.wrap:
            return down, right
        ways = zip((np.abs(down), np.abs(right)), self.shape, strict=True)
        return tuple(np.minimum(step, size - step) for step, size in ways)


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


def pairs_at_offsets(shape: tuple[int, int], wrap: bool = False) -> np.ndarray:
    """Number of pairs of units that stand so many rows and columns apart.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns.
    wrap : bool, default=False
        Whether the grid is a torus; no units are farther apart then than half of it.

    Returns
    -------
    ndarray of shape (rows, columns), or (rows // 2 + 1, columns // 2 + 1) on a torus
        Each undirected pair counts once; at (0, 0) each unit with itself.
    """
    if wrap:
        # how many of a row's rows are so far away, in either direction
        down, right = (
            1 + ((2 * step > 0) & (2 * step < size))
            for size, step in ((n, np.arange(n // 2 + 1)) for n in shape)
        )
        counts = shape[0] * shape[1] * down[:, None] * right // 2
        counts[0, 0] = shape[0] * shape[1]
        return counts
    down, right = np.indices(shape)
    both_ways = np.where((down > 0) & (right > 0), 2, 1)
    return both_ways * (shape[0] - down) * (shape[1] - right)


def _steps(grid):
    """Steps to neighbours, each pair of opposite ones once."""
    found = {}
    for down, right in NEIGHBORHOODS[grid.neighborhood]:
        step = down, right
        if grid.wrap:  # around an axis of one unit is no step
            step = tuple(d if n > 1 else 0 for d, n in zip(step, grid.shape))
        ends = {_around(grid, *step), _around(grid, -step[0], -step[1])}
        if any(step) and not ends & found.keys():
            found[_around(grid, *step)] = step
    return list(found.values())


def _around(grid, down, right):
    """Where a step leads from the first unit of a torus; on an open grid the step."""
    if grid.wrap:
        return down % grid.shape[0], right % grid.shape[1]
    return down, right


def _leads_back(grid, down, right):
    """Whether the same step, taken twice, leads back."""
    return _around(grid, 2 * down, 2 * right) == (0, 0)


def _shifted(size, step, wrap):
    """Slices of an axis and, step by step, of where that leads: within, and around."""
    ahead, back = max(step, 0), max(-step, 0)
    found = [(slice(back, size - ahead), slice(ahead, size - back))]
    if wrap:
        found.append((slice(size - ahead, size), slice(0, ahead)))
        found.append((slice(0, back), slice(size - back, size)))
    return [(here, there) for here, there in found if here.start < here.stop]


def neighbor_sum(
    maps: np.ndarray, neighborhood: str = "moore", wrap: bool = False
) -> np.ndarray:
    """Sum over neighbouring pairs of the product of their values, for each map.

    Parameters
    ----------
    maps : ndarray of shape (..., rows, columns)
        One or more maps of per-unit values.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        Which units are neighbours.
    wrap : bool, default=False
        Whether the grid is a torus.

    Returns
    -------
    ndarray of shape (...)
        Each undirected pair counts once.
    """
    total = np.zeros(maps.shape[:-2])
    for here, there in Grid(maps.shape[-2:], neighborhood, wrap).links:
        total += np.einsum("...ij,...ij->...", maps[..., *here], maps[..., *there])
    return total
