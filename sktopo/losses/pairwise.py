"""All pairs of units are asked to be the more alike, the nearer they are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor, nn

from sktopo.grid import Grid
from sktopo.losses.vectors import unit_rows, unit_vectors

FORMS = ("relative", "absolute")
"""How correlations are compared with distances."""


class _Places:
    """Where units stand (NumPy, float64); on a torus, with the lengths of its axes."""

    def __init__(self, grid, positions, wrap):
        self.periods = None
        if isinstance(positions, str):
            if positions not in ("grid", "unit_square"):
                raise _wrong_positions(positions, grid)
            self.points = grid.coordinates.astype(np.float64)
            lengths = np.array(grid.shape, dtype=np.float64)
            if positions == "unit_square":
                steps = np.maximum(lengths - 1, 1)
                self.points, lengths = self.points / steps, lengths / steps
            self.periods = lengths if wrap else None
            return
        try:
            self.points = np.array(positions, dtype=np.float64)
        except (TypeError, ValueError):
            raise _wrong_positions(positions, grid) from None
        if self.points.ndim != 2 or len(self.points) != grid.n_units:
            raise _wrong_positions(positions, grid)
        if not np.isfinite(self.points).all():
            raise ValueError("positions must be finite; got nan or infinite ones.")
        if wrap:
            raise ValueError(
                "wrap=True makes a torus of the grid, and positions of one's own have "
                "no edges to join. Use positions='grid' or 'unit_square', or wrap=False."
            )

    def distances(self, points, others):
        """Euclidean distances of shape (len(points), len(others))."""
        squared = np.zeros((len(points), len(others)))
        for axis in range(points.shape[1]):
            step = np.abs(points[:, None, axis] - others[None, :, axis])
            if self.periods is not None:
                np.minimum(step, self.periods[axis] - step, out=step)
            squared += np.square(step, out=step)
        return np.sqrt(squared, out=squared)

    def nearest(self):
        """The shortest distance between two units."""
        tree = cKDTree(self.points, boxsize=self.periods)
        return tree.query(self.points, k=2)[0][:, 1].min()


def _wrong_positions(positions, grid):
    got = positions if isinstance(positions, str) else f"shape {np.shape(positions)}"
    return ValueError(
        f"positions must be 'grid', 'unit_square' or an array of shape (n_units, d) "
        f"with {grid.n_units} units, for a grid of {grid.shape}; got {got!r}."
    )


def _pairs(matrix):
    """All pairs of different units, each twice: a view of a square matrix."""
    n = len(matrix)
    return matrix.flatten()[1:].view(n - 1, n + 1)[:, :n]


class _PairLoss(nn.Module):
    """Compares how alike units respond with how near they stand."""

    source = "activations"
    min_images = 2

    def __init__(self, grid_shape, positions, wrap):
        super().__init__()
        self.grid = Grid(grid_shape, **({"wrap": True} if wrap else {}))
        if self.grid.n_units < 2:
            raise ValueError(
                "A single unit has no pairs, so it has no spatial loss. Use a larger "
                "grid_shape, or topo_loss=None."
            )
        self.positions, self.wrap = positions, wrap
        self._places = _Places(self.grid, positions, wrap)

    def _target(self, points):
        """What the similarity of each pair is compared with, in float64."""
        closeness = 1 / (1 + self._places.distances(points, points))
        return _pairs(torch.from_numpy(closeness)).contiguous()

    def _hold_target(self):
        target = self._target(self._places.points).float()
        self.register_buffer("target", target, persistent=False)

    def _target_of_all(self, rows):
        if rows.dtype == torch.float32 == self.target.dtype:
            return self.target
        return self._target(self._places.points).to(rows)

    def _name_of_positions(self):
        own = not isinstance(self.positions, str)
        return f"array of shape {self._places.points.shape}" if own else self.positions


class SpatialCorrelation(_PairLoss):
    """TODO."""

    def __init__(
        self,
        grid_shape: tuple[int, int],
        form: str = "relative",
        radius: float | None = None,
        positions: str | np.ndarray | None = None,
        wrap: bool = False,
        seed: int = 0,
    ):
        super().__init__(grid_shape, "grid" if positions is None else positions, wrap)
        if form not in FORMS:
            raise ValueError(f"form must be one of {sorted(FORMS)}; got {form!r}.")
        self.form, self.radius, self.seed = form, radius, seed
        if radius is None:
            self._hold_target()
            return
        nearest = self._places.nearest()
        if not nearest <= radius < float("inf"):
            raise ValueError(
                f"radius must be None, or a distance that reaches from a unit to "
                f"another: {nearest:.3g} or more here; got {radius!r}."
            )
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def _target(self, points):
        target = super()._target(points)
        if self.form == "absolute":
            return target
        return unit_vectors(target.view(1, -1), centered=True).view_as(target)

    def _neighborhood(self):
        """Units within the radius of one that is drawn."""
        step = int(self.step) if self.training else 0
        if self.training:
            self.step += 1
        seed = int(np.random.SeedSequence((self.seed, step)).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        points = self._places.points
        center = int(torch.randint(len(points), (), generator=generator))
        distance = self._places.distances(points[center, None], points)[0]
        return np.flatnonzero(distance <= self.radius)

    def forward(self, x: Tensor) -> Tensor:
        rows = unit_rows(self, x)
        with torch.autocast(rows.device.type, enabled=False):
            if self.radius is None:
                return self._compare(rows, self._target_of_all(rows))
            near = self._neighborhood()
            target = self._target(self._places.points[near])
            return self._compare(
                rows[torch.from_numpy(near).to(rows.device)], target.to(rows)
            )

    def _compare(self, rows, target):
        units = unit_vectors(rows, centered=True)
        r = _pairs(units @ units.T)
        if self.form == "absolute":
            return F.l1_loss(r, target)
        centered = r - r.mean()
        norm = torch.linalg.vector_norm(centered)
        # What the subtraction of the mean leaves of equal r is rounding error.
        rounding = 8 * torch.finfo(r.dtype).eps * r.numel() ** 0.5
        defined = norm > rounding
        norm = torch.where(defined, norm, 1.0)
        pearson = torch.dot(centered.flatten(), target.flatten()) / norm * defined
        return (1 - pearson) / 2

    def extra_repr(self):  # numpydoc ignore=GL08
        return (
            f"{self.grid.shape}, form={self.form!r}, radius={self.radius}, "
            f"positions={self._name_of_positions()}, wrap={self.wrap}, seed={self.seed}"
        )


class InverseDistance(_PairLoss):
    """TODO."""

    def __init__(
        self,
        grid_shape: tuple[int, int],
        positions: str | np.ndarray = "unit_square",
        wrap: bool = False,
    ):
        super().__init__(grid_shape, positions, wrap)
        self._hold_target()

    def forward(self, x: Tensor) -> Tensor:
        rows = unit_rows(self, x)
        with torch.autocast(rows.device.type, enabled=False):
            units = unit_vectors(rows, centered=False)
            return F.mse_loss(_pairs(units @ units.T), self._target_of_all(rows))

    def extra_repr(self):  # numpydoc ignore=GL08
        return (
            f"{self.grid.shape}, positions={self._name_of_positions()}, "
            f"wrap={self.wrap}"
        )
