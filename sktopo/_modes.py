"""Torch as it is out of the box, whatever modes its user has set (private)."""

import contextlib

import torch


@contextlib.contextmanager
def plain_modes():
    """Gradients on, no autocast and the CPU as default device, for one thread.

    The caller's modes are back afterwards. The default dtype belongs to the whole
    process and is not touched here; see `sktopo._training.seeded_initialisation`.
    """
    kinds = {"cpu"}
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None:
        kinds.add(accelerator.type)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in kinds:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        # entered only where it must be, since each call of torch is slower then; torch
        # 2.7 cannot tell the default device once it was set back to None
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
