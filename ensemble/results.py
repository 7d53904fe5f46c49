"""What training leaves: the error of every model at the recorded epochs, its status, and the networks.

Made by `training.train`; the studies, statistics and plots read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Scale
from ensemble.engines import Rows
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.specs import Specs
from ensemble.system import html

__all__ = ["Result", "empty_result", "result_bytes"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Histories and networks of M models, rows in the order of the specs.

    Attributes
    ----------
    specs : Specs
        The settings of the models.
    epochs : (E,) int64
        Recorded epochs, ascending; 0 and the last are always among them. "Epoch e" means after e updates.
    train_loss : (M, E) float64
        Mean squared error on the training data, in squared units of y as given; +inf from where a model diverged.
    test_loss, val_loss : (M, E) float64, or None
        Likewise on test and validation data; None where no dataset has such a part, and NaN for the models whose own
        dataset has none.
    diverged_at : (M,) int64
        First epoch at which a weight or the training error was not finite (a weight beyond 1e75 counts as such), or
        -1.
    networks : NetworkStack or None
        The trained networks; None with ``keep_networks=False``. A diverged model's are as they were when it was
        stopped.
    snapshots : dict of NetworkStack by epoch
        The networks at the epochs asked for.
    """

    specs: Specs
    epochs: NDArray[np.int64]
    train_loss: Array
    test_loss: Array | None
    val_loss: Array | None
    diverged_at: NDArray[np.int64]
    networks: NetworkStack | None = None
    snapshots: Mapping[int, NetworkStack] = field(default_factory=dict)

    @property
    def status(self) -> NDArray[np.str_]:
        """Whether each model is "ok" or has "diverged", shape (M,)."""
        return np.where(self.diverged_at >= 0, "diverged", "ok")

    def assemble(self, index: NDArray[np.int64], rows: Rows, part: NDArray[np.int64] | None = None) -> None:
        """Write a chunk's rows, all or a `part` of them, to the models at `index`."""
        every = part is None or (len(part) == len(rows.train_loss) and bool((part == np.arange(len(part))).all()))
        pick: Any = slice(None) if every else part
        self.train_loss[index] = rows.train_loss[pick]
        for target, values in ((self.test_loss, rows.test_loss), (self.val_loss, rows.val_loss)):
            if target is not None and values is not None:
                target[index] = values[pick]
        self.diverged_at[index] = rows.diverged_at[pick]
        if self.networks is not None and rows.networks is not None:
            self.networks.put(index, rows.networks if every else rows.networks.take(np.asarray(part)))
        for epoch, networks in rows.snapshots.items():
            self.snapshots[epoch].put(index, networks if every else networks.take(np.asarray(part)))

    def to_pandas(self, epochs: bool = False) -> Any:
        """Return a tidy ``pandas.DataFrame`` (extra ``pandas``).

        Parameters
        ----------
        epochs : bool
            One row per model and recorded epoch instead of one per model after the last.

        Returns
        -------
        DataFrame
            Columns: model, every column of the specs, the MSEs that there are, and epoch or status and diverged_at.
        """
        from ensemble.tables import to_pandas

        return to_pandas(self, epochs)

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset`` (extra ``xarray``) whose dimensions are the grid's own axes, and epoch.

        Specs that are no full grid have one dimension, "model", with the columns that vary as coordinates. Settings
        that are the same for all models are attributes.
        """
        from ensemble.tables import to_xarray

        return to_xarray(self)

    def _repr_html_(self) -> str:
        rows = []
        for width in np.unique(self.specs.width).tolist():
            of_width = self.specs.width == width
            finals = [self.train_loss, self.val_loss, self.test_loss]
            medians = ["" if mse is None else f"{np.median(mse[of_width, -1]):.3g}" for mse in finals]
            rows.append((width, int(of_width.sum()), int((self.diverged_at[of_width] >= 0).sum()), *medians))
        heads = ("width", "models", "diverged", "median train MSE", "median validation MSE", "median test MSE")
        return html.table(repr(self)[1:-1], heads, rows)

    def __len__(self) -> int:
        return len(self.specs)

    def __repr__(self) -> str:
        diverged = int((self.diverged_at >= 0).sum())
        ended = f", {diverged:,} diverged" if diverged else ""
        return f"<Result of {len(self):,} model{'s' * (len(self) != 1)} after {self.epochs[-1]:,} epochs{ended}>"


def result_bytes(specs: Specs, n_epochs: int, n_inputs: int, n_parts: int, n_stacks: int) -> int:
    """Return the memory in bytes that a result takes: the MSE of so many parts of the data, and stacks of networks."""
    weights = int(weight_bytes(specs.width, n_inputs).sum())
    return weights * n_stacks + 8 * len(specs) * (n_parts * n_epochs + 2)


def empty_result(
    specs: Specs, record: NDArray[np.int64], n_inputs: int, scales: Mapping[str, Scale], test: bool, val: bool,
    keep_networks: bool, snapshots: Iterable[int],
) -> Result:  # fmt: skip
    """Return a result with room for all models, still empty; `test` and `val` say whether there is such data."""
    shape = (len(specs), len(record))

    def networks() -> NetworkStack:
        return NetworkStack(specs, n_inputs, scales)

    return Result(
        specs=specs,
        epochs=record,
        train_loss=np.empty(shape),
        test_loss=np.full(shape, np.nan) if test else None,
        val_loss=np.full(shape, np.nan) if val else None,
        diverged_at=np.empty(len(specs), dtype=np.int64),
        networks=networks() if keep_networks else None,
        snapshots={epoch: networks() for epoch in snapshots},
    )
