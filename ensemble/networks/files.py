"""Files of stacks: the flat buffer with the specs and scales, as `.npz` or safetensors, read without trust.

`NetworkStack.save` and `.load` end here. Files of release 0.1 held four buffers, and load as well.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Scale
from ensemble.networks import exchange, layout
from ensemble.specs import COLUMNS, Specs
from ensemble.system import archive

__all__ = ["read", "write"]

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Made = TypeVar("Made")

_FOUR = ("w1", "b1", "w2", "b2")  # the buffers of release 0.1
_COUNTS = ("n_inputs", "n_outputs")
_KINDS = {
    "parameters": ("f", 1), **dict.fromkeys(_FOUR, ("f", 1)), "scale_*": ("f", 1), **dict.fromkeys(_COUNTS, ("i", 1)),
    **{f"spec_{name}": ("ifbU", 1) for name in COLUMNS},
}  # fmt: skip


def write(
    path: str | os.PathLike[str], specs: Specs, n_inputs: int, n_outputs: int, scales: Mapping[str, Scale],
    parameters: Array,
) -> None:  # fmt: skip
    """Write a stack; see `NetworkStack.save`."""
    _check_suffix(path)
    arrays: Arrays = {"parameters": parameters}
    for name, scale in scales.items():
        arrays[f"scale_{name}"] = scale.values()
    counts = {"n_inputs": n_inputs, "n_outputs": n_outputs}
    if Path(path).suffix == ".npz":
        columns = {f"spec_{name}": values for name, values in specs.columns().items()}
        archive.write(path, archive.dump(arrays | columns | {name: np.array([n]) for name, n in counts.items()}))
        return
    words = {name: str(n) for name, n in counts.items()}
    words["specs"] = json.dumps({name: values.tolist() for name, values in specs.columns().items()})
    words["sha256"] = _digest(arrays, words)
    archive.write(path, exchange.safetensors().save(arrays, words))


def read(path: str | os.PathLike[str], make: Callable[[Specs, int, Mapping[str, Scale], Array, int], Made]) -> Made:
    """Return what `make` builds from a file's specs, D, scales, parameters and O; see `NetworkStack.load`."""
    _check_suffix(path)
    arrays = archive.read(path, _KINDS) if Path(path).suffix == ".npz" else _read_safetensors(path)
    try:
        # a column that a later release brings is absent, and takes its default
        specs = Specs(**{name: arrays.pop(f"spec_{name}") for name in COLUMNS if f"spec_{name}" in arrays})
        n_inputs = _count(arrays.pop("n_inputs", np.array([])), "n_inputs")
        n_outputs = _count(arrays.pop("n_outputs", np.array([1])), "n_outputs")  # not in files of release 0.1
        scales = {
            name.removeprefix("scale_"): Scale.of_values(arrays.pop(name), n_inputs, n_outputs, name)
            for name in list(arrays) if name.startswith("scale_")
        }  # fmt: skip
        if set(arrays) == set(_FOUR):
            parameters = layout.joined(specs.width, n_inputs, [arrays[name] for name in _FOUR])
        elif set(arrays) == {"parameters"}:
            parameters = arrays["parameters"].copy()  # of the file it is read-only
        else:
            raise ValueError(f"its arrays are {sorted(arrays)}")
        return make(specs, n_inputs, scales, parameters, n_outputs)
    except (ValueError, TypeError) as error:
        raise archive.DamagedFileError(f"{path} is damaged or no file of networks: {error}") from error


def _check_suffix(path: str | os.PathLike[str]) -> None:
    if Path(path).suffix not in (".npz", ".safetensors"):
        raise ValueError(f"networks are kept in .npz or .safetensors files, not {str(path)!r}")


def _count(values: NDArray[Any], name: str) -> int:
    if values.shape != (1,) or values.dtype.kind not in "iu" or not 1 <= values[0] <= 10**6:
        raise ValueError(f"{name} is {values[:4].tolist()}; one whole number from 1 to 10^6 is needed")
    return int(values[0])


def _read_safetensors(path: str | os.PathLike[str]) -> Arrays:
    arrays, words = exchange.read_safetensors(path)
    try:
        recorded = words.pop("sha256")
        columns = {f"spec_{name}": np.array(values) for name, values in json.loads(words["specs"]).items()}
        counts = {name: np.array([int(words[name])]) for name in _COUNTS if name in words}
    except Exception as error:  # a header may say anything
        raise archive.DamagedFileError(f"{path} is damaged or no file of networks: {error}") from error
    if recorded != _digest(arrays, words):
        raise archive.DamagedFileError(f"{path} is damaged or no file of networks: its SHA-256 does not match")
    return arrays | counts | columns


def _digest(arrays: Mapping[str, NDArray[Any]], words: Mapping[str, str]) -> str:
    total = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name in sorted(arrays):
        total.update(repr((name, arrays[name].dtype.str, arrays[name].shape)).encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()
