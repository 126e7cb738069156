"""How often the model is right."""

from sktopo._measures.group import Group


def performance(given, table):
    evaluation = given.evaluation
    table.add("accuracy", evaluation.accuracy, len(evaluation.y))


GROUP = Group("performance", {"classifier"}, performance, by_layer=False)
