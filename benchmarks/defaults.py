"""What a first fit without settings gives, beside scikit-learn's own classifiers.

The first 2,000 and 6,000 training images of Fashion-MNIST, the first 2,000 test images,
three seeds, one thread; then a search over lam without settings, on two cores. About
half an hour:

    .venv/bin/python benchmarks/defaults.py
"""

import time

import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

from sktopo import TopographicCNNClassifier
from sktopo.datasets import fetch_fashion_mnist
from sktopo.metrics import morans_i

SIZES = (2_000, 6_000)
SEEDS = (0, 1, 2)
CLASSIFIERS = {
    "defaults (WS, lam 1)": TopographicCNNClassifier,
    "AS, lam 1": lambda **seed: TopographicCNNClassifier("as", **seed),
    "control": lambda **seed: TopographicCNNClassifier(None, **seed),
    "WS, lam 1, max_epochs=10": lambda **seed: TopographicCNNClassifier(
        max_epochs=10, **seed
    ),
    'backbone="small"': lambda **seed: TopographicCNNClassifier(
        backbone="small", **seed
    ),
    'backbone="deep"': lambda **seed: TopographicCNNClassifier(backbone="deep", **seed),
    "MLPClassifier()": MLPClassifier,
    "LogisticRegression(max_iter=300)": lambda **seed: LogisticRegression(
        max_iter=300, **seed
    ),
}


def first_fits(train, test):
    """A row a classifier and number of training images: means over seeds."""
    X_test, y_test = test
    rows = []
    for name, make in CLASSIFIERS.items():
        for n in SIZES:
            found = []
            for seed in SEEDS:
                clf = make(random_state=seed)
                own = isinstance(clf, TopographicCNNClassifier)
                X, y = train[0][:n], train[1][:n]
                X = X if own else X.reshape(n, -1) / 255
                tests = X_test if own else X_test.reshape(len(X_test), -1) / 255
                start = time.perf_counter()
                score = clf.fit(X, y).score(tests, y_test)
                seconds = time.perf_counter() - start
                smooth = morans_i(clf.activation_maps(tests)).mean() if own else None
                found.append((score, smooth, seconds))
            found = pd.DataFrame(found, columns=["accuracy", "Moran's I", "s"])
            spread = {"lowest": found["accuracy"].min(), "seeds": len(SEEDS)}
            row = {"classifier": name, "trained on": n, **found.mean(), **spread}
            print(row, flush=True)
            rows.append(row)
    return pd.DataFrame(rows)


def search(X, y):
    """The first search that a stranger types."""
    start = time.perf_counter()
    found = GridSearchCV(
        TopographicCNNClassifier(random_state=0), {"lam": [0, 0.3, 1]}, cv=3, n_jobs=2
    ).fit(X, y)
    seconds = time.perf_counter() - start
    table = pd.DataFrame(found.cv_results_)
    print(f"search on {len(X):,} images: {seconds:.0f} s")
    print(table.filter(regex="^(param_|mean_test|std_test)").round(3).to_string())


def main():
    torch.set_num_threads(1)
    train = fetch_fashion_mnist("train", return_X_y=True)
    X, y = fetch_fashion_mnist("test", return_X_y=True)
    table = first_fits(train, (X[:2_000], y[:2_000]))
    print(f"n = 2,000 test images, torch {torch.__version__}, one thread")
    print(table.round(3).to_string(index=False))
    search(train[0][:2_000], train[1][:2_000])


if __name__ == "__main__":
    main()
