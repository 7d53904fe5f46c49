"""The networks themselves: initial weights from seeds, and stacks of many models without padding.

Between `specs` and `training`: training starts from `initialize` and leaves a `NetworkStack` in its result.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Scale
from ensemble.networks import exchange
from ensemble.rules import layers
from ensemble.specs import CHOICES, COLUMNS, Specs
from ensemble.system import archive, html

__all__ = ["Network", "NetworkStack", "Stack", "initialize", "weight_bytes"]

Array = NDArray[np.float64]

_WEIGHTS = 0  # SeedSequence's spawn key for initial weights; data.py's draws have keys of their own
_PREDICT_BYTES = 32 * 2**20  # of hidden activations held at once
_DRAW_BYTES = 16 * 2**20  # of random draws held at once


class Network(NamedTuple):
    """One network p = relu(x @ w1 + b1) @ w2 + b2, as views of the stack it was taken from."""

    w1: Array  # (D, H)
    b1: Array  # (H,)
    w2: Array  # (H,)
    b2: Array  # ()
    scale: Scale | None = None  # units of the data it was trained on, when those were standardized

    def predict(self, x: ArrayLike) -> Array:
        """Return the predictions (N,) for x (N,) or (N, D), both in the original units."""
        inputs = _as_inputs(x, self.w1.shape[0])
        return _predict(inputs, self.w1, self.b1, self.w2, self.b2, self.scale)

    def state_dict(self) -> dict[str, Array]:
        """Return the weights under PyTorch's names, in the data's original units.

        "0.weight" (H, D), "0.bias" (H,), "2.weight" (1, H), "2.bias" (1,), as of
        ``Sequential(Linear(D, H), ReLU(), Linear(H, 1))``.
        """
        return exchange.state_dict(self)

    def to_torch(self) -> Any:
        """Return the network as a ``torch.nn.Sequential`` in float64 (extra ``torch``): (N, D) to (N, 1)."""
        return exchange.to_torch(self)

    @classmethod
    def from_torch(cls, module: Any) -> Network:
        """Return the network in a ``torch.nn.Sequential(Linear, ReLU, Linear)`` with one output; absent biases are 0.

        Raises
        ------
        ValueError
            Another module, or other shapes.
        """
        return cls(*exchange.from_state_dict(exchange.weights_of_module(module)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, under the names of `state_dict`, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in ".npz", ".safetensors" (extra ``safetensors``) or ".onnx" (extra ``onnx``: input "x" (N, D), output
            "y" (N, 1), float64).

        Raises
        ------
        ValueError
            Another ending.
        OSError
            The file cannot be written.
        """
        exchange.save(self, path)

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
        return cls(*exchange.load(path))


class Stack(NamedTuple):
    """All models of one width as batched tensors: views of a `NetworkStack`, not copies."""

    models: NDArray[np.int64]  # (M,) which rows of the specs these are
    w1: Array  # (M, D, H)
    b1: Array  # (M, H)
    w2: Array  # (M, H)
    b2: Array  # (M,)


class NetworkStack(Sequence[Network]):
    """M networks of mixed widths in one contiguous buffer per parameter.

    The buffers hold the models sorted by width (stable), so that models of one width lie side by side and no width
    is padded; indexing follows the order of the specs.

    Attributes
    ----------
    specs : Specs
        The settings of the M models.
    n_inputs : int
        D.
    w1, b1, w2, b2 : float64 buffers
        Of sum(D H), sum(H), sum(H) and M values, models sorted by width.
    slots : (M,) int64
        Where model i lies among the sorted models.
    starts : (M + 1,) int64
        First hidden unit of each sorted model in `b1` and `w2`; the last entry is their number.
    scales : dict of Scale by dataset name
        Units of the datasets that were standardized.
    """

    def __init__(self, specs: Specs, n_inputs: int, scales: Mapping[str, Scale] | None = None) -> None:
        self.specs = specs
        self.n_inputs = n_inputs
        self.scales = dict(scales or {})
        order = np.argsort(specs.width, kind="stable")
        self.slots = np.empty(len(specs), dtype=np.int64)
        self.slots[order] = np.arange(len(specs))
        self.starts = np.zeros(len(specs) + 1, dtype=np.int64)
        np.cumsum(specs.width[order], out=self.starts[1:])
        units = int(self.starts[-1])
        self.w1 = np.zeros(n_inputs * units)
        self.b1 = np.zeros(units)
        self.w2 = np.zeros(units)
        self.b2 = np.zeros(len(specs))

    @classmethod
    def of_buffers(
        cls, specs: Specs, n_inputs: int, scales: Mapping[str, Scale] | None, w1: Array, b1: Array, w2: Array, b2: Array
    ) -> NetworkStack:
        """Return a stack with these buffers as its own, such as another stack of the same specs has them.

        Raises
        ------
        ValueError
            A buffer that is not float64 or has another size than the specs ask for.
        """
        units = sum(specs.width.tolist())  # before anything is allocated: a file may claim any width
        needed = {"w1": n_inputs * units, "b1": units, "w2": units, "b2": len(specs)}
        for name, values in (("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)):
            if values.shape != (needed[name],) or values.dtype != np.float64:
                raise ValueError(f"{name} has {values.size} weights of {values.dtype}, the specs need {needed[name]}")
        stack = cls(specs, n_inputs, scales)
        stack.w1[:], stack.b1[:], stack.w2[:], stack.b2[:] = w1, b1, w2, b2
        return stack

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
        if not -len(self) <= index < len(self):
            raise IndexError(f"network {index} of {len(self)}")
        slot = self.slots[index]
        a, b = self.starts[slot], self.starts[slot + 1]
        w1 = self.w1[self.n_inputs * a : self.n_inputs * b].reshape(self.n_inputs, b - a)
        return Network(w1, self.b1[a:b], self.w2[a:b], self.b2[slot : slot + 1].reshape(()), self._scale(int(index)))

    def __iter__(self) -> Iterator[Network]:
        return (self[i] for i in range(len(self)))

    def _repr_html_(self) -> str:
        widths, counts = np.unique(self.specs.width, return_counts=True)
        rows = [(int(w), int(c), int(c * (w * (self.n_inputs + 2) + 1))) for w, c in zip(widths, counts, strict=True)]
        return html.table(repr(self)[1:-1], ("width", "networks", "weights"), rows)

    def __repr__(self) -> str:
        return f"<NetworkStack of {len(self):,} networks, {self.n_inputs} input{'s' * (self.n_inputs != 1)}>"

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
        _check_suffix(path)
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in BUFFERS}
        for name, scale in self.scales.items():
            arrays[f"scale_{name}"] = np.concatenate([scale.x_mean, scale.x_std, [scale.y_mean, scale.y_std]])
        if Path(path).suffix == ".npz":
            specs = {f"spec_{name}": values for name, values in self.specs.columns().items()}
            archive.write(path, archive.dump(arrays | specs | {"n_inputs": np.array([self.n_inputs])}))
            return
        safetensors = _safetensors()
        words = {"specs": json.dumps({name: values.tolist() for name, values in self.specs.columns().items()})}
        words |= {"n_inputs": str(self.n_inputs)}
        words["sha256"] = _digest(arrays, words)
        archive.write(path, safetensors.save(arrays, words))

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
        _check_suffix(path)
        try:
            arrays, columns, n_inputs = _read_npz(path) if Path(path).suffix == ".npz" else _read_safetensors(path)
            specs = Specs(**columns)
            if not 1 <= n_inputs <= 10**6:
                raise ValueError(f"{n_inputs} inputs")
            scales = {}
            for name, values in arrays.items():
                if name.startswith("scale_"):
                    if values.shape != (2 * n_inputs + 2,) or values.dtype != np.float64:
                        raise ValueError(f"{name} has shape {values.shape}")
                    mean, std, (y_mean, y_std) = np.split(values, [n_inputs, 2 * n_inputs])
                    scales[name.removeprefix("scale_")] = Scale(mean, std, float(y_mean), float(y_std))
            return cls.of_buffers(specs, n_inputs, scales, *(arrays[name] for name in BUFFERS))
        except archive.DamagedFileError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise archive.DamagedFileError(f"{path} is damaged or no file of networks: {error}") from error

    def _scale(self, index: int) -> Scale | None:
        return self.scales.get(str(self.specs.data[index])) if self.scales else None

    def stack(self, width: int) -> Stack:
        """Return every model of one width as batched tensors, without a copy.

        Raises
        ------
        ValueError
            No model has this width.
        """
        models = np.flatnonzero(self.specs.width == width)
        if not len(models):
            raise ValueError(f"no model has width {width}; there are {np.unique(self.specs.width).tolist()}")
        first, m = self.slots[models[0]], len(models)
        a = self.starts[first]
        b = a + m * width
        return Stack(
            models,
            self.w1[self.n_inputs * a : self.n_inputs * b].reshape(m, self.n_inputs, width),
            self.b1[a:b].reshape(m, width),
            self.w2[a:b].reshape(m, width),
            self.b2[first : first + m],
        )

    def take(self, index: NDArray[np.int64]) -> NetworkStack:
        """Return a new stack of the models at `index`, copies."""
        index = np.asarray(index, dtype=np.int64)
        taken = NetworkStack(self.specs[index], self.n_inputs, self.scales)
        inputs, units, slots = self._places(index, taken)
        taken.w1[:], taken.b1[:], taken.w2[:], taken.b2[:] = (
            self.w1[inputs],
            self.b1[units],
            self.w2[units],
            self.b2[slots],
        )
        return taken

    def put(self, index: NDArray[np.int64], other: NetworkStack) -> None:
        """Write the networks of `other` over the models at `index`, which have the same widths in the same order."""
        inputs, units, slots = self._places(index, other)
        self.w1[inputs], self.b1[units], self.w2[units], self.b2[slots] = other.w1, other.b1, other.w2, other.b2

    def _places(self, index: NDArray[np.int64], other: NetworkStack) -> tuple[NDArray[np.int64], ...]:
        """Return where the buffers hold what lies in order in those of `other`, which are the models at `index`."""
        slots = self.slots[index][np.argsort(other.slots)]
        widths, starts = np.diff(self.starts)[slots], self.starts[slots]
        return _ranges(self.n_inputs * starts, self.n_inputs * widths), _ranges(starts, widths), slots

    def predict(self, x: ArrayLike) -> Array:
        """Return the predictions (M, N) of all models for x (N,) or (N, D), both in the original units."""
        inputs = _as_inputs(x, self.n_inputs)
        predictions = np.empty((len(self), len(inputs)))
        for i, network in enumerate(self):
            predictions[i] = _predict(inputs, *network)
        return predictions


BUFFERS = ("w1", "b1", "w2", "b2")

_KINDS = {
    **dict.fromkeys(BUFFERS, ("f", 1)), "scale_*": ("f", 1), "n_inputs": ("i", 1),
    **{f"spec_{name}": ("ifbU", 1) for name in COLUMNS},
}  # fmt: skip


def _check_suffix(path: str | os.PathLike[str]) -> None:
    if Path(path).suffix not in (".npz", ".safetensors"):
        raise ValueError(f"networks are kept in .npz or .safetensors files, not {str(path)!r}")


def _read_npz(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any], int]:
    arrays = archive.read(path, _KINDS)
    columns = {name: arrays.pop(f"spec_{name}") for name in COLUMNS}
    return arrays, columns, int(arrays.pop("n_inputs")[0])


def _read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any], int]:
    safetensors = _safetensors()
    content = Path(path).read_bytes()
    try:
        arrays = safetensors.load(content)
        length = int.from_bytes(content[:8], "little")  # checked by `load`, like all else of the header
        words = json.loads(content[8 : 8 + length])["__metadata__"]
        recorded = words.pop("sha256")
        columns = {name: np.array(values) for name, values in json.loads(words["specs"]).items()}
    except Exception as error:  # whatever the library raises for a damaged file: its error type is its own
        raise archive.DamagedFileError(f"{path} is damaged or no file of networks: {error}") from error
    if recorded != _digest(arrays, words):
        raise archive.DamagedFileError(f"{path} is damaged or no file of networks: its SHA-256 does not match")
    return arrays, columns, int(words["n_inputs"])


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "safetensors files need the extra 'safetensors': pip install 'relu-ensemble[safetensors]'"
        ) from error
    return safetensors.numpy


def _digest(arrays: Mapping[str, NDArray[Any]], words: Mapping[str, str]) -> str:
    total = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name in sorted(arrays):
        total.update(repr((name, arrays[name].dtype.str, arrays[name].shape)).encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenation of arange(start, start + length)."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    shift: NDArray[np.int64] = np.repeat(starts - (ends - lengths), lengths)
    return np.arange(total) + shift


def _as_inputs(x: ArrayLike, n_inputs: int) -> Array:
    inputs = np.asarray(x, dtype=np.float64)
    inputs = inputs[:, None] if inputs.ndim == 1 and n_inputs == 1 else inputs
    if inputs.ndim != 2 or inputs.shape[1] != n_inputs:
        raise ValueError(
            f"x has shape {np.shape(x)}, but the networks have {n_inputs} inputs: (N, {n_inputs}) is needed"
        )
    if not np.isfinite(inputs).all():  # a ReLU would turn NaN into a number
        row = int(np.flatnonzero(~np.isfinite(inputs).all(axis=1))[0])
        raise ValueError(f"x[{row}] is {inputs[row].tolist()}; finite numbers are needed")
    return inputs


def _predict(x: Array, w1: Array, b1: Array, w2: Array, b2: Array, scale: Scale | None) -> Array:
    """Predict in blocks of samples, so that the hidden activations (N, H) never take much memory."""
    x = x if scale is None else scale.inputs(x)
    block = max(1, _PREDICT_BYTES // (8 * len(b1)))
    parts = [layers.forward(x[i : i + block], w1, b1, w2, b2) for i in range(0, len(x), block)]
    p = np.concatenate(parts) if parts else np.empty(0)
    return p if scale is None else scale.restore(p)


def weight_bytes(width: ArrayLike, n_inputs: int) -> Array:
    """Return the bytes of the weights of networks of these widths, as floats: no number in a hostile file overflows."""
    return 8 * ((n_inputs + 2) * np.asarray(width, dtype=np.float64) + 1)


def initialize(specs: Specs, n_inputs: int = 1, scales: Mapping[str, Scale] | None = None) -> NetworkStack:
    """Return the initial networks.

    A model's weights depend on its seed, width, init, init_scale and parametrization alone. The stream of a seed
    holds b2 first, then (w1 of D inputs, b1, w2) unit by unit: a narrow network is the first units of a wide one (up
    to the factor that some take from the width), and biases that are switched off are drawn all the same, so that
    ablations are paired.

    Parameters
    ----------
    specs : Specs
    n_inputs : int
        D >= 1.
    scales : dict of Scale by dataset name, optional

    Notes
    -----
    "he": He et al. 2015, eq. 10, for both layers. "uniform": the default of PyTorch's Linear. "mup" divides the
    spread of w2 as the table in `optimizers.layer_factors` says.
    """
    networks = NetworkStack(specs, n_inputs, scales)
    for width in np.unique(specs.width).tolist():
        stack = networks.stack(width)
        block = max(1, _DRAW_BYTES // (8 * width * (n_inputs + 2)))
        for first in range(0, len(stack.models), block):
            some = slice(first, first + block)
            part = Stack(stack.models[some], stack.w1[some], stack.b1[some], stack.w2[some], stack.b2[some])
            _fill(part, specs, n_inputs)
    return networks


def _fill(stack: Stack, specs: Specs, n_inputs: int) -> None:
    """Write the initial weights of some models of one width into `stack`."""
    chosen, width = specs[stack.models], stack.w2.shape[1]
    uniform, he, fan_in = (chosen.codes("init") == CHOICES["init"].index(c) for c in ("uniform", "he", "fan_in"))
    # Grids over rates and biases repeat the same draw: each is made once.
    keys, which = np.unique(np.stack([chosen.seed, uniform]), axis=1, return_inverse=True)
    drawn = np.empty((keys.shape[1], 1 + width * (n_inputs + 2)))
    for row, seed, is_uniform in zip(drawn, *keys.tolist(), strict=True):
        _draw(seed, bool(is_uniform), row)
    units = drawn[:, 1:].reshape(len(drawn), width, n_inputs + 2)[which]
    normal = chosen.init_scale
    scaled, gain = uniform | fan_in | he, np.where(he, np.sqrt(2.0), 1.0)
    first = np.where(scaled, gain / np.sqrt(n_inputs), normal)
    second = np.where(scaled, gain / np.sqrt(width), normal)
    mup = chosen.codes("parametrization") == CHOICES["parametrization"].index("mup")
    second_weights = second * np.where(mup, np.where(scaled, 1.0 / np.sqrt(width), 1.0 / width), 1.0)
    stack.w1[:] = np.swapaxes(units[:, :, :n_inputs], 1, 2) * first[:, None, None]
    stack.b1[:] = units[:, :, n_inputs] * (first * (chosen.hidden_bias & ~he))[:, None]
    stack.w2[:] = units[:, :, -1] * second_weights[:, None]
    stack.b2[:] = drawn[which, 0] * (second * (chosen.output_bias & ~he))


def _draw(seed: int, uniform: bool, out: Array) -> None:
    """Fill `out` from the seed's stream: U(-1, 1) or N(0, 1)."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_WEIGHTS,))))
    if uniform:
        generator.random(out=out)
        out *= 2.0
        out -= 1.0
    else:
        generator.standard_normal(out=out)
