"""
How small can the network be?
=============================

Many units of a grid can fall silent before accuracy does. Which can go, and what is the
smaller network that is left when they are taken out?
"""

# %%
# Networks to compare
# -------------------
# Same seed, same order of images; they differ in the spatial loss only. A quarter of the
# training images is set aside, to choose on.

import copy

import torch
from matplotlib import pyplot as plt
from sklearn.model_selection import train_test_split

from sktopo import FrozenNetwork, TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.plotting import RobustnessDisplay
from sktopo.robustness import area_under_curve, pruning_curve

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
X, X_chosen_on, y, y_chosen_on = train_test_split(X, y, stratify=y, random_state=0)
models = {
    name: TopographicCNNClassifier(loss, lr=1e-3, max_epochs=30, random_state=0)
    for name, loss in {"control": None, "WS": "ws", "AS": "as"}.items()
}
for model in models.values():
    model.fit(X, y)

# %%
# Which units can go?
# -------------------
# The area under a pruning curve, over the length of its axis, is a mean accuracy. Units
# that are silent for most images can go first ("zeros"), or those that the readout hardly
# reads; a whole neighbourhood ("block") takes more with it where neighbours do the same.

ORDERS = ["zeros", "readout_norm", "random", "block"]
for name, model in models.items():
    curve = pruning_curve(model, X_chosen_on, y_chosen_on, ORDERS, random_state=0)
    areas = area_under_curve(curve).set_index("curve")["mean_accuracy"]
    told = (f"{order.replace('_', ' ')} {area:.2f}" for order, area in areas.items())
    print(f"{name:8s}", ", ".join(told))

# %%
# A smaller network
# -----------------
# The largest share of units, by the readout's weights, without which no more than a
# hundredth of the accuracy on the images set aside is gone. `pruning_curve` silences units;
# here their rows and columns are taken out, and what is left is a torch network like any
# other.


def without(module, units):
    """A copy of a fitted network that lacks some units of its grid."""
    small = copy.deepcopy(module)
    kept = [unit for unit in range(module.grid.out_features) if unit not in units]
    with torch.no_grad():
        small.grid = torch.nn.Linear(module.grid.in_features, len(kept))
        small.grid.weight.copy_(module.grid.weight[kept])
        small.grid.bias.copy_(module.grid.bias[kept])
        small.readout = torch.nn.Linear(len(kept), module.readout.out_features)
        small.readout.weight.copy_(module.readout.weight[:, kept])
        small.readout.bias.copy_(module.readout.bias)
    return small


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


FRACTIONS = [i / 20 for i in range(20)]
kept_share = {}
for name, model in models.items():
    curve = pruning_curve(
        model, X_chosen_on, y_chosen_on, "readout_norm", FRACTIONS, random_state=0
    )
    fine = curve["accuracy"] > curve.attrs["clean_accuracy"] - 0.01
    n_pruned = curve["n_pruned"][fine].max()
    kept_share[name] = 1 - n_pruned / 121
    norms = model.module_.readout.weight.norm(dim=0)
    small = without(model.module_, set(norms.argsort()[:n_pruned].tolist()))
    frozen = FrozenNetwork(small, "grid", image_shape=(1, 8, 8), value_range=(0, 16))
    print(
        f"{name:8s} 121 units, {n_parameters(model.module_):,} parameters: accuracy "
        f"{model.score(X_test, y_test):.3f}; {121 - n_pruned} units, "
        f"{n_parameters(small):,} parameters: {frozen.score(X_test, y_test):.3f}"
    )

# %%
# Accuracy by what is left out
# ----------------------------
# On the test images, by the readout's weights above, and around one unit below. Dotted
# lines are where the smaller networks were cut. In this seed the network without a map can
# spare the most units: where neighbours do the same, they are missed together. Compare over
# seeds, and with networks that were trained with fewer units from the start.

figure, axes = plt.subplots(
    2, 1, figsize=(5, 5.6), sharex=True, layout="constrained", num="pruning"
)
for ax, order in zip(axes, ("readout_norm", "block")):
    for name, model in models.items():
        curve = pruning_curve(model, X_test, y_test, order, random_state=0)
        display = RobustnessDisplay(curve, name).plot(ax, label=name)
        if order == "readout_norm":
            color = display.lines_[order].get_color()
            ax.axvline(1 - kept_share[name], color=color, ls=":")
    ax.set_title(f'order="{order}"', fontsize=11)
plt.show()
