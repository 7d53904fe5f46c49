"""Shards: the models of a study cut into parts of equal cost, one for each job of a batch system.

`cli` calls both functions for ``--shard``; `ensemble.store` joins the run folders that the jobs leave.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines import choose_engines, epoch_seconds, n_outputs
from ensemble.specs import Specs
from ensemble.training.request import Loss, in_batches

__all__ = ["parse_shard", "shard"]


def parse_shard(text: str) -> tuple[int, int]:
    """Return K and N of "K/N"; a ValueError for any other text, or where 1 <= K <= N does not hold."""
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"shard {text!r} is not allowed; K/N such as 1/8 is needed")
    number, count = map(int, parts)
    _check(number, count)
    return number, count


def shard(
    specs: Specs, datasets: Mapping[str, Dataset], number: int, count: int, loss: Loss = "mse"
) -> NDArray[np.int64]:
    """Return the rows (m,) of the specs, ascending, that belong to shard `number` of `count`, counted from 1.

    All shards cost about the same; the datasets, by name, and the loss decide what a model costs. A ValueError where
    1 <= number <= count does not hold, or there are fewer models than shards.
    """
    _check(number, count)
    if count > len(specs):
        raise ValueError(f"shard {number}/{count} is not allowed; there are only {len(specs)} models to share out")
    cost, batched = np.empty(len(specs)), in_batches(specs, datasets)
    for name in np.unique(specs.data).tolist():
        own, data = specs.data == name, datasets[name]
        engines = choose_engines("auto", specs, data.n_inputs, loss, batched, n_outputs(data, loss))
        for engine in np.unique(engines[own]).tolist():
            index = np.flatnonzero(own & (engines == engine))
            cost[index] = epoch_seconds(engine, specs[index], data, loss)
    return np.sort(np.argsort(cost, kind="stable")[number - 1 :: count])  # dealt out like cards, by cost


def _check(number: int, count: int) -> None:
    if not 1 <= number <= count:
        raise ValueError(f"shard {number}/{count} is not allowed; K/N with 1 <= K <= N is needed")
