"""Results as tables and cubes of other libraries: pandas and xarray, each an extra.

`Result.to_pandas` and `Result.to_xarray` end here; nothing else of the package knows these libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensemble.specs import COLUMNS, Specs

if TYPE_CHECKING:
    from ensemble.results import Result

__all__ = ["to_pandas", "to_xarray"]

_ERRORS = ("train_loss", "val_loss", "test_loss")


def to_pandas(result: Result, epochs: bool = False) -> Any:
    """Return a result as a DataFrame; see `Result.to_pandas`."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("DataFrames need the extra 'pandas': pip install 'relu-ensemble[pandas]'") from error
    columns: dict[str, Any] = {"model": np.arange(len(result)), **result.specs.columns()}
    errors = {name: getattr(result, name) for name in _ERRORS if getattr(result, name) is not None}
    if epochs:
        count = len(result.epochs)
        columns = {name: np.repeat(values, count) for name, values in columns.items()}
        columns["epoch"] = np.tile(result.epochs, len(result))
        columns |= {name: values.ravel() for name, values in errors.items()}
        return pandas.DataFrame(columns)
    columns |= {name: values[:, -1] for name, values in errors.items()}
    return pandas.DataFrame(columns | {"status": result.status, "diverged_at": result.diverged_at})


def to_xarray(result: Result) -> Any:
    """Return a result as a Dataset; see `Result.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError("Datasets need the extra 'xarray': pip install 'relu-ensemble[xarray]'") from error
    axes, order = _axes(result.specs)
    shape = tuple(len(values) for values in axes.values())

    def cube(values: NDArray[Any]) -> NDArray[Any]:
        return values[order].reshape(shape + values.shape[1:])

    dimensions = tuple(axes)
    variables: dict[str, Any] = {}
    for name in _ERRORS:
        values = getattr(result, name)
        if values is not None:
            variables[name] = ((*dimensions, "epoch"), cube(values), {"long_name": "mean squared error"})
    variables["diverged_at"] = (dimensions, cube(result.diverged_at), {"long_name": "epoch of divergence, or -1"})
    coordinates: dict[str, Any] = {**axes, "epoch": result.epochs}
    attributes = {}
    for name, values in result.specs.columns().items():
        if name in axes:
            continue
        if (values == values[0]).all():  # the same for all models; bool as a number, which every file format knows
            value = values[0].item()
            attributes[name] = int(value) if isinstance(value, bool) else value
        else:
            coordinates[name] = (dimensions, cube(values))
    return xarray.Dataset(variables, coordinates, attributes)


def _axes(specs: Specs) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the axes of the grid that the specs are, in order of the columns, and the models in order of its cells.

    Specs that are no full grid have one axis, "model".
    """
    columns = specs.columns()
    found = {name: np.unique(columns[name], return_inverse=True) for name in COLUMNS if name in specs.varying()}
    cells = int(np.prod([len(values) for values, _ in found.values()], dtype=np.float64))
    if found and cells == len(specs):
        place = np.zeros(len(specs), dtype=np.int64)
        for values, which in found.values():
            place = place * len(values) + which
        if len(np.unique(place)) == len(specs):
            return {name: values for name, (values, _) in found.items()}, np.argsort(place)
    return {"model": np.arange(len(specs))}, np.arange(len(specs))
