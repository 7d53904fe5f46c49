"""The width at which an error is greatest, with its interval: where a curve of double descent has its peak."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ensemble.statistics.resampling import quantiles, resample, widened
from ensemble.statistics.scaling import by_width

__all__ = ["PeakWidth", "peak_width"]


class PeakWidth(NamedTuple):
    """The trained width with the greatest median error.

    Attributes
    ----------
    width, low, high : int
        The width, and its interval over seeds: trained widths too.
    error : float
        The median error there.
    inside : float
        Share of the resampled sets of seeds whose peak is neither the narrowest nor the widest network.
    """

    width: int
    low: int
    high: int
    error: float
    inside: float


def peak_width(
    widths: ArrayLike, errors: ArrayLike, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> PeakWidth:
    """Return the trained width whose median error is greatest (the narrower of two), with its interval over seeds.

    Parameters
    ----------
    widths, errors, level, resamples, seed
        As in `fit_scaling`. Where whole data sets were drawn again, these are the seeds to resample.

    Raises
    ------
    ValueError
        Any of the reasons of `fit_scaling`.
    """
    ordered, table = by_width(widths, errors)
    wide = widened(level, table.shape[1])
    medians = quantiles(table, 0.5)
    peaks = resample(table, wide, resamples, seed)[1].argmax(axis=0)  # (B,)
    # Outwards to a trained width: between two of them no one knows.
    low = np.quantile(peaks, (1 - wide) / 2, method="lower")
    high = np.quantile(peaks, (1 + wide) / 2, method="higher")
    place = int(medians.argmax())
    inside = float(((peaks > 0) & (peaks < len(ordered) - 1)).mean())
    return PeakWidth(int(ordered[place]), int(ordered[low]), int(ordered[high]), float(medians[place]), inside)
