"""The few samples that all networks of a map learn: of a target, or of own data thinned to what a map can bear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble.data import Dataset, sample
from ensemble.studies.inputs import Data, values_of
from ensemble.system.checks import whole

__all__ = ["MOST_SAMPLES", "samples_of"]

MOST_SAMPLES = 64


def samples_of(data: Data, samples: int, noise: float) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Return one dataset by name, of a training part of at most so many samples, and notes on what was left out."""
    samples = whole(samples, "samples", 1, MOST_SAMPLES)
    if isinstance(data, Dataset):
        data = {data.name: data}
    names = [data] if isinstance(data, str) else values_of("targets", data)
    if len(names) > 1:
        raise ValueError(f"targets are {names}; trainability maps one")
    name = names[0]
    if not isinstance(data, dict):
        return {name: sample(name, n=samples, test_fraction=0, noise=noise)}, ()
    given: Dataset = data[name]
    if given.n_train <= MOST_SAMPLES:
        return {name: given}, ()
    chosen = np.sort(np.random.Generator(np.random.Philox(0)).choice(given.n_train, samples, replace=False))
    thinned = replace(
        given, x_train=given.x_train[chosen], y_train=given.y_train[chosen], x_test=None, y_test=None, x_val=None,
        y_val=None,
    )  # fmt: skip
    return {name: thinned}, (f"{name}: {samples} of {given.n_train:,} training samples are used, drawn at random",)
