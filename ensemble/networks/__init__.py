"""Networks: one, stacks of them, their initial weights, their files and other libraries' formats."""

from ensemble.networks.initial import initialize
from ensemble.networks.layout import joined, weight_bytes
from ensemble.networks.network import Network
from ensemble.networks.stack import NetworkStack, Stack

__all__ = [
    "Network",
    "NetworkStack",
    "Stack",
    "initialize",
    "joined",
    "weight_bytes",
]
