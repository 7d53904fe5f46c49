"""What a call of `train` asks for, as arrays in a file: models, what decides their results, what is to be kept.

Run folders hold one such file per call; a chunk file is a request for its own models, together with the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.data import PARTS, Dataset, Scale
from ensemble.engines import ENGINES, Settings, n_outputs, scale_of
from ensemble.networks import NetworkStack
from ensemble.results import Origin, result_bytes
from ensemble.rules.losses import LOSSES
from ensemble.rules.optimizers import ENDLESS, remembers
from ensemble.specs import COLUMNS, Specs
from ensemble.system.checks import flag, text, whole

__all__ = ["KINDS", "SCHEMA", "Request", "Source", "digests"]

SCHEMA = 2
KINDS = {
    "header": ("u", 1), "record": ("i", 1), "snapshots": ("i", 1), "engine": ("U", 1), "initial": ("U", 1),
    "scale_*": ("f", 1), "spec_*": ("ifbU", 1),
}  # fmt: skip
_LONGEST_HEADER = 2**20


class Source(NamedTuple):
    """What a run knows of a dataset."""

    digest: str
    n_inputs: int
    samples: int
    parts: tuple[str, ...]  # of "val" and "test", those that it has
    scale: Scale | None
    n_outputs: int = 1  # of networks that learn it with the run's loss


@dataclass(frozen=True, eq=False)
class Request:
    """Models to train, and what to keep of them.

    Attributes
    ----------
    specs : Specs
        The M models.
    engine : (M,) str
        What trains each model: never "auto".
    initial : (M,) str
        SHA-256 of the network that each model starts from, as hex; "" where its seed gives it.
    data : dict of Source by name
        The datasets that the specs name; all have the same number of inputs.
    loss : str
        What is minimized.
    epochs : int
        Updates of each model.
    record : (E,) int64
        Epochs at which losses are kept.
    snapshots : tuple of int
        Epochs at which networks are kept.
    keep_networks : bool
        Whether the trained networks are kept.
    keep_state : bool
        Whether it is kept what the optimizers remember.
    """

    specs: Specs
    engine: NDArray[np.str_]
    initial: NDArray[np.str_]
    data: Mapping[str, Source]
    loss: str
    epochs: int
    record: NDArray[np.int64]
    snapshots: tuple[int, ...]
    keep_networks: bool
    keep_state: bool = False

    @classmethod
    def of(cls, specs: Specs, datasets: Mapping[str, Dataset], origin: Origin, settings: Settings) -> Request:
        """Return what `training.train` asks for, its arguments checked."""
        return cls(
            specs,
            origin.engine,
            origin.initial,
            {
                name: Source(
                    data.digest, data.n_inputs, data.n_train,
                    tuple(part for part in data.parts() if part != "train"), scale_of(data, settings.loss),
                    n_outputs(data, settings.loss),
                )
                for name, data in datasets.items()
            },
            settings.loss, settings.epochs, settings.record, settings.snapshots, settings.keep_networks,
            settings.keep_state,
        )  # fmt: skip

    @property
    def origin(self) -> Origin:
        """What decided the results, for a `Result`."""
        return Origin(self.loss, self.engine, self.initial, {name: one.digest for name, one in self.data.items()}, [])

    @property
    def n_inputs(self) -> int:
        """D."""
        return next(iter(self.data.values())).n_inputs

    @property
    def n_outputs(self) -> int:
        """O."""
        return next(iter(self.data.values())).n_outputs

    @property
    def measures(self) -> list[str]:
        """What files call the losses and accuracies that are kept of each model and recorded epoch."""
        kinds = ("loss", "accuracy") if self.loss in LOSSES and LOSSES[self.loss].takes_labels else ("loss",)
        return [f"{part}_{kind}" for kind in kinds for part in self.parts]

    @property
    def scales(self) -> dict[str, Scale]:
        """Units of the datasets that were standardized."""
        return {name: source.scale for name, source in self.data.items() if source.scale is not None}

    @property
    def parts(self) -> list[str]:
        """The parts that any dataset has, "train" among them."""
        return [part for part in PARTS if part == "train" or any(part in source.parts for source in self.data.values())]

    @property
    def stacks(self) -> list[str]:
        """What files call the networks that are kept."""
        return ["networks"] * self.keep_networks + [f"snapshot_{epoch}" for epoch in self.snapshots]

    def result_bytes(self, specs: Specs) -> int:
        """Return the memory in bytes of the result of some of the models."""
        columns = len(self.record) * len(self.measures)
        return result_bytes(specs, columns, self.n_inputs, self.n_outputs, len(self.stacks), self.keep_state)

    def take(self, index: NDArray[np.int64]) -> Request:
        """Return a request for some of the models."""
        specs = self.specs[index]
        data = {name: self.data[name] for name in np.unique(specs.data).tolist()}
        return replace(self, specs=specs, engine=self.engine[index], initial=self.initial[index], data=data)

    def problem(self, name: str) -> str:
        """Return what decides the results of all models on a dataset, as hex: the data itself and the loss.

        What is at its default is left out, here as in `keys`, so that settings to come leave old models found.
        """
        decides = {"data": self.data[name].digest} | ({} if self.loss == "mse" else {"loss": self.loss})
        return _hash(json.dumps(decides, sort_keys=True).encode())

    def problems(self) -> set[str]:
        """Return the problems of all its datasets."""
        return {self.problem(name) for name in self.data}

    def keys(self) -> NDArray[np.bytes_]:
        """Return, for each model, all that decides its result but the number of epochs: equal keys, equal bits."""
        columns = _marks(self.specs.data, self.problem) + _marks(self.engine, str) + _marks(self.initial, str)
        for name in COLUMNS:
            if name != "data":
                values = self.specs.codes(name)
                columns.append(values.view(np.int64) if values.dtype == np.float64 else values.astype(np.int64))
        table = np.ascontiguousarray(np.stack(columns, axis=1))
        return table.view(f"S{8 * len(columns)}").ravel()

    def answers(self, asked: Request) -> NDArray[np.bool_]:
        """Return which models here, (M,), have all that `asked` wants of models with equal keys.

        A longer training has it where it kept the losses and networks of the epochs that are asked for, its last one
        among them; of optimizers' memory only that at its own end is there.
        """
        nothing, same = np.zeros(len(self.specs), dtype=np.bool_), self.epochs == asked.epochs
        if self.epochs < asked.epochs or not np.isin(asked.record, self.record).all():
            return nothing
        if not set(asked.snapshots) <= set(self.snapshots):
            return nothing
        if asked.keep_networks and not (self.keep_networks if same else asked.epochs in self.snapshots):
            return nothing
        needs = remembers(self.specs.optimizer) & asked.keep_state
        return ~needs | self.keep_state if same else ~needs & np.isin(self.specs.schedule, ENDLESS)

    def leads_to(self, asked: Request) -> NDArray[np.bool_]:
        """Return which models here, (M,), a longer training that is `asked` for may go on from, keys being equal."""
        known = asked.record[asked.record <= self.epochs]
        before = {epoch for epoch in asked.snapshots if epoch < self.epochs}
        if not (
            self.epochs < asked.epochs
            and self.keep_networks
            and before <= set(self.snapshots)
            and np.isin(known, self.record).all()
        ):
            return np.zeros(len(self.specs), dtype=np.bool_)
        return np.isin(self.specs.schedule, ENDLESS) & (~remembers(self.specs.optimizer) | self.keep_state)

    def pack(self, **more: Any) -> dict[str, NDArray[Any]]:
        """Return the request as arrays, `more` in their header; columns at their defaults are left out."""
        sources = list(self.data.items())
        header = more | {
            "schema": SCHEMA, "loss": self.loss, "epochs": self.epochs, "keep_networks": self.keep_networks,
            "data": [
                {"name": name, "sha256": source.digest, "n_inputs": source.n_inputs, "samples": source.samples,
                 "parts": source.parts} | ({"n_outputs": source.n_outputs} if source.n_outputs > 1 else {})
                for name, source in sources
            ],
        }  # fmt: skip
        if self.keep_state:
            header["keep_state"] = True
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8),
            "record": self.record,
            "snapshots": np.array(self.snapshots, dtype=np.int64),
            "engine": self.engine[:1] if (self.engine == self.engine[0]).all() else self.engine,
        }
        if (self.initial != "").any():
            arrays["initial"] = self.initial
        for place, (_, source) in enumerate(sources):
            if source.scale is not None:
                arrays[f"scale_{place}"] = source.scale.values()
        for name, column in COLUMNS.items():
            values = getattr(self.specs, name)
            if column.default is None or (values != column.default).any():
                arrays[f"spec_{name}"] = values
        return arrays

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray[Any]]) -> tuple[Request, dict[str, Any]]:
        """Return a request and its header, checked as if a user had given them; errors are `version_1.NOT_ONE`."""
        if len(arrays["header"]) > _LONGEST_HEADER:
            raise ValueError("its header is too long")
        header = json.loads(arrays["header"].tobytes())
        if header["schema"] != SCHEMA:
            raise ValueError(f"it has schema {header['schema']!r}")
        specs = Specs(**{
            name.removeprefix("spec_"): values for name, values in arrays.items() if name.startswith("spec_")
        })  # fmt: skip
        data = {}
        for place, found in enumerate(header["data"]):
            n_inputs = whole(found["n_inputs"], "n_inputs", 1, 10**9)
            n_outputs = whole(found.get("n_outputs", 1), "n_outputs", 1, 10**6)
            units = f"scale_{place}"
            scale = Scale.of_values(arrays[units], n_inputs, n_outputs, units) if units in arrays else None
            parts = tuple(part for part in PARTS[1:] if part in found["parts"])
            samples = whole(found["samples"], "samples")
            data[text(found["name"], "name")] = Source(
                text(found["sha256"], "sha256"), n_inputs, samples, parts, scale, n_outputs
            )
        if set(data) != set(specs.data.tolist()) or len({(one.n_inputs, one.n_outputs) for one in data.values()}) != 1:
            raise ValueError("its datasets are not those of its models")
        epochs = whole(header["epochs"], "epochs", 0, 10**9)
        record, snapshots = arrays["record"].astype(np.int64), arrays["snapshots"].astype(np.int64)
        for values in (record, snapshots):
            if len(values) and not (values[0] >= 0 and values[-1] <= epochs and (np.diff(values) > 0).all()):
                raise ValueError("its epochs are not in order")
        if not len(record) or (record[0], record[-1]) != (0, epochs):
            raise ValueError("its record lacks the first or the last epoch")
        engine = np.broadcast_to(arrays["engine"], len(specs))
        if not set(np.unique(engine).tolist()) <= set(ENGINES) - {"auto"}:
            raise ValueError("its engine is unknown")
        initial = np.broadcast_to(arrays.get("initial", np.array([""])), len(specs))
        return cls(
            specs, engine, initial, data, text(header["loss"], "loss"), epochs, record, tuple(snapshots.tolist()),
            flag(header["keep_networks"], "keep_networks"), flag(header.get("keep_state", False), "keep_state"),
        ), header  # fmt: skip


def digests(stack: NetworkStack) -> NDArray[np.str_]:
    """Return the SHA-256 of each network of a stack."""
    parts = np.split(stack.parameters, stack.starts[1:-1])
    return np.array([_hash(parts[slot].tobytes()) for slot in stack.slots.tolist()])


def _marks(values: NDArray[np.str_], name: Any) -> list[NDArray[np.int64]]:
    """Return two columns of numbers that differ where the names of the values do."""
    distinct, which = np.unique(values, return_inverse=True)
    marks = [hashlib.sha256(name(value).encode()).digest()[:16] for value in distinct.tolist()]
    return list(np.frombuffer(b"".join(marks), dtype=np.int64).reshape(-1, 2)[which].T)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
