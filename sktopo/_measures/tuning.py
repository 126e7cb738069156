"""How units respond to gratings, mirrored images and probes in places."""

import numpy as np
import pandas as pd

from sktopo import metrics, stimuli
from sktopo._images import as_batch
from sktopo._measures.group import Group


def tuning(given, table):
    _orientation(given, table)
    _symmetry(given, table)
    found = eccentricity_of(given.evaluation.subject)
    table.add_mean("eccentricity_abs", found.E_abs)
    table.add_mean("eccentricity_abs_relative", found.relative_abs)
    table.add_mean("eccentricity", found.E)
    table.add_mean("eccentricity_relative", found.relative)


def _orientation(given, table):
    A = given.evaluation.activations
    found = orientation_of(given.evaluation.subject, A)
    for name in ("amplitude", "strength", "osi"):
        table.add_mean(f"orientation_{name}", found[name])
    n_units = given.grid.n_units
    table.add("orientation_preferring", 1 - found.n_undefined / n_units, n_units)
    if n_units > 1:
        smooth = metrics.difference_by_distance(found.preferred, given.grid, 180.0)
        table.add("orientation_smoothness", smooth.smoothness, smooth.n_units)


def _symmetry(given, table):
    evaluation, seed = given.evaluation, given.seed
    subject = evaluation.subject
    shape, value_range = subject.image_shape, subject.value_range
    for axis, flip in (("left-right", -1), ("up-down", -2)):
        if shape[flip] < 2:
            continue
        if evaluation.y is not None:
            _mirrors(evaluation, flip, axis, seed, table)
        patterns, halves = stimuli.symmetric_patterns(
            shape, value_range, axis=axis, random_state=seed, lazy=True
        )
        symmetric = halves["symmetric"].to_numpy()
        d = metrics.d_prime(subject.respond(patterns), symmetric)
        table.add_mean("symmetry_d_prime", d[:, -1], axis=axis)


def _mirrors(evaluation, flip, axis, seed, table):
    mirrored = _mirror(evaluation, flip)
    try:
        found = metrics.symmetry_sensitivity(
            evaluation.activations, mirrored, evaluation.y, seed
        )
    except ValueError:  # no class has two images
        return
    table.add_mean("mirror_index", found.index, axis=axis)
    table.add_mean("mirror_correlation", found.r, axis=axis)


def orientation_of(subject, A):
    """Orientation tuning of the units, from gratings in the range of the images.

    Modulation is told in standard deviations of the responses A to images.
    """
    # what rounding leaves of equal responses is no deviation
    scale = np.where(np.ptp(A, axis=0) > 0, A.std(axis=0), 0)
    settings = subject.image_shape, subject.value_range
    images, gratings = stimuli.sine_gratings(*settings, lazy=True)
    R = pd.DataFrame(subject.respond(images))
    R = R.groupby(gratings["orientation"].to_numpy()).mean()
    rest = subject.respond(stimuli.blank(*settings))[0]
    return metrics.orientation_tuning(R.to_numpy().T, R.index, rest, scale)


def eccentricity_of(subject):
    """Eccentricity profiles of the units, from probes in the range of the images."""
    settings = subject.image_shape, subject.value_range
    probes, places = stimuli.eccentricity_probes(*settings, lazy=True)
    rest = subject.respond(stimuli.blank(*settings))[0]
    responses = subject.respond(probes)
    return metrics.eccentricity_profile(responses, places["eccentricity"], rest)


def _mirror(evaluation, flip):
    """Activations of the images mirrored along an axis."""
    subject, X = evaluation.subject, evaluation.X
    shape = subject.image_shape

    def mirrored(rows):
        return np.flip(as_batch(X, rows, shape).numpy(), axis=flip)

    return subject.respond(stimuli.LazyImages((len(X), *shape), mirrored))


GROUP = Group("tuning", {"images"}, tuning)
