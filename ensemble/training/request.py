"""What `train` and `plan` are asked for: every argument checked once, before anything is allocated.

The first step of training; `planning` and `running` take what these functions return.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sized
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset, Scale
from ensemble.engines import Settings
from ensemble.networks import NetworkStack
from ensemble.rules.batches import effective
from ensemble.rules.losses import check_loss
from ensemble.specs import Spec, Specs
from ensemble.system import memory
from ensemble.system.checks import flag, whole

__all__ = ["Datasets", "Engine", "Loss", "check_initial", "in_batches", "make_settings", "n_threads", "named_datasets"]

Datasets = Mapping[str, Dataset]

# For type checkers, who cannot read a table; `engines.ENGINES` and `rules.losses.LOSSES` hold the same names.
Engine = Literal["auto", "numpy", "dense", "pieces", "spline"]
Loss = Literal["mse"]

_MOST_EPOCHS = 10**9
_EPOCH_BYTES = 100  # of an epoch in a list and a set of Python's


def make_settings(
    epochs: int,
    record: Iterable[int] | None = None,
    snapshots: Iterable[int] | None = None,
    keep_networks: bool = True,
    loss: str = "mse",
) -> Settings:
    """Return what is the same for all models of a run, from the arguments of `train`.

    A ValueError for an argument that is not allowed, or more epochs to keep than fit in memory.
    """
    epochs = whole(epochs, "epochs", 0, _MOST_EPOCHS)
    if record is None:
        geometric = np.round(np.geomspace(1, max(epochs, 1), 50)).astype(np.int64)
        recorded = {0, epochs, *geometric[geometric <= epochs].tolist()}
    else:
        recorded = {0, epochs, *_epoch_set("record", record, epochs)}
    kept = () if snapshots is None else tuple(sorted(_epoch_set("snapshots", snapshots, epochs)))
    return Settings(epochs, np.array(sorted(recorded)), kept, flag(keep_networks, "keep_networks"), check_loss(loss))


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


def check_initial(initial: NetworkStack | None, specs: Specs, datasets: Datasets) -> None:
    """Raise a ValueError where the networks to start from do not fit the specs, or the units of their data."""
    if initial is None:
        return
    n_inputs = next(iter(datasets.values())).n_inputs
    if not isinstance(initial, NetworkStack):
        raise ValueError(f"initial is a {type(initial).__name__}; a NetworkStack is needed")
    columns = ("width", "hidden_layers")
    given, asked = ([getattr(one, name).tolist() for name in columns] for one in (initial.specs, specs))
    if initial.n_inputs != n_inputs or given != asked:
        has, need = (f"widths {one[0][:4]}..., hidden layers {one[1][:4]}..." for one in (given, asked))
        raise ValueError(
            f"initial holds {len(initial)} networks of {initial.n_inputs} inputs, {has}; "
            f"the specs need {len(specs)} of {n_inputs} inputs, {need}, in this order"
        )
    for there, here in sorted(set(zip(initial.specs.data.tolist(), specs.data.tolist(), strict=True))):
        found, needed = initial.scales.get(there), datasets[here].scale
        if not (found is needed is None or (found and needed and np.array_equal(found.values(), needed.values()))):
            raise ValueError(
                f"initial holds networks of data {_units(found)}, but the dataset {here!r} is {_units(needed)}: "
                "there the same weights are another function; networks of the same units are needed "
                "(`initialize` takes `scales`)"
            )
    for i in range(len(specs)):
        *hidden, output = initial.network(i, units="training").biases
        if (not specs.hidden_bias[i] and any(b.any() for b in hidden)) or (not specs.output_bias[i] and output.any()):
            raise ValueError(f"initial network {i} has a bias that its spec switches off")


def _units(scale: Scale | None) -> str:
    if scale is None:
        return "in its own units"
    means, deviations = (np.array2string(part, threshold=4, edgeitems=2) for part in (scale.x_mean, scale.x_std))
    return f"standardized (x: means {means}, deviations {deviations}; y: {scale.y_mean:g}, {scale.y_std:g})"
