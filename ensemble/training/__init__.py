"""Training: plan chunks, run them on an executor, assemble the result."""

from ensemble.training.running import Plan, plan, train

__all__ = [
    "Plan",
    "plan",
    "train",
]
