"""Training: the net, the objective, data, callbacks, devices and seeds (private).

Pickles name `Objective`, `TopographicNet`, `LastEpoch`, `Progress` and `probabilities`
as things of this package.
"""

from sktopo._training.callbacks import (
    LastEpoch,
    NonFiniteTrainingError,
    Progress,
    own_callbacks,
)
from sktopo._training.data import Batches, ImageDataset, auto_epochs
from sktopo._training.devices import native_bfloat16, resolve_device
from sktopo._training.net import OPTIMIZERS, TopographicNet, probabilities
from sktopo._training.objective import Objective, Term
from sktopo._training.seeds import Seeds, draw_seeds, seeded_initialisation
from sktopo._training.strength import LAM_MODES
from sktopo._training.tasks import Contrast, CrossEntropy, Task, import_supcon_loss

__all__ = [
    "LAM_MODES",
    "OPTIMIZERS",
    "Batches",
    "Contrast",
    "CrossEntropy",
    "ImageDataset",
    "LastEpoch",
    "NonFiniteTrainingError",
    "Objective",
    "Progress",
    "Seeds",
    "Task",
    "Term",
    "TopographicNet",
    "auto_epochs",
    "draw_seeds",
    "import_supcon_loss",
    "native_bfloat16",
    "own_callbacks",
    "probabilities",
    "resolve_device",
    "seeded_initialisation",
]
