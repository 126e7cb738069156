"""Compare speed and memory side by side and print a table of ratios.

    make bench

One torch thread. The contestants of a row take turns in one process, and the fastest of
seven turns counts, so that a busy machine disturbs them alike.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from baselines import pair_by_pair_loss, published_epoch, tight_epoch

from sktopo import TopographicCNNClassifier
from sktopo._training import native_bfloat16
from sktopo.datasets import fetch_fashion_mnist
from sktopo.grid import Grid
from sktopo.losses import WeightSimilarity
from sktopo.networks import BACKBONES
from sktopo.robustness import weight_noise_curve

N_TURNS = 7


def fastest(**contestants):
    """Seconds of the fastest of seven turns of each contestant, taken in turn."""
    seconds = dict.fromkeys(contestants, np.inf)
    for _ in range(N_TURNS):
        for name, (run, n_calls) in contestants.items():
            start = time.perf_counter()
            for _ in range(n_calls):
                run()
            spent = (time.perf_counter() - start) / n_calls
            seconds[name] = min(seconds[name], spent)
    return seconds


def loss_rows():
    for fan_in in (64, 256):
        weights = torch.randn(121, fan_in, requires_grad=True)
        ours = WeightSimilarity((11, 11))

        def run(loss, weights=weights):
            weights.grad = None
            loss(weights).backward()

        spent = fastest(
            ours=(lambda run=run, ours=ours: run(ours), 50),
            loop=(lambda run=run: run(pair_by_pair_loss), 1),
        )
        yield (
            f"(a) WS loss, fan-in {fan_in}: pair-by-pair loop / ours",
            spent["loop"] / spent["ours"],
            f"at least {80 if fan_in == 64 else 60}",
            spent["ours"] * 1e3,
        )


def fit_rows(X, y):
    edges = Grid((11, 11)).edges
    precisions = ["float32"]
    if native_bfloat16(torch.device("cpu")):
        precisions.append("bfloat16")
    contestants = {"published": (lambda: published_epoch(X, y), 1)}
    for precision in precisions:
        clf = TopographicCNNClassifier(
            backbone="small", max_epochs=1, precision=precision, random_state=0
        )
        contestants[f"{precision} ours"] = (lambda clf=clf: clf.fit(X, y), 1)
        bfloat16 = precision == "bfloat16"
        contestants[f"{precision} tight"] = (
            lambda bfloat16=bfloat16: tight_epoch(X, y, edges, bfloat16),
            1,
        )
    spent = fastest(**contestants)
    n_steps = len(X) // 64
    for precision in precisions:
        ours = spent[f"{precision} ours"]
        step = ours / n_steps * 1e3
        least = "2.5" if precision == "float32" else "4.5"
        yield (
            f"(b) one epoch of fit, {precision}: published loop / ours",
            spent["published"] / ours,
            f"at least {least}",
            step,
        )
        yield (
            f"(c) one epoch of fit, {precision}: ours / tightest loop",
            ours / spent[f"{precision} tight"],
            "at most 1.15",
            step,
        )
        yield step_row(X, y, precision)


def steps(X, y, **settings):
    """Twenty training steps of one batch, as a contestant."""
    clf = TopographicCNNClassifier(**settings, max_epochs=1, random_state=0)
    net = clf.fit(X[:640], y[:640]).net_
    net.history.new_epoch()
    net.history.new_batch()
    inputs = {"images": torch.from_numpy(X[:64]), "weights": torch.ones(64)}
    batch = (inputs, torch.from_numpy(y[:64]))
    return (lambda: net.train_step(batch), 20)


def step_row(X, y, precision):
    """Training steps with the spatial loss and without."""
    settings = {"backbone": "small", "precision": precision}
    spent = fastest(
        ws=steps(X, y, lam=1.0, **settings), control=steps(X, y, lam=0.0, **settings)
    )
    return (
        f"(d) one step, {precision}: with spatial loss / without",
        spent["ws"] / spent["control"],
        "at most 1.05" if precision == "float32" else "",
        spent["ws"] * 1e3,
    )


def backbone_rows(X, y):
    """Training steps of each backbone, and what the spatial loss adds to them.

    But for resnet18, which resnet.py tells more of.
    """
    names = [name for name in BACKBONES if name != "resnet18"]
    settings = [(name, lam) for name in names for lam in (1.0, 0.0)]
    spent = fastest(
        **{
            f"{name} {lam}": steps(X, y, backbone=name, lam=lam)
            for name, lam in settings
        }
    )
    for name in names:
        seconds = spent[f"{name} 1.0"]
        yield (
            f'(g) one step of 64 images, "{name}": time over that of "small"',
            seconds / spent["small 1.0"],
            "",
            seconds * 1e3,
        )
        yield (
            f'(g) the same, "{name}": with spatial loss / without',
            seconds / spent[f"{name} 0.0"],
            "",
            seconds * 1e3,
        )


def anonymous_memory():
    """Anonymous memory of this process in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(v.split()[1]) for v in lines if v.startswith("RssAnon")) / 1024


def print_memory_of_fit(folder, n_images):
    """Fit a memmap and print the peak of anonymous memory; runs in its own process."""
    torch.set_num_threads(1)
    X = np.load(Path(folder) / "X.npy", mmap_mode="r")[:n_images]
    y = np.load(Path(folder) / "y.npy")[:n_images]
    peak, done = 0.0, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    TopographicCNNClassifier(backbone="small", max_epochs=1, random_state=0).fit(X, y)
    done.set()
    watcher.join()
    print(peak)


def memory_rows(X, y):
    if not Path("/proc/self/status").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", X)
        np.save(Path(folder) / "y.npy", y)
        peaks = [
            float(
                subprocess.run(
                    [sys.executable, __file__, "memory", folder, str(n_images)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for n_images in (6_000, 60_000)
        ]
    yield (
        "(e) fit of a memmap, 60,000 over 6,000 images: added MB",
        peaks[1] - peaks[0],
        "at most 20",
        np.nan,
    )


def weight_noise_rows(X, y, clf):
    spent = fastest(
        curve=(lambda: weight_noise_curve(clf, X, y, random_state=0), 1),
        predict=(lambda: clf.predict(X), 1),
    )
    yield (
        "(f) 50 weight-noise evaluations / one predict, 10,000 images",
        spent["curve"] / spent["predict"],
        "at most 5",
        spent["curve"] * 1e3,
    )


def main():
    torch.set_num_threads(1)
    X, y = fetch_fashion_mnist(return_X_y=True)
    X_test, y_test = fetch_fashion_mnist("test", return_X_y=True)
    clf = TopographicCNNClassifier(backbone="small", max_epochs=1, random_state=0)
    clf.fit(X[:6400], y[:6400])
    rows = [
        *loss_rows(),
        *fit_rows(X[:6400], y[:6400]),
        *backbone_rows(X, y),
        *memory_rows(X, y),
        *weight_noise_rows(X_test, y_test, clf),
    ]
    table = pd.DataFrame(rows, columns=["what", "ratio", "wanted", "ours, ms"])
    print(f"torch {torch.__version__}, one thread, fastest of {N_TURNS} turns")
    print(table.round(2).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        print_memory_of_fit(sys.argv[2], int(sys.argv[3]))
    else:
        main()
