"""The command line."""

from ensemble.cli.run import main

__all__ = [
    "main",
]
