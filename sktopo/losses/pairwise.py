"""All pairs of units are asked to be the more alike, the nearer they are."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from sktopo._numbers import check_name
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
        if isinstance(positions, Tensor):
            positions = positions.detach().cpu().numpy()
        try:
            self.points = np.array(positions, dtype=np.float64)
        except (TypeError, ValueError):
            raise _wrong_positions(positions, grid) from None
        shape = self.points.shape
        if len(shape) != 2 or shape[0] != grid.n_units or not shape[1]:
            raise _wrong_positions(positions, grid)
        if not np.isfinite(self.points).all():
            raise ValueError("positions must be finite; got nan or infinite ones.")
        if wrap:
            raise ValueError(
                "wrap=True makes a torus of the grid, and positions of one's own have "
                "no edges to join. Use positions='grid' or 'unit_square', or "
                "wrap=False."
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
    got = repr(positions)
    if not isinstance(positions, str):
        got = f"shape {np.shape(positions)}"
    return ValueError(
        f"positions must be 'grid', 'unit_square' or an array of shape (n_units, d) "
        f"with {grid.n_units} units, for a grid of {grid.shape}; got {got}."
    )


class _AbsoluteDifferences(torch.autograd.Function):
    """Sum of |u_i . u_j - target_ij| over all i and j, without arrays of that size."""

    ROWS = 256  # so many at a time, which a cache holds

    @staticmethod
    def forward(units, target):
        slopes = torch.empty_like(units)
        total = units.new_zeros(())
        blocks = [x.split(_AbsoluteDifferences.ROWS) for x in (units, target, slopes)]
        for unit, wanted, slope in zip(*blocks, strict=True):
            difference = torch.addmm(wanted, unit, units.T, beta=-1)
            total += torch.linalg.vector_norm(difference, ord=1)
            torch.mm(difference.sign_(), units, out=slope)
        return total, slopes

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, grad, _):
        units, target, slopes = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            slopes = (units @ units.T - target).sign() @ units
        return 2 * grad * slopes, None  # target is symmetric


class _PairLoss(nn.Module):
    """Compares how alike units respond with how near they stand."""

    source = "activations"
    min_images = 2

    def __init__(self, grid_shape, positions, wrap):
        super().__init__()
        self.grid = Grid(grid_shape, wrap=wrap)
        if self.grid.n_units < 2:
            raise ValueError(
                "A single unit has no pairs, so it has no spatial loss. Use a larger "
                "grid_shape, or topo_loss=None."
            )
        self._places = _Places(self.grid, positions, wrap)
        self.positions = (
            positions if isinstance(positions, str) else self._places.points
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        x : Tensor of shape (batch, n_units)
            Responses to a batch of images.

        Returns
        -------
        Tensor of shape ()
            The loss over pairs of units.
        """
        rows = unit_rows(self, x)
        with torch.autocast(rows.device.type, enabled=False):
            return self._of_rows(rows)

    def _hold_target(self):
        target = self._target(self._places.points)
        self.register_buffer("target", target.float(), persistent=False)
        return target

    def _distances(self, points, others):
        return self._places.distances(points, others)

    def _target(self, points):
        """1 / (1 + d) of each pair in float64, and 0 for a unit with itself."""
        closeness = 1 / (1 + self._distances(points, points))
        np.fill_diagonal(closeness, 0)
        return torch.from_numpy(closeness)

    def _target_of_all(self, rows):
        if rows.dtype == torch.float32 == self.target.dtype:
            return self.target
        return self._target(self._places.points).to(rows)

    def _described_positions(self):
        own = not isinstance(self.positions, str)
        return f"array of shape {self.positions.shape}" if own else self.positions


class SpatialCorrelation(_PairLoss):
    """Spatial correlation: responses the more correlated, the nearer two units stand.

    With r_ij Pearson's correlation of the responses of units i and j over a batch, and
    d_ij their distance, it compares r_ij with 1 / (1 + d_ij) over the pairs of units.
    The "relative" form is (1 - R) / 2, with Pearson's R of the two over the pairs: 0 to
    1, and 0.5 without order. The "absolute" form is the mean of
    abs(r_ij - 1 / (1 + d_ij)): 0 to 2.

    Parameters
    ----------
    grid_shape : tuple of (int, int)
        Rows and columns of the unit grid, at least two units.
    form : {"relative", "absolute"}, default="relative"
        How correlations are compared with distances.
    radius : float, default=None
        Each call in training reads only the units no further than this, in the unit of
        `positions`, from one that is drawn; None: all units. In eval mode the first
        draw of the seed is taken each time, so that values can be compared.
    positions : str or array of shape (n_units, d), default=None
        Where the units stand: None or "grid" in grid steps; "unit_square" with rows and
        columns from 0 to 1; or one's own, of any number of axes.
    wrap : bool, default=False
        Whether the grid is a torus, where distances go the shorter way around.
    seed : int, default=0
        Of the draws, which depend on it and on the number of calls in training so far.

    Attributes
    ----------
    source : str
        "activations": what the loss is called with.
    grid : Grid
        The sheet.
    step : Tensor of shape (), int64
        With a radius: the number of draws so far. It is part of the state_dict.

    Raises
    ------
    ValueError
        On an unknown form, positions that do not fit, a torus of positions of one's
        own, a radius that reaches no unit, a negative seed, or a grid of one unit.

    See Also
    --------
    InverseDistance : The same comparison of cosines, by squares.
    ActivationSimilarity : Neighbours alike, without a say on units further apart.

    Notes
    -----
    Correlations with a unit of constant responses count as 0 and pass no gradient,
    which is nan in the published code of both forms. R is undefined where all r_ij are
    equal (within about 1e-6 in float32), or all distances: it counts as 0, so that the
    loss is 0.5 and has no gradient.

    TDANN and TopoLM read neighbourhoods of a random unit. Use a radius where all pairs
    are too many: time grows with the square of the units that are read. In TDANN every
    channel at every position of a convolution is a unit, with positions of its own:
    conv="units" in one's own loop.

    The relative form asks for an order alone, and leaves how strongly units are
    correlated to the task. Distances in the unit square differ less, so that far units
    are asked to be more alike than at "grid".

    References
    ----------
    Margalit, Lee, Finzi, DiCarlo, Grill-Spector & Yamins, "A unifying framework for
    functional organization in early and higher ventral visual cortex", Neuron 112,
    2024 (TDANN: the relative form; the absolute one is in its code).

    Rathi, Mehrer, AlKhamissi, Binhuraib, Blauch & Schrimpf, "TopoLM: brain-like
    spatio-functional organization in a topographic language model", ICLR 2025, arXiv
    2410.11516 (the relative form).

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import SpatialCorrelation
    >>> images = torch.linspace(0, 3, 50)[:, None]
    >>> wave = torch.sin(images + torch.arange(4.0))  # each unit a little later
    >>> loss = SpatialCorrelation((1, 4))
    >>> loss(wave).item() < 0.1 < 0.9 < loss(wave[:, [1, 3, 0, 2]]).item()
    True
    """

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
        check_name("form", form, FORMS)
        self.form, self.radius, self.seed = form, radius, seed
        if radius is None:
            self._hold_target()
            return
        nearest = self._places.nearest()
        known = isinstance(radius, Real) and not isinstance(radius, bool)
        if not known or not nearest <= radius < float("inf"):
            raise ValueError(
                f"radius must be None, or a distance that reaches from a unit to "
                f"another: {nearest:.3g} or more here; got {radius!r}."
            )
        if not isinstance(seed, Integral) or seed < 0:
            raise ValueError(f"seed must be an integer of at least 0; got {seed!r}.")
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def _of_rows(self, rows):
        """The loss over the pairs of all units, or of those that are drawn."""
        if self.radius is None:
            return self._compare(rows, self._target_of_all(rows))
        near = self._neighborhood()
        target = self._target(self._places.points[near]).to(rows)
        rows = rows.index_select(0, torch.from_numpy(near).to(rows.device))
        return self._compare(rows, target)

    def _neighborhood(self):
        """Indices of the units around one that is drawn."""
        step = 0
        if self.training:
            step = int(self.step)
            self.step += 1
        (seed,) = np.random.SeedSequence((self.seed, step)).generate_state(1)
        generator = torch.Generator().manual_seed(int(seed))
        points = self._places.points
        center = torch.randint(len(points), (1,), generator=generator).numpy()
        distances = self._distances(points[center], points)[0]
        return np.flatnonzero(distances <= self.radius)

    def _target(self, points):
        target = super()._target(points)
        if self.form == "absolute" or len(points) == 1:
            return target
        pairs = len(points) * (len(points) - 1)
        target = (target - target.sum() / pairs).fill_diagonal_(0)
        norm = torch.linalg.vector_norm(target)
        equal = norm <= 1e-12 * pairs**0.5
        return target.zero_() if equal else target / norm

    def _compare(self, rows, target):
        units = unit_vectors(rows, centered=True)
        if self.form == "relative":
            return (1 - _correlation_of_pairs(units, target)) / 2
        total, _ = _AbsoluteDifferences.apply(units, target)
        pairs = max(len(units) * (len(units) - 1), 1)
        return (total - units.square().sum()) / pairs

    def extra_repr(self):  # numpydoc ignore=GL08
        return (
            f"{self.grid.shape}, form={self.form!r}, radius={self.radius}, "
            f"positions={self._described_positions()}, wrap={self.grid.wrap}, "
            f"seed={self.seed}"
        )


def _correlation_of_pairs(units, target):
    """Pearson's correlation of u_i . u_j with `target` over the pairs i != j.

    The target is symmetric, 0 for a unit with itself, and over the pairs of mean 0 and
    norm 1. With u_i = m + v_i, m the mean unit, u_i . u_j is v_i . v_j + m . v_i +
    m . v_j + m . m, so that no array of all pairs is needed, and nothing is lost to
    rounding where all units are alike.
    """
    n = len(units)
    pairs = n * (n - 1)
    mean = units.mean(dim=0)
    steps = units - mean
    along, center = steps @ mean, mean @ mean
    product = (steps * (target @ steps)).sum() + 2 * target.sum(dim=1) @ along
    own = units.square().sum(dim=1) - center
    # Squares around `center`, of all i and j; then without i = j; then around the mean.
    squares = _sum_of_squared_products(steps) + 2 * n * along.square().sum()
    same = own.square().sum() + own.sum().square() / max(pairs, 1)
    squares = squares - same
    eps = torch.finfo(units.dtype).eps
    defined = squares > (8 * eps) ** 2 * pairs + 32 * eps * same
    return product * defined / torch.where(defined, squares, 1.0).sqrt()


def _sum_of_squared_products(vectors):
    """Sum of (v_i . v_j)^2 over all i and j, by the smaller of two Gram matrices."""
    few = vectors if vectors.shape[0] <= vectors.shape[1] else vectors.T
    return (few @ few.T).square().sum()


class InverseDistance(_PairLoss):
    """Inverse distance: the cosine of two units' responses is to be 1 / (1 + d).

    The mean of (cos_ij - 1 / (1 + d_ij))^2 over the pairs of units i and j, with d_ij
    their distance: 0 to 4.

    Parameters
    ----------
    grid_shape : tuple of (int, int)
        Rows and columns of the unit grid, at least two units.
    positions : str or array of shape (n_units, d), default="unit_square"
        Where the units stand: "unit_square", with rows and columns from 0 to 1; "grid",
        in grid steps; or one's own, of any number of axes. Distances are Euclidean.
    wrap : bool, default=False
        Whether the grid is a torus, where distances go the shorter way around.

    Attributes
    ----------
    source : str
        "activations": what the loss is called with.
    grid : Grid
        The sheet.

    Raises
    ------
    ValueError
        On positions that do not fit, a torus of positions of one's own, or a grid of
        one unit.

    See Also
    --------
    SpatialCorrelation : The same comparison of correlations.

    Notes
    -----
    Cosines with a unit of zero responses count as 0 and pass no gradient. Responses
    after a ReLU have cosines of at least 0, as what they are compared with.

    It says how alike any two units are to be, at whatever distance: in the unit square,
    where no two stand further apart than the diagonal, at least 0.41. It so shapes the
    whole layer; take `SpatialCorrelation` where only the order of similarities matters.

    Poli et al. compare the channels of a convolution over the positions of each image:
    conv="per_image" in one's own loop, with positions of their layout.

    References
    ----------
    Poli, Dupoux & Riad, "Introducing topography in convolutional neural networks",
    2022, arXiv 2211.13152.

    Sander & Hasson, "Similar accuracy but different topographies under cross-entropy
    and contrastive learning", Proceedings of Machine Learning Research 308, 2026 (the
    global loss of its code, ConTopo, in the unit square).

    Examples
    --------
    >>> import torch
    >>> from sktopo.losses import InverseDistance
    >>> loss = InverseDistance((1, 2), positions="grid")
    >>> 4 * loss(torch.eye(2)).item()  # cosine 0, and 1 / 2 is wanted
    1.0
    """

    def __init__(
        self,
        grid_shape: tuple[int, int],
        positions: str | np.ndarray = "unit_square",
        wrap: bool = False,
    ):
        super().__init__(grid_shape, positions, wrap)
        self._squares = float(self._hold_target().square().sum())

    def _of_rows(self, rows):
        """The mean squared difference."""
        units = unit_vectors(rows, centered=False)
        # The square multiplied out, so that no array of all pairs is needed.
        own = units.square().sum(dim=1)
        squares = _sum_of_squared_products(units) - own.square().sum()
        product = (units * (self._target_of_all(rows) @ units)).sum()
        pairs = len(units) * (len(units) - 1)
        return (squares - 2 * product + self._squares) / pairs

    def extra_repr(self):  # numpydoc ignore=GL08
        return (
            f"{self.grid.shape}, positions={self._described_positions()}, "
            f"wrap={self.grid.wrap}"
        )
