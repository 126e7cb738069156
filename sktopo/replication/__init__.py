"""The paper as a guest: its protocol as a study, and its claims as tests.

Beside it stand a comparison of spatial losses with each other and with simpler means,
and a study of what the networks are taught by. ``python -m sktopo.replication --help``
says how to run each in one command.
"""

from sktopo.replication._claims import claims
from sktopo.replication._comparison import comparison, load_comparison
from sktopo.replication._contrasts import (
    against_simpler,
    equal_smoothness,
    on_top,
    overview,
)
from sktopo.replication._objectives import objectives
from sktopo.replication._protocol import load, protocol

__all__ = [
    "against_simpler",
    "claims",
    "comparison",
    "equal_smoothness",
    "load",
    "load_comparison",
    "objectives",
    "on_top",
    "overview",
    "protocol",
]
