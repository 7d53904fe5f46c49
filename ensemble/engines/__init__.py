"""Engines: each trains one chunk of models."""

from ensemble.engines.base import ENGINES, Rows, Settings, choose_engine, epoch_seconds, run_chunk
from ensemble.engines.checkpoint import Checkpoint

__all__ = [
    "ENGINES",
    "Checkpoint",
    "Rows",
    "Settings",
    "choose_engine",
    "epoch_seconds",
    "run_chunk",
]
