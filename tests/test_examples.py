"""Each example of the gallery runs, made short from outside, and leaves figures."""

import importlib.util
import re
from pathlib import Path

import pytest

from sktopo import datasets

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
# What takes long in any example, and what is run in its place.
SHORTER = {
    r"\bmax_epochs=\d+": "max_epochs=1",
    r"\bn_seeds=\d+": "n_seeds=2",
    r"\bN_STEPS = \d+": "N_STEPS = 2",
    r"\bN_EPOCHS = \d+": "N_EPOCHS = 1",
    r"\bLAMS = \[.*\]": "LAMS = [1]",
}
N_IMAGES = 100

spec = importlib.util.spec_from_file_location(
    "run_example", ROOT / "tools" / "run_example.py"
)
run_example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_example)


def shorten(code):
    """The code of an example that runs in a moment."""
    for pattern, replacement in SHORTER.items():
        code = re.sub(pattern, replacement, code)
    return code


@pytest.fixture
def few_digits(monkeypatch):
    """Examples are given the first digits of each part, whatever else is on disk."""
    load = datasets.load_digits_images

    def load_few(subset="all", *, return_X_y=False):
        assert return_X_y
        return tuple(part[:N_IMAGES] for part in load(subset, return_X_y=True))

    def find_none(*args, **kwargs):
        raise OSError

    monkeypatch.setattr(datasets, "load_digits_images", load_few)
    monkeypatch.setattr(datasets, "fetch_fashion_mnist", find_none)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example(script, tmp_path, in_short, few_digits, capsys):
    short = tmp_path / script.name
    short.write_text(shorten(script.read_text()))
    variables = run_example.run(short, tmp_path, dpi=50)
    pictures = sorted(tmp_path.glob("*.png"))
    assert pictures
    assert all(path.stat().st_size > 1_500 for path in pictures)
    assert variables["__doc__"].strip().splitlines()[1].startswith("====")
    assert capsys.readouterr().out


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_a_page_ends_in_a_figure(script):
    last = script.read_text().rpartition("# %%")[2]
    assert "plt.show()" in last
