"""The comparison of spatial losses with each other, and with simpler means."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from sktopo._numbers import check_name
from sktopo.augment import WhiteNoise
from sktopo.classifier import TopographicCNNClassifier
from sktopo.datasets import fetch_fashion_mnist
from sktopo.study import TopographicStudy

N_TRAIN = 12_000
# Ratios of the spatial to the task gradient, measured over the first steps.
STRENGTHS = (0.05, 0.2, 1.0)
# The one at which losses are compared with simpler means: chosen beforehand, so that no
# loss is shown where it happens to be best.
STRENGTH = 0.2
LOSSES = {
    "ws": {"topo_loss": "ws"},
    "ws_cosine": {"topo_loss": "ws", "distance": "cosine"},
    "as": {"topo_loss": "as"},
    "laplacian": {"topo_loss": "laplacian"},
    "spatial_correlation": {"topo_loss": "spatial_correlation"},
    "inverse_distance": {"topo_loss": "inverse_distance"},
}
# What a practitioner would try instead.
SIMPLER = {
    "adamw_0.01": {"optimizer": "adamw", "weight_decay": 0.01},
    "adamw_0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "white_noise": {"augment": WhiteNoise(0.1)},
}
CALIBRATED = {"lam_mode": "calibrated"}
# What the models of each network share; epochs are 10.
BACKBONES = {"small": {"backbone": "small", "lr": 3e-3}, "default": {}}
SETTINGS = {"grid_shape": (11, 11), "dropout": 0.5, "batch_size": 64}
SEEDS = {"small": 5, "default": 3}


def with_ws(name: str) -> str:
    """What a simpler means is called where WS is trained beside it."""
    return f"ws_{name}"


def conditions(backbone: str) -> dict[str, dict]:
    """The conditions of a network's comparison beside the control.

    Parameters
    ----------
    backbone : {"small", "default"}
        The network. The default one has fewer: each loss at strength 0.2, WS at 1,
        weight decay of 0.1, and white noise without and with WS.

    Returns
    -------
    dict
        Parameters by name. Losses of the small network have no lam: they are run at all
        of them.
    """
    simpler = {name: {"topo_loss": None, **SIMPLER[name]} for name in SIMPLER}
    both = {
        with_ws(name): {"topo_loss": "ws", "lam": STRENGTH, **CALIBRATED, **settings}
        for name, settings in SIMPLER.items()
    }
    losses = {name: {**settings, **CALIBRATED} for name, settings in LOSSES.items()}
    found = {**losses, **simpler, **both}
    if backbone == "small":
        return found
    at_one = {name: {**loss, "lam": STRENGTH} for name, loss in losses.items()}
    strong = {"ws_strong": {**losses["ws"], "lam": STRENGTHS[-1]}}
    few = ("adamw_0.1", "white_noise", with_ws("white_noise"))
    return {**at_one, **strong, **{name: found[name] for name in few}}


def applied_lam(classifier, X, y) -> float:
    """The weight of the spatial loss that calibration came to, as a measure."""
    history = classifier.history_
    return history["lam"].iloc[-1] if "lam" in history else np.nan


def comparison(
    backbone: str = "small",
    *,
    epochs: int = 10,
    **settings,
) -> TopographicStudy:
    """Make the study that compares spatial losses, and what one would try instead.

    On the small network: control; six losses at calibrated strength 0.05, 0.2 and 1;
    weight decay by AdamW (0.01 and 0.1) and training with white noise of level 0.1,
    without a spatial loss and with WS at strength 0.2. Five seeds each. On the default
    network: control, each loss at strength 0.2, WS at 1 ("ws_strong"), weight decay of
    0.1, and white noise without and with WS at 0.2. Three seeds each.

    Parameters
    ----------
    backbone : {"small", "default"}, default="small"
        The paper's network for MNIST with lr 0.003, or the classifier's default one
        with its default lr.
    epochs : int, default=10
        Epochs of each model.
    **settings : dict
        Further parameters of `TopographicStudy`, such as ``store=`` and ``n_jobs=``.

    Returns
    -------
    TopographicStudy
        The study, not yet run.

    Raises
    ------
    ValueError
        On an unknown backbone.

    Examples
    --------
    >>> from sktopo.replication import comparison
    >>> len(comparison().cells())
    125
    """
    check_name("backbone", backbone, BACKBONES)
    estimator = TopographicCNNClassifier(
        max_epochs=epochs, **SETTINGS, **BACKBONES[backbone]
    )
    return TopographicStudy(
        estimator,
        topo_losses=(),
        **{
            "lams": STRENGTHS,
            "n_seeds": SEEDS[backbone],
            "conditions": conditions(backbone),
            "measures": {"applied_lam": applied_lam},
            **settings,
        },
    )


def load_comparison(
    n_train: int = N_TRAIN, data_home: str | os.PathLike | None = None
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Load what the comparison trains on and measures with.

    Parameters
    ----------
    n_train : int, default=12,000
        How many training images of Fashion-MNIST.
    data_home : path-like, default=None
        Folder of the data sets.

    Returns
    -------
    tuple of ndarray
        Training images, stratified and always the same, and their labels; all 10,000
        test images, and their labels. As `TopographicStudy.run` takes them.

    Examples
    --------
    >>> from sktopo.replication import load_comparison
    >>> X, y, X_test, y_test = load_comparison(n_train=6000)  # doctest: +SKIP
    >>> X.shape, X_test.shape  # doctest: +SKIP
    ((6000, 1, 28, 28), (10000, 1, 28, 28))
    """
    X, y = fetch_fashion_mnist("train", return_X_y=True, data_home=data_home)
    X, _, y, _ = train_test_split(X, y, train_size=n_train, stratify=y, random_state=0)
    return X, y, *fetch_fashion_mnist("test", return_X_y=True, data_home=data_home)
