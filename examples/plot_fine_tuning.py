"""
Can a trained network get maps?
===============================

A network that is trained already gets maps: a spatial loss on two of its convolutions, and
a few steps more. `FrozenNetwork` shows it as it was, and the classifier as it is after.
"""

# %%
# A trained network
# -----------------
# Torchvision's resnet18, as it is left by somebody's training: here by a few steps on the
# digits. Weights that were published would come with
# ``torchvision.models.resnet18(weights="DEFAULT")``, for images of three channels.

import copy

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from sktopo import FrozenNetwork, TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.metrics import morans_i
from sktopo.networks import resnet18_backbone
from sktopo.plotting import GridMapDisplay

BATCH_SIZE = 32
N_STEPS = 40

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
X, X_test = (images / np.float32(X.max()) for images in (X, X_test))
n = BATCH_SIZE * N_STEPS // 2  # for each training: two passes, over other images
first, second = slice(0, n), slice(len(X) - n, None)

torch.manual_seed(0)
trained = resnet18_backbone((1, 8, 8))  # torchvision's, its stem for small images
trained.fc = nn.Linear(512, 10)
optimizer = torch.optim.Adam(trained.parameters(), lr=1e-3)
images, labels = torch.from_numpy(X[first]), torch.from_numpy(y[first])
for _ in range(2):
    for rows in torch.randperm(n).split(BATCH_SIZE):
        loss = F.cross_entropy(trained(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %%
# Fine-tuning
# -----------
# `backbone` is a function that returns the network without its last layer. Each fit trains
# a copy, so that the network itself is never changed. Grid and readout are new. The network
# was trained on images from 0 to 1, not on standardised ones, and goes on with these.
#
# ``lam_mode="calibrated"`` asks for a strength and not for a weight: here the gradient of
# the spatial loss is twice that of the task. The control is tuned in the same way, without
# a spatial loss.


def pretrained(image_shape):
    network = copy.deepcopy(trained)
    network.fc = nn.Identity()
    return network


LAYERS = ["layer2.1.conv2", "layer4.1.conv2"]
control = TopographicCNNClassifier(
    None,
    backbone=pretrained,
    standardize=False,
    lr=1e-3,
    batch_size=BATCH_SIZE,
    max_epochs=2,
    random_state=0,
)
topographic = clone(control).set_params(
    topo_loss="ws",
    lam=2.0,
    lam_mode="calibrated",
    topo_layers=[f"backbone.{layer}" for layer in LAYERS],
)
for model in (control, topographic):
    model.fit(X[second], y[second])

# %%
# Before and after
# ----------------
# The convolutions have the same names within the classifier, after ``backbone.``. Their
# channels stand on the most square sheet that there is, 8 x 16 and 16 x 32.

before = FrozenNetwork(trained, LAYERS[0], image_shape=(1, 8, 8))
models = {"before": before, "tuned, control": control, "tuned, WS": topographic}


def name_in(model, layer):
    return layer if model is before else f"backbone.{layer}"


table = pd.DataFrame(index=models)
for name, model in models.items():
    table.loc[name, "accuracy"] = model.score(X_test, y_test)
    for layer in LAYERS:
        maps = model.activation_maps(X_test, layer=name_in(model, layer))
        table.loc[name, f"Moran's I of {layer}"] = np.nanmean(morans_i(maps))
print(f"one model each, n = {len(X_test)} test images")
print(table.round(3).to_string())

# %%
# Before, and in the control, units that stand beside each other have nothing to do with
# each other: Moran's I is about that of chance, -1 / (units - 1). With the spatial loss
# both layers are maps.
#
# One network of each kind, a few steps and 450 test images: that a map appears is plain
# here, what it costs in accuracy is not. A difference of a few percent between the columns
# is within what another seed would change, and each tuned model has seen images that the
# first network has not. Compare over seeds (`TopographicStudy`), and train for longer.
#
# The same test image, seen by both layers of each. Colours are scaled by map.

figure, axes = plt.subplots(3, 2, figsize=(6, 6.6), layout="constrained", num="maps")
for column, layer in zip(axes.T, LAYERS):
    for ax, (name, model) in zip(column, models.items()):
        GridMapDisplay.from_estimator(
            model,
            X_test[:1],
            layer=name_in(model, layer),
            titles=[f"{name}\n{layer}"],
            ax=ax,
        )
plt.show()
