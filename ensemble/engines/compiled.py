"""What the compiled engines share: a chunk becomes the kernels' arguments, and its work is cut into kernel calls.

Kernels are imported here, at the first use, so that `import ensemble` does not wait for numba.
"""

from __future__ import annotations

import importlib
import itertools
from abc import abstractmethod
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.base import Engine
from ensemble.engines.chunk import Chunk
from ensemble.engines.prepared import parts, prepared
from ensemble.engines.settings import kernel_rules
from ensemble.specs import Specs
from ensemble.system.progress import note

__all__ = ["Compiled", "spans"]

Array = NDArray[np.float64]

# A kernel call delays Ctrl-C until it returns, so calls are cut to about this long.
CALL_SECONDS = 0.25


class Compiled(Engine):
    """An engine whose work a module of `kernels` does, by its functions `prepare` and `train`."""

    losses: tuple[str, ...] | None = ("mse",)
    most_outputs: int | None = 1

    def kernel(self) -> Any:
        """Return the module of kernels with the engine's name."""
        return _kernel(self.name)

    def prepare(self, data: Dataset, loss: str) -> Any:
        """Return the dataset as the kernel wants it."""
        return self.kernel().prepare(*parts(data, loss))

    @abstractmethod
    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> Array:
        """Return the time of one epoch of each model on one core, (M,)."""

    def train(self, run: Chunk) -> None:
        """Train through kernel calls of about `CALL_SECONDS`."""
        from ensemble.kernels import updates

        specs, settings, networks = run.specs, run.settings, run.networks
        samples = prepared(run.data, self, settings.loss)
        order = np.argsort(networks.slots)  # kernels see the models as they are in the buffer, sorted by shape
        run.sort(order)
        state = run.state.arrays()
        models = updates.Models(
            np.array(specs.width[order]),
            np.array(specs.hidden_layers[order]),
            networks.starts,
            networks.parameters,
            state.get("first", np.zeros(0)),
            state.get("second", np.zeros(0)),
            state.get("powers", np.ones((len(specs), 2))),
        )
        rules = kernel_rules(specs[order], settings.epochs, run.data.n_train, settings.loss, networks.n_outputs)
        history = updates.History(
            run.column, run.train, run.test, run.val, run.diverged_at, run.train_accuracy, run.test_accuracy,
            run.val_accuracy, run.output_weights(),
        )  # fmt: skip
        seconds = self.seconds(specs, run.data, settings.loss)[order]
        reached = run.resume()
        for place, span in enumerate(spans(seconds, settings.epochs, settings.snapshots, run.first)):
            if place < reached:
                continue
            run.pause(place)
            self.kernel().train(samples, models, rules, history, updates.Span(*span))
            if span[1] == len(specs):
                run.snapshot(span[3])
        run.sort(order, back=True)


def spans(
    seconds: Array, epochs: int, snapshots: tuple[int, ...], first: int = 0
) -> Iterator[tuple[int, int, int, int]]:
    """Cut models x epochs into kernel calls of about `CALL_SECONDS`: several models, or part of one's epochs."""
    stops = sorted({first, epochs, *(epoch for epoch in snapshots if epoch > first)})
    for begin, end in itertools.pairwise(stops) if epochs > first else [(first, first)]:
        m = 0
        while m < len(seconds):
            per_call = max(1, int(CALL_SECONDS / seconds[m]))
            if per_call < end - begin:
                for e in range(begin, end, per_call):
                    yield m, m + 1, e, min(e + per_call, end)
                m += 1
            else:
                spent = np.cumsum(seconds[m:]) * max(end - begin, 1)
                count = max(1, int(np.searchsorted(spent, CALL_SECONDS)))
                yield m, m + count, begin, end
                m += count


@cache
def _kernel(name: str) -> Any:
    from ensemble.kernels import jit

    jit.announce(lambda: note("compiling the kernels, once; later runs take them from the cache"))
    return importlib.import_module(f"ensemble.kernels.{name}")
