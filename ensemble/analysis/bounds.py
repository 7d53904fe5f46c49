"""What the training error of a study's models is held against: floors, and networks that exist.

Takes a dataset to `limits` and leaves `Bounds`, which the studies list in their tables and the plots draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import limits
from ensemble.data import Dataset

__all__ = ["BUILT_WIDTH", "Bounds", "bound_rows", "bounds_of"]

Floats = NDArray[np.float64]

BUILT_WIDTH = 64  # networks are built up to this width: beyond it the search takes longer than the training
MOST_SAMPLES = 2000  # the floor takes O(N^2 H)


@dataclass(frozen=True)
class Bounds:
    """Training MSE that is possible on a dataset with one input, without an output bias.

    Attributes
    ----------
    data : str
    width, floor : (W,)
        No network of this width can be below; 0 where it could pass through every sample.
    built_width, built : (V,)
        A network of this width that exists.
    no_bias : dict of float by arm
        No network without hidden bias can be below, whatever its width.
    """

    data: str
    width: NDArray[np.int64]
    floor: Floats
    built_width: NDArray[np.int64]
    built: Floats
    no_bias: dict[str, float]


def bounds_of(name: str, dataset: Dataset, widths: NDArray[np.int64], built: bool = True) -> Bounds | None:
    """Return what is possible on a dataset; None for several inputs, or more samples than the floor is made for."""
    if dataset.n_inputs > 1 or dataset.n_train > MOST_SAMPLES:
        return None
    x, y, unit = dataset.x_train, dataset.y_train, 1.0
    if dataset.scale is not None:  # what a bias is worth depends on where 0 is: in the units that the models see
        x, y, unit = dataset.scale.inputs(x), dataset.scale.outputs(y), dataset.scale.y_std**2
    x = x[:, 0]
    widths = np.unique(widths)
    small = widths[widths <= BUILT_WIDTH] if built else widths[:0]
    networks = limits.constructive_bounds(x, y, small) if len(small) else []
    return Bounds(
        name,
        widths,
        limits.width_floor(x, y, widths) * unit,
        small,
        np.array([np.mean((network.predict(x) - y) ** 2) * unit for network in networks]),
        {
            "no bias": limits.no_bias_floor(x, y) * unit,
            "output bias only": limits.no_bias_floor(x, y, output_bias=True) * unit,
        },
    )


def bound_rows(figure: str, bounds: Bounds) -> list[dict[str, Any]]:
    """Return the rows of `summary.csv` for what is possible."""
    head = {"figure": figure, "data": bounds.data}
    rows = []
    for measure, widths, values in (
        ("train_mse_floor", bounds.width, bounds.floor),
        ("train_mse_built", bounds.built_width, bounds.built),
    ):
        for width, value in zip(widths.tolist(), values.tolist(), strict=True):
            rows.append(head | {"measure": measure, "width": width, "median": value})
    for arm, value in bounds.no_bias.items():
        rows.append(head | {"measure": "train_mse_floor", "arm": arm, "median": value})
    return rows
