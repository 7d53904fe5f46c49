"""Networks that are built, not trained, with a training MSE as low as a search finds: what a width can do.

The other side of the floors: between both is the least error that a network of a width can have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ensemble.limits import starts
from ensemble.limits.floors import Array, Pieces, Problem, best_pieces, checked, checked_widths, problem_of
from ensemble.networks import Network
from ensemble.system.checks import flag, whole
from ensemble.system.streams import BUILT, generator

__all__ = ["constructive_bound", "constructive_bounds"]

_EFFORT = 100_000_000  # of a search for one width, in samples x kinks^2 per evaluation: 0.02 to 0.1 s
_SIDES = 512  # combinations of sides that are ranked: all of them up to 9 units
_POLISHED = 32  # of them, the best, are fitted
_ONE_THREAD = 250_000  # multiplications of a matrix product: OpenBLAS divides it among threads from 2^18 on
_RIDGE = 1e-14  # relative: keeps kinks that coincide from dividing by zero
_DAMPING = 1e-3  # at first, of a step's own scale
_REACH = 50.0  # how far a kink may go, in half ranges of x: from there a unit is a line, and nearly a constant


def constructive_bound(x: ArrayLike, y: ArrayLike, width: int, output_bias: bool = False, seed: int = 0) -> Network:
    """Return a network of this width with a training MSE as low as a search finds: an upper bound on what is possible.

    The search is free-knot least squares. Kinks start at the breaks of the best separate lines, where the data bends
    and at the knots of the best broken line. They move by Levenberg-Marquardt with the coefficients projected out
    (Golub and Pereyra 1973, in Kaufman's 1975 form).

    H units sum_j c_j relu(s_j (x - t_j)) with sides s_j = +-1 make a continuous line of pieces with kinks t_j and any
    slope changes c_j. But its first piece is not free: the units that open to the left make it. With an output
    bias only its slope is bound. So a fit with a free line and H kinks comes first; then combinations of sides are
    ranked by what a linear step of coefficients and kinks would leave, and the best are fitted. Beside them, H - 2
    kinks are fitted with two units at the ends of the data that make the line.

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
        Of the combinations of sides that are tried, 0 or more. The same seed gives the same network.

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

    Where a wider network comes out no better than a narrower one, it is that one with dead units.

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
    inputs, outputs = checked(x, y)
    sizes = checked_widths(widths)
    output_bias = flag(output_bias, "output_bias")
    seed = whole(seed, "seed")
    problem = problem_of(inputs, outputs, centred=output_bias)
    pieces = best_pieces(problem, int(sizes.max()) + 1)
    networks: dict[int, Network] = {}
    least = np.inf
    for width in np.unique(sizes).tolist():
        network = _network(problem, _search(problem, pieces, width, output_bias, generator(seed, BUILT, width)))
        error = float(np.mean((network.predict(inputs) - outputs) ** 2))
        if error > least:
            network = _widened(networks[max(networks)], width)
        networks[width], least = network, min(least, error)
    return [networks[width] for width in sizes.tolist()]


class _Units(NamedTuple):
    """d + sum_j c_j relu(sign_j (x - kink_j)) in the units of the search, and how well it fits."""

    sign: Array  # (H,)
    kinks: Array  # (H,)
    c: Array  # (H,)
    d: float
    cost: float  # sum of squares
    values: Array  # (G,) at the points


class _Fit:
    """The least squares over the first kinks of units with given sides.

    For each place of the kinks the coefficients are the best ones, so only the kinks are unknown. Units are rows,
    (H, G): sums over the points then run along memory.
    """

    def __init__(self, problem: Problem, sign: Array, kinks: Array, output_bias: bool) -> None:
        self.problem, self.sign, self.kinks, self.output_bias = problem, sign, kinks.copy(), output_bias
        self.root = np.sqrt(problem.points.weight)
        self.target = self.root * problem.points.y
        self.c = self.r = np.empty(0)

    def evaluate(self, moved: Array) -> tuple[Array, Array]:
        """Put the first kinks there and return the residuals (G,) and their derivatives (H, G)."""
        h = len(moved)
        self.kinks[:h] = moved
        units = self.root * _units(self.problem, self.sign, self.kinks, self.output_bias)
        norms = _norms(units)
        n = len(norms)
        basis = units / norms[:, None]
        moves = np.where(basis[:h] > 0.0, self.root, 0.0)
        inner = _product(basis, np.concatenate([basis, self.target[None, :], moves]).T)
        normal = inner[:, :n]
        normal.flat[:: n + 1] += _RIDGE
        solved = np.asarray(np.linalg.solve(normal, inner[:, n:]), np.float64)
        fitted = _product(solved.T, basis)
        missing = np.einsum("ig,g->i", basis, self.target - fitted[0])  # what rounding and the ridge left
        c = solved[:, 0] + np.linalg.solve(normal, missing)
        self.c = c / norms
        self.r = np.einsum("i,ig->g", c, basis) - self.target
        return self.r, (moves - fitted[1:]) * (-self.sign[:h] * self.c[:h])[:, None]

    def move(self, moved: Array, evaluations: int, ftol: float) -> None:
        """Move the kinks to where the sum of squares is least, by Levenberg-Marquardt.

        The damping follows Nielsen (1999, "Damping parameter in Marquardt's method"). SciPy's `leastsq` reads memory
        that it never wrote where a unit is dead, so that two runs differ.
        """
        r, jacobian = self.evaluate(moved)
        cost, damping, growth = float(r @ r), _DAMPING, 2.0
        scale = np.zeros(len(moved))
        for _ in range(evaluations - 1):
            normal, gradient = _product(jacobian, jacobian.T), np.einsum("ig,g->i", jacobian, r)
            scale = np.maximum(scale, normal.diagonal())
            damped = scale + scale.max() * _RIDGE + 1e-300  # a dead unit's kink moves nothing
            step = np.linalg.solve(normal + damping * np.diag(damped), -gradient)
            trial = np.minimum(np.maximum(moved + step, -_REACH), _REACH)
            r_there, jacobian_there = self.evaluate(trial)
            there = float(r_there @ r_there)
            expected = float(step @ (damping * damped * step - gradient))
            if there < cost:
                gained = cost - there
                damping *= max(0.1, 1.0 - (2.0 * gained / expected - 1.0) ** 3) if expected > 0.0 else 1.0
                growth = 2.0
                moved, r, jacobian, cost = trial, r_there, jacobian_there, there
                if max(gained, expected) <= ftol * cost:
                    return
            else:
                if expected <= ftol * cost:
                    break
                damping, growth = damping * growth, growth * 2.0
        if not np.array_equal(self.kinks[: len(moved)], moved):
            self.evaluate(moved)

    def units(self) -> _Units:
        h = len(self.kinks)
        d = float(self.c[h]) if self.output_bias else 0.0
        values = (self.r + self.target) / self.root
        return _Units(self.sign, self.kinks, self.c[:h], d, float(self.r @ self.r), values)


def _fit(problem: Problem, sign: Array, kinks: Array, output_bias: bool, evaluations: int, fixed: int = 0) -> _Units:
    """Return the units after so many evaluations; the last `fixed` kinks do not move."""
    fit = _Fit(problem, sign, kinks, output_bias)
    moved = kinks[: len(kinks) - fixed]
    # a start need not be polished
    fit.move(moved, evaluations if 0 < len(moved) <= len(fit.root) else 1, 1e-6 if evaluations > 50 else 1e-4)
    return fit.units()


def _search(problem: Problem, pieces: Pieces, width: int, output_bias: bool, rng: np.random.Generator) -> _Units:
    """Return the best units found."""
    g = len(problem.points.x)
    if width >= g - output_bias:
        return _interpolation(problem, width, output_bias)
    evaluations = int(_EFFORT / (g * (width + 2) ** 2))
    ends = np.array([1.0, -1.0])[: 1 if output_bias else 2]  # units at the ends of the data that act as lines
    tried: list[tuple[Array, Array]] = []  # sides and kinks
    if width >= len(ends):
        inner = _free_fits(problem, pieces, width - len(ends), evaluations)[0].kinks[:-2]
        tried.append((np.append(np.ones(len(inner)), ends), np.append(inner, -ends)))
    polished = min(_POLISHED, evaluations // 50)
    if polished >= 4 or not tried:
        for free in _free_fits(problem, pieces, width, evaluations)[:2]:
            tried += [(sign, free.kinks[:width]) for sign in _ranked_sides(problem, free, output_bias, rng)[:polished]]
    found: list[_Units] = []
    for most in (10, 100):  # from the better ones on more
        found = [_fit(problem, *one, output_bias, min(most, evaluations // 6)) for one in tried]
        found.sort(key=_cost)
        tried = [(units.sign, units.kinks) for units in found[: 2 + polished // 8]]
    return found[0]


def _cost(units: _Units) -> float:
    return units.cost if np.isfinite(units.cost) else np.inf


def _free_fits(problem: Problem, pieces: Pieces, count: int, evaluations: int) -> list[_Units]:
    """Return fits with `count` kinks whose first line is free, made by two units behind them; the best comes first."""
    sign, ends = np.append(np.ones(count), [1.0, -1.0]), np.array([-1.0, 1.0])

    def fit(kinks: Array) -> _Units:
        return _fit(problem, sign, np.append(kinks, ends), False, min(50, evaluations // 8), fixed=2)

    first = starts.breaks(problem, pieces, count)
    floor = pieces.best[min(count, len(pieces.best) - 1), -1]
    found = sorted([fit(first), fit(starts.bends(problem, count))], key=_cost)
    for _ in range(2):
        if count == 0 or found[0].cost <= 1.02 * floor:
            break
        knots = starts.broken_line(problem, found[0].values, count)
        found = sorted([*found, fit(np.append(knots, first[: count - len(knots)]))], key=_cost)
    return found


def _ranked_sides(problem: Problem, free: _Units, output_bias: bool, rng: np.random.Generator) -> Array:
    """Return combinations of sides (S, H) for units with the kinks of a free fit, the most promising first.

    A combination is judged by the sum of squares that is left after the best linear step in its coefficients and
    kinks, from the coefficients of the free fit. All share the inner products of their columns.
    """
    h = len(free.kinks) - 2
    kinks = free.kinks[:h]
    every = 2**h <= _SIDES
    right = (np.arange(2**h)[:, None] >> np.arange(h)) & 1 > 0 if every else rng.random((_SIDES, h)) < 0.5
    units = np.concatenate([_units(problem, side, kinks, False) for side in (np.ones(h), -np.ones(h))])  # (2H, G)
    moves = np.where(units > 0.0, np.append(-free.c[:h], free.c[:h])[:, None], 0.0)
    root = np.sqrt(problem.points.weight)
    rows = root * np.concatenate([units, moves, np.ones((1, len(root)))])
    rows /= _norms(rows)[:, None]
    gram = _product(rows, rows.T)
    gram += np.diag(np.repeat([1e-9, 1e-3, 1e-9], [2 * h, 2 * h, 1]))  # no far moves
    target = np.einsum("ig,g->i", rows, root * problem.points.y)
    unit = np.where(right, 0, h) + np.arange(h)
    chosen = np.hstack([unit, unit + 2 * h, np.full((len(unit), int(output_bias)), 4 * h)])
    solved = np.linalg.solve(gram[chosen[:, :, None], chosen[:, None, :]], target[chosen][:, :, None])[:, :, 0]
    gained = (target[chosen] * solved).sum(axis=1)
    return np.where(right[np.argsort(-gained, kind="stable")], 1.0, -1.0)


def _units(problem: Problem, sign: Array, kinks: Array, output_bias: bool) -> Array:
    """Return what each unit puts out at each point, (H, G), and a row of ones if there is an output bias."""
    units = np.maximum(sign[:, None] * (problem.points.x - kinks[:, None]), 0.0)
    return np.concatenate([units, np.ones((1, units.shape[1]))]) if output_bias else units


def _product(left: Array, right: Array) -> Array:
    """Return left @ right, in parts so small that OpenBLAS keeps to one thread.

    Several threads cost more than they save on matrices of this size, up to ten times; einsum takes four times as long.
    """
    rows = max(1, _ONE_THREAD // right.size)
    parts: list[Array] = [left[start : start + rows] @ right for start in range(0, len(left), rows)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _norms(rows: Array) -> Array:
    """Return the length of each row, 1 for those of zeros."""
    norms = np.sqrt(np.einsum("ig,ig->i", rows, rows))
    return np.where(norms > 0.0, norms, 1.0)


def _interpolation(problem: Problem, width: int, output_bias: bool) -> _Units:
    """Return units through the mean of y at each x: one opens to the right before each x (the first x: bias)."""
    x, y = problem.points.x, problem.points.y
    start = y[0] if output_bias else 0.0
    gap = x[1] - x[0] if len(x) > 1 else 1.0
    kinks = x[:-1] if output_bias else np.append(x[0] - gap, x[:-1])
    heights = np.diff(y) if output_bias else np.diff(y, prepend=0.0)
    widths = np.diff(x) if output_bias else np.diff(x, prepend=x[0] - gap)
    c = np.diff(heights / widths, prepend=0.0)
    spare = width - len(kinks)
    return _Units(np.ones(width), np.append(kinks, np.ones(spare)), np.append(c, np.zeros(spare)), float(start), 0.0, y)


def _network(problem: Problem, units: _Units) -> Network:
    """Return the units as weights in the units of the data, the two layers of a unit of equal size."""
    c = units.c * problem.y_unit
    size = np.sqrt(np.abs(c) / problem.x_unit)  # of w1 and w2: their product is the slope
    kinks = problem.x_mid + units.kinks * problem.x_unit
    w1 = units.sign * size
    w2 = np.divide(c, problem.x_unit * size, out=np.zeros_like(c), where=size > 0.0)
    return Network((w1[None, :], w2[:, None]), (-w1 * kinks, [problem.y_mid + units.d * problem.y_unit]))


def _widened(network: Network, width: int) -> Network:
    """Return the same function with dead units added."""
    (hidden, output), (hidden_bias, output_bias) = network.weights, network.biases
    spare = np.zeros(width - len(hidden_bias))
    return Network(
        (np.append(hidden, spare[None, :], axis=1), np.append(output, spare[:, None], axis=0)),
        (np.append(hidden_bias, spare), output_bias),
    )
