"""The comparison of losses: its plan, its questions and its command."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from simulated_comparison import CELLS, SEEDS, shifted, simulated

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.replication import __main__ as command
from sktopo.replication import _comparison as plan
from sktopo.replication import _contrasts as contrasts
from sktopo.replication import comparison
from sktopo.replication._comparison import LOSSES, SIMPLER, with_ws
from sktopo.study.statistics import holm


def test_nothing_is_ahead_where_nothing_differs(rng):
    table = contrasts.against_simpler(simulated(rng))
    assert len(table) == len(LOSSES) * len(contrasts.PERTURBATIONS)
    assert set(table["reading"]) == {"open"}
    assert table["n"].eq(5).all()
    assert_allclose(table["p_holm"], holm(table["p"]))


def test_ahead_is_ahead_of_every_rival(rng):
    """One rival that is as good, and a loss is not ahead; the others are."""
    better = shifted(simulated(rng), 0.1, condition="ws", lam=0.2)
    table = contrasts.against_simpler(better).set_index("condition")
    assert set(table.loc["ws", "reading"]) == {"ahead"}
    assert_allclose(table.loc["ws", "difference"], 0.1, atol=3e-3)
    assert set(table.drop("ws")["reading"]) == {"open"}
    assert (table.loc["ws", "p_holm"] < 0.01).all()
    equalled = shifted(better, 0.1, condition="adamw_0.1")
    table = contrasts.against_simpler(equalled).set_index("condition")
    assert set(table.loc["ws", "reading"]) == {"open"}
    assert set(table["rival"]) == {"adamw_0.1"}
    assert set(table.drop("ws")["reading"]) == {"behind"}
    assert_allclose(table.drop("ws")["difference"], -0.1, atol=3e-3)


def test_a_difference_too_small_to_matter_is_open(rng):
    better = shifted(simulated(rng, 1e-5), 0.01, condition="ws", lam=0.2)
    table = contrasts.against_simpler(better).set_index("condition")
    assert set(table.loc["ws", "reading"]) == {"open"}


def test_other_strengths_do_not_count(rng):
    better = shifted(simulated(rng), 0.1, condition="ws", lam=1.0)
    assert set(contrasts.against_simpler(better)["reading"]) == {"open"}


def test_accuracy_under_image_noise_is_clean_accuracy_and_its_change(rng):
    models = contrasts.outcomes(simulated(rng, 0))
    assert_allclose(models["white"], 0.5)
    assert_allclose(models["weight_noise"], 0.5)
    assert len(models) == len(CELLS) * len(SEEDS)


def test_clean_accuracy_stands_beside(rng):
    worse = shifted(simulated(rng), -0.05, ["accuracy"], condition="as", lam=0.2)
    table = contrasts.against_simpler(worse).set_index("condition")
    assert_allclose(table.loc["as", "accuracy"], -0.05, atol=3e-3)
    assert_allclose(table.loc["ws", "accuracy"], 0, atol=3e-3)


def test_ws_on_top_is_against_the_means_alone(rng):
    better = shifted(simulated(rng), 0.1, condition="ws_white_noise")
    better = shifted(better, 0.2, condition="control")
    table = contrasts.on_top(better).set_index("condition")
    assert set(table.index) == {with_ws(name) for name in SIMPLER}
    assert set(table.loc["ws_white_noise", "reading"]) == {"ahead"}
    assert set(table.loc["ws_white_noise", "rival"]) == {"white_noise"}
    assert set(table.drop("ws_white_noise")["reading"]) == {"open"}


def test_a_value_that_is_missing_is_not_a_value(rng):
    table = simulated(rng)
    gone = table["measure"].eq("n_experts") & table["seed"].eq(100)
    table.loc[gone, "value"] = np.nan
    found = contrasts.overview(table)
    n = found.set_index(["condition", "lam", "outcome"])["n"].unstack()
    assert n["n_experts"].eq(4).all()
    assert n["accuracy"].eq(5).all()


def test_differences_from_the_control_are_within_seeds(rng):
    found = contrasts.overview(shifted(simulated(rng, 0), 0.1, condition="ws", lam=1))
    found = found.set_index(["condition", "lam", "outcome"])
    assert_allclose(found.loc[("ws", 1.0, "white"), "difference"], 0.1)
    assert_allclose(found.loc[("ws", 0.2, "white"), "difference"], 0)


def test_equal_smoothness_is_between_two_strengths(rng):
    """Moran's I is 0, .025, .1 and .5 here, so .2 is a quarter from .1 to .5."""
    table = simulated(rng, 0)
    table = shifted(table, 0.1, ["accuracy"], condition="ws", lam=1.0)
    table = shifted(table, -1.0, ["morans_i"], condition="as", lam=1.0)
    found = contrasts.equal_smoothness(table)
    found = found.set_index(["level", "condition", "outcome"])
    ws = found.loc[(0.2, "ws", "accuracy")]
    assert_allclose(ws["mean"], 0.8 + 0.1 / 4)
    assert_allclose(ws["difference"], 0.1 / 4)
    assert (ws["n"], ws["n_undefined"]) == (5, 0)
    never = found.loc[(0.2, "as", "accuracy")]
    assert (never["n"], never["n_undefined"]) == (0, 5)
    assert np.isnan(never["mean"])


@pytest.mark.parametrize(
    ("smoothness", "wanted"),
    [
        ([0, 1, 2], 0.5),
        ([0, 0.5, 2], 1.0),
        ([0, 2, 0, 2], 0.25),
        ([1, 2, 3], np.nan),
        ([1, 0.2, 0.9], 1 + 3 / 7),
    ],
)
def test_the_first_rise_through_the_level(smoothness, wanted):
    path = pd.DataFrame({"morans_i": smoothness, "x": np.arange(len(smoothness)) * 1.0})
    assert_allclose(contrasts.interpolate(path, 0.5)["x"], wanted)


# ------------------------------------------------------------------ the plan


def test_the_plan_is_what_was_asked_for():
    cells = comparison().cells()
    counts = cells.groupby(["condition", "lam"]).size()
    assert counts.eq(5).all()
    assert set(counts.index) == set(CELLS)
    study = comparison()
    assert study.estimator.get_params() == (
        TopographicCNNClassifier(
            backbone="small", grid_shape=(11, 11), dropout=0.5, max_epochs=10, lr=3e-3
        ).get_params()
    )
    for name, settings in study.conditions.items():
        if name in SIMPLER:
            assert settings["topo_loss"] is None
        else:
            assert settings["lam_mode"] == "calibrated"
    both = study.conditions["ws_adamw_0.01"]
    assert (both["topo_loss"], both["lam"]) == ("ws", 0.2)
    assert (both["optimizer"], both["weight_decay"]) == ("adamw", 0.01)


def test_the_default_network_has_a_shorter_one():
    study = comparison("default")
    cells = study.cells()
    assert cells.groupby("condition").size().eq(3).all()
    lams = cells.groupby("condition")["lam"].first().drop("control")
    assert lams[list(LOSSES)].eq(0.2).all()
    assert lams["ws_strong"] == 1
    assert study.estimator.backbone == "auto"
    assert study.estimator.max_epochs == 10


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match=r"\['default', 'small'\]; got 'deep'"):
        comparison("deep")


def test_images_are_stratified_and_the_same(monkeypatch):
    def fetch(subset, *, return_X_y, data_home):
        return load_digits_images(subset, return_X_y=return_X_y)

    monkeypatch.setattr(plan, "fetch_fashion_mnist", fetch)
    X, y, X_test, y_test = plan.load_comparison(500)
    assert len(X) == len(y) == 500
    assert np.ptp(np.bincount(y)) <= 3
    assert len(X_test) == len(y_test) == 450
    np.testing.assert_array_equal(X, plan.load_comparison(500)[0])


# ------------------------------------------------------------------ the command


@pytest.fixture
def few(monkeypatch):
    """Digits, one loss at one strength, and one simpler means."""
    whole = {"ws": (LOSSES, dict(LOSSES)), "adamw_0.1": (SIMPLER, dict(SIMPLER))}
    for name, (registry, entries) in whole.items():
        registry.clear()
        registry[name] = entries[name]
    monkeypatch.setattr(plan, "STRENGTHS", (0.2,))
    X, y = load_digits_images("train", return_X_y=True)
    X_test, y_test = load_digits_images("test", return_X_y=True)
    data = X[:256], y[:256], X_test[:100], y_test[:100]
    monkeypatch.setattr(command, "load_comparison", lambda data_home: data)
    yield
    for registry, entries in whole.values():  # in the order that they had
        registry.clear()
        registry.update(entries)


def test_the_command_answers(few, coarse_figures, tmp_path, capsys):
    more = ["--seeds", "2", "--epochs", "1", "--jobs", "1"]
    command.main(["--comparison", "--store", str(tmp_path), *more])
    out = capsys.readouterr().out
    assert "ws_adamw_0.1" in out
    results = pd.read_csv(tmp_path / "results.csv.gz")
    assert results["condition"].nunique() == 4
    applied = results[results["measure"] == "applied_lam"].set_index("condition")
    assert applied.loc["ws", "value"].gt(0).all()
    assert applied.loc["control", "value"].isna().all()
    for name in ("against_simpler", "on_top"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        assert table["perturbation"].tolist() == list(contrasts.PERTURBATIONS)
        assert table["n"].eq(2).all()
        assert table["difference"].notna().all()
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("--comparison --lams 1", "--lams goes with --dataset only"),
        ("--comparison --extent main", "--extent goes with --dataset"),
        ("--comparison --precision auto", "--precision goes with --dataset only"),
        ("--comparison --dataset mnist", "not allowed with"),
        ("--dataset mnist --backbone small", "--backbone goes with --comparison only"),
        ("--comparison --backbone deep", "choose from"),
        ("--objective simclr --lams 1", "--lams goes with --dataset only"),
        ("--objective byol", "choose from"),
        ("--seeds 2", "--dataset --comparison --objective is required"),
    ],
)
def test_options_of_the_other_study_are_refused(wrong, told, capsys):
    with pytest.raises(SystemExit):
        command.parse(["--store", "s", *wrong.split()])
    assert told in capsys.readouterr().err
