"""
Do units know left from right, and centre from rim?
===================================================

Generated images ask single units simple questions: can you tell a digit from its mirror
image, and do you see the centre more than the rim?
"""

# %%
# Two backbones
# -------------
# What a unit can know of places is decided before the grid. "lenet" keeps where things
# are; "small" averages over space, so that a place is known by the border of the image
# and the phase of pooling alone. Both have a control and weight similarity (WS).

from matplotlib import pyplot as plt

from sktopo import TopographicCNNClassifier, metrics
from sktopo.datasets import load_digits_images
from sktopo.plotting import EccentricityDisplay

X, y = load_digits_images("train", return_X_y=True)
X_test, y_test = load_digits_images("test", return_X_y=True)
models = {
    f"{backbone}, {name}": TopographicCNNClassifier(
        loss, backbone=backbone, lr=1e-3, max_epochs=30, random_state=0
    ).fit(X, y)
    for backbone in ("lenet", "small")
    for name, loss in {"control": None, "WS": "ws"}.items()
}

# %%
# Mirror images
# -------------
# A unit that treats an image and its mirror image alike has an index of 1; 0 means no
# more alike than two images of a class.

for name, model in models.items():
    A, mirrored = model.transform(X_test), model.transform(X_test[..., ::-1])
    index = metrics.symmetry_sensitivity(A, mirrored, y_test).index
    print(f"{name:15s} mirror index {index.mean():.2f}, n = {len(A)} images, 121 units")

# %%
# Centre and rim
# --------------
# A small patch of texture is shown at every place of a blank image
# (`sktopo.stimuli.eccentricity_probes`). How much do patches at each distance from the centre
# change a unit's response, over the unit's own mean? A flat line at 1 is no preference.
# Digits fill the centre of their images.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained", num="centre_and_rim")
for name, model in models.items():
    EccentricityDisplay.from_estimator(model, name=name, ax=ax)
plt.show()
