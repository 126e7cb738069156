"""The page on speed and memory is that of the results beside it."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import benchmarks_page as page
import texts

ROW = {"unit": "s", "ours": 0.01, "theirs": 0.02, "ratio": 0.5, "wanted": None}
RIVALS = ("plain skorch", "tight loop", "without WS")


@pytest.fixture
def numbers():
    grown = [
        {"topic": topic, "what": f"{at} of them", "at": at, "rival": rival}
        for topic, at, rival in product(page.GROWTH, (10, 100, 1000), RIVALS)
    ]
    epochs = [
        {"what": "64 images, float32", "rival": "tight loop", "ratio": 1.234},
        {"what": "64 images, float32", "rival": "published loop", "wanted": 0.4},
        {"what": "64 images, bfloat16", "rival": "tight loop", "wanted": 0.6},
    ]
    return page.Numbers(
        {
            "rows": [
                {"topic": "epoch", "at": None, "turns": 3} | ROW | row
                for row in [*grown, *epochs]
            ],
            "date": "2026-01-01",
            "quick": True,
            "machine": {},
            "size": {},
            "versions": {},
        }
    )


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.00432, "1/231"), (0.26, ".26"), (1.016, "1.02"), (25, "25.0"), (np.nan, "-")],
)
def test_ratios_in_words(ratio, text):
    assert page.ratio_in_words(ratio) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.5, "s", "2.50 s"),
        (0.01164, "s", "11.6 ms"),
        (3e-5, "s", "30.0 µs"),
        (3e-8, "s", "0.03 µs"),
        (1234.5, "MiB", "1,234 MiB"),
        (0.25, "MiB", "0.25 MiB"),
    ],
)
def test_amounts_have_the_unit_that_fits(value, unit, text):
    assert page.amount(value, unit) == text


def test_numbers_in_words(numbers):
    assert numbers.ratio("epoch", "float32", "tight loop") == "1.23"
    assert numbers.ratio("epoch", "float32", "no such loop") == "-"
    assert len(numbers.table("epoch").splitlines()) == 3 + 4  # rules and the names
    told, table = numbers.missed().split(":\n\n")
    assert told == "1 of 2 ratios are so, all but"
    assert "published loop" in table
    assert "bfloat16" not in table


def test_what_is_not_there_starts_no_list():
    assert texts.table("ab", [("x", "-")]).splitlines()[3] == "x \\-"


def test_the_figure_has_a_line_a_rival(numbers):
    figure = page.draw(numbers)
    assert figure.get_size_inches()[0] < 4.5  # a phone can show it
    for ax in figure.axes:
        assert [line.get_label() for line in ax.lines] == ["ours", *RIVALS]
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.lines[0].get_ydata()[0] == 1
    texts.close(figure)


def test_the_page_is_made_of_the_results():
    """Else run python docs/benchmarks_page.py."""
    if not page.RESULTS.exists():
        pytest.skip("not made yet: make bench")
    text, numbers = page.page()
    assert text == (page.HERE / "benchmarks.rst").read_text()
    assert not numbers.quick
    assert (page.FOLDER / "scaling.png").exists()
