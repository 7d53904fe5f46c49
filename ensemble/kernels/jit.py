"""The one place for compiler flags.

Every kernel is a serial loop that holds no lock: threads come from the executor above, never from numba.
"""

from __future__ import annotations

from functools import partial

import numba

__all__ = ["jit"]

jit = partial(
    numba.njit,
    nogil=True,  # chunks run side by side in a thread pool
    cache=True,  # start-up is paid once
    error_model="numpy",  # without it a division by zero raises
)
