"""Checked activations, and what several measures need of them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from sklearn.utils import check_consistent_length

from sktopo.metrics._checks import (
    check_grid,
    check_labels,
    check_table,
    normalized,
    pearson,
)


class Activations:
    """Activations that several measures share: what is dear is computed once.

    A metric takes one in place of its array, so that `measure` and
    `measure_activations` pay for one matrix of correlations and one set of eigenvalues.

    Parameters
    ----------
    values : array-like of shape (n_images, n_units)
        Responses, kept as float32 where they came so.
    name : str, default="A"
        What they are, for messages.

    Attributes
    ----------
    values : ndarray of shape (n_images, n_units), float32 or float64
        Finite responses.
    """

    def __init__(self, values, name="A"):
        self.values = check_table(values, name)
        self._spectra = {}

    @classmethod
    def of(cls, A, grid_shape=None, y=None, name="A"):
        """Check activations, their grid and their labels.

        Parameters
        ----------
        A : array-like of shape (n_images, n_units) or Activations
            Responses, which may be checked already.
        grid_shape : tuple of (int, int) or Grid, default=None
            Rows and columns; or a `sktopo.grid.Grid`, which may be a torus.
        y : array-like of shape (n_images,), default=None
            Class labels.
        name : str, default="A"
            What the responses are, for messages.

        Returns
        -------
        tuple of (Activations, Grid or None, ndarray or None)
            The three, None where nothing was given.

        Raises
        ------
        ValueError
            If they are not finite, or do not fit each other.
        """
        shared = A if isinstance(A, cls) else cls(A, name)
        n_units = shared.values.shape[1]
        grid = None if grid_shape is None else check_grid(grid_shape, n_units, name)
        if y is not None:
            y = check_labels(y)
            check_consistent_length(shared.values, y)
        return shared, grid, y

    @cached_property
    def _pearson(self):
        found, constant, norm = normalized(self.values)
        return pearson(found, constant), ~constant, norm

    @property
    def correlations(self):
        """Pearson's r of all pairs of units.

        Returns
        -------
        ndarray of shape (n_units, n_units)
            Nan for constant units.
        """
        return self._pearson[0]

    @property
    def varying(self):
        """Which units are not constant.

        Returns
        -------
        ndarray of shape (n_units,), bool
            True where they vary.
        """
        return self._pearson[1]

    def spectrum(self, matrix, eigenvalues):
        """Find trace, Frobenius norm and (if asked for) eigenvalues of a matrix.

        Parameters
        ----------
        matrix : {"covariance", "correlation"}
            Of the units that are not constant, up to a factor.
        eigenvalues : bool
            Whether they are needed: they cost most of the time.

        Returns
        -------
        tuple of (float, float, ndarray or None), or None if all units are constant
            The eigenvalues lack some that are zero if there are fewer images than
            units.
        """
        found = self._spectra.get(matrix)
        if found is None or (eigenvalues and found[2] is None):
            products = self._products(matrix)
            if not len(products):
                return None
            values = np.linalg.eigvalsh(products) if eigenvalues else None
            found = float(products.trace()), float(np.linalg.norm(products)), values
            self._spectra[matrix] = found
        return found

    def _products(self, matrix):
        """The smaller of X'X and XX', which have the same eigenvalues but for zeros."""
        n_images, n_units = self.values.shape
        if n_units <= n_images:
            r, varying, norm = self._pearson
            products = r[np.ix_(varying, varying)]
            if matrix == "covariance":
                products *= norm[varying]
                products *= norm[varying, None]
            return products
        found, constant, norm = normalized(self.values)
        if constant.all():
            return np.zeros((0, 0))
        if matrix == "covariance":
            found *= norm
        else:
            found *= ~constant
        return found @ found.T


def check_weights(weights, n_units):
    """Check incoming weights of units.

    Parameters
    ----------
    weights : array-like of shape (n_units, fan_in)
        What somebody gave.
    n_units : int
        Number of units.

    Returns
    -------
    ndarray of shape (n_units, fan_in), float32 or float64
        Finite weights.

    Raises
    ------
    ValueError
        If they are not finite, or not of so many units.
    """
    weights = check_table(weights, "weights", "n_units", "fan_in")
    if len(weights) != n_units:
        raise ValueError(
            f"weights must have one row for each of {n_units} units; got "
            f"{len(weights)} rows."
        )
    return weights
