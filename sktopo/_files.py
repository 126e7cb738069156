"""Files and plain descriptions: settings as JSON, atomic writing, versions."""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import inspect
import json
import math
import os
import pickle
import platform
import secrets
import shutil
import stat
import sys
import sysconfig
import types
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from sktopo._images import as_array_like, slices

_LIBRARIES = ("sktopo", "torch", "scikit-learn", "skorch", "numpy", "safetensors")


def _versions():
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # such as a source tree on the path
            found[name] = "unknown"
    return found


LIBRARY_VERSIONS = _versions()


def encode(value, name, other=None):
    """A setting for JSON; lists, tuples and the types of dict keys are kept apart.

    Parameters
    ----------
    value : object
        The setting.
    name : str
        What it is called in errors.
    other : callable, default=None
        Gives what is no plain value a form. None: callables go by their name, arrays of
        numbers by their values, and all else is refused.

    Returns
    -------
    object
        What `json` can write.
    """
    if isinstance(value, np.generic):
        value = float(value) if isinstance(value, np.floating) else value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, tuple):
        return {"tuple": [encode(v, name, other) for v in value]}
    if isinstance(value, list):
        return [encode(v, name, other) for v in value]
    if isinstance(value, dict):
        pairs = value.items()
        return {
            "dict": [[encode(k, name, other), encode(v, name, other)] for k, v in pairs]
        }
    if other is not None:
        return other(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        values = encode(value.tolist(), name)
        return {"array": {"dtype": value.dtype.str, "values": values}}
    if callable(value):
        return {"callable": name_of(value)}
    raise TypeError(
        f"{name} holds a {type(value).__name__}, which save() cannot write. Use plain "
        f"numbers, strings, tuples, lists and dicts, or keep the model by pickle."
    )


def name_of(value):
    if isinstance(value, tuple) and len(value) == 2:  # a named callback
        value = value[1]
    if isinstance(value, functools.partial):
        return f"functools.partial({name_of(value.func)}, ...)"
    if not hasattr(value, "__qualname__") or not hasattr(value, "__module__"):
        value = type(value)
    return f"{value.__module__}.{value.__qualname__}"


def name_backbone(settings, n_channels):
    """Settings of format 1, where the backbone "auto" was chosen by the channels.

    Parameters
    ----------
    settings : dict
        Parameters of a classifier, or some of them, as files and stores of format 1
        hold them.
    n_channels : int
        Channels of the images.

    Returns
    -------
    dict
        The same, with the backbone that "auto" then stood for by its name.
    """
    if not isinstance(settings, dict) or settings.get("backbone") != "auto":
        return settings
    return {**settings, "backbone": "small" if n_channels == 1 else "deep"}


# ---------------------------------------------------------------- what a setting is


def describe(value, name):
    """The whole of a setting as JSON can hold it: what behaves otherwise differs here.

    As `encode`, and a callable or an object is told by its name and by what it holds:
    the arguments of a partial, the closure and defaults of a function, the parameters
    of a callback, the values of an array. The code of functions and classes that no
    installed package holds is told by a hash, which only the same Python understands.

    Parameters
    ----------
    value : object
        The setting.
    name : str
        What it is called in errors.

    Returns
    -------
    object
        What `json` can write. A callable or an object is a dict with its name under
        "callable", and details beside it.

    Raises
    ------
    TypeError
        If it holds something whose value cannot be told.
    """
    return encode(value, name, functools.partial(_whole, name=name, inside=()))


def _whole(value, name, inside):
    if id(value) in inside:
        return {"again": inside.index(id(value))}
    inner = functools.partial(_whole, name=name, inside=(*inside, id(value)))

    def told(part):
        return encode(part, name, inner)

    if isinstance(value, np.ndarray | torch.Tensor):
        return {"array": digest(as_array_like(value))}
    if isinstance(value, set | frozenset):
        return {"set": sorted(json.dumps(told(v)) for v in value)}
    found = {"callable": name_of(value)}
    if isinstance(value, functools.partial):
        found["function"] = told(value.func)
        found["arguments"] = told(list(value.args))
        found["keywords"] = {key: told(v) for key, v in value.keywords.items()}
    elif inspect.ismethod(value):
        found |= {"of": told(value.__self__), "function": told(value.__func__)}
    elif inspect.isfunction(value):
        found |= _function_details(value, told)
    elif isinstance(value, type):
        found |= _class_details(value, told)
    elif not inspect.isroutine(value):  # an object; what is built in has a name only
        found |= _object_details(value, name, told)
    return found


def _function_details(function, told):
    details = {}
    if contents := _closure(function):
        details["closure"] = told(contents)
    if _is_installed(function):
        return details
    defaults = [function.__defaults__, function.__kwdefaults__]
    if any(defaults):
        details["defaults"] = told(defaults)
    parts = {"code": _parts_of_code(function.__code__)}
    for key, value in inspect.getclosurevars(function).globals.items():
        own = not inspect.ismodule(value) and not _is_installed(type(value))
        if isinstance(value, _TOLD) or own:
            parts[f"global {key}"] = _told_if_possible(value, told)
    return details | _code(parts)


def _closure(function):
    contents = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a name that is bound later
            contents.append(cell.cell_contents)
    return contents


def _class_details(cls, told):
    """What the methods and attributes of a class and its bases are."""
    if _is_installed(cls):
        return {}
    parts = {}
    for base in cls.__mro__:
        if base is object or _is_installed(base):
            continue
        for key, value in vars(base).items():
            value = getattr(value, "__func__", getattr(value, "fget", value))
            plain = isinstance(value, _TOLD) and not key.startswith("__")
            if inspect.isfunction(value) or plain:
                parts.setdefault(key, _told_if_possible(value, told))
    return _code(parts)


def _told_if_possible(value, told):
    """A surrounding of a function or class, whose value need not be a setting."""
    try:
        return told(value)
    except (TypeError, RecursionError):
        return {"callable": name_of(value)}


def _object_details(value, name, told):
    """The parameters of an object, or else what it holds."""
    try:
        settings = value.get_params(deep=False)
    except (AttributeError, TypeError, RuntimeError):
        settings = getattr(value, "__dict__", None)
    if settings is None:
        try:
            data = pickle.dumps(value)
        except Exception as error:
            raise TypeError(
                f"{name} holds a {type(value).__name__}, whose value cannot be told "
                f"from that of another one ({error}). Use plain numbers, strings, "
                f"tuples, lists, dicts, arrays and functions."
            ) from error
        return {"pickle": hashlib.sha256(data).hexdigest()}
    details = _class_details(type(value), told)
    settings = {
        key: part
        for key, part in settings.items()
        # what is computed of the others, and kept, is no setting
        if not isinstance(
            getattr(type(value), str(key), None), functools.cached_property
        )
    }
    return details | {"settings": {str(k): told(v) for k, v in settings.items()}}


_PYTHON = ".".join(platform.python_version_tuple()[:2])
_INSTALLED = tuple(
    {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)
# What functions and classes use of their surroundings, and are told with.
_TOLD = (bool, int, float, str, tuple, list, dict, set, frozenset, type(None), type)
_TOLD += (np.ndarray, torch.Tensor, types.FunctionType, functools.partial)


def _is_installed(value):
    """Whether its package, and so its version, is known by other means."""
    module = sys.modules.get(value.__module__)
    if module is None or module.__name__ == "__main__":
        return False
    if module.__name__.split(".")[0] == "sktopo":
        return True
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(_INSTALLED)


def _code(parts):
    """A hash of code, which only the same version of Python makes."""
    text = json.dumps(parts, sort_keys=True)
    return {"code": {_PYTHON: hashlib.sha256(text.encode()).hexdigest()}}


def _parts_of_code(code):
    """What a function does, whatever its file, lines and docstring."""
    parts = []
    for step in dis.get_instructions(code):
        value = step.argval
        if inspect.iscode(value):
            value = _parts_of_code(value)
        elif isinstance(value, frozenset):
            value = sorted(map(repr, value))
        parts.append([step.opname, value if isinstance(value, list) else repr(value)])
    return parts


def differences(name, found, wanted):
    """Where two descriptions of a setting differ, in words.

    The first house told callables by their names alone; of those no more is compared.
    """
    if found == wanted:
        return []
    if isinstance(wanted, dict) and isinstance(found, str) and "tuple" in wanted:
        wanted = wanted["tuple"][-1]  # a callback with a name of its own
    if isinstance(wanted, dict) and "callable" in wanted:
        if found in (wanted["callable"], {"callable": wanted["callable"]}):
            return []
        if isinstance(found, dict) and found.get("callable") == wanted["callable"]:
            found, wanted = _comparable(found, wanted)
    if _are_dicts(found, wanted):  # whose order is no difference
        found, wanted = ({str(k): v for k, v in d["dict"]} for d in (found, wanted))
        if found == wanted:
            return []
    if _are_lists_of_objects(found, wanted):
        found, wanted = dict(enumerate(found)), dict(enumerate(wanted))
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return [f"{name} is {_short(found)} there and {_short(wanted)} here"]
    parts = []
    for key in dict.fromkeys([*found, *wanted]):
        parts += differences(f"{name}: {key}", found.get(key), wanted.get(key))
    return parts


def _are_dicts(found, wanted):
    described = [isinstance(d, dict) and set(d) == {"dict"} for d in (found, wanted)]
    return all(described)


def _are_lists_of_objects(found, wanted):
    both = isinstance(found, list) and isinstance(wanted, list)
    return (
        both and len(found) == len(wanted) and any(isinstance(v, dict) for v in wanted)
    )


def _comparable(found, wanted):
    """Two descriptions of a callable, without code that another Python hashed."""
    codes = [part.get("code") or {} for part in (found, wanted)]
    if set(codes[0]) & set(codes[1]) or not all(codes):
        return found, wanted
    return [{k: v for k, v in d.items() if k != "code"} for d in (found, wanted)]


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 70 else text[:67] + "..."


def digest(values):
    """What identifies an array: shape, dtype, and a hash of its values."""
    sha = hashlib.sha256()
    if values.dtype == object:
        sha.update(repr(values.tolist()).encode())
    else:
        rows = values.reshape(1) if values.ndim == 0 else values
        size = max(1, 2**24 // max(1, rows[:1].nbytes))
        for part in slices(len(rows), size):
            sha.update(np.ascontiguousarray(rows[part]))
    kind = {"shape": list(values.shape), "dtype": values.dtype.name}
    return {**kind, "sha256": sha.hexdigest()}


# ------------------------------------------------------------------------- writing


def write_atomically(path, data, durable=True):
    """Write bytes to a file that is at any moment the old one or the new one, whole.

    If `durable`, this holds when the machine itself goes down, too. A process that is
    killed meanwhile may leave a hidden file, ``.sktopo-*.tmp``.
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path} is no file and is not replaced; give another path.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"There is no folder {folder} to write to; make it.")
    temporary = os.path.join(folder, f".sktopo-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable and hasattr(os, "O_DIRECTORY"):  # the new name itself reaches the disk
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ----------------------------------------------- files that a stranger may have made


@contextlib.contextmanager
def open_regular(path, most):
    """Open a regular file of at most `most` bytes for reading; nothing else is opened.

    Parameters
    ----------
    path : str or path-like
        The file. A link is not followed, and a pipe or a device does not block.
    most : int
        Largest size in bytes.

    Yields
    ------
    file
        The open binary file.

    Raises
    ------
    ValueError
        If it is a link, no regular file, or larger.
    FileNotFoundError
        If there is none.
    """
    if os.path.islink(path):
        raise ValueError(f"{path} is a link, and links are not followed here.")
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is no regular file.")
        if found.st_size > most:
            raise ValueError(
                f"{path} has {found.st_size:,} bytes, more than the {most:,} that it "
                f"can need."
            )
        yield file


def read_regular(path, most):
    """Read a regular file of at most `most` bytes; see `open_regular`."""
    with open_regular(path, most) as file:
        return file.read(most + 1)


def read_json_object(path, most):
    """Read a JSON object from a regular file; anything else is a ValueError."""
    try:
        found = json.loads(read_regular(path, most))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found
