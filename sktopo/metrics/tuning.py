"""Tuning to orientation, mirror symmetry and eccentricity."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_array

from sktopo.metrics._checks import check_activations, check_labels, check_whole

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
        Orientations in degrees, evenly spaced over 180.
    blank : array-like of shape () or (n_units,), default=0.0
        Response to `sktopo.stimuli.blank`, subtracted before rectification.
    scale : array-like of shape (n_units,), default=None
        Standard deviation of each unit over test images, the unit of `amplitude`. None:
        the responses' own unit.

    Returns
    -------
    Bunch
        With arrays (n_units,): strength, 1 minus the circular variance of the rectified
        responses R' = max(R - blank, 0), in [0, 1], nan where all are 0; preferred, the
        preferred orientation in degrees, [0, 180), nan for strength 0 or an amplitude
        under 0.05; osi, (Rp - Ro) / (Rp + Ro) of the largest rectified response and
        that at the orthogonal orientation, nan where all are 0; amplitude, of the
        second harmonic of R over `scale`, nan for scale 0; and n_undefined, the number
        of units without preferred orientation. The amplitude is the primary measure:
        strength is blind to the depth of modulation.

    Raises
    ------
    ValueError
        If the shapes do not fit.

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
    R = check_array(R, dtype=np.float64, input_name="R")
    angles = np.asarray(orientations, dtype=float).ravel()
    n_units, n_angles = R.shape
    if len(angles) != n_angles:
        raise ValueError(
            f"R must be (n_units, n_orientations); it has {n_angles} columns for "
            f"{len(angles)} orientations."
        )
    blank = _per_unit("blank", blank, n_units)
    scale = _per_unit("scale", 1.0 if scale is None else scale, n_units)
    rotation = np.exp(2j * np.deg2rad(angles))
    amplitude = np.abs(R @ rotation) * 2 / n_angles
    amplitude = amplitude / np.where(scale > 0, scale, np.nan)

    rectified = np.maximum(R - blank[:, None], 0)
    total = rectified.sum(axis=1)
    vector = rectified @ rotation / np.where(total > 0, total, 1)
    # what rounding leaves of a flat curve has no direction
    strength = np.where(np.abs(vector) < 1e-12, 0.0, np.abs(vector))
    strength = np.where(total > 0, strength, np.nan)
    directed = (strength > 0) & ~(amplitude < LEAST_AMPLITUDE) & ~np.isnan(amplitude)
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


def _per_unit(name, values, n_units):
    """One finite value for each unit, from one for all or one each."""
    values = np.asarray(values, dtype=float)
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
    y = check_labels(y)
    A, _, y = check_activations(A, y=y)
    A_mirror, _, _ = check_activations(A_mirror)
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
    r = _paired_correlation(A[here], A_mirror[here])
    r_class = _paired_correlation(A[here], A_mirror[there])
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
        per unit E, the mean radius weighted by the rectified response above blank, nan
        where that is 0 everywhere; E_flat, the same for a flat profile; relative,
        E / E_flat, the primary measure: 1 is no preference, less the centre, more the
        rim.

    Raises
    ------
    ValueError
        If the shapes do not fit, or no probe lies within 1.

    Notes
    -----
    Under global average pooling a unit knows the place of a probe only by the padding
    at the border and the phase of pooling.

    Examples
    --------
    >>> import numpy as np
    >>> from sktopo.metrics import eccentricity_profile
    >>> r = np.linspace(0, 1, 61)
    >>> eccentricity_profile(np.ones((61, 1)), r).relative.round(6)
    array([1.])
    """
    A, _, _ = check_activations(A)
    r = np.asarray(eccentricity, dtype=float).ravel()
    check_whole("n_rings", n_rings, 1)
    if len(r) != len(A) or not np.isfinite(r).all():
        raise ValueError(
            f"eccentricity must hold one finite value for each of {len(A)} probes; got "
            f"{len(r)}, of which {int(np.isfinite(r).sum())} are finite."
        )
    ring = np.where(r == 1, n_rings - 1, np.floor(r * n_rings)).astype(int)
    n = np.bincount(ring[(ring >= 0) & (r <= 1)], minlength=n_rings)
    if not n.any():
        raise ValueError("No probe lies within an eccentricity of 1.")
    radius = (np.arange(n_rings) + 0.5) / n_rings
    means = pd.DataFrame(A).groupby(ring).mean().reindex(range(n_rings))
    profile = means.to_numpy().T
    blank = _per_unit("blank", blank, A.shape[1])
    above = np.maximum(profile - blank[:, None], 0)
    above = np.nan_to_num(above)  # empty rings
    total = above.sum(axis=1)
    E = above @ radius / np.where(total > 0, total, np.nan)
    E_flat = float(radius[n > 0].mean())
    return Bunch(
        profile=profile,
        radius=radius,
        n=n,
        blank=blank,
        E=E,
        E_flat=E_flat,
        relative=E / E_flat,
    )
