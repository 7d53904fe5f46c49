"""One network: its weights in the units of the data, its predictions, and its forms in other libraries.

Taken from a `NetworkStack` it is a view; `exchange` turns its state into files and modules of other libraries.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Scale
from ensemble.networks import exchange
from ensemble.rules import layers
from ensemble.rules.losses import probabilities

__all__ = ["Network", "as_inputs", "fold"]

Array = NDArray[np.float64]
Arrays = tuple[Array, ...]

# Of hidden activations held at once: blocks that stay in the processor's cache are 4.6 times faster than 32 MiB.
_PREDICT_BYTES = 256 * 2**10
# A matrix product takes rows by fours or more and a few left over in another way, with other last bits: blocks are of
# this many rows or a multiple, and the last one takes the rest, so that the bits are those of one product.
_ROWS = 16


class Network:
    """One network p = relu(x @ weights[0] + biases[0]) @ weights[1] + biases[1], or with more hidden layers.

    Parameters
    ----------
    weights : L + 1 arrays
        (D, H), then (H, H) between hidden layers, then (H, O).
    biases : L + 1 arrays
        (H,), ..., (O,).
    scale : Scale, optional
        With it, `weights` and `biases` are for inputs and outputs that were standardized so. `predict` and the
        attributes below are in the original units in any case.

    Attributes
    ----------
    weights, biases : tuples of L + 1 arrays
        They fit inputs and outputs in the data's own units. Without a scale they are views of the stack that the
        network was taken from; with one they are read-only copies with the scale folded in, and biases that the spec
        switches off may differ from 0 there.

    Raises
    ------
    ValueError
        Shapes that do not fit together.
    """

    def __init__(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike], scale: Scale | None = None) -> None:
        self._weights: Arrays = tuple(np.asarray(w, dtype=np.float64) for w in weights)
        self._biases: Arrays = tuple(np.asarray(b, dtype=np.float64) for b in biases)
        self.scale = scale
        if len(self._weights) < 2 or len(self._biases) != len(self._weights):
            raise ValueError(f"{len(self._weights)} weights and {len(self._biases)} biases; one of each per layer, "
                             "two layers or more, are needed")  # fmt: skip
        n_inputs = len(self._weights[0]) if self._weights[0].ndim else 0
        for i, (w, b) in enumerate(zip(self._weights, self._biases, strict=True)):
            if w.ndim != 2 or len(w) != n_inputs or b.shape != w.shape[1:]:
                raise ValueError(f"weights[{i}] has shape {w.shape} and biases[{i}] {b.shape}; "
                                 f"({n_inputs}, n) and (n,) are needed")  # fmt: skip
            n_inputs = w.shape[1]

    @property
    def weights(self) -> Arrays:
        """Weights (D, H), ..., (H, O) for inputs and outputs in the data's own units."""
        return self._weights if self.scale is None else fold(self._weights, self._biases, self.scale)[0]

    @property
    def biases(self) -> Arrays:
        """Biases (H,), ..., (O,) for inputs and outputs in the data's own units."""
        return self._biases if self.scale is None else fold(self._weights, self._biases, self.scale)[1]

    def __repr__(self) -> str:
        units = [len(self._weights[0]), *(len(b) for b in self._biases)]
        return f"<Network {' - '.join(map(str, units))}>"

    def predict(self, x: ArrayLike) -> Array:
        """Return the predictions (N,), or (N, O) with several outputs, for x (N,) or (N, D), in the original units.

        They are logits where the network was trained on labels.

        Raises
        ------
        ValueError
            `x` has another number of columns, or is not finite.
        """
        return self.forward(as_inputs(x, len(self._weights[0])))

    def predict_proba(self, x: ArrayLike) -> Array:
        """Return how likely each class is, (N, K), for x as in `predict`, where the outputs are logits of labels.

        One output means two classes, with the logistic function; several have the softmax.

        Raises
        ------
        ValueError
            As `predict`.
        """
        p = self.predict(x)
        return probabilities(p[:, None] if p.ndim == 1 else p)

    def forward(self, x: Array) -> Array:
        """Predict as `predict` does, for x (N, D) that has been checked."""
        x = x if self.scale is None else self.scale.inputs(x)
        block = _ROWS * max(1, _PREDICT_BYTES // (8 * _ROWS * max(map(len, self._biases))))
        p = np.empty((len(x), len(self._biases[-1])))
        for first, last in itertools.pairwise([*range(0, max(len(x) - block, 0) + 1, block), len(x)]):
            p[first:last] = layers.forward(x[first:last], self._weights, self._biases)
        p = p[:, 0] if p.shape[1] == 1 else p
        return p if self.scale is None else self.scale.restore(p)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the weights under PyTorch's names, in the data's original units.

        "0.weight" (H, D), "0.bias" (H,), "2.weight" (O, H), "2.bias" (O,), as of
        ``Sequential(Linear(D, H), ReLU(), Linear(H, O))``.
        """
        state: dict[str, Array] = {}
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            state |= {f"{2 * i}.weight": np.array(w.T, order="C"), f"{2 * i}.bias": np.array(b)}
        return state

    @classmethod
    def from_state_dict(cls, state: Mapping[str, ArrayLike]) -> Network:
        """Return the network with these weights, named and shaped as in `state_dict`; absent biases are 0.

        Raises
        ------
        ValueError
            Other names or shapes.
        """
        arrays = {name: np.array(values, dtype=np.float64) for name, values in state.items()}
        n_layers = sum(name.endswith(".weight") for name in arrays)
        names = [f"{2 * i}.weight" for i in range(n_layers)]
        extra = set(arrays) - set(names) - {f"{2 * i}.bias" for i in range(n_layers)}
        if extra or n_layers < 2 or not set(names) <= set(arrays):
            raise ValueError(
                f"weights are named {sorted(arrays)}; those of Sequential(Linear, ReLU, Linear) are needed"
            )
        wrong = [f"{name} {arrays[name].shape}" for name in names if arrays[name].ndim != 2]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} has another shape than (outputs, inputs)")
        biases = [arrays.get(f"{2 * i}.bias", np.zeros(len(arrays[name]))) for i, name in enumerate(names)]
        return cls([np.ascontiguousarray(arrays[name].T) for name in names], biases)

    def to_torch(self) -> Any:
        """Return the network as a ``torch.nn.Sequential`` in float64 (extra ``torch``): (N, D) to (N, O)."""
        return exchange.to_torch(self.state_dict())

    @classmethod
    def from_torch(cls, module: Any) -> Network:
        """Return the network in a ``torch.nn.Sequential(Linear, ReLU, Linear)``; absent biases are 0.

        Raises
        ------
        ValueError
            Another module, or other shapes.
        """
        return cls.from_state_dict(exchange.state_of_module(module))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, under the names of `state_dict`, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in ".npz", ".safetensors" (extra ``safetensors``) or ".onnx" (extra ``onnx``: input "x" (N, D), output
            "y" (N, O), float64).

        Raises
        ------
        ValueError
            Another ending.
        OSError
            The file cannot be written.
        """
        exchange.save(self.state_dict(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Return the network in a ".npz" or ".safetensors" file that `save` wrote, in the data's original units.

        Raises
        ------
        ValueError
            The file is damaged or no file of a network (`archive.DamagedFileError`), or has another ending.
        OSError
            The file cannot be read.
        """
        return exchange.load(path, cls.from_state_dict)


def fold(weights: Arrays, biases: Arrays, scale: Scale) -> tuple[Arrays, Arrays]:
    """Return weights and biases of one network, or of M with a leading axis, for the original units; read-only copies.

    With x' = (x - x_mean) / x_std, x' @ w + b = x @ (w / x_std) + (b - x_mean @ (w / x_std)); the outputs
    p = p' y_std + y_mean scale the last layer.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
        first = weights[0] / scale.x_std[:, None]
        shift = (scale.x_mean[:, None] * first).sum(axis=-2)
        folded = (first, *(np.array(w) for w in weights[1:-1]), weights[-1] * scale.y_std)
        shifted = (biases[0] - shift, *(np.array(b) for b in biases[1:-1]), biases[-1] * scale.y_std + scale.y_mean)
    for array in (*folded, *shifted):
        array.flags.writeable = False
    return folded, shifted


def as_inputs(x: ArrayLike, n_inputs: int) -> Array:
    """Return inputs as (N, D) float64; a ValueError for other columns, or values that are not finite."""
    inputs = np.asarray(x)
    if inputs.dtype.kind not in "biufO":  # text would be read as numbers
        raise ValueError(f"x has dtype {inputs.dtype}; real numbers are needed")
    inputs = inputs.astype(np.float64, copy=False)
    inputs = inputs[:, None] if inputs.ndim == 1 and n_inputs == 1 else inputs
    if inputs.ndim != 2 or inputs.shape[1] != n_inputs:
        raise ValueError(
            f"x has shape {np.shape(x)}, but the networks have {n_inputs} inputs: (N, {n_inputs}) is needed"
        )
    if not np.isfinite(inputs).all():  # a ReLU would turn NaN into a number
        row = int(np.flatnonzero(~np.isfinite(inputs).all(axis=1))[0])
        raise ValueError(f"x[{row}] is {inputs[row].tolist()}; finite numbers are needed")
    return inputs
