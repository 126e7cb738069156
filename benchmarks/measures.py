"""Speed of the measures, and everything at once on three real models.

Trains WS, AS and control on 12,000 images of Fashion-MNIST (a few minutes) and takes
every measure of each on the 10,000 test images:

    .venv/bin/python benchmarks/measures.py

Before that, memory and time on large grids, each row in a fresh process of one thread
(`--large` prints these alone, `--row NAME` is such a process).
"""

import os
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import torch
from run import fastest

from sktopo import TopographicCNNClassifier, measure, measure_activations
from sktopo.datasets import fetch_fashion_mnist
from sktopo.metrics import (
    average_precision,
    d_prime,
    difference_by_distance,
    effective_dimensionality,
    functional_localization,
    linear_cka,
    morans_i,
)
from sktopo.noise import salt_and_pepper_noise

N_IMAGES = 500


LARGE = (64, 64)


def activations(n_images=10_000, n_units=4096):
    """Responses with some structure, made in place: nothing beyond them is held."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n_images, n_units), dtype=np.float32)
    A += rng.standard_normal(n_units, dtype=np.float32)
    return A


def everything(A, y, W):
    return measure_activations(A, LARGE, y, weights=W, value_range=(-3, 3))


# name: (what is measured, a function of the data; the data)
LARGE_ROWS = {
    "all measures, 64 x 64, 10,000 images": (
        everything,
        lambda: (activations(), np.arange(10_000) % 10, activations(4096, 256)),
    ),
    "difference by distance, 64 x 64": (
        lambda values: difference_by_distance(values, LARGE),
        lambda: (activations(1)[0],),
    ),
    "the same, 20 permutations": (
        lambda values: difference_by_distance(values, LARGE, None, 20, 0),
        lambda: (activations(1)[0],),
    ),
    "CKA, 100 x 40,000": (
        linear_cka,
        lambda: (activations(100, 40_000), activations(100, 40_000)[::-1]),
    ),
    "debiased CKA, 100 x 40,000": (
        lambda X, Y: linear_cka(X, Y, debiased=True),
        lambda: (activations(100, 40_000), activations(100, 40_000)[::-1]),
    ),
    "entropy of eigenvalues, 10,000 x 4096": (
        lambda A: effective_dimensionality(A, "entropy"),
        lambda: (activations(),),
    ),
    "participation ratio, 10,000 x 4096": (
        effective_dimensionality,
        lambda: (activations(),),
    ),
    "functional localization, 64 x 64": (
        lambda A: functional_localization(A, LARGE),
        lambda: (activations(),),
    ),
    "Moran's I, 64 x 64, 10,000 maps, 3 permutations": (
        lambda A: morans_i(A.reshape(-1, *LARGE), n_permutations=3),
        lambda: (activations(),),
    ),
    "average precision, 10,000 x 4096 x 10": (
        average_precision,
        lambda: (activations(), np.arange(10_000) % 10),
    ),
    "d', 10,000 x 4096 x 10": (
        d_prime,
        lambda: (activations(), np.arange(10_000) % 10),
    ),
}


def peak_memory():
    """Most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def large_row(name):
    """Print what one row takes, beyond its data."""
    function, data = LARGE_ROWS[name]
    given = data()
    before, start = peak_memory(), time.perf_counter()
    function(*given)
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.2f} s, +{peak_memory() - before:.0f} MB", flush=True)


def large_rows():
    """Each row in a process of its own, with one thread."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    for name in LARGE_ROWS:
        command = [sys.executable, __file__, "--row", name]
        if subprocess.run(command, env={**os.environ, **threads}).returncode:
            print(f"{name}: failed", flush=True)


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
    if "--row" in sys.argv:
        return large_row(sys.argv[-1])
    large_rows()
    if "--large" in sys.argv:
        return None
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
        name: TopographicCNNClassifier(
            topo_loss, backbone="small", max_epochs=10, lr=2e-3, random_state=0
        ).fit(X[:12_000], y[:12_000])
        for name, topo_loss in {"control": None, "WS": "ws", "AS": "as"}.items()
    }
    tables = {}
    for name, model in models.items():
        before = peak_memory()
        start = time.perf_counter()
        tables[name] = measure(model, X_test, y_test, reference=models["control"])
        seconds = time.perf_counter() - start
        added = peak_memory() - before
        print(f"measure({name}): {seconds:.0f} s, peak memory +{added:.0f} MB")
    wide = pd.DataFrame(
        {
            name: table.set_index(["group", "measure", "parameter"])["value"]
            for name, table in tables.items()
        }
    )
    print(wide.round(3).to_string())
    return None


if __name__ == "__main__":
    main()
