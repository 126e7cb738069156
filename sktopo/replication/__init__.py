"""The paper as a guest: its protocol as a study, and its claims as tests.

``python -m sktopo.replication --help`` says how to run it in one command.
"""

from sktopo.replication._claims import claims
from sktopo.replication._protocol import load, protocol

__all__ = ["claims", "load", "protocol"]
