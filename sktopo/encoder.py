"""Topographic encoders: networks that learn which images are alike, without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import ShuffleSplit

from sktopo import _estimator
from sktopo._images import validate_images
from sktopo._labels import as_labels, check_targets
from sktopo._sklearn_private import Interval, one_of
from sktopo._training import import_supcon_loss
from sktopo.augment import VIEWS

# Every objective, and whether views of all images of one label are alike in it.
OBJECTIVES = {"simclr": False, "supcon": True}


class TopographicEncoder(_estimator.TopographicEstimator):
    """CNN encoder whose units stand on a grid, neighbours alike, without labels.

    Two views of each image, changed by chance, are shown to the network, which learns
    to tell which two belong together: ``contrastive_loss + lam * topo_loss``. The grid
    stands between the backbone and the projection that the contrastive loss compares.
    `transform` gives the pre-ReLU responses of the grid, which any scikit-learn model
    can read.

    Parameters
    ----------
    objective : {"simclr", "supcon"}, default="simclr"
        Which views are alike: "simclr", the two of one image, whatever `y` is;
        "supcon", those of all images of one label, so that `fit` needs `y`.
    topo_loss : str, callable or None, default="ws"
        The spatial loss, a name in `sktopo.losses.LOSSES`: "ws" (weight similarity),
        "as" (activation similarity), "laplacian", "spatial_correlation",
        "inverse_distance", or "as_untransposed". None trains a control. A loss class,
        or any factory as `TopographicCNNClassifier` describes it. A loss of activations
        sees the responses to both views of a batch's images, one batch of twice as many
        images, those of an image not side by side: first views, then second ones.
    lam : float, default=1.0
        Weight of the spatial loss, at least 0. With 0 it is not computed.
    lam_mode : {"fixed", "calibrated", "matched"}, default="fixed"
        "fixed": `lam` is the weight. Else it is the norm of the spatial loss's gradient
        as a share of the contrastive loss's, at the weights of the topographic layer
        (of several the first that `topo_layers` names): "calibrated" measures both over
        the first 10 steps and then holds the weight; "matched" tracks it all along by a
        moving average, which can collapse the sheet.
    temperature : float, default=0.1
        What cosines of projections are divided by, positive: the smaller, the more the
        nearest wrong views count.
    projection_dim : int, default=128
        Number of values of a projection.
    augment : "default" or callable, default="default"
        Makes a view of each image of a batch, drawn anew for each view from
        `random_state`: "default" crops, mirrors and recolours
        (`sktopo.augment.RandomViews`, which has settings). A callable is given each
        batch, a float32 tensor (n, C, H, W), and of the keyword arguments `generator`
        (a torch.Generator on the CPU) and `value_range` those that it names; it gives a
        tensor of that shape. It is called once for each of the two views.
    topo_layers : str, sequence of str, or dict, default=None
        Layers that get the spatial loss: names as in ``module_.named_modules()``, or a
        dict of names and relative weights. None: the grid alone. Units of a convolution
        are its channels; units of other layers than the grid stand on the sheet of
        `sktopo.grid.sheet_shape`.
    loss_params : dict, default=None
        Further settings of the spatial loss, the same for all layers.
    distance : str, default=None
        What "ws" and "as" compare by, a name in `sktopo.losses.DISTANCES`. None:
        the loss's own default.
    grid_shape : tuple of (int, int), default=(11, 11)
        Rows and columns of the grid.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        8 or 4 neighbours.
    wrap : bool, default=False
        Whether the grid is a torus. Measures follow it.
    backbone : str or callable, default="auto"
        What comes before the grid layer: a name in `sktopo.networks.BACKBONES`, or
        "auto", which is "lenet" for images of under 64 pixels in height and width, else
        "deep". A callable is given the image shape (C, H, W) and returns an nn.Module
        that maps images (n, C, H, W) to features (n, d); each fit trains a deep copy of
        it.
    dropout : float, default=0.1
        Share of rectified grid responses zeroed in training before the projection, in
        [0, 1): each view has draws of its own.
    image_shape : tuple of int, default=None
        (C, H, W) or (H, W) of the images. None: read off X, as in
        `TopographicCNNClassifier`.
    standardize : bool, default=True
        Whether the fitted model standardises images by the per-channel mean and
        standard deviation of its training images.
    max_epochs : int or "auto", default="auto"
        Passes over the training images, of each call of `fit`. "auto": ten, and more
        where they are needed for 2,000 steps, up to 100.
    batch_size : int, default=64
        Images a step, at least 2; the network sees two views of each. A view is told
        apart from those of all other images of its batch, so that larger batches make
        it harder. A last batch of one is merged into the batch before it.
    lr : float, default=1e-3
        Learning rate.
    optimizer : {"adam", "adamw", "sgd"} or class, default="adam"
        The optimizer; "sgd" has a momentum of 0.9. Also a subclass of
        `torch.optim.Optimizer` but LBFGS, or a `functools.partial` of one, without
        `lr` and `weight_decay`.
    weight_decay : float, default=0.0
        The optimizer's weight decay.
    early_stopping : bool, default=False
        Whether to hold out a part of the training images, stop when their contrastive
        loss no longer falls, and restore the best epoch (of equals the first). Their
        views are the same in each epoch.
    validation_fraction : float, default=0.1
        Share of images held out by early stopping, in (0, 1).
    n_iter_no_change : int, default=5
        Epochs without a fall before early stopping ends the training.
    tol : float, default=1e-4
        Fall of the contrastive loss that counts for early stopping.
    callbacks : list of skorch callbacks, default=None
        They see the training of the private net `net_` as `skorch.callbacks` describes,
        and may stop it. Its history holds train_loss, task_loss and topo_loss, and with
        early stopping valid_loss. They are used as they are, not copied.
    device : str, default="cpu"
        Where to train and transform; "auto" picks an accelerator where there is one.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Precision of the backbone in training; "auto" is bfloat16 where the processor
        multiplies it natively. All else, and everything after training, is float32.
    warm_start : bool, default=False
        Whether `fit` goes on training the model that is there for `max_epochs` more,
        with its optimizer state, standardisation and pixel range as they are. Grid
        shape, backbone, image shape, standardize, projection_dim and optimizer cannot
        change then; objective and temperature can.
    random_state : int, RandomState instance or None, default=None
        Decides initialisation, shuffling, dropout, views, the held-out images and what
        losses draw. None draws fresh entropy. Global random states are neither used nor
        changed.
    verbose : int, default=0
        1 shows a progress bar with the losses.

    Attributes
    ----------
    n_features_in_ : int
        Values an image: C * H * W.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, if X was a DataFrame with string names.
    image_shape_ : tuple of (int, int, int)
        Channels, height and width.
    pixel_range_ : tuple of (float, float)
        Smallest and largest value of the training images.
    grid_ : sktopo.grid.Grid
        The grid: shape, neighbours, distances.
    grid_weights_ : ndarray of shape (n_units, fan_in)
        Incoming weights of the grid layer (a copy).
    net_ : skorch.NeuralNet
        The net that trained the model.
    module_ : nn.Module
        Raw images (n, C, H, W) to projections (n, projection_dim), standardisation
        inside.
    n_iter_ : int
        Epochs trained, in all calls since the model was made.
    history_ : DataFrame
        One row an epoch: epoch, loss, task_loss (the contrastive loss), topo_loss
        (before it is weighted; nan where it is not computed), with several layers
        ``topo_loss_<layer>`` of each, lam (the weight that it had), valid_loss (the
        contrastive loss of held-out images, with early stopping), duration in seconds,
        and every number that callbacks recorded.
    best_epoch_ : int
        With early stopping, the epoch that was restored, as in `history_`.

    See Also
    --------
    TopographicCNNClassifier : The same network, trained to classify.
    sktopo.augment.RandomViews : The views, with settings.

    Notes
    -----
    With projections :math:`z_i` of length one of the :math:`2n` views of a batch, and
    :math:`P(i)` the other views of the same image ("simclr") or label ("supcon"), the
    contrastive loss is

    .. math::

       \\frac{1}{2n} \\sum_i \\frac{-1}{|P(i)|} \\sum_{p \\in P(i)}
       \\log \\frac{\\exp(z_i \\cdot z_p / \\tau)}
                 {\\sum_{a \\ne i} \\exp(z_i \\cdot z_a / \\tau)},

    as pytorch-metric-learning computes it (extra ``contrastive``), and 0 for a batch
    with a single label. An image whose label comes once is alike to its own other view.

    Same random state and same number of torch threads: same bits, in any process or
    thread, unless an augmentation of your own draws from elsewhere than its
    `generator`. A fit that raises leaves the estimator unfitted; under `warm_start` it
    keeps the model as of its last finished epoch, as an interrupted fit does.

    References
    ----------
    Chen et al., "A simple framework for contrastive learning of visual
    representations", ICML 2020. Khosla et al., "Supervised contrastive learning",
    NeurIPS 2020. With a topographic loss: Sander & Hasson, PMLR 308:108-115 (2026).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktopo import TopographicEncoder
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> encoder = TopographicEncoder(max_epochs=2, random_state=0)
    >>> encoder.fit(X[:600]).activation_maps(X[:2]).shape
    (2, 11, 11)
    >>> probe = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    >>> probe.fit(X[:600], y[:600]).score(X[600:1000], y[600:1000]) > 0.7
    True
    """

    _parameter_constraints = {
        **_estimator.CONSTRAINTS,
        "objective": [one_of(OBJECTIVES)],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "projection_dim": [Interval(Integral, 1, None, closed="left")],
        "augment": [one_of(VIEWS), callable],
    }

    def __init__(
        self,
        objective: str = "simclr",
        topo_loss: str | Callable | None = "ws",
        lam: float = 1.0,
        *,
        lam_mode: str = "fixed",
        temperature: float = 0.1,
        projection_dim: int = 128,
        augment: str | Callable = "default",
        topo_layers: str | Sequence[str] | Mapping[str, float] | None = None,
        loss_params: Mapping | None = None,
        distance: str | None = None,
        grid_shape: tuple[int, int] = (11, 11),
        neighborhood: str = "moore",
        wrap: bool = False,
        backbone: str | Callable = "auto",
        dropout: float = 0.1,
        image_shape: tuple[int, ...] | None = None,
        standardize: bool = True,
        max_epochs: int | str = "auto",
        batch_size: int = 64,
        lr: float = 1e-3,
        optimizer: str | type = "adam",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        callbacks: list | None = None,
        device: str = "cpu",
        precision: str = "float32",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.objective = objective
        self.topo_loss = topo_loss
        self.lam = lam
        self.lam_mode = lam_mode
        self.temperature = temperature
        self.projection_dim = projection_dim
        self.augment = augment
        self.topo_layers = topo_layers
        self.loss_params = loss_params
        self.distance = distance
        self.grid_shape = grid_shape
        self.neighborhood = neighborhood
        self.wrap = wrap
        self.backbone = backbone
        self.dropout = dropout
        self.image_shape = image_shape
        self.standardize = standardize
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> TopographicEncoder:
        """Train on images.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Two images or more, float or integer: NumPy array, memmap, torch tensor or
            DataFrame. It is never changed, and never copied whole.
        y : array-like of shape (n,), default=None
            Labels: for "supcon", at least two of them; "simclr" ignores them.

        Returns
        -------
        TopographicEncoder
            The fitted estimator.

        Raises
        ------
        ValueError
            On a bad parameter, bad images, a single image or batches of one, labels
            that are missing or all the same for "supcon", an augmentation that changes
            the shape, a loss that is no longer finite, a backbone that gives no
            features (n, d), or a callback that monitors what is not there.
        TypeError
            If X is sparse or a lazy frame, or if what a factory returns is no module
            or cannot be copied.
        ImportError
            Without pytorch-metric-learning, the extra ``contrastive``.

        Warns
        -----
        ConvergenceWarning
            If a spatial loss was met by cheating: units that all respond alike, weights
            that shrank, or neighbours that are alike where nothing comes in.
        """
        _estimator.fit(self, partial(_images_to_tell_apart, self, X, y))
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike | None = None
    ) -> TopographicEncoder:
        """Train for one epoch more.

        The first call sets image shape, standardisation and pixel range; later calls
        keep them.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,), default=None
            Labels, for "supcon"; any, in each call.

        Returns
        -------
        TopographicEncoder
            The estimator. If the call raises, it is as it was before.

        Raises
        ------
        ValueError
            As in `fit`; also with early stopping.
        """
        _estimator.partial_fit(self, partial(_images_to_tell_apart, self, X, y))
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = OBJECTIVES.get(self.objective, False)
        return tags


def _images_to_tell_apart(encoder, X, y, reset):
    """Check a training set; a model that begins (`reset`) learns what it looks like."""
    import_supcon_loss()  # or its error, before anything is done
    settings = {"reset": reset, "image_shape": encoder.image_shape}
    by_label = OBJECTIVES[encoder.objective]
    if by_label:
        y = None if y is None else as_labels(y, warn=True)
        X, y = validate_images(encoder, X, y, **settings)
    else:
        X = validate_images(encoder, X, **settings)
    if len(X) < 2:
        raise ValueError(
            f"{type(encoder).__name__} tells images apart, and needs two or more; got "
            f"n_samples={len(X)}."
        )
    targets = _label_indices(encoder, y) if by_label else np.arange(len(X))
    weights = np.ones(len(X))
    return _estimator.TrainingImages(X, targets, weights, weights, ShuffleSplit)


def _label_indices(encoder, y):
    """Which of its labels each image has; they are two or more."""
    check_targets(y)
    labels, indices = np.unique(y, return_inverse=True)
    if len(labels) < 2:
        raise ValueError(
            f"objective={encoder.objective!r} needs images of at least two labels, to "
            f"tell them apart; all {len(y)} have the label {labels.tolist()[0]!r}. Use "
            f'objective="simclr", which needs no labels.'
        )
    return indices
