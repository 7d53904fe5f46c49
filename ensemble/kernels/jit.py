"""The one place for compiler flags, and for the cache of compiled kernels.

Every kernel is a serial loop that holds no lock: threads come from the executor above, never from numba.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.event import Listener, register
from numba.core.registry import cpu_target

from ensemble.kernels.compiling import InnerCompiler, KernelCompiler

__all__ = ["announce", "inlined", "inner", "jit", "target"]

_NOT_KEPT = "compiled kernels cannot be cached: no folder is writable; NUMBA_CACHE_DIR names another"

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


_FLAGS = {
    "nogil": True,  # chunks run side by side in a thread pool
    "error_model": "numpy",  # without it a division by zero raises
    "no_cfunc_wrapper": True,  # no C calls kernels
}
_BORROWED = {**_FLAGS, "_nrt": False}  # arrays belong to the caller: counting references costs more than a small call


def jit(function: Kernel) -> Kernel:
    """Compile a kernel that Python calls, at its first call, or load it from the cache. It makes no arrays."""
    return _cached(numba.njit(pipeline_class=KernelCompiler, **_BORROWED)(function), function)


def inner(function: Kernel) -> Kernel:
    """Compile a function that only kernels call, as a part of them: without a door for Python, and not cached.

    It returns no arrays: references to them are not counted.
    """
    compiled = numba.njit(pipeline_class=InnerCompiler, no_cpython_wrapper=True, **_BORROWED)(function)
    if compiled is not function:
        template = compiled.get_call_template  # numba compiles once more for each literal argument: take its type alone
        compiled.get_call_template = lambda args, kws: template(tuple(map(types.unliteral, args)), kws)
    result: Kernel = compiled
    return result


def inlined(function: Kernel) -> Kernel:
    """Do as `inner`, for what is called in every step: its lines take the place of the call."""
    result: Kernel = numba.njit(inline="always", **_FLAGS)(function)
    return result


def _cached(compiled: Any, function: Kernel) -> Kernel:
    if compiled is not function:  # it is, with NUMBA_DISABLE_JIT=1
        try:
            compiled._cache = _Cache(function)
        except (OSError, RuntimeError):  # numba's word for: no folder to cache in is writable
            _note_once(_NOT_KEPT)
    result: Kernel = compiled
    return result


def announce(say: Callable[[], None]) -> None:
    """Call `say` when a kernel is compiled for the first time in this process, and not taken from the cache."""
    if not _Announcer.say:
        register("numba:compile", _Announcer())
    _Announcer.say = say


class _Announcer(Listener):  # type: ignore[misc]  # numba ships no types
    say: Callable[[], None] | None = None
    said = False

    def on_start(self, event: Any) -> None:
        if not _Announcer.said and event.data["dispatcher"].py_func.__module__.startswith(__package__):
            _Announcer.said = True
            assert _Announcer.say is not None
            _Announcer.say()

    def on_end(self, event: Any) -> None:
        pass


class _Cache(FunctionCache):  # type: ignore[misc]  # numba ships no types
    """Numba's cache, with fixes for two bugs.

    Its stamp is that of the function's own file: an edited helper in another file would leave its callers stale. Here
    it is the content of all kernel files. And a damaged cache file is a reason to compile, not to fail.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path, filename_base=self._impl.filename_base, source_stamp=_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling a damaged file may raise
            _note_once("a damaged file in the cache of compiled kernels is replaced")
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:  # a damaged index, which saving reads first: start it again
            try:
                self._cache_file.flush()
                super().save_overload(sig, data)
            except OSError:
                _note_once(_NOT_KEPT)


@cache
def _stamp() -> tuple[str, bool]:
    """Return what the compiled form of every kernel depends on, beside what numba looks at itself."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest(), bool(numba.config.BOUNDSCHECK)


@cache
def target() -> dict[str, str]:
    """Return what kernels are compiled for, as "cpu" and "features": results of equal targets have equal bits.

    Numba's own choice, so that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES count.
    """
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return {"cpu": str(cpu), "features": ",".join(name for name in str(features).split(",") if name.startswith("+"))}


@cache
def _note_once(text: str) -> None:
    print(f"ensemble: {text}", file=sys.stderr)
