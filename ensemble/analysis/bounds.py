"""What the training error of a study's models is held against: floors, and networks that exist.

Takes a dataset to `limits` and leaves `Bounds`, which the studies list in their tables and the plots draw.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import limits
from ensemble.data import Dataset
from ensemble.system import archive
from ensemble.system.provenance import DECIDE_BITS, installed

__all__ = ["BUILT_WIDTH", "Bounds", "bound_rows", "bounds_of"]

Floats = NDArray[np.float64]

BUILT_WIDTH = 64  # networks are built up to this width: beyond it the search takes longer than the training
KINDS = {"floor": ("f", 1), "built": ("f", 1), "no_bias": ("f", 1)}  # of the arrays that are kept
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


def bounds_of(
    name: str, dataset: Dataset, widths: NDArray[np.int64], built: Sequence[int] | None = None,
    folder: Path | None = None, hidden_layers: int = 1,
) -> Bounds | None:  # fmt: skip
    """Return what is possible on a dataset.

    None for several inputs or outputs, or more samples than the floor is made for.

    Parameters
    ----------
    name : str
        Of the dataset.
    dataset : Dataset
    widths : (W,)
        For which floors are found; repeats count once.
    built : sequence of int, optional
        Widths of which networks are built; default: those of `widths` up to 64.
    folder : Path, optional
        Where the numbers are kept and looked for. A file that is damaged, or cannot be written, costs time only.
    hidden_layers : int
        Of the networks that the floors are for; those that are built have one.
    """
    if dataset.n_inputs > 1 or dataset.n_outputs > 1 or dataset.n_train > MOST_SAMPLES:
        return None
    widths = np.unique(widths)
    small = widths[widths <= BUILT_WIDTH] if built is None else np.unique(np.array(built, dtype=np.int64))
    if folder is None:
        found = _computed(dataset, widths, small, hidden_layers)
    else:
        asked = (dataset.digest, widths.tolist(), hidden_layers, small.tolist(), installed(DECIDE_BITS))
        path = folder / f"bounds-{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}.npz"
        try:
            found = archive.read(path, KINDS, follow=False)
            if {key: found[key].shape for key in KINDS} != {
                "floor": widths.shape,
                "built": small.shape,
                "no_bias": (2,),
            }:
                raise KeyError(path)
        except (OSError, KeyError, archive.DamagedFileError):
            found = _computed(dataset, widths, small, hidden_layers)
            with contextlib.suppress(OSError):
                archive.write(path, archive.dump(found))
    no_bias = dict(zip(("no bias", "output bias only"), found["no_bias"].tolist(), strict=True))
    return Bounds(name, widths, found["floor"], small, found["built"], no_bias)


def _computed(
    dataset: Dataset, widths: NDArray[np.int64], built: NDArray[np.int64], hidden_layers: int
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    x, y, unit = dataset.x_train, dataset.y_train, 1.0
    if dataset.scale is not None:  # what a bias is worth depends on where 0 is: in the units that the models see
        x, y, unit = dataset.scale.inputs(x), dataset.scale.outputs(y), float(dataset.scale.y_std) ** 2
    x = x[:, 0]
    networks = limits.constructive_bounds(x, y, built) if len(built) else []
    return {
        "floor": limits.width_floor(x, y, widths, hidden_layers) * unit,
        "built": np.array([np.mean((network.predict(x) - y) ** 2) * unit for network in networks]),
        "no_bias": np.array([limits.no_bias_floor(x, y, output_bias) * unit for output_bias in (False, True)]),
    }


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
