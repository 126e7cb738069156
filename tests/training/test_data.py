import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktopo._training import Batches, ImageDataset, auto_epochs


@given(st.integers(1, 300), st.integers(1, 70), st.booleans())
def test_each_row_comes_once_and_no_batch_is_a_single_row(n_rows, batch_size, shuffle):
    generator = torch.Generator().manual_seed(1) if shuffle else None
    batches = Batches(n_rows, batch_size, generator)
    parts = list(batches)
    assert len(parts) == len(batches)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n_rows))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= batch_size + 1
    if batch_size > 1 and n_rows > 1:
        assert min(sizes) > 1


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "epochs"),
    [
        (2_000, 64, 63),
        (6_000, 64, 22),
        (48_000, 64, 10),
        (12_800, 64, 10),
        (1_334, 64, 96),
        (1_345, 64, 96),  # the last batch of one is no batch
        (1_346, 64, 91),
        (300, 64, 100),
        (1, 1, 100),
    ],
)
def test_auto_epochs(n_rows, batch_size, epochs):
    """Ten, and more where they are needed for 2,000 steps, up to 100."""
    assert auto_epochs(n_rows, batch_size) == epochs


def test_epochs_differ_and_seeds_repeat():
    first, second = (Batches(50, 8, torch.Generator().manual_seed(3)) for _ in range(2))
    epoch = np.concatenate(list(first))
    assert np.array_equal(epoch, np.concatenate(list(second)))
    assert not np.array_equal(epoch, np.concatenate(list(first)))


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (np.uint8, torch.uint8),
        (np.float32, torch.float32),
        (np.float64, torch.float32),
        (">f4", torch.float32),
        (np.int16, torch.float32),
        (bool, torch.float32),
    ],
)
def test_batches_are_made_from_any_dtype(dtype, kept):
    X = np.arange(24).reshape(6, 4).astype(dtype)
    dataset = ImageDataset(X, np.arange(6), np.ones(6, np.float32), (1, 2, 2))
    inputs, y = dataset.__getitems__(np.array([4, 1]))
    images = inputs["images"]
    assert images.dtype == kept
    assert images.shape == (2, 1, 2, 2)
    assert np.array_equal(images[0].numpy().ravel(), X[4])
    assert y.tolist() == [4, 1]
