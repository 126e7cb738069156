"""How alike classes are to the readout, and responses to those of another model."""

import numpy as np

from sktopo import metrics
from sktopo._measures.group import Group


def geometry(given, table):
    readout = given.evaluation.network.readout_weights
    if readout is not None and len(readout) > 2:
        R = metrics.representational_similarity(readout)
        table.add_mean("readout_similarity", R[np.triu_indices(len(R), k=1)])
    if given.reference is None:
        return
    A, B = given.evaluation.activations, given.reference.activations
    for debiased in (False, True):
        if len(A) > 3:
            value = metrics.linear_cka(A, B, debiased=debiased)
            name = "linear_cka_debiased" if debiased else "linear_cka"
            table.add(name, value, len(A), to="reference")
    if len(A) > 2:
        found = metrics.consistency([A, B], given.labels)
        table.add("rdm_correlation", found.mean, found.n_rows, to="reference")


GROUP = Group("geometry", {"images"}, geometry)
