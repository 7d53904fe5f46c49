"""The exact training step for one-dimensional inputs, O(N + H) or O(H) instead of O(N H).

The same gradient as `layers.backward`, reached through where each hidden unit switches instead of an N x H matrix.

A unit z(x) = w x + b is positive on a half-line. With x ascending, its switch position k is the number of samples
on its left side: it is active on samples k, k+1, ... when w >= 0, and on 0, ..., k-1 when w < 0. So the network is
A_i x_i + B_i on sample i, and A and B change at the k_j only: by v |w| and by v b sign(w), for an output weight v.
A unit's gradient needs the sums of the residual r and of r x over its active samples only, each a difference of two
entries of a running sum. Two forms find those running sums:

cell form, O(N + H):  add the changes up per sample, walk along the samples, and read the running sums at the k_j.
segment form, O(H):   walk along the kinks in order. Between two of them r = A x + B - y with A and B constant, so
                      sum r = A Sx + B n - Sy and sum r x = A Sxx + B Sx - Sxy, from running sums made once per
                      dataset. N does not appear.

Differences of running sums cancel, so those are of centred x and y and rounded once each (`engines` makes them);
where a unit switches is still decided on x itself, by the very expression of the dense rule.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import jit
from ensemble.kernels.updates import (
    ADAM,
    MOMENTUM,
    Array,
    History,
    Models,
    Rules,
    Span,
    adapt,
    descend,
    fill_scale,
    finite_or_inf,
    load,
    multiply,
    remember,
    store,
)

Places = NDArray[np.uint32]
Frame = tuple[float, float, float, float]

# Working arrays of one model. Kept one by one: as rows of one array they hide from the compiler that they do not
# overlap, and handed over in tuples they cost five times the step itself at width 16.
#
# k (H,)            switch positions among the samples of one part
# low, high (H,)    x[k-1] and x[k], between which a kink moves without a new search; NaN: not known yet
# order (H,)        the units by (k, unit)
# moved (H,)        whether a unit's kink left its place; then the list of those that did
# changes (4, H)    what a unit adds to A and to B at k, and to A and to B left of all samples
# before (2, H)     sums of r and of r u before k
# cells (N + 1, 4)  per sample: changes of A and B, zero between calls; sums of r and r u before it
SLOPE, INTERCEPT, LEFT_SLOPE, LEFT_INTERCEPT = range(4)

JUMP_A, JUMP_B, BEFORE_R, BEFORE_RU = range(4)

_MOST_BUCKETS = 2**16  # of the guide: a quarter of a MB, so that it stays in cache
_MANY = 2**16  # samples lie so close that a kink moves past many in a step
_WINDOW = 8  # samples looked at together, two vectors of four


class Part(NamedTuple):
    """Samples of one input in ascending order, centred by the means of the training part; of length 0 if absent."""

    x: Array  # (N,) not centred: decides which samples a unit is active on
    guide: Places  # (G + 1,) number of samples up to each of G + 1 equally spaced x
    points: Array  # (2, N) u = x - x_mean and t = y - y_mean
    table: Array  # (N + 1, 8) x[k-1], x[k], sums over the samples before k of u, u^2, t, t u: a kink's one cache line
    frame: Frame  # x_mean, y_mean, lowest x, buckets of the guide per unit of x


class Samples(NamedTuple):
    """One dataset with one input."""

    train: Part
    test: Part
    val: Part
    sides: Array  # (3, 5) of the training samples with x < 0, with x > 0, and all: n, sums of x, x^2, y, x y
    segment_width: int  # up to this width the segment form is the faster one


@jit
def fill_table(x: Array, u: Array, t: Array, table: Array) -> None:
    """Fill `Part.table`; the sums are compensated (Neumaier 1974), so that each entry is rounded about once."""
    n = u.size
    sums, lost = np.zeros(4), np.zeros(4)
    terms = np.empty(4)
    for k in range(n + 1):
        table[k, 0] = x[k - 1] if k > 0 else -np.inf
        table[k, 1] = x[k] if k < n else np.inf
        for c in range(4):
            table[k, 2 + c] = sums[c] + lost[c]
        if k < n:
            terms[0], terms[1], terms[2], terms[3] = u[k], u[k] * u[k], t[k], t[k] * u[k]
            for c in range(4):
                new = sums[c] + terms[c]
                if abs(sums[c]) >= abs(terms[c]):
                    lost[c] += (sums[c] - new) + terms[c]
                else:
                    lost[c] += (terms[c] - new) + sums[c]
                sums[c] = new


def _part(x: Array, y: Array, x_mean: float, y_mean: float) -> Part:
    order = np.argsort(x, kind="stable")
    x = x[order]
    points = np.stack([x - x_mean, y[order] - y_mean])
    buffer = np.zeros(8 * (len(x) + 1) + 7)
    aligned = -(buffer.ctypes.data // 8) % 8  # numbers up to the next cache line
    table = buffer[aligned : aligned + 8 * (len(x) + 1)].reshape(-1, 8)
    fill_table(x, points[0], points[1], table)
    spread = float(x[-1] - x[0]) if len(x) else 0.0
    buckets = min(len(x), _MOST_BUCKETS) if spread > 0.0 and len(x) / spread < np.inf else 1
    edges = x[0] + spread * (np.arange(buckets + 1) / buckets) if len(x) else np.zeros(2)
    per_x = buckets / spread if buckets > 1 else 0.0
    frame = (x_mean, y_mean, float(x[0]) if len(x) else 0.0, per_x)
    return Part(x, np.searchsorted(x, edges, side="right").astype(np.uint32), points, table, frame)


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Samples:
    """Return one dataset as the kernel wants it; x (N, 1), absent parts of length 0."""
    x_mean, y_mean = float(x.mean()), float(y.mean())
    terms = np.stack([np.ones(len(x)), x[:, 0], x[:, 0] ** 2, y, x[:, 0] * y])
    masks = (x[:, 0] < 0, x[:, 0] > 0, np.full(len(x), True))
    sides = np.array([[math.fsum(row) for row in terms[:, mask]] for mask in masks])
    return Samples(
        _part(x[:, 0], y, x_mean, y_mean),
        _part(x_test[:, 0], y_test, x_mean, y_mean),
        _part(x_val[:, 0], y_val, x_mean, y_mean),
        sides,
        segment_width(len(x)),
    )


def segment_width(n: int) -> int:
    """Return up to which width the segment form is taken for n samples.

    By size alone, so that bits never depend on the load; `scripts/benchmark.py --only crossing` shows where the two
    forms cross (at n = 420 between width 52, where segments are 1.14 times as fast, and 105, where cells are 1.03).
    """
    return n // 4


@jit
def is_left(x: float, w: float, b: float) -> bool:
    """Whether a sample lies on the left of a unit's kink: inactive for w >= 0, active for w < 0.

    The very expression of the dense rule: rounding keeps w * x + b monotone in x, so that the search below finds
    exactly the samples that `layers.Relu` finds.
    """
    return (w * x + b > 0.0) == (w < 0.0)


@jit
def locate(x: Array, w: float, b: float, k: int) -> int:
    """Return the number of samples left of the kink, searched by galloping from the guess k in [0, N]."""
    n = x.size
    if k < n and is_left(x[k], w, b):
        reach, low = 1, k  # sample `low` is left; gallop right
        while low + reach < n and is_left(x[low + reach], w, b):
            low += reach
            reach *= 2
        high = min(low + reach, n)
    elif k > 0 and not is_left(x[k - 1], w, b):
        reach, high = 1, k - 1  # sample `high` is not left; gallop left
        while high - reach >= 0 and not is_left(x[high - reach], w, b):
            high -= reach
            reach *= 2
        low = max(high - reach, -1)
    else:
        return k
    while high - low > 1:
        middle = (low + high) // 2
        if is_left(x[middle], w, b):
            low = middle
        else:
            high = middle
    return high


@jit
def guess(guide: Places, first: float, per_x: float, w: float, b: float) -> int:
    """Return about where the kink is, from the guide: exact but for rounding when x is equally spaced."""
    buckets = guide.size - 1
    place = (-b / w - first) * per_x
    if not place > 0.0:  # left of all samples, or all x equal
        return int(guide[0])
    if place >= buckets:
        return int(guide[buckets])
    bucket = int(place)
    below = float(guide[bucket])
    return int(below + (place - bucket) * (float(guide[bucket + 1]) - below))


@jit
def search(x: Array, table: Array, guide: Places, frame: Frame, w: float, b: float) -> int:
    """Return the number of samples left of the kink: the guess, or in a window about it, or else by galloping."""
    near = guess(guide, frame[2], frame[3], w, b)
    if is_left(table[near, 0], w, b) & (not is_left(table[near, 1], w, b)):
        return near
    low = min(max(near - _WINDOW // 2, 0), x.size - _WINDOW)
    if low >= 0:
        count = 0
        for i in range(_WINDOW):
            count += is_left(x[low + i], w, b)
        if (count > 0 or low == 0) and (count < _WINDOW or low == x.size - _WINDOW):
            return low + count
    return locate(x, w, b, near)


@jit
def refresh(theta: Array, x_mean: float, low: Array, high: Array, moved: Places, changes: Array) -> int:
    """Write each unit's changes of A and B, and mark and count the units whose kink left its place."""
    h = moved.size
    count = 0
    for j in range(h):
        w, b, v = theta[j], theta[h + j], theta[2 * h + j]
        falls = w < 0.0
        stays = ((w * high[j] + b > 0.0) != falls) & ((w * low[j] + b > 0.0) == falls)
        moved[j] = not stays
        count += not stays
        centred = b + w * x_mean
        changes[SLOPE, j] = v * abs(w)
        changes[INTERCEPT, j] = v * (-centred if falls else centred)
        changes[LEFT_SLOPE, j] = v * (w if falls else 0.0)
        changes[LEFT_INTERCEPT, j] = v * (centred if falls else 0.0)
    return count


@jit
def relocate(
    x: Array,
    table: Array,
    guide: Places,
    frame: Frame,
    theta: Array,
    moved: Places,
    k: Places,
    low: Array,
    high: Array,
) -> None:
    """Find the positions of the units marked as moved."""
    h = moved.size
    count = 0
    for j in range(h):  # list them first: a branch per unit would be mispredicted at every one that moved
        is_moved = int(moved[j])
        moved[count] = j
        count += is_moved
    n = x.size
    # Three passes, so that the first two hold no branch that waits for the table: among many samples each of its
    # rows is far away, and they are fetched side by side.
    for i in range(count):
        j = moved[i]
        w, b = theta[j], theta[h + j]
        if w == 0.0:  # no kink: on or off everywhere
            k[j] = 0 if b > 0.0 else n
        elif n > _MANY:
            k[j] = guess(guide, frame[2], frame[3], w, b)
        else:  # nine moves in ten are by one: try that before anything that divides
            k[j] = min(max(int(k[j]) + 2 * is_left(high[j], w, b) - 1, 0), n)
    missed = 0
    for i in range(count):
        j = moved[i]
        w, b, before, after = theta[j], theta[h + j], table[k[j], 0], table[k[j], 1]
        low[j], high[j] = before, after
        moved[missed] = j
        if w == 0.0:  # found anew each time
            low[j], high[j] = np.nan, np.nan
        else:
            missed += not (is_left(before, w, b) & (not is_left(after, w, b)))
    for i in range(missed):
        j = moved[i]
        at = search(x, table, guide, frame, theta[j], theta[h + j])
        k[j], low[j], high[j] = at, table[at, 0], table[at, 1]


@jit
def total(changes: Array, row: int) -> float:
    """Return the sum of a row, in four interleaved parts: one would wait for each addition in turn."""
    n = changes.shape[1]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = n - n % 4
    for j in range(0, whole, 4):
        a += changes[row, j]
        b += changes[row, j + 1]
        c += changes[row, j + 2]
        d += changes[row, j + 3]
    for j in range(whole, n):
        a += changes[row, j]
    return (a + b) + (c + d)


@jit
def scatter(k: Places, changes: Array, cells: Array) -> None:
    """Add the units' changes of A and B up per sample."""
    for j in range(k.size):
        cells[k[j], JUMP_A] += changes[SLOPE, j]
        cells[k[j], JUMP_B] += changes[INTERCEPT, j]


@jit
def squared_error(points: Array, a: float, b: float, cells: Array) -> float:
    """Return the mean squared error from the scattered changes; a and b are A and B left of all samples."""
    n: int = points.shape[1]
    result = 0.0
    for i in range(n):
        a += cells[i, JUMP_A]
        b += cells[i, JUMP_B]
        cells[i, JUMP_A] = 0.0
        cells[i, JUMP_B] = 0.0
        r = a * points[0, i] + (b - points[1, i])
        result += r * r
    cells[n, JUMP_A] = 0.0
    cells[n, JUMP_B] = 0.0
    return result / n


@jit
def walk_cells(
    points: Array, a: float, b: float, k: Places, changes: Array, before: Array, cells: Array
) -> tuple[float, float]:
    """Cell form: leave each unit's sums of r and r u before its kink, and return those over all samples."""
    scatter(k, changes, cells)
    n = points.shape[1]
    sum_r, sum_ru = 0.0, 0.0
    for i in range(n):
        cells[i, BEFORE_R] = sum_r
        cells[i, BEFORE_RU] = sum_ru
        a += cells[i, JUMP_A]
        b += cells[i, JUMP_B]
        cells[i, JUMP_A] = 0.0
        cells[i, JUMP_B] = 0.0
        u = points[0, i]
        r = a * u + (b - points[1, i])
        sum_r += r
        sum_ru += r * u
    cells[n, BEFORE_R] = sum_r
    cells[n, BEFORE_RU] = sum_ru
    cells[n, JUMP_A] = 0.0
    cells[n, JUMP_B] = 0.0
    for j in range(k.size):
        before[0, j] = cells[k[j], BEFORE_R]
        before[1, j] = cells[k[j], BEFORE_RU]
    return sum_r, sum_ru


@jit
def sort_units(k: Places, order: Places) -> None:
    """Restore the order by (k, unit), an insertion sort: it barely changes from step to step.

    The unit's number decides between equal positions, so that the order, and with it every rounding, is a function
    of the weights alone and not of the path to them.
    """
    for s in range(1, order.size):
        unit = order[s]
        key = k[unit]
        at = s
        while at > 0:
            other = order[at - 1]
            if k[other] < key or (k[other] == key and other < unit):
                break
            order[at] = other
            at -= 1
        order[at] = unit


@jit
def walk_segments(
    table: Array, a: float, b: float, k: Places, order: Places, changes: Array, before: Array
) -> tuple[float, float]:
    """Segment form: leave each unit's sums of r and r u before its kink, and return those over all samples."""
    sum_r, sum_ru = 0.0, 0.0
    done, u, uu, t, tu = 0.0, 0.0, 0.0, 0.0, 0.0
    for s in range(order.size):
        unit = order[s]
        at = k[unit]
        n, du, duu, dt, dtu = at - done, table[at, 2] - u, table[at, 3] - uu, table[at, 4] - t, table[at, 5] - tu
        sum_r += a * du + (b * n - dt)
        sum_ru += a * duu + (b * du - dtu)
        done, u, uu, t, tu = float(at), table[at, 2], table[at, 3], table[at, 4], table[at, 5]
        before[0, unit] = sum_r
        before[1, unit] = sum_ru
        a += changes[SLOPE, unit]
        b += changes[INTERCEPT, unit]
    end = table.shape[0] - 1
    n, du, duu, dt, dtu = end - done, table[end, 2] - u, table[end, 3] - uu, table[end, 4] - t, table[end, 5] - tu
    return sum_r + (a * du + (b * n - dt)), sum_ru + (a * duu + (b * du - dtu))


@jit
def combine(theta: Array, sum_r: float, sum_ru: float, n: int, x_mean: float, before: Array, g: Array) -> None:
    """Write the gradient into g from the sums of r and r u over all samples and before each kink."""
    h = before.shape[1]
    c = 2.0 / n
    for j in range(h):
        w, b, v = theta[j], theta[h + j], theta[2 * h + j]
        falls = w < 0.0
        r0 = c * (before[0, j] if falls else sum_r - before[0, j])
        r1 = c * (before[1, j] if falls else sum_ru - before[1, j]) + x_mean * r0
        g[j] = v * r1
        g[h + j] = v * r0
        g[2 * h + j] = w * r1 + b * r0
    g[3 * h] = c * sum_r


@jit
def gradient_at_zero(sides: Array, n: int, theta: Array, changes: Array, g: Array) -> None:
    """Write the gradient where every b is 0, O(H): all kinks lie at x = 0, and the network is one line each side."""
    h = changes.shape[1]
    for j in range(h):
        changes[LEFT_SLOPE, j] = theta[2 * h + j] * min(theta[j], 0.0)
        changes[SLOPE, j] = theta[2 * h + j] * max(theta[j], 0.0)
    left, right, b2 = total(changes, LEFT_SLOPE), total(changes, SLOPE), theta[3 * h]
    c = 2.0 / n
    left_rx = c * (left * sides[0, 2] + (b2 * sides[0, 1] - sides[0, 4]))
    right_rx = c * (right * sides[1, 2] + (b2 * sides[1, 1] - sides[1, 4]))
    for j in range(h):
        w = theta[j]
        r1 = left_rx if w < 0.0 else right_rx if w > 0.0 else 0.0
        g[j] = theta[2 * h + j] * r1
        g[h + j] = 0.0
        g[2 * h + j] = w * r1
    g[3 * h] = c * (left * sides[0, 1] + right * sides[1, 1] - sides[2, 3]) + 2.0 * b2


@jit
def evaluate(
    part: Part, theta: Array, k: Places, low: Array, high: Array, moved: Places, changes: Array, cells: Array
) -> float:
    """Return the mean squared error on one part; `k`, `low` and `high` are those of this part."""
    if refresh(theta, part.frame[0], low, high, moved, changes):
        relocate(part.x, part.table, part.guide, part.frame, theta, moved, k, low, high)
    scatter(k, changes, cells)
    a, b = total(changes, LEFT_SLOPE), theta[-1] - part.frame[1] + total(changes, LEFT_INTERCEPT)
    return squared_error(part.points, a, b, cells)


@jit
def new_places(h: int) -> tuple[Places, Array, Array]:
    """Return `k`, `low` and `high` for h units not yet found: no comparison with NaN lets a unit stay."""
    return np.zeros(h, np.uint32), np.full(h, np.nan), np.full(h, np.nan)


@jit
def start(
    part: Part, theta: Array, k: Places, low: Array, high: Array, order: Places, moved: Places, changes: Array
) -> None:
    """Find all units among the training samples and put them in order, for the steps to keep up to date."""
    refresh(theta, part.frame[0], low, high, moved, changes)
    relocate(part.x, part.table, part.guide, part.frame, theta, moved, k, low, high)
    h = order.size
    if h > 64:  # insertion from scratch would be quadratic
        order[:] = np.argsort(k.astype(np.int64) * h + np.arange(h))
    else:
        order[:] = np.arange(h)
        sort_units(k, order)


@jit
def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] < 0:
            train_one(samples, models, rules, history, span, m)


@jit
def train_one(samples: Samples, models: Models, rules: Rules, history: History, span: Span, m: int) -> None:
    """Train model m."""
    part, sides = samples.train, samples.sides
    x, guide, points, table, frame = part.x, part.guide, part.points, part.table, part.frame
    n = x.size
    cells = np.zeros((max(n, samples.test.x.size, samples.val.x.size) + 1, 4))
    h = models.width[m]
    theta, g, first, second = load(models, m)
    k, low, high = new_places(h)
    k_test, low_test, high_test = new_places(h)
    k_val, low_val, high_val = new_places(h)
    order, moved, changes, before = np.empty(h, np.uint32), np.empty(h, np.uint32), np.empty((4, h)), np.empty((2, h))
    start(part, theta, k, low, high, order, moved, changes)
    segments = h <= samples.segment_width

    epochs = history.column.size - 1
    hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
    column, powers, factors = history.column, models.powers[m], rules.factors[rules.schedule[m]]
    optimizer, lr, decay = rules.optimizer[m], rules.lr[m], rules.weight_decay[m]
    momentum, beta2 = rules.momentum[m], rules.beta2[m]
    scale = np.empty(3 * h + 1)
    scaled = fill_scale(rules.layer_factors[m], 1, h, scale)
    for epoch in range(span.first_epoch, span.last_epoch + 1):
        at = column[epoch]
        if at >= 0 and (epoch < span.last_epoch or epoch == epochs):
            error = evaluate(part, theta, k, low, high, moved, changes, cells)
            if segments:
                sort_units(k, order)
            if not error < np.inf:
                history.diverged_at[m] = epoch
                break
            history.train[m, at] = error
            if samples.test.x.size:
                error = evaluate(samples.test, theta, k_test, low_test, high_test, moved, changes, cells)
                history.test[m, at] = finite_or_inf(error)
            if samples.val.x.size:
                error = evaluate(samples.val, theta, k_val, low_val, high_val, moved, changes, cells)
                history.val[m, at] = finite_or_inf(error)
        if epoch == span.last_epoch:
            break
        if hidden_bias:
            if refresh(theta, frame[0], low, high, moved, changes):
                relocate(x, table, guide, frame, theta, moved, k, low, high)
                if segments:
                    sort_units(k, order)
            a, b = total(changes, LEFT_SLOPE), theta[3 * h] - frame[1] + total(changes, LEFT_INTERCEPT)
            if segments:
                sum_r, sum_ru = walk_segments(table, a, b, k, order, changes, before)
            else:
                sum_r, sum_ru = walk_cells(points, a, b, k, changes, before, cells)
            combine(theta, sum_r, sum_ru, n, frame[0], before, g)
        else:
            gradient_at_zero(sides, n, theta, changes, g)
        if not output_bias:
            g[3 * h] = 0.0
        if scaled and optimizer != ADAM:
            multiply(g, scale)
        if optimizer == MOMENTUM:
            remember(momentum, g, first)
        elif optimizer == ADAM:
            adapt(momentum, beta2, powers, g, first, second)
            if scaled:
                multiply(g, scale)
        if not descend(lr * factors[epoch], decay, theta, first if optimizer == MOMENTUM else g):
            history.diverged_at[m] = epoch + 1
            break
    store(models, m, theta, first, second)
