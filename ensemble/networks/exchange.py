"""One network in other libraries' forms: PyTorch, safetensors and ONNX, each an extra.

`Network.to_torch`, `Network.from_torch`, `Network.save` and `Network.load` end here, with the weights under PyTorch's
names: "0.weight" (H, D), "0.bias" (H,), "2.weight" (O, H), "2.bias" (O,), and so on with more layers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensemble.system import archive, memory
from ensemble.system.extras import load_extra

__all__ = ["load", "read_safetensors", "safetensors", "save", "state_of_module", "to_torch"]

Array = NDArray[np.float64]
State = dict[str, Array]
Made = TypeVar("Made")

_ENDINGS = (".npz", ".safetensors", ".onnx")
# What the library's NumPy side reads: NumPy has no dtype for the others, such as BF16.
_DTYPES = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"})


def to_torch(state: State) -> Any:
    """Return a `torch.nn.Sequential` in float64; see `Network.to_torch`."""
    torch = load_extra("torch", "torch", "PyTorch modules")
    modules: list[Any] = []
    for name, weight in state.items():
        if name.endswith(".weight"):
            n_outputs, n_inputs = weight.shape
            modules += [torch.nn.Linear(n_inputs, n_outputs, dtype=torch.float64), torch.nn.ReLU()]
    module = torch.nn.Sequential(*modules[:-1])
    module.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
    return module


def state_of_module(module: Any) -> State:
    """Return the state of a `torch.nn.Sequential(Linear, ReLU, Linear)`, or a deeper one; see `Network.from_torch`."""
    torch = load_extra("torch", "torch", "PyTorch modules")
    kinds = [type(layer) for layer in module] if isinstance(module, torch.nn.Sequential) else []
    wanted = [torch.nn.ReLU if i % 2 else torch.nn.Linear for i in range(len(kinds))]
    if len(kinds) < 3 or len(kinds) % 2 == 0 or kinds != wanted:
        raise ValueError(f"the module is {module}; Sequential(Linear, ReLU, Linear) is needed")
    return {name: values.detach().cpu().double().numpy() for name, values in module.state_dict().items()}


def save(state: State, path: str | os.PathLike[str]) -> None:
    """Write one network to a file, whole or not at all; see `Network.save`."""
    ending = Path(path).suffix
    if ending not in _ENDINGS:
        raise ValueError(f"a network is kept in {', '.join(_ENDINGS)} files, not {str(path)!r}")
    if ending == ".npz":
        content = archive.dump(state)
    else:
        content = safetensors().save(state) if ending == ".safetensors" else _onnx(state)
    archive.write(path, content)


def load(path: str | os.PathLike[str], make: Callable[[dict[str, Any]], Made]) -> Made:
    """Return what `make` builds from the state in a file; see `Network.load`."""
    ending = Path(path).suffix
    if ending not in (".npz", ".safetensors"):
        raise ValueError(f"a network is read from .npz and .safetensors files, not {str(path)!r}")
    state = archive.read(path, {"*": ("f", -1)}) if ending == ".npz" else read_safetensors(path)[0]
    try:
        return make(state)
    except ValueError as error:
        raise archive.DamagedFileError(f"{path} is damaged or no file of a network: {error}") from error


def safetensors() -> Any:
    """Return the library's module for NumPy, or raise ImportError with the extra's name."""
    return load_extra("safetensors.numpy", "safetensors", "safetensors files")


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays in a safetensors file and the words of its header.

    A damaged file, or one larger than the memory, is a DamagedFileError; a whole one whose numbers are of a dtype that
    NumPy lacks, such as bfloat16, is a ValueError.
    """
    library = safetensors()
    content = archive.read_bytes(path, memory.available() or 2**34)
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        words: dict[str, str] = header.pop("__metadata__", {})
        foreign = sorted({tensor["dtype"] for tensor in header.values()} - _DTYPES)
        arrays = {} if foreign else library.load(content)
    except Exception as error:  # whatever the library raises for a damaged file: its error type is its own
        raise archive.DamagedFileError(f"{path} is damaged or no safetensors file: {error}") from error
    if foreign:
        raise ValueError(f"{path} holds numbers of dtype {', '.join(foreign)}, which are not supported; float64, "
                         "float32 and float16 are")  # fmt: skip
    return arrays, words


def _onnx(state: State) -> bytes:
    """Return an ONNX model: input "x" (N, D), output "y" (N, O), float64."""
    onnx = load_extra("onnx", "onnx", "ONNX files")
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE
    layers = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    nodes, value = [], "x"
    for layer in layers:
        last = layer == layers[-1]
        product = "y" if last else f"{layer}.sum"
        nodes.append(helper.make_node("Gemm", [value, f"{layer}.weight", f"{layer}.bias"], [product], transB=1))
        if not last:
            value = f"{layer}.active"
            nodes.append(helper.make_node("Relu", [product], [value]))
    n_inputs, n_outputs = state["0.weight"].shape[1], len(state[f"{layers[-1]}.weight"])
    graph = helper.make_graph(
        nodes,
        "relu_network",
        [helper.make_tensor_value_info("x", double, ["N", n_inputs])],
        [helper.make_tensor_value_info("y", double, ["N", n_outputs])],
        [onnx.numpy_helper.from_array(values, name) for name, values in state.items()],
    )
    # An old operator set and format, so that old runtimes read it: Relu takes float64 since set 14.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content
