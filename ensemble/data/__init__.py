"""Data to learn from: targets, sampling, datasets, CSV files."""

from ensemble.data.csv import load_csv
from ensemble.data.dataset import PARTS, Dataset
from ensemble.data.sampling import sample
from ensemble.data.scale import Scale
from ensemble.data.targets import TARGETS, FloatArray, Function, Target, get_target

__all__ = [
    "PARTS",
    "TARGETS",
    "Dataset",
    "FloatArray",
    "Function",
    "Scale",
    "Target",
    "get_target",
    "load_csv",
    "sample",
]
