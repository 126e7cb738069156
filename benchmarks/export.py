"""Does a fitted network leave by torch.export and ONNX, and does it answer the same?

    .venv/bin/python benchmarks/export.py

It needs the packages onnx, onnxscript and onnxruntime, and takes about a minute. The
module of the classifier is exported with four images, for any number of them.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from sktopo import TopographicCNNClassifier
from sktopo.datasets import load_digits_images
from sktopo.networks import BACKBONES


@torch.no_grad()
def differences(module, few, many):
    """Largest differences of logits from the module's."""
    import onnxruntime

    free = ({0: torch.export.Dim("n")},)
    program = torch.export.export(module, (few,), dynamic_shapes=free)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        made = torch.onnx.export(
            program, (few,), dynamo=True, input_names=["images"], verbose=False
        )
        made.save(path)
        session = onnxruntime.InferenceSession(path)
        (logits,) = session.run(None, {"images": many.numpy()})
    answers = module(many)
    assert np.array_equal(logits.argmax(axis=1), answers.argmax(dim=1))
    return {
        "torch.export": (program.module()(many) - answers).abs().max().item(),
        "ONNX": np.abs(logits - answers.numpy()).max(),
    }


def main():
    """Print the differences of each backbone."""
    torch.set_num_threads(1)
    X, y = load_digits_images(return_X_y=True)
    images = torch.from_numpy(X).float()
    for name in BACKBONES:
        clf = TopographicCNNClassifier(
            backbone=name, max_epochs=1, lr=3e-3, random_state=0
        )
        module = clf.fit(X[:200], y[:200]).module_
        found = differences(module, images[:4], images[:50])
        print(name, {key: f"{value:.1e}" for key, value in found.items()})


if __name__ == "__main__":
    main()
