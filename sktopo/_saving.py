"""A fitted model as one file of tensors and JSON, without pickle (private)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import zlib
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from sklearn.base import is_classifier
from skorch.history import History

from sktopo._files import (
    LIBRARY_VERSIONS,
    encode,
    name_backbone,
    name_of,
    write_atomically,
)
from sktopo._forward import evaluate
from sktopo._images import as_chw
from sktopo._labels import decode_labels, encode_labels
from sktopo._modes import plain_modes
from sktopo._sklearn_private import validate_params
from sktopo._training import Objective, Seeds, seeded_initialisation
from sktopo._training.making import (
    has_asked_terms,
    make_module,
    make_net,
    make_objective,
    make_task,
    structure_of,
)
from sktopo.augment import WITH_SETTINGS
from sktopo.grid import Grid

# Raised only when older readers would misread the file. In format 1 the backbone "auto"
# stood for other networks.
FORMAT = 2
_KEY = "sktopo"
# What the format's own library refuses to read.
_LARGEST_HEADER = 100_000_000


# Parameters that may be callables of the user's own, which `load` is given again.
GIVEN = ("backbone", "topo_loss", "augment", "optimizer")


class NotLoaded:
    """Stands for a callable that a file names and does not hold."""

    def __init__(self, name):
        self.name = name

    def __call__(self, *args, **kwargs):
        raise ValueError(f"{self.name} was not loaded.")

    def __repr__(self):
        return f"NotLoaded({self.name!r})"

    def __eq__(self, other):
        return isinstance(other, NotLoaded) and other.name == self.name

    def __hash__(self):
        return hash(self.name)


# --------------------------------------------------------------------- writing


def save(estimator, path):
    """Write a fitted model to one file, which is replaced whole or not at all."""
    write_atomically(path, serialise(estimator))


def serialise(estimator):
    """The file of a fitted model, as bytes."""
    with plain_modes():
        tensors = _tensors(estimator.net_)
        document = json.dumps(_describe(estimator))
        _check_readable(estimator, tensors, document)
        if callable(estimator.backbone):
            tensors["answers"] = torch.from_numpy(_answers(estimator))
        data = safetensors.torch.save(tensors, {_KEY: document})
    if int.from_bytes(data[:8], "little") > _LARGEST_HEADER:
        raise ValueError(
            f"The description of this model takes {len(document):,} characters (names "
            f"of features, classes, history), more than a .safetensors file can hold. "
            f"Train on fewer or shorter names."
        )
    return data


class _InMemory:
    """Tensors and description of a file that is not written yet."""

    def __init__(self, tensors, document):
        self._tensors = tensors
        self._document = document

    def metadata(self):
        return {_KEY: self._document}

    def keys(self):
        return self._tensors.keys()

    def get_slice(self, name):
        shape = list(self._tensors[name].shape)
        return SimpleNamespace(get_shape=lambda: shape)

    def get_tensor(self, name):
        return self._tensors[name].numpy()


def _check_readable(estimator, tensors, document):
    """Raise a ValueError unless `load` would give this very model."""
    own = {n: v for n in GIVEN if callable(v := getattr(estimator, n))}
    try:
        again = _read(
            type(estimator),
            _InMemory(tensors, document),
            {**dict.fromkeys(GIVEN), **own},
            callbacks=None,
            device=str(estimator.net_.device),
        )
        differences = _differences(estimator, again)
    except Exception as error:  # the user's own modules may fail in any way
        differences = f"{error or type(error).__name__}"
    if not differences:
        return
    advice = (
        "Undo what was done to its modules since the fit (as torch.nn.utils."
        "parametrize.remove_parametrizations and torch.nn.utils.prune.remove do)"
    )
    if not has_asked_terms(estimator.net_.criterion_, estimator):
        advice = (
            "Set back the parameters of the spatial loss (topo_loss, lam, lam_mode, "
            "topo_layers, loss_params), which were changed since the fit"
        )
    raise ValueError(
        f"This model cannot be saved, since its file would not give it back: "
        f"{differences.rstrip('.')}. {advice}, or keep the model by pickle."
    )


def _differences(estimator, again):
    """In words, what two models answer differently; empty if nothing."""
    for found, wanted in zip(_responses(again), _responses(estimator), strict=True):
        close = np.shape(found) == np.shape(wanted) and np.allclose(
            found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max()
        )
        if not close:
            break
    else:
        return ""
    kinds = [
        {name: type(part).__name__ for name, part in model.module_.named_modules()}
        for model in (estimator, again)
    ]
    changed = [
        f"{name} is {kinds[0].get(name, 'missing')}, and was "
        f"{kinds[1].get(name, 'missing')}"
        for name in {**kinds[0], **kinds[1]}
        if kinds[0].get(name) != kinds[1].get(name)
    ]
    return "its answers differ, " + (
        "; ".join(changed)
        or "by what no state dict holds (hooks, functions, settings or buffers)"
    )


def _responses(estimator):
    """What a model makes of four images: features, the head's answers, the module's."""
    low, high = estimator.pixel_range_
    noise = np.random.default_rng(0).random((2, *estimator.image_shape_))
    images = np.concatenate([_ramps(estimator), low + (high - low) * noise])
    images = images.astype(np.float32)
    features, _ = evaluate(estimator, images, lambda head, features: features)
    with torch.inference_mode():
        answers = estimator.module_(torch.from_numpy(images).to(estimator.net_.device))
    head = estimator.module_.head()
    return features, head.answers(features), answers.cpu().numpy()


def _tensors(net):
    parts = {"module": net.module_, "criterion": net.criterion_}
    tensors = {}
    for part, module in parts.items():
        for name, tensor in module.state_dict().items():
            if not isinstance(tensor, torch.Tensor):
                raise ValueError(
                    f"The {part} keeps {name}, a {type(tensor).__name__}, in its state "
                    f"dict; save() holds tensors only. Keep it as a buffer, or use "
                    f"pickle."
                )
            try:
                finite = bool(tensor.isfinite().all())
                copy = tensor.detach().cpu().contiguous().clone()
            except (RuntimeError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{part}.{name} is no plain tensor of numbers ({error}), which "
                    f"save() cannot write. Undo what was done to it, or use pickle."
                ) from error
            if not finite:
                raise ValueError(
                    f"{name} is not finite; a model that cannot predict is not saved."
                )
            tensors[f"{part}.{name}"] = copy
    return tensors


def _describe(estimator):
    """All that is no tensor, for JSON."""
    parameters = estimator.get_params(deep=False)
    if isinstance(parameters["random_state"], np.random.RandomState):
        raise ValueError(
            "random_state is a RandomState instance, which has no place in a file that "
            "others can read. Give an integer first: set_params(random_state=0)."
        )
    if isinstance(parameters["topo_loss"], NotLoaded):
        raise ValueError(
            f"This model was loaded without its topo_loss, "
            f"{parameters['topo_loss'].name}, and what the loss holds would be lost. "
            f"Give it: load(path, topo_loss=...), or copy the file."
        )
    callbacks = parameters.pop("callbacks") or []
    net = estimator.net_
    generators = (net.shuffling, net.module_.generator)
    states = b"".join(g.get_state().numpy().tobytes() for g in generators)
    names = getattr(estimator, "feature_names_in_", None)
    kind = {"kind": _kind(estimator)}
    if is_classifier(estimator):  # which the files of before do not say
        kind = {"classes": encode_labels(estimator.classes_)}
    return {
        "format": FORMAT,
        "versions": LIBRARY_VERSIONS,
        "parameters": {
            name: _encode(name, value) for name, value in parameters.items()
        },
        "callbacks": [name_of(callback) for callback in callbacks],
        **kind,
        "image_shape": list(estimator.image_shape_),
        "pixel_range": [float(value) for value in estimator.pixel_range_],
        "neighborhood": estimator.grid_.neighborhood,
        "wrap": estimator.grid_.wrap,
        "feature_names": None if names is None else names.tolist(),
        "history": [_plain_numbers(epoch) for epoch in net.history],
        "split_seed": int(net.split_seed),
        "best_epoch": net.best_epoch,
        # where random numbers go on; the generators' states differ between versions
        "next_seed": zlib.crc32(states),
    }


def _kind(estimator):
    return "classifier" if is_classifier(estimator) else "encoder"


def _encode(name, value):
    """A parameter; a callable that was not loaded keeps its name."""
    if isinstance(value, NotLoaded):
        return {"callable": value.name}
    if type(value) in WITH_SETTINGS.values():
        settings = encode(asdict(value), name)
        return {"augmentation": {"name": type(value).__name__, "settings": settings}}
    encoded = encode(value, name)
    if name not in GIVEN and _names_callable(encoded):
        raise TypeError(
            f"{name} holds a callable, which a file cannot hold. Give the loss as a "
            f"functools.partial that holds it (topo_loss=...), or keep the model by "
            f"pickle."
        )
    return encoded


def _names_callable(encoded):
    if isinstance(encoded, dict):
        parts = encoded.values()
        return "callable" in encoded or any(_names_callable(part) for part in parts)
    return isinstance(encoded, list) and any(map(_names_callable, encoded))


def _plain_numbers(epoch):
    """What callbacks may have added beside numbers is left out."""
    kept = {}
    for name, value in epoch.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int | float) and math.isfinite(value):
            kept[name] = value
    return kept


def _ramps(estimator):
    low, high = estimator.pixel_range_
    shape = (2, *estimator.image_shape_)
    return np.linspace(low, high, math.prod(shape), dtype=np.float32).reshape(shape)


def _answers(estimator):
    """What the head makes of two images, by which a backbone is known again."""
    ramps = _ramps(estimator)
    return evaluate(estimator, ramps, lambda head, features: head.answers(features))[0]


# --------------------------------------------------------------------- reading


def load(cls, path, given, callbacks, device):
    """The model in a file; see `sktopo.TopographicCNNClassifier.load`."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path}.")
    if not os.path.isfile(path):
        raise ValueError(f"{path} is not a file.")
    try:
        with safe_open(path, framework="numpy") as file, plain_modes():
            estimator = _read(cls, file, given, callbacks, device)
            if callable(estimator.backbone):
                _check_answers(estimator, file)
    except SafetensorError as error:
        raise ValueError(f"{path} is no .safetensors file: {error}.") from error
    except _BadFileError as error:
        advice = ""
        if isinstance(error, _OtherStateError):
            advice = " Was the model saved with another backbone or loss?"
        raise ValueError(
            f"{path} holds no model that can be loaded: {error}{advice}"
        ) from None
    return estimator


def _read(cls, file, given, callbacks, device):
    document = _read_document(cls, file)
    estimator = _rebuild(cls, document, given, callbacks, device)
    _restore(estimator, file, document)
    return estimator


class _BadFileError(Exception):
    """A file does not hold what it should."""


class _OtherStateError(_BadFileError):
    """A file holds other tensors than the model has."""


@contextlib.contextmanager
def _as_bad_file(what):
    """Any failure to make sense of a part of a file."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        detail = f"{type(error).__name__}: {error}"[:300]
        raise _BadFileError(f"{what} cannot be read ({detail}).") from error


def _read_document(cls, file):
    text = (file.metadata() or {}).get(_KEY)
    if text is None:
        raise _BadFileError(
            f"it is a .safetensors file that {cls.__name__}.save did not write."
        )
    with _as_bad_file("its description"):
        document = json.loads(text)
        if not isinstance(document, dict):
            raise TypeError("it must be an object")
        number = document["format"]
        kind = document.get("kind", "classifier")
    if kind != _kind(cls()):
        raise _BadFileError(
            f"it holds a model of the kind {str(kind)[:300]!r}, and {cls.__name__} is "
            f"of the kind {_kind(cls())!r}; load it by the class that saved it."
        )
    if number == 1:
        with _as_bad_file("its parameters"):
            n_channels = as_chw(document["image_shape"])[0]
            parameters = name_backbone(dict(document["parameters"]), n_channels)
            return {**document, "parameters": parameters}
    if number != FORMAT:
        writer = document.get("versions")
        raise _BadFileError(
            f"it has format {number!r}, and this version of sktopo reads formats 1 to "
            f"{FORMAT}; it was written by {str(writer)[:300]}."
        )
    return document


def _rebuild(cls, document, given, callbacks, device):
    """The estimator without its net."""
    with _as_bad_file("its parameters"):
        encoded = dict(document["parameters"])
        unknown = sorted(set(encoded) - set(cls().get_params()))
        if unknown:
            raise ValueError(
                f"unknown {unknown}, in a file written by sktopo "
                f"{document['versions']['sktopo']}"
            )
        parameters = {name: _decode(value) for name, value in encoded.items()}
        if isinstance(parameters.get("optimizer"), NotLoaded):
            parameters["optimizer"] = _of_torch(parameters["optimizer"])
    for name, value in given.items():
        saved = parameters.get(name)
        if value is not None and not callable(value):
            raise TypeError(f"{name} must be a callable or None; got {value!r}.")
        if isinstance(saved, NotLoaded):
            if value is not None:
                parameters[name] = value
            elif name == "backbone":
                raise ValueError(
                    f"The model has a backbone of its own, {saved.name}, and its file "
                    f"holds no code. Give it: load(path, backbone=...)."
                )
        elif value is not None and saved != value:
            raise ValueError(
                f"The saved model has {name}={saved!r}; load() takes {name} only for "
                f"callables, which a file cannot hold. Leave it out."
            )
    parameters.pop("device", None)
    with _as_bad_file("its parameters"):
        estimator = cls(**parameters)
        validate_params(estimator)
    estimator.set_params(callbacks=callbacks, device=device)
    with _as_bad_file("its description"):
        if is_classifier(estimator):
            estimator.classes_ = decode_labels(document["classes"])
        estimator.image_shape_ = as_chw(document["image_shape"])
        estimator.n_features_in_ = math.prod(estimator.image_shape_)
        grid = document["neighborhood"], bool(document.get("wrap", False))
        estimator.grid_ = Grid(estimator.grid_shape, *grid)
        low, high = (float(_number(value)) for value in document["pixel_range"])
        if low > high:
            raise ValueError(f"pixel range {low} to {high}")
        estimator.pixel_range_ = (low, high)
        _name_features(estimator, document["feature_names"])
        structure_of(estimator)  # which no bad image shape survives
    return estimator


def _name_features(estimator, names):
    if names is None:
        return
    if len(names) != estimator.n_features_in_:
        raise ValueError(f"{len(names)} feature names")
    estimator.feature_names_in_ = np.asarray([_text(n) for n in names], dtype=object)


def _restore(estimator, file, document):
    """Give the estimator its net, once each tensor was seen to fit."""
    with _as_bad_file("its description"):
        split_seed = _seed(document["split_seed"])
        best_epoch = document.get("best_epoch")
        if best_epoch is not None:
            best_epoch = int(_number(best_epoch))
    with _as_bad_file("its history"):
        history = History(
            {**{k: _number(v) for k, v in epoch.items()}, "batches": []}
            for epoch in document["history"]
        )
        if not history or "task_loss" not in history[-1]:
            raise ValueError("no finished epoch")
        sequence = np.random.SeedSequence(_seed(document["next_seed"]))
        shuffling, dropout, augmentation = sequence.generate_state(3).tolist()
    module = _empty_network(estimator)
    tensors = _read_tensors(file, "module", module.state_dict())
    if module.mean.is_meta:
        module = module.to_empty(device="cpu")
    module.load_state_dict(tensors)
    if not bool((module.std > 0).all()):
        raise _BadFileError("a standard deviation of its images is not positive.")
    module.generator = torch.Generator().manual_seed(dropout)
    task = make_task(estimator)
    if isinstance(estimator.topo_loss, NotLoaded):
        objective = Objective(task)
    else:
        with seeded_initialisation(0):
            objective = make_objective(estimator, task, module, split_seed)
        wanted = objective.state_dict()
        objective.load_state_dict(_read_tensors(file, "criterion", wanted))
    seeds = Seeds(0, shuffling, dropout, split_seed, augmentation)
    # without its optimizer a model predicts, and is not trained on
    optimizer = "sgd" if isinstance(estimator.optimizer, NotLoaded) else None
    net = make_net(estimator, module, objective, seeds, optimizer)
    net.history_, net.best_epoch = history, best_epoch
    estimator.net_ = net


def _check_answers(estimator, file):
    """Raise a ValueError unless the model answers as it did when it was saved."""
    found = _answers(estimator)
    like = torch.from_numpy(found)
    wanted = _read_tensors(file, "answers", {"": like})[""].numpy()
    if not np.allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max()):
        raise ValueError(
            f"With the backbone {name_of(estimator.backbone)} the model gives other "
            f"answers than it did when it was saved. Give the backbone that it was "
            f"trained with."
        )


def _empty_network(estimator):
    """A network to be filled from a file; named backbones take no memory before."""
    channels = estimator.image_shape_[0]

    def build():
        mean, std = torch.zeros(channels), torch.ones(channels)
        return make_module(estimator, mean, std, generator=None)

    if callable(estimator.backbone):
        with seeded_initialisation(0):
            return build().eval()
    try:
        with torch.device("meta"):
            return build().eval()
    except RuntimeError as error:
        raise _BadFileError(f"no network has its shapes ({error}).") from error


def _read_tensors(file, part, wanted):
    """Tensors of one part, if names, shapes and dtypes are those wanted, all finite."""
    prefix = f"{part}." if "" not in wanted else part
    found = {n[len(prefix) :] for n in file.keys() if n.startswith(prefix)}  # noqa: SIM118
    if found != set(wanted):
        missing, more = sorted(set(wanted) - found), sorted(found - set(wanted))
        raise _OtherStateError(
            f"its {part} lacks the tensors {missing[:10]}, and has {more[:10]} beyond "
            f"those wanted."
        )
    shapes = {n: file.get_slice(prefix + n).get_shape() for n in wanted}
    for name, like in wanted.items():
        if list(shapes[name]) != list(like.shape):
            raise _OtherStateError(
                f"{prefix}{name} has shape {tuple(shapes[name])}, and "
                f"{tuple(like.shape)} is wanted."
            )
    tensors = {}
    for name, like in wanted.items():
        with _as_bad_file(prefix + name):
            tensor = torch.from_numpy(file.get_tensor(prefix + name))
        if tensor.dtype != like.dtype:
            raise _BadFileError(
                f"{prefix}{name} is {tensor.dtype}, and {like.dtype} is wanted."
            )
        if not tensor.isfinite().all():
            raise _BadFileError(f"{prefix}{name} is not finite.")
        tensors[name] = tensor
    return tensors


def _decode(value):
    if isinstance(value, list):
        return [_decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    (kind, content), *others = value.items()
    if others:
        raise ValueError(f"more than one kind: {sorted(value)}")
    if kind == "tuple":
        return tuple(_decode(v) for v in content)
    if kind == "dict":
        return {_decode(k): _decode(v) for k, v in content}
    if kind == "array":
        return np.array(_decode(content["values"]), dtype=_text(content["dtype"]))
    if kind == "float":
        return float(_text(content))
    if kind == "augmentation":
        return WITH_SETTINGS[content["name"]](**_decode(content["settings"]))
    if kind == "callable":
        return NotLoaded(_text(content))
    raise ValueError(f"unknown kind {kind!r}")


def _of_torch(optimizer):
    """The optimizer of torch that a file names; another one stays not loaded."""
    found = getattr(torch.optim, optimizer.name.rpartition(".")[2], None)
    is_one = isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    return found if is_one and name_of(found) == optimizer.name else optimizer


def check_loaded(estimator):
    """Raise a ValueError if training needs a callable that was not loaded."""
    for name in GIVEN:
        value = getattr(estimator, name)
        if isinstance(value, NotLoaded):
            raise ValueError(
                f"The file that this model was loaded from names its {name}, "
                f"{value.name}, and does not hold it. To train on, give it: "
                f"load(path, {name}=...)."
            )


def _text(value):
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value):
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return value


def _seed(value):
    if type(value) is not int or not 0 <= value < 2**32:
        raise ValueError(f"{value!r} is no seed")
    return value
