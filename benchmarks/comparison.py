"""What the page on the comparison of losses shows beside its studies.

    .venv/bin/python benchmarks/comparison.py cost docs/comparison/cost.csv
    .venv/bin/python benchmarks/comparison.py first docs/comparison/first_numbers.csv

cost: seconds a step of each condition, and their ratio to the control's; one thread,
batches of 64 images of Fashion-MNIST, the conditions of a network taking turns, the
fastest of seven turns. first: a first look at the losses, one seed of each, again with
three seeds: 6,000 images, 15 epochs, strength .2 tracked all along (lam_mode
"matched"), measured on all test images.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from rows import fastest

from sktopo import TopographicCNNClassifier, select_results
from sktopo.datasets import fetch_fashion_mnist
from sktopo.replication import comparison, load_comparison
from sktopo.replication._comparison import BACKBONES, LOSSES, SETTINGS, SIMPLER
from sktopo.study import TopographicStudy

# Accuracy and Moran's I of the first look, and the conditions that it had.
FIRST = {
    "control": (0.77, -0.04),
    "ws": (0.72, 0.63),
    "as": (0.71, 0.37),
    "laplacian": (0.78, 0.45),
    "spatial_correlation": (0.78, 0.60),
    "inverse_distance": (0.81, 0.02),
}
STEPS = 50


def cost():
    """A row a network and condition."""
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist("train", return_X_y=True)
    X, y = X[: STEPS * 64], y[: STEPS * 64]
    rows = []
    for backbone in BACKBONES:
        study = comparison(backbone)
        models = {}
        for name in ("control", *LOSSES, *SIMPLER):
            settings = {**LOSSES, **SIMPLER}.get(name, {})
            if name not in LOSSES:
                settings = {"topo_loss": None, **settings}
            clf = TopographicCNNClassifier(**study.estimator.get_params())
            clf.set_params(**settings, max_epochs=1, random_state=0)
            models[name] = clf.fit(X, y)
        turns = {
            name: (lambda clf=clf: clf.partial_fit(X, y), 1)
            for name, clf in models.items()
        }
        seconds = fastest(**turns)
        for name, spent in seconds.items():
            ratio = spent / seconds["control"]
            rows.append((backbone, name, 1000 * spent / STEPS, ratio))
    return pd.DataFrame(rows, columns=["backbone", "condition", "ms", "ratio"])


def first():
    """A row a condition and seed."""
    study = TopographicStudy(
        TopographicCNNClassifier(
            backbone="small", max_epochs=15, lr=3e-3, lam_mode="matched", **SETTINGS
        ),
        topo_losses=[name for name in FIRST if name != "control"],
        lams=[0.2],
        n_seeds=3,
        include=["performance", "smoothness"],
        n_jobs=-1,
    )
    results = study.run(*load_comparison(6_000)).results_
    keys = ["condition", "seed"]
    accuracy = select_results(results, "accuracy").set_index(keys)["value"]
    smooth = select_results(results, "morans_i", neighborhood="moore")
    table = pd.DataFrame(
        {"accuracy": accuracy, "morans_i": smooth.set_index(keys)["value"]}
    ).reset_index()
    before = pd.DataFrame.from_dict(
        FIRST, orient="index", columns=["accuracy_before", "morans_i_before"]
    )
    return table.join(before, on="condition")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["cost", "first"])
    parser.add_argument("path", type=Path, help="where to write the table (.csv)")
    args = parser.parse_args()
    table = {"cost": cost, "first": first}[args.what]()
    print(table.round(3).to_string(index=False))
    table.to_csv(args.path, index=False)


if __name__ == "__main__":
    main()
