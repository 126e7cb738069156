"""Scorers for `GridSearchCV` and its kin: robustness, localization and smoothness."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import MetadataRequest

from sktopo._evaluation import Evaluation, LabelledImages
from sktopo._numbers import as_number, check_name
from sktopo._subject import open_predictor
from sktopo.grid import NEIGHBORHOODS
from sktopo.metrics import (
    expert_localization,
    expert_units,
    functional_localization,
    morans_i,
)
from sktopo.noise import check_value_range
from sktopo.robustness import (
    check_image_noise,
    check_weight_noise,
    evaluate_image_noise,
    evaluate_weight_noise,
)


class _RoutesSampleWeight:
    """Lets metadata routing pass sample_weight to a scorer that asks for it."""

    _sample_weight_request = None

    def set_score_request(self, *, sample_weight: bool | None):
        """Ask (or not) for sample_weight under scikit-learn's metadata routing.

        Parameters
        ----------
        sample_weight : bool or None
            True: pass it if it is given. False: never. None: an error if it is given.

        Returns
        -------
        scorer
            Itself.
        """
        self._sample_weight_request = sample_weight
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Say which metadata the scorer asks for.

        Returns
        -------
        MetadataRequest
            The request.
        """
        request = MetadataRequest(owner=repr(self))
        request.score.add_request(
            param="sample_weight", alias=self._sample_weight_request
        )
        return request


class TopographicScorer(_RoutesSampleWeight):
    """A scorer of one property; made by the ``make_*_scorer`` functions.

    Parameters
    ----------
    name : str
        The name, as in `get_scorer_names`.
    score : callable
        Maps an `Evaluation` and the settings to a float; greater is better.
    layer : str, default=None
        Name of the layer that is looked at. None: the grid.
    any_classifier : bool, default=False
        Whether `score` needs predictions alone, so that it takes any fitted classifier
        of images.
    **settings : dict
        Keyword arguments of `score`.
    """

    def __init__(
        self,
        name: str,
        score: Callable,
        *,
        layer: str | None = None,
        any_classifier: bool = False,
        **settings,
    ):
        self.name = self.__name__ = name
        if name in SCORERS:
            self.__doc__ = _describe(name)  # for help()
        self.score = score
        self.layer = layer
        self.any_classifier = any_classifier
        self.settings = settings

    def __call__(
        self,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,), default=None
            Class labels. None: scores that need none are there all the same.
        sample_weight : array-like of shape (n,), default=None
            Weights of the images in accuracies.

        Returns
        -------
        float
            The score, greater is better.
        """
        if self.any_classifier:
            subject, images = open_predictor(estimator, X)
            return self.evaluate(LabelledImages(subject, images, y, sample_weight))
        evaluation = Evaluation.of(estimator, X, y, sample_weight, self.layer)
        return self.evaluate(evaluation)

    def evaluate(self, evaluation: Evaluation) -> float:
        """Score an evaluation that is shared with other scorers.

        Parameters
        ----------
        evaluation : Evaluation
            A fitted classifier with its responses to labelled images.

        Returns
        -------
        float
            The score, greater is better.
        """
        return float(self.score(evaluation, **self.settings))

    def __repr__(self):
        given = (
            self.settings
            if self.layer is None
            else {**self.settings, "layer": self.layer}
        )
        settings = ", ".join(f"{k}={v!r}" for k, v in given.items())
        return f"make_{self.name}_scorer({settings})"


def _describe(name):
    """What a scorer says of itself, by what makes it: its first line and its result."""
    make = SCORERS[name]
    doc = inspect.getdoc(make)
    found = doc.partition("TopographicScorer\n")[2].partition("\n\n")[0]
    called = (
        f"Called as ``scorer(estimator, X, y, sample_weight=None)``.\n"
        f"Its settings are those of `{make.__name__}`."
    )
    return "\n\n".join([doc.splitlines()[0], inspect.cleandoc(found), called])


class _Scores(dict):
    """Scores by name; a halving search, which looks for one score, is told so.

    scikit-learn reads them after the workers are done, in methods of the search.
    """

    def __iter__(self):
        frame = inspect.currentframe().f_back
        for _ in range(3):
            search = frame.f_locals.get("self")
            if hasattr(search, "aggressive_elimination"):
                raise ValueError(
                    f"{type(search).__name__} takes one score, to rank its candidates "
                    f"by; multi_scorer gives {[*self.keys()]}. Use one scorer, such as "
                    f"sktopo.scorers.get_scorer('smoothness'), or a search that takes "
                    f"several (GridSearchCV, RandomizedSearchCV)."
                )
            frame = frame.f_back or frame
        return super().__iter__()


class MultiScorer(_RoutesSampleWeight):
    """Several scorers that share one pass over the images; see `multi_scorer`.

    Parameters
    ----------
    scorers : list of TopographicScorer
        What to score beside a classifier's accuracy.
    """

    __name__ = "multi_scorer"

    def __init__(self, scorers: list[TopographicScorer]):
        self.scorers = scorers

    def __call__(
        self,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted TopographicCNNClassifier or TopographicEncoder, a FrozenNetwork, or
            a Pipeline or search that ends in one.
        X : array-like of shape (n, C, H, W), (n, H, W) or (n, features)
            Images.
        y : array-like of shape (n,), default=None
            Class labels. None: scores that need none are there all the same.
        sample_weight : array-like of shape (n,), default=None
            Weights of the images in accuracies.

        Returns
        -------
        dict
            Each scorer's name, with its score; of a classifier "accuracy" comes first.
        """
        layers = dict.fromkeys([None, *(scorer.layer for scorer in self.scorers)])
        for layer in layers:
            found = Evaluation.of(estimator, X, y, sample_weight, layer)
            found.keep()  # one pass for all scorers of the layer
            layers[layer] = found
        scores = _Scores()
        if len(layers[None].subject.classes):
            scores["accuracy"] = layers[None].accuracy
        for scorer in self.scorers:
            scores[scorer.name] = scorer.evaluate(layers[scorer.layer])
        return scores

    def __repr__(self):
        return f"multi_scorer({self.scorers!r})"


def _retained(curve):
    """Mean accuracy over the clean one; nan where that is 0."""
    clean = curve.attrs["clean_accuracy"]
    return curve["accuracy"].mean() / clean if clean > 0 else np.nan


# What a curve is scored by: the mean of a column, or what is left of the accuracy.
KINDS = {
    "accuracy": lambda curve: curve["accuracy"].mean(),
    "change": lambda curve: curve["accuracy_change"].mean(),
    "retained": _retained,
}


def _check_threshold(threshold, least):
    """The threshold as a float, or a ValueError."""
    number = as_number(threshold, "threshold")
    if number is None or not least <= number <= 1:
        raise ValueError(f"threshold must lie in [{least}, 1]; got {threshold!r}.")
    return number


def _weight_robustness(
    evaluation, *, sigmas, scale, layers, n_repeats, kind, random_state
):
    if evaluation.head is not None:
        evaluation.keep()  # for the scorers beside this one
    seed = check_random_state(random_state).randint(2**31)
    curve = evaluate_weight_noise(evaluation, sigmas, scale, layers, n_repeats, seed)
    return KINDS[kind](curve)


def _image_robustness(evaluation, *, kinds, levels, kind, value_range, random_state):
    seed = check_random_state(random_state).randint(2**31)
    curve = evaluate_image_noise(evaluation, kinds, levels, seed, value_range)
    return KINDS[kind](curve)


def _expert_localization(evaluation, *, threshold):
    evaluation.require_labels()
    experts = expert_units(evaluation.activations, evaluation.y, threshold)
    pooled = expert_localization(experts, evaluation.subject.grid).pooled
    return 0.0 if np.isnan(pooled) else 1 - pooled


def _functional_localization(evaluation, *, threshold):
    grid = evaluation.subject.grid
    table = functional_localization(evaluation.activations, grid, [threshold])
    ratio = table["ratio"].item()
    return 0.0 if np.isnan(ratio) else 1 - ratio


def _smoothness(evaluation, *, neighborhood, standardize):
    grid = evaluation.subject.grid
    if grid.n_units < 2:
        return 0.0
    grid = replace(grid, neighborhood=neighborhood or grid.neighborhood)
    values = morans_i(evaluation.activations, standardize=standardize, grid_shape=grid)
    defined = values[~np.isnan(values)]
    return defined.mean() if len(defined) else 0.0


def make_weight_robustness_scorer(
    sigmas: Iterable[float] = (0.05, 0.1, 0.2, 0.5, 1.0),
    scale: str = "std",
    layers: str = "head",
    n_repeats: int = 10,
    *,
    kind: str = "accuracy",
    random_state: int | np.random.RandomState | None = 0,
    layer: str | None = None,
) -> TopographicScorer:
    """Scorer: mean accuracy under weight noise, over sigmas and repeats.

    Parameters
    ----------
    sigmas, scale, layers, n_repeats : object
        As for `sktopo.robustness.weight_noise_curve`.
    kind : {"accuracy", "change", "retained"}, default="accuracy"
        "change" scores perturbed minus clean accuracy instead, and "retained" perturbed
        over clean (nan if clean is 0). Beware: a classifier that always gives the same
        answer changes by 0 and retains all, the best scores there are. Never refit on
        either alone.
    random_state : int, RandomState instance or None, default=0
        Seed of the noise; with an int the same for each candidate and fold.
    layer : str, default=None
        Name of the layer that "grid" stands for. None: the grid.

    Returns
    -------
    TopographicScorer
        Greater is better; an accuracy, from 0 to 1, unless `kind` is another.

    Examples
    --------
    >>> from sktopo.scorers import make_weight_robustness_scorer
    >>> make_weight_robustness_scorer(sigmas=(0.5,), n_repeats=3).name
    'weight_robustness'
    """
    check_name("kind", kind, KINDS)
    sigmas = check_weight_noise(sigmas, scale, layers, n_repeats)
    check_random_state(random_state)
    return TopographicScorer(
        "weight_robustness",
        _weight_robustness,
        layer=layer,
        sigmas=sigmas,
        scale=scale,
        layers=layers,
        n_repeats=n_repeats,
        kind=kind,
        random_state=random_state,
    )


def make_image_robustness_scorer(
    kinds: Iterable[str] = ("white", "pink", "salt_and_pepper"),
    levels: Iterable[float] = (0.01, 0.05, 0.1, 0.15, 0.2),
    *,
    kind: str = "accuracy",
    value_range: tuple[float, float] | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> TopographicScorer:
    """Scorer: mean accuracy on noisy images, over kinds and levels.

    Parameters
    ----------
    kinds, levels : iterable
        As for `sktopo.robustness.image_noise_curve`.
    kind : {"accuracy", "change", "retained"}, default="accuracy"
        "change" scores noisy minus clean accuracy instead, and "retained" noisy over
        clean (nan if clean is 0). Beware: a classifier that always gives the same
        answer changes by 0 and retains all, the best scores there are. Never refit on
        either alone.
    value_range : tuple of (float, float), default=None
        Smallest and largest value that an image can take; None: the range of each
        classifier's training images. Classifiers of other packages need it here.
    random_state : int, RandomState instance or None, default=0
        Seed of the noise; with an int the same for each candidate and fold.

    Returns
    -------
    TopographicScorer
        Greater is better; an accuracy, from 0 to 1, unless `kind` is another.

    Examples
    --------
    >>> from sktopo.scorers import make_image_robustness_scorer
    >>> make_image_robustness_scorer(kinds=["pink"]).name
    'image_robustness'
    """
    check_name("kind", kind, KINDS)
    kinds, levels = check_image_noise(kinds, levels)
    if value_range is not None:
        value_range = check_value_range(value_range)
    check_random_state(random_state)
    return TopographicScorer(
        "image_robustness",
        _image_robustness,
        any_classifier=True,
        kinds=kinds,
        levels=levels,
        kind=kind,
        value_range=value_range,
        random_state=random_state,
    )


def make_expert_localization_scorer(
    threshold: float = 0.5, *, layer: str | None = None
) -> TopographicScorer:
    """Scorer: 1 minus the pooled expert distance relative to chance.

    Parameters
    ----------
    threshold : float, default=0.5
        Least average precision of an expert unit.
    layer : str, default=None
        Name of the layer that is looked at. None: the grid.

    Returns
    -------
    TopographicScorer
        0 at chance, towards 1 when experts of a class cluster, and 0 where no class has
        two experts.

    See Also
    --------
    sktopo.metrics.expert_localization : The measure.

    Examples
    --------
    >>> from sktopo.scorers import make_expert_localization_scorer
    >>> make_expert_localization_scorer(threshold=0.8).name
    'expert_localization'
    """
    threshold = _check_threshold(threshold, 0)
    return TopographicScorer(
        "expert_localization",
        _expert_localization,
        layer=layer,
        threshold=threshold,
    )


def make_functional_localization_scorer(
    threshold: float = 0.5, *, layer: str | None = None
) -> TopographicScorer:
    """Scorer: 1 minus the relative grid distance of correlated units.

    Parameters
    ----------
    threshold : float, default=0.5
        Pairs with Pearson's r of at least this count.
    layer : str, default=None
        Name of the layer that is looked at. None: the grid.

    Returns
    -------
    TopographicScorer
        0 at chance, towards 1 when correlated units are near each other, and 0 where no
        pair is correlated that much.

    See Also
    --------
    sktopo.metrics.functional_localization : The measure.

    Examples
    --------
    >>> from sktopo.scorers import make_functional_localization_scorer
    >>> make_functional_localization_scorer(threshold=0.8).name
    'functional_localization'
    """
    threshold = _check_threshold(threshold, -1)
    return TopographicScorer(
        "functional_localization",
        _functional_localization,
        layer=layer,
        threshold=threshold,
    )


def make_smoothness_scorer(
    neighborhood: str | None = None,
    standardize: bool = False,
    *,
    layer: str | None = None,
) -> TopographicScorer:
    """Scorer: mean Moran's I of the activation maps.

    Parameters
    ----------
    neighborhood : {"moore", "von_neumann"}, default=None
        None: the classifier's own.
    standardize : bool, default=False
        Whether to z-score each unit over images first.
    layer : str, default=None
        Name of the layer that is looked at. None: the grid.

    Returns
    -------
    TopographicScorer
        Towards 1 for smooth maps, about 0 without structure, and 0 where no map varies.

    See Also
    --------
    sktopo.metrics.morans_i : The measure.

    Examples
    --------
    >>> from sktopo.scorers import make_smoothness_scorer
    >>> make_smoothness_scorer(standardize=True).name
    'smoothness'
    """
    if neighborhood is not None:
        check_name("neighborhood", neighborhood, NEIGHBORHOODS)
    if not isinstance(standardize, (bool, np.bool_)):
        raise ValueError(f"standardize must be True or False; got {standardize!r}.")
    return TopographicScorer(
        "smoothness",
        _smoothness,
        layer=layer,
        neighborhood=neighborhood,
        standardize=standardize,
    )


# What makes each scorer, by its name.
SCORERS = {
    "expert_localization": make_expert_localization_scorer,
    "functional_localization": make_functional_localization_scorer,
    "image_robustness": make_image_robustness_scorer,
    "smoothness": make_smoothness_scorer,
    "weight_robustness": make_weight_robustness_scorer,
}
__all__ = ["SCORERS", "get_scorer", "get_scorer_names", "multi_scorer"]
__all__ += [make.__name__ for make in SCORERS.values()]
__all__ += [f"{name}_scorer" for name in SCORERS]


def __getattr__(name):
    """A scorer with its default settings, as `smoothness_scorer`."""
    known, _, rest = name.rpartition("_")
    if rest == "scorer" and known in SCORERS:
        return SCORERS[known]()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_scorer_names() -> list[str]:
    """Names of the scorers of this package.

    Returns
    -------
    list of str
        Names that `get_scorer` and `multi_scorer` take.

    Examples
    --------
    >>> from sktopo.scorers import get_scorer_names
    >>> get_scorer_names()[0]
    'expert_localization'
    """
    return sorted(SCORERS)


def get_scorer(name: str) -> TopographicScorer:
    """Scorer of that name, with its default settings.

    Parameters
    ----------
    name : str
        One of `get_scorer_names()`.

    Returns
    -------
    TopographicScorer
        A new scorer.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from sktopo.scorers import get_scorer
    >>> get_scorer("smoothness")
    make_smoothness_scorer(neighborhood=None, standardize=False)
    """
    if not isinstance(name, str) or name not in SCORERS:
        raise ValueError(
            f"{name!r} is no scorer of sktopo; its scorers are {get_scorer_names()}. "
            f"scikit-learn's own are in sklearn.metrics.get_scorer_names()."
        )
    return SCORERS[name]()


def multi_scorer(scorers: Iterable[str | TopographicScorer]) -> MultiScorer:
    """Several scorers, and of a classifier accuracy, in one pass over the images.

    Parameters
    ----------
    scorers : iterable of str or TopographicScorer
        Names from `get_scorer_names`, or scorers made by a ``make_*_scorer``.
        "accuracy" is scored of each classifier and may be named too.

    Returns
    -------
    MultiScorer
        Gives `GridSearchCV` a dict of scores; name one of them as its `refit`. Halving
        searches take one score and end in an error; give them a single scorer.

    Raises
    ------
    ValueError
        On an unknown name, or one that comes twice.
    TypeError
        On anything else, or a single string.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.scorers import multi_scorer
    >>> search = GridSearchCV(
    ...     TopographicCNNClassifier(random_state=0),
    ...     {"lam": [0, 0.3, 1, 3]},
    ...     scoring=multi_scorer(["weight_robustness", "smoothness"]),
    ...     refit="accuracy",
    ... )
    """
    if isinstance(scorers, str) or not isinstance(scorers, Iterable):
        raise TypeError(f"multi_scorer wants a list of names; use [{scorers!r}].")
    chosen = []
    for scorer in scorers:
        if isinstance(scorer, str):
            if scorer == "accuracy":
                continue
            scorer = get_scorer(scorer)
        if not isinstance(scorer, TopographicScorer):
            raise TypeError(
                f"multi_scorer takes names from get_scorer_names() and scorers made by "
                f"a make_*_scorer; got {scorer!r}."
            )
        chosen.append(scorer)
    names = [scorer.name for scorer in chosen]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Each scorer can come once; twice or more: {twice}.")
    return MultiScorer(chosen)
