"""Train thousands of two-layer ReLU networks in one pass, and see how their settings change the error.

`sample`, `load_csv` or `Dataset` say what to learn, `grid` which models learn it, and `train` does it.
"""

from importlib.metadata import version

from ensemble.data import Dataset, load_csv, sample
from ensemble.networks import Network, NetworkStack, initialize
from ensemble.results import Result
from ensemble.specs import Specs, grid
from ensemble.store import load_result
from ensemble.training import plan, train

__version__ = version("relu-ensemble")

__all__ = [
    "Dataset",
    "Network",
    "NetworkStack",
    "Result",
    "Specs",
    "__version__",
    "grid",
    "initialize",
    "load_csv",
    "load_result",
    "plan",
    "sample",
    "train",
]
