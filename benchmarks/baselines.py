"""What the package is compared with: the published way, and the tightest loop."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

ROWS = COLUMNS = 11


def pair_by_pair_loss(weights):
    """WS as the published code computes it: one distance call a pair, in Python."""
    grid = weights.view(ROWS, COLUMNS, -1)
    total, count = 0.0, 0
    for i in range(ROWS):
        for j in range(COLUMNS):
            for k in (i - 1, i, i + 1):
                for m in (j - 1, j, j + 1):
                    inside = 0 <= k < ROWS and 0 <= m < COLUMNS
                    if inside and (k, m) != (i, j):
                        total = total + torch.norm(grid[i, j] - grid[k, m])
                        count += 1
    return total / count


class PublishedNetwork(nn.Module):
    """The small network in the order of the paper: ReLU, then pooling."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 64, 3, padding=1)
        self.grid = nn.Linear(64, ROWS * COLUMNS)
        self.readout = nn.Linear(ROWS * COLUMNS, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        grid = self.grid(x.mean(dim=(2, 3)))
        return self.readout(F.dropout(F.relu(grid), 0.5, self.training))


def published_epoch(X, y):
    """One epoch as a plain loop has it: DataLoader, Adam, pair-by-pair loss."""
    torch.manual_seed(0)
    mean, std = X.mean(), X.std()
    images = torch.from_numpy((X - mean) / std).float()
    loader = DataLoader(
        TensorDataset(images, torch.from_numpy(y)), batch_size=64, shuffle=True
    )
    network = PublishedNetwork().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for batch, targets in loader:
        optimizer.zero_grad()
        task = F.cross_entropy(network(batch), targets)
        loss = task + pair_by_pair_loss(network.grid.weight)
        loss.backward()
        optimizer.step()
    return network


class TightNetwork(PublishedNetwork):
    """The same values with pooling before the ReLU, for channels-last memory."""

    def features(self, x):
        x = F.relu(F.max_pool2d(self.first(x), 2))
        return F.relu(F.max_pool2d(self.second(x), 2)).mean(dim=(2, 3))


def tight_epoch(X, y, edges, bfloat16):
    """One epoch with nothing in it that is not needed: no framework, no records."""
    torch.manual_seed(0)
    images, targets = torch.from_numpy(X), torch.from_numpy(y)
    mean, std = float(X.mean()), float(X.std())
    first, second = torch.from_numpy(edges.T.copy())
    network = TightNetwork().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for rows in torch.randperm(len(images)).split(64):
        batch = (images[rows].float() - mean) / std
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            features = network.features(batch)
        grid = network.grid(features.float())
        logits = network.readout(F.dropout(F.relu(grid), 0.5))
        weights = network.grid.weight
        step = weights.index_select(0, first) - weights.index_select(0, second)
        topo = torch.linalg.vector_norm(step, dim=1).mean()
        loss = F.cross_entropy(logits, targets[rows]) + topo
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network
