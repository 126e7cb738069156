"""The command of the replication."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sktopo.datasets import DATASETS, load_digits_images
from sktopo.replication import __main__ as command
from sktopo.replication import claims as judge
from sktopo.replication import load, protocol
from sktopo.replication._protocol import OTHERS, Protocol, protocol_of
from sktopo.study import TopographicStudy, load_results

COLUMNS = "condition lam seed group measure parameter value n".split()  # noqa: SIM905


@pytest.fixture
def digits_for_fashion(monkeypatch):
    """Few and small images in place of Fashion-MNIST's."""

    def fetch(subset, *, return_X_y, data_home):
        return load_digits_images(subset, return_X_y=return_X_y)

    monkeypatch.setitem(DATASETS, "fashion_mnist", fetch)
    pilot = OTHERS["fashion_mnist"].pilot
    monkeypatch.setitem(OTHERS, "fashion_mnist", Protocol(epochs=1, pilot=pilot))


def arguments(*more, store="store"):
    return ["--dataset", "fashion_mnist", "--store", str(store), *more]


def test_the_full_study_is_planned_as_the_paper_is():
    study = protocol("fashion_mnist")
    cells = study.cells()
    assert len(cells) == 130
    counts = cells.groupby(["condition", "lam"]).size()
    assert counts.eq(10).all()
    assert set(counts.index) == {
        ("control", 0.0),
        *(
            (loss, lam)
            for loss in ("ws", "as", "as_untransposed")
            for lam in (0.3, 1, 3)
        ),
        *(("ws_cosine", 1.0), ("ws_no_dropout", 1.0), ("control_no_dropout", 0.0)),
    }
    estimator = study.estimator
    assert (estimator.backbone, estimator.max_epochs) == ("small", 10)
    assert (estimator.batch_size, estimator.lr, estimator.dropout) == (64, 1e-3, 0.5)
    deep = protocol("cifar10").estimator
    assert (deep.backbone, deep.max_epochs) == ("deep", 30)


def test_two_more_losses_are_shown_beside():
    counts = protocol("fashion_mnist", extent="all").cells().groupby("condition").size()
    assert counts.sum() == 150
    assert counts[["as_squared_correlation", "inverse_distance"]].eq(10).all()
    assert protocol("fashion_mnist", extent="main").cells().shape[0] == 100
    with pytest.raises(ValueError, match=r"'main', 'paper', 'all'; got 'most'"):
        protocol("fashion_mnist", extent="most")
    own = protocol("fashion_mnist", conditions={"wide": {"grid_shape": (4, 30)}})
    assert "wide" in set(own.cells()["condition"])


def test_the_part_of_mnist_is_not_looked_at_twice():
    study = protocol("mnist_5000")
    cells = study.cells()
    assert sorted(set(cells["seed"])) == list(range(103, 113))
    assert len(cells) == 100
    assert set(cells["condition"]) == {"control", "ws", "as", "as_untransposed"}
    assert (study.estimator.max_epochs, study.estimator.lr) == (40, 3e-3)
    X, y, X_test, y_test = load("mnist_5000")
    assert X.shape == (4000, 1, 28, 28)
    assert X_test.shape == (1000, 1, 28, 28)
    assert np.bincount(y).tolist() == [400] * 10
    assert np.bincount(y_test).tolist() == [100] * 10


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_its_protocol(name):
    """What the paper has not is trained as its MNIST, and a name of the command."""
    estimator, wanted = protocol(name).estimator, protocol_of(name)
    assert (estimator.backbone, estimator.max_epochs) == (
        wanted.backbone,
        wanted.epochs,
    )
    assert wanted == OTHERS.get(name, Protocol("small", 10, 1e-3, 0.8, "paper", 100))
    assert command.parse(["--dataset", name, "--store", "s"]).dataset == name


def test_dry_run_lists_and_trains_nothing(digits_for_fashion, tmp_path, capsys):
    store = tmp_path / "store"
    command.main(arguments("--seeds", "3", "--lams", "1", "--dry-run", store=store))
    out = capsys.readouterr().out
    assert "21 models, each about" in out
    assert out.count("as_untransposed") == 3 + 1
    assert not store.exists()


def test_the_command_runs(digits_for_fashion, coarse_figures, tmp_path, capsys):
    more = ["--seeds", "1", "--lams", "1", "--extent", "main", "--jobs", "1"]
    command.main(arguments(*more, store=tmp_path))
    out = capsys.readouterr().out
    assert "not testable" in out
    table = pd.read_csv(tmp_path / "results.csv.gz")
    assert table.columns.tolist() == COLUMNS
    assert table["condition"].nunique() == 4
    assert "fashion mnist" in (tmp_path / "report.html").read_text()
    table = judge(load_results(tmp_path), "fashion_mnist")
    assert (tmp_path / "claims.csv").read_text() == table.to_csv(index=False)
    assert (tmp_path / "seed_pairs.csv").exists()
    # seed 100 is the pilot's, and alone
    assert not (tmp_path / "claims_without_pilot.csv").exists()


@pytest.mark.parametrize("option", ["--epochs", "--seeds"])
def test_zero_is_not_the_default(option, capsys):
    for number in ("0", "-1", "2.5"):
        with pytest.raises(SystemExit):
            command.parse(arguments(option, number))
    assert option in capsys.readouterr().err


def test_wrong_places_and_numbers_of_jobs_are_refused_at_once(tmp_path, capsys):
    (tmp_path / "file").touch()
    for wrong, told in (
        (arguments(store=tmp_path / "file"), "is a file; give a folder"),
        (arguments("--jobs", "0"), "must be 1 or more, or -1"),
    ):
        with pytest.raises(SystemExit):
            command.parse(wrong)
        assert told in capsys.readouterr().err


def test_time_is_expected_of_images_that_are_sorted_by_their_labels():
    X, y = load_digits_images(return_X_y=True)
    order = np.argsort(y, kind="stable")
    data = X[order], y[order], X[:50], y[:50]
    study = protocol("mnist_5000", epochs=1)
    study.set_params(include=["performance"])
    assert min(command.expected_seconds(study, data)) > 0


def test_an_interruption_is_one_line(digits_for_fashion, tmp_path, monkeypatch):
    def interrupted(study, *data):
        assert study.n_jobs == 2
        raise KeyboardInterrupt("The study was stopped; what is finished is kept.")

    monkeypatch.setattr(TopographicStudy, "run", interrupted)
    with pytest.raises(SystemExit, match="The study was stopped"):
        command.main(arguments("--jobs", "2", store=tmp_path))


def test_what_it_cannot_do_is_one_line(digits_for_fashion, tmp_path):
    (tmp_path / "study.json").write_text("{}")  # another's
    with pytest.raises(SystemExit, match=r"ValueError: .*study\.json"):
        command.main(arguments(store=tmp_path))


def test_the_command_is_a_module():
    line = [sys.executable, "-m", "sktopo.replication", "--help"]
    text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    assert "python -m sktopo.replication --dataset fashion_mnist" in text
    assert "--dry-run" in text


def test_claims_need_results():
    with pytest.raises(ValueError, match="call run"):
        judge(TopographicStudy())


def test_only_known_data_sets():
    for function in (protocol, load):
        with pytest.raises(
            ValueError, match=r"dataset must be one of .*'fashion_mnist', 'mnist'"
        ):
            function("imagenet")
