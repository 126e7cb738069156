import pytest
import torch

from sktopo._training import native_bfloat16, resolve_device


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
