"""The bootstrap over seeds: SciPy draws the seeds and takes the quantiles, here infinite errors are made safe for it.

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
_BLOCK = 4_000_000  # resampled errors held at once: 32 MB


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
    from scipy.stats import norm, t

    check_level(level)
    return float(1 - 2 * norm.sf(np.sqrt(n / (n - 1)) * t.isf((1 - level) / 2, n - 1)))


def resample(values: Floats, level: float, resamples: int, seed: int) -> tuple[Interval, Floats]:
    """Return the percentile interval of each row's median, and the medians of all resampled sets of seeds, (..., B).

    All rows of values (..., S) share the B = `resamples` sets of seeds. There must be 2 seeds or more; -inf and +inf
    are allowed, NaN is not. A `level` of 1 gives the range of the resampled medians. A ValueError names a setting that
    is not allowed.
    """
    from scipy.stats import bootstrap

    with np.errstate(over="ignore", invalid="ignore"):  # SciPy also takes a standard deviation: of what stands in, inf
        found = bootstrap(
            (_finite(values),), _median, n_resamples=whole(resamples, "resamples", 100),
            batch=max(1, _BLOCK // max(1, values.size)), vectorized=True, axis=-1, confidence_level=level,
            method="percentile", random_state=generator(seed, RESAMPLING),
        )  # fmt: skip
    low, high = _with_infinities(np.stack(found.confidence_interval), values)
    medians = _with_infinities(np.moveaxis(found.bootstrap_distribution, -1, 0), values)
    return Interval(low, high), np.moveaxis(medians, 0, -1)


def _median(values: Floats, axis: int) -> Any:
    """Return the median over the last axis; sorting takes a third of the time of `numpy.median`."""
    ordered, n = np.sort(values, axis=axis), values.shape[-1]
    low, high = ordered[..., (n - 1) // 2], ordered[..., n // 2]
    return low + 0.5 * (high - low)


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
