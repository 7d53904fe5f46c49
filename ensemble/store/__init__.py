"""Run folders: what training has finished so far."""

from ensemble.store.merge import merge
from ensemble.store.read import Verified, load_result, verify
from ensemble.store.request import Request, digests
from ensemble.store.run import OtherRunError, Run, clear

__all__ = [
    "OtherRunError",
    "Request",
    "Run",
    "Verified",
    "clear",
    "digests",
    "load_result",
    "merge",
    "verify",
]
