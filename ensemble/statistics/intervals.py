"""What the seeds say: medians with intervals, paired comparisons, scaling fits, the smallest width that suffices.

Between a study's table of errors, widths by seeds, and what its plots and claims state about them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Comparison",
    "Interval",
    "ScalingFit",
    "SmallestWidth",
    "Summary",
    "bootstrap_interval",
    "compare",
    "compare_over_widths",
    "error_band",
    "fit_scaling",
    "holm",
    "order_interval",
    "smallest_width",
    "summarize",
    "wilcoxon_exact",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Errorbar = str | tuple[str, float]

RESAMPLING_PURPOSE = 200  # spawn key of the resampled seeds: a stream apart from those of networks and data
FEW = 10  # fewer seeds than this are called "few"
FEWEST = 6  # with fewer pairs no two-sided signed-rank p can reach 0.05: 2 / 2^5 = 0.0625
_BLOCK = 4_000_000  # resampled errors held at once: 32 MB
_STEEPEST = 10.0  # largest exponent b of the power law
_FULLEST = 30.0  # largest logarithm of the floor c over the falling part, at the middle width


class Interval(NamedTuple):
    """Lower and upper end, each of shape (...): one for each row of errors. Either may be infinite, neither NaN."""

    low: Floats
    high: Floats


@dataclass(frozen=True)
class Summary:
    """Summary of errors over S seeds; diverged models count as +inf in all but `n`.

    Attributes
    ----------
    n : int
        Number of seeds S, the diverged ones among them.
    note : str
        "few" where n is below 10, else "".
    median, lower_quartile, upper_quartile : (...) float
        In the unit of the errors; linear between order statistics, as `numpy.quantile`.
    iqr : (...) float
        Upper less lower quartile: the spread of the seeds. +inf where the upper quartile is infinite.
    interquartile_mean : (...) float
        Mean of the middle half; where S is no multiple of 4, the outermost errors of it count in part.
    diverged : (...) float
        Fraction of the seeds that diverged, 0 to 1.
    """

    n: int
    note: str
    median: Floats
    lower_quartile: Floats
    upper_quartile: Floats
    iqr: Floats
    interquartile_mean: Floats
    diverged: Floats


class Comparison(NamedTuple):
    """Paired comparison of errors a and b over n common seeds. Below 0 (ratio: log below 0) means that a is better.

    Attributes
    ----------
    n : int
        Number of pairs.
    note : str
        "few" where n is below 10, else "".
    median_difference : float
        Median of a - b over the pairs, in the unit of the errors. A pair in which both diverged counts 0, one in
        which one did counts +inf or -inf.
    difference_interval : (float, float)
        Its interval, from resampling the seeds.
    median_log_ratio : float
        Median of ln(a / b), likewise.
    log_ratio_interval : (float, float)
        Its interval.
    probability : float
        Probability of improvement: the fraction of pairs with a < b, ties counted half.
    p_value : float
        Wilcoxon signed rank on ln(a / b), two-sided, exact.
    p_adjusted : float
        The same after Holm's correction over the widths; equal to `p_value` where there is one comparison.
    significant : bool or None
        Whether `p_adjusted` is at most 1 - level; None below 6 pairs, where it could not be at the 5% level.
    """

    n: int
    note: str
    median_difference: float
    difference_interval: tuple[float, float]
    median_log_ratio: float
    log_ratio_interval: tuple[float, float]
    probability: float
    p_value: float
    p_adjusted: float
    significant: bool | None


@dataclass(frozen=True)
class ScalingFit:
    """Two fits of the median error m against the width w, both by least squares on ln m.

    The line is ln m = intercept + slope ln w, the power law m = a w^-b + c with b, c >= 0. Where a fit is impossible
    (fewer than 2 or 3 widths with a finite median above 0) its numbers are NaN and `warnings` says so.

    Attributes
    ----------
    widths, medians : (W,)
        Ascending; the medians in the unit of the errors.
    used : (W,) bool
        Which widths took part: those whose median is finite and above 0.
    slope, intercept : float
        The slope is d ln m / d ln w.
    a, b, c : float
        c is the error left at infinite width, in the unit of the errors; a w^-b is the part that falls.
    slope_interval, a_interval, b_interval, c_interval : (float, float)
        From resampling the seeds, the same ones at every width.
    line_residuals, power_residuals : (W,) float
        ln m less the fit, NaN at widths left out.
    line_spread, power_spread : float
        Root mean square of those residuals; 0.1 is about 10% of the error.
    line_r2, power_r2 : float
        Share of the variance of ln m over widths that the fit explains; 1 where there is none to explain.
    warnings : tuple of str
        Why the fit deserves caution, in plain sentences; empty where nothing is to be said.
    """

    widths: Integers
    medians: Floats
    used: Booleans
    slope: float
    intercept: float
    slope_interval: tuple[float, float]
    a: float
    b: float
    c: float
    a_interval: tuple[float, float]
    b_interval: tuple[float, float]
    c_interval: tuple[float, float]
    line_residuals: Floats
    power_residuals: Floats
    line_spread: float
    power_spread: float
    line_r2: float
    power_r2: float
    warnings: tuple[str, ...]

    def line(self, widths: ArrayLike) -> Floats:
        """Return the error that the line puts at `widths`, any shape."""
        return np.asarray(np.exp(self.intercept + self.slope * np.log(np.asarray(widths, dtype=np.float64))))

    def power_law(self, widths: ArrayLike) -> Floats:
        """Return the error that the power law puts at `widths`, any shape."""
        return np.asarray(self.a * np.asarray(widths, dtype=np.float64) ** -self.b + self.c)


class SmallestWidth(NamedTuple):
    """Smallest trained width whose median error is at most `target`.

    Attributes
    ----------
    width : int or None
        None where no width reaches the target.
    low, high : float
        Interval from resampling the seeds, ends among the trained widths; +inf where none would have been enough.
    reached : float
        Fraction of the resampled studies in which some width reaches the target.
    target : float
        In the unit of the errors.
    """

    width: int | None
    low: float
    high: float
    reached: float
    target: float


def summarize(errors: ArrayLike) -> Summary:
    """Summarize errors over seeds; diverged models are +inf and stay in.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed; +inf for a model that diverged.

    Returns
    -------
    Summary
        Arrays of shape (...).

    Raises
    ------
    ValueError
        No seed, or an error that is NaN or -inf.
    """
    errors = _errors(errors, "errors")
    ordered = np.sort(errors, axis=-1)
    lower, median, upper = (_quantile(ordered, fraction) for fraction in (0.25, 0.5, 0.75))
    spread = np.subtract(upper, lower, out=np.full(upper.shape, np.inf), where=np.isfinite(upper))
    n = errors.shape[-1]
    diverged = np.asarray(np.isinf(errors).mean(axis=-1))
    return Summary(n, _note(n), median, lower, upper, spread, _interquartile_mean(ordered), diverged)


def bootstrap_interval(
    errors: ArrayLike,
    statistic: str = "median",
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
    method: str = "expanded",
) -> Interval:
    """Return a bootstrap interval over seeds for each row of errors; all rows share the same resampled seeds.

    The plain percentile interval, the (1 - level) / 2 quantiles of the resampled statistic, is too short for few seeds.
    "expanded" takes quantiles further out, at Phi(-sqrt(n / (n - 1)) t) with t the Student quantile of n - 1 degrees of
    freedom: exact for a mean of normal errors, and closer for others.

    Measured coverage at level 0.95 of the true statistic, in per cent (lowest to highest of five distributions:
    log-normal with sigma 0.5 and 1, exponential, exp of Student t with 3 degrees of freedom, a mixture of two
    log-normals e^2 apart; 5,000 studies each, so +-0.3):

    ====  ================  ==================  ================  ==================  ==============
    n     median, expanded  median, percentile  middle, expanded  middle, percentile  order_interval
    ====  ================  ==================  ================  ==================  ==============
    6     96.3 to 97.3      92.8 to 94.1        90.3 to 96.3      83.5 to 91.8        93.9 to 95.4
    8     97.5 to 98.3      91.8 to 93.0        94.0 to 97.7      92.1 to 94.3        93.8 to 95.5
    10    95.6 to 96.7      93.1 to 94.4        96.0 to 97.5      92.3 to 94.2        94.2 to 95.4
    16    95.9 to 96.6      93.4 to 94.1        95.9 to 96.6      93.9 to 94.7        94.6 to 95.0
    32    95.2 to 96.2      93.8 to 94.5        95.5 to 95.9      94.4 to 94.7        94.3 to 95.2
    ====  ================  ==================  ================  ==================  ==============

    "middle" is the interquartile mean.
    So the default for the median covers 93% to 97% at 10, 16 and 32 seeds, and errs on the long side at 6 and 8; the
    interquartile mean wants 16. `order_interval` holds for the median at every n measured.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed, the same seeds in each row; +inf for a model that diverged. For widths by seeds, (W, S).
    statistic : {"median", "interquartile_mean"}
        What the interval is for.
    level : float
        Coverage aimed at, between 0 and 1.
    resamples : int
        Number of resampled sets of seeds, at least 100.
    seed : int
        Of the resampling, 0 or above. The same seed and S give the same resampled seeds.
    method : {"expanded", "percentile"}
        Which quantiles to take.

    Returns
    -------
    Interval
        Arrays of shape (...), in the unit of the errors. Of zero length where all errors of a row are equal, and with
        infinite ends where diverged models reach so far.

    Raises
    ------
    ValueError
        Fewer than 2 seeds, an error that is NaN or -inf, or an unknown or impossible setting.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Hesterberg, What Teachers Should Know
    About the Bootstrap, The American Statistician 69 (2015), section 5 (expanded percentile interval).
    """
    errors = _errors(errors, "errors", fewest=2)
    estimate = _statistic(statistic)
    fractions = _fractions(errors.shape[-1], level, method)
    rows = errors.reshape(-1, errors.shape[-1])
    values = np.sort(_resampled(rows, estimate, _resampling(errors.shape[-1], resamples, seed)), axis=-1)  # (rows, B)
    low, high = (_quantile(values, fraction).reshape(errors.shape[:-1]) for fraction in fractions)
    return Interval(low, high)


def error_band(errors: ArrayLike, errorbar: Errorbar = "ci") -> tuple[Interval, str]:
    """Return the band around the median of each row of errors, and the words that say what it is.

    The names are seaborn's: "ci" and "se" are *uncertainty*, how far the median may be from that of all seeds, and
    shrink with more seeds; "pi" and "sd" are *spread*, how far apart single seeds are, and do not. "se" and "sd" are
    taken of the logarithms, as errors are compared by ratio and drawn on a log axis.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed, 0 or above; +inf for a model that diverged.
    errorbar : {"ci", "pi", "sd", "se"}, or a pair of that and a number
        The number is the level in percent for "ci" (default 95) and "pi" (default 50, the interquartile range), and a
        factor for "sd" and "se" (default 1).

    Returns
    -------
    Interval, str
        Arrays of shape (...), and words such as "spread (interquartile range)".

    Raises
    ------
    ValueError
        An unknown name, an impossible number, fewer than 2 seeds, or an error that is NaN or below 0.
    """
    name, size = errorbar if isinstance(errorbar, tuple) else (errorbar, {"ci": 95.0, "pi": 50.0}.get(errorbar, 1.0))
    if name not in ("ci", "pi", "sd", "se"):
        raise ValueError(f"errorbar is {errorbar!r}; it must be 'ci', 'pi', 'sd' or 'se', or a pair such as ('ci', 95)")
    if not 0 < size < (100 if name in ("ci", "pi") else np.inf):
        raise ValueError(f"errorbar is {errorbar!r}; its number must be above 0, and a percentage below 100")
    errors = _errors(errors, "errors", fewest=2, positive=True)
    if name == "ci":
        return bootstrap_interval(errors, level=size / 100), f"uncertainty ({size:g}% interval of the median)"
    ordered = np.sort(errors, axis=-1)
    if name == "pi":
        low, high = (_quantile(ordered, 0.5 + side * size / 200) for side in (-1, 1))
        words = "interquartile range" if size == 50 else f"middle {size:g}% of the seeds"
        return Interval(low, high), f"spread ({words})"
    times = "" if size == 1 else f"{size:g} "
    with np.errstate(divide="ignore", invalid="ignore"):  # the logarithm of an error of 0; the spread of infinite ones
        if name == "sd":
            values, words = np.log(errors), f"spread ({times}standard deviation{'s' * (size != 1)} of the logarithm)"
        else:
            rows = errors.reshape(-1, errors.shape[-1])
            medians = _resampled(rows, _median, _resampling(errors.shape[-1], 4000, 0))
            values = np.log(medians).reshape(*errors.shape[:-1], -1)
            words = f"uncertainty ({times}standard error{'s' * (size != 1)} of the median)"
        width = size * np.std(values, axis=-1, ddof=1) * (values.min(axis=-1) < values.max(axis=-1))  # equal: exactly 0
        middle = _median(ordered)
        width = np.where(np.isnan(width), np.inf, width)
        low, high = middle * np.exp(-width), middle * np.exp(width)
    return Interval(np.nan_to_num(low, nan=0.0, posinf=np.inf), np.where(np.isnan(high), np.inf, high)), words


def order_interval(errors: ArrayLike, level: float = 0.95) -> Interval:
    """Return an interval for the median from order statistics: no resampling, and right whatever the distribution.

    The interval from the k-th smallest to the k-th largest of n errors covers the median with probability
    1 - 2 P(Binomial(n, 1/2) < k), exactly. Between the two k whose coverage encloses `level` it is interpolated.
    Coverage measured: see `bootstrap_interval`. Below 6 seeds not even the whole range covers 95%; it is returned.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed; +inf for a model that diverged.
    level : float
        Coverage aimed at, between 0 and 1.

    Returns
    -------
    Interval
        Arrays of shape (...).

    Raises
    ------
    ValueError
        Fewer than 2 seeds, an error that is NaN or -inf, or a level not between 0 and 1.

    References
    ----------
    Hettmansperger and Sheather, Confidence intervals based on interpolated order statistics, Statistics and
    Probability Letters 4 (1986), 75-79.
    """
    from scipy.stats import binom

    ordered = np.sort(_errors(errors, "errors", fewest=2), axis=-1)
    _check_level(level)
    n = ordered.shape[-1]
    covers = 1 - 2 * binom.cdf(np.arange(n // 2), n, 0.5)  # at place k - 1: from the k-th smallest to the k-th largest
    enough = np.flatnonzero(covers >= level)
    k = int(enough[-1]) + 1 if len(enough) else 1
    if len(enough) == 0 or 2 * k == n:  # the whole range, or the innermost pair
        return Interval(ordered[..., k - 1].copy(), ordered[..., n - k].copy())
    inner = float(covers[k]) if k < n // 2 else 0.0  # odd n: from the median to itself
    excess = (float(covers[k - 1]) - level) / (float(covers[k - 1]) - inner)
    part = (n - k) * excess / (k + (n - 2 * k) * excess)
    return Interval(
        _between(ordered[..., k - 1], ordered[..., k], part),
        _between(ordered[..., n - k - 1], ordered[..., n - k], 1 - part),
    )


def compare(
    a: ArrayLike,
    b: ArrayLike,
    seeds_a: ArrayLike,
    seeds_b: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Comparison:
    """Compare two kinds of model, paired by seed; seeds that only one of them has are left out.

    Parameters
    ----------
    a, b : (S,) array_like
        Errors, 0 or above, +inf for a model that diverged: it loses against every finite error, and ties with another.
        The two may differ in length.
    seeds_a, seeds_b : (S,) array_like of int
        Seed of each error, none twice.
    level : float
        Of the intervals; 1 - level is what `p_adjusted` is held against.
    resamples, seed : int
        As in `bootstrap_interval`.

    Returns
    -------
    Comparison
        `significant` is None below 6 pairs, `note` is "few" below 10.

    Raises
    ------
    ValueError
        Shapes that do not match, a seed given twice, fewer than 2 seeds in common, or errors that are NaN or below 0.
    """
    rows = [np.asarray(values, dtype=np.float64) for values in (a, b)]
    for name, row in zip("ab", rows, strict=True):
        if row.ndim != 1:
            raise ValueError(f"{name} has shape {row.shape}; compare takes one error per seed, shape (S,)")
    return _compare(rows[0][None], rows[1][None], seeds_a, seeds_b, level, resamples, seed)[0]


def compare_over_widths(
    a: ArrayLike,
    b: ArrayLike,
    seeds_a: ArrayLike,
    seeds_b: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Compare two kinds of model at each of W widths, paired by seed, with Holm's correction over the widths.

    Parameters
    ----------
    a, b : (W, S) array_like
        Errors at the same widths, otherwise as in `compare`; the two may differ in S.
    seeds_a, seeds_b : (S,) array_like of int
        Seed of each column, none twice.
    level, resamples, seed
        As in `compare`.

    Returns
    -------
    tuple of Comparison
        One for each width, in their order.

    Raises
    ------
    ValueError
        As `compare`, or a and b with different numbers of widths.
    """
    tables = [np.asarray(values, dtype=np.float64) for values in (a, b)]
    for name, table in zip("ab", tables, strict=True):
        if table.ndim != 2:
            raise ValueError(f"{name} has shape {table.shape}; compare_over_widths takes widths by seeds, shape (W, S)")
    if len(tables[0]) != len(tables[1]) or len(tables[0]) == 0:
        raise ValueError(f"a has {len(tables[0])} widths and b {len(tables[1])}; both must have the same number, not 0")
    return _compare(tables[0], tables[1], seeds_a, seeds_b, level, resamples, seed)


def wilcoxon_exact(differences: ArrayLike) -> float:
    """Return the exact two-sided p of Wilcoxon's signed rank test, ties and zeros included.

    Under the hypothesis each nonzero difference is as likely above as below 0. The distribution of the sum of ranks of
    those above is found by adding one rank after the other; tied sizes share their mean rank, and zeros are ranked
    with the others but belong to neither side (Pratt). Infinite differences are the largest, tied with one another.

    Parameters
    ----------
    differences : (n,) array_like
        Of paired values, +inf and -inf allowed.

    Returns
    -------
    float
        1 where there is no nonzero difference.

    Raises
    ------
    ValueError
        Not one-dimensional, or with NaN.

    References
    ----------
    Wilcoxon, Biometrics Bulletin 1 (1945), 80-83; Pratt, Journal of the American Statistical Association 54 (1959),
    655-667.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 1 or np.isnan(differences).any():
        raise ValueError(f"differences has shape {differences.shape}; it must be (n,), without NaN")
    _, place, count = np.unique(np.abs(differences), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(count) - count + 1)[place]  # twice the mean rank, a whole number
    doubled, above = doubled[differences != 0], differences[differences != 0] > 0
    chances = np.zeros(int(doubled.sum()) + 1)  # chances[t]: probability that the ranks above 0 sum to t / 2
    chances[0] = 1.0
    for rank in doubled:
        chances *= 0.5
        chances[rank:] += chances[:-rank].copy()
    observed = int(doubled[above].sum())
    tail = min(chances[: observed + 1].sum(), chances[observed:].sum())
    return float(min(1.0, 2 * tail))


def holm(p_values: ArrayLike) -> Floats:
    """Return p values adjusted for several tests by Holm's step-down method, in the given order.

    Parameters
    ----------
    p_values : (K,) array_like
        Each between 0 and 1.

    Returns
    -------
    (K,) float
        Held against 0.05, they keep the probability of any false finding below 5%.

    Raises
    ------
    ValueError
        Not one-dimensional, or a value not between 0 and 1.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p_values is {p_values.tolist()}; it must be a list of values between 0 and 1")
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return adjusted


def fit_scaling(
    widths: ArrayLike,
    errors: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> ScalingFit:
    """Fit a line in log-log and a power law with a floor, a w^-b + c, to the median errors over widths.

    Both are least squares on the logarithm, so that every width counts the same whatever its error. With x = ln w less
    its middle value the power law is ln m = k + ln(exp(-b x) + exp(v) - 1), in which exp(v) - 1, with v >= 0, is the
    floor relative to the falling part at the middle width, and k drops out (variable projection): from the best point
    of a grid over (b, v), Levenberg-Marquardt goes on, for all resamples at once.

    Intervals are over the fits to resampled seeds: plain percentile for the slope, and expanded, as in
    `bootstrap_interval`, for a, b and c, whose fit leans to one side where the true floor is at its bound, 0. Measured
    at level 0.95 with 6 to 32 seeds and 4 to 10 widths (log-normal errors, 500 or 600 studies each, so +-1), with and
    without a floor: 93.8% to 97.0% for the slope, 92.8% to 99.2% for b, the least for 4 widths and 6 seeds without a
    floor, and 95.4% to 99.4% for c. With plain percentiles b would be covered in as little as 91.8%.

    Parameters
    ----------
    widths : (W,) array_like of int
        At least 1, none twice, in any order.
    errors : (W, S) array_like
        Error of each seed, the same seeds at every width; 0 or above, +inf for a model that diverged.
    level : float
        Of the intervals, between 0 and 1.
    resamples : int
        Number of resampled sets of seeds, at least 100.
    seed : int
        Of the resampling, 0 or above.

    Returns
    -------
    ScalingFit
        b is held between 0 and 10. Widths whose median is infinite or 0 are left out, and `warnings` says so.

    Raises
    ------
    ValueError
        Widths and errors that do not match, fewer than 2 seeds, errors that are NaN or below 0, impossible settings.
    """
    widths, table = _by_width(widths, errors)
    count = table.shape[1]
    plain, expanded = (_fractions(count, level, method) for method in ("percentile", "expanded"))
    resampled = _resampled(table, _median, _resampling(count, resamples, seed))  # (W, B)
    medians = _median(np.sort(table, axis=-1))
    used = _positive(medians)
    notes = _cautions(widths, medians, used)

    x = np.log(widths[used].astype(np.float64))
    values = np.concatenate([medians[used, None], resampled[used]], axis=1).T  # (1 + B, widths used), the data first
    keep = _positive(values)
    y = np.log(values, out=np.zeros_like(values), where=keep)
    fits = np.full((5, len(y)), np.nan)  # slope, intercept, a, b, c
    lines, powers = keep.sum(axis=1) >= 2, keep.sum(axis=1) >= 3
    if lines[0]:
        fits[:2, lines] = _fit_line(x, y[lines], keep[lines])
    if powers[0]:
        fits[2:, powers] = _fit_power(x, y[powers], keep[powers])
    missed = int((~(powers if powers[0] else lines)).sum())
    if missed and lines[0]:
        notes.append(f"{missed} of {resamples} resampled studies have too few usable widths; the intervals lack them")

    slope, intercept, a, b, c = fits[:, 0].tolist()
    slope_interval = _ends(fits[0, 1:], plain)
    a_interval, b_interval, c_interval = (_ends(row[1:], expanded) for row in fits[2:])
    if slope > 0:
        notes.append("the error does not fall with width: the power law is all but a constant")
    if b >= _STEEPEST:
        notes.append(f"the exponent b is at its limit of {_STEEPEST:g}: the error falls between too few widths to tell")
    logs = np.log(medians, out=np.full(len(medians), np.nan), where=used)
    shape = np.where(used, np.log(widths), np.nan)
    line_residuals = logs - (intercept + slope * shape)
    power_residuals = logs - np.log(a * np.exp(-b * shape) + c)
    line_spread, line_r2 = _quality(line_residuals[used], logs[used])
    power_spread, power_r2 = _quality(power_residuals[used], logs[used])
    return ScalingFit(
        widths, medians, used,
        slope=slope, intercept=intercept, slope_interval=slope_interval,
        a=a, b=b, c=c, a_interval=a_interval, b_interval=b_interval, c_interval=c_interval,
        line_residuals=line_residuals, power_residuals=power_residuals,
        line_spread=line_spread, power_spread=power_spread, line_r2=line_r2, power_r2=power_r2,
        warnings=tuple(notes),
    )  # fmt: skip


def smallest_width(
    widths: ArrayLike,
    errors: ArrayLike,
    target: float,
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> SmallestWidth:
    """Return the smallest of the trained widths whose median error is at most `target`, with its interval over seeds.

    Parameters
    ----------
    widths : (W,) array_like of int
        At least 1, none twice, in any order.
    errors : (W, S) array_like
        Error of each seed, the same seeds at every width; 0 or above, +inf for a model that diverged.
    target : float
        Error to reach, 0 or above, in the unit of the errors.
    level, resamples, seed
        As in `bootstrap_interval`.

    Returns
    -------
    SmallestWidth
        `width` is None where none reaches the target; ends of the interval are trained widths or +inf.

    Raises
    ------
    ValueError
        A target that is not a finite number, 0 or above, or any of the reasons of `fit_scaling`.
    """
    widths, table = _by_width(widths, errors)
    if not (np.isfinite(target) and target >= 0):
        raise ValueError(f"target is {target}; it must be a finite error, 0 or above")
    count = table.shape[1]
    fractions = _fractions(count, level, "expanded")
    resampled = _resampled(table, _median, _resampling(count, resamples, seed))  # (W, B)
    steps = np.append(widths.astype(np.float64), np.inf)
    found = np.sort(steps[_first(resampled <= target)])
    # Outwards to an order statistic: between two trained widths no one knows.
    low = found[int(np.floor(fractions[0] * (len(found) - 1)))]
    high = found[int(np.ceil(fractions[1] * (len(found) - 1)))]
    place = int(_first(_median(np.sort(table, axis=-1)) <= target))
    width = int(widths[place]) if place < len(widths) else None
    return SmallestWidth(width, float(low), float(high), float(np.isfinite(found).mean()), float(target))


# Checks ---------------------------------------------------------------------------------------------------------------


def _errors(errors: ArrayLike, name: str, fewest: int = 1, positive: bool = False) -> Floats:
    """Return errors as float64 with at least `fewest` seeds on the last axis, or raise."""
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


def _by_width(widths: ArrayLike, errors: ArrayLike) -> tuple[Integers, Floats]:
    """Return widths (W,) ascending and their errors (W, S), checked."""
    given = np.asarray(widths)
    table = _errors(errors, "errors", fewest=2, positive=True)
    if given.ndim != 1 or table.ndim != 2 or len(given) != len(table) or len(given) == 0:
        raise ValueError(f"widths has shape {given.shape} and errors {table.shape}; they must be (W,) and (W, S)")
    if not (np.issubdtype(given.dtype, np.integer) and given.min() >= 1 and len(np.unique(given)) == len(given)):
        raise ValueError(f"widths is {given.tolist()}; it must hold different whole numbers, 1 or above")
    order = np.argsort(given)
    return given[order].astype(np.int64), table[order]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")


def _statistic(name: str) -> Callable[[Floats], Floats]:
    known = {"median": _median, "interquartile_mean": _interquartile_mean}
    if name not in known:
        raise ValueError(f"statistic is {name!r}; it must be one of {', '.join(map(repr, known))}")
    return known[name]


def _note(n: int) -> str:
    return "few" if n < FEW else ""


# Order statistics, safe for infinite values ---------------------------------------------------------------------------


def _between(low: Floats, high: Floats, part: float) -> Floats:
    """Return low + part (high - low) for low <= high, never NaN: what leans on an infinite value is infinite.

    Halfway between -inf and +inf is 0, and off the middle the nearer of the two.
    """
    if part == 0:
        return np.array(low)
    with np.errstate(invalid="ignore"):
        value = np.asarray(low + part * (high - low))
    odd = np.isnan(value)
    if odd.any():
        low, high = np.asarray(low)[odd], np.asarray(high)[odd]
        middle = 0.0 if part == 0.5 else (low if part < 0.5 else high)
        value[odd] = np.where((low == high) | np.isfinite(high), low, middle)
    return value


def _quantile(ordered: Floats, fraction: float) -> Floats:
    """Return a quantile over the last, ascending axis: linear between order statistics, as `numpy.quantile`."""
    place = fraction * (ordered.shape[-1] - 1)
    low = int(place)
    return _between(ordered[..., low], ordered[..., min(low + 1, ordered.shape[-1] - 1)], place - low)


def _median(ordered: Floats) -> Floats:
    return _quantile(ordered, 0.5)


def _interquartile_mean(ordered: Floats) -> Floats:
    """Return the mean over the middle half of the last, ascending axis; the outermost of it count in part."""
    n = ordered.shape[-1]
    places = np.arange(n)
    weights = np.minimum(places + 1, 0.75 * n) - np.maximum(places, 0.25 * n)
    inside = weights > 0  # the others may be infinite, and 0 times inf is NaN
    middle = ordered[..., inside]
    mean = middle @ (weights[inside] / (0.5 * n))
    return np.asarray(np.clip(mean, middle[..., 0], middle[..., -1]))  # equal errors give exactly that error


# Resampling -----------------------------------------------------------------------------------------------------------


def _resampling(n: int, resamples: int, seed: int) -> Integers:
    """Return the places of the resampled seeds, (B, n), each drawn from 0 to n - 1 with replacement."""
    for name, value, least in (("resamples", resamples, 100), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or above")
    sequence = np.random.SeedSequence(int(seed), spawn_key=(RESAMPLING_PURPOSE,))
    return np.random.Generator(np.random.Philox(sequence)).integers(0, n, size=(int(resamples), n))


def _resampled(rows: Floats, estimate: Callable[[Floats], Floats], places: Integers) -> Floats:
    """Return the statistic of each row at each resampling, (rows, B), from rows (rows, S) and places (B, S)."""
    found = np.empty((len(rows), len(places)))
    block = max(1, _BLOCK // places.size)
    for start in range(0, len(rows), block):
        drawn = np.take(rows[start : start + block], places, axis=1)  # (block, B, S)
        drawn.sort(axis=-1)
        found[start : start + block] = estimate(drawn)
    return found


def _fractions(n: int, level: float, method: str) -> tuple[float, float]:
    """Return which two quantiles of the resampled statistic bound an interval from n seeds."""
    from scipy.stats import norm, t

    _check_level(level)
    if method not in ("expanded", "percentile"):
        raise ValueError(f"method is {method!r}; it must be 'expanded' or 'percentile'")
    tail = (1 - level) / 2
    if method == "expanded":
        tail = float(norm.sf(np.sqrt(n / (n - 1)) * t.isf(tail, n - 1)))
    return tail, 1 - tail


def _ends(values: Floats, fractions: tuple[float, float]) -> tuple[float, float]:
    """Return the two quantiles of those of the values (B,) that are not NaN, or NaN where there is none."""
    ordered = np.sort(values[~np.isnan(values)])
    if len(ordered) == 0:
        return np.nan, np.nan
    return float(_quantile(ordered, fractions[0])), float(_quantile(ordered, fractions[1]))


def _first(reached: Booleans) -> Integers:
    """Return the first place on axis 0 that is true, its length where none is; (W, ...) to (...)."""
    return np.where(reached.any(axis=0), reached.argmax(axis=0), len(reached))


# Pairs ----------------------------------------------------------------------------------------------------------------


def _compare(
    a: Floats, b: Floats, seeds_a: ArrayLike, seeds_b: ArrayLike, level: float, resamples: int, seed: int
) -> tuple[Comparison, ...]:
    """Compare the rows of a (W, S) with those of b (W, S')."""
    given = []
    for name, table, seeds in (("a", a, np.asarray(seeds_a)), ("b", b, np.asarray(seeds_b))):
        _errors(table, name, positive=True)
        if seeds.shape != table.shape[1:]:
            raise ValueError(f"seeds_{name} has shape {seeds.shape}, but {name} has {table.shape[1]} errors per width")
        if len(np.unique(seeds)) != len(seeds):
            raise ValueError(f"seeds_{name} is {seeds.tolist()}; it must name each seed once")
        given.append(seeds)
    common, at_a, at_b = np.intersect1d(given[0], given[1], assume_unique=True, return_indices=True)
    n = len(common)
    if n < 2:
        raise ValueError(f"a and b have {n} seeds in common; a paired comparison needs at least 2")
    a, b = a[:, at_a], b[:, at_b]
    difference = _less(a, b)
    with np.errstate(divide="ignore"):  # an error of exactly 0 is infinitely better than any other
        log_ratio = _less(np.log(a), np.log(b))

    places, fractions = _resampling(n, resamples, seed), _fractions(n, level, "expanded")
    medians, intervals = [], []
    for values in (difference, log_ratio):
        medians.append(_median(np.sort(values, axis=-1)))
        intervals.append([_ends(row, fractions) for row in _resampled(values, _median, places)])
    chances = ((a < b) + 0.5 * (a == b)).mean(axis=1)
    p_values = [wilcoxon_exact(row) for row in log_ratio]
    adjusted = holm(p_values)
    return tuple(
        Comparison(
            n, _note(n), float(medians[0][i]), intervals[0][i], float(medians[1][i]), intervals[1][i],
            float(chances[i]), p_values[i], float(adjusted[i]),
            None if n < FEWEST else bool(adjusted[i] <= 1 - level),
        )
        for i in range(len(a))
    )  # fmt: skip


def _less(a: Floats, b: Floats) -> Floats:
    """Return a - b, 0 where both are the same infinity."""
    return np.subtract(a, b, out=np.zeros_like(a), where=a != b)


# Scaling --------------------------------------------------------------------------------------------------------------


def _positive(medians: Floats) -> Booleans:
    """Tell which medians have a finite logarithm."""
    return np.isfinite(medians) & (medians > 0)


def _cautions(widths: Integers, medians: Floats, used: Booleans) -> list[str]:
    """Return what is to be said against a fit to the widths used."""
    notes = []
    for reason, left in (("the median is infinite", np.isinf(medians)), ("the median is 0", medians == 0)):
        if left.any():
            notes.append(f"left out, since {reason}: width {', '.join(map(str, widths[left].tolist()))}")
    kept = widths[used]
    if len(kept) < 5:
        notes.append(f"fewer than five widths: {len(kept)}")
    if len(kept) and kept[-1] < 10 * kept[0]:
        notes.append(f"less than one decade of widths: {kept[0]} to {kept[-1]}")
    if len(kept) < 3:
        notes.append("no power law: it needs at least 3 widths" if len(kept) == 2 else "no fit: it needs 2 widths")
    return notes


def _centred(values: Floats, keep: Booleans) -> Floats:
    """Return values (R, K) less the mean of those kept, 0 where not kept."""
    mean = np.sum(values, axis=1, where=keep, keepdims=True) / keep.sum(axis=1, keepdims=True)
    return np.where(keep, values - mean, 0.0)


def _fit_line(x: Floats, y: Floats, keep: Booleans) -> Floats:
    """Return slope and intercept, (2, R), of the least-squares lines through x (K,) and y (R, K) where kept."""
    across = _centred(np.broadcast_to(x, y.shape), keep)
    slope = (across * y).sum(axis=1) / (across**2).sum(axis=1)
    intercept = np.mean(y - slope[:, None] * x, axis=1, where=keep)
    return np.stack([slope, intercept])


def _fit_power(x: Floats, y: Floats, keep: Booleans) -> Floats:
    """Return a, b, c, (3, R), of exp(y) = a exp(-b x) + c fitted to x (K,) and y (R, K) where kept."""
    middle = 0.5 * (x[0] + x[-1])
    x = x - middle
    target = _centred(y, keep)
    b, v = _start(x, target, keep)
    damping = np.full(len(y), 1e-3)
    misfit, residual, by_b, by_v = _linearize(b, v, x, target, keep)
    for _ in range(100):
        # Normal equations of two unknowns. One that sits at its bound and would leave it is held.
        down_b, down_v = (by_b * residual).sum(axis=1), (by_v * residual).sum(axis=1)
        held_b = ((b <= 0) & (down_b < 0)) | ((b >= _STEEPEST) & (down_b > 0))
        held_v = ((v <= 0) & (down_v < 0)) | ((v >= _FULLEST) & (down_v > 0))
        down_b, down_v = np.where(held_b, 0.0, down_b), np.where(held_v, 0.0, down_v)
        bb = (by_b**2).sum(axis=1) * (1 + damping) + 1e-14
        vv = (by_v**2).sum(axis=1) * (1 + damping) + 1e-14
        bv = np.where(held_b | held_v, 0.0, (by_b * by_v).sum(axis=1))
        scale = bb * vv - bv**2
        trial_b = np.clip(b + (vv * down_b - bv * down_v) / scale, 0.0, _STEEPEST)
        trial_v = np.clip(v + (bb * down_v - bv * down_b) / scale, 0.0, _FULLEST)
        step = np.abs(trial_b - b) + np.abs(trial_v - v)
        trial = _linearize(trial_b, trial_v, x, target, keep)
        better = trial[0] < misfit
        b, v, misfit = (np.where(better, new, old) for new, old in ((trial_b, b), (trial_v, v), (trial[0], misfit)))
        residual, by_b, by_v = (
            np.where(better[:, None], new, old) for new, old in zip(trial[1:], (residual, by_b, by_v), strict=True)
        )
        damping = np.clip(np.where(better, damping * 0.2, damping * 8), 1e-9, 1e9)
        if (step < 1e-9).all():
            break
    size = np.exp(np.mean(y - np.log(_power(b, v, x)), axis=1, where=keep))  # a w^-b at the middle width
    return np.stack([size * np.exp(b * middle), b, size * np.expm1(v)])


def _power(b: Floats, v: Floats, x: Floats) -> Floats:
    """Return exp(-b x) + exp(v) - 1, (R, K): the power law in units of its falling part at the middle width."""
    return np.asarray(np.exp(-b[:, None] * x) + np.expm1(v)[:, None])


def _start(x: Floats, target: Floats, keep: Booleans) -> tuple[Floats, Floats]:
    """Return the (b, v) of a grid with the least misfit, each (R,)."""
    floors = np.concatenate([[0.0], np.logaddexp(0, np.linspace(-12, 24, 40))])
    b, v = (axis.ravel() for axis in np.meshgrid(np.geomspace(0.03, 8, 28), floors))
    logs = np.log(_power(b, v, x)).T  # (K, grid)
    kept = keep.astype(np.float64)
    count = kept.sum(axis=1, keepdims=True)
    means = kept @ logs / count  # `target` has mean 0, so it needs none of its own
    misfit = kept @ logs**2 - count * means**2 - 2 * target @ logs
    best = np.argmin(misfit, axis=1)
    return b[best], v[best]


def _linearize(
    b: Floats, v: Floats, x: Floats, target: Floats, keep: Booleans
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the misfit (R,), and the residuals and derivatives by b and by v of the centred log fit, (R, K) each."""
    value = _power(b, v, x)
    residual = target - _centred(np.log(value), keep)
    by_b = _centred(-x * np.exp(-b[:, None] * x) / value, keep)
    by_v = _centred(np.exp(v)[:, None] / value, keep)
    return (residual**2).sum(axis=1), residual, by_b, by_v


def _quality(residuals: Floats, logs: Floats) -> tuple[float, float]:
    """Return root mean square residual and R^2 of a fit to some logs; NaN where there is no fit."""
    if len(logs) == 0 or np.isnan(residuals).any():
        return np.nan, np.nan
    left, there = float((residuals**2).sum()), float(((logs - logs.mean()) ** 2).sum())
    return float(np.sqrt(left / len(logs))), 1.0 - left / there if there > 0 else 1.0
