"""Tasks: what a network is trained for, beside the spatial terms."""

from __future__ import annotations

from functools import cached_property

from torch import nn
from torch.nn import functional as F

from sktopo.augment import AUGMENTATIONS, VIEWS


class Task(nn.Module):
    """Called with answers to a batch, its targets and weights, it gives a number.

    Attributes
    ----------
    n_views : int
        How many changed copies of a batch the network is shown, one after the other.
    augmentations : dict
        What may change it, by name.
    min_images : int
        Fewest images of a batch.
    score_names : tuple of str
        What `scores` gives.
    stop_by, less_is_better : str, bool
        What early stopping looks at.
    """

    n_views, augmentations = 1, AUGMENTATIONS
    min_images = 1
    score_names = ()
    stop_by, less_is_better = "valid_loss", True

    def scores(self, answers, targets, weights):
        """The scores of a batch of held-out images, of which more is better."""
        return {}


class CrossEntropy(Task):
    """The task of a classifier: cross entropy of logits, weighted by image."""

    score_names = ("valid_accuracy",)
    stop_by, less_is_better = "valid_accuracy", False

    def forward(self, logits, targets, weights):
        return (F.cross_entropy(logits, targets, reduction="none") * weights).mean()

    def scores(self, logits, targets, weights):
        correct = ((logits.argmax(dim=1) == targets) * weights).mean()
        return {"valid_accuracy": correct}


class Contrast(Task):
    """The task of an encoder: views of one target near each other, others far apart.

    It is the loss of supervised contrastive learning. Where each image has a target of
    its own, its one positive is its other view, and the loss is SimCLR's.

    Parameters
    ----------
    temperature : float
        What cosines of projections are divided by.
    """

    n_views, augmentations = 2, VIEWS
    min_images = 2

    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, projections, targets, weights):
        return self.loss(projections, targets.repeat(self.n_views))

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
