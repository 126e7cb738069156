"""The store of a study: fixed in its place, and safe to open whoever made it."""

import hashlib
import json
import multiprocessing
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from sktopo import TopographicCNNClassifier
from sktopo.study import TopographicStudy
from sktopo.study._store import MEASURES, Cell, Store

CELL = "ws__lam_1__seed_100"


def make_study(store, **changed):
    settings = {"topo_losses": ["ws"], "lams": [1], "n_seeds": 1, "verbose": 0}
    settings |= {"include": ["performance", "activity"], **changed}
    estimator = TopographicCNNClassifier(grid_shape=(2, 3), max_epochs=1, lr=3e-3)
    return TopographicStudy(estimator, store=store, **settings)


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:200], y[:200], X[200:300], y[200:300]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A finished store that is not written to."""
    store = tmp_path_factory.mktemp("whole") / "store"
    results = make_study(store).run(*data).results_
    return store, results


@pytest.fixture
def store(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "store")


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def set_file(folder, name, content):
    """Replace a file of a cell under a hash that is right."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "cell.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "cell.json").write_text(json.dumps(manifest))


# ------------------------------------------------------------------ where it is


def test_a_relative_store_is_that_of_its_study(data, tmp_path, monkeypatch):
    """After os.chdir a second study overwrote the models of the first."""
    studies = {}
    for seed, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        studies[name] = make_study("s", random_state=seed, n_jobs=2).run(*data)
    for name, study in studies.items():
        model = study.load_model("ws")  # from another working directory
        kept = TopographicCNNClassifier.load(
            tmp_path / name / "s" / CELL / "model.safetensors"
        )
        np.testing.assert_array_equal(model.grid_weights_, kept.grid_weights_)
    studies["a"].run(*data)
    assert not (tmp_path / "b" / "s" / "s").exists()
    first, second = (study.load_model("ws").grid_weights_ for study in studies.values())
    assert not np.array_equal(first, second)


def open_stores(folders, seed, barrier, found):
    for folder in folders:
        store = Store(folder)
        barrier.wait(timeout=300)
        try:
            described = {"random_state": seed, "estimator": {}, "data": {}}
            described |= {"conditions": {str(seed): {}}, "measures": {}}
            store.open(described, {}, n_channels=1)
        except ValueError as error:
            found.put((folder, seed, str(error)))
        else:
            found.put((folder, seed, None))


def test_two_studies_that_open_one_empty_store_do_not_mix(tmp_path):
    context = multiprocessing.get_context("spawn")
    folders = [tmp_path / str(trial) for trial in range(3)]
    barrier, found = context.Barrier(2), context.Queue()
    other = context.Process(target=open_stores, args=(folders, 1, barrier, found))
    other.start()
    open_stores(folders, 0, barrier, found)
    ended = [found.get(timeout=60) for _ in range(2) for _ in folders]
    other.join()
    for folder in folders:
        errors = {seed: error for where, seed, error in ended if where == folder}
        (winner,) = [seed for seed, error in errors.items() if error is None]
        assert "belongs to another study" in errors[1 - winner]
        content = json.loads((folder / "study.json").read_text())
        assert content["random_state"] == winner
        assert list(content["conditions"]) == [str(winner)]


# ------------------------------------------------------------------ of older versions


def as_first_house(store):
    """What commit 639e6ff wrote: fewer parameters, names of callables, old measures."""
    content = json.loads((store / "study.json").read_text())
    del content["measures"], content["estimator"]["class"], content["estimator"]["tol"]
    del content["plan"], content["labels"]
    (store / "study.json").write_text(json.dumps(content))
    for path in store.glob("*/cell.json"):
        manifest = json.loads(path.read_text())
        del manifest["measures"]
        path.write_text(json.dumps(manifest))
        for table in path.parent.glob("*.csv"):
            old = pd.read_csv(table, dtype=str, keep_default_na=False)
            old["value"] = "-1.0"
            set_file(path.parent, table.name, old.to_csv(index=False).encode())


def test_a_store_of_the_first_house_keeps_its_models(whole, store, data):
    """Parameters added since count as their defaults; measures are taken anew."""
    as_first_house(store)
    models = {k: v for k, v in snapshot(store).items() if "model" in k}
    study = make_study(store).run(*data)
    pd.testing.assert_frame_equal(study.results_, whole[1], check_exact=True)
    after = snapshot(store)
    assert {k: v for k, v in after.items() if "model" in k} == models
    manifest = json.loads(after[f"{CELL}/cell.json"])
    assert manifest["measures"] == MEASURES
    make_study(store).run(*data)
    assert snapshot(store) == after
    other = make_study(store)
    other.estimator.set_params(tol=0.1)
    with pytest.raises(ValueError, match=r"tol is 0\.0001 there and 0\.1 here"):
        other.run(*data)


def test_backbone_auto_in_a_store_of_format_1(data, tmp_path):
    """It stood for "small" with one channel, in the estimator and in conditions."""
    store = tmp_path / "store"
    study = make_study(store)
    study.estimator.set_params(backbone="small")
    study.run(*data)
    content = json.loads((store / "study.json").read_text())
    assert content["format"] == 2
    content |= {"format": 1}
    content["estimator"]["backbone"] = "auto"
    content["conditions"]["named"] = {"topo_loss": None, "backbone": "auto"}
    (store / "study.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match='backbone is "small" there and "auto" here'):
        make_study(store).run(*data)
    before = snapshot(store)
    study.set_params(conditions={"named": {"topo_loss": None, "backbone": "small"}})
    study.run(*data)
    changed = {k for k, v in snapshot(store).items() if before.get(k) != v}
    assert {k.split("__")[0] for k in changed} == {"study.json", "named"}
    again = json.loads((store / "study.json").read_text())
    assert (again["format"], again["estimator"]["backbone"]) == (2, "small")


# ------------------------------------------------------------------ from a stranger


def linked_folder(store, outside):
    shutil.move(store / CELL, outside / "cell")
    (store / CELL).symlink_to(outside / "cell")


def linked_empty_folder(store, outside):
    shutil.rmtree(store / CELL)
    (outside / "cell").mkdir()
    (store / CELL).symlink_to(outside / "cell")


def folder_that_is_a_file(store, outside):
    shutil.rmtree(store / CELL)
    (store / CELL).write_text("")


def dangling_folder(store, outside):
    shutil.rmtree(store / CELL)
    (store / CELL).symlink_to(outside / "cell")


def linked(name):
    def attack(store, outside):
        path = (store if name.startswith("study") else store / CELL) / name
        target = outside / "target"
        if path.exists():
            shutil.move(path, target)
        else:
            target.write_bytes(b"mine")
        path.symlink_to(target)

    return attack


def dangling(name):
    def attack(store, outside):
        path = (store if name.startswith("study") else store / CELL) / name
        path.unlink(missing_ok=True)
        path.symlink_to(outside / "target")

    return attack


def piped(name):
    def attack(store, outside):
        path = (store if name.startswith("study") else store / CELL) / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return attack


def deep(name):
    def attack(store, outside):
        path = (store if name.startswith("study") else store / CELL) / name
        path.write_text('{"a":' * 100_000)

    return attack


def names_other_files(name):
    def attack(store, outside):
        path = store / CELL / "cell.json"
        manifest = json.loads(path.read_text())
        manifest["files"][name.replace("OUTSIDE", str(outside))] = "0" * 64
        path.write_text(json.dumps(manifest))

    return attack


def huge(name):
    def attack(store, outside):
        path = (store if name.startswith("study") else store / CELL) / name
        with open(path, "r+b") as file:  # a hole: no disk is used
            file.truncate(2**40)

    return attack


def copied(name):
    def attack(store, outside):
        shutil.rmtree(store / CELL)
        shutil.copytree(store / "control__lam_0__seed_100", store / CELL)
        manifest = json.loads((store / CELL / "cell.json").read_text())
        wanted = {"condition": "ws", "lam": 1.0, "seed": 100}
        del wanted[name]
        (store / CELL / "cell.json").write_text(json.dumps({**manifest, **wanted}))
        if name == "seed":
            manifest = {**manifest, **wanted, "seed": 101}
            (store / CELL / "cell.json").write_text(json.dumps(manifest))

    return attack


def table(content):
    def attack(store, outside):
        set_file(store / CELL, "measures_activity.csv", content)

    return attack


def arrays(**changed):
    def attack(store, outside):
        path = store / CELL / "responses.safetensors"
        found = safetensors.numpy.load(path.read_bytes())
        found |= {k: v for k, v in changed.items() if v is not None}
        found = {k: v for k, v in found.items() if changed.get(k, v) is not None}
        set_file(store / CELL, path.name, safetensors.numpy.save(found))

    return attack


def junk_responses(store, outside):
    set_file(store / CELL, "responses.safetensors", b"junk")


HEAD = b"group,measure,parameter,value,n\n"
ROW = b"activity,variance,,0.5,6\n"
ATTACKS = {
    "linked folder": linked_folder,
    "linked empty folder": linked_empty_folder,
    "dangling folder": dangling_folder,
    "folder that is a file": folder_that_is_a_file,
    **{
        f"{attack.__name__} {name}": attack(name)
        for attack in (linked, dangling, piped)
        for name in (
            *("study.json", "study.lock", "cell.json", "model.safetensors"),
            *("responses.safetensors", "measures_activity.csv"),
        )
    },
    "deep study.json": deep("study.json"),
    "deep cell.json": deep("cell.json"),
    "huge study.json": huge("study.json"),
    "huge responses": huge("responses.safetensors"),
    "huge model": huge("model.safetensors"),
    "names ../x": names_other_files("../../outside/x"),
    "names /x": names_other_files("OUTSIDE/x"),
    "names more": names_other_files("script.py"),
    "names measures elsewhere": names_other_files("measures_/../../x.csv"),
    "another condition": copied("condition"),
    "another lam": copied("lam"),
    "another seed": copied("seed"),
    "junk table": table(b"\xff\xfe\0junk"),
    "empty table": table(b""),
    "table of other columns": table(b"a,b\n1,2\n"),
    "values of text": table(HEAD + b"activity,variance,,high,6\n"),
    "n of text": table(HEAD + b"activity,variance,,0.5,many\n"),
    "n too large": table(HEAD + b"activity,variance,,0.5,1" + b"0" * 40 + b"\n"),
    "rows of another group": table(HEAD + b"performance,accuracy,,1.0,6\n"),
    "rows that come twice": table(HEAD + ROW + ROW),
    "ragged rows": table(HEAD + ROW + b"a,b,c,d,e,f,g\n"),
    "junk responses": junk_responses,
    "responses of other units": arrays(activations=np.zeros((3, 7), np.float32)),
    "responses of other axes": arrays(readout=np.zeros(3, np.float32)),
    "responses that lack one": arrays(rows=None),
    "more responses": arrays(more=np.zeros(3, np.float32)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_store_from_a_stranger(name, store, data, tmp_path):
    """One clear ValueError; nothing elsewhere is read into results, made or changed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"mine")
    ATTACKS[name](store, outside)
    before = snapshot(outside)
    with pytest.raises(ValueError, match=str(store)):
        make_study(store).run(*data)
    assert snapshot(outside) == before


@pytest.mark.parametrize("name", ["model.safetensors", "cell.json", ".sktopo-1.tmp"])
def test_what_is_not_yet_there_is_not_written_elsewhere(name, store, data, tmp_path):
    """A dangling link where a file will be made."""
    shutil.rmtree(store / CELL)
    (store / CELL).mkdir()
    (store / CELL / name).symlink_to(tmp_path / "target")
    with pytest.raises(ValueError, match="link"):
        make_study(store).run(*data)
    assert not (tmp_path / "target").exists()


def test_a_store_may_be_reached_by_a_link(whole, store, data, tmp_path):
    (tmp_path / "shortcut").symlink_to(store)
    study = make_study(tmp_path / "shortcut").run(*data)
    pd.testing.assert_frame_equal(study.results_, whole[1], check_exact=True)


def test_folders_of_cells():
    assert Cell("a/b", 0.5, 100).folder == "a%2Fb__lam_0.5__seed_100"
    assert Cell("..", 1.0, 100).folder == "..__lam_1__seed_100"
