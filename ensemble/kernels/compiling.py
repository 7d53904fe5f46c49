"""How numba compiles kernels: without the passes that they have no use for, and finding nothing out twice.

`jit` says which functions are compiled this way. The code is the same; a cold first call takes two thirds of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import types
from numba.core.base import BaseContext
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.types.functions import BaseFunction

__all__ = ["InnerCompiler", "KernelCompiler"]

# What numba looks for in every function, with a new analysis of all its variables after most: closures, `with`,
# `raise`, expressions of whole arrays, what is to be inlined by its own rules, loops over tuples of mixed types.
_NOT_IN_KERNELS = {
    "WithLifting", "InlineClosureLikes", "RewriteSemanticConstants", "RewriteDynamicRaises",
    "MakeFunctionToJitFunction", "FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass",
    "NopythonRewrites", "InlineOverloads", "NoPythonSupportedFeatureValidation", "DumpParforDiagnostics",
}  # fmt: skip
_NOT_IN_INNER = _NOT_IN_KERNELS | {"GenericRewrites"}  # places known in advance: slices of tuples need them, arrays not


class KernelCompiler(Compiler):  # type: ignore[misc]  # numba ships no types
    """Compiles what Python calls."""

    left_out = _NOT_IN_KERNELS

    def define_pipelines(self) -> Any:
        """Return numba's own passes but for those."""
        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes[:] = [one for one in pipeline.passes if one[0].__name__ not in self.left_out]
        return pipelines

    def _compile_core(self) -> Any:
        with _remembering():
            return super()._compile_core()


class InnerCompiler(KernelCompiler):
    """Compiles what only kernels call."""

    left_out = _NOT_IN_INNER

    def define_pipelines(self) -> Any:
        """Return them for code that goes into a part."""
        self.state.library = _Part(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()

    def _compile_core(self) -> Any:
        result = super()._compile_core()
        kind = result.signature.return_type
        assert not any(isinstance(one, types.Array) for one in getattr(kind, "types", [kind])), "a borrowed array"
        return result


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function that only kernels call: left as it is until a kernel takes it in.

    Numba would optimize it, and make machine code that nobody calls, once more in each function on the way there.
    """

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: there is no machine code that would read it."""


_compiling = False  # numba compiles one thing at a time, and within it what that calls


@contextmanager
def _remembering() -> Iterator[None]:
    """Let numba remember what it finds out, until a kernel is compiled with all that it calls.

    For each operator of each statement it tries all its functions of that name, strings and sets among them: a quarter
    of all time. It measures types by writing a program for each. And the search for garbage finds none among so many
    new objects.
    """
    global _compiling
    if _compiling:
        yield
        return
    resolve, size_of, was_on = BaseFunction.get_call_type, BaseContext.get_abi_sizeof, gc.isenabled()
    _compiling = True
    BaseFunction.get_call_type = _memory_of(resolve)  # type: ignore[method-assign]
    BaseContext.get_abi_sizeof = _memory_of(size_of)
    gc.disable()
    try:
        yield
    finally:
        _compiling = False
        BaseFunction.get_call_type = resolve  # type: ignore[method-assign]
        BaseContext.get_abi_sizeof = size_of
        if was_on:
            gc.enable()


def _memory_of(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that calls another one once for each object and arguments."""
    found: dict[Any, Any] = {}

    def remember(self: Any, *arguments: Any) -> Any:
        key = id(self), *(tuple(one.items()) if isinstance(one, dict) else one for one in arguments)
        if key not in found:
            found[key] = method(self, *arguments), self  # held, so that its id is its own
        return found[key][0]

    return remember
