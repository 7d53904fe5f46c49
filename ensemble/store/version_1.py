"""Run folders of the first release, read as what later ones write: a request, and chunks of models.

There, the manifest said what was the same for all models of the folder, and chunks named the run by its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Scale
from ensemble.engines import check_engine, choose_engines
from ensemble.networks import joined
from ensemble.specs import Specs
from ensemble.store.request import Request, Source
from ensemble.system.checks import flag, text, whole

__all__ = ["KINDS", "NOT_ONE", "Run", "chunk", "request", "run"]

_COLUMNS = (
    "width", "seed", "lr", "optimizer", "momentum", "beta2", "schedule", "weight_decay", "init", "init_scale",
    "parametrization", "hidden_bias", "output_bias", "data",
)  # fmt: skip
KINDS = {
    "run": ("u", 1), "chunk": ("i", 1), "train_mse": ("f", 2), "test_mse": ("f", 2), "val_mse": ("f", 2),
    "networks_*": ("f", 1), **{f"spec_{name}": ("ifbU", 1) for name in _COLUMNS},
}  # fmt: skip
_CHOICES = ("optimizer", "schedule", "init", "parametrization")

# What is raised while a file is taken apart whose hash is right, but which does not say what it should.
NOT_ONE = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)


class Run(NamedTuple):
    """What a manifest of version 1 says of all models of its folder."""

    identity: bytes  # by which chunks name their run
    engine: str
    initial: str
    data: dict[str, Source]
    epochs: int
    record: NDArray[np.int64]
    snapshots: tuple[int, ...]
    keep_networks: bool
    models: int
    choices: dict[str, NDArray[np.str_]]
    made: dict[str, Any]


def run(manifest: Mapping[str, Any], identity: str) -> Run:
    """Return what a manifest says whose SHA-256 is right; an error of `NOT_ONE` where it does not describe a run.

    `identity` is the SHA-256, as hex, of what it says of all models.
    """
    found = manifest["run"]
    n_inputs = whole(found["n_inputs"], "n_inputs", 1, 10**9)
    epochs = whole(found["epochs"], "epochs", 0, 10**9)
    record, snapshots = ([whole(epoch, name, 0, epochs) for epoch in found[name]] for name in ("record", "snapshots"))
    if record != sorted({0, epochs, *record}) or snapshots != sorted(set(snapshots)):
        raise ValueError("its epochs are not in order")
    data = {}
    for name, source in found["data"].items():
        scale = source["scale"]
        if scale is not None:
            values = [*scale["x_mean"], *scale["x_std"], scale["y_mean"], scale["y_std"]]
            if len(scale["x_mean"]) != n_inputs:
                raise ValueError("a scale has another number of inputs")
            scale = Scale.of_values(np.array(values, dtype=np.float64), n_inputs, 1, "its scale")
        parts = tuple(part for part in ("val", "test") if flag(source["parts"][part], part))
        data[name] = Source(text(source["sha256"], "sha256"), n_inputs, source["samples"], parts, scale)
    if not data:
        raise ValueError("it has no data")
    choices = {name: np.array([text(word, name) for word in manifest["choices"][name]]) for name in _CHOICES}
    made = {"versions": dict(manifest["versions"]), "machine": dict(manifest["machine"]), "target": {}}
    return Run(
        bytes.fromhex(identity), check_engine(found["engine"]), found["initial"], data, epochs,
        np.array(record, dtype=np.int64), tuple(snapshots), flag(found["keep_networks"], "keep_networks"),
        whole(manifest["models"], "models", 1, 10**9), choices, made,
    )  # fmt: skip


def request(arrays: Mapping[str, NDArray[Any]], first: Run) -> Request:
    """Return the request in a file of specs."""
    found = _request(arrays, first)
    if len(found.specs) != first.models:
        raise ValueError(f"it holds {len(found.specs)} models, the manifest says {first.models}")
    return found


def chunk(
    arrays: Mapping[str, NDArray[Any]], first: Run | None
) -> tuple[Request, dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the models of a chunk file, their results under the names of later releases, and what made them."""
    if first is None or arrays["run"].tobytes() != first.identity:
        raise ValueError("it belongs to another run")
    asked = _request(arrays, first)
    found = {f"{part}_loss": arrays[f"{part}_mse"] for part in asked.parts} | {"diverged_at": arrays["diverged_at"]}
    for name in asked.stacks:
        buffers = [arrays[f"{name}_{part}"] for part in ("w1", "b1", "w2", "b2")]
        found[name] = joined(asked.specs.width, asked.n_inputs, buffers)
    return asked, found, first.made


def _request(arrays: Mapping[str, NDArray[Any]], first: Run) -> Request:
    columns = {name: arrays[f"spec_{name}"] for name in _COLUMNS}
    if len({len(values) for values in columns.values()}) != 1:
        raise ValueError("its columns have different lengths")
    for name in _CHOICES:  # kept as places in lists that the manifest holds
        if columns[name].size and columns[name].min() < 0:
            raise ValueError(f"column {name!r} is out of range")
        columns[name] = first.choices[name][columns[name]]
    specs = Specs(**columns)
    data = {name: first.data[name] for name in np.unique(specs.data).tolist()}
    engine = choose_engines(first.engine, specs, next(iter(first.data.values())).n_inputs)
    return Request(
        specs, engine, np.full(len(specs), first.initial), data, "mse", first.epochs, first.record, first.snapshots,
        first.keep_networks,
    )  # fmt: skip
