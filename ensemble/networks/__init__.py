"""Networks: one, stacks of them, their initial weights, their files and other libraries' formats."""

from ensemble.networks.stack import Network, NetworkStack, Stack, initialize, weight_bytes

__all__ = [
    "Network",
    "NetworkStack",
    "Stack",
    "initialize",
    "weight_bytes",
]
