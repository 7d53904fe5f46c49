"""One network in other libraries' forms: PyTorch, safetensors and ONNX, each an extra.

`Network.to_torch`, `Network.from_torch` and `Network.save` end here. Units of standardized data are folded into the
weights, so that what leaves takes inputs and gives outputs in the original units.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensemble.system import archive

if TYPE_CHECKING:
    from ensemble.networks.stack import Network

__all__ = ["from_state_dict", "load", "save", "state_dict", "to_torch"]

Array = NDArray[np.float64]

_ENDINGS = (".npz", ".safetensors", ".onnx")


def state_dict(network: Network) -> dict[str, Array]:
    """Return the weights under PyTorch's names and in the shapes of ``Sequential(Linear(D, H), ReLU(), Linear(H, 1))``.

    "0.weight" (H, D), "0.bias" (H,), "2.weight" (1, H), "2.bias" (1,).
    """
    w1, b1, w2, b2 = network.w1, network.b1, network.w2, network.b2
    if network.scale is not None:
        scale = network.scale
        w1 = w1 / np.reshape(scale.x_std, (-1, 1))
        b1 = b1 - scale.x_mean @ w1
        w2, b2 = w2 * scale.y_std, b2 * scale.y_std + scale.y_mean
    return {
        "0.weight": np.ascontiguousarray(w1.T), "0.bias": np.array(b1), "2.weight": np.array(w2)[None],
        "2.bias": np.reshape(np.array(b2), (1,)),
    }  # fmt: skip


def from_state_dict(weights: dict[str, Any]) -> tuple[Array, Array, Array, Array]:
    """Return w1 (D, H), b1 (H,), w2 (H,) and b2 () of weights under PyTorch's names; absent biases are 0.

    Raises
    ------
    ValueError
        Other names or shapes than those of a two-layer network with one output.
    """
    arrays = {name: np.array(values, dtype=np.float64) for name, values in weights.items()}
    unknown = sorted(set(arrays) - {"0.weight", "0.bias", "2.weight", "2.bias"})
    if unknown or not {"0.weight", "2.weight"} <= set(arrays):
        raise ValueError(f"weights are named {sorted(arrays)}; those of Sequential(Linear, ReLU, Linear) are needed")
    first, second = arrays["0.weight"], arrays["2.weight"]
    if first.ndim != 2 or second.shape != (1, len(first)):
        raise ValueError(f"the weights have shapes {first.shape} and {second.shape}; (H, D) and (1, H) are needed")
    b1, b2 = arrays.get("0.bias", np.zeros(len(first))), arrays.get("2.bias", np.zeros(1))
    if b1.shape != (len(first),) or b2.shape != (1,):
        raise ValueError(f"the biases have shapes {b1.shape} and {b2.shape}; ({len(first)},) and (1,) are needed")
    return np.ascontiguousarray(first.T), b1, second[0], b2[0]


def to_torch(network: Network) -> Any:
    """Return a `torch.nn.Sequential` in float64; see `Network.to_torch`."""
    torch = _torch()
    weights = state_dict(network)
    width, n_inputs = weights["0.weight"].shape
    module = torch.nn.Sequential(
        torch.nn.Linear(n_inputs, width, dtype=torch.float64), torch.nn.ReLU(),
        torch.nn.Linear(width, 1, dtype=torch.float64),
    )  # fmt: skip
    module.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return module


def weights_of_module(module: Any) -> dict[str, Any]:
    """Return the state of a `torch.nn.Sequential(Linear, ReLU, Linear)` as NumPy arrays.

    Raises
    ------
    ValueError
        The module is another one.
    """
    torch = _torch()
    wanted = (torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear)
    if not isinstance(module, torch.nn.Sequential) or tuple(type(layer) for layer in module) != wanted:
        raise ValueError(f"the module is {module}; Sequential(Linear, ReLU, Linear) is needed")
    return {name: values.detach().cpu().double().numpy() for name, values in module.state_dict().items()}


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write one network to a file, whole or not at all; see `Network.save`."""
    ending = Path(path).suffix
    if ending not in _ENDINGS:
        raise ValueError(f"a network is kept in {', '.join(_ENDINGS)} files, not {str(path)!r}")
    weights = state_dict(network)
    if ending == ".npz":
        archive.write(path, archive.dump(weights))
    elif ending == ".safetensors":
        try:
            import safetensors.numpy
        except ImportError as error:
            raise ImportError(
                "safetensors files need the extra 'safetensors': pip install 'relu-ensemble[safetensors]'"
            ) from error
        archive.write(path, safetensors.numpy.save(weights))
    else:
        archive.write(path, _onnx(weights))


def load(path: str | os.PathLike[str]) -> tuple[Array, Array, Array, Array]:
    """Return w1, b1, w2 and b2 of a network in a file; see `Network.load`."""
    ending = Path(path).suffix
    if ending not in (".npz", ".safetensors"):
        raise ValueError(f"a network is read from .npz and .safetensors files, not {str(path)!r}")
    if ending == ".npz":
        weights: dict[str, Any] = archive.read(path, {"*": ("f", -1)})
    else:
        try:
            import safetensors.numpy
        except ImportError as error:
            raise ImportError(
                "safetensors files need the extra 'safetensors': pip install 'relu-ensemble[safetensors]'"
            ) from error
        content = Path(path).read_bytes()
        try:
            weights = safetensors.numpy.load(content)
        except Exception as error:  # whatever the library raises for a damaged file: its error type is its own
            raise archive.DamagedFileError(f"{path} is damaged or no file of a network: {error}") from error
    try:
        return from_state_dict(weights)
    except ValueError as error:
        raise archive.DamagedFileError(f"{path} is damaged or no file of a network: {error}") from error


def _onnx(weights: dict[str, Array]) -> bytes:
    """Return an ONNX model: input "x" (N, D), output "y" (N, 1), float64."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX files need the extra 'onnx': pip install 'relu-ensemble[onnx]'") from error
    helper = onnx.helper
    n_inputs = weights["0.weight"].shape[1]
    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "0.weight", "0.bias"], ["z"], transB=1),
            helper.make_node("Relu", ["z"], ["a"]),
            helper.make_node("Gemm", ["a", "2.weight", "2.bias"], ["y"], transB=1),
        ],
        "two_layer_relu",
        [helper.make_tensor_value_info("x", double, ["N", n_inputs])],
        [helper.make_tensor_value_info("y", double, ["N", 1])],
        [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    # An old operator set and format, so that old runtimes read it: Relu takes float64 since set 14.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError("PyTorch modules need the extra 'torch': pip install 'relu-ensemble[torch]'") from error
    return torch
