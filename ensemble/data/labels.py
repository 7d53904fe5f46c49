"""Labels: classes as whole numbers in the y of a dataset, and how many there are.

`training` asks here before it minimizes a loss of labels.
"""

from __future__ import annotations

import numpy as np

from ensemble.data.dataset import Dataset

__all__ = ["n_classes"]


def n_classes(data: Dataset) -> int:
    """Return the number of classes K of a dataset whose y are labels: the largest of its training part plus one.

    It is counted once, and kept with the dataset as its digest is: every chunk of models asks for it.

    Raises
    ------
    ValueError
        y has several columns, or is no whole number from 0 somewhere; a class is missing in the training part, or there
        is only one; or another part has a label that the training part lacks.
    """
    kept = vars(data)
    if "_n_classes" not in kept:
        kept["_n_classes"] = _counted(data)
    classes: int = kept["_n_classes"]
    return classes


def _counted(data: Dataset) -> int:
    where = f"the dataset {data.name!r} has no labels 0, 1, ... to classify:"
    if data.n_outputs > 1:
        raise ValueError(f"{where} y_train has shape {data.y_train.shape}, one column is needed (of one-hot rows, "
                         "y.argmax(axis=1))")  # fmt: skip
    for part, (_, y) in data.parts().items():
        wrong = np.flatnonzero((y < 0) | (y != np.floor(y)))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(f"{where} y_{part} has {y[row]:g} in row {row}; whole numbers from 0 are needed")
    found = np.unique(data.y_train)
    missing = np.flatnonzero(found != np.arange(len(found)))
    if len(missing):
        raise ValueError(f"{where} class {missing[0]} is missing in y_train, whose largest label is {found[-1]:g}")
    if len(found) == 1:
        raise ValueError(f"{where} y_train holds class 0 alone; two classes or more are needed")
    for part, (_, y) in data.parts().items():
        if y.max() > found[-1]:
            row = int(y.argmax())
            raise ValueError(
                f"{where} y_{part} has {y[row]:g} in row {row}, but the largest label of y_train is {found[-1]:g}"
            )
    return len(found)
