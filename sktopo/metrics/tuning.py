"""Tuning to orientation, mirror symmetry and eccentricity."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from sktopo._arrays import as_plain
from sktopo._numbers import check_whole
from sktopo.metrics._checks import (
    check_labels,
    check_table,
    check_vector,
    unit_blocks,
)
from sktopo.metrics.activations import Activations

__all__ = ["eccentricity_profile", "orientation_tuning", "symmetry_sensitivity"]

# Modulation in standard deviations over images under which nothing is preferred.
LEAST_AMPLITUDE = 0.05


def orientation_tuning(
    R: ArrayLike,
    orientations: ArrayLike,
    blank: ArrayLike = 0.0,
    scale: ArrayLike | None = None,
) -> Bunch:
    """Orientation tuning of each unit.

    Parameters
    ----------
    R : array-like of shape (n_units, n_orientations)
        Responses to `sktopo.stimuli.sine_gratings`, mean over phases, then frequencies.
    orientations : array-like of shape (n_orientations,)
        Orientations in degrees, three or more, evenly spaced over 180 in any order and
        from any start: as 0, 22.5, ..., 157.5.
    blank : array-like of shape () or (n_units,), default=0.0
        Response to `sktopo.stimuli.blank`, subtracted before rectification.
    scale : array-like of shape (n_units,), default=None
        Standard deviation of each unit over test images, the unit of `amplitude`. None:
        the responses' own unit.

    Returns
    -------
    Bunch
        With arrays (n_units,): strength, 1 minus the circular variance of the rectified
        responses R' = max(R - blank, 0), in [0, 1], nan where all are 0, 1 for a
        response at one orientation alone; preferred, the
        preferred orientation in degrees, [0, 180), nan for strength 0 or an amplitude
        under 0.05; osi, (Rp - Ro) / (Rp + Ro) of the largest rectified response and
        that at the orthogonal orientation (the nearest to it, where there is none), nan
        where all are 0; amplitude, of the
        second harmonic of R over `scale`, nan for scale 0; and n_undefined, the number
        of units without preferred orientation. The amplitude is the primary measure:
        strength is blind to the depth of modulation.

    Raises
    ------
    ValueError
        If the shapes do not fit, the orientations are not as above (radians, or 0 and
        180, which are one orientation), or a scale is negative.

    References
    ----------
    Ringach, Shapley & Hawken, "Orientation selectivity in macaque V1", Journal of
    Neuroscience 22 (2002).

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import orientation_tuning
    >>> angles = np.arange(8) * 22.5
    >>> R = 1 + np.cos(np.deg2rad(2 * (angles - 45)))[None]
    >>> tuning = orientation_tuning(R, angles)
    >>> round(tuning.strength.item(), 6), round(tuning.preferred.item(), 6)
    (0.5, 45.0)
    """
    R = check_table(R, "R", "n_units", "n_orientations").astype(np.float64)
    n_units, n_angles = R.shape
    angles = _check_orientations(orientations, n_angles)
    blank = _per_unit("blank", blank, n_units)
    scale = _per_unit("scale", 1.0 if scale is None else scale, n_units)
    if (scale < 0).any():
        raise ValueError(
            f"scale must be standard deviations, 0 or more; got {scale.min()}."
        )
    rotation = np.exp(2j * np.deg2rad(angles))
    amplitude = np.abs(R @ rotation) * 2 / n_angles
    amplitude = amplitude / np.where(scale > 0, scale, np.nan)

    rectified = np.maximum(R - blank[:, None], 0)
    total = rectified.sum(axis=1)
    vector = rectified @ rotation / np.where(total > 0, total, 1)
    # what rounding leaves of a flat curve has no direction
    strength = np.where(np.abs(vector) < 1e-12, 0.0, np.abs(vector))
    strength = np.where(total > 0, strength, np.nan)
    # nan is no amplitude, and rounding takes nothing from one that is just enough
    directed = (strength > 0) & (amplitude >= LEAST_AMPLITUDE - 1e-12)
    preferred = np.rad2deg(np.angle(vector)) / 2 % 180
    preferred[preferred > 180 - 1e-9] = 0.0
    preferred = np.where(directed, preferred, np.nan)

    best = rectified.argmax(axis=1)
    gap = np.abs((angles[None] - angles[best][:, None]) % 180 - 90)
    unit = np.arange(n_units)
    largest, orthogonal = rectified[unit, best], rectified[unit, gap.argmin(axis=1)]
    osi = (largest - orthogonal) / np.where(total > 0, largest + orthogonal, np.nan)
    return Bunch(
        strength=strength,
        preferred=preferred,
        osi=osi,
        amplitude=amplitude,
        n_undefined=int(np.isnan(preferred).sum()),
    )


def _check_orientations(orientations, n_angles):
    """Angles in degrees that divide the half circle evenly."""
    angles = np.asarray(as_plain(orientations, "orientations"), dtype=float).ravel()
    if len(angles) != n_angles:
        raise ValueError(
            f"R must be (n_units, n_orientations); it has {n_angles} columns for "
            f"{len(angles)} orientations."
        )
    if n_angles < 3 or not np.isfinite(angles).all():
        raise ValueError(
            f"orientations must be three or more finite angles in degrees; got "
            f"{angles.tolist()}."
        )
    rising = np.sort(angles % 180)
    gaps = np.diff(rising, append=rising[0] + 180)
    if np.abs(gaps - 180 / n_angles).max() > 1e-3:
        raise ValueError(
            f"orientations must be in degrees and evenly spaced over 180, as "
            f"np.arange({n_angles}) * {180 / n_angles:g}; 0 and 180 are one. Got "
            f"{angles.tolist()}. If these are radians, use np.rad2deg."
        )
    return angles


def _per_unit(name, values, n_units):
    """One finite value for each unit, from one for all or one each."""
    values = np.asarray(as_plain(values, name), dtype=float)
    if values.shape not in ((), (1,), (n_units,)) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be one finite value, or one for each of {n_units} units; got "
            f"shape {values.shape}."
        )
    return np.broadcast_to(values, n_units)


def symmetry_sensitivity(
    A: ArrayLike, A_mirror: ArrayLike, y: ArrayLike, random_state: int | None = 0
) -> Bunch:
    """How alike each unit responds to an image and to its mirror image.

    Parameters
    ----------
    A : array-like of shape (n_images, n_units)
        Activations of images.
    A_mirror : array-like of shape (n_images, n_units)
        Activations of the same images, mirrored: ``X[..., ::-1]`` left-right,
        ``X[..., ::-1, :]`` up-down.
    y : array-like of shape (n_images,)
        Class labels.
    random_state : int or None, default=0
        Seed of the pairing within classes.

    Returns
    -------
    Bunch
        With arrays (n_units,), nan for constant units: r, Pearson's r between the
        responses to images and to their mirror images; r_class, the same with the
        mirror image of another image of the class; index, (r - r_class)/(1 - r_class):
        1 for a unit that does not see the difference and 0 for one that cannot tell the
        mirror image from another of its class (raw r saturates). n_images counts the
        images whose class has another member.

    Raises
    ------
    ValueError
        If the shapes differ, or no class has two images.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import symmetry_sensitivity
    >>> A = np.random.default_rng(0).normal(size=(50, 2))
    >>> symmetry_sensitivity(A, A * [1, -1], np.zeros(50)).r.round(6)
    array([ 1., -1.])
    """
    shared, _, y = Activations.of(A, y=check_labels(y))
    A = shared.values
    A_mirror = Activations.of(A_mirror, name="A_mirror")[0].values
    if A.shape != A_mirror.shape:
        raise ValueError(
            f"A and A_mirror must have one shape; got {A.shape} and {A_mirror.shape}."
        )
    rng = np.random.default_rng(random_state)
    here, there = [], []
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        if len(members) > 1:
            order = rng.permutation(members)
            here.append(order)
            there.append(np.roll(order, 1))
    if not here:
        raise ValueError(
            "No class has two images, so none has another to compare with."
        )
    here, there = np.concatenate(here), np.concatenate(there)
    r, r_class = np.empty((2, A.shape[1]))
    for units, block in unit_blocks(A):
        block, mirrored = block[here], A_mirror[:, units].astype(np.float64)
        r[units] = _paired_correlation(block, mirrored[here])
        r_class[units] = _paired_correlation(block, mirrored[there])
    room = np.where(1 - r_class > 1e-12, 1 - r_class, np.nan)
    return Bunch(r=r, r_class=r_class, index=(r - r_class) / room, n_images=len(here))


def _paired_correlation(A, B):
    """Pearson's r of each column of A with the same column of B."""
    constant = (np.ptp(A, axis=0) == 0) | (np.ptp(B, axis=0) == 0)
    A, B = A - A.mean(axis=0), B - B.mean(axis=0)
    norm = np.sqrt(np.square(A).sum(axis=0)) * np.sqrt(np.square(B).sum(axis=0))
    r = (A * B).sum(axis=0) / np.where(constant | (norm == 0), np.nan, norm)
    return np.clip(r, -1, 1)


def eccentricity_profile(
    A: ArrayLike, eccentricity: ArrayLike, blank: ArrayLike = 0.0, n_rings: int = 6
) -> Bunch:
    """Response of each unit to probes at growing distance from the centre.

    Parameters
    ----------
    A : array-like of shape (n_probes, n_units)
        Responses to `sktopo.stimuli.eccentricity_probes`.
    eccentricity : array-like of shape (n_probes,)
        Distance of each probe from the centre, 1 at the nearer border; probes farther
        away are dropped.
    blank : array-like of shape () or (n_units,), default=0.0
        Response to `sktopo.stimuli.blank`.
    n_rings : int, default=6
        Number of equal rings from 0 to 1.

    Returns
    -------
    Bunch
        With profile (n_units, n_rings), the mean response over the probes of each ring,
        nan for a ring without probes; radius (n_rings,), the ring's middle; n
        (n_rings,), its number of probes; blank (n_units,), the response to none; and
        per unit E_abs, the mean radius weighted
        by the size of the response's difference from blank, in either direction;
        relative_abs, E_abs / E_flat, the primary measure: 1 is no preference, less the
        centre, more the rim; E and relative, the same of the rectified response above
        blank. Empty rings are left out; where the weights are 0 in all others, a unit
        has nan. E_flat is the mean radius of a flat profile; n_defined_abs and
        n_defined count the units that have an E_abs and an E.

    Raises
    ------
    ValueError
        If the shapes do not fit, an eccentricity is negative, or no probe lies within
        1.

    Notes
    -----
    Under global average pooling a unit knows the place of a probe only by the padding
    at the border and the phase of pooling. The rectified E is defined for those units
    only that respond above blank somewhere, and these are other units in each model;
    E_abs is defined for all that respond.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import eccentricity_profile
    >>> r = np.linspace(0, 1, 61)
    >>> eccentricity_profile(-np.ones((61, 1)), r).relative_abs.round(6)
    array([1.])
    """
    A = Activations.of(A)[0].values
    r = check_vector(eccentricity, "eccentricity", len(A), "probes")
    check_whole("n_rings", n_rings, 1)
    if (r < 0).any():
        raise ValueError(
            f"eccentricity must be distances from the centre, 0 or more; got {r.min()}."
        )
    # a probe on the border of two rings is of the outer one, and one at 1 of the last
    ring = np.floor(r * n_rings + 1e-9).astype(int)
    ring = np.where(r <= 1 + 1e-9, np.minimum(ring, n_rings - 1), -1)
    n = np.bincount(ring[ring >= 0], minlength=n_rings)
    if not n.any():
        raise ValueError("No probe lies within an eccentricity of 1.")
    radius = (np.arange(n_rings) + 0.5) / n_rings
    means = (
        pd.DataFrame(A.astype(np.float64)).groupby(ring).mean().reindex(range(n_rings))
    )
    profile = means.to_numpy().T
    blank = _per_unit("blank", blank, A.shape[1])
    response = np.nan_to_num(profile - blank[:, None])  # empty rings weigh nothing
    # what the mean of equal responses loses by rounding is no response
    size = np.maximum(np.abs(A).max(axis=0), np.abs(blank))
    response[np.abs(response) <= 1e-12 * size[:, None]] = 0
    E = _mean_radius(np.maximum(response, 0), radius)
    E_abs = _mean_radius(np.abs(response), radius)
    E_flat = float(radius[n > 0].mean())
    return Bunch(
        profile=profile,
        radius=radius,
        n=n,
        blank=blank,
        E=E,
        E_abs=E_abs,
        E_flat=E_flat,
        relative=E / E_flat,
        relative_abs=E_abs / E_flat,
        n_defined=int(np.isfinite(E).sum()),
        n_defined_abs=int(np.isfinite(E_abs).sum()),
    )


def _mean_radius(weights, radius):
    """Mean radius of each unit's rings, by their weights; nan without any."""
    total = weights.sum(axis=1)
    return weights @ radius / np.where(total > 0, total, np.nan)
