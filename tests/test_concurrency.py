"""Same seed, same bits: in turn, in workers, in threads, on a cluster."""

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktopo.scorers import multi_scorer

SEEDS = range(8)


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


def test_workers_give_the_same_bits(quick, data, serial):
    run = joblib.delayed(fit_in_worker)
    found = joblib.Parallel(n_jobs=2)(run(quick, *data, seed) for seed in SEEDS)
    assert_same([np.hstack(f) for f in found], [np.hstack(s) for s in serial])


def test_threads_do_not_disturb_each_other(quick, data, serial):
    """Four at once, with other seeds; nor do they touch the global states."""
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: fit(quick, *data, seed), SEEDS))
    assert_same([np.hstack(f) for f in found], [np.hstack(s) for s in serial])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002


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
import os, warnings
import joblib, torch
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info
from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images

def busy_threads():
    # threads of this process that have used processor time
    count = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        count += int(fields[11]) > 5  # hundredths of a second in user mode
    return count

def score(clf, X, y):
    pools = [info["num_threads"] for info in threadpool_info()]
    return {"torch": torch.get_num_threads(), "pools": max(pools, default=1),
            "busy": busy_threads()}

if __name__ == "__main__":
    X, y = load_digits_images(return_X_y=True)
    clf = TopographicCNNClassifier(max_epochs=8, random_state=0)
    n_jobs = max(2, joblib.cpu_count())
    search = GridSearchCV(clf, {"lam": [0.1, 1]}, scoring=score, refit=False, cv=4,
                          n_jobs=n_jobs)
    table = search.fit(X, y).cv_results_
    for name in ("torch", "pools", "busy"):
        print(max(table[f"split{i}_test_{name}"].max() for i in range(4)) * n_jobs
              <= max(n_jobs, joblib.cpu_count()), end=" ")
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts by /proc")
def test_a_search_on_all_cores_uses_each_core_once(tmp_path):
    script = tmp_path / "search.py"
    script.write_text(THREADS)
    environment = {k: v for k, v in os.environ.items() if "NUM_THREADS" not in k}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["True"] * 3, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own libraries
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None
            ) as local,
            distributed.Client(local) as client,
        ):
            yield client


@pytest.mark.filterwarnings("default")  # distributed gives warnings of its own
def test_a_dask_cluster_gives_the_same_bits(cluster, quick, data, serial):
    with joblib.parallel_config("dask"):
        run = joblib.delayed(fit_in_worker)
        found = joblib.Parallel()(run(quick, *data, seed) for seed in SEEDS)
    assert_same([np.hstack(f) for f in found], [np.hstack(s) for s in serial])


@pytest.mark.filterwarnings("default")
def test_a_search_on_a_dask_cluster(cluster, quick, data):
    cluster.run(torch.set_num_threads, 1)
    search = GridSearchCV(
        quick,
        {"lam": [0, 1]},
        scoring=multi_scorer(["smoothness"]),
        refit="accuracy",
        cv=2,
    )
    here = clone(search).fit(*data).cv_results_
    with joblib.parallel_config("dask"):
        there = clone(search).fit(*data).cv_results_
    for name in ("mean_test_accuracy", "mean_test_smoothness"):
        np.testing.assert_array_equal(there[name], here[name])
