"""Train thousands of two-layer ReLU networks in one pass, and see how their settings change the error.

`sample`, `load_csv` or `Dataset` say what to learn, `grid` which models learn it, and `train` trains them. Each name is
imported when it is first used, so that a command can answer Ctrl-C before NumPy and Numba are loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Dataset",
    "Network",
    "NetworkStack",
    "Result",
    "Spec",
    "Specs",
    "StoppedError",
    "__version__",
    "batches",
    "grid",
    "initialize",
    "load_csv",
    "load_result",
    "plan",
    "sample",
    "train",
]

if TYPE_CHECKING:
    from ensemble.data import Dataset, load_csv, sample
    from ensemble.networks import Network, NetworkStack, initialize
    from ensemble.results import Result
    from ensemble.rules.batches import batches
    from ensemble.specs import Spec, Specs, grid
    from ensemble.store import load_result
    from ensemble.training import StoppedError, plan, train

    __version__: str
else:
    _ROOMS = {
        "data": ("Dataset", "load_csv", "sample"),
        "networks": ("Network", "NetworkStack", "initialize"),
        "results": ("Result",),
        "rules.batches": ("batches",),
        "specs": ("Spec", "Specs", "grid"),
        "store": ("load_result",),
        "training": ("StoppedError", "plan", "train"),
    }
    _HOMES = {name: room for room, names in _ROOMS.items() for name in names}

    def __getattr__(name: str) -> Any:
        """Import a public name, or a room such as `ensemble.limits`, when it is first asked for."""
        if name == "__version__":
            value = import_module("importlib.metadata").version("relu-ensemble")
        elif name in _HOMES:
            value = getattr(import_module(f"ensemble.{_HOMES[name]}"), name)
        elif name in _ROOMS:
            value = import_module(f"ensemble.{name}")
        else:
            raise AttributeError(f"module 'ensemble' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return __all__
