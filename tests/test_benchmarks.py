"""The baselines compute what we compute, and the benchmarks still run."""

import mmap
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sktopo import metrics
from sktopo.grid import Grid
from sktopo.losses import LOSSES, WeightSimilarity
from sktopo.noise import NOISES, add_noise

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import baselines
import bench
import memory
import resnet
import rows

# ------------------------------------------------------------------ baselines


def test_losses_of_the_baselines_are_ours():
    weights = torch.randn(30, 64, generator=torch.Generator().manual_seed(0))
    ours = WeightSimilarity((5, 6))(weights).item()
    edges = torch.from_numpy(Grid((5, 6)).edges.T.copy())
    pair_by_pair = baselines.pair_by_pair_loss(weights, (5, 6)).item()
    assert pair_by_pair == pytest.approx(ours, rel=1e-5)
    assert baselines.edge_loss(weights, *edges).item() == pytest.approx(ours, rel=1e-5)


def test_both_baseline_networks_compute_the_same():
    published, tight = (
        baselines.PublishedNetwork().eval(),
        baselines.TightNetwork().eval(),
    )
    tight.load_state_dict(published.state_dict())
    x = torch.randn(3, 1, 28, 28)
    by_steps = tight.readout(tight.grid(tight.features(x)).relu())
    torch.testing.assert_close(by_steps, published(x))


@pytest.mark.parametrize("name", baselines.LOOPS)
def test_all_loops_train(name):
    X, y = rows.drawn_images(100, 8)
    loop = baselines.LOOPS[name](X, y, Grid((3, 4)))
    loop.epoch()
    network = getattr(loop, "network", None) or loop.net.module_
    before = network.grid.weight.detach().clone()
    loop.one_step()()
    network = getattr(loop, "network", None) or loop.net.module_
    assert not torch.equal(network.grid.weight, before)


def test_measures_of_the_baselines_are_ours(rng):
    A, y = rng.normal(size=(60, 12)).round(1), np.arange(60) % 3
    maps = A.reshape(60, 3, 4)
    found = {name: baselines.MEASURES[name] for name in baselines.MEASURES}
    np.testing.assert_allclose(
        found.pop("average_precision")(A, y), metrics.average_precision(A, y)
    )
    np.testing.assert_allclose(
        found.pop("t_statistic")(A, y), metrics.t_statistic(A, y, ddof=1)
    )
    np.testing.assert_allclose(found.pop("morans_i")(maps), metrics.morans_i(maps))
    assert not found


@pytest.mark.parametrize("kind", baselines.NOISES)
def test_noise_of_the_baselines_is_as_strong_as_ours(kind):
    images = np.full((40, 1, 16, 16), 0.5, dtype=np.float32)
    ours = add_noise(images, kind, 0.1, value_range=(0, 1), rng=0)
    theirs = baselines.NOISES[kind](images, 0.1)
    assert theirs.dtype == ours.dtype
    assert theirs.std() == pytest.approx(ours.std(), rel=0.05)


# ------------------------------------------------------------------ rows

KEYS = {"topic", "what", "at", "ours", "unit", "rival", "theirs", "ratio", "wanted"}
TINY = replace(rows.QUICK, study_images=40, batch=8, images=64, test_images=40)


@pytest.mark.parametrize("part", bench.PARTS)
def test_rows_of_each_part(part, monkeypatch):
    monkeypatch.setattr(memory, "in_fresh_process", lambda run, *args: run(*args))
    found = pd.DataFrame(bench.PARTS[part](TINY))
    assert {*found} == KEYS | {"turns"}
    assert (found[["ours", "theirs", "ratio"]] > 0).all(axis=None)
    assert not found.duplicated(["topic", "what", "rival"]).any()
    assert set(found["unit"]) == {"MiB" if part == "memory" else "s"}
    told = " ".join(found["what"])
    expected = {"losses": LOSSES, "noise": NOISES, "measures": metrics.__all__}
    assert all(name in told for name in expected.get(part, ()))


def test_what_is_wanted_of_resnet18_is_asked():
    stems_and_losses = {
        (loss, stem) for loss in resnet.CONDITIONS for stem in resnet.STEMS
    }
    assert set(resnet.WANTED) < stems_and_losses


def test_contestants_take_turns():
    called = []
    seconds = rows.fastest(
        2, a=(lambda: called.append("a"), 2), b=(lambda: called.append("b"), 1)
    )
    assert "".join(called) == "aabaab"
    assert set(seconds) == {"a", "b"}


def test_a_ratio_is_ours_over_theirs():
    found = {"ours": 1.0, "other": 4.0, "third": 0.5}
    both = list(rows.beside("topic", "what", found, 3, wanted={"other": 0.4}))
    assert [row["ratio"] for row in both] == [0.25, 2]
    assert [row["wanted"] for row in both] == [0.4, None]


def test_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(memory, "PRELOADED", [])
    assert memory.in_fresh_process(os.getpid) != os.getpid()


@pytest.mark.skipif(not memory.STATUS.exists(), reason="asks Linux")
@pytest.mark.parametrize("peak", [memory.peak, memory.peak_without_files])
def test_the_peak_of_what_is_held_and_let_go(peak):
    def run():
        # 64 MiB that the system gives: an allocator may have as much that was let go
        with mmap.mmap(-1, 2**26, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
            values = np.frombuffer(held, dtype=np.uint8)
            values[:] = 1
            total = [values.sum() for _ in range(3)]
            del values
        return total

    assert 60 < peak(run) < 100


def test_one_file_and_one_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "QUICK", TINY)
    bench.main([str(tmp_path / "results.json"), "--quick", "--parts", "channels"])
    results = pd.read_json(tmp_path / "results.json", typ="series")
    assert results["quick"]
    assert results["machine"]["cores"] == os.cpu_count()
    assert {"torch", "Python"} <= set(results["versions"])
    table = capsys.readouterr().out
    assert all(row["what"] in table for row in results["rows"])
