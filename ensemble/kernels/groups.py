"""One dataset with any number of inputs as `dense` and `deep` want it: group after group of columns.

Made by `prepare` once per dataset and shared by all chunks of models.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.kernels.batches import padded
from ensemble.kernels.tiles import Count
from ensemble.kernels.updates import Array

__all__ = ["GROUP", "Samples", "first_group", "prepare"]

# Inputs are cut into a first group of 2, 4, 6 or 8, and groups of 8 after it, with a column of zeros if D is odd: the
# weights of 8 by 16 fill half the registers. A kernel is compiled for its own size of the first group, with or without
# others after it: the sizes reach it as the lengths of tuples.
GROUP = 8


class Samples(NamedTuple):
    """One dataset; an absent part has no rows. Inputs lie flat, group after group of columns."""

    n_inputs: int
    x: Array  # (N' d,), with N' N and some samples of zeros, which `deep` may read
    y: Array  # (N,), or (N, O) column after column
    x_test: Array
    y_test: Array
    x_val: Array
    y_val: Array
    group: Count  # as long as the first group
    terms: Count  # one longer
    others: Count | None  # GROUP long, if there are more inputs than GROUP


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Samples:
    """Return one dataset as the kernel wants it; x (N, D), absent parts of length 0."""
    even = x.shape[1] + x.shape[1] % 2
    group = first_group(even)
    parts = (_grouped(x), _columns(y), _grouped(x_test), _columns(y_test), _grouped(x_val), _columns(y_val))
    return Samples(
        x.shape[1],
        *parts,
        (0,) * group,
        (0,) * (group + 1),
        (0,) * GROUP if even > GROUP else None,
    )


def _grouped(x: Array) -> Array:
    # Within a group, a sample is next to the one before it. Row after row they are D apart, and where that is a
    # multiple of 4 KB they push each other out of the cache.
    n = padded(len(x))  # `deep` reads 8 samples at a time, and 8 numbers where a sample may have 2
    even = np.pad(x, ((0, n - len(x)), (0, x.shape[1] % 2)))
    columns = range(first_group(even.shape[1]), even.shape[1], GROUP)
    return np.concatenate([group.ravel() for group in np.split(even, columns, axis=1)])


def _columns(y: Array) -> Array:
    return np.ascontiguousarray(y.T).ravel()


def first_group(d: int) -> int:
    """Return how many inputs are in the first group."""
    return (d - 1) % GROUP + 1
