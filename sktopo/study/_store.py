"""The folder of a study: one subfolder a model, each file whole or absent (private)."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import safetensors.numpy
from filelock import FileLock
from safetensors import SafetensorError

from sktopo._files import (
    LIBRARY_VERSIONS,
    differences,
    name_backbone,
    open_regular,
    read_json_object,
    read_regular,
    write_atomically,
)
from sktopo._measures.results import COLUMNS
from sktopo._saving import GIVEN
from sktopo._warn import warn_user
from sktopo.study._kept import read_kept
from sktopo.study._plan import Cell

# In format 1 the backbone "auto" stood for other networks.
FORMAT = 2
# Raised when measures are defined anew: what older ones gave is then measured again.
MEASURES = 3
MODEL, RESPONSES = "model.safetensors", "responses.safetensors"
_TABLE_NAME = re.compile(r"measures_[\w.~%-]+(@[\w.~%-]+)?\.csv", re.ASCII)
STUDY = "study.json"
# Parts of it that are those of every study of a store, and that studies add to.
IDENTITY, ADDED = ("random_state", "estimator", "data"), ("conditions", "measures")
_ONCE_MORE = "Run the study on its store once more, and what is lost is made again."
# What reading a file that is no such file may raise.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
# What files can need at most, in bytes.
_MOST_JSON, _MOST_TABLE, _MOST_TENSORS = 2**24, 2**26, 2**32


class _DamagedError(ValueError):
    """A file of a store does not hold what it should."""


class Store:
    """A study's folder.

    ``study.json`` says what the models were trained on and how. A model's subfolder
    holds ``model.safetensors``, ``responses.safetensors`` and a ``.csv`` for each group
    of measures, and for each layer beside the grid; its ``cell.json`` is written last
    and lists each file with its hash, so that what a killed process left half done is
    never taken for done. The folder may come from anyone: no link is followed, and
    files that a store does not have are neither read nor written.

    Parameters
    ----------
    folder : str or path-like
        The folder. A relative one is that of this moment, whatever the working
        directory of this or of another process is later.
    """

    def __init__(self, folder):
        self.folder = Path(folder).resolve()

    # ------------------------------------------------------------ the study itself

    def open(self, described, defaults, n_channels):
        """Make the folder, or refuse one that belongs to another study.

        Parameters
        ----------
        described : dict
            What `study.json` is to hold: random_state, estimator (parameters and
            "class"), data, which must be those of the store; conditions and measures,
            by name, which are added to its; and what is kept of this study alone.
        defaults : dict
            Described defaults of the estimator's parameters, for stores that were made
            before a parameter was.
        n_channels : int
            Channels of the images.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"The store {self.folder} is a file; give a folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        path, lock = self.folder / STUDY, self.folder / "study.lock"
        if os.path.lexists(lock) and (lock.is_symlink() or not lock.is_file()):
            raise ValueError(f"{lock} is a link or no regular file. Remove it.")
        with FileLock(lock):  # two studies may open one empty folder
            found = self._read_study(path, n_channels)
            if found is None:
                if any(self.folder.glob("*__seed_*")):
                    raise ValueError(
                        f"The store {self.folder} holds models, and no study.json that "
                        f"says how they were trained. Give another folder."
                    )
                found = {"versions": LIBRARY_VERSIONS, "conditions": {}, "measures": {}}
            else:
                estimator = {**defaults, **found["estimator"]}
                found = {"measures": {}, **found, "estimator": estimator}
                self._compare(found, described)
            content = {"format": FORMAT, "versions": found["versions"], **described}
            for part in ADDED:
                content[part] = found[part] | described[part]
            text = json.dumps(content, indent=1)
            if found.get("text") != text:
                write_atomically(path, text.encode())

    def read_kept(self):
        """The study that ran last, as the store keeps it; see `Kept`.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it is no store of a study, if the store was made before results could be
            read without the data, or if it is damaged.
        """
        path = self.folder / STUDY
        if not self.folder.exists():
            raise FileNotFoundError(f"There is no folder {self.folder}.")
        if not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file; give the folder of a study.")
        if not os.path.lexists(path):
            raise ValueError(
                f"{self.folder} is not the store of a study: it holds no study.json. "
                f"Give the folder that a study was given as store=..., and that it was "
                f"run with."
            )
        try:
            found = read_json_object(path, _MOST_JSON)
            if found["format"] not in (1, FORMAT):
                raise ValueError(f"it has format {found['format']!r}")
            if "plan" in found:
                return read_kept(found)
        except (OSError, *_MALFORMED) as error:
            raise ValueError(
                f"{path} cannot be read ({type(error).__name__}: {error}). Restore "
                f"that file, or run the study with another folder as store."
            ) from error
        raise ValueError(
            f"The store {self.folder} was made before results could be read without "
            f"the data. Run the study on it once more, with its data: models are kept, "
            f"and what else is needed is added."
        )

    def _read_study(self, path, n_channels):
        if not os.path.lexists(path):
            return None
        try:
            found = read_json_object(path, _MOST_JSON)
            if found["format"] not in (1, FORMAT):
                raise ValueError(f"it has format {found['format']!r}")
            parts = ("conditions", "versions", "estimator", "data")
            if not all(isinstance(found[k], dict) for k in parts):
                raise ValueError(f"its {', '.join(parts)} are no objects")
            if not isinstance(found.get("measures", {}), dict):
                raise ValueError("its measures are no object")
            text = json.dumps(found, indent=1)
            if found["format"] == 1:
                found["estimator"] = name_backbone(found["estimator"], n_channels)
                found["conditions"] = {
                    name: name_backbone(settings, n_channels)
                    for name, settings in found["conditions"].items()
                }
        except (OSError, *_MALFORMED) as error:
            raise ValueError(
                f"{path} cannot be read ({error}). Give another folder as store, or "
                f"restore that file."
            ) from error
        return found | {"text": text}

    def _compare(self, found, described):
        wanted = json.loads(json.dumps(described))
        parts = []
        for part in IDENTITY:
            parts += differences(part, found.get(part), wanted[part])
        for kind in ADDED:
            here, there = wanted[kind], found[kind]
            for key in here:
                if key in there:
                    name = f"{kind.removesuffix('s')} {key}"
                    parts += differences(name, there[key], here[key])
        if parts:
            raise ValueError(
                f"The store {self.folder} belongs to another study: "
                + "; ".join(parts)
                + ". Give another folder as store, or set back what differs."
            )
        others = {
            name: (version, LIBRARY_VERSIONS.get(name))
            for name, version in found["versions"].items()
            if LIBRARY_VERSIONS.get(name) != version
        }
        if others:
            changes = ", ".join(f"{n} {a} (now {b})" for n, (a, b) in others.items())
            warn_user(
                f"The store {self.folder} was begun with {changes}: models of before "
                f"and after may differ by more than their settings.",
            )

    # ------------------------------------------------------------ one model

    def path(self, cell, name=""):
        return self.folder / cell.folder / name

    def _has_folder(self, cell):
        """Whether a cell has a folder, which must hold regular files alone."""
        path = self.path(cell)
        if not os.path.lexists(path):
            return False
        odd = [path] if path.is_symlink() or not path.is_dir() else []
        odd += [
            entry.path
            for entry in ([] if odd else os.scandir(path))
            if not entry.is_file(follow_symlinks=False)
        ]
        if odd:
            raise ValueError(
                f"{odd[0]} is a link, or something else that no store holds. Remove it."
            )
        return True

    def read_manifest(self, cell):
        """What a cell has: names of its files, each seen to be whole.

        A damaged file is left out, with a warning; without its weights a cell has
        nothing. Measures that were taken by older definitions are left out, too.

        Parameters
        ----------
        cell : Cell
            The model.

        Returns
        -------
        dict
            Hashes by the names of files.

        Raises
        ------
        ValueError
            If the folder holds a link, or files of another model or of no store.
        """
        try:
            return self._whole(cell, self._listed(cell))
        except _DamagedError as error:
            warn_user(
                f"{error}; the model ({cell}) is trained again.",
            )
        return {}

    def lacks(self, cell, names):
        """What a cell has not got of what the results are made of.

        Parameters
        ----------
        cell : Cell
            The model.
        names : list of str
            Names of the files that it is to have.

        Returns
        -------
        list of str
            Names of files.

        Raises
        ------
        ValueError
            If a file is damaged or missing, and as `read_manifest`.
        """
        try:
            files = self._listed(cell)
        except _DamagedError as error:
            raise ValueError(f"{error}. {_ONCE_MORE}") from None
        for name in names:
            if name in files and self._sha(cell, name) != files[name]:
                raise ValueError(
                    f"{self.path(cell, name)} is damaged or missing. {_ONCE_MORE}"
                )
        return [name for name in names if name not in files]

    def _listed(self, cell):
        """The files that the manifest of a cell lists, with their hashes."""
        path = self.path(cell, "cell.json")
        if not self._has_folder(cell) or not os.path.lexists(path):
            return {}
        content = self._read_cell(path)
        self._check_owner(cell, content, path)
        files = {}
        for name, sha in content["files"].items():
            if not (name in (MODEL, RESPONSES) or _TABLE_NAME.fullmatch(name)):
                raise ValueError(
                    f"{path} lists {name!r}, which is no file of a store. Remove the "
                    f"folder, and the model is trained again."
                )
            if name == MODEL or content.get("measures") == MEASURES:
                files[name] = sha
        return files

    @staticmethod
    def _read_cell(path):
        """The content of a manifest, or a _DamagedError."""
        try:
            content = json.loads(read_regular(path, _MOST_JSON))
            names = [*content["files"].values(), content["condition"]]
            if not all(isinstance(name, str) for name in names):
                raise TypeError("hashes are text")
            lam, seed = content["lam"], content["seed"]
            if not math.isfinite(lam) or isinstance(seed, bool | str):
                raise TypeError("lam and seed are numbers")
        except RecursionError:
            raise ValueError(f"{path} is nested too deeply. Remove it.") from None
        except _MALFORMED as error:
            raise _DamagedError(f"{path} is damaged ({error})") from error
        return content

    @staticmethod
    def _check_owner(cell, content, path):
        found = Cell(content["condition"], content["lam"], content["seed"])
        same = found.condition == cell.condition and found.seed == cell.seed
        if not same or abs(found.lam - cell.lam) > 1e-6:
            raise ValueError(
                f"{path} is that of another model ({found}), and stands where the "
                f"model ({cell}) should be. Remove the folder, and that model is "
                f"trained."
            )

    def _whole(self, cell, files):
        """Those of the files that are there and have their hash."""
        whole = {n: sha for n, sha in files.items() if self._sha(cell, n) == sha}
        damaged = sorted(set(files) - set(whole))
        if not damaged:
            return whole
        lost = MODEL in damaged
        warn_user(
            f"{', '.join(damaged)} of the model ({cell}) in {self.folder} "
            f"{'are' if len(damaged) > 1 else 'is'} damaged or missing: "
            f"{'the model is trained and ' if lost else ''}measured again.",
        )
        return {} if lost else whole

    def _sha(self, cell, name):
        """The hash of a file, read in parts; None where there is none."""
        try:
            with open_regular(self.path(cell, name), _MOST_TENSORS) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None

    def add(self, cell, files, known):
        """Write files of a cell, and then the manifest that makes them count."""
        if not self._has_folder(cell):
            self.path(cell).mkdir(exist_ok=True)
        manifest = dict(known)
        for name, data in files.items():
            # measures are soon made again, and their hash is compared
            write_atomically(self.path(cell, name), data, durable=name == MODEL)
            manifest[name] = hashlib.sha256(data).hexdigest()
        content = {**dataclasses.asdict(cell), "measures": MEASURES}
        content["files"] = manifest = dict(sorted(manifest.items()))
        text = json.dumps(content, indent=1)
        write_atomically(self.path(cell, "cell.json"), text.encode())
        return manifest

    def load_model(self, cell, settings, cls):
        given = {name: settings[name] for name in GIVEN if callable(settings.get(name))}
        self._has_folder(cell)
        return cls.load(self.path(cell, MODEL), **given)

    def read_table(self, cell, group, layer=None):
        path = self.path(cell, table_name(group, layer))
        try:
            text = read_regular(path, _MOST_TABLE)
            return _parse_table(text, group)
        except (OSError, *_MALFORMED) as error:
            raise ValueError(
                f"{path} holds no table of measures ({error}). Remove it, and the "
                f"model is measured again."
            ) from error

    def read_responses(self, cell, shapes, optional=()):
        """Arrays that the study keeps of a model's responses.

        Parameters
        ----------
        cell : Cell
            The model.
        shapes : dict
            Shape of each array; None for an axis of any length.
        optional : collection of str, default=()
            Names of arrays that not every model has.

        Returns
        -------
        dict
            The arrays by name.
        """
        path = self.path(cell, RESPONSES)
        try:
            found = safetensors.numpy.load(read_regular(path, _MOST_TENSORS))
            if set(found) | set(optional) != set(shapes):
                raise ValueError(f"it holds {sorted(found)}, not {sorted(shapes)}")
            for name, array in found.items():
                given, shape = array.shape, shapes[name]
                fits = [n is None or n == m for n, m in zip(shape, given)]
                if len(given) != len(shape) or not all(fits):
                    raise ValueError(f"{name} has shape {given}, not {shape}")
        except (OSError, SafetensorError, *_MALFORMED) as error:
            raise ValueError(
                f"{path} holds no responses of the model ({cell}): {error}. Remove it, "
                f"and the model is measured again."
            ) from error
        return found


def _parse_table(text, group):
    table = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
    if list(table) != list(COLUMNS):
        raise ValueError(f"it has columns {list(table)}")
    # float reads what repr wrote to the last bit; a small grid may have no rows
    table["value"] = table["value"].map(float).astype(np.float64)
    table["n"] = table["n"].map(int).astype(np.int64)
    if not (table["group"] == group).all():
        raise ValueError(f"rows of another group than {group!r}")
    if table.duplicated(["measure", "parameter"]).any():
        raise ValueError("a row comes twice")
    return table


def table_name(group, layer=None):
    at = "" if layer is None else f"@{quote(layer, safe='')}"
    return f"measures_{quote(group, safe='')}{at}.csv"


def table_bytes(table):
    text = io.StringIO()
    # repr: the shortest text that is read back as the same float
    table.assign(value=table["value"].map(repr)).to_csv(text, index=False)
    return text.getvalue().encode()
