"""One dataset with one input as the spline kernels want it: sorted, centred, with running sums made once.

Made by `prepare` once per dataset and shared by all chunks of models.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.updates import Array

_MOST_BUCKETS = 2**16  # of the guide: a quarter of a MB, so that it stays in cache
_ONE_LINE = 2**16  # samples: beyond the cache, a row of the table is padded to one cache line of 8 numbers


class Part(NamedTuple):
    """Samples of one input in ascending order, centred by the means of the training part; of length 0 if absent."""

    x: Array  # (N,) not centred: decides which samples a unit is active on
    u: Array  # (N,) x - x_mean
    t: Array  # (N,) y - y_mean
    guide: NDArray[np.uint32]  # (G + 1,) number of samples up to each of G + 1 equally spaced x
    lowest: float  # x of the first bucket
    per_x: float  # buckets per unit of x


class Samples(NamedTuple):
    """One dataset with one input."""

    train: Part
    test: Part
    val: Part
    table: Array  # (N + 1, 6 or 8) x[k-1], x[k], sums over the training samples before k of u, u^2, t, t u
    x_mean: float
    y_mean: float
    segment_width: int  # up to this width the segment form is the faster one


def running_sums(terms: Array) -> Array:
    """Return the sums of terms (N,) before each of N + 1 places, each rounded about once (Neumaier 1974)."""
    totals = np.cumsum(terms)
    before = np.concatenate([[0.0], totals[:-1]])
    larger = np.abs(before) >= np.abs(terms)
    lost = np.where(larger, (before - totals) + terms, (terms - totals) + before)  # by each addition, exactly
    return np.concatenate([[0.0], totals + np.cumsum(lost)])


def _part(x: Array, y: Array, x_mean: float, y_mean: float) -> Part:
    order = np.argsort(x, kind="stable")
    x = x[order]
    lowest, spread = (float(x[0]), float(x[-1] - x[0])) if len(x) else (0.0, 0.0)
    buckets = min(len(x), _MOST_BUCKETS) if spread > 0.0 and len(x) / spread < np.inf else 1
    edges = lowest + spread * (np.arange(buckets + 1) / buckets)
    guide = np.searchsorted(x, edges, side="right").astype(np.uint32)
    return Part(x, x - x_mean, y[order] - y_mean, guide, lowest, buckets / spread if buckets > 1 else 0.0)


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Samples:
    """Return one dataset as the kernel wants it; x (N, 1), absent parts of length 0."""
    means = float(x.mean()), float(y.mean())
    train = _part(x[:, 0], y, *means)
    columns = 8 if len(x) > _ONE_LINE else 6
    buffer = np.zeros(columns * (len(x) + 1) + 7)
    aligned = -(buffer.ctypes.data // 8) % 8  # numbers up to the next cache line
    table = buffer[aligned : aligned + columns * (len(x) + 1)].reshape(-1, columns)
    table[:, 0] = np.concatenate([[-np.inf], train.x])
    table[:, 1] = np.concatenate([train.x, [np.inf]])
    for column, terms in enumerate((train.u, train.u**2, train.t, train.t * train.u), 2):
        table[:, column] = running_sums(terms)
    rest = _part(x_test[:, 0], y_test, *means), _part(x_val[:, 0], y_val, *means)
    return Samples(train, *rest, table, *means, segment_width(len(x)))


def segment_width(n: int) -> int:
    """Return up to which width the segment form is taken for n samples.

    By size alone, so that bits never depend on the load; `scripts/benchmark.py --only crossing` shows where the two
    forms cross.
    """
    return n // 4
