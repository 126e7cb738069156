"""Peak memory beyond the data and models that are given, a fresh process a row."""

import multiprocessing
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from baselines import LOOPS
from rows import QUICK, beside, drawn_images
from torch import nn
from training import epochs

from sktopo import TopographicCNNClassifier, measure, measure_activations, metrics
from sktopo.noise import NOISES, add_noise
from sktopo.robustness import image_noise_curve, weight_noise_curve

STATUS = Path("/proc/self/status")  # of Linux alone
PAGE = 1 / 256  # MiB
PRELOADED = ["sktopo"]  # by each fresh process


def resident(key):
    """MiB of this process: VmRSS (now), VmHWM (at most), RssAnon (without files)."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def peak(run):
    """The most that a call holds beyond what was there, a page at least."""
    STATUS.with_name("clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    run()
    return max(resident("VmHWM") - before, PAGE)


def peak_without_files(run):
    """The same without what is read of memory-mapped files, looked at by a watch."""
    before = most = resident("RssAnon")
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.wait(0.002):
            most = max(most, resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return max(most - before, PAGE)


# ------------------------------------------------------- a call, and its data


def activations(n_images, n_units):
    """Responses with some structure, made in place: nothing beyond them is held."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n_images, n_units), dtype=np.float32)
    A += rng.standard_normal(n_units, dtype=np.float32)
    return A


def of_responses(function, size):
    """A function of responses of a large grid, labels and the grid's shape."""
    side = size.large_grid
    A = activations(size.large_images, side**2)
    return partial(function, A, np.arange(len(A)) % 10, (side, side)), (A,)


def of_wide(function, size):
    """A function of responses of very many units to few images, in two networks."""
    X = activations(100, 10 * size.large_grid**2)
    Y = X[::-1].copy()
    return partial(function, X, Y), (X, Y)


def pooled(image_shape):
    """A backbone that costs next to nothing: what is held is ours."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten())


def of_model(function, size, *, large="images"):
    """A function of a model, images and labels: images or grid are large."""
    n_images, side, grid_shape = size.large_images // 20, size.large_side, size.grid
    if large == "grid":
        n_images, side = size.large_images, 8
        grid_shape = (size.large_grid, size.large_grid)
    X, y = drawn_images(n_images, side, 3)
    clf = TopographicCNNClassifier(
        backbone=pooled, grid_shape=grid_shape, max_epochs=1, random_state=0
    ).fit(X[:500], y[:500])
    return partial(function, clf, X, y), (X,)


def of_noise(kind, size):
    """Noise of one kind on large images."""
    shape = (size.large_images // 5, 3, size.large_side, size.large_side)
    images = np.full(shape, 0.5, dtype=np.float32)
    return partial(add_noise, images, kind, 0.2, value_range=(0, 1), rng=0), (images,)


def of_fit(name, size):
    """An epoch, and all that makes it ready, of ours or of a rival."""
    X, y = drawn_images(size.images, size.side)
    run, _ = epochs(X, y, size.grid)[name]
    return run, (X,)


def everything(A, y, grid_shape):
    weights = activations(A.shape[1], 256)
    return measure_activations(A, grid_shape, y, weights, value_range=(-3, 3))


# Functions of responses, labels and the grid's shape.
MEASURES = {
    "all measures of responses": everything,
    "average precision": lambda A, y, shape: metrics.average_precision(A, y),
    "d'": lambda A, y, shape: metrics.d_prime(A, y),
    "difference by distance, 20 permutations": lambda A, y, shape: (
        metrics.difference_by_distance(A[0], shape, None, 20, 0)
    ),
    "entropy of eigenvalues": lambda A, y, shape: metrics.effective_dimensionality(
        A, "entropy"
    ),
    "participation ratio": lambda A, y, shape: metrics.effective_dimensionality(A),
    "functional localization": lambda A, y, shape: metrics.functional_localization(
        A, shape
    ),
    "Moran's I, 3 permutations": lambda A, y, shape: metrics.morans_i(
        A.reshape(-1, *shape), n_permutations=3
    ),
}
# A function of the size each, that gives a call and its data.
TASKS = {
    **{name: partial(of_responses, function) for name, function in MEASURES.items()},
    "debiased CKA of 100 images": partial(
        of_wide, partial(metrics.linear_cka, debiased=True)
    ),
    "curve under weight noise": partial(of_model, weight_noise_curve, large="grid"),
    "curve under image noise": partial(of_model, image_noise_curve),
    "tuning": partial(of_model, partial(measure, include="tuning")),
    **{f"noise, {kind}": partial(of_noise, kind) for kind in NOISES},
}


# ------------------------------------------------------------------ rows


def take(make, size):
    """Peak of what is made, and its data, in MiB: what a process does.

    It is done with little data before, so that what is loaded only once does not count.
    """
    torch.set_num_threads(1)
    make(QUICK)[0]()
    run, data = make(size)
    return peak(run), sum(part.nbytes for part in data) / 2**20


def take_task(name, size):
    return take(TASKS[name], size)


def take_fit(name, size):
    return take(partial(of_fit, name), size)


def take_fit_of_file(n_images, size):
    """Peak of a fit of the first images of a file, the mapped file apart."""
    torch.set_num_threads(1)
    of_fit("ours", QUICK)[0]()
    X, y = drawn_images(max(size.counts), size.side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        np.save(path, X)
        X = np.load(path, mmap_mode="r")
        run, _ = epochs(X[:n_images], y[:n_images], size.grid)["ours"]
        return peak_without_files(run)


def in_fresh_process(function, *args):
    """What a function gives in a process that has imported the package, and no more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result()


def memory_rows(size):
    """A row a task, beside its data; then fits beside the rivals'."""
    if not STATUS.exists():
        return
    for name in TASKS:
        own, data = in_fresh_process(take_task, name, size)
        found = {"ours": own, "its data": data}
        yield from beside("memory", name, found, 1, unit="MiB")
    found = {}
    for name in ("ours", *LOOPS):
        found[name], data = in_fresh_process(take_fit, name, size)
    what = f"an epoch, {size.images:,} images"
    yield from beside("memory", what, {**found, "its data": data}, 1, unit="MiB")
    most = max(size.counts)
    found = {
        name: in_fresh_process(take_fit_of_file, n, size)
        for name, n in (("ours", most), (f"{most // 10:,} of them", most // 10))
    }
    what = f"an epoch, {most:,} images of a file"
    yield from beside("memory", what, found, 1, unit="MiB")
