"""What a study is asked for, made ready: datasets with all their parts, and lists of settings without repeats.

The first step of every study's setup, before specs are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ensemble.data import Dataset, sample
from ensemble.specs import CHOICES
from ensemble.system.checks import whole

__all__ = ["Data", "as_datasets", "described", "noise_of", "rates_of", "seeds_of", "values_of"]

# What the studies accept as data: names of targets, a dataset, or several by name.
Data = str | Sequence[str] | Dataset | Mapping[str, Dataset]


_MOST_SEEDS = 10**7


def as_datasets(data: Data, noise: float, batch_size: int) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Return datasets by name, each with a validation and a test part, and notes on them and on their batches.

    Raises
    ------
    ValueError
        No data, a target named twice or unknown, or a dataset of several outputs or too small to be split.
    """
    if isinstance(data, Dataset):
        data = {data.name: data}
    elif not isinstance(data, Mapping):
        names = values_of("targets", [data] if isinstance(data, str) else data)
        sampled = {name: sample(name, noise=noise) for name in names}
        return sampled, batch_notes(batch_size, sampled)
    if not data:
        raise ValueError("no data; give a Dataset, or the name of a target")
    prepared, notes = {}, []
    for name, dataset in data.items():
        if dataset.n_outputs > 1:
            raise ValueError(
                f"the dataset {name!r} has {dataset.n_outputs} outputs; a study compares models of one output, so give "
                "one column of y"
            )
        if dataset.dropped_rows:
            notes.append(f"{name}: {dataset.dropped_rows} rows with empty cells dropped")
        if dataset.x_val is None or dataset.x_test is None:
            dataset = dataset.split()
            sizes = ", ".join(f"{len(y)} {part}" for part, (_, y) in dataset.parts().items())
            notes.append(f"{name}: parts that were missing drawn at random from the training part: {sizes} samples")
        prepared[name] = dataset
    return prepared, (*notes, *batch_notes(batch_size, prepared))


def batch_notes(batch_size: int, datasets: Mapping[str, Dataset]) -> tuple[str, ...]:
    """Return a note that says what an epoch is; none where it is one full-batch step, as everywhere else."""
    if whole(batch_size, "batch_size") == 0:
        return ()
    steps = {name: -(-dataset.n_train // batch_size) for name, dataset in datasets.items()}
    few, most = min(steps.values()), max(steps.values())
    each = f"{few:,} step{'s' * (few > 1)}" if few == most else f"{few:,} to {most:,} steps, by the dataset"
    return (f"batches of {batch_size}: an epoch is {each}",)


def noise_of(data: Data, noise: float) -> float | None:
    """Return the noise as a setting: None for own data, which has its own."""
    return None if isinstance(data, Dataset | Mapping) else noise


def values_of(name: str, values: Iterable[Any]) -> list[Any]:
    """Return `values` as a list, or raise a ValueError where it is empty or names a value twice."""
    listed = list(values)
    if not listed:
        raise ValueError(f"{name} is empty; give at least one value")
    for place, value in enumerate(listed):
        if value in listed[:place]:
            raise ValueError(f"{name} names {value!r} twice; each value counts once")
    return listed


def seeds_of(seeds: int | Iterable[int], fewest: int = 2) -> list[int]:
    """Return a number of seeds as the list 0, 1, ..., and a list of seeds as it is.

    Raises
    ------
    ValueError
        A seed named twice, or fewer than `fewest`: one seed says nothing about the others.
    """
    if isinstance(seeds, int | np.integer) and seeds > _MOST_SEEDS:
        raise ValueError(f"seeds is {seeds}; at most {_MOST_SEEDS:,} are allowed")
    listed = list(range(int(seeds))) if isinstance(seeds, int | np.integer) else values_of("seeds", seeds)
    if len(listed) < fewest:
        raise ValueError(f"seeds is {seeds}; at least {fewest} are needed to tell signal from chance")
    return listed


def rates_of(lrs: Iterable[float] | Mapping[str, Iterable[float]], optimizers: Sequence[str]) -> dict[str, list[float]]:
    """Return the learning rates of each optimizer; a plain list serves all of them.

    Raises
    ------
    ValueError
        No rate, a rate named twice, or an optimizer that the dict does not name.
    """
    if not isinstance(lrs, Mapping):
        listed = values_of("lrs", lrs)
        return {name: listed for name in optimizers}
    for name in optimizers:
        if name not in lrs:
            known = name in CHOICES["optimizer"]
            problem = "has no learning rates" if known else "is unknown"
            raise ValueError(f"optimizer {name!r} {problem}; allowed are {', '.join(lrs)}")
    return {name: values_of(f"lrs of {name}", lrs[name]) for name in optimizers}


def described(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's identity for `study.json`."""
    sizes = {part: len(y) for part, (_, y) in dataset.parts().items()}
    return {
        "inputs": list(dataset.x_names), "output": dataset.y_name, "samples": sizes, "sha256": dataset.digest,
        "noise_variance": dataset.noise_variance, "formula": dataset.target.formula if dataset.target else None,
    }  # fmt: skip
