"""The loops behind `limits.py`: the best fit by separate line pieces, and least squares over kinks that move.

All points have distinct x in ascending order and carry a weight: samples of one x come as their mean and number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import jit

Array = NDArray[np.float64]

RIDGE = 1e-14  # relative, on the diagonal of normal equations: keeps kinks that coincide from dividing by zero
REACH = 50.0  # how far a kink may go, in half ranges of x: from there a unit is a line, and nearly a constant
LONGEST = 0.5  # the longest step of a kink, in half ranges of x


class Points(NamedTuple):
    """G distinct x in ascending order, within [-1, 1], with the sums that products of lines are made of."""

    x: Array  # (G,)
    y: Array  # (G,) mean of the samples at x
    weight: Array  # (G,) their number
    s0: Array  # (G + 1,) sum of the weights before each point
    s1: Array  # (G + 1,) likewise of weight x
    s2: Array  # (G + 1,) likewise of weight x^2


class Columns(NamedTuple):
    """Functions that are a line a x + b on the points first <= g < last, and 0 elsewhere."""

    first: NDArray[np.int64]  # (C,)
    last: NDArray[np.int64]  # (C,)
    a: Array  # (C,)
    b: Array  # (C,)


@jit
def line_costs(points: Points, end: int, out: Array) -> None:
    """Write to out[i] the residual sum of squares of the best line through points i <= g <= end, for all i.

    Points are added one by one to the left. A point that the line so far misses by e adds
    e^2 / (1 / w + 1 / W + (x - mean)^2 / Sxx), its squared recursive residual (Brown, Durbin, Evans 1975): no
    difference of large sums is taken, so nothing cancels.
    """
    total, mean_x, mean_y, sxx, sxy, cost = points.weight[end], points.x[end], points.y[end], 0.0, 0.0, 0.0
    out[end] = 0.0
    for i in range(end - 1, -1, -1):
        w = points.weight[i]
        dx, dy = points.x[i] - mean_x, points.y[i] - mean_y
        if sxx > 0.0:  # else this is the second point: a line goes through both
            miss = dy - sxy / sxx * dx
            cost += miss * miss / (1.0 / w + 1.0 / total + dx * dx / sxx)
        out[i] = cost
        share = w / (total + w)
        sxx += dx * dx * total * share
        sxy += dx * dy * total * share
        mean_x += dx * share
        mean_y += dy * share
        total += w


@jit
def best_pieces(points: Points, best: Array, cut: NDArray[np.int32]) -> None:
    """Find the best fits of the first points by separate lines.

    best[k, g] becomes the least sum of squares of points 0 .. g - 1 in at most k + 1 pieces, cut[k, g] the first
    point of the last piece; both are (K, G + 1). A piece's cost falls with its first point, so a search from
    the right ends where that cost alone exceeds the best sum.
    """
    costs = np.empty(len(points.x))
    best[:, 0] = 0.0
    cut[:, 0] = 0
    for end in range(len(points.x)):
        line_costs(points, end, costs)
        best[0, end + 1] = costs[0]
        cut[0, end + 1] = 0
        for k in range(1, len(best)):
            least, where = best[k - 1, end + 1], cut[k - 1, end + 1]
            for i in range(end, 0, -1):
                if costs[i] >= least:
                    break
                total = best[k - 1, i] + costs[i]
                if total < least:
                    least, where = total, np.int32(i)
            best[k, end + 1] = least
            cut[k, end + 1] = where


@jit
def add_gram(points: Points, columns: Columns, count: int, out: Array) -> None:
    """Write the weighted inner products of the first `count` columns to the upper triangle of `out`, O(1) each."""
    for i in range(count):
        a, b, first, last = columns.a[i], columns.b[i], columns.first[i], columns.last[i]
        for j in range(i, count):
            low, high = max(first, columns.first[j]), min(last, columns.last[j])
            value = 0.0
            if low < high:
                value = (
                    a * columns.a[j] * (points.s2[high] - points.s2[low])
                    + (a * columns.b[j] + b * columns.a[j]) * (points.s1[high] - points.s1[low])
                    + b * columns.b[j] * (points.s0[high] - points.s0[low])
                )
            out[i, j] = value


@jit
def factor(a: Array, n: int) -> None:
    """Replace the upper triangle of the leading n x n block of `a` by its Cholesky factor U, a = U.T U."""
    for k in range(n):
        pivot = a[k, k]
        if not pivot > 0.0:  # a column that the others span, up to rounding: left out
            a[k, k:n] = 0.0
            a[k, k] = 1e150
            continue
        a[k, k:n] /= np.sqrt(pivot)
        for i in range(k + 1, n):
            scale = a[k, i]
            if scale != 0.0:
                for j in range(i, n):
                    a[i, j] -= scale * a[k, j]


@jit
def solve(u: Array, n: int, b: Array) -> None:
    """Solve U.T U z = b in place."""
    for k in range(n):
        b[k] /= u[k, k]
        for j in range(k + 1, n):
            b[j] -= u[k, j] * b[k]
    for k in range(n - 1, -1, -1):
        value = b[k]
        for j in range(k + 1, n):
            value -= u[k, j] * b[j]
        b[k] = value / u[k, k]


@jit
def residuals(points: Points, columns: Columns, c: Array, out: Array) -> float:
    """Write weight * (p - y) for p = sum of c_j column_j to out, (G,), and return the weighted sum of squares."""
    slope, height = np.zeros(len(points.x) + 1), np.zeros(len(points.x) + 1)
    for j in range(len(c)):
        slope[columns.first[j]] += c[j] * columns.a[j]
        slope[columns.last[j]] -= c[j] * columns.a[j]
        height[columns.first[j]] += c[j] * columns.b[j]
        height[columns.last[j]] -= c[j] * columns.b[j]
    a, b, cost = 0.0, 0.0, 0.0
    for g in range(len(points.x)):
        a += slope[g]
        b += height[g]
        miss = a * points.x[g] + b - points.y[g]
        out[g] = points.weight[g] * miss
        cost += out[g] * miss
    return cost


@jit
def project(points: Points, columns: Columns, count: int, r: Array, out: Array) -> None:
    """Write minus the inner product of r, (G,), with each of the first `count` columns to `out`."""
    r0, r1 = np.zeros(len(r) + 1), np.zeros(len(r) + 1)
    for g in range(len(r)):
        r0[g + 1] = r0[g] + r[g]
        r1[g + 1] = r1[g] + r[g] * points.x[g]
    for j in range(count):
        first, last = columns.first[j], columns.last[j]
        out[j] = columns.a[j] * (r1[first] - r1[last]) + columns.b[j] * (r0[first] - r0[last])


@jit
def place(points: Points, sign: Array, kinks: Array, free: int, columns: Columns) -> None:
    """Write the columns 1, x (the first `free` of them) and a unit sign (x - kink), where positive, per kink."""
    n = len(points.x)
    for j in range(free):
        columns.first[j], columns.last[j] = 0, n
        columns.a[j], columns.b[j] = float(j), 1.0 - j
    for j in range(len(kinks)):
        at = np.searchsorted(points.x, kinks[j], side="right")
        columns.first[free + j] = at if sign[j] > 0.0 else 0
        columns.last[free + j] = n if sign[j] > 0.0 else at
        columns.a[free + j] = sign[j]
        columns.b[free + j] = -sign[j] * kinks[j]


@jit
def best_coefficients(points: Points, columns: Columns, c: Array, gram: Array, r: Array) -> float:
    """Solve for the coefficients c of the leading columns; fill r as `residuals` does and return its sum of squares."""
    n = len(c)
    add_gram(points, columns, n, gram)
    for j in range(n):
        gram[j, j] *= 1.0 + RIDGE
    factor(gram, n)
    c[:] = 0.0
    step = np.empty(n)
    cost = residuals(points, columns, c, r)
    for _ in range(2):  # the second time corrects what the normal equations' rounding left
        project(points, columns, n, r, step)
        solve(gram, n, step)
        c += step
        cost = residuals(points, columns, c, r)
    return cost


@jit
def add_moves(columns: Columns, sign: Array, c: Array, free: int) -> None:
    """Write the derivatives by each kink, -c sign where the unit is active, behind the columns of the units."""
    for j in range(len(sign)):
        unit, move = free + j, free + len(sign) + j
        columns.first[move], columns.last[move] = columns.first[unit], columns.last[unit]
        columns.a[move], columns.b[move] = 0.0, -c[unit] * sign[j]


@jit
def fit_kinks(points: Points, free: int, sign: Array, kinks: Array, iterations: int) -> float:
    """Move the kinks of sum_j c_j relu(sign_j (x - kink_j)), plus 1 and x if `free`, to a least sum of squares.

    Levenberg-Marquardt on the kinks with the coefficients projected out (Golub and Pereyra 1973, in Kaufman's 1975
    form: the joint Gauss-Newton step taken at the best coefficients). Returns the sum of squares; `kinks` is
    changed in place.
    """
    h = len(kinks)
    n = free + h
    size = n + h
    columns = Columns(np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size), np.zeros(size))
    gram = np.empty((size, size))
    step, c, r = np.empty(size), np.empty(n), np.empty(len(points.x))
    trial_c, trial_r, trial = np.empty(n), np.empty(len(points.x)), np.empty(h)
    place(points, sign, kinks, free, columns)
    cost = best_coefficients(points, columns, c, gram, r)
    damping = 1e-2
    quiet = 0
    for _ in range(iterations):
        place(points, sign, kinks, free, columns)
        add_moves(columns, sign, c, free)
        add_gram(points, columns, size, gram)
        largest = 0.0
        for j in range(n, size):
            largest = max(largest, gram[j, j])
        for j in range(n):
            gram[j, j] *= 1.0 + RIDGE
        for j in range(n, size):
            gram[j, j] += damping * (gram[j, j] + 1e-8 * largest) + 1e-300
        factor(gram, size)
        project(points, columns, size, r, step)
        solve(gram, size, step)
        for j in range(h):
            trial[j] = min(max(kinks[j] + min(max(step[n + j], -LONGEST), LONGEST), -REACH), REACH)
        place(points, sign, trial, free, columns)
        trial_cost = best_coefficients(points, columns, trial_c, gram, trial_r)
        if trial_cost < cost:
            quiet = quiet + 1 if cost - trial_cost < 1e-6 * cost else 0
            kinks[:], c[:], r[:] = trial, trial_c, trial_r
            cost = trial_cost
            damping = max(0.2 * damping, 1e-9)
        else:
            damping *= 6.0
        if quiet >= 3 or damping > 1e6:
            break
    return cost


@jit
def fit_many(points: Points, free: int, signs: Array, kinks: Array, iterations: int, costs: Array) -> None:
    """Apply `fit_kinks` to each row of signs and kinks, both (S, H)."""
    for s in range(len(kinks)):
        costs[s] = fit_kinks(points, free, signs[s], kinks[s], iterations)


@jit
def curvature(points: Points, kinks: Array, gram: Array, c: Array) -> float:
    """Fill c, (2 + H,), of a fit with a free line and units to the right, and its Gauss-Newton matrix.

    The matrix, (2 + 2H, 2 + 2H), is in the order 1, x, c, kinks; returned is the sum of squares.
    """
    h = len(kinks)
    size = 2 + 2 * h
    columns = Columns(np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size), np.zeros(size))
    sign = np.ones(h)
    place(points, sign, kinks, 2, columns)
    cost = best_coefficients(points, columns, c, gram, np.empty(len(points.x)))
    add_moves(columns, sign, c, 2)
    add_gram(points, columns, size, gram)
    for i in range(size):
        for j in range(i):
            gram[i, j] = gram[j, i]
    return cost


@jit
def rank_sides(
    inverse: Array,
    c: Array,
    kinks: Array,
    output_bias: bool,
    order: NDArray[np.int64],
    left: NDArray[np.bool_],
    rises: Array,
) -> None:
    """Predict the rise of the sum of squares when the units must carry the line that was free, for 2^B sets of sides.

    A unit that opens to the left instead of to the right adds the line c (kink - x). For q0 + q1 x + sum_j c_j
    relu(x - kink_j) to need no line of its own, the units of the left set L must supply it:

        q0 = sum_L c_j kink_j  (without output bias only)        q1 = -sum_L c_j

    To first order that raises the sum of squares by f.T (C inverse C.T)^-1 f, with f what is missing and C its
    derivatives. The subsets of `order` (B,) are visited in Gray code, place m of `rises` (2^B,) being that of the
    set `left` with the units order[b] changed for which bit b of m ^ (m >> 1) is set: one unit changes at a time,
    in O(P). `inverse` is that of `curvature`'s matrix, (P, P).
    """
    h = len(kinks)
    missing = np.array([c[0], c[1]])
    rows = np.zeros((2, len(inverse)))
    rows[0, 0] = rows[1, 1] = 1.0
    state = left.copy()
    for j in range(h):
        if state[j]:
            missing[0] -= c[2 + j] * kinks[j]
            missing[1] += c[2 + j]
            rows[0, 2 + j] -= kinks[j]
            rows[0, 2 + h + j] -= c[2 + j]
            rows[1, 2 + j] += 1.0
    through = np.zeros((2, len(inverse)))
    for i in range(len(inverse)):
        for j in range(len(inverse)):
            through[0, i] += inverse[i, j] * rows[0, j]
            through[1, i] += inverse[i, j] * rows[1, j]
    for m in range(len(rises)):
        if m > 0:
            bit = 0
            while (m >> bit) & 1 == 0:  # the bit in which the codes of m - 1 and m differ
                bit += 1
            j = order[bit]
            change = -1.0 if state[j] else 1.0
            state[j] = not state[j]
            missing[0] -= change * c[2 + j] * kinks[j]
            missing[1] += change * c[2 + j]
            rows[0, 2 + j] -= change * kinks[j]
            rows[0, 2 + h + j] -= change * c[2 + j]
            rows[1, 2 + j] += change
            for i in range(len(inverse)):
                through[0, i] -= change * (kinks[j] * inverse[2 + j, i] + c[2 + j] * inverse[2 + h + j, i])
                through[1, i] += change * inverse[2 + j, i]
        q00, q01, q11 = 0.0, 0.0, 0.0
        for i in range(len(inverse)):
            q00 += rows[0, i] * through[0, i]
            q01 += rows[0, i] * through[1, i]
            q11 += rows[1, i] * through[1, i]
        if output_bias:
            rises[m] = missing[1] * missing[1] / q11 if q11 > 0.0 else np.inf
        else:
            determinant = q00 * q11 - q01 * q01
            rise = missing[0] * missing[0] * q11 - 2.0 * missing[0] * missing[1] * q01 + missing[1] * missing[1] * q00
            rises[m] = rise / determinant if determinant > 0.0 else np.inf


@jit
def best_broken_line(points: Points, levels: Array, span: int, price: float, knots: NDArray[np.int64]) -> int:
    """Find the broken line of least sum of squares plus `price` per segment, with knots at the levels of the points.

    Knots are points, the first and the last among them, at most `span` points apart, each at one of the heights
    levels (G, Q). Dynamic programming in O(G span Q^2). Fills `knots` (G,) with the points in descending order and
    returns their number.
    """
    g, q = levels.shape
    value, source = np.full((g, q), np.inf), np.zeros((g, q), np.int64)
    for v in range(q):
        miss = levels[0, v] - points.y[0]
        value[0, v] = points.weight[0] * miss * miss
    total = np.empty(q)
    for end in range(1, g):
        for i in range(end - 1, max(-1, end - 1 - span), -1):
            # The line from height u at i to v at end: a sum of squares of u and v, over the points i < m <= end.
            uu, uv, vv, u1, v1, rest = 0.0, 0.0, 0.0, 0.0, 0.0, price
            length = points.x[end] - points.x[i]
            for m in range(i + 1, end + 1):
                share = (points.x[m] - points.x[i]) / length
                w, y = points.weight[m], points.y[m]
                uu += w * (1.0 - share) * (1.0 - share)
                uv += 2.0 * w * share * (1.0 - share)
                vv += w * share * share
                u1 -= 2.0 * w * (1.0 - share) * y
                v1 -= 2.0 * w * share * y
                rest += w * y * y
            for b in range(q):
                v = levels[end, b]
                total[b] = (vv * v + v1) * v + rest
            for a in range(q):
                u = levels[i, a]
                base = value[i, a] + (uu * u + u1) * u
                for b in range(q):
                    candidate = base + uv * u * levels[end, b] + total[b]
                    if candidate < value[end, b]:
                        value[end, b] = candidate
                        source[end, b] = i * q + a
    at, level, count = g - 1, np.argmin(value[g - 1]), 1
    knots[0] = at
    while at > 0:
        before = source[at, level]
        at, level = before // q, before % q
        knots[count] = at
        count += 1
    return count
