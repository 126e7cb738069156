"""What a net is trained on: images by the batch, and how often."""

from __future__ import annotations

import math

import numpy as np
import torch
from skorch.dataset import Dataset

from sktopo._images import as_batch


class ImageDataset(Dataset):
    """Images, labels and weights, indexed a whole batch at a time.

    X keeps its form and dtype (a memmap stays on disk); a batch is made when asked for.
    """

    def __init__(self, X, y, weights, image_shape, rows=None):
        self.images = X
        self.labels = y
        self.weights = weights
        self.image_shape = image_shape
        self.rows = np.arange(len(X)) if rows is None else rows

    # What skorch's scoring asks for: what to predict on, and the labels of it.

    @property
    def X(self):  # noqa: N802
        return self

    @property
    def y(self):
        return self.labels[self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitems__(self, indices):
        rows = self.rows[indices]
        images = as_batch(self.images, rows, self.image_shape)
        # pairs of inputs and targets, as skorch's callbacks expect
        inputs = {"images": images, "weights": torch.from_numpy(self.weights[rows])}
        return inputs, torch.from_numpy(self.labels[rows])


class Batches:
    """Index arrays of the batches of one epoch; none of them holds a single row.

    Every row comes once. A last batch of one is merged into the batch before it, since
    a single image has no batch statistics.
    """

    def __init__(self, n_rows, batch_size, generator=None):
        self.n_rows = n_rows
        self.generator = generator
        self.bounds = list(range(0, n_rows, batch_size))
        if n_rows % batch_size == 1 and len(self.bounds) > 1:
            self.bounds.pop()
        self.bounds.append(n_rows)

    def __len__(self):
        return len(self.bounds) - 1

    def __iter__(self):
        if self.generator is None:
            order = np.arange(self.n_rows)
        else:
            order = torch.randperm(
                self.n_rows, generator=self.generator, device="cpu"
            ).numpy()
        for start, stop in zip(self.bounds, self.bounds[1:], strict=False):
            yield order[start:stop]


# What max_epochs="auto" stands for.
AUTO_STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 2000, 10, 100


def auto_epochs(n_rows, batch_size):
    """Ten passes, and more where they are needed for 2,000 steps, up to 100."""
    epochs = math.ceil(AUTO_STEPS / len(Batches(n_rows, batch_size)))
    return min(max(FEWEST_EPOCHS, epochs), MOST_EPOCHS)
