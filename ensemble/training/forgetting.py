"""A run folder without the models of one call of `train`, so that the call trains them again."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ensemble import store
from ensemble.data import Dataset
from ensemble.engines import choose_engines
from ensemble.specs import Specs
from ensemble.training.planning import make_plan
from ensemble.training.request import Datasets, Loss, in_batches, make_settings, named_datasets, outputs_of
from ensemble.training.start import beginning

__all__ = ["forget"]


def forget(
    specs: Specs, data: Dataset | Datasets, *, folder: str | os.PathLike[str], epochs: int,
    record: Iterable[int] | None = None, snapshots: Iterable[int] | None = None, keep_state: bool = False,
    loss: Loss = "mse",
) -> None:  # fmt: skip
    """Remove from a run folder what `train` with ``store=folder`` would take from there, and nothing else.

    Parameters
    ----------
    specs, data, epochs, record, snapshots, keep_state, loss
        As in `train`.
    folder : path
        Where there is no run, nothing is done.

    Raises
    ------
    ValueError
        As `train`, and where another process is at work in the folder.
    OSError
        A file cannot be read, written or removed.
    """
    settings = make_settings(epochs, record, snapshots, loss=loss, keep_state=keep_state)
    datasets = named_datasets(specs, data)
    n_inputs = next(iter(datasets.values())).n_inputs
    engines = choose_engines("auto", specs, n_inputs, loss, in_batches(specs, datasets), outputs_of(datasets, loss))
    begin = beginning(None, specs, datasets, engines, settings, record is not None)
    asked = store.Request.of(specs, datasets, begin.origin, settings)
    store.forget(folder, asked, make_plan(specs, datasets, begin).chunks)
