"""Where the kinks of a built network start: breaks of separate lines, bends of the data, knots of a broken line.

`built.py` moves them from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ensemble.limits.floors import Array, Pieces, Problem

if TYPE_CHECKING:
    from ensemble.kernels.broken_lines import Points

__all__ = ["bends", "breaks", "broken_line", "inner_knots"]

_PLACES = 10  # for knots of a broken line, per kink
_HEIGHTS = 7  # at each place
_PRICES = 8  # tried for a segment, until the number of knots is right


def breaks(problem: Problem, pieces: Pieces, count: int) -> Array:
    """Return the `count` breaks of the best separate lines, each in the middle of its gap."""
    x = problem.points.x
    places = []
    end = len(x)
    for k in range(min(count, len(pieces.cut) - 1), 0, -1):
        end = int(pieces.cut[k, end])
        if end == 0:
            break
        places.append(0.5 * (x[end - 1] + x[end]))
    return np.sort(np.append(places, _spread(x, problem.points.weight, count - len(places))))


def bends(problem: Problem, count: int) -> Array:
    """Return `count` places that are denser where the data bends, as |y''|^(2/5).

    The sum of squares of a line over a length l with curvature k goes as k^2 l^5: equal parts need k^(2/5). y'' is
    taken from the means of three neighbouring blocks of points.
    """
    points = problem.points
    block = max(1, len(points.x) // 24)
    if len(points.x) < 3 * block:
        return _spread(points.x, points.weight, count)
    kernel = np.full(block, 1.0 / block)
    x, y = np.convolve(points.x, kernel, "valid"), np.convolve(points.y, kernel, "valid")  # (G - block + 1,)
    slope = (y[block:] - y[:-block]) / (x[block:] - x[:-block])
    bend = (slope[block:] - slope[:-block]) / (x[2 * block :] - x[: -2 * block])
    density = np.abs(bend) ** 0.4
    return _spread(x[block:-block], density + 0.05 * density.mean() + 1e-12, count)


def broken_line(problem: Problem, fitted: Array, count: int) -> Array:
    """Return `count` inner knots, or a few less, of the best broken line near a fit, given by its values (G,).

    Where a fit follows noise or misses a bend, moving kinks a little is stuck soon; dynamic programming places all at
    once, at a few heights around the fit. The price of a segment is bisected until their number is right.
    """
    from ensemble.kernels import broken_lines

    points = _places(problem.points, _PLACES * count)
    cost = float((problem.points.weight * (fitted - problem.points.y) ** 2).sum()) / problem.n
    fit = np.interp(points.x, problem.points.x, fitted)
    levels = fit[:, None] + np.sqrt(cost) * np.linspace(-2.0, 2.0, _HEIGHTS)
    value, source = np.empty(levels.shape), np.empty(levels.shape, np.int64)
    span = min(len(points.x) - 1, 6 * _PLACES)
    low, high, price = 0.0, np.inf, 4.0
    found = points.x[:0]
    for _ in range(_PRICES):
        broken_lines.best_broken_line(points, levels, span, price * cost, value, source)
        knots = inner_knots(value, source)
        if len(knots) <= count:
            high = price
            if len(knots) >= len(found):
                found = points.x[knots]
            if len(knots) >= count - count // 32:
                break
        else:
            low = price
        price = 2.0 * price if high == np.inf else 0.5 * (low + high)
    return found


def inner_knots(value: Array, source: Array) -> list[int]:
    """Return the inner knots of the broken line that `best_broken_line` found, in ascending order."""
    at, level = len(value) - 1, int(value[-1].argmin())
    knots = []
    while at > 0:
        at, level = divmod(int(source[at, level]), value.shape[1])
        knots.append(at)
    return knots[-2::-1]


def _places(points: Points, most: int) -> Points:
    """Return about `most` points: neighbours joined to their mean, or middles of weight 0 put between them."""
    size = len(points.x) // most
    if size >= 2:
        first = np.arange(0, len(points.x), size)
        weight = np.add.reduceat(points.weight, first)
        x, y = (np.add.reduceat(points.weight * values, first) / weight for values in (points.x, points.y))
        return points._replace(x=x, y=y, weight=weight)
    if size == 1:
        return points
    gaps = np.arange(1, len(points.x))
    y, weight = (np.insert(values, gaps, 0.0) for values in (points.y, points.weight))
    return points._replace(x=np.insert(points.x, gaps, 0.5 * (points.x[1:] + points.x[:-1])), y=y, weight=weight)


def _spread(x: Array, density: Array, count: int) -> Array:
    """Return `count` places that part the density at the points x, (G,), equally."""
    total = np.cumsum(density)
    places: Array = np.interp((np.arange(count) + 0.5) / max(count, 1) * total[-1], total, x)
    return places
