"""Each example of the gallery runs, in its short mode, and leaves figures."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))

spec = importlib.util.spec_from_file_location(
    "run_example", ROOT / "tools" / "run_example.py"
)
run_example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_example)


# the logistic regressions of a short mode need not converge, nor its networks
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKTOPO_EXAMPLES", "short")
    variables = run_example.run(script, tmp_path, dpi=50)
    pictures = sorted(tmp_path.glob("*.png"))
    assert pictures
    assert all(path.stat().st_size > 3_000 for path in pictures)
    assert variables["__doc__"].strip().splitlines()[1].startswith("====")
    assert capsys.readouterr().out
