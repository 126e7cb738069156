"""How often the tests of the paper's claims are right, in simulated studies.

    python benchmarks/claims_simulation.py --studies 200

The seeds' scatter is a small network's: standard deviations of .005 in accuracy, and of
.02 in the change under weight noise, whose mean is -.25 in the control. Values that a
seed has in two conditions correlate by 0 to .5.
"""

import argparse
from collections import Counter

import numpy as np
import pandas as pd

from sktopo.replication._claims import judge_all, measures_read
from sktopo.replication._judging import LAMS

CONDITIONS = (
    ("control", 0.0),
    *(("ws", lam) for lam in LAMS),
    *(("as", lam) for lam in LAMS),
    ("ws_no_dropout", 1.0),
)
# The control's mean and standard deviation over seeds; of other measures 1 and .1.
LEVELS = {
    "clean accuracy": (0.85, 0.005),
    "accuracy_change": (-0.25, 0.02),
    "rsm_similarity": (0.9, 0.01),
    "distance_ratio": (1.0, 0.01),
    "morans_i": (0.0, 0.04),
    "correlation": (0.05, 0.03),
    "dip": (0.003, 0.0005),
}
# No row of the table is true: what 1b and 11 allow is just reached.
NOTHING = {(condition, "morans_i"): 0.1 for condition, _ in CONDITIONS}
NOTHING |= {(arm, "clean accuracy"): -0.02 for arm in ("ws", "as")}
# WS answers at chance, whatever the noise.
DEAD = {
    ("ws", "clean accuracy"): -0.75,
    ("ws", "accuracy_change"): 0.25,
    ("ws", "rsm_similarity"): 0.1,
}
POSITIVE = ("replicates", "differs", "reversed")


def scatter(rng, shape, together):
    """Standard normal, a row a seed; values of one row correlate by `together`."""
    own, of_model = rng.normal(size=shape), rng.normal(size=(shape[0], 1))
    return np.sqrt(1 - together) * own + np.sqrt(together) * of_model


def simulate(
    rng,
    effects=None,
    n_seeds=10,
    conditions=CONDITIONS,
    correlation=0.25,
    together=0.3,
    response=1.0,
):
    """Results of a study, and its pairs of seeds.

    `effects` are shifts of the mean by (condition, measure). Values of a seed in two
    conditions correlate by `correlation`, and measures of a model by `together`; what a
    topographic arm does to a seed scatters `response` times as much.
    """
    effects = effects or {}
    keys = sorted({key for measure in measures_read() for key in measure.keys})
    names = ["clean accuracy" if key[0] == "performance" else key[1] for key in keys]
    mean, sd = np.transpose([LEVELS.get(name, (1.0, 0.1)) for name in names])
    shape = (n_seeds, len(keys))
    of_seed = np.sqrt(correlation) * scatter(rng, shape, together)
    of_arm = {
        name: np.sqrt(1 - correlation) * scatter(rng, shape, together)
        for name in dict(conditions)
    }
    frame = pd.DataFrame(keys * n_seeds, columns=["group", "measure", "parameter"])
    frame["seed"] = 100 + np.repeat(np.arange(n_seeds), len(keys))
    parts = []
    for condition, lam in conditions:
        scale = 1 if condition == "control" else response
        z = of_seed + scale * of_arm[condition] + 0.1 * rng.normal(size=shape)
        shift = np.array([effects.get((condition, name), 0.0) for name in names])
        values = (mean + shift + sd * z).ravel()
        parts.append(frame.assign(condition=condition, lam=lam, value=values, n=1))
    results = pd.concat(parts, ignore_index=True)
    return results, simulate_pairs(rng, effects, n_seeds, conditions)


def simulate_pairs(rng, effects, n_seeds, conditions):
    """How alike the seeds are: each has its share, which changes a little with lam."""
    first, second = np.triu_indices(n_seeds, k=1)
    frame = pd.DataFrame({"first": 100 + first, "second": 100 + second})
    own = {name: 0.05 * rng.normal(size=n_seeds) for name in dict(conditions)}
    parts = []
    for condition, lam in conditions:
        of_seed = own[condition] + 0.01 * rng.normal(size=n_seeds)
        r = 0.5 + of_seed[first] + of_seed[second] + 0.02 * rng.normal(size=len(frame))
        if lam:
            r += effects.get((condition, "consistency"), 0.0) * np.log(lam)
        parts.append(frame.assign(condition=condition, lam=lam, correlation=r))
    return pd.concat(parts, ignore_index=True)


def by_row(table, column="verdict"):
    """The verdict on each row of a table of claims."""
    tests = table[table["kind"] == "test"]
    return tests.groupby("claim", sort=False)[column].first().to_dict()


# Name, effects, the rows that are looked at (none: any), and further settings.
SCENARIOS = (
    ("nothing", NOTHING, (), {}),
    ("nothing; arms scatter 5 x", NOTHING, (), {"response": 5.0}),
    ("nothing; measures go together", NOTHING, (), {"together": 0.95}),
    ("WS loses half", {("ws", "accuracy_change"): 0.125}, ("4a",), {}),
    ("WS loses 1.5 x", {("ws", "accuracy_change"): -0.125}, ("4a",), {}),
    ("WS loses 3/4", {("ws", "accuracy_change"): 0.0625}, ("4a",), {}),
    ("WS loses 9/10", {("ws", "accuracy_change"): 0.025}, ("4a",), {}),
    ("WS is dead", DEAD, ("4a", "4c", "5"), {}),
)


def count(n_studies, effects, rows, column="verdict", **settings):
    """Verdicts of simulated studies: on each row, or whether any row is positive."""
    found = {row: Counter() for row in rows or ("any",)}
    for study in range(n_studies):
        results, pairs = simulate(np.random.default_rng(study), effects, **settings)
        verdicts = by_row(judge_all(results, pairs), column)
        if not rows:
            any_positive = not set(POSITIVE).isdisjoint(verdicts.values())
            found["any"]["positive" if any_positive else "none positive"] += 1
        for row in rows:
            found[row][verdicts[row]] += 1
    return found


def main(args=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=200, help="of each line")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 6, 7, 10])
    args = parser.parse_args(args)
    print(
        f"{'what is true':30} seeds  corr.  row  verdicts, % of {args.studies} studies"
    )
    for name, effects, rows, settings in SCENARIOS:
        for n_seeds in args.seeds:
            for correlation in (0.0, 0.5):
                more = settings | {"n_seeds": n_seeds, "correlation": correlation}
                for row, verdicts in count(args.studies, effects, rows, **more).items():
                    shares = ", ".join(
                        f"{verdict} {100 * n / args.studies:.1f}"
                        for verdict, n in verdicts.most_common()
                    )
                    print(f"{name:30} {n_seeds:5} {correlation:6} {row:>4}  {shares}")


if __name__ == "__main__":
    main()
