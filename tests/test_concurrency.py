"""Same seed, same bits: in turn, in workers, in threads, on a cluster."""

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktopo.scorers import get_scorer_names, multi_scorer
from sktopo.study import TopographicStudy

SEEDS = range(4)


def fit(clf, X, y, seed):
    clf = clone(clf).set_params(random_state=seed)
    clf.fit(X, y).partial_fit(X, y)
    return clf.predict_proba(X), clf.transform(X)


def fit_in_worker(clf, X, y, seed):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = fit(clf, X, y, seed)
    torch.set_num_threads(before)
    return found


@pytest.fixture
def data(digits):
    X, y = digits
    return X[:300], y[:300]


@pytest.fixture
def serial(quick, data):
    return [fit(quick, *data, seed) for seed in SEEDS]


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    np.testing.assert_array_equal(found, wanted)


def global_states():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state().tolist()
    return torch_state, name, keys.tolist(), rest, random.getstate()


def test_workers_give_the_same_bits(quick, data, serial):
    run = joblib.delayed(fit_in_worker)
    found = joblib.Parallel(n_jobs=2)(run(quick, *data, seed) for seed in SEEDS)
    assert_same([np.hstack(f) for f in found], [np.hstack(s) for s in serial])


def test_search_is_the_same_in_workers(quick, data):
    search = GridSearchCV(
        quick,
        {"topo_loss": ["ws", "as"], "lam": [0, 3]},
        scoring=multi_scorer(get_scorer_names()),
        refit="accuracy",
        cv=2,
        error_score="raise",
    )
    tables = []
    for n_jobs in (1, 2):
        table = clone(search).set_params(n_jobs=n_jobs).fit(*data).cv_results_
        table = pd.DataFrame(table)
        tables.append(table.drop(columns=[c for c in table if "time" in c]))
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert tables[0].filter(like="test_").notna().all(axis=None)


def test_threads_do_not_disturb_each_other(quick, data, serial):
    """Four at once, with other seeds; nor do they touch the global states."""
    torch.rand(3)  # a state that no seed gives
    before = global_states()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: fit(quick, *data, seed), SEEDS))
    assert_same([np.hstack(f) for f in found], [np.hstack(s) for s in serial])
    assert global_states() == before


def test_one_model_answers_in_many_threads(quick, data):
    clf = quick.fit(*data)
    wanted = clf.predict_proba(data[0])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(clf.predict_proba, [data[0]] * 12))
    assert_same(found, [wanted] * 12)


def test_the_number_of_threads_is_left_alone(quick, data):
    before = torch.get_num_threads()
    try:
        for n_threads in (2, 1):
            torch.set_num_threads(n_threads)
            fit(quick, *data, 0)
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)


THREADS = """
import json, os
import joblib, torch
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info
from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images

def counts():
    pools = [info["num_threads"] for info in threadpool_info()]
    busy = 0  # threads of this process that have used processor time
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        busy += int(fields[11]) > 5  # hundredths of a second in user mode
    return {"torch": torch.get_num_threads(), "pools": max(pools), "busy": busy}

def fit(clf, X, y):
    clf.fit(X, y)
    return counts()

def score(clf, X, y):
    return counts()

if __name__ == "__main__":
    X, y = (part[:500] for part in load_digits_images(return_X_y=True))
    clf = TopographicCNNClassifier(max_epochs=3, random_state=0)
    found = joblib.Parallel(2)([joblib.delayed(fit)(clf, X, y)] * 2)
    search = GridSearchCV(clf, {"lam": [1]}, scoring=score, refit=False, cv=2,
                          n_jobs=2, error_score="raise")
    table = search.fit(X, y).cv_results_
    for i in range(2):
        found.append({k: int(table[f"split{i}_test_{k}"].max()) for k in found[0]})
    print(json.dumps([joblib.cpu_count(), found]))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts by /proc")
def test_two_workers_use_no_more_threads_than_cores(tmp_path):
    """Even where no variable tells them to."""
    script = tmp_path / "search.py"
    script.write_text(THREADS)
    environment = {k: v for k, v in os.environ.items() if "NUM_THREADS" not in k}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    n_cores, found = json.loads(done.stdout)
    for counts in found:
        assert min(counts.values()) >= 1, counts
        assert 2 * max(counts.values()) <= max(2, n_cores), (n_cores, counts)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two processes of one thread each."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # any free port
            local_directory=tmp_path_factory.mktemp("cluster"),
        ) as local,
        distributed.Client(local) as client,
    ):
        client.run(torch.set_num_threads, 1)
        yield client


# a slow disk
slow_disk = pytest.mark.filterwarnings("ignore:Creating scratch directories")


@slow_disk
def test_a_dask_cluster_gives_the_same_bits(cluster, quick, data, serial):
    search = GridSearchCV(
        quick,
        {"lam": [0, 1]},
        scoring=multi_scorer(["smoothness"]),
        refit="accuracy",
        cv=2,
    )
    here = clone(search).fit(*data)
    with joblib.parallel_config("dask"):
        run = joblib.delayed(fit)
        found = joblib.Parallel()(run(quick, *data, seed) for seed in SEEDS)
        there = clone(search).fit(*data)
    assert_same([np.hstack(f) for f in found], [np.hstack(s) for s in serial])
    for name in ("mean_test_accuracy", "mean_test_smoothness"):
        np.testing.assert_array_equal(there.cv_results_[name], here.cv_results_[name])
    assert_same(there.predict_proba(data[0]), here.predict_proba(data[0]))


def threads_in_use(classifier, X, y):
    rows = [("pid", os.getpid()), ("torch", torch.get_num_threads())]
    return pd.DataFrame(rows, columns=["measure", "value"])


@slow_disk
def test_a_study_on_a_dask_cluster_gives_the_same_results(cluster, quick, digits):
    X, y = digits
    study = TopographicStudy(
        quick,
        topo_losses=["ws"],
        lams=[1],
        n_seeds=2,
        include=["performance", "smoothness", "activity"],
        verbose=0,
        measures={"threads": threads_in_use},
    )
    here, there = clone(study), clone(study)
    here.run(X[:300], y[:300], X[300:500], y[300:500])
    with joblib.parallel_config("dask"):
        there.run(X[:300], y[:300], X[300:500], y[300:500])
    threads = there.results_[there.results_["group"] == "threads"]
    assert threads["value"][threads["measure"] == "torch"].eq(1).all()
    assert os.getpid() not in threads["value"].tolist()
    tables = [
        study.results_[study.results_["measure"] != "pid"] for study in (here, there)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(
        here.consistency(), there.consistency(), check_exact=True
    )
