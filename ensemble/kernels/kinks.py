"""Where hidden units switch: the number of samples left of each unit's kink, and the units in the order of their kinks.

Used by `spline`, whose step moves most kinks by itself and asks here for those that went further.
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
def find(x: Array, size: int, w: Array, b: Array, rows: Places, probe: Array) -> None:
    """Write from which row of x on each unit is on, searched by halving, all units side by side.

    x (2 S + 2,) holds S samples ascending, a number that is not used, the same samples descending, and another such
    number. A rising unit is on from some row of the first part on, and a falling one of the second; the last row of a
    part stands for none. No unit waits for another one's branch, and nothing depends on where kinks were before.
    """
    one, half, other = np.uint64(1), size // 2, size + 1
    quarter = (size - half) // 2
    middle, low = half - (half > 0), quarter - (quarter > 0)  # without a half, or a quarter, looked at in vain
    high = half + low
    x_middle, x_low, x_high = x[middle], x[low], x[high]
    y_middle, y_low, y_high = x[other + middle], x[other + low], x[other + high]
    for j in range(w.size):  # two halvings at once, which choose among three samples of each part
        falls = w[j] < 0.0
        on = w[j] * (y_middle if falls else x_middle) + b[j] > 0.0
        x_next, y_next = x_low if on else x_high, y_low if on else y_high
        on_next = w[j] * (y_next if falls else x_next) + b[j] > 0.0
        rows[j] = (other if falls else 0) + (0 if on else half) + (0 if on_next else quarter)
    length = np.uint64(size - half - quarter)
    while length > one:  # the row is among `length` from rows[j] on, or right after them
        part = length >> one
        for j in range(w.size):  # a loop of its own: the compiler's way to fetch them within the next takes four times
            probe[j] = x[np.uint64(rows[j]) + (part - one)]
        for j in range(w.size):
            rows[j] += 0 if w[j] * probe[j] + b[j] > 0.0 else np.int64(part)
        length -= part
    for j in range(w.size):
        probe[j] = x[np.uint64(rows[j])]
    for j in range(w.size):
        rows[j] += 0 if w[j] * probe[j] + b[j] > 0.0 else 1


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
