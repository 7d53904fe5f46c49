"""Exact dynamic programs over lines: the best fit by separate pieces, and the best broken line on a grid of heights.

`limits` uses the first for its floors and both to start its search. All points have distinct x in ascending order and
carry a weight: samples of one x come as their mean and number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.jit import jit

Array = NDArray[np.float64]


class Points(NamedTuple):
    """G distinct x in ascending order, with what was measured there."""

    x: Array  # (G,)
    y: Array  # (G,) mean of the samples at x; (O, G) for separate lines
    weight: Array  # (G,) their number


@jit
def line_costs(points: Points, end: int, out: Array) -> None:
    """Write to out[i] the residual sum of squares of the best line through points i <= g <= end, for all i.

    With several outputs it is the sum over them, each with a line of its own. Points are added one by one to the left.
    A point that the line so far misses by e adds e^2 / (1 / w + 1 / W + (x - mean)^2 / Sxx), its squared recursive
    residual (Brown, Durbin, Evans 1975): no difference of large sums is taken, so nothing cancels.
    """
    for i in range(end + 1):
        out[i] = 0.0
    for o in range(len(points.y)):
        total, mean_x, mean_y, sxx, sxy, cost = points.weight[end], points.x[end], points.y[o, end], 0.0, 0.0, 0.0
        for i in range(end - 1, -1, -1):
            w = points.weight[i]
            dx, dy = points.x[i] - mean_x, points.y[o, i] - mean_y
            if sxx > 0.0:  # else this is the second point: a line goes through both
                miss = dy - sxy / sxx * dx
                cost += miss * miss / (1.0 / w + 1.0 / total + dx * dx / sxx)
            out[i] += cost
            share = w / (total + w)
            sxx += dx * dx * total * share
            sxy += dx * dy * total * share
            mean_x += dx * share
            mean_y += dy * share
            total += w


@jit
def best_pieces(points: Points, best: Array, cut: NDArray[np.int32], costs: Array) -> None:
    """Find the best fits of the first points by separate lines.

    best[k, g] becomes the least sum of squares of points 0 .. g - 1 in at most k + 1 pieces, cut[k, g] the first
    point of the last piece; both are (K, G + 1), and `costs` (G,) is room to work in. A piece's cost falls with its
    first point, so a search from the right ends where that cost alone exceeds the best sum.
    """
    for k in range(len(best)):
        best[k, 0], cut[k, 0] = 0.0, 0
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
def best_broken_line(
    points: Points, levels: Array, span: int, price: float, value: Array, source: NDArray[np.int64]
) -> None:
    """Find the broken line of least sum of squares plus `price` per segment, with knots at the levels of the points.

    Knots are points, the first and the last among them, at most `span` points apart, each at one of the heights
    levels (G, Q). Dynamic programming in O(G span (span + Q^2)). value[g, q] becomes the least cost of a line that
    ends at that height of point g, and source[g, q] = i Q + a its knot before, height a of point i; both are (G, Q).
    """
    g, q = levels.shape
    for v in range(q):
        miss = levels[0, v] - points.y[0]
        value[0, v] = points.weight[0] * miss * miss
    for end in range(1, g):
        for v in range(q):
            value[end, v] = np.inf
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
                least, where = value[end, b], source[end, b]
                alone = (vv * v + v1) * v + rest
                for a in range(q):
                    u = levels[i, a]
                    cost = value[i, a] + (uu * u + u1 + uv * v) * u + alone
                    if cost < least:
                        least, where = cost, i * q + a
                value[end, b], source[end, b] = least, where
