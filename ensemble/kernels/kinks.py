"""Where hidden units switch: the number of samples left of each unit's kink, and the units in the order of their kinks.

Used by `spline`, whose step moves most kinks by itself and asks here for those that went further; those among a batch
are found in `search`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import inner
from ensemble.kernels.updates import Array

Places = NDArray[np.int64]
Guide = NDArray[np.uint32]

# A key is a unit's k and, below it, its number, which decides between equal k: so the order of the units, and with it
# every rounding, is a function of the weights alone and not of the path to them.
UNIT_BITS = 32
UNIT_MASK = 2**UNIT_BITS - 1


@inner
def is_left(x: float, w: float, b: float) -> bool:
    """Return whether a sample is left of a unit's kink: inactive for w >= 0, active for w < 0.

    The very expression of the dense rule: rounding keeps w * x + b monotone in x, so that the search below finds
    exactly the samples that `layers.Relu` finds.
    """
    return (w * x + b > 0.0) == (w < 0.0)


@inner
def bucket_of(guide: Guide, lowest: float, per_x: float, w: float, b: float) -> float:
    """Return in which bucket of the guide the kink is, and how far in it, from 0 up to the number of buckets."""
    buckets = float(guide.size - 1)
    place = (-b / w - lowest) * per_x
    if not place > 0.0:  # left of all samples, or all x equal, or no kink
        place = 0.0
    return place if place < buckets else buckets


@inner
def guess(guide: Guide, lowest: float, per_x: float, w: float, b: float) -> np.int64:
    """Return about where the kink is, from the guide: exact but for rounding when x is equally spaced.

    An int64, as numba compiles a function for each type that `int` is called with.
    """
    place = bucket_of(guide, lowest, per_x, w, b)
    bucket = np.int64(place) if place < guide.size - 1 else guide.size - 2
    share = place - bucket
    return np.int64(guide[bucket] + share * (guide[bucket + 1] - guide[bucket]))


@inner
def locate(x: Array, w: float, b: float, k: int) -> int:
    """Return the number of samples left of the kink, searched by galloping from the guess k in [0, N]."""
    n = x.size
    low, high = k - 1, k  # sample `low` is left, sample `high` is not, once both loops have ended
    reach = 1
    while high < n and is_left(x[high], w, b):
        low = high
        high = high + reach if high + reach < n else n
        reach *= 2
    reach = 1
    while low >= 0 and not is_left(x[low], w, b):
        high = low
        low = low - reach if low - reach > -1 else -1
        reach *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if is_left(x[middle], w, b):
            low = middle
        else:
            high = middle
    return high


@inner
def sort_keys(h: int, k: Places, keys: Places, gap: int) -> None:
    """Write h units' new k into their keys, and sort those; hardly any is further than `gap` places off.

    One pass of a bubble sort without a branch nearly always is enough: kinks move by a sample or two a step, and few
    pass another one. What is left takes an insertion sort, and with a larger gap a Shell sort.
    """
    held, last, unsorted = keys[0], 0, 0
    held = (k[held & UNIT_MASK] << UNIT_BITS) | (held & UNIT_MASK)
    for s in range(1, h):
        unit = keys[s] & UNIT_MASK
        key = (k[unit] << UNIT_BITS) | unit
        smaller = key if key < held else held
        held = held if key < held else key
        unsorted += smaller < last
        keys[s - 1] = last = smaller
    keys[h - 1] = held
    if unsorted == 0:
        return
    while gap > 0:
        for s in range(gap, h):
            key, at = keys[s], s
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key
        gap = (gap + 1) // 3  # ends with 1
