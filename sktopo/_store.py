"""The folder of a study: one subfolder a model, each file whole or absent (private)."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import warnings
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import safetensors.numpy

from sktopo._images import slices
from sktopo._saving import LIBRARY_VERSIONS, encode, name_of, write_atomically
from sktopo.classifier import TopographicCNNClassifier

FORMAT = 1
COLUMNS = ("group", "measure", "parameter", "value", "n")


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

    def __str__(self):
        return f"{self.condition}, lam {self.lam:g}, seed {self.seed}"


def digest(values):
    """What identifies an array: shape, dtype, and a hash of its values."""
    sha = hashlib.sha256()
    if values.dtype == object:
        sha.update(repr(values.tolist()).encode())
    else:
        size = max(1, 2**24 // max(1, values[:1].nbytes))
        for rows in slices(len(values), size):
            sha.update(np.ascontiguousarray(values[rows]))
    kind = {"shape": list(values.shape), "dtype": values.dtype.name}
    return {**kind, "sha256": sha.hexdigest()}


def describe_settings(settings):
    """Parameters of an estimator as JSON can hold them; callables by name."""
    described = {}
    for name, value in settings.items():
        if name == "callbacks":
            described[name] = [name_of(callback) for callback in value or []]
        else:
            described[name] = encode(value, name)
    return described


class Store:
    """A study's folder.

    ``study.json`` says what the models were trained on and how. A model's subfolder
    holds ``model.safetensors``, ``responses.safetensors`` and a ``.csv`` for each group
    of measures; its ``cell.json`` is written last and lists each file with its hash, so
    that what a killed process left half done is never taken for done.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    # ------------------------------------------------------------ the study itself

    def open(self, configuration, conditions):
        """Make the folder, or refuse one that belongs to another study."""
        path = self.folder / "study.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"The store {self.folder} is a file; give a folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        found = self._read_study(path)
        if found is None:
            if any(self.folder.glob("*__seed_*")):
                raise ValueError(
                    f"The store {self.folder} holds models, and no study.json that "
                    f"says how they were trained. Give another folder."
                )
            found = {"conditions": {}}
        else:
            self._compare(found, configuration, conditions)
        known = found["conditions"] | conditions
        if known != found["conditions"]:
            content = {"format": FORMAT, "versions": LIBRARY_VERSIONS, **configuration}
            content["conditions"] = known
            write_atomically(path, json.dumps(content, indent=1).encode())

    def _read_study(self, path):
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            if found["format"] != FORMAT:
                raise ValueError(f"it has format {found['format']!r}")
            if not all(isinstance(found[k], dict) for k in ("conditions", "versions")):
                raise ValueError("its conditions or versions are no objects")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} cannot be read ({error}). Give another folder as store, or "
                f"restore that file."
            ) from error
        return found

    def _compare(self, found, configuration, conditions):
        wanted = json.loads(json.dumps({**configuration, "conditions": conditions}))
        differences = []
        for part in configuration:
            differences += _differences(part, found.get(part), wanted[part])
        for name in conditions:
            if name in found["conditions"]:
                here, there = found["conditions"][name], wanted["conditions"][name]
                differences += _differences(f"condition {name}", here, there)
        if differences:
            raise ValueError(
                f"The store {self.folder} belongs to another study: "
                + "; ".join(differences)
                + ". Give another folder as store, or set back what differs."
            )
        others = {
            name: (version, LIBRARY_VERSIONS.get(name))
            for name, version in found["versions"].items()
            if LIBRARY_VERSIONS.get(name) != version
        }
        if others:
            changes = ", ".join(f"{n} {a} (now {b})" for n, (a, b) in others.items())
            warnings.warn(
                f"The store {self.folder} was begun with {changes}: models of before "
                f"and after may differ by more than their settings.",
                UserWarning,
                stacklevel=4,
            )

    # ------------------------------------------------------------ one model

    def path(self, cell, name=""):
        return self.folder / cell.folder / name

    def read_manifest(self, cell):
        """What a cell has: names of its files, each seen to be whole.

        A damaged file is left out, with a warning; without its weights a cell has
        nothing.
        """
        path = self.path(cell, "cell.json")
        if not path.exists():
            return {}
        try:
            files = json.loads(path.read_text())["files"]
            whole = {
                name: sha
                for name, sha in files.items()
                if self.path(cell, name).is_file() and self._sha(cell, name) == sha
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            warnings.warn(
                f"{path} is damaged ({error}); the model ({cell}) is trained again.",
                UserWarning,
                stacklevel=3,
            )
            return {}
        damaged = sorted(set(files) - set(whole))
        if damaged:
            lost = "model.safetensors" in damaged
            warnings.warn(
                f"{', '.join(damaged)} of the model ({cell}) in {self.folder} "
                f"{'are' if len(damaged) > 1 else 'is'} damaged or missing: "
                f"{'the model is trained and ' if lost else ''}measured again.",
                UserWarning,
                stacklevel=3,
            )
            return {} if lost else whole
        return whole

    def _sha(self, cell, name):
        return hashlib.sha256(self.path(cell, name).read_bytes()).hexdigest()

    def add(self, cell, files, known):
        """Write files of a cell, and then the manifest that makes them count."""
        self.path(cell).mkdir(parents=True, exist_ok=True)
        manifest = dict(known)
        for name, data in files.items():
            # measures are soon made again, and their hash is compared
            durable = name == "model.safetensors"
            write_atomically(self.path(cell, name), data, durable)
            manifest[name] = hashlib.sha256(data).hexdigest()
        manifest = dict(sorted(manifest.items()))
        content = json.dumps({**dataclasses.asdict(cell), "files": manifest}, indent=1)
        write_atomically(self.path(cell, "cell.json"), content.encode())
        return manifest

    def load_model(self, cell, settings):
        given = {
            name: settings[name]
            for name in ("backbone", "topo_loss")
            if callable(settings.get(name))
        }
        path = self.path(cell, "model.safetensors")
        return TopographicCNNClassifier.load(path, **given)

    def read_table(self, cell, group):
        path = self.path(cell, table_name(group))
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        # float reads what repr wrote to the last bit
        table["value"] = table["value"].map(float).astype(float)
        table["n"] = table["n"].map(int).astype(int)
        return table[list(COLUMNS)]

    def read_responses(self, cell):
        data = self.path(cell, "responses.safetensors").read_bytes()
        return safetensors.numpy.load(data)


def table_name(group):
    return f"measures_{quote(group, safe='')}.csv"


def table_bytes(table):
    text = io.StringIO()
    # repr: the shortest text that is read back as the same float
    table.assign(value=table["value"].map(repr)).to_csv(text, index=False)
    return text.getvalue().encode()


def _differences(name, found, wanted):
    """Where two descriptions differ, in words."""
    if found == wanted:
        return []
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return [f"{name} is {_short(found)} there and {_short(wanted)} here"]
    parts = []
    for key in dict.fromkeys([*found, *wanted]):
        parts += _differences(f"{name}: {key}", found.get(key), wanted.get(key))
    return parts


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 70 else text[:67] + "..."
