import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import FitFailedWarning
from skorch.callbacks import Callback, EarlyStopping

from sktopo import TopographicCNNClassifier, measure
from sktopo.losses import ActivationSimilarity
from sktopo.study import TopographicStudy
from sktopo.study._guests import as_table

COLUMNS = "condition lam seed group measure parameter value n".split()  # noqa: SIM905
QUICK = {
    "topo_losses": ["ws"],
    "lams": [1],
    "n_seeds": 2,
    "include": ["performance", "smoothness", "activity"],
    "verbose": 0,
}


def quick_estimator(**changed):
    plain = {"grid_shape": (3, 4), "max_epochs": 1, "lr": 3e-3}
    return TopographicCNNClassifier(**{**plain, **changed})


def quick_study(**changed):
    estimator = changed.pop("estimator", quick_estimator())
    return TopographicStudy(estimator, **{**QUICK, **changed})


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:300], y[:300], X[300:500], y[300:500]


@pytest.fixture(scope="module")
def study(data):
    return quick_study().run(*data)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """The store of such a study."""
    store = tmp_path_factory.mktemp("finished")
    quick_study(store=store).run(*data)
    return store


@pytest.fixture
def whole_store(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "store")


def assert_same_results(first, second):
    pd.testing.assert_frame_equal(first.results_, second.results_, check_exact=True)
    pd.testing.assert_frame_equal(
        first.consistency(), second.consistency(), check_exact=True
    )


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ------------------------------------------------------------------ what it computes


def test_results_are_those_of_models_run_one_by_one(study, data):
    X, y, X_test, y_test = data
    assert study.results_.columns.tolist() == COLUMNS
    for seed in (100, 101):
        sequence = np.random.SeedSequence([0, seed])
        state = int(sequence.generate_state(1)[0])
        control, ws = (
            quick_estimator(topo_loss=loss, random_state=state).fit(X, y)
            for loss in (None, "ws")
        )
        for name, clf in (("control", control), ("ws", ws)):
            alone = measure(
                clf,
                X_test,
                y_test,
                QUICK["include"],
                reference=control,
                random_state=state,
            )
            found = study.results_
            found = found[(found["seed"] == seed) & (found["condition"] == name)]
            pd.testing.assert_frame_equal(
                found[alone.columns].reset_index(drop=True), alone, check_exact=True
            )


def test_control_has_no_lam_and_conditions_come_in_order(study):
    found = study.results_[["condition", "lam", "seed"]].drop_duplicates()
    assert found.values.tolist() == [
        *[["control", 0.0, 100], ["control", 0.0, 101]],
        *[["ws", 1.0, 100], ["ws", 1.0, 101]],
    ]
    cells = study.cells()
    assert cells.values.tolist() == found.values.tolist()
    assert study.failures_.empty


def test_the_first_seed_moves_the_seeds_and_changes_no_model(data, tmp_path):
    """Parts of a study may be run apart, and into one store."""
    small = {"include": ["performance"], "store": tmp_path}
    later = quick_study(first_seed=101, n_seeds=1, **small).run(*data)
    assert later.results_["seed"].unique().tolist() == [101]
    assert later.load_model("ws").random_state == 3608831833
    before = files(tmp_path)
    whole = quick_study(**small).run(*data)
    assert whole.results_["seed"].unique().tolist() == [100, 101]
    models = {k: v for k, v in files(tmp_path).items() if k in before}
    assert {k for k in models if models[k] != before[k]} <= {"study.json"}
    assert quick_study(first_seed=7).cells()["seed"].tolist() == [7, 8, 7, 8]
    with pytest.raises(ValueError, match=r"seed=100; see cells\(\)"):
        later.load_model("ws", seed=100)


def test_defaults_are_the_papers():
    cells = TopographicStudy().cells()
    assert len(cells) == 10 + 3 * 6 * 10
    assert sorted(cells["lam"].unique()) == [0, 0.1, 0.3, 0.5, 1, 2, 3]
    assert sorted(cells["seed"].unique()) == list(range(100, 110))


def test_conditions_of_ones_own(data):
    conditions = {
        "ws_cosine": {"topo_loss": "ws", "distance": "cosine", "lam": 2},
        "wide": {"topo_loss": "ws", "grid_shape": (4, 4)},
        "control_no_dropout": {"topo_loss": None, "dropout": 0.0},
        "no_dropout": {"topo_loss": None, "backbone": flat},
    }
    study = quick_study(
        topo_losses=[ActivationSimilarity],
        conditions=conditions,
        lams=[0.5, 1],
        include=["performance"],
    ).run(*data)
    lams = study.results_.groupby("condition", sort=False)["lam"].unique()
    assert {name: found.tolist() for name, found in lams.items()} == {
        "control": [0],
        "ActivationSimilarity": [0.5, 1],
        "ws_cosine": [2],
        "wide": [0.5, 1],
        "control_no_dropout": [0],
        "no_dropout": [0],
    }
    assert study.summary()["n_seeds"].eq(2).all()
    compared = study.compare(to="ws_cosine")
    assert set(compared["condition"]) == set(lams.index) - {"ws_cosine"}


def flat(image_shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(6))


def share_of_silent_units(classifier, X, y):
    return float((classifier.transform(X) <= 0).all(axis=0).mean())


def largest_responses(classifier, X, y):
    largest = classifier.transform(X).max(axis=1)
    return pd.DataFrame({"parameter": ["mean"], "value": [largest.mean()]})


def test_measures_of_ones_own(data, tmp_path):
    study = quick_study(
        include=["performance"],
        measures={"silent": share_of_silent_units},
        store=tmp_path,
    )
    study.run(*data)
    found = study.results_[study.results_["group"] == "silent"]
    assert found["value"].between(0, 1).all()
    assert found["n"].eq(len(data[3])).all()
    study.measures = {"silent": share_of_silent_units, "largest": largest_responses}
    before = {name: b for name, b in files(tmp_path).items() if "model" in name}
    study.run(*data)
    assert study.summary()["parameter"].tolist().count("mean") == 2
    assert {k: v for k, v in files(tmp_path).items() if "model" in k} == before
    with pytest.raises(ValueError, match="names of their own"):
        quick_study(measures={"tuning": largest_responses}).run(*data)


def test_a_seed_is_one_initialisation_order_and_noise(data, tmp_path):
    """With lam 0 a condition is the control, to the last bit."""
    study = quick_study(lams=[0], include=["performance", "robustness"])
    study.store = tmp_path
    study.run(*data)
    differences = study.compare()
    assert differences["difference"].eq(0).all()
    weights = [
        study.load_model(name, seed=seed).grid_weights_
        for name in ("control", "ws")
        for seed in (100, 101)
    ]
    np.testing.assert_array_equal(weights[0], weights[2])
    assert not np.array_equal(weights[0], weights[1])


def test_consistency_is_that_of_the_metric(data, tmp_path):
    from sktopo.metrics import consistency

    study = quick_study(n_seeds=3, store=tmp_path).run(*data)
    table = study.consistency()
    assert len(table) == 2 * 4
    models = [study.load_model("ws", 1.0, seed) for seed in (100, 101, 102)]
    oracle = consistency([m.transform(data[2]) for m in models], data[3])
    row = table[
        (table["condition"] == "ws") & (table["representation"] == "activations")
    ]
    assert row["mean"].item() == pytest.approx(oracle.mean)
    assert row["standard_error"].item() == pytest.approx(oracle.standard_error)
    assert row["n_seeds"].item() == 3
    readout = consistency([m.readout_weights_ for m in models])
    row = table[(table["condition"] == "ws") & (table["representation"] == "readout")]
    assert row["mean"].item() == pytest.approx(readout.mean)


@pytest.mark.long
def test_study_of_the_digits(digits, coarse_figures, tmp_path):
    """Control, WS and AS, six seeds, every measure, judged and reported."""
    X, y = digits
    study = TopographicStudy(
        TopographicCNNClassifier(
            backbone="small", max_epochs=6, lr=1e-2, batch_size=32
        ),
        topo_losses=["ws", "as"],
        lams=[1],
        n_seeds=6,
        verbose=0,
    ).run(X[:640], y[:640], X[1200:1350], y[1200:1350])
    assert len(study.results_[["condition", "lam", "seed"]].drop_duplicates()) == 18
    assert set(study.results_["group"]) == {
        *("performance", "smoothness", "localization", "selectivity", "activity"),
        *("dimensionality", "geometry", "robustness", "tuning"),
    }
    compared = study.compare().set_index(["condition", "measure", "parameter"])
    for condition in ("ws", "as"):
        moran = compared.loc[condition, "morans_i", "neighborhood=moore"]
        assert moran["low"] > 0.2
        assert moran["p_sign_flip"] == 2 / 64
        assert moran["n"] == 6
    with pytest.warns(FutureWarning, match=r"sktopo\.replication\.claims") as told:
        table = study.claims()
    assert told[0].filename == __file__
    assert set(table.loc[table["kind"] == "test", "verdict"]) == {"not testable"}
    study.report(tmp_path / "report.html")
    assert "6 seeds" in (tmp_path / "report.html").read_text()


# ------------------------------------------------------------------ where it runs


def threads_in_use(classifier, X, y):
    from threadpoolctl import threadpool_info

    pools = [pool["num_threads"] for pool in threadpool_info()]
    rows = [("pid", os.getpid()), ("torch", torch.get_num_threads())]
    rows.append(("pools", max(pools, default=1)))
    return pd.DataFrame(rows, columns=["measure", "value"])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cells_run_with_one_thread_alone_or_in_workers(n_jobs, data, study):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = quick_study(n_jobs=n_jobs, measures={"threads": threads_in_use})
        found.run(*data)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    table = found.results_[found.results_["group"] == "threads"]
    values = table.groupby("measure")["value"].unique()
    assert (os.getpid() in values["pid"]) == (n_jobs == 1)
    assert values["torch"].tolist() == [1]
    assert values["pools"].tolist() == [1]
    found.results_ = found.results_[found.results_["group"] != "threads"]
    found.results_ = found.results_.reset_index(drop=True)
    assert_same_results(found, study)


class Counter:
    """A measure that remembers how often it was taken."""

    calls = 0

    def __call__(self, classifier, X, y):
        self.calls += 1
        return self.calls


def test_one_job_writes_what_workers_write(data, tmp_path):
    """Models, responses and measures, to the last bit."""
    counter = Counter()
    settings = {"include": "all", "measures": {"calls": counter}, "topo_losses": []}
    settings["conditions"] = {"deep": {"topo_loss": "as", "backbone": "deep"}}
    first = quick_study(**settings, store=tmp_path / "1").run(*data)
    second = quick_study(**settings, store=tmp_path / "2", n_jobs=2).run(*data)
    assert_same_results(first, second)
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert counter.calls == 0


def test_progress(data, capsys):
    small = {"n_seeds": 1, "include": ["performance"]}
    quick_study(**small, verbose=1).run(*data)
    assert re.search(r"2/2 .*model", capsys.readouterr().err)
    quick_study(**small, verbose=0).run(*data)
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------ the store


def test_a_finished_study_is_only_read(data, study, tmp_path):
    first = quick_study(store=tmp_path / "new" / "store").run(*data)
    assert_same_results(first, study)
    before = files(tmp_path)
    again = quick_study(store=tmp_path / "new" / "store").run(*data)
    assert_same_results(again, study)
    assert files(tmp_path) == before


def test_what_is_added_later_is_all_that_is_computed(data, tmp_path):
    store = tmp_path / "store"
    small = {"n_seeds": 1, "include": ["performance"], "store": store}
    quick_study(**small).run(*data)
    before = files(store)
    large = {"lams": [1, 3], "topo_losses": ["ws", "as"], "n_seeds": 2}
    large["include"] = ["performance", "smoothness"]
    added = quick_study(**large, store=store).run(*data)
    after = files(store)
    for name, content in before.items():
        if not name.endswith(".json"):
            assert after[name] == content
    assert_same_results(added, quick_study(**large).run(*data))
    fewer = quick_study(**small).run(*data)
    assert len(fewer.results_) == 2


OWN = {
    "n_seeds": 1,
    "topo_losses": [],
    "conditions": {"x": {"dropout": 0.2}},
    "include": ["performance"],
}


@pytest.fixture(scope="module")
def store_of_ones_own(data, tmp_path_factory):
    store = tmp_path_factory.mktemp("own")
    quick_study(**OWN, store=store).run(*data)
    return store


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"random_state": 1}, "random_state is 0 there and 1 here"),
        (
            {"estimator": quick_estimator(lr=0.1)},
            "estimator: lr is 0.003 there and 0.1",
        ),
        ({"estimator": None}, "estimator: grid_shape"),
        ({"conditions": {"x": {"dropout": 0.1}}}, "condition x: dropout is 0.2 there"),
        ({"X": 1}, "data: X_train: sha256"),
        ({"y": 1}, "data: y_test: sha256"),
        (
            {"n": 1},
            r"data: X_train: shape is \[300, 1, 8, 8\] there and \[299, 1, 8, 8\]",
        ),
    ],
)
def test_a_store_of_another_study_is_refused(changed, message, data, store_of_ones_own):
    settings = {**OWN, "store": store_of_ones_own}
    before = files(store_of_ones_own)
    X, y, X_test, y_test = data
    if "X" in changed:
        X = X.copy()
        X[0, 0, 0, 0] += 1
    elif "y" in changed:
        y_test = y_test[::-1]
    elif "n" in changed:
        X, y = X[:299], y[:299]
    else:
        settings.update(changed)
    with pytest.raises(ValueError, match=message):
        quick_study(**settings).run(X, y, X_test, y_test)
    assert files(store_of_ones_own) == before


def test_a_folder_that_is_no_store_is_refused(data, tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ValueError, match=r"study\.json cannot be read"):
        quick_study(store=tmp_path).run(*data)
    (tmp_path / "study.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match="it has format 7"):
        quick_study(store=tmp_path).run(*data)
    (tmp_path / "study.json").unlink()
    (tmp_path / "ws__lam_1__seed_100").mkdir()
    with pytest.raises(ValueError, match=r"no study\.json"):
        quick_study(store=tmp_path).run(*data)


def test_other_versions_are_told(data, whole_store):
    path = whole_store / "study.json"
    content = json.loads(path.read_text())
    content["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"begun with torch 1\.0 \(now "):
        quick_study(store=whole_store).run(*data)


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "flipped": lambda path: path.write_bytes(
        path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])
    ),
    "removed": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "measures_smoothness.csv", "responses.safetensors"],
)
def test_a_damaged_file_is_made_again(kind, name, data, study, whole_store):
    before = files(whole_store)
    for folder in ("control__lam_0__seed_101", "ws__lam_1__seed_100"):
        DAMAGE[kind](whole_store / folder / name)
    with pytest.warns(UserWarning, match=rf"{name} of the model") as caught:
        again = quick_study(store=whole_store).run(*data)
    assert len(caught) == 2
    assert_same_results(again, study)
    assert files(whole_store) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": 3}', b"\xff\xfe"])
def test_a_damaged_list_of_files(content, data, study, whole_store):
    (whole_store / "ws__lam_1__seed_100" / "cell.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"cell\.json is damaged"):
        again = quick_study(store=whole_store).run(*data)
    assert_same_results(again, study)


KILLED = """
import contextlib, os, random, signal, sys, time, warnings
import torch
torch.set_num_threads(1)
from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.study import TopographicStudy

X, y = load_digits_images(return_X_y=True)
data = X[:300], y[:300], X[300:500], y[300:500]

def run(store, n_jobs):
    TopographicStudy(
        TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1, lr=3e-3),
        topo_losses=["ws"], lams=[1, 2, 3, 4], n_seeds=2, verbose=0,
        store=store, include=["performance", "smoothness", "activity"],
        n_jobs=n_jobs,
    ).run(*data)

def n_files(store):
    return sum(len(names) for _, _, names in os.walk(store))

warnings.simplefilter("error")  # what a kill leaves is not damage
rng, children, store = random.Random(0), [], 0
alone, whole, parent = (1, os.kill), (2, os.killpg), (2, os.kill)
kills = [alone, parent, alone, alone, whole, alone]
while kills:
    n_jobs, kill = kills[0]
    path = os.path.join(sys.argv[1], str(store))
    moment = n_files(path) + rng.randrange(10)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        run(path, n_jobs)
        os._exit(0)
    os.setpgid(child, child)  # whichever of both is first
    children.append(child)
    ended = 0
    while n_files(path) < moment and not ended:
        time.sleep(0.005)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        time.sleep(rng.uniform(0, 0.02))
        kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if status == 0:
        store += 1  # it is whole: the next one starts anew
    else:
        assert os.WTERMSIG(status) == signal.SIGKILL
        del kills[0]
for child in children:  # workers that outlived their process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
print(store + 1)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_study_goes_on_to_the_same_results(data, tmp_path):
    """Its process alone, or with its workers, at six moments."""
    lams = {"lams": [1, 2, 3, 4]}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    whole = quick_study(**lams).run(*data)
    for store in range(int(done.stdout)):
        found = quick_study(**lams, store=tmp_path / str(store)).run(*data)
        assert_same_results(found, whole)


# ------------------------------------------------------------------ what goes wrong


def test_a_model_that_fails_is_told_and_left_out(data, coarse_figures, tmp_path):
    conditions = {"bad": {"topo_loss": "ws", "lr": 1e30}}
    study = quick_study(conditions=conditions, store=tmp_path)
    with pytest.warns(FitFailedWarning, match=r"2 of 6 models .*bad, lam 1, seed 100"):
        study.run(*data)
    assert study.failures_["condition"].tolist() == ["bad", "bad"]
    assert study.failures_["error"].str.contains("no longer finite").all()
    assert set(study.results_["condition"]) == {"control", "ws"}
    assert len(study.compare()) > 0
    study.report(tmp_path / "report.html")
    assert "2 models failed" in (tmp_path / "report.html").read_text()


def test_a_failed_control_fails_its_seed(data):
    with pytest.raises(ValueError, match="4 of 4 models could not be trained"):
        quick_study(estimator=quick_estimator(lr=1e30)).run(*data)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"estimator": 3}, TypeError, "estimator must be a TopographicCNNClassifier"),
        ({"n_seeds": 0}, ValueError, "n_seeds must be an integer of 1 or more"),
        ({"n_seeds": 2.5}, ValueError, "n_seeds must be an integer"),
        ({"first_seed": -1}, ValueError, "first_seed must be an integer of 0 or more"),
        ({"first_seed": "x"}, ValueError, "first_seed must be an integer"),
        ({"random_state": None}, ValueError, "random_state must be an integer"),
        ({"lams": [-1]}, ValueError, "lams must be finite numbers of 0 or more"),
        ({"lams": ["1"]}, ValueError, "lams must be finite"),
        ({"topo_losses": ["wx"]}, ValueError, "Condition 'wx'"),
        ({"topo_losses": [3]}, ValueError, "has no name"),
        ({"include": ["smooth"]}, ValueError, "include must be 'all' or among"),
        ({"conditions": {"ws": {}}}, ValueError, "names of their own, not 'ws'"),
        ({"conditions": {"x": {"dropuot": 1}}}, ValueError, "Condition 'x'.*dropuot"),
        ({"conditions": {"x": {"random_state": 1}}}, ValueError, "sets random_state"),
        ({"measures": {"x": 3}}, ValueError, "measures must be callables"),
        ({"include": []}, ValueError, "nothing to measure"),
        ({"measures": ["x"]}, TypeError, "measures must map names to callables"),
        ({"conditions": ["x"]}, TypeError, "conditions must map names to settings"),
        (
            {"conditions": {"x": 3}},
            TypeError,
            "settings of condition 'x' must be a dict",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(changed, error, message, data):
    with pytest.raises(error, match=message):
        quick_study(**changed).run(*data)
    with pytest.raises(error, match=message):
        quick_study(**changed).cells()


def test_wrong_data_is_refused_before_anything_runs(data):
    X, y, X_test, y_test = data
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick_study().run(X, y[:-1], X_test, y_test)
    with pytest.raises(ValueError, match=r"images of shape \(1, 7, 8\)"):
        quick_study().run(X, y, X_test[:, :, 1:], y_test)
    with pytest.raises(ValueError, match="one class only"):
        quick_study().run(X, 0 * y, X_test, 0 * y_test)
    with pytest.raises(ValueError, match="Unknown label type"):
        quick_study().run(X, y / 7, X_test, y_test)
    with pytest.raises(ValueError, match="is a file; give a folder"):
        quick_study(store=__file__).run(*data)
    with pytest.raises(ValueError, match=r"classes that y_train does not: \[99\]"):
        quick_study().run(X, y, X_test, np.where(y_test == 3, 99, y_test))


@pytest.mark.parametrize("losses", [None, [], [None], [None, "ws"], "ws"])
def test_the_control_is_there_once(losses):
    cells = quick_study(topo_losses=losses).cells()
    assert cells["condition"].tolist()[:2] == ["control"] * 2
    assert len(cells) == (4 if losses and "ws" in losses else 2)


def test_a_study_is_shown_and_copied_as_an_estimator(study):
    assert "topo_losses=['ws']" in repr(study)
    assert study.get_params()["estimator__lr"] == 3e-3


def test_data_in_the_order_of_train_test_split(data):
    X, y, X_test, y_test = data
    for images, test in ((X, X_test), (X.reshape(len(X), -1), X_test[:, 0, 0])):
        with pytest.raises(ValueError, match=r"y_train has shape .*, in this order"):
            quick_study().run(images, test, y, y_test)


def test_before_it_was_run(tmp_path):
    study = quick_study()
    for call in (study.summary, study.compare, study.consistency):
        with pytest.raises(ValueError, match=r"call run\(\) first"):
            call()
    with pytest.raises(ValueError, match=r"call run\(\) first"):
        study.report(tmp_path / "report.html")
    with pytest.raises(ValueError, match="keeps no models"):
        study.load_model("ws")


# ------------------------------------------------------------------ pictures


def test_plot(study):
    pytest.importorskip("matplotlib")
    display = study.plot("morans_i", "neighborhood=moore")
    summary = study.summary().set_index(["condition", "measure", "parameter"])
    drawn = display.summary_.set_index("condition")["mean"]
    for condition in ("control", "ws"):
        wanted = summary.loc[(condition, "morans_i", "neighborhood=moore"), "mean"]
        assert drawn[condition] == pytest.approx(wanted)
    assert study.plot("accuracy").ax_.get_ylabel() == "accuracy"
    with pytest.raises(ValueError, match=r"several parameters.*neighborhood=moore"):
        study.plot("morans_i")
    with pytest.raises(ValueError, match="No measure 'moran'"):
        study.plot("moran")


# ------------------------------------------------------------------ what a setting is


def scaled(image_shape, width=6):
    layers = torch.nn.Flatten(), torch.nn.LazyLinear(width)
    return torch.nn.Sequential(*layers)


def shifted(images, by):
    return images.roll(by, dims=3)


class Shrunken(ActivationSimilarity):
    def __init__(self, grid_shape, neighborhood="moore", factor=1.0):
        super().__init__(grid_shape, neighborhood=neighborhood)
        self.factor = factor

    def forward(self, x):
        return self.factor * super().forward(x)


class Renamed(TopographicCNNClassifier):
    """A subclass may train in another way."""


def constant(classifier, X, y, value=1.0):
    return value


HOLDING_CALLABLES = {
    "backbone": lambda k: partial(scaled, width=k),
    "topo_loss": lambda k: partial(Shrunken, factor=float(k)),
    "augment": lambda k: partial(shifted, by=k),
    "optimizer": lambda k: partial(torch.optim.SGD, momentum=k / 10),
    "callbacks": lambda k: [EarlyStopping(monitor="train_loss", patience=k)],
}
SMALL = {"n_seeds": 1, "include": ["performance"], "topo_losses": []}


def test_all_parameters_that_hold_callables_are_tried():
    constraints = TopographicCNNClassifier._parameter_constraints
    holding = {name for name, kinds in constraints.items() if callable in kinds}
    assert holding | {"callbacks"} == set(HOLDING_CALLABLES)


@pytest.mark.parametrize("name", HOLDING_CALLABLES)
@pytest.mark.parametrize("where", ["estimator", "conditions"])
def test_a_callable_with_other_arguments_is_another_setting(
    name, where, data, tmp_path
):
    """Old results came back for partial(backbone, width=4) asked with width=3."""

    def study(k):
        settings = {name: HOLDING_CALLABLES[name](k)}
        if where == "estimator":
            changed = {"estimator": quick_estimator(**settings)}
        else:
            changed = {"conditions": {"own": {"topo_loss": "ws", **settings}}}
        return quick_study(**SMALL, store=tmp_path, **changed)

    first = study(3).run(*data)
    before = files(tmp_path)
    assert_same_results(study(3).run(*data), first)
    with pytest.raises(
        ValueError, match=rf"{name}: .*3(\.0)? there and .*4(\.0)? here"
    ):
        study(4).run(*data)
    assert files(tmp_path) == before


def test_a_backbone_of_ones_own_for_all_conditions(data, tmp_path):
    """Models with a loss could not load their control, whose file holds no code."""
    estimator = quick_estimator(backbone=partial(scaled, width=3))
    study = quick_study(estimator=estimator, n_seeds=1, store=tmp_path).run(*data)
    assert study.failures_.empty
    assert study.results_["condition"].unique().tolist() == ["control", "ws"]
    study.measures = {"own": constant}
    assert len(study.run(*data).results_["group"].unique()) == 4
    assert study.load_model("ws").backbone.keywords == {"width": 3}


def test_a_subclass_and_a_measure_with_other_settings_are_told_apart(data, tmp_path):
    settings = {**SMALL, "store": tmp_path}
    quick_study(**settings, measures={"own": partial(constant, value=1.0)}).run(*data)
    with pytest.raises(ValueError, match=r"measure own: keywords: value is 1.0 there"):
        quick_study(**settings, measures={"own": partial(constant, value=2.0)}).run(
            *data
        )
    other = Renamed(**quick_estimator().get_params())
    with pytest.raises(ValueError, match=r"class: callable is .*Topographic"):
        quick_study(**settings, estimator=other).run(*data)
    own = quick_study(**SMALL, store=tmp_path / "own", estimator=other).run(*data)
    assert type(own.load_model("control")) is Renamed


def another(name):
    return type(name, (Shrunken,), {})


@pytest.mark.parametrize(
    "losses",
    [[Shrunken, another("Shrunken")], [another("control")], ["ws", another("ws")]],
)
def test_losses_of_one_name_are_refused(losses):
    """One of them was dropped, or took the place of the control."""
    with pytest.raises(ValueError, match="two conditions named"):
        quick_study(topo_losses=losses).cells()


def test_one_number_is_one_cell(data, tmp_path):
    """0.1 + 0.2 was another cell than 0.3, in the same folder."""
    odd = 0.1 + 0.2
    assert odd != 0.3
    many = [odd, 0.3, np.float32(0.3), *np.arange(0.1, 0.35, 0.1), -0.0, 0]
    cells = quick_study(lams=many).cells()
    assert str(cells["lam"].min()) == "0.0"
    assert quick_study(lams=torch.tensor([0.3, 0.3])).cells()["lam"].max() == 0.3
    assert cells["lam"].unique().tolist() == [0, 0.3, 0.1, 0.2]
    own = {"own": {"topo_loss": "as", "lam": odd}}
    settings = {**SMALL, "store": tmp_path, "topo_losses": ["ws"], "conditions": own}
    first = quick_study(**settings, lams=[odd]).run(*data)
    settings["conditions"] = {"own": {"topo_loss": "as", "lam": 0.3}}
    before = files(tmp_path)
    again = quick_study(**settings, lams=[0.3]).run(*data)
    assert_same_results(again, first)
    assert files(tmp_path) == before
    assert again.load_model("ws", odd).lam == 0.3


def test_generators_are_read_once(data):
    study = quick_study(
        lams=(lam for lam in (1, 3)),
        topo_losses=iter(["ws"]),
        include=map(str, ["performance"]),
    )
    first = study.cells()
    assert len(first) == 6
    pd.testing.assert_frame_equal(study.cells(), first)
    assert len(study.run(*data).results_) == 6


def test_settings_are_not_changed_by_what_runs(data):
    recorder = Recorder()
    conditions = {"own": {"topo_loss": "ws", "callbacks": [recorder]}}
    study = quick_study(**SMALL, conditions=conditions)
    with joblib.parallel_config("threading"):
        study.run(*data)
    assert recorder.epochs == 0


class Recorder(Callback):
    epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


# ------------------------------------------------------------------ guests and data


def prune_in_place(classifier, X, y):
    with torch.no_grad():
        for weight in classifier.module_.parameters():
            weight.zero_()
    return 0.0


def write_to_images(classifier, X, y):
    X[:] = 0
    return 0.0


@pytest.mark.parametrize(
    ("backend", "n_jobs"), [("loky", 1), ("loky", 2), ("threading", 1)]
)
def test_a_guest_changes_nothing(backend, n_jobs, data, study):
    """A measure that prunes its model changed the responses that were kept."""
    before = data
    data = [part.copy() for part in data]
    own = {"zero": prune_in_place, "write": write_to_images}
    include = QUICK["include"]
    with joblib.parallel_config(backend), pytest.raises(ValueError, match="read-only"):
        quick_study(**SMALL, measures=own, n_jobs=n_jobs).run(*data)
    del own["write"]
    with joblib.parallel_config(backend):
        found = quick_study(measures={**own, "after": accuracy_again}, n_jobs=n_jobs)
        found.run(*data)
    for part, old in zip(data, before):
        np.testing.assert_array_equal(part, old)
        assert part.flags.writeable
    again = found.results_[found.results_["group"] == "after"]["value"].to_numpy()
    clean = found.results_[found.results_["group"] == "performance"]["value"]
    np.testing.assert_allclose(again, clean, rtol=1e-12)
    found.results_ = found.results_[found.results_["group"].isin(include)]
    found.results_ = found.results_.reset_index(drop=True)
    assert_same_results(found, study)


def accuracy_again(classifier, X, y):
    return classifier.score(X, y)


def test_labels_of_another_type_are_refused(data):
    X, y, X_test, y_test = data
    with pytest.raises(ValueError, match="labels y are strings"):
        quick_study().run(X, y, X_test, y_test.astype(str))
    with pytest.raises(ValueError, match="labels y are numbers"):
        quick_study().run(X, y.astype(str), X_test, y_test)


def test_columns_in_another_order_are_refused(data):
    X, y, X_test, y_test = data
    names = [f"pixel {i}" for i in range(64)]
    train = pd.DataFrame(X.reshape(-1, 64), columns=names)
    test = pd.DataFrame(X_test.reshape(-1, 64), columns=names)
    with pytest.raises(ValueError, match="feature names should match"):
        quick_study().run(train, y, test[names[::-1]], y_test)


def test_test_images_that_lack_classes(data, tmp_path):
    """What is kept of the responses has a column for each class of the model."""
    X, y, X_test, y_test = data
    few = y_test > 4
    study = quick_study(**SMALL).run(X, y, X_test[few], y_test[few])
    for kept in study._found.responses.values():
        assert kept["average_precision"].shape == (12, 10)
        assert np.isnan(kept["average_precision"][:, :5]).all()
        assert not np.isnan(kept["average_precision"][:, 5:]).any()
        assert kept["experts"].shape == (12, 10)
        assert not kept["experts"][:, :5].any()


# ------------------------------------------------------------------ what ends a worker


def exits(classifier, X, y):
    if classifier.topo_loss == "ws":
        sys.exit()
    return 1.0


def is_killed(classifier, X, y):
    if classifier.topo_loss == "ws" and classifier.lam == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


@pytest.mark.parametrize(
    ("n_jobs", "measure", "error"),
    [
        (1, exits, "SystemExit"),
        (2, exits, "SystemExit"),
        (2, is_killed, "was killed, twice"),
    ],
)
def test_what_ends_a_process_fails_its_cell_alone(
    n_jobs, measure, error, data, tmp_path
):
    """sys.exit() ended the script with status 0; a killed worker lost the others."""
    study = quick_study(
        lams=[1], topo_losses=["ws", "as"], include=["performance"], n_seeds=1
    )
    study.set_params(measures={"own": measure}, n_jobs=n_jobs, store=tmp_path)
    with pytest.warns(FitFailedWarning, match="1 of 3 models"):
        study.run(*data)
    assert study.failures_["condition"].tolist() == ["ws"]
    assert error in study.failures_["error"].item()
    assert study.results_["condition"].unique().tolist() == ["control", "as"]
    study.set_params(measures=None)
    assert len(study.run(*data).results_) == 3


ODD_TABLES = {
    "repeated rows": pd.DataFrame({"value": [1.0, 2.0]}),
    "line ends": pd.DataFrame({"value": [1.0], "parameter": ["a\nb"]}),
    "carriage returns": pd.DataFrame({"value": [1.0], "measure": ["a\rb"]}),
    "levels of columns": pd.DataFrame({("value", "x"): [1.0]}),
    "columns that come twice": pd.DataFrame([[1.0, 2.0]], columns=["value", "value"]),
    "text": pd.DataFrame({"value": ["high"]}),
    "numbers as text": pd.DataFrame({"value": ["1.5"]}),
    "no value": pd.DataFrame({"values": [1.0]}),
    "no rows": pd.DataFrame({"value": []}),
    "half an image": pd.DataFrame({"value": [1.0], "n": [2.5]}),
    "no n": pd.DataFrame({"value": [1.0], "n": [np.nan]}),
    "no parameter": pd.DataFrame({"value": [1.0], "parameter": [None]}),
    "complex numbers": 1j,
    "a list": [1.0],
    "a number beyond float64": 10**400,
    "what is masked": np.ma.masked,
    "half a letter": pd.DataFrame(
        {"value": [1.0], "parameter": ["\ud800"]}, dtype=object
    ),
    "nothing": None,
    "a word": "high",
    "a series": pd.Series([1.0]),
    "dates": pd.DataFrame({"value": [pd.Timestamp("2020-01-01")]}),
}


@pytest.mark.parametrize("kind", ODD_TABLES)
def test_an_odd_table_is_refused_where_it_comes_from(kind):
    with pytest.raises(ValueError, match="The measure 'own' must give a number"):
        as_table(ODD_TABLES[kind], "own", 10)


@pytest.mark.parametrize(
    ("found", "value", "n"),
    [
        (3, 3.0, 10),
        (True, 1.0, 10),
        (np.float32(0.5), 0.5, 10),
        (torch.tensor(2.0), 2.0, 10),
        (torch.tensor(2.0, requires_grad=True), 2.0, 10),
        (np.nan, np.nan, 10),
        (pd.DataFrame({"value": [pd.NA]}, dtype="Float64"), np.nan, 10),
        (pd.DataFrame({"value": [2], "n": [7]}, index=["x"]), 2.0, 7),
        (pd.DataFrame({"value": np.float16([2.5]), "extra": "x"}), 2.5, 10),
    ],
)
def test_tables_of_ones_own(found, value, n):
    table = as_table(found, "own", 10)
    assert table.columns.tolist() == ["group", "measure", "parameter", "value", "n"]
    np.testing.assert_equal(table["value"].item(), value)
    assert table["n"].item() == n
    assert table.dtypes[["value", "n"]].tolist() == [np.float64, np.int64]
    parameters = pd.DataFrame({"value": [1, 2], "parameter": [0.1, 0.2]})
    assert as_table(parameters, "own", 1)["parameter"].tolist() == ["0.1", "0.2"]


def odd_table(classifier, X, y):
    return ODD_TABLES["repeated rows"]


def test_an_odd_table_is_named_as_a_failure(data, tmp_path):
    """All models were trained, and then every rerun failed."""
    study = quick_study(**SMALL, store=tmp_path, measures={"own": odd_table})
    with pytest.raises(ValueError, match="rows that come twice"):
        study.run(*data)
    study.measures = {"other": constant}
    assert len(study.run(*data).results_) == 2


IN_A_POOL = """
import multiprocessing, sys

def run(n_jobs, path):
    from sktopo import TopographicCNNClassifier
    from sktopo.datasets import load_digits_images
    from sktopo.study import TopographicStudy

    X, y = load_digits_images(return_X_y=True)
    study = TopographicStudy(
        TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1, lr=3e-3),
        topo_losses=["ws"], lams=[1], n_seeds=2, verbose=0, n_jobs=n_jobs,
        include=["performance", "smoothness", "activity"],
    )
    study.run(X[:300], y[:300], X[300:500], y[300:500]).results_.to_pickle(path)

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for n_jobs, path in zip((1, 2), sys.argv[1:], strict=True):
            pool.apply(run, [n_jobs, path])
"""


def test_a_study_in_a_daemonic_process(study, tmp_path):
    """It runs in that process itself, to the same bits."""
    (tmp_path / "script.py").write_text(IN_A_POOL)
    paths = [str(tmp_path / f"results_{n_jobs}.pkl") for n_jobs in (1, 2)]
    command = [sys.executable, tmp_path / "script.py", *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in paths:
        found = pd.read_pickle(path)
        pd.testing.assert_frame_equal(found, study.results_, check_exact=True)


def interrupt(classifier, X, y):
    raise KeyboardInterrupt


@pytest.mark.parametrize("store", [None, "kept"])
def test_an_interruption_says_how_to_go_on(store, data, tmp_path):
    store = tmp_path / store if store else None
    study = quick_study(**SMALL, store=store, measures={"own": interrupt})
    message = rf"finished is in {store}: call run\(\)" if store else "nothing is kept"
    with pytest.raises(KeyboardInterrupt, match=message) as caught:
        study.run(*data)
    assert caught.value.__suppress_context__


class Interrupts(Callback):
    """Ctrl-C in the second batch."""

    def on_batch_end(self, net, training, **kwargs):
        if len(net.history[-1, "batches"]) > 1:
            raise KeyboardInterrupt


def test_an_interruption_in_a_fit_keeps_what_is_finished(data, tmp_path):
    """With the threads of the caller back, and half a model not taken for one."""
    stopped = {"stopped": {"topo_loss": "ws", "callbacks": [Interrupts()]}}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt, match="what is finished is in"):
            quick_study(conditions=stopped, topo_losses=[], store=tmp_path).run(*data)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    kept = {path.parent.name for path in tmp_path.glob("*/*.safetensors")}
    assert kept == {"control__lam_0__seed_100", "control__lam_0__seed_101"}
    models = {k: v for k, v in files(tmp_path).items() if "model" in k}
    again = quick_study(store=tmp_path, topo_losses=[]).run(*data)
    assert len(again.results_["seed"].unique()) == 2
    assert {k: v for k, v in files(tmp_path).items() if "model" in k} == models


def test_a_failed_run_leaves_no_results_of_another(data):
    study = quick_study(**SMALL).run(*data)
    study.lams, study.topo_losses = [-1], ["ws"]
    with pytest.raises(ValueError, match="lams must be"):
        study.run(*data)
    with pytest.raises(ValueError, match=r"call run\(\) first"):
        study.summary()
    assert not hasattr(study, "results_")
    assert not hasattr(study, "failures_")


def test_long_names_are_refused_before_anything_runs():
    for name in ("x" * 61, "a\nb", "", "ü" * 60):
        with pytest.raises(ValueError, match="A name is text of one line"):
            quick_study(conditions={name: {}}).cells()
        with pytest.raises(ValueError, match="A name is text of one line"):
            quick_study(measures={name: constant}).cells()
