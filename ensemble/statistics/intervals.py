"""Medians, quartiles and bands over seeds; a model that diverged counts as an infinite error.

Between a study's table of errors, widths by seeds, and what its plots draw around each point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.statistics.resampling import Interval, check_errors, quantiles, resample, widened

__all__ = ["Errorbar", "bootstrap_interval", "error_band", "quartiles"]

Errorbar = str | tuple[str, float]


def quartiles(errors: ArrayLike) -> NDArray[np.float64]:
    """Return lower quartile, median and upper quartile over seeds, linear between order statistics.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed; +inf for a model that diverged.

    Returns
    -------
    (3, ...) float
        In the unit of the errors; +inf where diverged models reach so far.

    Raises
    ------
    ValueError
        No seed, or an error that is NaN or -inf.
    """
    return quantiles(check_errors(errors, "errors"), (0.25, 0.5, 0.75))


def bootstrap_interval(errors: ArrayLike, level: float = 0.95, resamples: int = 4000, seed: int = 0) -> Interval:
    """Return a bootstrap interval of the median over seeds for each row of errors.

    The plain percentile interval, the (1 - level) / 2 quantiles of the resampled median, is too short for few seeds.
    Here the quantiles are taken further out, at Phi(-sqrt(n / (n - 1)) t) with t the Student quantile of n - 1 degrees
    of freedom: exact for a mean of normal errors, and closer for others.

    Measured coverage of the true median at level 0.95, in per cent (lowest to highest of five distributions: log-normal
    with sigma 0.5 and 1, exponential, exp of Student t with 3 degrees of freedom, and a mixture of log-normals with
    sigma 0.5 in which three of ten errors are e^2 times as large; 5,000 studies each, so +-0.3):

    ====  ============  ================
    n     this          plain percentile
    ====  ============  ================
    6     96.7 to 97.2  93.3 to 93.6
    8     97.9 to 98.1  92.4 to 93.3
    10    95.7 to 96.4  93.8 to 94.4
    16    96.3 to 97.0  93.7 to 94.4
    32    94.8 to 95.2  93.4 to 94.0
    ====  ============  ================

    So it covers 94.8% to 97.0% at 10, 16 and 32 seeds, and errs on the long side at 6 and 8.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed, the same seeds in each row; +inf for a model that diverged. For widths by seeds, (W, S).
    level : float
        Coverage aimed at, between 0 and 1.
    resamples : int
        Number of resampled sets of seeds, at least 100.
    seed : int
        Of the resampling, 0 or above. The same seed and S give the same resampled seeds, shared by all rows.

    Returns
    -------
    Interval
        Arrays of shape (...), in the unit of the errors. Of zero length where all errors of a row are equal, and with
        infinite ends where diverged models reach so far.

    Raises
    ------
    ValueError
        Fewer than 2 seeds, an error that is NaN or -inf, or an impossible setting.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Hesterberg, What Teachers Should Know
    About the Bootstrap, The American Statistician 69 (2015), section 5 (expanded percentile interval).
    """
    errors = check_errors(errors, "errors", fewest=2)
    return resample(errors, widened(level, errors.shape[-1]), resamples, seed)[0]


def error_band(errors: ArrayLike, errorbar: Errorbar = "ci") -> tuple[Interval, str]:
    """Return the band around the median of each row of errors, and the words that say what it is.

    The names are seaborn's: "ci" is *uncertainty*, how far the median may be from that of all seeds, and shrinks with
    more seeds; "pi" is *spread*, how far apart single seeds are, and does not.

    Parameters
    ----------
    errors : (S,) or (..., S) array_like
        Error of each seed, 0 or above; +inf for a model that diverged.
    errorbar : {"ci", "pi"}, or a pair of that and a number
        The number is the level in percent: default 95 for "ci", and 50, the interquartile range, for "pi".

    Returns
    -------
    Interval, str
        Arrays of shape (...), and words such as "spread (interquartile range)".

    Raises
    ------
    ValueError
        An unknown name, an impossible number, fewer than 2 seeds, or an error that is NaN or below 0.
    """
    name, size = errorbar if isinstance(errorbar, tuple) else (errorbar, 50.0 if errorbar == "pi" else 95.0)
    if name not in ("ci", "pi"):
        raise ValueError(f"errorbar is {errorbar!r}; it must be 'ci' or 'pi', or a pair such as ('ci', 95)")
    if not 0 < size < 100:
        raise ValueError(f"errorbar is {errorbar!r}; its number must be a percentage above 0 and below 100")
    errors = check_errors(errors, "errors", fewest=2, positive=True)
    if name == "ci":
        return bootstrap_interval(errors, level=size / 100), f"uncertainty ({size:g}% interval of the median)"
    words = "interquartile range" if size == 50 else f"middle {size:g}% of the seeds"
    return Interval(*quantiles(errors, (0.5 - size / 200, 0.5 + size / 200))), f"spread ({words})"
