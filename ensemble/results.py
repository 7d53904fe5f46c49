"""What training leaves: the loss of every model at the recorded epochs, its status, and the networks.

Made by `training.train`; the studies, statistics and plots read it, and pandas and xarray take it from here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.data import PARTS, Scale
from ensemble.engines import Rows, State, state_bytes
from ensemble.networks import NetworkStack, weight_bytes
from ensemble.rules.losses import LOSSES
from ensemble.specs import COLUMNS, Specs
from ensemble.system import html
from ensemble.system.extras import load_extra

__all__ = ["Origin", "Result", "empty_result", "result_bytes"]

Array = NDArray[np.float64]


class Origin(NamedTuple):
    """What decided the results of M models beside their specs and the number of epochs.

    Attributes
    ----------
    loss : str
        What was minimized.
    engine : (M,) str
        What trained each model: never "auto".
    initial : (M,) str
        SHA-256 of the network that each model started from, as hex; "" where its seed gave it.
    data : dict of str by name
        The digest of each dataset.
    made : list of dict
        By which versions, machines and compilers models were made that came from a run folder, each kind once.
    """

    loss: str
    engine: NDArray[np.str_]
    initial: NDArray[np.str_]
    data: Mapping[str, str]
    made: list[Mapping[str, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Losses and networks of M models, rows in the order of the specs.

    A mask, a slice or an integer array gives the `Result` of those models.

    Attributes
    ----------
    specs : Specs
        The settings of the models.
    epochs : (E,) int64
        Recorded epochs, ascending; 0 and the last are always among them. "Epoch e" means after e updates.
    losses : dict of (M, E) float64 by part
        The loss on each part of the data that there is, "train" among them: the mean squared error in squared units of
        y as given, the mean over outputs where there are several, each in its own units; or the mean cross-entropy, in
        nats. +inf from where a model diverged; NaN for models whose own dataset has no such part.
    diverged_at : (M,) int64
        First epoch at which a weight or the training error was not finite (a weight beyond 1e75 counts as such), or
        -1.
    fresh : (M,) bool
        Whether the call that returned this result trained the model; False where it came from a run folder.
    origin : Origin
        What else decided these results: loss, engines, data and initial networks.
    stack : NetworkStack or None
        What `networks` returns, None where they were not kept.
    snapshots : dict of NetworkStack by epoch
        The networks at the epochs asked for.
    state : State or None
        What the optimizers remember after the last epoch, with ``keep_state=True``: `train` needs it to go on from this
        result (``initial=``) where the optimizer is not gd.
    accuracies : dict of (M, E) float64 by part
        With ``loss="cross_entropy"``, the share of samples whose class has the largest output; 0 from where a model
        diverged. Otherwise empty.
    """

    specs: Specs
    epochs: NDArray[np.int64]
    losses: Mapping[str, Array]
    diverged_at: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    origin: Origin
    stack: NetworkStack | None = None
    snapshots: Mapping[int, NetworkStack] = field(default_factory=dict)
    state: State | None = None
    accuracies: Mapping[str, Array] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the data that there are losses on: "train", and "val" and "test" where there is such data."""
        return tuple(self.losses)

    @property
    def train_loss(self) -> Array:
        """The loss on the training data, shape (M, E)."""
        return self._loss("train")

    @property
    def val_loss(self) -> Array:
        """The loss on the validation data, shape (M, E); an AttributeError where no dataset has such a part."""
        return self._loss("val")

    @property
    def test_loss(self) -> Array:
        """The loss on the test data, shape (M, E); an AttributeError where no dataset has such a part."""
        return self._loss("test")

    def _loss(self, part: str) -> Array:
        if part not in self.losses:
            raise AttributeError(f"this result has no {part}_loss; the data have the parts: {', '.join(self.parts)}")
        return self.losses[part]

    @property
    def train_accuracy(self) -> Array:
        """The share of the training data classified rightly, shape (M, E); an AttributeError with another loss."""
        return self._accuracy("train")

    @property
    def val_accuracy(self) -> Array:
        """The share of the validation data classified rightly, shape (M, E); an AttributeError where there is none."""
        return self._accuracy("val")

    @property
    def test_accuracy(self) -> Array:
        """The share of the test data classified rightly, shape (M, E); an AttributeError where there is none."""
        return self._accuracy("test")

    def _accuracy(self, part: str) -> Array:
        if not self.accuracies:
            raise AttributeError(
                f"this result has no {part}_accuracy: it minimized {self.origin.loss!r}; loss='cross_entropy' has it"
            )
        self._loss(part)
        return self.accuracies[part]

    @property
    def networks(self) -> NetworkStack:
        """The trained networks; an AttributeError with ``keep_networks=False``.

        A diverged model's network is as it was when it was stopped.
        """
        if self.stack is None:
            raise AttributeError("this result has no networks: it was trained with keep_networks=False")
        return self.stack

    @property
    def status(self) -> NDArray[np.str_]:
        """Whether each model is "ok" or has "diverged", shape (M,)."""
        return np.where(self.diverged_at >= 0, "diverged", "ok")

    @property
    def trained(self) -> int:
        """How many models were trained, and not taken from a run folder, by the call that returned this result."""
        return int(self.fresh.sum())

    def assemble(self, index: NDArray[np.int64], rows: Rows, made: Mapping[str, Any] | None = None) -> None:
        """Write a chunk's rows to the models at `index`; `made` says by what, where they come from a run folder."""
        if made is not None and made not in self.origin.made:
            self.origin.made.append(made)
        for part, values in rows.losses.items():
            if part in self.losses:
                self.losses[part][index] = values
        for part, values in rows.accuracies.items():
            if part in self.accuracies:
                self.accuracies[part][index] = values
        self.diverged_at[index] = rows.diverged_at
        if self.stack is not None and rows.networks is not None:
            self.stack.put(index, rows.networks)
        for epoch, networks in rows.snapshots.items():
            self.snapshots[epoch].put(index, networks)
        if self.state is not None and rows.state is not None:
            self.state.put(index, rows.state)

    def __getitem__(self, index: slice | NDArray[Any] | Iterable[int] | Iterable[bool]) -> Result:
        if isinstance(index, (int, np.integer)):
            raise IndexError(f"a result of one model is result[{index}:{index + 1}]; its network is networks[{index}]")
        models = self.specs.places(index)
        return Result(
            self.specs[models],
            self.epochs,
            {part: values[models] for part, values in self.losses.items()},
            self.diverged_at[models],
            self.fresh[models],
            self.origin._replace(engine=self.origin.engine[models], initial=self.origin.initial[models]),
            None if self.stack is None else self.stack.take(models),
            {epoch: networks.take(models) for epoch, networks in self.snapshots.items()},
            None if self.state is None else self.state.take(models),
            {part: values[models] for part, values in self.accuracies.items()},
        )

    def _measures(self) -> dict[str, Array]:
        """Return all that is recorded, by the names of its columns in tables."""
        return {f"{part}_loss": values for part, values in self.losses.items()} | {
            f"{part}_accuracy": values for part, values in self.accuracies.items()
        }

    def to_pandas(self, epochs: bool = False) -> Any:
        """Return a tidy ``pandas.DataFrame`` (extra ``pandas``).

        Parameters
        ----------
        epochs : bool
            One row per model and recorded epoch instead of one per model after the last.

        Returns
        -------
        DataFrame
            Columns: model, every column of the specs, the losses and accuracies that there are, and epoch or status
            and diverged_at.
            `Specs.from_rows` takes it, one row per model, and leads back to the specs.
        """
        pandas = load_extra("pandas", "pandas", "DataFrames")
        columns: dict[str, Any] = {"model": np.arange(len(self)), **self.specs.columns()}
        if epochs:
            count = len(self.epochs)
            columns = {name: np.repeat(values, count) for name, values in columns.items()}
            columns["epoch"] = np.tile(self.epochs, len(self))
            columns |= {name: values.ravel() for name, values in self._measures().items()}
            return pandas.DataFrame(columns)
        columns |= {name: values[:, -1] for name, values in self._measures().items()}
        return pandas.DataFrame(columns | {"status": self.status, "diverged_at": self.diverged_at})

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset`` (extra ``xarray``) whose dimensions are the grid's own axes, and epoch.

        Specs that are no full grid have one dimension, "model", with the columns that vary as coordinates. Settings
        that are the same for all models are attributes.
        """
        xarray = load_extra("xarray", "xarray", "Datasets")
        axes, order = _axes(self.specs)
        shape = tuple(len(values) for values in axes.values())

        def cube(values: NDArray[Any]) -> NDArray[Any]:
            return values[order].reshape(shape + values.shape[1:])

        dimensions = tuple(axes)
        words = {"mse": "mean squared error", "cross_entropy": "mean cross-entropy"}
        loss = words.get(self.origin.loss, self.origin.loss)
        variables: dict[str, Any] = {
            name: (
                (*dimensions, "epoch"),
                cube(values),
                {"long_name": loss if name.endswith("loss") else "accuracy"},
            )
            for name, values in self._measures().items()
        }
        variables["diverged_at"] = (dimensions, cube(self.diverged_at), {"long_name": "epoch of divergence, or -1"})
        coordinates: dict[str, Any] = {**axes, "epoch": self.epochs}
        attributes = {}
        for name, values in self.specs.columns().items():
            if name in axes:
                continue
            # the same for all models; bool as a number, which every file format knows
            if len(values) and (values == values[0]).all():
                value = values[0].item()
                attributes[name] = int(value) if isinstance(value, bool) else value
            else:
                coordinates[name] = (dimensions, cube(values))
        return xarray.Dataset(variables, coordinates, attributes)

    def _repr_html_(self) -> str:
        rows = []
        shapes = zip(self.specs.hidden_layers.tolist(), self.specs.width.tolist(), strict=True)
        for hidden_layers, width in sorted(set(shapes)):
            own = (self.specs.width == width) & (self.specs.hidden_layers == hidden_layers)
            medians = [f"{np.median(values[own, -1]):.3g}" for values in self._measures().values()]
            diverged = int((self.diverged_at[own] >= 0).sum())
            rows.append((width, hidden_layers, int(own.sum()), diverged, *medians))
        words = {"train": "train", "val": "validation", "test": "test"}
        measure = "MSE" if self.origin.loss == "mse" else "loss"
        shown = [f"median {words[part]} {measure}" for part in self.losses]
        shown += [f"median {words[part]} accuracy" for part in self.accuracies]
        heads = ("width", "hidden layers", "models", "diverged", *shown)
        return html.table(repr(self)[1:-1], heads, rows)

    def __len__(self) -> int:
        return len(self.specs)

    def __repr__(self) -> str:
        diverged = int((self.diverged_at >= 0).sum())
        ended = f", {diverged:,} diverged" if diverged else ""
        return f"<Result of {len(self):,} model{'s' * (len(self) != 1)} after {self.epochs[-1]:,} epochs{ended}>"


def _axes(specs: Specs) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the axes of the grid that the specs are, in order of the columns, and the models in order of its cells.

    Specs that are no full grid have one axis, "model".
    """
    columns = specs.columns()
    found = {name: np.unique(columns[name], return_inverse=True) for name in COLUMNS if name in specs.varying()}
    cells = int(np.prod([len(values) for values, _ in found.values()], dtype=np.float64))
    if found and cells == len(specs):
        place = np.zeros(len(specs), dtype=np.int64)
        for values, which in found.values():
            place = place * len(values) + which
        if len(np.unique(place)) == len(specs):
            return {name: values for name, (values, _) in found.items()}, np.argsort(place)
    return {"model": np.arange(len(specs))}, np.arange(len(specs))


def result_bytes(
    specs: Specs, n_columns: int, n_inputs: int, n_outputs: int, n_stacks: int, keep_state: bool = False
) -> int:
    """Return the memory in bytes of a result: so many losses and accuracies of a model, so many stacks of networks."""
    weights = int(weight_bytes(specs.width, n_inputs, specs.hidden_layers, n_outputs).sum())
    kept = state_bytes(specs, n_inputs, n_outputs) if keep_state else 0
    return weights * n_stacks + kept + 8 * len(specs) * (n_columns + 2)


def empty_result(
    specs: Specs, record: NDArray[np.int64], n_inputs: int, scales: Mapping[str, Scale], parts: Collection[str],
    origin: Origin, keep_networks: bool, snapshots: Iterable[int], keep_state: bool, n_outputs: int = 1,
) -> Result:  # fmt: skip
    """Return a result with room for all models, still empty; `parts` are those of the data that there are."""

    def rows() -> dict[str, Array]:
        return {part: np.full((len(specs), len(record)), np.nan) for part in PARTS if part in parts}

    def stack() -> NetworkStack:
        return NetworkStack(specs, n_inputs, scales, n_outputs=n_outputs)

    return Result(
        specs,
        record,
        rows(),
        np.empty(len(specs), dtype=np.int64),
        np.zeros(len(specs), dtype=np.bool_),
        origin,
        stack() if keep_networks else None,
        {epoch: stack() for epoch in snapshots},
        State.fresh(specs, n_inputs, n_outputs) if keep_state else None,
        rows() if LOSSES[origin.loss].takes_labels else {},
    )
