"""
How do I try a spatial loss of my own?
======================================

A spatial loss is a small torch module. This one asks for short wires: units that respond
alike are to stand near each other, and those that do not may stand anywhere. It is trained
beside activation similarity (AS), which asks neighbours to be alike.
"""

# %%
# The loss
# --------
# ``source`` says what it is called with: "activations" ``(n_images, n_units)`` of a batch, or
# "weights" ``(n_units, fan_in)``. It is made with the shape of the grid, and gives one
# number. Here: the mean distance of two units, each pair weighted by how much its responses
# correlate, over the mean distance of all pairs. 1 is chance.

import numpy as np
import torch
from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, measure_activations, select_results
from sktopo.datasets import load_digits_images
from sktopo.grid import Grid
from sktopo.metrics import morans_i
from sktopo.plotting import CorrelationDistanceDisplay, GridMapDisplay


class WireLength(torch.nn.Module):
    source = "activations"

    def __init__(self, grid_shape, power=2.0):
        super().__init__()
        self.power = power
        distances = torch.from_numpy(Grid(grid_shape).distances).float()
        pairs = torch.ones_like(distances).triu(1).bool()
        self.register_buffer("pairs", pairs)
        self.register_buffer("distances", distances[pairs] / distances[pairs].mean())

    def forward(self, activations):
        centred = activations - activations.mean(dim=0)
        units = torch.nn.functional.normalize(centred, dim=0)  # 0 stays 0
        alike = (units.T @ units)[self.pairs].clamp(min=0) ** self.power
        return (alike * self.distances).sum() / (alike.sum() + 1e-6)


X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)

# %%
# Try it by hand first: of units in patches, of units without order, of silent ones. It must
# be finite, and so must its gradients, whatever a batch brings.

loss = WireLength((11, 11))
smooth = torch.from_numpy(Grid((11, 11)).coordinates.T.copy()).float()
noise = torch.randn(64, 121, generator=torch.Generator().manual_seed(0))
silent = torch.zeros(64, 121, requires_grad=True)
loss(silent).backward()
print(
    f"two ramps {loss(smooth):.2f}, noise {loss(noise):.2f}, silence "
    f"{loss(silent).item():.2f}, its gradients finite: {silent.grad.isfinite().all()}"
)

# %%
# Trained with it
# ---------------
# The class takes the place of a name; ``loss_params`` sets what it has beside the grid.
# ``lam_mode="calibrated"`` gives both losses one strength, though their values mean
# different things.

SETTINGS = {
    "control": {"topo_loss": None},
    "AS": {"topo_loss": "as"},
    "wire length": {"topo_loss": WireLength, "loss_params": {"power": 2.0}},
}
models = {
    name: TopographicCNNClassifier(
        **given,
        lam=0.5,
        lam_mode="calibrated",
        lr=1e-3,
        max_epochs=30,
        random_state=0,
    ).fit(X, y)
    for name, given in SETTINGS.items()
}

# %%
# Whether it does what it asks for, and what comes with it: accuracy, smoothness, and the
# distance of pairs of units with a correlation of .5 or more, relative to chance.

for name, model in models.items():
    A = model.transform(X_test)
    table = measure_activations(A, model.grid_)
    ratio = select_results(table, "distance_ratio", threshold=0.5)["value"].item()
    smooth = np.nanmean(morans_i(model.activation_maps(X_test)))
    print(
        f"{name:11s} accuracy {model.score(X_test, y_test):.3f}, Moran's I {smooth:5.2f}, "
        f"distance ratio {ratio:.2f}, n = {len(A)}"
    )

# %%
# What it makes of the grid
# -------------------------
# Above the responses to one digit, below the correlation of two units by their distance.
# AS is content when neighbours are alike; wires are short when far units are not. The
# last distance is of two pairs alone.

figure = plt.figure(figsize=(6, 5.6), layout="constrained", num="own_loss")
axes = figure.subplot_mosaic([[*models], ["pairs"] * 3], height_ratios=[1, 1.6])
maps = np.stack([model.activation_maps(X_test[:1])[0] for model in models.values()])
scaled = (maps - maps.mean((1, 2), keepdims=True)) / maps.std((1, 2), keepdims=True)
GridMapDisplay(scaled, list(models), "response (sd)").plot([axes[m] for m in models])
for name, model in models.items():
    CorrelationDistanceDisplay.from_estimator(
        model, X_test, name=name, ax=axes["pairs"]
    )
plt.show()
