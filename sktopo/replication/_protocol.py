"""How the paper's networks are trained and measured: the study that replicates it."""

from __future__ import annotations

import os

from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from sktopo.classifier import TopographicCNNClassifier
from sktopo.datasets import DATASETS
from sktopo.study import TopographicStudy

# Backbone and epochs of the paper's networks, where they are not those of MNIST.
MNIST = ("small", 10)
OTHERS = {"cifar10": ("deep", 30)}
LAMS = (0.3, 1.0, 3.0)
# What the paper's models have in common, whatever the classifier's defaults are.
SETTINGS = {"grid_shape": (11, 11), "dropout": 0.5, "batch_size": 64, "lr": 1e-3}
CONDITIONS = {
    "ws_cosine": {"topo_loss": "ws", "distance": "cosine", "lam": 1.0},
    "ws_no_dropout": {"topo_loss": "ws", "dropout": 0.0, "lam": 1.0},
    "control_no_dropout": {"topo_loss": None, "dropout": 0.0},
}


def protocol(
    dataset: str,
    *,
    epochs: int | None = None,
    precision: str = "float32",
    main_conditions: bool = False,
    **settings,
) -> TopographicStudy:
    """Make the study of Truong & Hasson (arXiv 2508.00043) of a data set.

    The models are those of the paper: batches of 64, Adam, lr 0.001, an 11 x 11 grid;
    the small network and 10 epochs for MNIST and Fashion-MNIST, the deep network and 30
    epochs for CIFAR-10. The conditions are control, WS, AS and AS untransposed at lam
    0.3, 1 and 3, and at lam 1 WS by cosine distance, WS without dropout and control
    without dropout; ten seeds each.

    Parameters
    ----------
    dataset : str
        What it is to be run on, a name in `sktopo.datasets.DATASETS`: "fashion_mnist",
        "mnist", "cifar10", or one that the paper has not, which is trained as MNIST.
    epochs : int, default=None
        Epochs of each model. None: the paper's.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Precision of the backbone in training.
    main_conditions : bool, default=False
        Whether to leave the last three conditions out.
    **settings : dict
        Further parameters of `TopographicStudy`, such as ``store=`` and ``n_jobs=``.

    Returns
    -------
    TopographicStudy
        The study, not yet run.

    Raises
    ------
    ValueError
        On an unknown data set.

    Examples
    --------
    >>> from sktopo.replication import protocol
    >>> len(protocol("fashion_mnist").cells())
    130
    """
    _loader(dataset)  # or the error for an unknown one
    backbone, paper_epochs = OTHERS.get(dataset, MNIST)
    estimator = TopographicCNNClassifier(
        backbone=backbone,
        max_epochs=paper_epochs if epochs is None else epochs,
        precision=precision,
        **SETTINGS,
    )
    conditions = None if main_conditions else CONDITIONS
    return TopographicStudy(
        estimator, **{"lams": LAMS, "conditions": conditions, **settings}
    )


def load(
    dataset: str, data_home: str | os.PathLike | None = None
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Load what the protocol trains on and measures with.

    Parameters
    ----------
    dataset : str
        Name of the data set in `sktopo.datasets.DATASETS`.
    data_home : path-like, default=None
        Folder of the data sets.

    Returns
    -------
    tuple of ndarray
        80 % of the training images, stratified, and their labels; all test images, and
        their labels. As `TopographicStudy.run` takes them.

    Raises
    ------
    ValueError
        On an unknown data set.
    """
    fetch = _loader(dataset)
    X, y = fetch("train", return_X_y=True, data_home=data_home)
    X, _, y, _ = train_test_split(X, y, train_size=0.8, stratify=y, random_state=0)
    return X, y, *fetch("test", return_X_y=True, data_home=data_home)


def _loader(dataset):
    if dataset not in DATASETS:
        raise ValueError(
            f"The protocol is for {', '.join(map(repr, DATASETS))}; got {dataset!r}."
        )
    return DATASETS[dataset]
