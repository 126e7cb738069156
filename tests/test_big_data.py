"""Images beyond the memory limit of the process, as memmaps of sparse files."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="counts by /proc"
)

ROOM = 192 * 2**20  # beyond what is taken when all is imported
PREPARE = """
import resource, sys, warnings
warnings.simplefilter("error")
# two kinds of image, which one number tells apart
warnings.filterwarnings("ignore", "Units of a topographic layer all respond alike")
import numpy as np
import torch
torch.set_num_threads(1)
from sktopo import TopographicCNNClassifier
from sktopo.robustness import image_noise_curve, pruning_curve, weight_noise_curve

def pooled(image_shape):
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten())

def classifier(**settings):
    return TopographicCNNClassifier(
        backbone=pooled, grid_shape=(4, 4), max_epochs=1, batch_size=4, lr=1e-2,
        random_state=0, **settings,
    )

# what is imported, and set aside, at its first use
X, y = np.arange(8 * 256, dtype=np.uint8).reshape(8, 1, 16, 16), np.arange(8) % 2
weight_noise_curve(classifier().fit(X, y), X, y, [0.1], n_repeats=1)

with open("/proc/self/status") as file:
    (taken,) = [int(line.split()[1]) for line in file if line.startswith("VmData:")]
limit = taken * 1024 + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
"""

UINT8 = """
X = np.memmap(sys.argv[1], np.uint8, "r", shape=(560, 1, 640, 640))
y = np.arange(560) % 2
try:
    np.array(X)
except MemoryError:
    print("the limit holds")
clf = classifier().fit(X, y)
print("fit and predict", (clf.predict(X) == y).mean() > 0.9)
print("transform", clf.transform(X).shape == (560, 16))
for curve in (
    weight_noise_curve(clf, X, y, sigmas=[0.1], n_repeats=2, random_state=0),
    pruning_curve(clf, X, y, fractions=[0, 0.5], random_state=0),
    weight_noise_curve(clf, X[:40], y[:40], [0.1], layers="all", n_repeats=2),
    image_noise_curve(clf, X[:40], y[:40], ["white", "pink"], [0.1], random_state=0),
):
    print("curve", curve["accuracy"].between(0, 1).all())
"""


def limited(code, path="", room=ROOM):
    command = [sys.executable, "-c", PREPARE + code, path, str(room)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def sparse_images(path, dtype, n, side):
    """Images that are bright at the top, to the left or to the right, else zero."""
    bright, dark = np.full((8, side // 2), 200, dtype), np.zeros((8, side // 2), dtype)
    tops = [np.hstack(halves).tobytes() for halves in ((dark, bright), (bright, dark))]
    size = side * side * np.dtype(dtype).itemsize
    with open(path, "wb") as file:
        for row in range(n):
            file.seek(row * size)
            file.write(tops[row % 2])
        file.truncate(n * size)
    assert path.stat().st_blocks * 512 < n * size / 10


@pytest.mark.long
def test_uint8_images_beyond_memory(tmp_path):
    path = tmp_path / "images"
    sparse_images(path, np.uint8, 560, 640)
    before = path.stat().st_mtime_ns
    lines = limited(UINT8, path)
    assert lines[0] == "the limit holds"
    assert [line.rsplit(" ", 1)[1] for line in lines[1:]] == ["True"] * 6
    assert path.stat().st_mtime_ns == before


FLOAT32 = """
X = np.memmap(sys.argv[1], np.float32, "r", shape=(140, 1, 640, 640))
y = np.array(["left", "right"])[np.arange(140) % 2]
try:
    np.array(X)
except MemoryError:
    print("the limit holds")
clf = classifier(early_stopping=True, validation_fraction=0.2).fit(X, y)
clf.set_params(early_stopping=False).partial_fit(X, y)
print("fit and predict", clf.score(X, y) > 0.9)
print("curve", len(image_noise_curve(clf, X[:40], y[:40], ["white"], [0.1])) == 1)
"""


def test_float32_images_beyond_memory(tmp_path):
    path = tmp_path / "images"
    sparse_images(path, np.float32, 140, 640)
    lines = limited(FLOAT32, path)
    assert lines == ["the limit holds", "fit and predict True", "curve True"]


LARGE_IMAGES = """
from sktopo import measure, stimuli
from sktopo.noise import NOISES
try:
    stimuli.eccentricity_probes((3, 64, 64))
except MemoryError:
    print("the limit holds")
rng = np.random.default_rng(0)
X = rng.integers(0, 256, size=(240, 3, 64, 64), dtype=np.uint8)
y = np.arange(240) % 4
clf = classifier().fit(X, y)
table = measure(clf, X, y, include="tuning")
print("tuning", table["n"].gt(0).any())
for noise in NOISES.values():
    noisy = noise(X[:200].astype(np.float32), 0.2, (0, 255), 0)
    print("noise", noisy.shape == (200, 3, 64, 64))
curve = image_noise_curve(clf, X, y, levels=[0.2], random_state=0)
print("curve", len(curve) == 3)
pink = NOISES["pink"](np.zeros((20, 3, 512, 512), np.float32), 0.2, (0, 1), 0)
print("pink", pink.max() > 0)
"""


def test_all_tuning_and_noise_of_large_images():
    lines = limited(LARGE_IMAGES, room=512 * 2**20)
    assert lines[0] == "the limit holds"
    assert [line.rsplit(" ", 1)[1] for line in lines[1:]] == ["True"] * 6
