"""What `train` and `plan` are asked for: every argument checked once, before anything is allocated.

The first step of training; `planning` and `running` take what these functions return.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sized
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import Settings, n_outputs
from ensemble.rules.batches import effective
from ensemble.rules.losses import check_loss
from ensemble.specs import Spec, Specs
from ensemble.system import memory
from ensemble.system.checks import flag, whole

__all__ = ["Datasets", "Engine", "Loss", "in_batches", "make_settings", "n_threads", "named_datasets", "outputs_of"]

Datasets = Mapping[str, Dataset]

# For type checkers, who cannot read a table; `engines.ENGINES` and `rules.losses.LOSSES` hold the same names.
Engine = Literal["auto", "numpy", "dense", "pieces", "spline"]
Loss = Literal["mse", "cross_entropy"]

_MOST_EPOCHS = 10**9
_PER_DOUBLING = 6  # epochs recorded by default
_EPOCH_BYTES = 100  # of an epoch in a list and a set of Python's


def make_settings(
    epochs: int,
    record: Iterable[int] | None = None,
    snapshots: Iterable[int] | None = None,
    keep_networks: bool = True,
    loss: str = "mse",
    keep_state: bool = False,
) -> Settings:
    """Return what is the same for all models of a run, from the arguments of `train`.

    A ValueError for an argument that is not allowed, or more epochs to keep than fit in memory.
    """
    epochs = whole(epochs, "epochs", 0, _MOST_EPOCHS)
    if record is None:  # the same epochs however many follow, so that a longer run records all that a shorter one does
        geometric = np.round(2.0 ** (np.arange(_PER_DOUBLING * 31) / _PER_DOUBLING)).astype(np.int64)
        recorded = {0, epochs, *geometric[geometric <= epochs].tolist()}
    else:
        recorded = {0, epochs, *_epoch_set("record", record, epochs)}
    kept = () if snapshots is None else tuple(sorted(_epoch_set("snapshots", snapshots, epochs)))
    return Settings(
        epochs, np.array(sorted(recorded)), kept, flag(keep_networks, "keep_networks"), check_loss(loss),
        flag(keep_state, "keep_state"),
    )  # fmt: skip


def _epoch_set(name: str, values: Iterable[int], epochs: int) -> set[int]:
    if not isinstance(values, Iterable):
        raise ValueError(f"{name} is {values!r}; several epochs such as [0, 10, 100] are needed")
    if isinstance(values, range) and values:  # its ends first: `len` fails for a range beyond 2^63
        for value in (values[0], values[-1]):
            whole(value, f"every epoch of {name}", 0, epochs)
    if isinstance(values, Sized):
        memory.require(_EPOCH_BYTES * len(values), f"{name} of {len(values):,} epochs", "name fewer epochs")
    return {whole(value, f"every epoch of {name}", 0, epochs) for value in values}


def named_datasets(specs: Specs, data: Dataset | Datasets) -> dict[str, Dataset]:
    """Return the datasets that the specs name.

    A ValueError where there are no models, a dataset is missing, or their numbers of inputs differ.
    """
    if not isinstance(specs, Specs):
        such = "specs[:1] is for the first model" if isinstance(specs, Spec) else "ensemble.grid(width=...) makes"
        raise ValueError(f"specs is a {type(specs).__name__}; Specs are needed, as {such}")
    if not len(specs):
        raise ValueError("specs is empty; at least one model is needed")
    names = np.unique(specs.data).tolist()
    if isinstance(data, Dataset):
        if len(names) > 1:
            raise ValueError(f"specs name the datasets {names}, but data is a single one; give a dict by name")
        return {names[0]: data}
    if not isinstance(data, Mapping):
        raise ValueError(f"data is a {type(data).__name__}; a Dataset or a dict of them by name is needed")
    for name in names:
        if not isinstance(data.get(name), Dataset):
            raise ValueError(f"specs name the dataset {name!r}, but data holds {sorted(map(str, data))}")
    used = {name: data[name] for name in names}
    inputs = {name: dataset.n_inputs for name, dataset in used.items()}
    if len(set(inputs.values())) > 1:
        raise ValueError(f"datasets have different numbers of inputs, {inputs}; train them in separate passes")
    return used


def outputs_of(datasets: Datasets, loss: str) -> int:
    """Return the number of outputs O of the networks that learn these datasets.

    A ValueError where the loss is one of labels and y are none, or the datasets need different numbers.
    """
    outputs = {name: n_outputs(data, loss) for name, data in datasets.items()}
    if len(set(outputs.values())) > 1:
        raise ValueError(f"datasets need different numbers of outputs, {outputs}; train them in separate passes")
    return next(iter(outputs.values()))


def in_batches(specs: Specs, datasets: Datasets) -> NDArray[np.bool_]:
    """Return which models have batches smaller than their training data, (M,)."""
    found = np.zeros(len(specs), dtype=np.bool_)
    for name, data in datasets.items():
        found |= (specs.data == name) & (effective(specs.batch_size, data.n_train) > 0)
    return found


def n_threads(threads: int | None) -> int:
    """Return the number of threads asked for, or one per core that this process may use."""
    if threads is not None:
        return whole(threads, "threads", 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
