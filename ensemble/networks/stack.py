"""Stacks of many networks of mixed widths and depths, in one flat buffer of parameters without padding.

Between `specs` and `training`: training starts from `initialize` and leaves a `NetworkStack` in its result.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Scale
from ensemble.networks import files, layout
from ensemble.networks.network import Network, as_inputs, fold
from ensemble.rules.losses import probabilities
from ensemble.specs import Specs
from ensemble.system import html

__all__ = ["NetworkStack", "Stack"]

Array = NDArray[np.float64]
Units = Literal["data", "training"]


class Stack(NamedTuple):
    """All models of one shape as batched tensors."""

    models: NDArray[np.int64]  # (M,) which rows of the specs these are
    weights: tuple[Array, ...]  # (M, D, H), ..., (M, H, O)
    biases: tuple[Array, ...]  # (M, H), ..., (M, O)


class NetworkStack(Sequence[Network]):
    """M networks of mixed widths and depths in one contiguous buffer of parameters.

    The buffer holds the models sorted by hidden layers, then by width (stable), so that models of one shape are side
    by side and nothing is padded; indexing follows the order of the specs.

    Parameters
    ----------
    specs : Specs
        The settings of the M models.
    n_inputs : int
        D.
    scales : dict of Scale by dataset name, optional
        Units of the datasets that were standardized.
    parameters : (sum P,) float64, optional
        The buffer to use, not copied. Default: zeros.
    n_outputs : int
        O.

    Attributes
    ----------
    parameters : (sum P,) float64
        In training units. Each model's are side by side: weights[0] (D, H) row by row, biases[0] (H,), weights[1],
        biases[1], and so on.
    slots : (M,) int64
        Place of model i among the sorted models.
    starts : (M + 1,) int64
        First parameter of each sorted model; the last entry is the number of parameters.

    Raises
    ------
    ValueError
        `parameters` is not float64 or has another size than the specs need.
    """

    def __init__(
        self, specs: Specs, n_inputs: int, scales: Mapping[str, Scale] | None = None,
        parameters: Array | None = None, n_outputs: int = 1,
    ) -> None:  # fmt: skip
        self.specs = specs
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.scales = dict(scales or {})
        sizes = layout.sizes(specs.width, specs.hidden_layers, n_inputs, n_outputs)
        if parameters is not None and (parameters.shape != (sizes.sum(),) or parameters.dtype != np.float64):
            raise ValueError(
                f"parameters have shape {parameters.shape} and dtype {parameters.dtype}, "
                f"the specs need ({sizes.sum():.0f},) and float64"
            )
        order = np.lexsort((specs.width, specs.hidden_layers))
        self.slots = np.empty(len(specs), dtype=np.int64)
        self.slots[order] = np.arange(len(specs))
        self.starts = np.zeros(len(specs) + 1, dtype=np.int64)
        np.cumsum(sizes[order].astype(np.int64), out=self.starts[1:])
        self.parameters = np.zeros(self.starts[-1]) if parameters is None else parameters

    def __len__(self) -> int:
        return len(self.specs)

    @overload
    def __getitem__(self, index: int) -> Network: ...
    @overload
    def __getitem__(self, index: Any) -> Any: ...
    def __getitem__(self, index: Any) -> Any:
        """Return one `Network` (an integer), or a new `NetworkStack` of some (a slice, a mask, integers)."""
        if not isinstance(index, (int, np.integer)):
            return self.take(np.arange(len(self))[index])
        return self.network(int(index))

    def __iter__(self) -> Iterator[Network]:
        return (self.network(i) for i in range(len(self)))

    def _repr_html_(self) -> str:
        rows = []
        for width, hidden_layers in self.shapes():
            count = int(((self.specs.width == width) & (self.specs.hidden_layers == hidden_layers)).sum())
            weights = count * int(layout.sizes(width, hidden_layers, self.n_inputs, self.n_outputs))
            rows.append((width, hidden_layers, count, weights))
        return html.table(repr(self)[1:-1], ("width", "hidden layers", "networks", "weights"), rows)

    def __repr__(self) -> str:
        return f"<NetworkStack of {len(self):,} networks, {self.n_inputs} input{'s' * (self.n_inputs != 1)}>"

    def shapes(self) -> list[tuple[int, int]]:
        """Return the (width, hidden layers) that there are, in the order of the buffer."""
        found = np.unique(self.specs.hidden_layers << 32 | self.specs.width)  # faster than unique rows
        return [(code & 0xFFFFFFFF, code >> 32) for code in found.tolist()]

    def network(self, index: int, units: Units = "data") -> Network:
        """Return one network, which is what indexing does.

        Parameters
        ----------
        index : int
            Row of the specs.
        units : "data" or "training"
            "training" leaves out the scale: weights are views of `parameters`, for standardized inputs.

        Raises
        ------
        IndexError
            There are fewer networks.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"network {index} of {len(self)}")
        slot = self.slots[index]
        flat = self.parameters[self.starts[slot] : self.starts[slot + 1]]
        scale = self.scales.get(str(self.specs.data[index])) if _folded(units) and self.scales else None
        return Network(*layout.split(flat, self._shapes(index)), scale)

    def stack(self, width: int, hidden_layers: int = 1, units: Units = "data") -> Stack:
        """Return every model of one width and depth as batched tensors.

        Parameters
        ----------
        width, hidden_layers : int
        units : "data" or "training"
            Which inputs and outputs the weights fit. Models of standardized data give read-only copies with the scale
            folded in for "data"; else the tensors are views of `parameters`.

        Raises
        ------
        ValueError
            No model has this shape, or `units` is unknown.
        """
        models = np.flatnonzero((self.specs.width == width) & (self.specs.hidden_layers == hidden_layers))
        if not len(models):
            wanted = f"width {width} and {hidden_layers} hidden layers"
            raise ValueError(f"no model has {wanted}; there are (width, hidden layers) {self.shapes()}")
        first = self.slots[models[0]]
        flat = self.parameters[self.starts[first] : self.starts[first + len(models)]].reshape(len(models), -1)
        weights, biases = layout.split(flat, self._shapes(int(models[0])))
        names = self.specs.data[models]
        scales = {name: self.scales[name] for name in np.unique(names).tolist() if name in self.scales}
        if not _folded(units) or not scales:
            return Stack(models, weights, biases)
        copies = [np.array(a) for a in (*weights, *biases)]
        for name, scale in scales.items():
            own = names == name
            folded = fold(tuple(w[own] for w in weights), tuple(b[own] for b in biases), scale)
            for copy, part in zip(copies, (*folded[0], *folded[1]), strict=True):
                copy[own] = part
        for copy in copies:
            copy.flags.writeable = False
        return Stack(models, tuple(copies[: len(weights)]), tuple(copies[len(weights) :]))

    def take(self, index: NDArray[np.int64]) -> NetworkStack:
        """Return a new stack of the models at `index`, copies."""
        index = np.asarray(index, dtype=np.int64)
        taken = NetworkStack(self.specs[index], self.n_inputs, self.scales, n_outputs=self.n_outputs)
        taken.parameters[:] = self.parameters[self._places(index, taken)]
        return taken

    def put(self, index: NDArray[np.int64], other: NetworkStack) -> None:
        """Write the networks of `other` over the models at `index`, which have the same shapes in the same order."""
        self.parameters[self._places(index, other)] = other.parameters

    def predict(self, x: ArrayLike) -> Array:
        """Return the predictions (M, N), or (M, N, O) with several outputs, of all models in the original units.

        They are logits where the models were trained on labels.

        Parameters
        ----------
        x : array_like, shape (N,) or (N, D)
            In the original units.

        Raises
        ------
        ValueError
            `x` has another number of columns, or is not finite.
        """
        inputs = as_inputs(x, self.n_inputs)
        predictions = np.empty((len(self), len(inputs), self.n_outputs))
        from ensemble.kernels.predictions import predict  # here: networks that only move about do not wait for numba

        for name in np.unique(self.specs.data).tolist():
            own, scale = np.flatnonzero(self.specs.data == name), self.scales.get(name)
            slots = self.slots[own]
            shapes = np.array(self.specs.width[own]), np.array(self.specs.hidden_layers[own])
            x_own = inputs if scale is None else scale.inputs(inputs)
            ends = self.starts[slots + 1]
            p = predict(x_own, *shapes, self.starts[slots], ends, self.parameters, self.n_outputs)
            predictions[own] = p if scale is None else scale.restore(p)
        return predictions[..., 0] if self.n_outputs == 1 else predictions

    def predict_proba(self, x: ArrayLike) -> Array:
        """Return how likely each class is to each model, (M, N, K), where the outputs are logits of labels.

        One output means two classes, with the logistic function; several have the softmax. `x` is as in `predict`.

        Raises
        ------
        ValueError
            As `predict`.
        """
        p = self.predict(x)
        return probabilities(p[..., None] if self.n_outputs == 1 else p)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the networks, with their specs, to one file, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in ".npz", or in ".safetensors" (extra ``safetensors``).

        Raises
        ------
        ValueError
            Another ending.
        OSError
            The file cannot be written.
        """
        files.write(path, self.specs, self.n_inputs, self.n_outputs, self.scales, self.parameters)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NetworkStack:
        """Return the networks in a file that `save` wrote; nothing in it is run, and its sizes are checked first.

        Raises
        ------
        ValueError
            The file is damaged or no file of networks (`archive.DamagedFileError`), or its name has another ending.
        OSError
            The file cannot be read.
        """
        return files.read(path, cls)

    def _shapes(self, index: int) -> layout.Shapes:
        width, hidden_layers = int(self.specs.width[index]), int(self.specs.hidden_layers[index])
        return layout.shapes(width, hidden_layers, self.n_inputs, self.n_outputs)

    def _places(self, index: NDArray[np.int64], other: NetworkStack) -> NDArray[np.int64]:
        """Return where `parameters` holds what is in order in those of `other`, which are the models at `index`."""
        slots = self.slots[index][np.argsort(other.slots)]
        lengths = np.diff(other.starts)
        shift: NDArray[np.int64] = np.repeat(self.starts[slots] - other.starts[:-1], lengths)
        return np.arange(len(shift)) + shift


def _folded(units: str) -> bool:
    if units not in ("data", "training"):
        raise ValueError(f"units {units!r} are unknown; allowed are data, training")
    return units == "data"
