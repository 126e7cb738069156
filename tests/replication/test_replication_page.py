"""The page on the replication is that of the results beside it."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktopo.replication import protocol
from sktopo.replication._claims import judge_all

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import replication_page as page
import texts
from claims_simulation import simulate

LARGE = {("ws", "morans_i"): 0.5, ("as", "accuracy_change"): -0.3}


@pytest.fixture
def found(rng, tmp_path, monkeypatch):
    """What the page would tell of a simulated study."""
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    for dataset, ending in (("fashion_mnist", ""), ("mnist_5000", "_mnist_5000")):
        claims = judge_all(*simulate(rng, LARGE), dataset)
        claims.to_csv(tmp_path / f"claims{ending}.csv", index=False)
        measured = measures(rng, protocol(dataset, extent="all").cells())
        measured.to_csv(tmp_path / f"results{ending}.csv.gz", index=False)
    claims.to_csv(tmp_path / "claims_without_pilot.csv", index=False)
    return {name: page.Found(name) for name in page.DATASETS}


def measures(rng, cells):
    """What figures and tables read of each model: noise."""
    where = {
        (group, measure, parameter)
        for group, measure, parameter, _ in page.OUTCOMES.values()
    }
    where |= {
        ("robustness", "accuracy_change", page.at_sigma(scale, sigma))
        for scale in ("std", "absolute")
        for sigma in page.SIGMAS
    }
    rows = pd.DataFrame(sorted(where), columns=["group", "measure", "parameter"])
    table = cells.merge(rows, how="cross")
    return table.assign(value=rng.normal(size=len(table)), n=10_000)


def test_the_text_has_every_claim_once(found):
    text = page.render(found)
    summary = text.partition("In short")[2].partition("Smooth maps")[0]
    fashion = found["fashion_mnist"]
    for claim in fashion.tests["claim"].unique():
        assert summary.count(f"\n- {claim}, ") == 1
    listed = [
        fashion.count(verdict)
        for verdict in (*page.VERDICTS, "not testable", "not testable (guard)")
    ]
    assert sum(listed) == fashion.n_claims == 23
    assert found["mnist_5000"].n_claims == 24


def test_a_contrast_in_words(found):
    fashion = found["fashion_mnist"]
    row = fashion.tests[fashion.tests["claim"] == "1a"].iloc[0]
    assert fashion.verdict("1a") == "replicates"
    told = fashion.line("1a")
    assert told.startswith(f"WS - control +{row['estimate']:.3f}".replace("+0.", "+."))
    assert told.endswith(", n = 10")
    beside = fashion.line("4b", 0, "absolute noise")
    assert beside.startswith("AS - control")
    assert beside != fashion.line("4b")
    assert page.in_words("- slope of ws") == "minus the slope of WS"
    assert page.in_words("ws - as_untransposed") == "WS - AS untransposed"


def test_means_are_of_seeds(found):
    fashion = found["fashion_mnist"]
    own = fashion.results
    own = own[(own["condition"] == "ws") & (own["measure"] == "weight_norm")]
    of_seed = own.groupby("seed")["value"].mean()
    assert len(own) == 30
    np.testing.assert_allclose(fashion.of_seeds("ws", "norm"), of_seed)
    curve = page.noise_curve(fashion.results, "ws", "absolute")
    assert curve.index.tolist() == list(page.SIGMAS)
    assert curve["n"].eq(10).all()


@pytest.mark.parametrize("name", page.FIGURES)
def test_figures_are_drawn(found, name):
    figure = page.FIGURES[name](found["fashion_mnist"])
    assert figure.get_size_inches()[0] < 6  # a phone can show it
    if name == "claims":
        (ax,) = figure.axes
        tests = found["fashion_mnist"].tests
        shown = (tests["delta"] > 0) & (tests["contrast"] != "control")
        assert len(ax.get_yticklabels()) == shown.sum()
    texts.close(figure)


def test_the_page_is_made_of_the_results():
    """Else run python docs/replication_page.py --store STORE."""
    if not (path := page.HERE / "replication.rst").exists():
        pytest.skip("not made yet: the study is not whole")
    text, found = page.page()
    assert text == path.read_text()
    models = found.results[texts.CELL].drop_duplicates()
    assert models.groupby(["condition", "lam"]).size().eq(10).all()
    assert (page.FOLDER / "results.csv.gz").stat().st_size < 3e6
    readme = " ".join((page.HERE.parent / "README.md").read_text().split())
    counts = [found.count(verdict) for verdict in page.VERDICTS]
    assert (
        "of {} claims, four of them a follow-up's, {} replicate and {} of a difference "
        "of either sign hold, {} are reversed, {} do not replicate, {} stay undecided"
    ).format(found.n_claims, *counts) in readme
