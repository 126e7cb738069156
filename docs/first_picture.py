"""The picture of the first page, and the numbers beside it.

    python docs/first_picture.py

trains a control and a topographic network on scikit-learn's digits, prints what they
reach, and writes docs/_static/first.png. It takes less than a minute of one core.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.metrics import morans_i

PLACE = Path(__file__).parent / "_static" / "first.png"
SHOWN = (0, 1, 4, 7, 8)


def main():
    """Train, print, draw."""
    torch.set_num_threads(1)
    X, y = load_digits_images("train", return_X_y=True)
    X_test, y_test = load_digits_images("test", return_X_y=True)
    chosen = [np.flatnonzero(y_test == label)[0] for label in SHOWN]
    figure, axes = plt.subplots(3, len(SHOWN), figsize=(6, 4), layout="constrained")
    for ax, image in zip(axes[0], X_test[chosen, 0]):
        ax.imshow(image, cmap="gray_r")
    axes[0, 0].set_ylabel("image")
    for row, topo_loss in zip(axes[1:], (None, "ws")):
        clf = TopographicCNNClassifier(topo_loss, random_state=0).fit(X, y)
        maps = clf.activation_maps(X_test)
        smooth, accuracy = morans_i(maps).mean(), clf.score(X_test, y_test)
        print(
            f"{topo_loss}: accuracy {accuracy:.3f}, Moran's I {smooth:.2f}, "
            f"{len(X)} training images, n = {len(X_test)} test images"
        )
        for ax, values in zip(row, (maps[chosen] - maps.mean()) / maps.std()):
            ax.imshow(values, cmap="RdBu_r", vmin=-3, vmax=3)
        row[0].set_ylabel("control" if topo_loss is None else "WS, lam 1")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    PLACE.parent.mkdir(exist_ok=True)
    figure.savefig(PLACE, dpi=110)


if __name__ == "__main__":
    main()
