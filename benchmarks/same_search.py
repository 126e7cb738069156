"""Run one grid search with one worker and with two, and compare every score.

6,000 images of Fashion-MNIST, eight candidates, five folds; about fifteen minutes:

    .venv/bin/python benchmarks/same_search.py
"""

import time

import pandas as pd
import torch
from sklearn.model_selection import GridSearchCV

from sktopo import TopographicCNNClassifier
from sktopo.datasets import fetch_fashion_mnist
from sktopo.scorers import get_scorer_names, multi_scorer


def scores(X, y, n_jobs):
    """Cross-validated scores, without the columns of times."""
    search = GridSearchCV(
        TopographicCNNClassifier(backbone="small", max_epochs=10, random_state=0),
        {"topo_loss": ["ws", "as"], "lam": [0, 0.3, 1, 3]},
        scoring=multi_scorer(get_scorer_names()),
        refit="accuracy",
        error_score="raise",
        n_jobs=n_jobs,
    )
    start = time.perf_counter()
    table = pd.DataFrame(search.fit(X, y).cv_results_)
    print(f"n_jobs={n_jobs}: {time.perf_counter() - start:.0f} s", flush=True)
    return table.drop(columns=[name for name in table if "time" in name])


def main():
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist(return_X_y=True)
    X, y = X[:6000], y[:6000]
    alone, together = (scores(X, y, n_jobs) for n_jobs in (1, 2))
    pd.testing.assert_frame_equal(alone, together, check_exact=True)
    values = alone.filter(like="test_")
    assert values.notna().all(axis=None)
    print(f"{values.size} scores are the same to the last bit, and none is nan")
    print(alone.filter(regex="^(param|mean)").round(3).to_string(index=False))


if __name__ == "__main__":
    main()
