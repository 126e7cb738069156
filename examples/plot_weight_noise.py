"""
What does the scale of weight noise decide?
===========================================

Noise on weights can be a share of each layer's own weights (``scale="std"``), or the same
for all (``scale="absolute"``). Two networks may change places between the two.
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images. The default distance of weight similarity (WS) is
# Euclidean, so that smaller weights on the grid make a smaller loss, and the readout can
# make up for it.

import copy

import pandas as pd
import torch
from matplotlib import pyplot as plt

from sktopo import FrozenNetwork, TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.plotting import RobustnessDisplay
from sktopo.robustness import area_under_curve, weight_noise_curve

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
trained = {
    name: TopographicCNNClassifier(loss, lr=1e-3, max_epochs=30, random_state=0)
    for name, loss in {"control": None, "WS": "ws"}.items()
}
for name, model in trained.items():
    model.fit(X, y)
    grid, readout = model.module_.grid.weight, model.module_.readout.weight
    print(
        f"{name}: accuracy {model.score(X_test, y_test):.3f}, standard "
        f"deviation of weights {grid.std():.3f} (grid), {readout.std():.3f} (readout)"
    )

# %%
# The same answers with other weights
# -----------------------------------
# Units are rectified: make the weights of the grid a few times larger and those of the
# readout as much smaller, and the network answers as before. This gives the WS network the
# scale of the control's grid, and changes no answer.

ratio = (
    trained["control"].module_.grid.weight.std()
    / trained["WS"].module_.grid.weight.std()
)
rescaled = copy.deepcopy(trained["WS"].module_)
with torch.no_grad():
    rescaled.grid.weight *= ratio
    rescaled.grid.bias *= ratio
    rescaled.readout.weight /= ratio
models = {
    name: FrozenNetwork(module, "grid", image_shape=(1, 8, 8), value_range=(0, 16))
    for name, module in {
        "control": trained["control"].module_,
        "WS": trained["WS"].module_,
        "WS, rescaled": rescaled,
    }.items()
}
same = models["WS"].predict(X_test) == models["WS, rescaled"].predict(X_test)
print(f"WS and WS, rescaled agree on {same.sum()} of {same.size} test images")

# %%
# Two scales, two answers
# -----------------------
# W becomes W + sigma s noise, with s the standard deviation of the layer's weights, or 1.
# Ten draws of noise each. Noise that is a share of the weights does not see the trade
# between grid and readout; absolute noise does.

SIGMAS = {"std": [0.2, 0.5, 1, 1.5, 2], "absolute": [0.02, 0.05, 0.1, 0.15, 0.2]}
curves = {
    (scale, name): weight_noise_curve(
        model, X_test, y_test, sigmas, scale, random_state=0
    )
    for scale, sigmas in SIGMAS.items()
    for name, model in models.items()
}
table = pd.Series(
    {key: area_under_curve(curve)["mean_accuracy"][0] for key, curve in curves.items()}
)
print("mean accuracy over the sigmas")
print(table.unstack(0)[list(SIGMAS)].loc[list(models)].round(3).to_string())

# %%
# The curves of WS and of its rescaled twin lie on each other above, and apart below. So say
# which scale you took: a device whose every weight has the same error is absolute, one whose
# errors are proportional is not. One seed: who wins here may lose with another.

figure, axes = plt.subplots(
    2, 1, figsize=(5, 5.6), sharey=True, layout="constrained", num="weight_noise"
)
for ax, scale in zip(axes, SIGMAS):
    for name in models:
        RobustnessDisplay(curves[scale, name], name).plot(ax)
    ax.set_title(f'scale="{scale}"', fontsize=11)
plt.show()
