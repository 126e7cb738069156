"""
Can a torchvision network be topographic?
=========================================

A resnet18 of torchvision is made topographic at several of its own layers at once, in a
plain loop of torch: `TopographicLoss` adds three lines to it. What becomes of the layers is seen
through `FrozenNetwork`, beside a control that was trained without.
"""

# %%
# Three lines
# -----------
# resnet18, with a stem for small images. Its terms: weight similarity at a convolution of
# 128 channels (a sheet of 8 x 16), and at one of 512 (16 x 32) the Laplacian pyramid of
# the weights together with the similarity of responses. `lam` weights them by layer; 0
# makes the control, which starts from the same weights and meets the same batches.

from functools import partial

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18

from sktopo import FrozenNetwork, measure, select_results
from sktopo.datasets import load_digits_images
from sktopo.losses import LaplacianPyramid, TopographicLoss, WeightSimilarity
from sktopo.plotting import GridMapDisplay

N_STEPS = 60
EARLY, LATE = "layer2.1.conv2", "layer4.1.conv2"
TERMS = {
    EARLY: partial(WeightSimilarity, distance="cosine"),
    LATE: [LaplacianPyramid, "as"],
}

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
X, X_test = (images / np.float32(X.max()) for images in (X, X_test))
X_test, y_test = X_test[:200], y_test[:200]


def train(lam):
    torch.manual_seed(0)
    model = resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)  # for 8 x 8 pixels
    model.maxpool = nn.Identity()
    topo = TopographicLoss(TERMS, lam).attach(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = torch.from_numpy(X), torch.from_numpy(y)
    for step in range(1, N_STEPS + 1):
        rows = torch.randint(len(images), (32,))
        loss = F.cross_entropy(model(images[rows]), labels[rows]) + topo(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (1, N_STEPS):
            values = (f"{' '.join(k)} {v:.3f}" for k, v in topo.values_.items())
            print(f"  step {step}: {', '.join(values)}")
    topo.remove()
    return model.eval()


networks = {}
for name, lam in {"control": 0.0, "topographic": {EARLY: 3.0, LATE: 3.0}}.items():
    print(name)
    networks[name] = train(lam)

# %%
# Values are those before `lam`, so that the control's can be compared: its layers were
# left as they began, or went their own way.
#
# A loop that saves its state keeps ``topo`` beside the model: ``torch.save((model,
# topo))`` brings both back attached, as ``copy.deepcopy((model, topo))`` does.
#
# How smooth the layers are
# -------------------------
# Sixty steps of one seed show how it is done, and no more: a comparison of losses needs
# many seeds, and strengths at which they cost the same accuracy.

frozen = {
    name: FrozenNetwork(network, LATE, image_shape=(1, 8, 8))
    for name, network in networks.items()
}
for name, model in frozen.items():
    print(f"{name}: accuracy {model.score(X_test, y_test):.3f}, n = {len(y_test)}")
    for layer in (EARLY, LATE):
        table = measure(model, X_test, y_test, ["smoothness"], layer=layer)
        smooth = select_results(table, "morans_i", neighborhood="moore")
        print(f"  {layer}: Moran's I {smooth['value'].item():.3f}")

# %%
# Maps of both layers
# -------------------
# The mean response of each channel to two images, on the sheet of its layer: above the 128
# channels of the early one, below the 512 of the late one. Where the order of the channels
# means something, patches respond alike.

figure, axes = plt.subplots(4, 2, figsize=(6, 7.5), layout="constrained", num="layers")
for column, (name, model) in zip(axes.T, frozen.items()):
    for i, ax in enumerate(column):
        layer, image = (EARLY, LATE)[i // 2], i % 2
        title = f"{name}\n{layer[:6]}, digit {y_test[image]}"
        GridMapDisplay.from_estimator(
            model, X_test[[image]], layer=layer, titles=[title], ax=ax
        )
plt.show()
