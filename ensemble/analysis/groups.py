"""Any result cut into groups of models that differ in their seed alone, as plots of it need them.

Between a `Result` that no study made and the displays: what studies know by name is found here from the specs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis.curves import Curve, LearningCurve, choose
from ensemble.results import Result
from ensemble.statistics import quartiles

__all__ = ["Group", "curves_of", "groups_of", "histories_of", "varied"]


class Group(NamedTuple):
    """Models (rows of the specs) that share these settings; others of the result have others."""

    settings: dict[str, Any]
    models: NDArray[np.int64]

    @property
    def label(self) -> str:
        """Return the settings in words."""
        return ", ".join(_words(name, value) for name, value in self.settings.items())


def varied(result: Result, *but: str) -> list[str]:
    """Return the columns in which a result's models differ, beside some, in the order of the columns."""
    columns = result.specs.columns()
    return [name for name, values in columns.items() if name not in but and len(set(values.tolist())) > 1]


def groups_of(result: Result, by: Sequence[str]) -> list[Group]:
    """Return the models in groups that differ in the columns `by`, sorted by the first, then the second, ...

    Raises
    ------
    ValueError
        A column that there is not.
    """
    columns = result.specs.columns()
    for name in by:
        if name not in columns:
            raise ValueError(f"by names {name!r}; allowed are {', '.join(columns)}")
    keys = list(zip(*(columns[name].tolist() for name in by), strict=True)) or [()] * len(result)
    found: dict[tuple[Any, ...], list[int]] = {}
    for model, key in enumerate(keys):
        found.setdefault(key, []).append(model)
    return [Group(dict(zip(by, key, strict=True)), np.array(found[key])) for key in sorted(found)]


def histories_of(result: Result, part: str, by: Sequence[str] | None = None) -> list[LearningCurve]:
    """Return the loss on a part against epoch, one curve for each group of models.

    Groups that differ in width alone have no label, so that displays draw them as widths.

    Raises
    ------
    ValueError
        A part that the result does not have, or a column that there is not.
    """
    if part not in result.parts:
        raise ValueError(f"part {part!r} is not in this result; it has {', '.join(result.parts)}")
    names = varied(result, "seed") if by is None else list(by)
    curves = []
    for group in groups_of(result, names):
        of_group = result.specs[group.models]
        label = "" if names == ["width"] else group.label or "all models"
        rates = {np.nan} if "lr" in names else set(of_group.lr.tolist())
        curves.append(
            LearningCurve(
                int(of_group.width[0]), rates.pop() if len(rates) == 1 else np.nan, np.asarray(result.epochs),
                quartiles(result.losses[part][group.models].T), len(group.models),
                int((result.diverged_at[group.models] >= 0).sum()), label,
            )
        )  # fmt: skip
    return curves


def curves_of(result: Result, data: str | None = None) -> list[Curve]:
    """Return error against width, one curve for each group of models on a dataset (default: the first).

    The groups differ in more than width, rate and seed; each holds a full grid of these.

    Raises
    ------
    ValueError
        A dataset that there is not, a group without some combination, or no validation or test error.
    """
    names = list(dict.fromkeys(result.specs.data.tolist()))
    if data is not None and data not in names:
        raise ValueError(f"data {data!r} is not in this result; it has {', '.join(map(repr, names))}")
    name = names[0] if data is None else data
    of_data = result[result.specs.data == name]
    by = varied(of_data, "seed", "width", "lr", "data")
    return [
        choose(of_data.specs, of_data, group.label or str(of_data.specs.optimizer[0]), name, **group.settings)
        for group in groups_of(of_data, by)
    ]


def _words(name: str, value: Any) -> str:
    """Return a setting in words: a name speaks for itself, a number needs that of its column."""
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {name.replace('_', ' ')}"
    if isinstance(value, str):
        return value or "data"
    return f"{name.replace('_', ' ')} {value:g}"
