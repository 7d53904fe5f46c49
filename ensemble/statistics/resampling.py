"""The bootstrap over seeds, as SciPy has it, for medians of errors of which some are infinite.

All intervals of this room come from `resample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.system.checks import whole
from ensemble.system.streams import RESAMPLING, generator

__all__ = ["FEW", "Interval", "check_errors", "check_level", "few_note", "quantiles", "resample", "widened"]

Floats = NDArray[np.float64]

FEW = 10  # fewer seeds than this are called "few"
_HUGE = 2.0**1021  # takes the place of infinity: the difference of two, and the median's sum, are finite
_BLOCK = 1_000_000  # resampled errors of a row held at once: 8 MB


class Interval(NamedTuple):
    """Lower and upper end, each of shape (...): one for each row of errors. Either may be infinite, neither NaN."""

    low: Floats
    high: Floats


def few_note(n_seeds: int) -> str:
    """Return "few" where there are too few seeds to say much, else ""."""
    return "few" if n_seeds < FEW else ""


def check_errors(errors: ArrayLike, name: str, fewest: int = 1, positive: bool = False) -> Floats:
    """Return errors as float64, shape (..., S).

    A ValueError names what is wrong: fewer than `fewest` seeds, or an error that is NaN, -inf or, with `positive`,
    below 0.
    """
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim == 0 or errors.shape[-1] < fewest:
        raise ValueError(f"{name} has shape {errors.shape}; the last axis must hold at least {fewest} seeds")
    bad = np.isnan(errors) | ((errors < 0) if positive else np.isneginf(errors))
    if bad.any():
        place = tuple(int(axis[0]) for axis in np.nonzero(bad))
        allowed = "0 or above" if positive else "a finite number"
        at = ", ".join(map(str, place))
        raise ValueError(f"{name}[{at}] is {errors[place]}; an error must be {allowed}, or +inf")
    return errors


def check_level(level: float) -> None:
    """Raise ValueError where the level of an interval is not between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")


def quantiles(values: Floats, fractions: float | Sequence[float]) -> Floats:
    """Return quantiles over the last axis, (K, ...) for K fractions or (...) for one, linear between neighbours.

    A quantile between a finite and an infinite value is infinite. Between -inf and +inf it is the nearer of the two,
    and 0 halfway.
    """
    found = np.quantile(_finite(values), fractions, axis=-1)
    return _with_infinities(found, values)


def widened(level: float, n: int) -> float:
    """Return the level at which a percentile interval over n seeds covers about `level`; see `bootstrap_interval`."""
    from scipy.special import ndtr, stdtrit

    check_level(level)
    return float(1 - 2 * ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))


def resample(values: Floats, level: float, resamples: int, seed: int) -> tuple[Interval, Floats]:
    """Return the percentile interval of each row's median, and the medians of all resampled sets of seeds, (..., B).

    All rows of values (..., S) share the B = `resamples` sets of seeds. There must be 2 seeds or more; -inf and +inf
    are allowed, NaN is not. A `level` of 1 gives the range of the resampled medians. A ValueError names a setting that
    is not allowed. The numbers are those of `scipy.stats.bootstrap`, whose import alone takes half a second.
    """
    count, n = whole(resamples, "resamples", 100), values.shape[-1]
    draws = generator(seed, RESAMPLING)
    rows = _finite(values).reshape(-1, n)
    order = np.argsort(rows, axis=-1)
    rows = np.take_along_axis(rows, order, axis=-1)
    found = np.empty((len(rows), count))
    step = max(1, _BLOCK // n)
    for start in range(0, count, step):
        block = found[:, start : start + step]  # a view
        times = _times_drawn(draws.integers(0, n, (block.shape[1], n)))
        for row, places, medians in zip(rows, order, block, strict=True):
            # No resample is sorted: a seed's place among those drawn follows from how often those below it were drawn.
            below = np.cumsum(times[places], axis=0, dtype=times.dtype)
            low, high = (row[np.sum(below <= middle, axis=0, dtype=times.dtype)] for middle in ((n - 1) // 2, n // 2))
            medians[:] = low + 0.5 * (high - low)
    ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    low, high = _with_infinities(ends.reshape(2, *values.shape[:-1]), values)
    medians = _with_infinities(np.moveaxis(found.reshape(*values.shape[:-1], count), -1, 0), values)
    return Interval(low, high), np.moveaxis(medians, 0, -1)


def _times_drawn(drawn: NDArray[np.int64]) -> NDArray[Any]:
    """Return how often each of n seeds was drawn in each of B resamples, (B, n) to (n, B)."""
    count, n = drawn.shape
    cells = np.bincount((drawn + n * np.arange(count)[:, None]).ravel(), minlength=count * n)
    return np.ascontiguousarray(cells.reshape(count, n).T, dtype=np.min_scalar_type(n))


def _finite(values: Floats) -> Floats:
    """Return values with a huge number in place of infinity, so that no interpolation meets inf - inf."""
    return np.nan_to_num(values, posinf=_HUGE, neginf=-_HUGE)


def _with_infinities(found: Floats, values: Floats) -> Floats:
    """Return what was found (K, ...) from finite values, (..., S), infinite where an infinite value took part.

    Nothing between finite values is larger than the largest of them, and rounding does not double it.
    """
    largest = np.max(np.abs(values), axis=-1, where=np.isfinite(values), initial=0.0)
    found = np.clip(found, values.min(axis=-1), values.max(axis=-1))  # equal values give exactly that value
    return np.where(np.abs(found) > 2 * largest, np.copysign(np.inf, found), found)
