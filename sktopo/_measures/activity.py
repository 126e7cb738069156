"""How much units respond, and how large their weights are."""

from sktopo import metrics
from sktopo._measures.group import Group


def activity(given, table):
    A, weights = given.activations, given.weights
    table.add_mean("entropy_own_range", metrics.activation_entropy(A))
    if given.value_range is not None:
        entropy = metrics.activation_entropy(A, value_range=given.value_range)
        table.add_mean("entropy_shared_range", entropy)
    table.add_mean("percentage_of_zeros", metrics.percentage_of_zeros(A))
    table.add_mean("variance", metrics.activation_variance(A))
    if weights is not None:
        relative = metrics.activation_variance(A, weights)
        table.add_mean("variance_over_squared_norm", relative)
        table.add_mean("weight_norm", metrics.weight_norm(weights))


GROUP = Group("activity", {"activations"}, activity)
