"""Training: check what is asked for, plan chunks, run them on an executor, assemble the result."""

from ensemble.training.forgetting import forget
from ensemble.training.planning import Plan, plan
from ensemble.training.request import Engine, Loss
from ensemble.training.running import train
from ensemble.training.stopping import StoppedError

__all__ = ["Engine", "Loss", "Plan", "StoppedError", "forget", "plan", "train"]
