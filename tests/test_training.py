import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktopo._training import (
    Batches,
    ImageDataset,
    auto_epochs,
    native_bfloat16,
    resolve_device,
    seeded_initialisation,
)


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


def test_seeded_initialisation_restores_the_global_state():
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded_initialisation(5):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ZeroDivisionError), seeded_initialisation(5):
        int(torch.rand(3).numel()) / 0
    assert torch.equal(torch.get_rng_state(), before)


def test_device():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="device='toaster' is not available"):
        resolve_device("toaster")


@pytest.mark.skipif(torch.accelerator.is_available(), reason="has an accelerator")
def test_without_an_accelerator():
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        resolve_device("cuda")


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator here")
def test_auto_picks_the_accelerator():
    assert resolve_device("auto").type == torch.accelerator.current_accelerator().type


def test_native_bfloat16_is_known():
    assert native_bfloat16(torch.device("cpu")) in (True, False)
    assert native_bfloat16(torch.device("meta")) is False
