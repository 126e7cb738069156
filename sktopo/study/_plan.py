"""What a study is to run, without any data: conditions, cells and their estimators."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from numbers import Integral
from urllib.parse import quote

import numpy as np
import torch
from sklearn.base import clone

from sktopo._estimator import TopographicEstimator
from sktopo._files import describe
from sktopo._measures.registry import GROUPS, check_include
from sktopo._numbers import as_number, elements
from sktopo._sklearn_private import validate_params
from sktopo.classifier import TopographicCNNClassifier
from sktopo.frozen import FrozenNetwork

CONTROL = "control"
# What the column "layer" says of the grid, and of a subject's own layer.
GRID = "grid"
# Study seeds start here, apart from those of trials beforehand.
FIRST_SEED = 100
# Names become names of folders and files, whose length is bounded.
LONGEST_NAME = 60
# Parameters that change nothing about a trained model.
_FREE = ("lam", "random_state", "verbose", "warm_start")
_FREE_OF_SUBJECTS = ("module", "batch_size", "device")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model of a study: a condition, a weight of the spatial loss, a seed."""

    condition: str
    lam: float
    seed: int

    @property
    def folder(self):
        name = quote(self.condition, safe="")
        return f"{name}__lam_{self.lam:.15g}__seed_{self.seed}"

    @property
    def control(self):
        """The control of its seed."""
        return Cell(CONTROL, 0.0, self.seed)

    def __str__(self):
        return f"{self.condition}, lam {self.lam:g}, seed {self.seed}"


class Plan:
    """The cells of a study and what each is trained and measured with.

    Parameters
    ----------
    estimator, topo_losses, lams, n_seeds, first_seed, include, random_state, \
            conditions, measures, layers, subjects
        As those of `TopographicStudy`, here checked.

    Attributes
    ----------
    base : TopographicCNNClassifier or TopographicEncoder
        What all conditions have in common.
    conditions : dict
        Parameters by name of the condition.
    lams : list of float
        Each once, to 12 digits.
    seeds : range
        Seeds of each condition and lam.
    groups : list of str
        Groups of measures in the order of the results, those of the user's own last.
    measures : dict
        The user's own measures by name.
    random_state : int
        Of the study.
    layers : list of str or None
        Layers that are measured beside the grid. None: results have no such column.
    subjects : dict
        Fitted models that are only measured, by name.
    """

    def __init__(
        self,
        estimator,
        topo_losses,
        lams,
        n_seeds,
        first_seed,
        include,
        random_state,
        conditions,
        measures,
        layers=None,
        subjects=None,
    ):
        if not isinstance(estimator, TopographicEstimator | None):
            raise TypeError(
                f"estimator must be a TopographicCNNClassifier, a TopographicEncoder "
                f"or None; got {type(estimator).__name__}."
            )
        check_integer("n_seeds", n_seeds, 1)
        check_integer("first_seed", first_seed, 0)
        check_integer("random_state", random_state, 0)
        self.random_state = int(random_state)
        self.seeds = range(int(first_seed), int(first_seed) + int(n_seeds))
        self.lams = _check_lams(lams)
        self.base = TopographicCNNClassifier()
        if estimator is not None:
            self.base = clone(estimator)
        self.conditions = _add_own(_of_losses(topo_losses), conditions)
        for name, settings in self.conditions.items():
            try:
                validate_params(clone(self.base).set_params(**settings))
            except (ValueError, TypeError) as error:
                raise type(error)(f"Condition {name!r}: {error}") from error
        groups = check_include(include)
        self.measures = _check_measures(measures)
        self.groups = [*groups, *self.measures]
        if not self.groups:
            raise ValueError("include and measures are empty: nothing to measure.")
        self.layers = None if layers is None else _check_layers(layers)
        self.subjects = _check_subjects(subjects, self.conditions)

    @property
    def cells(self):
        """Every model, in the order of the results; subjects have the first seed."""
        lams = {name: self.lams_of(name) for name in self.conditions}
        return cells_of(lams, self.seeds, self.subjects)

    def parts(self, cell):
        """Layer and group of each table of a cell; see `parts_of`."""
        return parts_of(cell, self)

    def lams_of(self, condition):
        """Where a condition is run."""
        settings = self.conditions[condition]
        params = {**self.base.get_params(deep=False), **settings}
        if params["topo_loss"] is None:
            return [0.0]
        return [settings["lam"]] if "lam" in settings else self.lams

    def estimator(self, cell):
        """What a cell trains, not fitted yet."""
        if cell.condition in self.subjects:
            return self.subjects[cell.condition]
        settings = {**self.conditions[cell.condition], "lam": cell.lam, "verbose": 0}
        seed = self.random_state_of(cell)
        # cloned again, so that no cell changes what the settings hold
        return clone(clone(self.base).set_params(**settings, random_state=seed))

    def random_state_of(self, cell):
        """The random state of a cell's training and of its measures."""
        sequence = np.random.SeedSequence([self.random_state, cell.seed])
        return int(sequence.generate_state(1)[0])

    def settings(self, cell):
        """All parameters of what a cell trains."""
        return self.estimator(cell).get_params(deep=False)

    def find(self, condition, lam, seed):
        """The one cell of a condition, lam (None: any) and seed, or a ValueError."""
        lam = None if lam is None else rounded(lam)
        there = [cell for cell in self.cells if cell.condition == condition]
        found = [c for c in there if c.seed == seed and lam in (None, c.lam)]
        if len(found) != 1:
            raise ValueError(
                f"No single model has condition={condition!r}, lam={lam}, seed={seed}; "
                f"see cells()."
            )
        return found[0]

    def describe(self):
        """The whole of it as JSON can hold it, by which a store is known again."""
        return {
            "random_state": self.random_state,
            "estimator": describe_estimator(self.base),
            "conditions": {
                name: describe_settings(settings)
                for name, settings in self.conditions.items()
            }
            | {name: describe_subject(model) for name, model in self.subjects.items()},
            "measures": {
                name: describe(function, name)
                for name, function in self.measures.items()
            },
        }


def cells_of(lams, seeds, subjects):
    """Every model, in the order of the results; subjects have the first seed.

    Parameters
    ----------
    lams : dict
        Where each condition is run.
    seeds : range
        The seeds.
    subjects : iterable of str
        Names of the networks that are only measured.

    Returns
    -------
    list of Cell
        The models.
    """
    trained = [
        Cell(name, lam, seed)
        for name, there in lams.items()
        for lam in there
        for seed in seeds
    ]
    return trained + [Cell(name, 0.0, seeds[0]) for name in subjects]


def parts_of(cell, study):
    """What a model's measures are made of.

    Parameters
    ----------
    cell : Cell
        The model.
    study : Plan or Kept
        Has `groups`, those of the user's own among them, `layers` that are measured
        beside the grid, and `subjects`, which are measured at their own layer only.

    Returns
    -------
    list of (str or None, str)
        Layer (None: the grid) and group. Other layers have no measures of the user's
        own, which are given no layer, nor what is the same at each of them.
    """
    groups = study.groups
    layers = () if cell.condition in study.subjects else study.layers or ()
    of_grid = [(None, group) for group in groups]
    by_layer = [group for group in groups if group in GROUPS and GROUPS[group].by_layer]
    return of_grid + [(layer, group) for layer in layers for group in by_layer]


# ------------------------------------------------------------------ what is given


def check_integer(name, value, least):
    """Raise a ValueError unless a parameter is an integer of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        why = ", so that the study can be repeated" if name == "random_state" else ""
        raise ValueError(
            f"{name} must be an integer of {least} or more{why}; got {value!r}."
        )


def rounded(lam):
    """A lam to 12 digits, so that 0.1 + 0.2 is 0.3: one number is one cell.

    None for what is no number.
    """
    number = as_number(lam, "lam")
    return None if number is None else float(f"{number:.12g}")


def _check_lams(given):
    lams = [rounded(lam) for lam in elements(given, "lams")]
    if not all(lam is not None and 0 <= lam < np.inf for lam in lams):
        raise ValueError(f"lams must be finite numbers of 0 or more; got {given!r}.")
    return list(dict.fromkeys(lams))


def _of_losses(losses):
    """The control, and a condition for each loss."""
    losses = [losses] if isinstance(losses, str) or callable(losses) else losses
    found = {CONTROL: {"topo_loss": None}}
    for loss in losses or ():
        if loss is None:  # the control is there already
            continue
        name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
        if not isinstance(name, str):
            raise ValueError(
                f"topo_losses holds {loss!r}, which has no name; name it in "
                f"conditions={{'my_loss': {{'topo_loss': ...}}}}."
            )
        if name in found and found[name]["topo_loss"] is not loss:
            raise ValueError(
                f"topo_losses holds two conditions named {name!r} ({CONTROL!r} is "
                f"always there). Give one of them a name of its own, in "
                f"conditions={{'my_loss': {{'topo_loss': ...}}}}."
            )
        found[name] = {"topo_loss": loss}
    return found


def _add_own(found, conditions):
    """The conditions found so far, and those of the user's own."""
    conditions = {} if conditions is None else conditions
    if not isinstance(conditions, Mapping):
        raise TypeError(
            f"conditions must map names to settings, such as "
            f"{{'no_dropout': {{'dropout': 0.0}}}}; got {conditions!r}."
        )
    for name, settings in conditions.items():
        if not isinstance(settings, Mapping):
            raise TypeError(
                f"The settings of condition {name!r} must be a dict of parameters "
                f"of the estimator; got {settings!r}."
            )
        if name in found or not _is_name(name):
            raise ValueError(
                f"conditions needs names of their own, not {name!r}; taken are "
                f"{sorted(found)}. A name is text of one line and up to "
                f"{LONGEST_NAME} letters."
            )
        if "random_state" in settings:
            raise ValueError(
                f"Condition {name!r} sets random_state, which the study's seeds do."
            )
        lam = rounded(settings.get("lam"))
        found[name] = {**settings} if lam is None else {**settings, "lam": lam}
    return found


def _check_measures(measures):
    own = {} if measures is None else measures
    if not isinstance(own, Mapping):
        raise TypeError(f"measures must map names to callables; got {own!r}.")
    if clash := [
        name
        for name in own
        if name in GROUPS or not _is_name(name) or not callable(own[name])
    ]:
        raise ValueError(
            f"measures must be callables under names of their own, not {clash}. A "
            f"name is text of one line and up to {LONGEST_NAME} letters."
        )
    return dict(own)


def _check_layers(layers):
    """Names of layers, each once and without the grid, which is always measured."""
    names = elements(layers, "layers")
    if odd := [name for name in names if not _is_name(name)]:
        raise ValueError(
            f"layers must be names of layers, as in estimator.module_.named_modules() "
            f"and of up to {LONGEST_NAME} letters; got {odd}."
        )
    return [name for name in dict.fromkeys(names) if name != GRID]


def _check_subjects(subjects, conditions):
    subjects = {} if subjects is None else subjects
    if not isinstance(subjects, Mapping):
        raise TypeError(
            f"subjects must map names to FrozenNetworks; got {type(subjects).__name__}."
        )
    for name, model in subjects.items():
        if name in conditions or not _is_name(name):
            raise ValueError(
                f"subjects needs names of their own, not {name!r}; taken are "
                f"{sorted(conditions)}. A name is text of one line and up to "
                f"{LONGEST_NAME} letters."
            )
        if not isinstance(model, FrozenNetwork):
            raise TypeError(
                f"The subject {name!r} must be a FrozenNetwork; got "
                f"{type(model).__name__}. Wrap a torch network: FrozenNetwork(module, "
                f"layer, image_shape=(C, H, W))."
            )
    return dict(subjects)


def _is_name(name):
    """Whether a name can stand in a table, and be the name of a file."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return False
    return name.isprintable() and len(quote(name, safe="")) <= 200


# ------------------------------------------------------------------ as JSON


def describe_settings(settings):
    """Parameters of an estimator, whole, as JSON can hold them."""
    described = {name: describe(value, name) for name, value in settings.items()}
    if "callbacks" in described:
        described["callbacks"] = described["callbacks"] or []
    return described


def describe_estimator(estimator):
    """Its class, and all parameters that make a trained model what it is."""
    params = estimator.get_params(deep=False)
    fixed = {name: value for name, value in params.items() if name not in _FREE}
    return {**describe_settings(fixed), "class": describe(type(estimator), "class")}


def describe_subject(model):
    """Its sheet, and all by which a network that was trained elsewhere is known again.

    Weights and buffers are told by a hash, and so is what the network is made of.
    """
    params = model.get_params(deep=False)
    fixed = {k: v for k, v in params.items() if k not in _FREE_OF_SUBJECTS}
    state = hashlib.sha256(repr(model.module).encode())
    for name, tensor in model.module.state_dict().items():
        values = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(values.numpy())
    return {
        "grid_shape": {"tuple": list(model.grid_.shape)},
        "subject": {
            **describe_settings(fixed),
            "module": describe(type(model.module), "module"),
            "state": state.hexdigest(),
        },
    }
