"""In how many dimensions responses and weights lie."""

from sktopo import metrics
from sktopo._measures.group import Group
from sktopo.metrics.activations import Activations


def dimensionality(given, table):
    sources = {"activations": given.activations}
    if given.weights is not None:
        sources["weights"] = Activations(given.weights, "weights")
    for name, X in sources.items():
        # eigenvalues first, so that they serve all kinds of one matrix
        values = {
            (kind, matrix): metrics.effective_dimensionality(X, kind, matrix)
            for matrix in ("covariance", "correlation")
            for kind in ("entropy", "max", "participation_ratio")
        }
        for kind in ("participation_ratio", "entropy", "max"):
            for matrix in ("covariance", "correlation"):
                value, where = values[kind, matrix], {"of": name, "matrix": matrix}
                table.add(kind, value, len(X.values), **where)


GROUP = Group("dimensionality", {"activations"}, dimensionality)
