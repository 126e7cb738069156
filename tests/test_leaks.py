"""A process that trains many models does not grow."""

import os
import subprocess
import sys

import pytest

MANY_FITS = """
import gc, os, pickle, sys, tempfile, threading
import torch
from skorch import NeuralNet
torch.set_num_threads(1)
from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.robustness import weight_noise_curve

def counts():
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "memory": resident,
        "system threads": len(os.listdir("/proc/self/task")),
        "threads": threading.active_count(),
        "tensors": sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()),
        "nets": sum(issubclass(type(o), NeuralNet) for o in gc.get_objects()),
        "handles": len(os.listdir("/proc/self/fd")),
        "files": len(os.listdir(tempfile.gettempdir())) + len(os.listdir(".")),
    }

X, y = load_digits_images(return_X_y=True)
X, y = X[:20], y[:20]
found = []
gc.collect()
gc.freeze()  # so that it is quick to collect what the rounds leave
for i in range(80):
    clf = TopographicCNNClassifier(
        ["ws", "as"][i % 2], grid_shape=(15, 20), max_epochs=1 + i % 3, random_state=i
    )
    clf.fit(X, y).partial_fit(X, y)
    clf = pickle.loads(pickle.dumps(clf))
    clf.save("model.safetensors")
    clf = TopographicCNNClassifier.load("model.safetensors")
    clf.predict(X)
    weight_noise_curve(clf, X, y, n_repeats=1)
    try:
        TopographicCNNClassifier().fit(X[:, :0], y)
    except ValueError:
        pass
    if i % 10 == 9:  # skorch leaves an unpickled net in a reference cycle
        found.append(counts())
before, after = found[0], found[-1]
grown = {name: after[name] - before[name] for name in before}
print(grown)
# The allocator and its caches take some MB, 20 on a busy machine. The weights and
# optimizer state of one model a round would be 80 MB by now; the counts see tensors.
assert grown.pop("memory") < 30 * 2**20, grown
assert all(value <= 0 for value in grown.values()), grown
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts by /proc")
def test_eighty_fits(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MANY_FITS],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
