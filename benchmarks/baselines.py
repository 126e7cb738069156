"""What the package is compared with: the published way, skorch, the tightest loop."""

from functools import partial

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import average_precision_score
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

# ------------------------------------------------------------------ spatial losses


def pair_by_pair_loss(weights, grid_shape=(11, 11)):
    """WS as the published code computes it: one distance call a pair, in Python."""
    rows, columns = grid_shape
    grid = weights.view(rows, columns, -1)
    total, count = 0.0, 0
    for i in range(rows):
        for j in range(columns):
            for k in (i - 1, i, i + 1):
                for m in (j - 1, j, j + 1):
                    inside = 0 <= k < rows and 0 <= m < columns
                    if inside and (k, m) != (i, j):
                        total = total + torch.norm(grid[i, j] - grid[k, m])
                        count += 1
    return total / count


def edge_loss(weights, first, second):
    """WS with as few calls as there can be, of units that are neighbours."""
    step = weights.index_select(0, first) - weights.index_select(0, second)
    return torch.linalg.vector_norm(step, dim=1).mean()


# ------------------------------------------------------------------ networks


class PublishedNetwork(nn.Module):
    """The small network in the order of the paper: ReLU, then pooling."""

    def __init__(self, grid_shape=(11, 11), n_channels=1):
        super().__init__()
        n_units = grid_shape[0] * grid_shape[1]
        self.first = nn.Conv2d(n_channels, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 64, 3, padding=1)
        self.grid = nn.Linear(64, n_units)
        self.readout = nn.Linear(n_units, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        grid = self.grid(x.mean(dim=(2, 3)))
        return self.readout(F.dropout(F.relu(grid), 0.5, self.training))


class TightNetwork(PublishedNetwork):
    """The same values with pooling before the ReLU, for channels-last memory."""

    def features(self, x):
        x = F.relu(F.max_pool2d(self.first(x), 2))
        return F.relu(F.max_pool2d(self.second(x), 2)).mean(dim=(2, 3))


# ------------------------------------------------------------------ training


def standardized(X):
    """All images as floats of mean 0 and standard deviation 1."""
    return ((X - X.mean()) / X.std()).astype(np.float32)


class PublishedLoop:
    """Training as a plain loop has it: DataLoader, Adam, pair-by-pair loss."""

    def __init__(self, X, y, grid):
        torch.manual_seed(0)
        self.grid_shape = grid.shape
        self.data = TensorDataset(
            torch.from_numpy(standardized(X)), torch.from_numpy(y)
        )
        self.network = PublishedNetwork(grid.shape, X.shape[1]).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def step(self, batch, targets):
        self.optimizer.zero_grad()
        task = F.cross_entropy(self.network(batch), targets)
        topo = pair_by_pair_loss(self.network.grid.weight, self.grid_shape)
        (task + topo).backward()
        self.optimizer.step()

    def epoch(self):
        for batch, targets in DataLoader(self.data, batch_size=64, shuffle=True):
            self.step(batch, targets)

    def one_step(self):
        """A step of the first batch, as a function."""
        batch = self.data[:64]
        return lambda: self.step(*batch)


class TightLoop:
    """Nothing in it that is not needed: no framework, no records."""

    def __init__(self, X, y, grid, bfloat16=False):
        torch.manual_seed(0)
        self.images, self.targets = torch.from_numpy(X), torch.from_numpy(y)
        self.mean, self.std = float(X.mean()), float(X.std())
        self.edges = torch.from_numpy(grid.edges.T.copy())
        self.bfloat16 = bfloat16
        network = TightNetwork(grid.shape, X.shape[1])
        self.network = network.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=1e-3, fused=True
        )

    def step(self, rows):
        network = self.network
        batch = (self.images[rows].float() - self.mean) / self.std
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            features = network.features(batch)
        grid = network.grid(features.float())
        logits = network.readout(F.dropout(F.relu(grid), 0.5))
        topo = edge_loss(network.grid.weight, *self.edges)
        loss = F.cross_entropy(logits, self.targets[rows]) + topo
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def epoch(self):
        for rows in torch.randperm(len(self.images)).split(64):
            self.step(rows)

    def one_step(self):
        """A step of the first batch, as a function."""
        rows = torch.arange(min(64, len(self.images)))
        return lambda: self.step(rows)


class _NetWithLoss(NeuralNetClassifier):
    """A net of skorch that adds WS to its criterion."""

    def __init__(self, *args, edges, **kwargs):
        super().__init__(*args, **kwargs)
        self.edges = edges

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        task = super().get_loss(y_pred, y_true, *args, **kwargs)
        return task + edge_loss(self.module_.grid.weight, *self.edges)


class PlainSkorch:
    """skorch as its users have it, with the loss of the tight loop."""

    def __init__(self, X, y, grid):
        torch.manual_seed(0)
        self.images, self.targets = standardized(X), y
        self.net = _NetWithLoss(
            PublishedNetwork,
            module__grid_shape=grid.shape,
            module__n_channels=X.shape[1],
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            edges=torch.from_numpy(grid.edges.T.copy()),
            lr=1e-3,
            batch_size=64,
            max_epochs=1,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )

    def epoch(self):
        self.net.fit(self.images, self.targets)

    def one_step(self):
        """A step of the first batch, as a function."""
        self.net.initialize()
        self.net.history.new_epoch()
        self.net.history.new_batch()
        batch = tuple(torch.from_numpy(a[:64]) for a in (self.images, self.targets))
        return lambda: self.net.train_step(batch)


LOOPS = {
    "published loop": PublishedLoop,
    "plain skorch": PlainSkorch,
    "tight loop": TightLoop,
}

# ------------------------------------------------------------------ noise


def white_by_image(images, level):
    """White noise, one image after the other."""
    rng = np.random.default_rng(0)
    noisy = [np.clip(x + level * rng.normal(size=x.shape), 0, 1) for x in images]
    return np.array(noisy, dtype=images.dtype)


def pink_by_image(images, level):
    """Pink noise, one channel after the other, by a whole Fourier transform."""
    rng = np.random.default_rng(0)
    noisy = images.copy()
    for x in noisy.reshape(-1, *images.shape[-2:]):
        frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, x.shape), indexing="ij"))
        frequency[0, 0] = np.inf
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=x.shape)) / frequency).real
        x[:] = np.clip(x + level * noise / noise.std(), 0, 1)
    return noisy


def salt_and_pepper_by_pixel(images, level):
    """Salt and pepper as the published code draws it: one pixel after the other."""
    rng = np.random.RandomState(0)
    noisy = images.copy()
    height, width = images.shape[-2:]
    for image in noisy:
        for _ in range(int(height * width * level)):
            row, column = rng.randint(height), rng.randint(width)
            image[:, row, column] = rng.randint(2)
    return noisy


NOISES = {
    "white": white_by_image,
    "pink": pink_by_image,
    "salt_and_pepper": salt_and_pepper_by_pixel,
}

# ------------------------------------------------------------------ measures


def precision_by_unit(A, y):
    """Average precision of each unit for each class, by scikit-learn."""
    return np.array(
        [[average_precision_score(y == c, a) for c in np.unique(y)] for a in A.T]
    )


def t_by_unit(A, y):
    """Welch's t of each unit for each class, by SciPy."""
    welch = partial(stats.ttest_ind, equal_var=False)
    return np.array(
        [[welch(a[y == c], a[y != c]).statistic for c in np.unique(y)] for a in A.T]
    )


def moran_by_map(maps):
    """Moran's I of each map, with a matrix of weights (Moore)."""
    n_rows, n_columns = maps.shape[1:]
    row, column = np.divmod(np.arange(n_rows * n_columns), n_columns)
    steps = np.maximum(abs(row[:, None] - row), abs(column[:, None] - column))
    weights = (steps == 1).astype(float)
    found = []
    for values in maps.reshape(len(maps), -1):
        z = values - values.mean()
        found.append(len(z) / weights.sum() * (z @ weights @ z) / (z @ z))
    return np.array(found)


MEASURES = {
    "average_precision": precision_by_unit,
    "t_statistic": t_by_unit,
    "morans_i": moran_by_map,
}
