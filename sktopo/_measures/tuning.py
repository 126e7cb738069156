"""How units respond to gratings, mirrored images and probes in places."""

import numpy as np
import pandas as pd

from sktopo import metrics, stimuli
from sktopo._images import as_batch
from sktopo._measures.group import Group
from sktopo.networks import Head


def tuning(given, table):
    _orientation(given, table)
    _symmetry(given, table)
    found = eccentricity_of(given.evaluation.classifier)
    table.add_mean("eccentricity_abs", found.E_abs)
    table.add_mean("eccentricity_abs_relative", found.relative_abs)
    table.add_mean("eccentricity", found.E)
    table.add_mean("eccentricity_relative", found.relative)


def _orientation(given, table):
    scale = given.evaluation.activations.std(axis=0)
    found = orientation_of(given.evaluation.classifier, scale)
    for name in ("amplitude", "strength", "osi"):
        table.add_mean(f"orientation_{name}", found[name])
    n_units = given.grid.n_units
    table.add("orientation_preferring", 1 - found.n_undefined / n_units, n_units)
    if n_units > 1:
        shape = given.grid.shape
        smooth = metrics.difference_by_distance(found.preferred, shape, 180.0)
        table.add("orientation_smoothness", smooth.smoothness, smooth.n_units)


def _symmetry(given, table):
    evaluation, seed = given.evaluation, given.seed
    classifier = evaluation.classifier
    shape, value_range = classifier.image_shape_, classifier.pixel_range_
    for axis, flip in (("left-right", -1), ("up-down", -2)):
        if shape[flip] < 2:
            continue
        mirrored = _mirror(evaluation, flip)
        try:
            found = metrics.symmetry_sensitivity(
                evaluation.activations, mirrored, evaluation.y, seed
            )
        except ValueError:  # no class has two images
            pass
        else:
            table.add_mean("mirror_index", found.index, axis=axis)
            table.add_mean("mirror_correlation", found.r, axis=axis)
        patterns, halves = stimuli.symmetric_patterns(
            shape, value_range, axis=axis, random_state=seed, lazy=True
        )
        symmetric = halves["symmetric"].to_numpy()
        d = metrics.d_prime(_respond(classifier, patterns), symmetric)
        table.add_mean("symmetry_d_prime", d[:, -1], axis=axis)


def _respond(classifier, images):
    """Activations, without the checks that images of our own making do not need.

    The images can be lazy: only those of one batch are made at a time.
    """
    return classifier._evaluate(images, Head.activations)[0]


def orientation_of(classifier, scale):
    """Orientation tuning of the grid units, from gratings in the training range."""
    settings = classifier.image_shape_, classifier.pixel_range_
    images, gratings = stimuli.sine_gratings(*settings, lazy=True)
    R = pd.DataFrame(_respond(classifier, images))
    R = R.groupby(gratings["orientation"].to_numpy()).mean()
    rest = _respond(classifier, stimuli.blank(*settings))[0]
    return metrics.orientation_tuning(R.to_numpy().T, R.index, rest, scale)


def eccentricity_of(classifier):
    """Eccentricity profiles of the grid units, from probes in the training range."""
    settings = classifier.image_shape_, classifier.pixel_range_
    probes, places = stimuli.eccentricity_probes(*settings, lazy=True)
    rest = _respond(classifier, stimuli.blank(*settings))[0]
    responses = _respond(classifier, probes)
    return metrics.eccentricity_profile(responses, places["eccentricity"], rest)


def _mirror(evaluation, flip):
    """Activations of the images mirrored along an axis."""
    classifier = evaluation.classifier
    X, shape = evaluation.X, classifier.image_shape_

    def mirrored(rows):
        return np.flip(as_batch(X, rows, shape).numpy(), axis=flip)

    return _respond(classifier, stimuli.LazyImages((len(X), *shape), mirrored))


GROUP = Group("tuning", {"classifier"}, tuning)
