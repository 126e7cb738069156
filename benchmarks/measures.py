"""Speed of the measures, and everything at once on three real models.

Trains WS, AS and control on 12,000 images of Fashion-MNIST (a few minutes) and takes
every measure of each on the 10,000 test images:

    .venv/bin/python benchmarks/measures.py
"""

import resource
import time

import numpy as np
import pandas as pd
import torch
from run import fastest

from sktopo import TopographicCNNClassifier, measure
from sktopo.datasets import fetch_fashion_mnist
from sktopo.metrics import average_precision, morans_i
from sktopo.noise import salt_and_pepper_noise

N_IMAGES = 500


def pixel_by_pixel(images, level):
    """Salt and pepper as the published code draws it: one pixel after the other."""
    rng = np.random.RandomState(0)
    noisy = images.copy()
    height, width = images.shape[-2:]
    for image in noisy:
        for _ in range(int(height * width * level)):
            row, column = rng.randint(height), rng.randint(width)
            image[:, row, column] = rng.randint(2)
    return noisy


def main():
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist(return_X_y=True)
    X_test, y_test = fetch_fashion_mnist("test", return_X_y=True)
    images = (X_test[:N_IMAGES] / 255).astype(np.float32)
    rng = np.random.default_rng(0)
    spent = fastest(
        ours=(lambda: salt_and_pepper_noise(images, 0.2, (0, 1), rng), 5),
        loop=(lambda: pixel_by_pixel(images, 0.2), 1),
    )
    print(
        f"salt and pepper: pixel by pixel / ours = {spent['loop'] / spent['ours']:.0f}"
    )
    maps, A = rng.normal(size=(10_000, 11, 11)), rng.normal(size=(10_000, 121))
    spent = fastest(
        moran=(lambda: morans_i(maps), 1),
        precision=(lambda: average_precision(A, y_test), 1),
    )
    print(f"Moran's I of 10,000 maps: {spent['moran']:.3f} s")
    print(f"average precision of 10,000 x 121 x 10: {spent['precision']:.2f} s")

    models = {
        name: TopographicCNNClassifier(topo_loss, lr=2e-3, random_state=0).fit(
            X[:12_000], y[:12_000]
        )
        for name, topo_loss in {"control": None, "WS": "ws", "AS": "as"}.items()
    }
    tables = {}
    for name, model in models.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        tables[name] = measure(model, X_test, y_test, reference=models["control"])
        seconds = time.perf_counter() - start
        added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"measure({name}): {seconds:.0f} s, peak memory +{added:.0f} MB")
    wide = pd.DataFrame(
        {
            name: table.set_index(["group", "measure", "parameter"])["value"]
            for name, table in tables.items()
        }
    )
    print(wide.round(3).to_string())


if __name__ == "__main__":
    main()
