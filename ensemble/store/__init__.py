"""Run folders: what training has finished so far."""

from ensemble.store.chunks import difference, made_here
from ensemble.store.forget import forget
from ensemble.store.listing import Kept, listed
from ensemble.store.merge import merge
from ensemble.store.read import Verified, load_result, verify
from ensemble.store.request import Request, digests
from ensemble.store.run import OtherRunError, Run, clear

__all__ = [
    "Kept",
    "OtherRunError",
    "Request",
    "Run",
    "Verified",
    "clear",
    "difference",
    "digests",
    "forget",
    "listed",
    "load_result",
    "made_here",
    "merge",
    "verify",
]
