"""What spatial losses of two convolutions add to a training step of resnet18.

Each loss on layer2.1.conv2 (128 channels) and layer4.1.conv2 (512), with the network's
stem for small images and with its own; all steps of a stem are of one network.
"""

import torch
from rows import beside, drawn_images, fastest

from sktopo import TopographicCNNClassifier
from sktopo._training import CrossEntropy
from sktopo._training.making import make_objective
from sktopo.losses import LOSSES
from sktopo.networks import resnet18_backbone

LAYERS = ("backbone.layer2.1.conv2", "backbone.layer4.1.conv2")
STEMS = {
    "3 x 3": resnet18_backbone,
    "7 x 7": lambda shape: resnet18_backbone((shape[0], 64, 64)),
}
# Each loss of weights, and AS.
CONDITIONS = {
    **{
        name: {"topo_loss": name}
        for name, loss in LOSSES.items()
        if getattr(loss, "source", None) == "weights"
    },
    "ws, cosine": {"topo_loss": "ws", "distance": "cosine"},
    "as": {"topo_loss": "as"},
}
WANTED = {
    ("ws", "3 x 3"): 1.2,
    ("ws", "7 x 7"): 1.8,
    ("laplacian", "3 x 3"): 1.5,
    ("laplacian", "7 x 7"): 2.2,
}


def contestants(backbone, X, y):
    """A function that takes one step with each loss, and one with none, by name."""
    control = {"topo_loss": None, "backbone": backbone, "batch_size": len(X)}
    clf = TopographicCNNClassifier(**control, max_epochs=1, random_state=0).fit(X, y)
    net = clf.net_
    net.history.new_epoch()
    net.history.new_batch()
    inputs = {"images": torch.from_numpy(X), "weights": torch.ones(len(X))}
    batch = (inputs, torch.from_numpy(y))

    def steps_with(objective):
        def step():
            net.criterion_ = objective
            net.train_step(batch)

        return step, 1

    found = {"none": steps_with(net.criterion_)}
    for name, settings in CONDITIONS.items():
        clf.set_params(distance=None, topo_layers=LAYERS).set_params(**settings)
        objective = make_objective(clf, CrossEntropy(), net.module_, seed=0)
        found[name] = steps_with(objective)
    return found


def resnet_rows(size):
    """A row a stem and loss."""
    X, y = drawn_images(size.resnet_images, size.side)
    for stem, backbone in STEMS.items():
        spent = fastest(size.turns, **contestants(backbone, X, y))
        for name in CONDITIONS:
            found = {"ours": spent[name], "without it": spent["none"]}
            wanted = {"without it": WANTED.get((name, stem))}
            what = f"{name}, stem {stem}"
            yield from beside("resnet18", what, found, size.turns, wanted=wanted)
