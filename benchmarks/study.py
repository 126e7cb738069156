"""Time a study of 26 models beside its fits and measures run one by one.

Digits, control and {WS, AS} at six lams, two seeds, every measure, one thread; about
three minutes:

    .venv/bin/python benchmarks/study.py
"""

import tempfile
import time

import numpy as np
import pandas as pd
import torch

from sktopo import TopographicCNNClassifier, measure
from sktopo.datasets import load_digits_images
from sktopo.study import TopographicStudy

LAMS = (0.1, 0.3, 0.5, 1, 2, 3)


def one_by_one(estimator, data, seeds):
    """Fit and measure each model in this process, and keep nothing."""
    X, y, X_test, y_test = data
    start = time.perf_counter()
    tables = []
    for seed in seeds:
        state = int(np.random.SeedSequence([0, seed]).generate_state(1)[0])
        control = None
        for loss, lam in [(None, 0), *((s, m) for s in ("ws", "as") for m in LAMS)]:
            clf = TopographicCNNClassifier(**estimator.get_params())
            clf.set_params(topo_loss=loss, lam=lam, random_state=state).fit(X, y)
            control = control or clf
            tables.append(
                measure(clf, X_test, y_test, reference=control, random_state=state)
            )
    return time.perf_counter() - start, pd.concat(tables)


def as_study(estimator, data, store):
    start = time.perf_counter()
    study = TopographicStudy(
        estimator,
        topo_losses=["ws", "as"],
        lams=LAMS,
        n_seeds=2,
        store=store,
        verbose=0,
    ).run(*data)
    return time.perf_counter() - start, study.results_


def main():
    torch.set_num_threads(1)
    X, y = load_digits_images(return_X_y=True)
    data = X[:1200], y[:1200], X[1200:], y[1200:]
    estimator = TopographicCNNClassifier(
        backbone="small", max_epochs=20, lr=3e-3, batch_size=32
    )
    rows = []
    for _ in range(2):
        alone, tables = one_by_one(estimator, data, (100, 101))
        with tempfile.TemporaryDirectory() as store:
            together, results = as_study(estimator, data, store)
        same = np.array_equal(
            np.sort(tables["value"]), np.sort(results["value"]), equal_nan=True
        )
        rows.append((26, alone, together, together / alone, same))
    columns = ["models", "one by one, s", "study, s", "ratio", "same values"]
    print(pd.DataFrame(rows, columns=columns).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
