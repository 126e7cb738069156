"""The private names of torch that are used here, and why; nowhere else are they.

Tried with torch 2.7.1, which has no public way, and 2.14.1, which has.
"""

import torch


def cpu_capabilities():
    """What the processor can do, by name; only what is asked for here is sure."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx_tile": torch.cpu._is_amx_tile_supported(),
    }


def in_backward():
    """Whether this runs within a backward pass, as what a checkpoint runs again does.

    torch's own checkpoints ask in this way.
    """
    return torch._C._current_graph_task_id() != -1
