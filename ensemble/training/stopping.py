"""A run under way as its caller sees it: what is reported as chunks finish, and what an early end leaves.

`running` makes these; both hold a `Result`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.engines import Rows
from ensemble.results import Result

__all__ = ["StoppedError", "reported"]


class StoppedError(RuntimeError):
    """The event ``train(stop=...)`` was set before all models were trained.

    Attributes
    ----------
    result : Result
        Of the models that are finished, in the order of the specs; there may be none.
    done : (M,) bool
        Which rows of the specs these are: ``specs[~error.done]`` are left to train.
    """

    def __init__(self, result: Result, done: NDArray[np.bool_], store: str | None) -> None:
        self.done = done
        self.result = result[done]
        how = f"train with store={store!r} again to go on" if store else "specs[~error.done] are left to train"
        super().__init__(
            f"training was stopped: {int(done.sum()):,} of {len(done):,} models are finished, in error.result; {how}"
        )


def reported(index: NDArray[np.int64], rows: Rows, whole: Result) -> Result:
    """Return a chunk's rows as a `Result` of its models that cannot be written to; `whole` has its own copies."""
    stacks = [rows.networks, *rows.snapshots.values(), *(rows.state.parameters.values() if rows.state else ())]
    arrays = [
        *rows.losses.values(),
        *rows.accuracies.values(),
        rows.diverged_at,
        *(rows.state.models.values() if rows.state else ()),
    ]
    for array in [*arrays, *(stack.parameters for stack in stacks if stack is not None)]:
        array.setflags(write=False)
    index.setflags(write=False)
    fresh, origin = np.ones(len(index), dtype=np.bool_), whole.origin
    origin = origin._replace(engine=origin.engine[index], initial=origin.initial[index])
    return Result(
        whole.specs[index], whole.epochs, rows.losses, rows.diverged_at, fresh, origin, rows.networks, rows.snapshots,
        rows.state, rows.accuracies,
    )  # fmt: skip
