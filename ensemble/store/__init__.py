"""Run folders: what a training run has finished so far."""

from ensemble.store.run import OtherRunError, Run, Verified, clear, load_result, merge, verify

__all__ = [
    "OtherRunError",
    "Run",
    "Verified",
    "clear",
    "load_result",
    "merge",
    "verify",
]
