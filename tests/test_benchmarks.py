"""The baselines compute what we compute, and the benchmarks still run."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sktopo.losses import LOSSES, WeightSimilarity

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import baselines
import encoder
import losses
import resnet
import run


def test_pair_by_pair_loss_is_our_loss():
    weights = torch.randn(121, 64, generator=torch.Generator().manual_seed(0))
    ours = WeightSimilarity((11, 11))(weights).item()
    assert baselines.pair_by_pair_loss(weights).item() == pytest.approx(ours, rel=1e-5)


def test_both_baseline_networks_compute_the_same():
    published, tight = (
        baselines.PublishedNetwork().eval(),
        baselines.TightNetwork().eval(),
    )
    tight.load_state_dict(published.state_dict())
    x = torch.randn(3, 1, 28, 28)
    by_steps = tight.readout(tight.grid(tight.features(x)).relu())
    torch.testing.assert_close(by_steps, published(x))


def test_rows_of_the_table(monkeypatch, rng):
    monkeypatch.setattr(run, "N_TURNS", 1)
    X = rng.integers(0, 256, size=(640, 1, 28, 28), dtype=np.uint8)
    y = np.arange(640) % 10
    rows = [*run.loss_rows(), *run.fit_rows(X, y)]
    assert all(len(row) == 4 and np.isfinite(row[1]) for row in rows)


def test_costs_of_the_losses(monkeypatch, rng):
    monkeypatch.setattr(run, "N_TURNS", 1)
    X = rng.integers(0, 256, size=(640, 1, 28, 28), dtype=np.uint8)
    tables = [
        losses.share_table(X, np.arange(640) % 10, n_calls=1),
        losses.growth_table((4, 5)),
        losses.wide_table([(3, 4, 30)]),
    ]
    assert all(np.isfinite(table.to_numpy()).all() for table in tables)
    assert set(LOSSES) < set(tables[0].index)
    assert {"ws", "laplacian"} <= set(tables[2].index)


def test_rows_of_resnet18(rng):
    X = rng.integers(0, 256, size=(4, 1, 6, 6), dtype=np.uint8)
    rows = list(resnet.rows(X, np.arange(4) % 2, n_turns=1))
    losses = ["none", "ws", "laplacian", "ws, cosine", "as"]
    expected = [(stem, loss) for stem in ("3 x 3", "7 x 7") for loss in losses]
    assert [(row["stem"], row["loss"]) for row in rows] == expected
    assert all(np.isfinite(row["over none"]) for row in rows)
    assert all(row["over none"] == 1 for row in rows if row["loss"] == "none")
    assert {(row["loss"], row["stem"]) for row in rows} > set(resnet.WANTED)


def test_contrasts_of_encoders(rng):
    """Of images whose labels are plain to see."""
    y = np.arange(60) % 3
    X = rng.integers(0, 80, size=(60, 1, 8, 8), dtype=np.uint8)
    X[np.arange(60), 0, 2 * y] += 150
    settings = {"backbone": "small", "max_epochs": 1}
    rows = encoder.probe_rows((X, y), (X, y), seeds=(0, 1), **settings)
    rows = pd.DataFrame(rows)
    assert rows["what"].tolist() == ["pixels", *2 * [*encoder.ENCODERS]]
    assert rows["accuracy"].iloc[0] == 1
    found = encoder.contrasts(rows).set_index("what")
    smooth = rows.loc[rows["what"] == "SimCLR, WS", "Moran's I"].mean()
    assert found["mean"].iloc[-1] == pytest.approx(smooth)
    by_name = rows.groupby("what")["accuracy"].mean()
    gain = found.loc["SimCLR - random, points", "mean"]
    assert gain == pytest.approx(100 * (by_name["SimCLR"] - by_name["random"]))


def test_steps_of_encoders(monkeypatch, rng):
    monkeypatch.setattr(run, "N_TURNS", 1)
    X = rng.integers(0, 256, size=(128, 1, 8, 8), dtype=np.uint8)
    rows = list(encoder.step_rows(X, n_calls=1))
    assert [row["one step of 64 images"] for row in rows] == ["lenet", "deep"]
    assert all(row["ours / tight loop"] > 0 for row in rows)
