"""Peak memory and time of robustness and tuning, a process of its own for each row.

    .venv/bin/python benchmarks/robustness.py

Peak memory is the most that the process held beyond its data and model
(Linux). One torch thread; two to three minutes.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from sktopo import TopographicCNNClassifier, measure
from sktopo.noise import add_noise
from sktopo.robustness import image_noise_curve, weight_noise_curve


def pooled(image_shape):
    """A backbone that costs next to nothing: what is timed is ours."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten())


def model(image_shape, grid_shape, n_images=500):
    """A classifier with its images and labels."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, size=(n_images, *image_shape), dtype=np.uint8)
    y = np.arange(n_images) % 10
    clf = TopographicCNNClassifier(
        backbone=pooled, grid_shape=grid_shape, max_epochs=1, random_state=0
    )
    return clf.fit(X[:500], y[:500]), X, y


def tuning():
    clf, X, y = model((3, 96, 96), (11, 11))
    return lambda: measure(clf, X, y, include="tuning")


def weight_noise(grid_shape, layers="head", n_images=10_000):
    clf, X, y = model((3, 8, 8), grid_shape, n_images)
    return lambda: weight_noise_curve(clf, X, y, layers=layers, random_state=0)


def image_noise():
    clf, X, y = model((3, 96, 96), (11, 11))
    return lambda: image_noise_curve(clf, X, y, random_state=0)


def noise(kind, image_shape, level, n_images):
    images = np.full((n_images, *image_shape), 0.5, dtype=np.float32)
    rng = np.random.default_rng(0)
    return lambda: add_noise(images, kind, level, value_range=(0, 1), rng=rng)


ROWS = {
    "tuning, 3 x 96 x 96, 121 units": tuning,
    "weight_noise_curve, 10,000 images, 121 units": lambda: weight_noise((11, 11)),
    "weight_noise_curve, 10,000 images, 4,096 units": lambda: weight_noise((64, 64)),
    "weight_noise_curve, 100 images, 4,096 units, all": lambda: weight_noise(
        (64, 64), "all", 100
    ),
    "image_noise_curve, 500 of 3 x 96 x 96": image_noise,
    "salt and pepper .2, 2,000 of 3 x 96 x 96": lambda: noise(
        "salt_and_pepper", (3, 96, 96), 0.2, 2000
    ),
    "salt and pepper 10, 2,000 of 1 x 96 x 96": lambda: noise(
        "salt_and_pepper", (1, 96, 96), 10, 2000
    ),
    "white .2, 2,000 of 3 x 96 x 96": lambda: noise("white", (3, 96, 96), 0.2, 2000),
    "pink .2, 60 of 3 x 512 x 512": lambda: noise("pink", (3, 512, 512), 0.2, 60),
}


def resident(key):
    """Resident memory of this process in MB: now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def print_row(name):
    """Run one row and print its peak and seconds."""
    torch.set_num_threads(1)
    run = ROWS[name]()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = resident("VmRSS"), time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    print(resident("VmHWM") - before, seconds)


def main():
    rows = []
    for name in ROWS:
        command = [sys.executable, __file__, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, seconds = map(float, done.stdout.split())
        rows.append({"what": name, "peak, MB": peak, "seconds": seconds})
    print(pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    print_row(sys.argv[1]) if len(sys.argv) > 1 else main()
