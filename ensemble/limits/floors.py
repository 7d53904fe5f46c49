"""What is provably possible: floors that no network of a kind can pass, and networks that come close to them.

Stands beside `statistics` between `results` and `studies`, which draw these next to the trained models.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.data import Dataset
from ensemble.networks import Network

if TYPE_CHECKING:
    from ensemble.kernels.floors import Points

__all__ = ["constructive_bound", "constructive_bounds", "no_bias_floor", "noise_floor", "width_floor"]

Array = NDArray[np.float64]

_SEARCH = 200  # SeedSequence's spawn key for the starts of a search
_ROUNDING = 64 * np.finfo(np.float64).eps  # see `_safely_below`
_EFFORT = 120_000_000  # of a search for one width, in multiplications: 0.02 to 0.2 s
_HURRIED = 4  # iterations: where fewer can be paid for, at about 300 kinks, there are none
_LINE_EFFORT = 15_000_000  # of one broken line by dynamic programming, in pairs of heights: about 10 ms
_FEW = 8  # kinks that starts and moves place well enough without that
_SIDES = 14  # units whose sides are tried in all combinations: 2^14 of them


class _Problem(NamedTuple):
    """The data in the units of the search: distinct x within [-1, 1], y of size 1."""

    points: Points
    n: int  # N, samples before those of one x were joined
    within: float  # sum of squares of y around its mean at each x, which no function of x can pass
    x_mid: float
    x_unit: float
    y_mid: float  # 0 if the line y = 0 has to stay where it is
    y_unit: float


def noise_floor(data: Dataset) -> float | None:
    """Return the variance of the noise in y, which no model's test MSE can beat in the mean; None if unknown.

    Parameters
    ----------
    data : Dataset
        Of `ensemble.sample`, or with `noise_variance` given.

    Returns
    -------
    float or None
        In units of y^2. Noise a U[0, 1) has variance a^2 / 12.

    Raises
    ------
    ValueError
        `data` is not a Dataset.
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"data is {type(data).__name__}, but an ensemble.Dataset is needed")
    return data.noise_variance


def width_floor(x: ArrayLike, y: ArrayLike, widths: ArrayLike) -> Array:
    """Return a lower bound on the training MSE of every network of each width, with whatever biases.

    A network of H units has at most H kinks, so on x in ascending order it is at most H + 1 lines. The bound is the
    best fit of H + 1 lines that need not meet, found exactly by dynamic programming (Bellman and Roth 1969,
    "Curve fitting by segmented straight lines"); samples of one x stay in one piece. All widths come from one run
    of O(G^2 K) steps at most and O(G K) memory, with G distinct x and K pieces.

    Parameters
    ----------
    x : array_like, shape (N,) or (N, 1)
        Inputs, in any order and units.
    y : array_like, shape (N,)
        Outputs.
    widths : array_like of int, shape (W,)
        Numbers of hidden units, each 1 or more, in any order.

    Returns
    -------
    (W,) float64
        In units of y^2; never rises with the width. An allowance for rounding is taken off, 64 machine epsilons of
        the size of y per sample, so that a network that is evaluated in floating point is not below it either.

    Raises
    ------
    ValueError
        x or y is empty, not finite, not real, of a wrong shape, or of different lengths; x has more than one
        column; a width is no whole number of 1 or more.
    """
    inputs, outputs = _checked(x, y)
    sizes = _checked_widths(widths)
    problem = _problem(inputs, outputs, centred=True)
    best = _pieces(problem, int(sizes.max())).best
    sums = best[np.minimum(sizes, len(best) - 1), -1] + problem.within
    return _safely_below(sums / problem.n, problem.y_unit)


def no_bias_floor(x: ArrayLike, y: ArrayLike, output_bias: bool = False) -> float:
    """Return a lower bound on the training MSE of every network without hidden bias, whatever its width.

    All its kinks sit at x = 0, so it is a relu(x) + c relu(-x), plus d with an output bias: least squares gives the
    least MSE exactly, and two units reach it.

    Parameters
    ----------
    x : array_like, shape (N,) or (N, 1)
        Inputs, in the units that the network sees: 0 is where its kinks are. For standardized data, pass
        `data.scale.inputs(x)` and `data.scale.outputs(y)`.
    y : array_like, shape (N,)
        Outputs.
    output_bias : bool
        Whether the network has an output bias.

    Returns
    -------
    float
        In units of y^2, less the allowance for rounding of `width_floor`.

    Raises
    ------
    ValueError
        As `width_floor`, and if `output_bias` is no bool.
    """
    inputs, outputs = _checked(x, y)
    _check_flag(output_bias)
    y_unit = _size(outputs)
    scaled_x, scaled_y = inputs / _size(inputs), outputs / y_unit
    columns = [np.maximum(scaled_x, 0.0), np.maximum(-scaled_x, 0.0)]
    if output_bias:
        columns.append(np.ones_like(scaled_x))
        scaled_y = scaled_y - scaled_y.mean()
    basis = np.stack([column for column in columns if column.any()] or columns[:1], axis=1)
    basis = basis / np.maximum(np.sqrt((basis * basis).sum(axis=0)), np.finfo(np.float64).tiny)
    r = scaled_y - basis @ np.linalg.lstsq(basis, scaled_y, rcond=None)[0]
    return float(_safely_below(np.asarray((r * r).mean()), y_unit))


def constructive_bound(x: ArrayLike, y: ArrayLike, width: int, output_bias: bool = False, seed: int = 0) -> Network:
    """Return a network of this width with a training MSE as low as a search finds: an upper bound on what is possible.

    The search is free-knot least squares. Kinks start at the breaks of the best separate lines, at quantiles and where
    the data bends, and move by Levenberg-Marquardt with the coefficients projected out (Golub and Pereyra 1973).

    What H units can be: sum_j c_j relu(s_j (x - t_j)) with sides s_j = +-1 is a continuous line of pieces with kinks
    t_j, any slope changes c_j s_j, and a first piece that is not free, as the units that open to the left must supply
    it: 2 H numbers and 2^H choices of sides. With an output bias only its slope is bound. So a fit with a free
    line and H kinks is taken first, the sides are ranked by how much the sum of squares must rise to first order to
    make them supply that line, and the best are polished. A unit whose kink has left the data acts as a line.

    Parameters
    ----------
    x : array_like, shape (N,) or (N, 1)
        Inputs.
    y : array_like, shape (N,)
        Outputs.
    width : int
        H, 1 or more. Above 128 or so the search is cut short; from the number of distinct x on the network goes
        through the mean of y at each x.
    output_bias : bool
        Whether b2 may differ from 0.
    seed : int
        Of the random starts, 0 or more. The same seed gives the same network.

    Returns
    -------
    Network
        Of one input and exactly `width` hidden units, some of them perhaps dead; `predict` takes the units of x.

    Raises
    ------
    ValueError
        As `width_floor`; `output_bias` is no bool; `seed` is no whole number of 0 or more.
    """
    return constructive_bounds(x, y, [width], output_bias, seed)[0]


def constructive_bounds(
    x: ArrayLike, y: ArrayLike, widths: ArrayLike, output_bias: bool = False, seed: int = 0
) -> list[Network]:
    """Return `constructive_bound` for several widths, with a training MSE that never rises with the width.

    A wider network starts from the narrower one too, and is that one with dead units where the search finds none
    better.

    Parameters
    ----------
    x, y, output_bias, seed
        As in `constructive_bound`.
    widths : array_like of int, shape (W,)
        In any order.

    Returns
    -------
    list of Network
        One per width, in the order given.

    Raises
    ------
    ValueError
        As `constructive_bound`.
    """
    inputs, outputs = _checked(x, y)
    sizes = _checked_widths(widths)
    _check_flag(output_bias)
    seed = _whole(seed, "seed", 0)
    problem = _problem(inputs, outputs, centred=output_bias)
    pieces = _pieces(problem, int(sizes.max()))
    networks: dict[int, Network] = {}
    previous: _Units | None = None
    for width in np.unique(sizes).tolist():
        previous = _search(problem, pieces, width, output_bias, seed, previous)
        network = _network(problem, previous, width)
        if networks and _mse(network, inputs, outputs) > _mse(networks[max(networks)], inputs, outputs):
            network = _widened(networks[max(networks)], width)
        networks[width] = network
    return [networks[width] for width in sizes.tolist()]


class _Pieces(NamedTuple):
    """What `floors.best_pieces` finds, for 1 .. K pieces of G points."""

    best: Array  # (K, G + 1)
    cut: NDArray[np.int32]  # (K, G + 1)


class _Units(NamedTuple):
    """d + sum_j c_j relu(sign_j (x - kink_j)) in the units of the search, and its sum of squares."""

    sign: Array  # (H,)
    kinks: Array  # (H,)
    c: Array  # (H,)
    d: float
    cost: float


def _search(
    problem: _Problem, pieces: _Pieces, width: int, output_bias: bool, seed: int, previous: _Units | None
) -> _Units:
    """Return the best units found; `previous` are those of a narrower network."""
    g = len(problem.points.x)
    if width >= g - output_bias:
        return _interpolation(problem, width, output_bias)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(_SEARCH, width))))
    # One iteration costs about (2 H)^3 / 6 multiplications for the factor, 60 H^2 for the products, 30 G for residuals.
    budget = int(_EFFORT / ((2 * width) ** 3 / 6 + 60 * width**2 + 30 * g))
    spare = 1 if output_bias else 2  # units at the ends of the data that act as lines, so that the rest is free
    ends = np.array([1.0, -1.0])[:spare]
    if budget < _HURRIED:  # kinks are placed once and not moved
        kinks = _spread(problem.points.x, problem.points.weight, width - spare)
        broken = _broken_line(problem, kinks, 1.0, rng)
        kinks = np.append(_breaks(problem, pieces, width - spare) if broken is None else broken, -ends)
        return _fitted(problem, np.append(np.ones(width - spare), ends), kinks, output_bias)
    free = _free_fits(problem, pieces, width, budget // 3, rng)
    starts: list[tuple[Array, Array]] = []
    for i in range(1 + min(3, budget // 200)):
        starts += _sided(problem, free[i % len(free)], output_bias, budget // 64, rng)
    if budget >= 100 and previous is not None:
        starts += [_split(problem, previous, width, rng) for _ in range(4)]
    if width > spare:
        if width < 2 * _FEW:
            free = _free_fits(problem, pieces, width - spare, budget // 6, rng)
        for kinks in free[:4]:
            inner = kinks[: width - spare]
            starts.append((np.append(rng.choice([-1.0, 1.0], len(inner)), ends), np.append(inner, -ends)))
    return _polish(problem, starts[:: max(1, 12 * len(starts) // max(budget, 48))], output_bias, budget // 2)


def _free_fits(problem: _Problem, pieces: _Pieces, count: int, budget: int, rng: np.random.Generator) -> list[Array]:
    """Return kinks (count,) of fits with a free line from different starts, the best first.

    `budget` is in iterations. The search ends when a fit is within 0.1% of lines that need not meet.
    """
    from ensemble.kernels import floors

    points = problem.points
    floor = pieces.best[min(count, len(pieces.best) - 1), -1]
    starts = [_breaks(problem, pieces, count), _spread(points.x, points.weight, count), _spread(*_bends(points), count)]
    iterations = max(1, min(30, budget // 3))
    signs = np.ones(count)
    found: list[tuple[float, Array]] = []

    def fit(kinks: Array) -> None:
        kinks = np.sort(kinks)
        cost = floors.fit_kinks(points, 2, signs, kinks, iterations)
        found.append((cost if np.isfinite(cost) else np.inf, kinks))
        found.sort(key=lambda one: one[0])

    for kinks in starts:
        fit(kinks)
    for finer in (1.0, 2.0):
        if count >= _FEW and found[0][0] > 1.02 * floor:
            broken = _broken_line(problem, found[0][1], finer, rng)
            if broken is not None:
                fit(broken)
    for _ in range(budget // iterations - 5):  # from the best so far, a kink or two are put elsewhere
        if found[0][0] <= 1.001 * floor:
            break
        kinks = found[0][1].copy()
        moved = rng.choice(count, size=min(count, int(rng.integers(1, 3))), replace=False)
        kinks[moved] = rng.choice(np.concatenate(starts), len(moved)) + 0.01 * rng.standard_normal(len(moved))
        fit(kinks)
    return _distinct(found)


def _broken_line(problem: _Problem, kinks: Array, finer: float, rng: np.random.Generator) -> Array | None:
    """Return kinks of the best broken line near the fit with these; None where that would take too long.

    Where a kink fits noise, moving one at a time is stuck soon; dynamic programming places all at once, on points and
    the middles between them, at a few heights around the fit. The price of a segment is bisected until their
    number is right.
    """
    from ensemble.kernels import floors

    points, count = problem.points, len(kinks)
    gram, c = np.empty((2 + 2 * count, 2 + 2 * count)), np.empty(2 + count)
    cost = floors.curvature(points, kinks, gram, c)
    x, weight, y = points.x, points.weight, points.y
    if len(x) <= 1000:  # else the points are dense enough
        x = np.insert(x, np.arange(1, len(x)), 0.5 * (x[1:] + x[:-1]))
        y, weight = (np.insert(values, np.arange(1, len(values)), 0.0) for values in (y, weight))
    for _ in range(2):
        span = min(len(x) - 1, 6 * len(x) // count)
        heights = min(13, int(np.sqrt(max(_LINE_EFFORT / (len(x) * span) - 2 * span, 0.0))))
        if heights >= 7 or len(x) == len(points.x):
            break
        x, weight, y = points.x, points.weight, points.y
    if heights < 5 or not np.isfinite(cost):
        return None
    heights -= 1 - heights % 2  # an odd number, so that the fit itself is among them
    size = np.sqrt(cost / problem.n)
    fit = c[0] + c[1] * x + np.maximum(x[:, None] - kinks, 0.0) @ c[2:]
    levels = fit[:, None] + size / finer * np.linspace(-2.0, 2.0, heights)
    grid = floors.Points(x, y, weight, points.s0, points.s1, points.s2)
    knots = np.empty(len(x), dtype=np.int64)
    low, high, price = 0.0, np.inf, 4.0
    best = np.empty(0)
    for _ in range(12):
        n = floors.best_broken_line(grid, levels, span, price * cost / problem.n, knots)
        if n - 2 <= count:
            high = price
            if n - 2 >= len(best):
                best = x[knots[1 : n - 1]]
            if n - 2 >= count - count // 32:
                break
        else:
            low = price
        price = 2.0 * price if high == np.inf else 0.5 * (low + high)
    return np.sort(np.append(best, rng.choice(x, count - len(best))))


def _distinct(found: list[tuple[float, Array]]) -> list[Array]:
    """Return the kinks of each fit, in order, without those that end at the cost of one before."""
    kept: list[tuple[float, Array]] = []
    for cost, kinks in found:
        if not kept or cost > kept[-1][0] * (1.0 + 1e-4):
            kept.append((cost, kinks))
    return [kinks for _, kinks in kept]


def _sided(
    problem: _Problem, kinks: Array, output_bias: bool, count: int, rng: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Return sides with which the fit of a free line and these kinks has to rise least, to first order."""
    from ensemble.kernels import floors

    h = len(kinks)
    size = 2 + 2 * h
    gram: Array = np.empty((size, size))
    c: Array = np.empty(2 + h)
    floors.curvature(problem.points, kinks, gram, c)
    gram[np.diag_indices(size)] *= 1.0 + 1e-6
    gram[np.diag_indices(size)] += 1e-9 * np.trace(gram) / size
    inverse: Array = np.linalg.inv(gram).astype(np.float64, copy=False)
    bits = min(h, _SIDES)
    order = rng.permutation(h)[:bits].astype(np.int64)
    base = rng.random(h) < 0.5
    rises = np.empty(2**bits)
    floors.rank_sides(inverse, c, kinks, output_bias, order, base, rises)
    rises[~np.isfinite(rises)] = np.inf
    chosen = np.argsort(rises, kind="stable")[: max(4, min(count, 256))]
    starts = []
    for m in chosen.tolist():
        left = base.copy()
        code = m ^ (m >> 1)
        for bit in range(bits):
            if (code >> bit) & 1:
                left[order[bit]] ^= True
        starts.append((np.where(left, -1.0, 1.0), kinks.copy()))
    return starts


def _polish(problem: _Problem, starts: list[tuple[Array, Array]], output_bias: bool, budget: int) -> _Units:
    """Fit from all starts a little, from the better ones on more, and return the best."""
    from ensemble.kernels import floors

    points = problem.points
    signs = np.stack([sign for sign, _ in starts])
    kinks = np.stack([at for _, at in starts])
    costs = np.empty(len(starts))
    while True:
        last = len(signs) <= 2
        share = budget // (3 * len(signs))
        iterations = max(3, min(share, 200 if last else 40))
        floors.fit_many(points, int(output_bias), signs, kinks, iterations, costs)
        costs[~np.isfinite(costs)] = np.inf
        order = np.argsort(costs, kind="stable")
        if last:
            break
        kept = order[: max(2, len(order) // 4)]
        signs, kinks, costs = signs[kept], kinks[kept], costs[kept]
    best = order[0]
    return _fitted(problem, signs[best], kinks[best], output_bias)


def _fitted(problem: _Problem, sign: Array, kinks: Array, output_bias: bool) -> _Units:
    """Return the units with the best coefficients for these sides and kinks, from an orthogonal factorization."""
    points = problem.points
    root = np.sqrt(points.weight)
    units = np.maximum(sign * (points.x[:, None] - kinks), 0.0)
    basis = np.column_stack([units, np.ones(len(units))]) if output_bias else units
    norms = np.sqrt((points.weight[:, None] * basis * basis).sum(axis=0))
    norms[norms == 0.0] = 1.0
    c = np.linalg.lstsq(root[:, None] * basis / norms, root * points.y, rcond=1e-14)[0] / norms
    r = basis @ c - points.y
    d = float(c[-1]) if output_bias else 0.0
    return _Units(sign, kinks, c[: len(kinks)], d, float((points.weight * r * r).sum()))


def _interpolation(problem: _Problem, width: int, output_bias: bool) -> _Units:
    """Return units through the mean of y at each x: one opens to the right before each x (the first x: bias)."""
    x, y = problem.points.x, problem.points.y
    start = y[0] if output_bias else 0.0
    gap = x[1] - x[0] if len(x) > 1 else 1.0
    kinks = x[:-1] if output_bias else np.append(x[0] - gap, x[:-1])
    heights = np.diff(y) if output_bias else np.diff(y, prepend=0.0)
    widths = np.diff(x) if output_bias else np.diff(x, prepend=x[0] - gap)
    c = np.diff(heights / widths, prepend=0.0)
    spare = width - len(kinks)
    return _Units(np.ones(width), np.append(kinks, np.ones(spare)), np.append(c, np.zeros(spare)), float(start), 0.0)


def _split(problem: _Problem, units: _Units, width: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return sides and kinks of a wider network: those of `units`, and new ones at random data points."""
    spare = width - len(units.kinks)
    new = rng.choice(problem.points.x, spare) + 1e-3 * rng.standard_normal(spare)
    return np.append(units.sign, rng.choice([-1.0, 1.0], spare)), np.append(units.kinks, new)


def _breaks(problem: _Problem, pieces: _Pieces, count: int) -> Array:
    """Return the `count` breaks of the best separate lines, each in the middle of its gap."""
    x = problem.points.x
    places = []
    end = len(x)
    for k in range(min(count, len(pieces.cut) - 1), 0, -1):
        end = int(pieces.cut[k, end])
        if end == 0:
            break
        places.append(0.5 * (x[end - 1] + x[end]))
    missing = count - len(places)
    return np.sort(np.append(places, _spread(x, problem.points.weight, missing)))


def _spread(x: Array, density: Array, count: int) -> Array:
    """Return `count` places that part the density at the points x, (G,), equally."""
    total = np.cumsum(density)
    places: Array = np.interp((np.arange(count) + 0.5) / max(count, 1) * total[-1], total, x)
    return places


def _bends(points: Points) -> tuple[Array, Array]:
    """Return x and a density of kinks, |y''|^(2/5), y'' from the means of three neighbouring blocks of points.

    The sum of squares of a line over a length l with curvature k goes as k^2 l^5: equal parts need k^(2/5).
    """
    g = len(points.x)
    block = max(1, g // 24)
    if g < 3 * block:
        return points.x, np.ones(g)
    kernel = np.full(block, 1.0 / block)
    x, y = np.convolve(points.x, kernel, "valid"), np.convolve(points.y, kernel, "valid")  # (g - block + 1,)
    slope = (y[block:] - y[:-block]) / (x[block:] - x[:-block])
    bend = (slope[block:] - slope[:-block]) / (x[2 * block :] - x[: -2 * block])
    density: Array = np.abs(bend) ** 0.4
    return x[block:-block], density + 0.05 * density.mean() + 1e-12


def _network(problem: _Problem, units: _Units, width: int) -> Network:
    """Return the units as weights in the units of the data, the two layers of a unit of equal size."""
    c = units.c * problem.y_unit
    size = np.sqrt(np.abs(c) / problem.x_unit)  # of w1 and w2: their product is the slope
    kinks = problem.x_mid + units.kinks * problem.x_unit
    w1 = units.sign * size
    b1 = -w1 * kinks
    w2 = np.divide(c, problem.x_unit * size, out=np.zeros(width), where=size > 0.0)
    return Network((w1[None, :], w2[:, None]), (b1, [problem.y_mid + units.d * problem.y_unit]))


def _widened(network: Network, width: int) -> Network:
    """Return the same function with dead units added."""
    (hidden, output), (hidden_bias, output_bias) = network.weights, network.biases
    spare = np.zeros(width - len(hidden_bias))
    return Network(
        (np.append(hidden, spare[None, :], axis=1), np.append(output, spare[:, None], axis=0)),
        (np.append(hidden_bias, spare), output_bias),
    )


def _mse(network: Network, x: Array, y: Array) -> float:
    r = network.predict(x) - y
    return float((r * r).mean())


def _pieces(problem: _Problem, width: int) -> _Pieces:
    """Return the least sums of squares and last cuts of `floors.best_pieces` for up to width + 1 pieces."""
    from ensemble.kernels import floors

    g = len(problem.points.x)
    pieces = min(width + 1, (g + 1) // 2)  # so many pass through every point
    best, cut = np.empty((pieces, g + 1)), np.empty((pieces, g + 1), dtype=np.int32)
    floors.best_pieces(problem.points, best, cut)
    return _Pieces(best, cut)


def _safely_below(mse: Array, y_unit: float) -> Array:
    """Return a mean square in units of y^2 from one in units of y_unit^2, less an allowance for rounding.

    Two roundings could put a network below its bound: that of the bound itself, and that of the network's own
    predictions. Either moves the root of the mean square by some machine epsilons of the size of y.
    """
    root = np.sqrt(mse) * (1.0 - _ROUNDING) - _ROUNDING
    with np.errstate(over="ignore"):  # a mean square beyond the largest number is inf, as a network's is
        allowed: Array = (np.maximum(root, 0.0) * y_unit) ** 2
    return allowed


def _problem(x: Array, y: Array, centred: bool) -> _Problem:
    """Return the data in the units of the search."""
    from ensemble.kernels import floors

    n = len(x)
    x_mid = 0.5 * x.min() + 0.5 * x.max()
    y_mid = float(y.mean()) if centred else 0.0
    x_unit, y_unit = _size(x - x_mid), _size(y - y_mid)
    distinct, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    scaled = (y - y_mid) / y_unit
    weight = counts.astype(np.float64)
    mean = np.bincount(group, scaled) / weight
    r = scaled - mean[group]
    at = (distinct - x_mid) / x_unit
    sums = [np.append(0.0, np.cumsum(weight * at**power)) for power in range(3)]
    points = floors.Points(at, mean, weight, *sums)
    return _Problem(points, n, float((r * r).sum()), float(x_mid), x_unit, y_mid, y_unit)


def _size(values: Array) -> float:
    """Return the largest absolute value, or 1 if all are 0."""
    return float(np.abs(values).max()) or 1.0


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return x and y as (N,) float64, or raise a ValueError that names what is wrong."""
    arrays = []
    for name, values in (("x", x), ("y", y)):
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} has dtype {array.dtype}: real numbers are needed")
        if name == "x" and array.ndim == 2:
            if array.shape[1] != 1:
                raise ValueError(f"x has {array.shape[1]} columns: these limits hold for one input, (N,) or (N, 1)")
            array = array[:, 0]
        if array.ndim != 1 or len(array) == 0:
            raise ValueError(f"{name} has shape {array.shape}: at least one sample, (N,), is needed")
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ValueError(f"{name}[{bad}] is {array[bad]}: finite numbers are needed")
        arrays.append(array)
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(f"x has {len(arrays[0])} samples, but y has {len(arrays[1])}: one y per x is needed")
    return arrays[0], arrays[1]


def _checked_widths(widths: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(widths)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"widths has shape {array.shape}: at least one width, (W,), is needed")
    return np.array([_whole(width, "width", 1) for width in array.tolist()], dtype=np.int64)


def _whole(value: object, name: str, low: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number < 2**31:
        raise ValueError(f"{name} {value!r} is not allowed; a whole number in [{low}, 2^31) is needed")
    return number


def _check_flag(value: object) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"output_bias {value!r} is not allowed; True or False is needed")
