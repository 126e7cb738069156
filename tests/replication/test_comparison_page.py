"""The page on the comparison of losses is that of the results beside it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from simulated_comparison import CELLS, simulated

from sktopo.replication import comparison

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import comparison_page
import texts

DOCS = comparison_page.HERE


@pytest.mark.parametrize("backbone", ["small", "default"])
def test_the_results_are_of_whole_seeds(backbone):
    if not (path := DOCS / "comparison" / f"{backbone}.csv.gz").exists():
        pytest.skip("not run yet")
    results = comparison_page.read(backbone)
    keys = ["condition", "lam", "seed"]
    models = results[keys].drop_duplicates().sort_values(keys, ignore_index=True)
    planned = comparison(backbone).cells()
    planned = planned[planned["seed"].isin(models["seed"])]
    assert models.equals(planned.sort_values(keys, ignore_index=True))
    assert results.groupby(keys)["group"].nunique().nunique() == 1
    accuracy = results[results["measure"] == "accuracy"]
    assert accuracy["n"].eq(10_000).all()
    assert path.stat().st_size < 1e6


def test_the_page_is_made_of_them():
    """Else run python docs/comparison_page.py."""
    if not (path := DOCS / "comparison.rst").exists():
        pytest.skip("not made yet: the comparison is not whole")
    results = comparison_page.read("small")
    assert results["seed"].nunique() == 5
    text, _ = comparison_page.page()
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (0.8476, False, ".848"),
        (-0.05, True, "-.050"),
        (0.05, True, "+.050"),
        (1.5, False, "1.500"),
        (27.04, False, "27.0"),
        (0.00234, False, ".0023"),
        (0.0, True, "+.000"),
        (np.nan, False, "-"),
    ],
)
def test_numbers_as_the_page_writes_them(value, sign, text):
    assert texts.short(value, sign=sign) == text


def test_a_number_without_an_interval_stands_alone():
    row = {"mean": 0.5, "low": 0.4, "high": 0.61}
    assert texts.with_interval(row, "mean", "low", "high") == ".500 [.400, .610]"
    row = dict.fromkeys(row, np.nan)
    assert texts.with_interval(row | {"mean": 0.5}, "mean", "low", "high") == ".500"
    assert texts.with_interval(row, "mean", "low", "high") == "-"


def test_tables_are_aligned():
    found = texts.table(["a", "long"], [("wide", 1), ("b", 22)])
    assert found.splitlines() == [
        "==== ====",
        "a    long",
        "==== ====",
        "wide 1",
        "b    22",
        "==== ====",
    ]


def test_a_figure_has_every_condition(rng):
    numbers = comparison_page.Numbers(simulated(rng))
    points = comparison_page.trade_off(numbers, "pink").points
    assert len(points) == len(CELLS)
    assert set(points["condition"]) <= set(comparison_page.LABELS.values())
    ws = points[points["condition"] == "WS"]
    np.testing.assert_allclose(ws["x"], [0.025, 0.1, 0.5])
    np.testing.assert_allclose(ws["y"], 0.5, atol=3e-3)
    assert (ws["y_low"] < ws["y"]).all()
    figure = comparison_page.draw(numbers, ["accuracy", "pink"])
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "clean accuracy",
        "pink image noise",
    ]
    texts.close(figure)
