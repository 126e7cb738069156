"""The topographic CNN classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_class_weight, compute_sample_weight

from sktopo import _estimator
from sktopo._forward import best_class
from sktopo._images import as_array_like, validate_images, validate_weights
from sktopo._labels import as_labels, check_label_types, check_targets
from sktopo._sklearn_private import StrOptions, check_partial_fit_first_call
from sktopo.networks import Head


class TopographicCNNClassifier(ClassifierMixin, _estimator.TopographicEstimator):
    """CNN classifier whose penultimate units stand on a grid, neighbours alike.

    The network is trained with ``cross_entropy + lam * topo_loss``, where the spatial
    loss asks that neighbouring units of the grid layer, or of other layers too, be
    alike in their incoming weights or in their responses. `transform` gives the
    pre-ReLU responses of the grid.

    Parameters
    ----------
    topo_loss : str, callable or None, default="ws"
        The spatial loss, a name in `sktopo.losses.LOSSES`: "ws" (weight similarity),
        "as" (activation similarity), "laplacian", "spatial_correlation",
        "inverse_distance", or "as_untransposed", the layout that the published helper
        gives to activations. None trains a control. A loss class, or any factory called
        as ``factory(grid_shape, **settings)``, of `neighborhood`, `distance` and `wrap`
        with those that differ from their defaults here, and of `loss_params`, gives an
        nn.Module whose `source` is "weights" or "activations", of which each fit uses a
        deep copy.
    lam : float, default=1.0
        Weight of the spatial loss, at least 0. With 0 it is not computed.
    lam_mode : {"fixed", "calibrated", "matched"}, default="fixed"
        "fixed": `lam` is the weight. Else it is the norm of the spatial loss's gradient
        as a share of the task's, at the weights of the topographic layer (of several
        the first that `topo_layers` names), so that one `lam` means the same for every
        loss: "calibrated" measures both over the first 10 steps and then holds the
        weight; "matched" tracks it all along by a moving average (ConTopo's), which
        makes a loss the stronger the better it is met, and can so collapse the sheet.
    topo_layers : str, sequence of str, or dict, default=None
        Layers that get the spatial loss: names as in ``module_.named_modules()``, such
        as ``("grid", "backbone.layer4.1.conv2")``, or a dict of names and relative
        weights. None: the grid alone. Units of a convolution are its channels (their
        responses at all positions are further images); units of other layers than the
        grid stand on the sheet of `sktopo.grid.sheet_shape`.
    loss_params : dict, default=None
        Further settings of the loss, such as ``{"factor": (2, 2)}`` for "laplacian",
        the same for all layers.
    distance : str, default=None
        What "ws" and "as" compare by, a name in `sktopo.losses.DISTANCES`. None:
        the loss's own default, Euclidean for WS and correlation for AS. Other losses
        have none.
    grid_shape : tuple of (int, int), default=(11, 11)
        Rows and columns of the grid.
    neighborhood : {"moore", "von_neumann"}, default="moore"
        8 or 4 neighbours.
    wrap : bool, default=False
        Whether the grid is a torus: its first and last rows, and columns, are
        neighbours; so for the sheets of other layers. Measures follow it.
    backbone : str or callable, default="auto"
        What comes before the grid layer: a name in `sktopo.networks.BACKBONES`, or
        "auto", which is "lenet" for images of under 64 pixels in height and width, else
        "deep". "lenet" keeps where things are; "small" and "deep" average over space
        and are the paper's networks for MNIST and CIFAR-10; "resnet18" is torchvision's
        network, untrained. A callable is given the image shape (C, H, W) and returns an
        nn.Module that maps images (n, C, H, W) to features (n, d), such as one that is
        trained already; each fit trains a deep copy of it. Define the callable at
        module level if the model is to be pickled.
    dropout : float, default=0.5
        Share of rectified grid responses zeroed in training, in [0, 1).
    image_shape : tuple of int, default=None
        (C, H, W) or (H, W) of the images. None: read off X; rows of s*s values are
        square images of one channel, of 3*s*s values square images of three, and any
        other number of columns is a strip of one row, with a warning.
    standardize : bool, default=True
        Whether the fitted model standardises images by the per-channel mean and
        standard deviation of its training images.
    augment : "default", callable or None, default=None
        Changes of training images, drawn anew in each step from `random_state`:
        "default" shifts and mirrors them, and changes brightness and contrast
        (`sktopo.augment.default_augmentation`). A callable, such as
        ``sktopo.augment.WhiteNoise(0.1)``, is given each batch, a float32 tensor
        (n, C, H, W), and of the keyword arguments `generator` (a torch.Generator on the
        CPU) and `value_range` those that it names; it gives a tensor of that shape.
    max_epochs : int or "auto", default="auto"
        Passes over the training images, of each call of `fit`. "auto": ten, and more
        where they are needed for 2,000 steps, up to 100. It depends on the number of
        images and on `batch_size` alone, so that candidates that are trained on the
        same images take the same number of steps.
    batch_size : int, default=64
        Images a step. A last batch of one is merged into the batch before it.
    lr : float, default=3e-4
        Learning rate. The paper's networks are trained with 1e-3.
    optimizer : {"adam", "adamw", "sgd"} or class, default="adam"
        The optimizer; "sgd" has a momentum of 0.9. Also a subclass of
        `torch.optim.Optimizer` but LBFGS, or a `functools.partial` of one, without
        `lr` and `weight_decay`.
    weight_decay : float, default=0.0
        The optimizer's weight decay.
    early_stopping : bool, default=False
        Whether to hold out a stratified part of the training images, stop when its
        accuracy no longer rises, and restore the best epoch (of equals the first).
    validation_fraction : float, default=0.1
        Share of images held out by early stopping, in (0, 1).
    n_iter_no_change : int, default=5
        Epochs without a rise before early stopping ends the training.
    tol : float, default=1e-4
        Rise in accuracy that counts for early stopping.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into the sample weights.
    callbacks : list of skorch callbacks, default=None
        They see the training of the private net `net_` as `skorch.callbacks` describes,
        and may stop it; to scorers it is a classifier of the indices of `classes_`. Its
        history holds train_loss, task_loss and topo_loss, and with early stopping
        valid_loss and valid_accuracy. As in skorch they are used as they are, not
        copied: fits with the same objects share what these keep.
    device : str, default="cpu"
        Where to train and predict; "auto" picks an accelerator where there is one.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Precision of the backbone in training; "auto" is bfloat16 where the processor
        multiplies it natively. All else, and everything after training, is float32.
    warm_start : bool, default=False
        Whether `fit` goes on training the model that is there for `max_epochs` more,
        with its optimizer state, standardisation and pixel range as they are. Grid
        shape, backbone, image shape, standardize and optimizer cannot change then.
    random_state : int, RandomState instance or None, default=None
        Decides initialisation, shuffling, dropout, augmentation, the held-out images
        and what losses draw. None draws fresh entropy. Global random states are neither
        used nor changed.
    verbose : int, default=0
        1 shows a progress bar with the losses.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
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
    readout_weights_ : ndarray of shape (n_classes, n_units)
        Weights of the readout (a copy).
    net_ : skorch.NeuralNet
        The net that trained the model.
    module_ : nn.Module
        Raw images (n, C, H, W) to logits, standardisation inside.
    n_iter_ : int
        Epochs trained, in all calls since the model was made.
    history_ : DataFrame
        One row an epoch: epoch, loss, task_loss, topo_loss (before it is weighted; nan
        where it is not computed), with several layers ``topo_loss_<layer>`` of each,
        lam (the weight that it had), valid_loss and valid_accuracy (with early
        stopping), duration in seconds, and every number that callbacks recorded.
    best_epoch_ : int
        With early stopping, the epoch that was restored, as in `history_`.

    See Also
    --------
    sktopo.transformers.GridActivations : The grid's responses as a pipeline step.
    sktopo.scorers.multi_scorer : Accuracy, robustness and localization in one search.

    Notes
    -----
    The loss of a batch is ``mean(w * cross_entropy) + lam * topo_loss``, with w the
    product of sample weight and class weight, divided once by its mean over the
    training set.

    Same random state and same number of torch threads: same bits, in any process or
    thread. Dropout inside a callable backbone draws from torch's global generator and
    is outside that promise.

    A fit that raises leaves the estimator unfitted; under `warm_start` it keeps the
    model as of its last finished epoch. An interrupted fit raises KeyboardInterrupt and
    keeps the last finished epoch too, from which `partial_fit` or `warm_start` goes on.

    References
    ----------
    Truong & Hasson, "Beyond topography: Topographic regularization improves robustness
    and reshapes representations in convolutional neural networks", Neurocomputing
    (2026), doi 10.1016/j.neucom.2026.134496; arXiv 2508.00043.

    Examples
    --------
    >>> from sktopo.classifier import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> X, y = load_digits_images(return_X_y=True)
    >>> clf = TopographicCNNClassifier(max_epochs=10, random_state=0)
    >>> clf.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True
    >>> clf.activation_maps(X[:2]).shape
    (2, 11, 11)
    """

    _parameter_constraints = {
        **_estimator.CONSTRAINTS,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        topo_loss: str | Callable | None = "ws",
        lam: float = 1.0,
        *,
        lam_mode: str = "fixed",
        topo_layers: str | Sequence[str] | Mapping[str, float] | None = None,
        loss_params: Mapping | None = None,
        distance: str | None = None,
        grid_shape: tuple[int, int] = (11, 11),
        neighborhood: str = "moore",
        wrap: bool = False,
        backbone: str | Callable = "auto",
        dropout: float = 0.5,
        image_shape: tuple[int, ...] | None = None,
        standardize: bool = True,
        augment: str | Callable | None = None,
        max_epochs: int | str = "auto",
        batch_size: int = 64,
        lr: float = 3e-4,
        optimizer: str | type = "adam",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        class_weight: dict | str | None = None,
        callbacks: list | None = None,
        device: str = "cpu",
        precision: str = "float32",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.topo_loss = topo_loss
        self.lam = lam
        self.lam_mode = lam_mode
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
        self.augment = augment
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # ---------------------------------------------------------------- training

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> TopographicCNNClassifier:
        """Train on images and labels.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images, float or integer: NumPy array, memmap, torch tensor or DataFrame.
            It is never changed, and never copied whole.
        y : array-like of shape (n,)
            Class labels.
        sample_weight : array-like of shape (n,), default=None
            Weights of the images, at least 0.

        Returns
        -------
        TopographicCNNClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            On a bad parameter, bad images or labels, fewer than two classes with
            positive weight, a loss that is no longer finite, a backbone that gives no
            features (n, d), or a callback that monitors what is not there.
        TypeError
            If X is sparse or a lazy frame, or if what a factory returns is no module
            or cannot be copied.

        Warns
        -----
        ConvergenceWarning
            If the model knows one answer only, or if a spatial loss was met by
            cheating: units that all respond alike, weights that shrank, or neighbours
            that are alike where nothing comes in.
        """
        _estimator.fit(self, partial(_labelled_images, self, X, y, sample_weight))
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> TopographicCNNClassifier:
        """Train for one epoch more.

        The first call sets image shape, standardisation and pixel range; later calls
        keep them.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed on the first call.
        sample_weight : array-like of shape (n,), default=None
            Weights of the images, at least 0.

        Returns
        -------
        TopographicCNNClassifier
            The estimator. If the call raises, it is as it was before.

        Raises
        ------
        ValueError
            As in `fit`; also without `classes` on the first call, on labels outside
            them, with early stopping, and with class_weight="balanced".
        """
        given = (X, y, sample_weight, classes)
        _estimator.partial_fit(self, partial(_images_of_known_classes, self, *given))
        return self

    # -------------------------------------------------------- what was learned

    @property
    def readout_weights_(self) -> np.ndarray:  # numpydoc ignore=GL08
        return _estimator.layer_weights(self, "readout", "readout_weights_")

    # -------------------------------------------------------------- prediction

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Logits of images.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes, float32
            Logits. For two classes that of `classes_[1]` minus that of `classes_[0]`.
        """
        logits = self._run(X, Head.logits)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the class of images.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n,)
            Class labels.
        """
        best = self._run(X, best_class)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            Softmax of the logits, columns in the order of `classes_`.
        """
        return self._run(X, lambda *batch: softmax(Head.logits(*batch), axis=1))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            Log-softmax of the logits, columns in the order of `classes_`.
        """
        return self._run(X, lambda *batch: log_softmax(Head.logits(*batch), axis=1))


# --------------------------------------------------------------- labels of a training


def _labelled_images(classifier, X, y, sample_weight, reset, classes=None):
    """Check a training set; a model that begins (`reset`) learns what it looks like."""
    y = None if y is None else as_labels(y, warn=True)
    shape = classifier.image_shape
    X, y = validate_images(classifier, X, y, reset=reset, image_shape=shape)
    check_targets(y)
    weights = validate_weights(sample_weight, X)
    if classes is None and reset:
        classifier.classes_ = LabelEncoder().fit(y).classes_
    encoded = _encode(y, classifier.classes_)
    # relative weights: their scale is lost anyway, and must not overflow
    loss_weights = weights = weights / (weights.max() or 1)
    if classifier.class_weight is not None:
        class_weights = _class_weights(classifier, y, encoded)
        loss_weights = weights * (class_weights / (class_weights.max() or 1))
    weighted = classifier.classes_[np.unique(encoded[loss_weights > 0])]
    if len(classifier.classes_) < 2 or (classes is None and len(weighted) < 2):
        raise ValueError(
            f"{type(classifier).__name__} needs samples of at least two classes with "
            f"positive weight; got {len(weighted)} class(es): {weighted.tolist()}."
        )
    if not loss_weights.any():
        raise ValueError("All samples have weight zero: nothing to train on.")
    return _estimator.TrainingImages(X, encoded, loss_weights, weights)


def _encode(y, classes):
    """Indices of the labels among the classes."""
    check_label_types(y, classes)
    encoder = LabelEncoder()
    encoder.classes_ = classes
    try:
        return encoder.transform(y)
    except ValueError as error:
        raise ValueError(
            f"y holds labels that the model does not know ({error}). It knows "
            f"{classes.tolist()}; name all labels that will ever come as `classes` in "
            f"the first call of partial_fit."
        ) from error


def _class_weights(classifier, y, encoded):
    """The class weight of each sample."""
    given = classifier.class_weight
    if isinstance(given, dict):
        # over all classes, since a batch of partial_fit may lack some
        values = as_array_like(list(given.values()), "class_weight")
        given = dict(zip(given, values))
        classes = classifier.classes_
        weights = compute_class_weight(given, classes=classes, y=classes)[encoded]
    else:
        weights = compute_sample_weight(given, y)
    if not np.all(weights >= 0) or not np.all(np.isfinite(weights)):
        raise ValueError(
            f"class_weight must hold finite weights of at least 0; "
            f"got {classifier.class_weight!r}."
        )
    return weights


def _images_of_known_classes(classifier, X, y, sample_weight, classes, reset):
    """Check a part of a training set, for a model that was told its classes."""
    if classifier.class_weight == "balanced":
        raise ValueError(
            "partial_fit cannot use class_weight='balanced': it does not know how "
            "often each class is yet to come. Give a dict of class weights."
        )
    if classes is not None:
        classes = as_labels(classes)
    check_partial_fit_first_call(classifier, classes)
    known = classifier.classes_
    return _labelled_images(classifier, X, y, sample_weight, reset, known)
