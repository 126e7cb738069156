"""The study of objectives, and its command."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sktopo import TopographicCNNClassifier, TopographicEncoder
from sktopo.replication import __main__ as command
from sktopo.replication import objectives
from sktopo.replication._objectives import read_labels
from sktopo.study import load_results

pytest.importorskip("pytorch_metric_learning")


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:120], y[:120], X[120:220], y[120:220]


def test_only_the_objective_differs(data):
    studies = {name: objectives(name, data) for name in command.OBJECTIVES}
    assert isinstance(studies["cross_entropy"].estimator, TopographicCNNClassifier)
    cells = {name: study.cells() for name, study in studies.items()}
    longer = cells["simclr"]["condition"] == "longer"
    assert longer.sum() == 3
    cells["simclr"] = cells["simclr"][~longer].reset_index(drop=True)
    assert all(cells["supcon"].equals(other) for other in cells.values())
    assert cells["supcon"].groupby(["condition", "lam"]).size().to_dict() == {
        ("control", 0.0): 3,
        ("untrained", 0.0): 3,
        **{("ws", lam): 3 for lam in (0.3, 1.0, 3.0)},
    }
    for name in ("supcon", "simclr"):
        own = studies[name].estimator.get_params()
        assert isinstance(studies[name].estimator, TopographicEncoder)
        assert own["objective"] == name
        shared = studies["cross_entropy"].estimator.get_params()
        both = (own.keys() & shared.keys()) - {"augment"}
        assert {key: own[key] for key in both} == {key: shared[key] for key in both}
    with pytest.raises(ValueError, match=r"objective must be one of .*'byol'"):
        objectives("byol", data)


def test_a_probe_reads_what_a_regression_reads(data):
    X, y, X_test, y_test = data
    flat, flat_test = (images.reshape(len(images), -1) for images in (X, X_test))
    found = read_labels(flat, y, flat_test, y_test)
    scaler = StandardScaler().fit(flat)
    by_hand = [
        LogisticRegression(max_iter=1000, C=C)
        .fit(scaler.transform(flat), y)
        .score(scaler.transform(flat_test), y_test)
        for C in (1e-3, 1e-2, 1e-1, 1.0)
    ]
    assert found in by_hand
    assert found > 0.7


# of so few images a regression may end where its line search finds nothing better
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_command_runs(data, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "load_comparison", lambda data_home: data)
    store = tmp_path / "store"
    settings = ["--seeds", "2", "--epochs", "1", "--jobs", "1"]
    command.main(["--objective", "simclr", "--store", str(store), *settings])
    assert capsys.readouterr().out.split()[:3] == ["condition", "lam", "mean"]
    table = pd.read_csv(store / "results.csv.gz", keep_default_na=False)
    probes = table[table["group"] == "linear_probe"]
    assert len(probes) == 12
    assert pd.to_numeric(probes["value"]).between(0.1, 1).all()
    pairs = pd.read_csv(store / "seed_pairs.csv")
    assert pairs.groupby(["condition", "lam"]).size().eq(1).all()
    kept = load_results(store).table
    values = pd.to_numeric(table["value"])
    np.testing.assert_allclose(kept["value"], values, rtol=1e-12)
    assert (store / "report.html").exists()
