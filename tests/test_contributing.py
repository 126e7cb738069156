"""CONTRIBUTING's examples, made as it says in a copy of the package, are enough."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"^```python\n# (\S+?)(?:, (above|in) (\w+))?\n(.*?)^```",
    (ROOT / "CONTRIBUTING.md").read_text(),
    flags=re.MULTILINE | re.DOTALL,
)
# What the examples add: its kind, its name, and the test file that runs over all.
ADDED = {
    "noise": ("brown", "tests/test_noise.py"),
    "backbone": ("flat", "tests/test_networks.py"),
    "loss": ("alignment", "tests/losses/test_registry.py"),
    "metric": ("lifetime_sparseness", "tests/metrics/test_arrays.py"),
    "group": ("sparseness", "tests/measures/test_groups.py"),
    "scorer": ("silence", "tests/test_scorers.py"),
    "display": ("VarianceDisplay", "tests/plotting/test_all_displays.py"),
    "data set": ("bars", "tests/test_datasets.py"),
}
ALSO = [
    "tests/test_frozen.py",
    "tests/test_registries.py",
    "tests/metrics/test_activity.py",
    "tests/metrics/test_invariances.py",
    "tests/measures/test_sparseness.py",
]

KNOWN_EVERYWHERE = """
import sys
import numpy as np
import pytest
import sktopo
from sktopo import TopographicCNNClassifier, measure_activations, select_results
from sktopo import datasets, noise, replication, scorers
from sktopo.study import TopographicStudy
sys.path.insert(0, "docs")
import lists

def error(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except ValueError as told:
        return str(told)
    raise AssertionError(function)

@pytest.mark.filterwarnings("default")
def test_what_is_added_is_known_everywhere():
    X, y = datasets.DATASETS["bars"](return_X_y=True)
    A = np.random.default_rng(0).normal(size=(20, 12))
    ones = np.ones((1, 1, 2, 2))
    fit = lambda **k: TopographicCNNClassifier(**k).fit(X, y)
    assert "'brown'" in error(noise.add_noise, ones, "?", value_range=(0, 1), rng=0)
    assert "'brown'" in error(sktopo.ImageNoise("?").fit, X)
    assert "'flat'" in error(fit, backbone="?")
    assert "'alignment'" in error(fit, topo_loss="?")
    assert "'silence'" in error(scorers.get_scorer, "?")
    assert "'bars'" in error(replication.load, "?")
    assert "'sparseness'" in error(TopographicStudy(include=["?"]).cells)

    page = lists.api_page()
    for name in (
        '"brown"', "noise.brown_noise", '"flat"', "networks.flat_backbone",
        '"alignment"', "losses.WeightAlignment", "metrics.lifetime_sparseness",
        '"silence"',
        "scorers.make_silence_scorer", "plotting.VarianceDisplay", '"bars"',
        "datasets.load_bars",
    ):
        assert name in page, name
        module, _, attribute = name.partition(".")
        assert not attribute or attribute in getattr(sktopo, module).__all__, name
    assert "How few images units respond to." in lists.measures_page()

    table = measure_activations(A, (3, 4))
    assert len(select_results(table, "strong_responses", above=0.5)) == 1
    quick = TopographicCNNClassifier(grid_shape=(3, 4), backbone="flat", max_epochs=1)
    study = TopographicStudy(quick, ["alignment"], [1.0], 2, include=["sparseness"])
    study.run(X, y, X, y)
    rows = select_results(study.results_, "strong_responses", above=0.1)
    assert set(rows["condition"]) == {"control", "alignment"}
    study.report("report.html")
    with open("report.html") as report:
        assert "strong responses" in report.read().replace("_", " ")
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the package with all examples in their places."""
    copy = tmp_path_factory.mktemp("house")
    ignore = shutil.ignore_patterns(
        "__pycache__", "_build", "auto_examples", "generated"
    )
    for folder in ("sktopo", "tests", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for place, how, listed, code in BLOCKS:
        edit(copy / place, how, listed, code)
    return copy


def edit(path, how, listed, code):
    """Make one edit: above a list, in it, at the end of a file, or a new file."""
    text = path.read_text() if path.exists() else ""
    if not how:
        path.write_text(f"{text}\n\n{code}" if text else code)
        return
    found = re.search(rf"^{listed} = [\[{{]", text, flags=re.MULTILINE)
    assert found, f"{path} has no list {listed}"
    at = found.start() if how == "above" else found.end()
    code = f"{code}\n\n" if how == "above" else f"\n{code}"
    path.write_text(text[:at] + code + text[at:])


def run(house, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(house), "MPLBACKEND": "agg"}
    line = [sys.executable, *arguments]
    done = subprocess.run(
        line, cwd=house, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


def test_each_example_changes_one_file_of_the_package():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    examples = text.partition("## How to add something")[2].split("\n### ")[1:]
    shown = [re.findall(r"^# (sktopo/\S+?)(?:,|$)", e, flags=re.M) for e in examples]
    shown = [set(files) for files in shown if files]
    assert len(shown) == len(ADDED)
    assert all(len(files) == 1 for files in shown)


@pytest.mark.long
def test_what_is_added_is_known_and_the_tests_over_all_entries_find_it(house):
    names = [name for name, _ in ADDED.values()]
    extra = ["smoother_than_pink", "one_layer", "aligned", "strong_responses"]
    extra += [
        "scorers_look_at_the_layer",
        "share_of_zeros",
        "variances_fall",
        "lie_and_stand",
    ]
    (house / "tests/test_known_everywhere.py").write_text(KNOWN_EVERYWHERE)
    extra.append("test_what_is_added_is_known_everywhere")
    files = [*(file for _, file in ADDED.values()), *ALSO]
    files.append("tests/test_known_everywhere.py")
    options = ["-q", "-rA", "-n", "0", "-p", "no:cacheprovider"]
    chosen = " or ".join([*names, *extra])
    out = run(house, "-m", "pytest", *options, "-k", chosen, *files)
    for name, file in ADDED.values():
        over_all = rf"^PASSED {file}::\w+\[[^\]]*\b{name}\b"
        assert re.search(over_all, out, flags=re.M), name
    for name in extra:
        assert re.search(rf"^PASSED \S+{name}", out, flags=re.M), name
