"""What noise in weights and images, and pruning, cost in accuracy."""

import numpy as np

from sktopo._measures.group import Group
from sktopo.robustness import (
    area_under_curve,
    evaluate_image_noise,
    evaluate_pruning,
    evaluate_weight_noise,
    pruning_orders,
)

SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)
# Beside the mean over all strengths of weight noise stands that up to this one.
MEAN_UP_TO = 0.5
LEVELS = (0.01, 0.05, 0.1, 0.15, 0.2)
WEIGHT_NOISE = (("std", "head"), ("absolute", "head"), ("std", "readout"))


def robustness(given, table):
    evaluation, seed = given.evaluation, given.seed
    for scale, layers in WEIGHT_NOISE:
        if layers != "grid" and evaluation.network.readout is None:
            continue
        curve = evaluate_weight_noise(evaluation, SIGMAS, scale, layers, 10, seed)
        where = {"noise": "weight", "layers": layers, "scale": scale}
        _weight_noise(curve, where, evaluation, table)
    kinds, n = ("white", "pink", "salt_and_pepper"), len(evaluation.y)
    curve = evaluate_image_noise(evaluation, kinds, LEVELS, seed)
    for row in curve.itertuples():
        at = {"noise": "image", "kind": row.kind, "level": row.level}
        table.add("accuracy_change", row.accuracy_change, n, **at)
    where = {"noise": "image", "kind": "all", "mean_up_to": max(LEVELS)}
    table.add("accuracy_change", curve["accuracy_change"].mean(), n, **where)
    _add_accuracy(curve["accuracy"].mean(), where, evaluation, table)
    orders = pruning_orders(evaluation)
    curve = evaluate_pruning(evaluation, orders, np.linspace(0, 1, 11), seed)
    for row in area_under_curve(curve).itertuples():
        where = {"pruning": row.curve, "mean_up_to": 1.0}
        _add_accuracy(row.mean_accuracy, where, evaluation, table)


def _weight_noise(curve, where, evaluation, table):
    """Rows for each sigma, and for the means over all of them and over the smaller."""
    n = len(evaluation.y)
    measures = ["accuracy_change"]
    readout = evaluation.network.readout_weights
    if readout is not None and len(readout) > 2:
        measures.append("rsm_similarity")
    parts = [({"sigma": sigma}, part) for sigma, part in curve.groupby("sigma")]
    means = [
        ({"mean_up_to": most}, curve[curve["sigma"] <= most])
        for most in (max(SIGMAS), MEAN_UP_TO)
    ]
    for at, part in parts + means:
        for measure in measures:
            table.add(measure, part[measure].mean(), n, **where, **at)
    for at, part in means:
        _add_accuracy(part["accuracy"].mean(), {**where, **at}, evaluation, table)


def _add_accuracy(accuracy, where, evaluation, table):
    """The accuracy under a perturbation, and what that retains of the clean one."""
    n, clean = len(evaluation.y), evaluation.accuracy
    name = "accuracy_under_pruning" if "pruning" in where else "accuracy_under_noise"
    table.add(name, accuracy, n, **where)
    retained = accuracy / clean if clean > 0 else np.nan
    table.add("accuracy_retained", retained, n, **where)


GROUP = Group("robustness", {"classifier"}, robustness)
