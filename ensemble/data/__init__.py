"""Data to learn from: targets, labelled points, sampling, datasets, CSV files."""

from ensemble.data.csv import csv_columns, load_csv, parse_csv
from ensemble.data.dataset import PARTS, Dataset
from ensemble.data.labelled import SHAPES, sample_labels
from ensemble.data.labels import n_classes
from ensemble.data.sampling import sample
from ensemble.data.scale import Scale
from ensemble.data.targets import TARGETS, FloatArray, Function, Target, get_target
from ensemble.data.teacher import sample_teacher

__all__ = [
    "PARTS",
    "SHAPES",
    "TARGETS",
    "Dataset",
    "FloatArray",
    "Function",
    "Scale",
    "Target",
    "csv_columns",
    "get_target",
    "load_csv",
    "n_classes",
    "parse_csv",
    "sample",
    "sample_labels",
    "sample_teacher",
]
