"""Where to train, and what a processor can do."""

from __future__ import annotations

import torch

from sktopo._torch_private import cpu_capabilities


def native_bfloat16(device):
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    found = cpu_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_tile"))


def resolve_device(device):
    """The torch device of that name; "auto" picks an accelerator where there is one."""
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or (
            torch.device("cpu")
        )
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
        if found.type == "meta":
            raise RuntimeError("it holds no data")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} is not available here ({error}). "
            f"Use 'cpu', or 'auto' for an accelerator where there is one."
        ) from error
    return found
