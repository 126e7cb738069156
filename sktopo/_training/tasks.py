"""Tasks: what a network is trained for, beside the spatial terms.

A task is called with the network's answers to a batch, its targets and weights, and
gives a number. `scores`, called in the same way on held-out images, gives those of
`score_names`, of which more is better; early stopping looks at `stop_by`. The network
is shown `n_views` changed copies of each batch, one after the other; by which of its
`augmentations`, or by a callable, is the estimator's to say. A batch has `min_images`.
"""

from __future__ import annotations

from functools import cached_property

from torch import nn
from torch.nn import functional as F

from sktopo.augment import AUGMENTATIONS, VIEWS


class CrossEntropy(nn.Module):
    """The task of a classifier: cross entropy of logits, weighted by image."""

    n_views, min_images, augmentations = 1, 1, AUGMENTATIONS
    score_names = ("valid_accuracy",)
    stop_by, less_is_better = "valid_accuracy", False

    def forward(self, logits, targets, weights):
        return (F.cross_entropy(logits, targets, reduction="none") * weights).mean()

    def scores(self, logits, targets, weights):
        """The scores of a batch of held-out images, of which more is better."""
        correct = ((logits.argmax(dim=1) == targets) * weights).mean()
        return {"valid_accuracy": correct}


class Contrast(nn.Module):
    """The task of an encoder: views of one target near each other, others far apart.

    It is the loss of supervised contrastive learning. Where each image has a target of
    its own, its one positive is its other view, and the loss is SimCLR's.

    Parameters
    ----------
    temperature : float
        What cosines of projections are divided by.
    """

    n_views, min_images, augmentations = 2, 2, VIEWS
    score_names = ()
    stop_by, less_is_better = "valid_loss", True

    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, projections, targets, weights):
        return self.loss(projections, targets.repeat(self.n_views))

    def scores(self, projections, targets, weights):
        """None: the loss itself says how well it goes."""
        return {}

    @cached_property
    def loss(self):
        """The library's, made when it is first needed, and in no pickle."""
        return import_supcon_loss()(self.temperature)

    def __getstate__(self):
        return {name: v for name, v in super().__getstate__().items() if name != "loss"}


def import_supcon_loss():
    """Import the loss of pytorch-metric-learning.

    Returns
    -------
    callable
        Maps a temperature to a loss of projections (n, d) and targets (n,): the mean
        over all of them.

    Raises
    ------
    ImportError
        If the library is not there.
    """
    try:
        from pytorch_metric_learning.losses import SupConLoss
        from pytorch_metric_learning.reducers import MeanReducer
    except ImportError as error:
        raise ImportError(
            "TopographicEncoder takes its losses from pytorch-metric-learning, which "
            "cannot be imported here. Install it: pip install 'sktopo[contrastive]'."
        ) from error
    # its own default leaves losses of zero out of the mean
    return lambda temperature: SupConLoss(temperature, reducer=MeanReducer())
