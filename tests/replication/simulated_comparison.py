"""Results of the comparison of losses in which what differs is known."""

import pandas as pd

from sktopo._measures.results import write_parameter
from sktopo.replication._comparison import LOSSES, SIMPLER, STRENGTHS, with_ws

SEEDS = range(100, 105)
CELLS = [
    ("control", 0.0),
    *((name, lam) for name in LOSSES for lam in STRENGTHS),
    *((name, 0.0) for name in SIMPLER),
    *((with_ws(name), 0.2) for name in SIMPLER),
]
ROWS = [
    ("performance", "accuracy", ""),
    ("smoothness", "morans_i", write_parameter(neighborhood="moore")),
    ("smoothness", "morans_i", write_parameter(neighborhood="von_neumann")),
    ("selectivity", "n_experts", ""),
    ("selectivity", "experts_entropy", ""),
    ("localization", "distance_ratio", write_parameter(threshold=0.5)),
    *(
        (
            "robustness",
            "accuracy_under_noise",
            write_parameter(noise="weight", layers="head", scale=scale, mean_up_to=1.0),
        )
        for scale in ("std", "absolute")
    ),
    *(
        (
            "robustness",
            "accuracy_change",
            write_parameter(noise="image", kind=k, level=v),
        )
        for k in ("white", "pink", "salt_and_pepper")
        for v in (0.1, 0.2)
    ),
    (
        "robustness",
        "accuracy_under_pruning",
        write_parameter(pruning="random", mean_up_to=1.0),
    ),
]
UNDER_NOISE = ("accuracy_under_noise", "accuracy_under_pruning", "accuracy_change")


def simulated(rng, spread=1e-3):
    """Accuracy .8, changes of -.3, all else .5, and Moran's I as large as lam / 2."""
    level = {"accuracy": 0.8, "accuracy_change": -0.3}
    rows = [
        (*cell, seed, *row, lam / 2 if row[1] == "morans_i" else level.get(row[1], 0.5))
        for cell in CELLS
        for lam in [cell[1]]
        for seed in SEEDS
        for row in ROWS
    ]
    names = ["condition", "lam", "seed", "group", "measure", "parameter", "value"]
    table = pd.DataFrame(rows, columns=names).assign(n=10)
    noise = rng.normal(scale=spread, size=len(table))
    return table.assign(value=table["value"] + noise * (table["measure"] != "morans_i"))


def shifted(table, shift, measures=UNDER_NOISE, **where):
    """The table with the values of some rows moved."""
    chosen = table["measure"].isin(measures)
    for column, value in where.items():
        chosen &= table[column].eq(value)
    assert chosen.any()
    return table.assign(value=table["value"] + shift * chosen)
