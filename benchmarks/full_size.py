"""Train the paper's network on Fashion-MNIST at full size and look at its maps.

48,000 training images (80 %), 10 epochs, batch 64, one seed: control, WS, AS and AS
untransposed at lam 1, measured on the 10,000 test images. About ten minutes with one
torch thread:

    .venv/bin/python benchmarks/full_size.py
"""

import time

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split

from sktopo import TopographicCNNClassifier
from sktopo.datasets import fetch_fashion_mnist
from sktopo.metrics import morans_i

CONDITIONS = {
    "control": None,
    "WS": "ws",
    "AS": "as",
    "AS untransposed": "as_untransposed",
}


def autocorrelation(maps, axis, lag):
    """Mean over maps of the autocorrelation at some lag, from row to row (axis 1)."""
    z = np.moveaxis(maps - maps.mean(axis=(1, 2), keepdims=True), axis, 1)
    products = (z[:, lag:] * z[:, :-lag]).mean(axis=(1, 2))
    return float((products / z.var(axis=(1, 2))).mean())


def main():
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist("train", return_X_y=True)
    X, _, y, _ = train_test_split(X, y, train_size=0.8, stratify=y, random_state=0)
    X_test, y_test = fetch_fashion_mnist("test", return_X_y=True)
    rows = []
    for name, topo_loss in CONDITIONS.items():
        start = time.perf_counter()
        clf = TopographicCNNClassifier(
            topo_loss, lam=1.0, backbone="small", max_epochs=10, lr=1e-3, random_state=0
        ).fit(X, y)
        seconds = time.perf_counter() - start
        maps = clf.activation_maps(X_test).astype(float)
        r = np.corrcoef(maps.reshape(len(maps), -1), rowvar=False)
        rows.append(
            {
                "condition": name,
                "accuracy": clf.score(X_test, y_test),
                "Moran's I": morans_i(maps).mean(),
                "neighbour r": r[tuple(clf.grid_.edges.T)].mean(),
                "lag 2, row to row": autocorrelation(maps, 1, 2),
                "lag 2, within rows": autocorrelation(maps, 2, 2),
                "fit, s": seconds,
                "n": len(X_test),
            }
        )
        print(pd.DataFrame(rows).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
