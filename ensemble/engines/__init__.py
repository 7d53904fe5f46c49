"""Engines: each trains one chunk of models."""

from ensemble.engines.checkpoint import Checkpoint
from ensemble.engines.chunk import Rows, Settings, Start
from ensemble.engines.prepared import forget_prepared, n_outputs, scale_of
from ensemble.engines.registry import ENGINES, REGISTRY, check_engine, choose_engines, epoch_seconds
from ensemble.engines.run import run_chunk
from ensemble.engines.state import State, state_bytes

__all__ = [
    "ENGINES",
    "REGISTRY",
    "Checkpoint",
    "Rows",
    "Settings",
    "Start",
    "State",
    "check_engine",
    "choose_engines",
    "epoch_seconds",
    "forget_prepared",
    "n_outputs",
    "run_chunk",
    "scale_of",
    "state_bytes",
]
