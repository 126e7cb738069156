"""The page on objectives is that of the results beside it."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import objectives_page as page
import texts

CONDITIONS = [("control", 0.0), ("ws", 0.3), ("ws", 1.0), ("ws", 3.0)]
SEEDS = (100, 101, 102)


@pytest.fixture
def found():
    """A study in which each seed, lam and outcome adds a number of its own."""
    rows, pairs = [], []
    for place, (condition, lam) in enumerate([*CONDITIONS, ("untrained", 0.0)]):
        for seed in SEEDS:
            for name, (group, measure, parameter, _) in page.OUTCOMES.items():
                value = place + (seed - 101) / 10 + len(name)
                cell = (condition, lam, seed, group, measure, parameter)
                rows.append((*cell, value))
        for first, second in itertools.combinations(SEEDS, 2):
            likeness = 0.9 - 0.1 * place + 0.01 * (first + second - 202)
            pairs.append((condition, lam, first, second, likeness))
    columns = [*texts.CELL, "group", "measure", "parameter", "value"]
    pair_columns = ["condition", "lam", "first", "second", "correlation"]
    return page.Taught(
        pd.DataFrame(rows, columns=columns), pd.DataFrame(pairs, columns=pair_columns)
    )


def test_numbers_in_words(found):
    assert (found.n_models, found.n_seeds) == (15, 3)
    half = 4.302653 * 0.1 / np.sqrt(3)  # Student's t for two degrees of freedom
    low, high = 5 - half, 5 + half
    assert found.mean("probe", "control") == f"5.000 [{low:.3f}, {high:.3f}]"
    assert found.change("probe") == "+2.000 [+2.000, +2.000]"
    assert found.change("probe", "control", 0.0, "untrained").startswith("-4.000 [")
    assert found.beyond("probe", 4.0).startswith("+1.000 [+.752, +1.248]")
    assert found.over_lams("rook").startswith("+2.000 [")
    assert found.consistency() == ".800 at lam 0.3, .700 at lam 1, .600 at lam 3"
    slope = 0.1 * 2 / np.log(10)
    assert found.falls().startswith(f"+{slope:.3f}".replace("+0.", "+."))
    assert len(found.table().splitlines()) == 5 + 4  # three rules and the names


def test_the_figure_has_a_line_an_objective(found):
    figure = page.draw(dict.fromkeys(page.LABELS, found))
    assert figure.get_size_inches()[0] < 6  # a phone can show it
    for ax in figure.axes:
        assert [line.get_label() for line in ax.lines][:1] == ["cross entropy"]
        assert len(ax.lines) == 3 * (1 + len(SEEDS))
    texts.close(figure)


def test_the_page_is_made_of_the_results():
    """Else run python docs/objectives_page.py."""
    if not (path := page.HERE / "objectives.rst").exists():
        pytest.skip("not made yet: the studies are not whole")
    text, taught = page.page()
    assert text == path.read_text()
    for found in taught.values():
        models = found.results[texts.CELL].drop_duplicates()
        assert models.groupby(["condition", "lam"]).size().eq(3).all()
