"""Data to learn from: targets, sampling, datasets, CSV files."""

from ensemble.data.dataset import Dataset, Scale, load_csv, sample
from ensemble.data.targets import TARGETS, FloatArray, Function, Target, get_target

__all__ = [
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
