"""What training leaves: the error of every model at the recorded epochs, its status, and the networks.

Made by `training.train`; the studies, statistics and plots read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensemble.networks import NetworkStack
from ensemble.specs import Specs

__all__ = ["Result"]

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
    train_mse : (M, E) float64
        Mean squared error on the training data, in squared units of y as given; +inf from where a model diverged.
    test_mse, val_mse : (M, E) float64, or None
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
    train_mse: Array
    test_mse: Array | None
    val_mse: Array | None
    diverged_at: NDArray[np.int64]
    networks: NetworkStack | None = None
    snapshots: Mapping[int, NetworkStack] = field(default_factory=dict)

    @property
    def status(self) -> NDArray[np.str_]:
        """Whether each model is "ok" or has "diverged", shape (M,)."""
        return np.where(self.diverged_at >= 0, "diverged", "ok")

    def __len__(self) -> int:
        return len(self.specs)

    def __repr__(self) -> str:
        diverged = int((self.diverged_at >= 0).sum())
        ended = f", {diverged:,} diverged" if diverged else ""
        return f"<Result of {len(self):,} model{'s' * (len(self) != 1)} after {self.epochs[-1]:,} epochs{ended}>"
