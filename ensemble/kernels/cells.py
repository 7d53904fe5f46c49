"""What the kernels for one input and one hidden layer share: walking along the samples, with one line for each cell.

`spline` trains on all samples at once, `spline_batches` on some at a time, and `spline_outputs` does both for several
outputs and for labels.
"""

from __future__ import annotations

import numpy as np

from ensemble.kernels.jit import inlined, inner
from ensemble.kernels.kinks import Places, is_left, locate
from ensemble.kernels.samples import Part
from ensemble.kernels.search import add_pairs
from ensemble.kernels.tiles import LANES, add_product, read_tile, zero_tile
from ensemble.kernels.updates import Array

__all__ = ["MANY", "evaluate", "find_near", "move", "outputs_of", "sums_from", "totals", "write_factors"]

ONE = (0,)
MANY = 2**16  # samples in memory beyond the cache


@inner
def evaluate(
    part: Part, rows: Places, w: Array, b: Array, v: Array, at_mean: float, x_mean: float, jumps: Array, slope: Array,
    intercept: Array,
) -> float:  # fmt: skip
    """Return the mean squared error of one model on one part of the data, O(N + H).

    `rows` (H,) are the samples of the part left of each kink, `at_mean` the output bias less the mean of y; the last
    two are working arrays (H,).
    """
    _, u, t, _ = part
    n, h = u.size, w.size
    for j in range(h):
        wj, bj, vj = w[j], b[j], v[j]
        rise, height = vj * wj, vj * (bj + wj * x_mean)
        falls = wj < 0.0
        off = falls & (rows[j] == 0)  # off everywhere, it must not come and go: what it adds could swallow the rest
        slope[j] = 0.0 if off else -rise if falls else rise
        intercept[j] = 0.0 if off else -height if falls else height
    line_a, line_b = 0.0, at_mean
    for j in range(h):
        row, falls = np.uint64(rows[j]), w[j] < 0.0
        line_a -= slope[j] if falls else 0.0
        line_b -= intercept[j] if falls else 0.0
        jump_a, jump_b = jumps[row, 0] + slope[j], jumps[row, 1] + intercept[j]
        jumps[row, 0], jumps[row, 1] = jump_a, jump_b
    total = 0.0
    for i in range(n):
        line_a += jumps[i, 0]
        line_b += jumps[i, 1]
        jumps[i, 0], jumps[i, 1] = 0.0, 0.0
        r = line_a * u[i] + (line_b - t[i])
        total += r * r
    jumps[n, 0], jumps[n, 1] = 0.0, 0.0
    return total / n


@inner
def find_near(
    part: Part, k_train: Places, w: Array, b: Array, rows: Places, near: Array, next_one: Array, third: Array
) -> None:
    """Write how many samples of a part are left of each unit's kink, from the number of training samples that are.

    A kink is between two training samples, and so hardly ever more than two samples away from where those are in this
    part. No branch says how many: mispredicted, it took most of an evaluation's time.
    """
    x, _, _, place = part
    last = x.size - 1
    for j in range(w.size):  # a loop of its own: the other one is done four units at once
        k = np.int64(place[np.uint64(k_train[j])])
        rows[j] = k
        near[j] = x[np.uint64(k if k < last else last)]
        next_one[j] = x[np.uint64(k + 1 if k + 1 < last else last)]
        third[j] = x[np.uint64(k + 2 if k + 2 < last else last)]
    further = 0
    for j in range(w.size):
        k, wj, bj = rows[j], w[j], b[j]
        rows[j] = k + (is_left(near[j], wj, bj) & (k <= last)) + (is_left(next_one[j], wj, bj) & (k < last))
        beyond = is_left(third[j], wj, bj) & (k + 1 < last)
        near[j] = beyond
        further += beyond
    if further:
        for j in range(w.size):
            if near[j] > 0.0:
                rows[j] = locate(x, w[j], b[j], rows[j])


@inner
def totals(first: Array, second: Array, h: int) -> tuple[float, float]:
    """Return the sums of h terms each, in four parts: one would wait for each addition in turn."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    p, q, r, s = 0.0, 0.0, 0.0, 0.0
    for j in range(0, h - 3, 4):
        at = np.uint64(j)
        a += first[at]
        b += first[at + np.uint64(1)]
        c += first[at + np.uint64(2)]
        d += first[at + np.uint64(3)]
        p += second[at]
        q += second[at + np.uint64(1)]
        r += second[at + np.uint64(2)]
        s += second[at + np.uint64(3)]
    for j in range(h - h % 4, h):
        a += first[j]
        p += second[j]
    return (a + b) + (c + d), (p + q) + (r + s)


@inner
def outputs_of(
    x: Array, size: int, rows: Places, w: Array, b: Array, v: Array, height: float, lines: Array, p: Array
) -> None:
    """Write one output p (S,) for S samples: on each, the sum of the lines of the units that are on, and `height`.

    x and `rows` are as in search.find, w, b and v of units in rows of LANES. Rising units are added up in ascending,
    falling ones in descending order, so that nothing is taken off again. `lines` (2 S + 2, 2) is a working array, zero
    before and after.
    """
    zero = zero_tile(ONE)
    for j in range(0, w.size, LANES):
        weight = read_tile(ONE, v, j)
        slope = add_product(zero, weight, read_tile(ONE, w, j))
        add_pairs(lines, rows, j, slope, add_product(zero, weight, read_tile(ONE, b, j)))
    rising_a, rising_b, falling_a, falling_b = 0.0, height, 0.0, 0.0
    for s in range(size):
        falling = size + 1 + s
        rising_a += lines[s, 0]
        rising_b += lines[s, 1]
        falling_a += lines[falling, 0]
        falling_b += lines[falling, 1]
        lines[s, 0], lines[s, 1] = rising_a, rising_b
        lines[falling, 0], lines[falling, 1] = falling_a, falling_b
    for s in range(size):
        falling = 2 * size - s
        p[s] = (lines[s, 0] + lines[falling, 0]) * x[s] + (lines[s, 1] + lines[falling, 1])
    for s in range(2 * size + 2):
        lines[s, 0], lines[s, 1] = 0.0, 0.0


@inner
def sums_from(x: Array, size: int, r: Array, sums: Array) -> None:
    """Write for each row of search.find the sums of r (S,) and r x where a unit is on from there on, (2 S + 2, 2)."""
    sums[size, 0], sums[size, 1], sums[2 * size + 1, 0], sums[2 * size + 1, 1] = 0.0, 0.0, 0.0, 0.0
    rising_r, rising_rx, falling_r, falling_rx = 0.0, 0.0, 0.0, 0.0
    for s in range(size):
        last, falling = size - 1 - s, 2 * size - s
        rising_r += r[last]
        rising_rx += r[last] * x[last]
        falling_r += r[s]
        falling_rx += r[s] * x[s]
        sums[last, 0], sums[last, 1] = rising_r, rising_rx
        sums[falling, 0], sums[falling, 1] = falling_r, falling_rx


@inner
def move(flat: Array, rows: Array, h: int, outputs: int, inward: bool) -> None:
    """Copy one model's parameters into rows of LANES units, with a row for the weights of each output, or back."""
    width = (h + LANES - 1) // LANES * LANES
    for row in range(3 + outputs):  # w, b, the weights of each output, and all outputs' biases
        at, count, step = row * h, h, 1
        if row >= 2:
            at, step = 2 * h + row - 2, outputs
        if row == 2 + outputs:
            at, count, step = row * h, outputs, 1
        for j in range(count):
            if inward:
                rows[row * width + j] = flat[at + j * step]
            else:
                flat[at + j * step] = rows[row * width + j]
        for j in range(count, width if inward and row < 2 + outputs else 0):
            rows[row * width + j] = 0.0


@inlined  # three lines, which as a function of their own would cost a tenth of a second to compile
def write_factors(rates: Array, decay: Array, h: int, outputs: int, scale: Array, decays: Array) -> None:
    """Write for each parameter of one model the factor of its learning rate, and its weight decay."""
    for i in range((2 + outputs) * h + outputs):
        kind = 0 if i < 2 * h else 3 if i < (2 + outputs) * h else 4
        scale[i], decays[i] = rates[kind], decay[kind]
