"""The study of objectives: the same network and spatial loss, taught in three ways."""

from __future__ import annotations

from functools import partial

from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktopo._numbers import check_name
from sktopo.classifier import TopographicCNNClassifier
from sktopo.encoder import TopographicEncoder
from sktopo.replication._judging import LAMS
from sktopo.study import TopographicStudy

# What each network is taught by.
OBJECTIVES = {
    "cross_entropy": TopographicCNNClassifier(),
    "supcon": TopographicEncoder("supcon"),
    "simclr": TopographicEncoder("simclr"),
}
SETTINGS = {
    "backbone": "deep",
    "grid_shape": (11, 11),
    "dropout": 0.1,
    "batch_size": 64,
    "lr": 1e-3,
}
# The network as it is before it is taught: one epoch that changes no weight. Batch norm
# still learns what its inputs are like.
UNTRAINED = {"topo_loss": None, "max_epochs": 1, "lr": 1e-12}
INCLUDE = ("performance", "smoothness", "localization", "selectivity", "activity")
# Of a probe's logistic regression, by which of them three folds choose.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)


def read_labels(
    train: ArrayLike, y: ArrayLike, test: ArrayLike, y_test: ArrayLike
) -> float:
    """Accuracy of a logistic regression, its C chosen by three folds of what it reads.

    Parameters
    ----------
    train, test : array-like of shape (n, n_features)
        Responses, or pixels.
    y, y_test : array-like of shape (n,)
        Labels.

    Returns
    -------
    float
        Share of the test images whose label is right.
    """
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(reader, {"logisticregression__C": list(STRENGTHS)}, cv=3)
    return search.fit(train, y).score(test, y_test)


def linear_probe(
    estimator, X_test: ArrayLike, y_test: ArrayLike, X: ArrayLike, y: ArrayLike
) -> float:
    """What a logistic regression reads from the responses of the grid.

    Parameters
    ----------
    estimator : TopographicCNNClassifier or TopographicEncoder
        Fitted.
    X_test, y_test : array-like
        What is read, and the labels that it is to be.
    X, y : array-like
        Images and labels that the regression is trained on.

    Returns
    -------
    float
        Accuracy on the test images.
    """
    responses = estimator.transform(X), estimator.transform(X_test)
    return read_labels(responses[0], y, responses[1], y_test)


def objectives(
    objective: str,
    data: tuple[NDArray, NDArray, NDArray, NDArray],
    *,
    epochs: int = 12,
    **settings,
) -> TopographicStudy:
    """Make the study of one objective: control and WS, and what a probe reads.

    The paper names objectives without labels as its next step; Sander & Hasson (PMLR
    308:108-115, 2026) trained with two of them. The studies of all three have the same
    deep network, lams 0.3, 1 and 3 of WS, and three seeds; "untrained" is that network
    with the weights that it begins with. Without labels there is one condition more,
    "longer": the control with twice the epochs.

    Parameters
    ----------
    objective : {"cross_entropy", "supcon", "simclr"}
        What the network is taught by: labels; views and labels; views alone.
    data : tuple of ndarray
        Training images, their labels, test images and theirs, as `load_comparison`
        gives them: the probe is trained on the first and read on the others.
    epochs : int, default=12
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
        On an unknown objective.

    Examples
    --------
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.replication import objectives
    >>> train = load_digits_images("train", return_X_y=True)
    >>> test = load_digits_images("test", return_X_y=True)
    >>> len(objectives("simclr", (*train, *test)).cells())
    18
    """
    check_name("objective", objective, OBJECTIVES)
    estimator = clone(OBJECTIVES[objective])
    estimator.set_params(max_epochs=epochs, **SETTINGS)
    conditions = {"untrained": UNTRAINED}
    if objective == "simclr":
        conditions["longer"] = {"topo_loss": None, "max_epochs": 2 * epochs}
    X, y, *_ = data
    return TopographicStudy(
        estimator,
        topo_losses=("ws",),
        **{
            "lams": LAMS,
            "n_seeds": 3,
            "include": INCLUDE,
            "conditions": conditions,
            "measures": {"linear_probe": partial(linear_probe, X=X, y=y)},
            **settings,
        },
    )
