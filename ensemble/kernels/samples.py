"""One dataset with one input as the spline kernels want it: sorted, centred, with running sums made once.

Made by `prepare` once per dataset and shared by all chunks of models.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.updates import Array

_MOST_BUCKETS = 2**16  # of the guide: a quarter of a MB, so that it stays in cache


class Part(NamedTuple):
    """Samples of one input in ascending order, centred by the means of the training part; of length 0 if absent."""

    x: Array  # (N,) not centred: decides which samples a unit is active on
    u: Array  # (N,) x - x_mean
    t: Array  # (N,) y - y_mean
    place: NDArray[np.uint32]  # (N_train + 1,) number of samples up to each training sample, and none: where to look


class Samples(NamedTuple):
    """One dataset with one input."""

    train: Part
    test: Part
    val: Part
    guide: NDArray[np.uint32]  # (G + 1,) number of training samples up to each of G + 1 equally spaced x
    lowest: float  # x of the first bucket
    per_x: float  # buckets per unit of x
    negative: int  # training samples with x < 0, where falling units without b switch, and
    not_positive: int  # with x <= 0, where rising ones do
    edges: Array  # (N + 2,) training x between -inf and +inf: x[k-1] and x[k] at k and k + 1
    table: Array  # (N + 1, 4) sums over the training samples before k of u, u^2, t, t u; a row in one cache line
    x_mean: float
    y_mean: float
    segment_width: int  # up to this width the segment form is the faster one
    given: NDArray[np.uint32]  # (N,) which sample of the training part as it was given each is


class OutputPart(NamedTuple):
    """Samples of one input in ascending order, for several outputs or labels."""

    x: Array  # (N + 1,) as in search.find
    y: Array  # (O, N) targets, or (1, N) labels


class OutputSamples(NamedTuple):
    """One dataset with one input and several outputs or labels; absent parts are of length 0."""

    train: OutputPart
    test: OutputPart
    val: OutputPart
    given: NDArray[np.uint32]  # (N,) which sample of the training part as it was given each is


def running_sums(terms: Array) -> Array:
    """Return the sums of terms (N,) before each of N + 1 places, each rounded about once (Neumaier 1974)."""
    totals = np.cumsum(terms)
    before = np.concatenate([[0.0], totals[:-1]])
    larger = np.abs(before) >= np.abs(terms)
    lost = np.where(larger, (before - totals) + terms, (terms - totals) + before)  # by each addition, exactly
    return np.concatenate([[0.0], totals + np.cumsum(lost)])


def rooms(count: int, *shape: int) -> list[Array]:
    """Return some arrays of zeros that each begin with a cache line: a vector across two costs twice its time."""
    size = math.prod(shape)
    apart = size + -size % 8
    buffer = np.zeros(count * apart + 7)
    first = -(buffer.ctypes.data // 8) % 8  # numbers up to the next cache line
    starts = range(first, first + count * apart, apart)
    return [buffer[start : start + size].reshape(shape) for start in starts]


def room(*shape: int) -> Array:
    """Return one such array."""
    return rooms(1, *shape)[0]


def _part(x: Array, y: Array, x_mean: float, y_mean: float, x_train: Array) -> Part:
    order = np.argsort(x, kind="stable")
    x = x[order]
    place = np.searchsorted(x, np.concatenate([[-np.inf], x_train]), side="right").astype(np.uint32)
    return Part(x, x - x_mean, y[order] - y_mean, place)


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Samples:
    """Return one dataset as the kernel wants it; x (N, 1), absent parts of length 0."""
    means = float(x.mean()), float(y.mean())
    ordered = np.sort(x[:, 0])
    train, test, val = (
        _part(x_part[:, 0], y_part, *means, ordered) for x_part, y_part in ((x, y), (x_test, y_test), (x_val, y_val))
    )
    lowest, spread = float(ordered[0]), float(ordered[-1] - ordered[0])
    buckets = min(len(x), _MOST_BUCKETS) if spread > 0.0 and len(x) / spread < np.inf else 1
    bounds = lowest + spread * (np.arange(buckets + 1) / buckets)
    guide = np.searchsorted(ordered, bounds, side="right").astype(np.uint32)
    edges = np.concatenate([[-np.inf], ordered, [np.inf]])
    train = train._replace(x=edges[1:-1])  # the same samples once in memory, so once in the cache
    table = room(len(x) + 1, 4)
    for column, terms in enumerate((train.u, train.u**2, train.t, train.t * train.u)):
        table[:, column] = running_sums(terms)
    per_x = buckets / spread if buckets > 1 else 0.0
    negative, not_positive = (int(np.searchsorted(ordered, 0.0, side=side)) for side in ("left", "right"))
    at_zero = negative, not_positive
    given = np.argsort(x[:, 0], kind="stable").astype(np.uint32)
    return Samples(train, test, val, guide, lowest, per_x, *at_zero, edges, table, *means, segment_width(len(x)), given)


def prepare_outputs(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> OutputSamples:
    """Return the same of a dataset with several outputs, y (N, O), or with labels, y (N,)."""
    train, test, val = (_output_part(*part) for part in ((x, y), (x_test, y_test), (x_val, y_val)))
    return OutputSamples(train, test, val, np.argsort(x[:, 0], kind="stable").astype(np.uint32))


def _output_part(x: Array, y: Array) -> OutputPart:
    order = np.argsort(x[:, 0], kind="stable")
    return OutputPart(np.append(x[order, 0], 0.0), np.ascontiguousarray(np.atleast_2d(y[order].T)))


def segment_width(n: int) -> int:
    """Return up to which width the segment form is taken for n samples.

    By size alone, so that bits never depend on the load; `scripts/benchmark.py --only crossing` shows where the two
    forms cross.
    """
    return 3 * n // 8
