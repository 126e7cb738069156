"""Results of a study, from memory and from its store, without the data."""

import json
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import test_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import FitFailedWarning
from test_store import CELL, make_study, snapshot

from sktopo.study import StudyResults, TopographicStudy, load_results
from sktopo.study._store import Store

ATTRIBUTES = ("conditions", "base", "n_images", "versions")


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:200], y[:200], X[200:300], y[200:300]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A finished study, whose store is not written to."""
    store = tmp_path_factory.mktemp("whole") / "store"
    return make_study(store).run(*data)


@pytest.fixture
def store(whole, tmp_path):
    return shutil.copytree(whole.store, tmp_path / "store")


def mean_response(classifier, X, y):
    return pd.DataFrame(
        {"parameter": ["mean"], "value": [classifier.transform(X).mean()]}
    )


def assert_same(found, study):
    """Everything that results have, to the last bit."""
    assert isinstance(found, StudyResults)
    pd.testing.assert_frame_equal(found.table, study.results_, check_exact=True)
    pd.testing.assert_frame_equal(found.failures, study.failures_, check_exact=True)
    for name in ("summary", "compare", "consistency", "seed_pairs"):
        pd.testing.assert_frame_equal(
            getattr(found, name)(), getattr(study, name)(), check_exact=True
        )
    of_study = study._results()
    for name in ATTRIBUTES:
        assert getattr(found, name) == getattr(of_study, name)
    assert list(found.conditions) == list(of_study.conditions)
    for name in ("classes", "labels"):
        first, second = getattr(found, name), getattr(of_study, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    assert list(found.responses) == list(of_study.responses)
    for key, arrays in found.responses.items():
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, of_study.responses[key][name])


# ------------------------------------------------------------------ what is read


def test_results_are_those_of_the_study(data, tmp_path):
    conditions = {
        "a/b <c>": {"topo_loss": "as", "grid_shape": (2, 2), "lam": 0.25},
        "no_dropout": {"topo_loss": None, "dropout": 0.0},
    }
    study = make_study(
        tmp_path,
        topo_losses=["as", "ws"],
        lams=[3, 0.1],
        n_seeds=2,
        include=["smoothness", "performance"],
        measures={"own": mean_response},
        conditions=conditions,
        first_seed=7,
    ).run(*data)
    before = snapshot(tmp_path)
    found = load_results(tmp_path)
    assert_same(found, study)
    assert snapshot(tmp_path) == before
    assert found.grid_shape("a/b <c>") == (2, 2)
    assert found.grid_shape("ws") == (2, 3)
    with pytest.raises(ValueError, match=r"no condition 'wx'; there are .*'ws'"):
        found.grid_shape("wx")
    assert found.conditions["a/b <c>"]["lam"] == 0.25
    assert found.base["lr"] == 3e-3
    assert found.n_images == {"train": 200, "test": 100}
    assert repr(found) == (
        "StudyResults(14 models of control, as, ws, a/b <c>, no_dropout; "
        f"{len(study.results_)} values, 0 models left out)"
    )


def test_another_process_reads_them_without_data(whole, store, tmp_path):
    code = (
        "import sys; from sktopo.study import _figures, load_results;"
        "_figures.as_image.__defaults__ = (40,);"  # coarse, so that it is quick
        "found = load_results(sys.argv[1]); found.report(sys.argv[2], 'digits');"
        "found.table.to_pickle(sys.argv[3])"
    )
    page, table = tmp_path / "r.html", tmp_path / "table.pkl"
    subprocess.run([sys.executable, "-c", code, store, page, table], check=True)
    pd.testing.assert_frame_equal(
        pd.read_pickle(table), whole.results_, check_exact=True
    )
    assert "<h1>Topographic study of digits</h1>" in page.read_text()


def test_the_study_that_ran_last_is_read(data, store):
    """Seeds, conditions and measures that others added stay in the store."""
    larger = {"topo_losses": ["as", "ws"], "n_seeds": 2, "include": ["performance"]}
    for settings_ in (larger, {}, {"topo_losses": []}):
        study = make_study(store, **settings_).run(*data)
        assert_same(load_results(store), study)


LABELS = {
    "integers": np.array([-3, 7], dtype=np.int64),
    "small integers": np.array([3, 250], dtype=np.uint8),
    "big-endian integers": np.array([3, 250], dtype=">i4"),
    "booleans": np.array([False, True]),
    "floats": np.array([0.0, 2.0], dtype=np.float32),
    "strings": np.array(["", "ü <b>"]),
    "objects": np.array(["a", "\U0001f600 \n"], dtype=object),
    "large integers": np.array([0, 2**63], dtype=np.uint64),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(kind, data, tmp_path):
    X, y, X_test, y_test = data
    classes = LABELS[kind]
    study = make_study(tmp_path, topo_losses=[], include=["performance"])
    study.run(X, classes[y % 2], X_test, classes[y_test % 2])
    assert_same(load_results(tmp_path), study)


def test_many_classes_and_labels_of_another_kind(data, tmp_path):
    X, y, X_test, y_test = data
    study = make_study(tmp_path, topo_losses=[], include=["performance"])
    study.run(X, y > 4, X_test, (y_test > 4).astype(np.int16))
    found = load_results(tmp_path)
    assert found.classes.tolist() == [False, True]
    assert found.labels.dtype == np.int16
    study = make_study(tmp_path / "many", topo_losses=[], include=["performance"])
    X = np.concatenate([X, X, X, X])
    wanted = np.tile(np.arange(299, 274, -1), 4)
    study.run(X, np.arange(800) % 300, X_test, wanted)
    np.testing.assert_array_equal(load_results(tmp_path / "many").labels, wanted)


def test_results_are_read_where_nothing_can_be_written(whole, store, data):
    """Weights, and the lock, are no part of them."""
    for path in store.rglob("*"):
        if path.name in ("study.lock", "model.safetensors"):
            path.unlink()
    before = snapshot(store)
    assert_same(load_results(str(store)), whole)
    assert snapshot(store) == before


def test_results_of_a_study_do_not_need_its_store(data, tmp_path):
    study = make_study(tmp_path / "store", n_seeds=2).run(*data)
    wanted = load_results(tmp_path / "store").consistency()
    shutil.rmtree(tmp_path / "store")
    pd.testing.assert_frame_equal(study.consistency(), wanted, check_exact=True)


# ------------------------------------------------------------------ what is not there


def unlisted(store, name):
    """As a study that was killed before a file was made leaves it."""
    path = store / CELL / "cell.json"
    manifest = json.loads(path.read_text())
    del manifest["files"][name]
    path.write_text(json.dumps(manifest))
    (store / CELL / name).unlink()


HALF = {
    "no folder": lambda store: shutil.rmtree(store / CELL),
    "no manifest": lambda store: (store / CELL / "cell.json").unlink(),
    "no table": lambda store: unlisted(store, "measures_activity.csv"),
    "no responses": lambda store: unlisted(store, "responses.safetensors"),
}


@pytest.mark.parametrize("kind", HALF)
def test_models_that_are_not_finished_are_left_out_and_told(kind, whole, store):
    HALF[kind](store)
    message = r"1 of 2 models .* not finished; the first \(ws, lam 1, seed 100\)"
    with pytest.warns(UserWarning, match=message):
        found = load_results(store)
    wanted = whole.results_[whole.results_["condition"] == "control"]
    pd.testing.assert_frame_equal(found.table, wanted, check_exact=True)
    (row,) = found.failures.to_dict("records")
    assert (row["condition"], row["lam"], row["seed"]) == ("ws", 1.0, 100)
    assert row["error"].startswith("not finished: it lacks ")
    assert list(found.responses) == [("control", 0.0, 100)]


def test_no_model_is_finished(store):
    for folder in store.glob("*__seed_*"):
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r"2 of 2 models .* are not finished"):
        load_results(store)


def fails_for_ws(classifier, X, y):
    if classifier.topo_loss == "ws":
        raise RuntimeError("on purpose")
    return 1.0


def test_models_that_failed(data, tmp_path):
    study = make_study(tmp_path, measures={"own": fails_for_ws})
    with pytest.warns(FitFailedWarning, match="on purpose"):
        study.run(*data)
    with pytest.warns(UserWarning, match="lacks .*measures_own"):
        found = load_results(tmp_path)
    pd.testing.assert_frame_equal(found.table, study.results_, check_exact=True)
    assert found.failures["condition"].tolist() == study.failures_["condition"].tolist()


def test_a_store_of_the_first_house_is_to_be_run_once_more(whole, store, data):
    test_store.as_first_house(store)
    models = {k: v for k, v in snapshot(store).items() if "model" in k}
    with pytest.raises(
        ValueError, match="Run the study on it once more, with its data"
    ):
        load_results(store)
    make_study(store).run(*data)
    assert_same(load_results(store), whole)
    assert {k: v for k, v in snapshot(store).items() if "model" in k} == models


def test_older_measures_are_not_read(store):
    """They were defined otherwise; whoever has the data measures again."""
    for path in store.glob("*/cell.json"):
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "measures": 1}))
    with pytest.raises(ValueError, match=r"2 of 2 models .* Run the study on it"):
        load_results(store)


def test_what_is_no_store(tmp_path, whole):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load_results(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"holds no study\.json"):
        load_results(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; give the folder"):
        load_results(tmp_path / "file")
    for wrong in (None, 3, whole):
        with pytest.raises(TypeError, match=f"got a {type(wrong).__name__}"):
            load_results(wrong)
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(ValueError, match=r"study\.json cannot be read .*no object"):
        load_results(tmp_path)


# ------------------------------------------------------------------ what is damaged


@pytest.mark.parametrize("name", ["measures_activity.csv", "responses.safetensors"])
@pytest.mark.parametrize("damage", ["removed", "emptied", "changed"])
def test_damaged_files_are_named(name, damage, store):
    path = store / CELL / name
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "emptied" else path.read_bytes() + b"\n")
    with pytest.raises(
        ValueError, match=f"{re.escape(str(path))} is damaged or missing"
    ):
        load_results(store)


def test_a_damaged_manifest_is_named(store):
    (store / CELL / "cell.json").write_text("{")
    with pytest.raises(ValueError, match=r"cell\.json is damaged .* once more"):
        load_results(store)


@pytest.mark.parametrize("name", test_store.ATTACKS)
def test_results_from_a_stranger(name, store, whole, tmp_path):
    """One clear ValueError, or the right results; nothing else is read or written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"mine")
    test_store.ATTACKS[name](store, outside)
    before = snapshot(outside)
    if "study.lock" in name or name == "huge model":  # which are not read
        assert_same(load_results(store), whole)
    else:
        with pytest.raises(ValueError, match=str(store)):
            _ = list(load_results(store).responses.values())
    assert snapshot(outside) == before


WIDE = {"dtype": "str", "values": ["a", "b" * 2**20]}
CHANGES = {
    "too many models": {("plan", "n_seeds"): 10**12},
    "no models": {("plan", "n_seeds"): 0},
    "seeds of text": {("plan", "first_seed"): "1"},
    "no conditions": {("plan", "conditions"): {}},
    "unknown conditions": {("plan", "conditions"): {"xs": [1.0]}},
    "conditions that are a list": {("plan", "conditions"): ["ws"]},
    "lam of nothing": {("plan", "conditions"): {"ws": [float("nan")]}},
    "lams that are true": {("plan", "conditions"): {"ws": [True]}},
    "layers of numbers": {("plan", "layers"): [1]},
    "a layer for all": {("plan", "layers"): 3},
    "subjects that are conditions": {("plan", "subjects"): ["ws"]},
    "unknown subjects": {("plan", "subjects"): ["x"]},
    "groups of numbers": {("plan", "groups"): [1]},
    "no groups": {("plan", "groups"): []},
    "settings of text": {("conditions", "ws"): "x"},
    "grid of no units": {("estimator", "grid_shape"): {"tuple": [0, 3]}},
    "grid of text": {("estimator", "grid_shape"): "x"},
    "labels of text": {("labels", "test"): "???"},
    "too few labels": {("labels", "test"): "AAAA"},
    "labels that are no class": {("labels", "test"): "////" * 33 + "/w=="},
    "labels of odd dtype": {("labels", "test_dtype"): "x"},
    "classes that are unsorted": {("labels", "classes", "values"): [2, 1]},
    "one class": {("labels", "classes", "values"): [1]},
    "classes of odd dtype": {("labels", "classes", "dtype"): "V8"},
    "wide classes": {
        ("labels", "classes"): WIDE,
        ("labels", "test"): "AAAA" * 4096,
        ("data", "y_test", "shape"): [3 * 4096],
    },
    "versions of numbers": {("versions", "torch"): 1},
    "images of text": {("data", "y_test", "shape"): ["x"]},
}


def change(store, changes):
    content = json.loads((store / "study.json").read_text())
    for path, value in changes.items():
        part = content
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
    (store / "study.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", CHANGES)
def test_a_study_json_from_a_stranger(name, store):
    change(store, CHANGES[name])
    with pytest.raises(ValueError, match=r"study\.json cannot be read"):
        load_results(store)


def places(content, path=()):
    """All places in a JSON value."""
    if isinstance(content, dict | list):
        keys = content if isinstance(content, dict) else range(len(content))
        for key in keys:
            yield (*path, key)
            yield from places(content[key], (*path, key))


ODD = [None, True, -1, 2**70, 1e300, float("inf"), "", "x" * 99, "..", [], {}, [[1]]]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(where=st.randoms(use_true_random=False), value=st.sampled_from(ODD))
def test_any_change_of_study_json_is_read_or_refused(where, value, whole, store):
    content = json.loads((Store(whole.store).folder / "study.json").read_text())
    path = where.choice(list(places(content)))
    (store / "study.json").write_text(json.dumps(content))
    change(store, {path: value})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_results(store)
            _ = found.summary(), list(found.responses.values())
    except ValueError as error:
        if str(store) not in str(error):
            raise


def test_a_study_has_results_only_once_it_ran():
    with pytest.raises(ValueError, match=r"call run\(\) first"):
        TopographicStudy().compare()
