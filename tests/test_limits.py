"""Floors against brute force and against trained networks; constructed networks against the floors."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from itertools import combinations, pairwise, product

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

import ensemble
from ensemble import limits
from ensemble.limits import built, starts
from ensemble.limits.floors import best_pieces, problem_of


def line_cost(x, y):
    """Residual sum of squares of the best line, of each output its own."""
    if len(x) == 0:
        return 0.0
    basis = np.stack([np.ones_like(x), x - x.mean()], axis=1)
    r = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    return float((r * r).sum())


def brute_floor(x, y, width):
    """Least MSE over all ways of parting the distinct x into at most width + 1 runs."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    places = [i for i in range(1, len(x)) if x[i] > x[i - 1]]
    best = np.inf
    for n_cuts in range(min(width, len(places)) + 1):
        for cuts in combinations(places, n_cuts):
            ends = [0, *cuts, len(x)]
            best = min(best, sum(line_cost(x[a:b], y[a:b]) for a, b in pairwise(ends)))
    return best / y.size


def mse(network, x, y):
    return float(np.mean((network.predict(x) - y) ** 2))


def wave(n=40, seed=0, noise=0.01):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-3, 3, n))
    return x, -2 / (2 + np.sin(x)) + noise * rng.random(n)


@pytest.fixture(scope="module")
def original():
    data = ensemble.sample("reciprocal_sine", seed=0)
    return data.x_train[:, 0], data.y_train


@pytest.fixture
def quick(monkeypatch):
    """A search that is short enough without compiled code."""
    for module, name, value in (
        (built, "_EFFORT", 150_000), (built, "_POLISHED", 4), (starts, "_PLACES", 3), (starts, "_HEIGHTS", 5),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


# --- the sawtooth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 10])
def test_a_sawtooth_is_exactly_a_network_of_two_units_a_layer(k):
    network = limits.sawtooth_network(k)
    assert [w.shape for w in network.weights] == [(1, 2), *[(2, 2)] * (k - 1), (2, 1)]
    x = np.concatenate([np.random.default_rng(0).random(1000), np.arange(2**k + 1) / 2**k])
    assert_allclose(network.predict(x), ensemble.data.get_target(f"sawtooth-{k}")(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_no_shallow_network_of_fewer_units_than_bends_is_a_sawtooth(k):
    x = np.linspace(0, 1, 2 ** (k + 3) + 1)
    y = limits.sawtooth_network(k).predict(x)
    below, enough = limits.width_floor(x, y, [2**k - 2, 2**k - 1])
    assert enough == 0 < 1e-3 < below
    assert limits.width_floor(x, y, [2], k)[0] == 0


def test_a_sawtooth_needs_a_layer():
    with pytest.raises(ValueError, match="k must be a whole number, 1 or more, not 0"):
        limits.sawtooth_network(0)


# --- noise floor -----------------------------------------------------------------------------------------------------


def test_noise_floor_is_the_variance_of_the_noise():
    assert limits.noise_floor(ensemble.sample("reciprocal_sine", noise=0.01)) == pytest.approx(1e-4 / 12, rel=1e-12)
    assert limits.noise_floor(ensemble.Dataset([0.0, 1.0], [0.0, 1.0])) is None
    with pytest.raises(ValueError, match="data is ndarray, but an ensemble.Dataset is needed"):
        limits.noise_floor(np.zeros(3))


# --- width floor -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
@pytest.mark.parametrize("seed", range(6))
def test_width_floor_is_the_best_of_all_partitions(seed, outputs):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 10))
    x = rng.normal(size=n) if seed % 2 else rng.integers(0, 5, n).astype(float)  # even seeds: duplicates
    y = rng.normal(size=(n, *outputs)) * 10.0 ** -np.arange(np.prod(outputs, dtype=int))
    widths = [5, 1, 2, 9, 3]
    expected = [brute_floor(x, y, width) for width in widths]
    assert_allclose(limits.width_floor(x, y, widths), expected, rtol=1e-11, atol=1e-27)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e4, 1.0), (2e3, 1e-3), (0.0, 1e80), (-1e4, 1e-80)])
def test_width_floor_in_other_units(offset, scale):
    x, y = wave(9)
    ours = limits.width_floor(offset + 30 * x, 5.0 + scale * y, [1, 2, 3])
    moved = offset + 30 * x
    expected = np.array([brute_floor(moved - offset, 5.0 + scale * y, width) for width in (1, 2, 3)])
    assert_allclose(ours, expected, rtol=1e-9, atol=1e-28)


@pytest.mark.parametrize("hidden_layers", [2, 3, 5])
def test_width_floor_of_a_deep_network_is_that_of_as_many_lines(hidden_layers):
    x, y = wave()
    widths = [1, 2, 3, 10**6]
    lines = [min((width + 1) ** hidden_layers, len(x)) for width in widths]
    shallow = limits.width_floor(x, y, [count - 1 for count in lines])
    assert_array_equal(limits.width_floor(x, y, widths, hidden_layers), shallow)
    with pytest.raises(ValueError, match="hidden_layers must be a whole number, 1 or more, not 0"):
        limits.width_floor(x, y, widths, 0)


def test_width_floor_of_constant_and_straight_data_is_zero():
    x = np.linspace(-1, 1, 9)
    assert_array_equal(limits.width_floor(x, np.full(9, 7.0), [1, 4, 100]), 0.0)
    assert_array_equal(limits.width_floor(x, 3.0 * x - 1e3, [1, 4, 100]), 0.0)
    assert_array_equal(limits.width_floor([2.0], [3.0], [1]), 0.0)


def test_width_floor_keeps_what_scatters_at_one_x():
    assert_allclose(limits.width_floor([1, 1, 1, 2], [0.0, 1.0, 2.0, 9.0], [1, 50]), 0.5, rtol=1e-12)
    assert_allclose(limits.width_floor([1, 1], [0.0, 1.0], [3]), 0.25, rtol=1e-12)


def test_width_floor_ignores_order_and_shape_and_falls_with_width():
    x, y = wave(30)
    widths = np.arange(1, 20)
    floor = limits.width_floor(x, y, widths)
    shuffle = np.random.default_rng(1).permutation(len(x))
    assert_allclose(limits.width_floor(x[shuffle][:, None], y[shuffle], widths), floor, rtol=1e-10)
    assert (np.diff(floor) <= 0).all()
    assert_array_equal(limits.width_floor(x, y, widths[::-1]), floor[::-1])


@pytest.mark.jit_heavy
def test_width_floor_of_the_original_data(original):
    floor = limits.width_floor(*original, [2, 4, 8, 16, 32])
    assert_allclose(floor, [2.1e-3, 3.7e-4, 4.3e-5, 9.3e-6, 5.2e-6], rtol=0.2)


@pytest.mark.jit_heavy
def test_width_floor_at_two_thousand_points():
    x, y = wave(2000)
    floor = limits.width_floor(x, y, np.arange(1, 129))
    assert (np.diff(floor) < 0).all()
    assert floor[-1] < 1e-4 / 12 < floor[3]


@pytest.mark.jit_heavy
@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_no_trained_network_is_below_its_floor(optimizer):
    data = ensemble.sample("reciprocal_sine", n=60, seed=3)
    x, y = data.x_train[:, 0], data.y_train
    specs = ensemble.grid(
        width=[1, 2, 3, 5, 16], seed=range(4), lr=[0.1, 0.02], optimizer=optimizer, init="he",
        hidden_bias=[True, False], output_bias=[True, False],
    )  # fmt: skip
    result = ensemble.train(specs, data, epochs=3000)
    floors = limits.width_floor(x, y, specs.width)
    assert (floors[:, None] <= result.train_loss + 1e-12).all()
    for output_bias in (False, True):
        floor = limits.no_bias_floor(x, y, output_bias)
        arm = ~specs.hidden_bias & (specs.output_bias == output_bias)
        final = result.train_loss[arm, -1]
        assert floor <= result.train_loss[arm].min() + 1e-12
        assert final.min() <= floor * (1 + 1e-6)  # and approached


@pytest.mark.parametrize("seed", range(4))
def test_no_random_network_is_below_the_floor_it_attains(seed):
    """Data that is a network: the floor may not exceed the rounding of that network's own predictions."""
    rng = np.random.default_rng(seed)
    x = 1e4 + rng.uniform(-3, 3, 50)
    w1, w2 = rng.normal(size=(1, 3)), 1e3 * rng.normal(size=3)
    network = ensemble.Network((w1, w2[:, None]), (-w1[0] * (1e4 + rng.uniform(-2, 2, 3)), [0.0]))
    y = network.predict(x)
    shifted = ensemble.Network(network.weights, (network.biases[0], [1e-9]))
    assert limits.width_floor(x, y, [3])[0] <= mse(shifted, x, y)
    noisy = y + 0.1 * rng.random(50)
    assert limits.width_floor(x, noisy, [3])[0] <= mse(network, x, noisy)


# --- no-bias floor ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_bias", [False, True])
def test_no_bias_floor_is_least_squares(output_bias):
    x, y = wave()

    def loss(c):
        p = c[0] * np.maximum(x, 0) + c[1] * np.maximum(-x, 0) + (c[2] if output_bias else 0.0)
        return np.mean((p - y) ** 2)

    floor = limits.no_bias_floor(x, y, output_bias)
    found = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    assert floor <= found.fun + 1e-15
    assert_allclose(floor, found.fun, rtol=1e-9)
    steps = np.linspace(-0.01, 0.01, 5)
    grid = [loss(found.x + np.array([a, b, c])) for a in steps for b in steps for c in steps]
    assert floor <= min(grid)


def test_no_bias_floor_where_columns_are_missing():
    x, y = wave()
    assert limits.no_bias_floor(np.zeros(3), [1.0, 2.0, 3.0]) == pytest.approx(14 / 3, rel=1e-12)
    assert limits.no_bias_floor(np.zeros(3), [1.0, 2.0, 3.0], True) == pytest.approx(2 / 3, rel=1e-12)
    assert limits.no_bias_floor(x, np.abs(x)) == 0.0
    assert limits.no_bias_floor(x, np.zeros_like(x)) == 0.0
    assert limits.no_bias_floor(1e4 + x, 5 + 2e-3 * x, True) == 0.0
    positive = np.abs(x) + 0.1
    assert limits.no_bias_floor(positive, y, True) == pytest.approx(line_cost(positive, y) / len(x), rel=1e-9)


@pytest.mark.jit_heavy
def test_no_bias_floor_of_the_original_data(original):
    assert limits.no_bias_floor(*original) == pytest.approx(0.389, rel=0.01)


# --- several outputs -------------------------------------------------------------------------------------------------


def test_no_network_of_several_outputs_is_below_its_floors():
    data = ensemble.sample("reciprocal_sine", n=40, seed=3)
    x = data.x_train[:, 0]
    y = np.stack([data.y_train, np.cos(2 * x), np.abs(x)], axis=1)
    specs = ensemble.grid(width=[1, 3], seed=range(2), lr=0.1, init="he", hidden_bias=[True, False])
    result = ensemble.train(specs, ensemble.Dataset(x, y), epochs=200, engine="numpy")
    assert (limits.width_floor(x, y, specs.width) <= result.train_loss[:, -1]).all()
    floor, least = limits.no_bias_floor(x, y), result.train_loss[~specs.hidden_bias, -1].min()
    assert floor <= least <= floor * (1 + 1e-6)  # and approached
    alone = [limits.no_bias_floor(x, output) for output in y.T]
    assert_allclose(floor, np.mean(alone), rtol=1e-12)
    network = result.networks[int(result.train_loss[:, -1].argmin())]
    width = network.weights[0].shape[1]
    assert limits.width_floor(x, network.predict(x), [width])[0] <= 1e-24  # its own outputs


def test_outputs_share_their_kinks():
    x = np.linspace(-1, 1, 33)
    one, other = np.abs(x), np.abs(x - 0.5)
    assert limits.width_floor(x, one, [1])[0] == limits.width_floor(x, other, [1])[0] == 0
    assert limits.width_floor(x, np.stack([one, one], axis=1), [1])[0] == 0
    both = limits.width_floor(x, np.stack([one, other], axis=1), [1, 2])
    assert both[0] > 1e-3 and both[1] == 0


# --- constructive bound ----------------------------------------------------------------------------------------------


def check(network, width, output_bias):
    assert network.weights[0].shape == (1, width) and network.biases[0].shape == (width,)
    assert network.weights[1].shape == (width, 1) and network.biases[1].shape == (1,)
    assert output_bias or network.biases[1] == 0.0
    assert all(np.isfinite(part).all() for part in naive.four(network))


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("output_bias", "ratios"), [(False, (1.65, 1.15, 1.15)), (True, (1.01, 1.02, 1.02))])
def test_constructed_networks_come_close_to_the_floor(original, output_bias, ratios):
    floor = limits.width_floor(*original, [4, 8, 16])
    for width, low, ratio in zip([4, 8, 16], floor, ratios, strict=True):
        network = limits.constructive_bound(*original, width, output_bias)
        check(network, width, output_bias)
        assert low <= mse(network, *original) <= ratio * low


@pytest.mark.jit_heavy
@pytest.mark.parametrize(
    ("target", "output_bias", "errors"),
    [
        ("quadratic", False, (1.88e-4, 2.38e-5, 7.65e-6)), ("quadratic", True, (1.44e-4, 1.88e-5, 7.33e-6)),
        ("half_sine", False, (2.01e-4, 1.73e-5, 7.47e-6)), ("half_sine", True, (8.18e-5, 1.32e-5, 7.18e-6)),
        ("chirp", False, (2.87e-1, 1.67e-1, 4.56e-3)), ("chirp", True, (2.85e-1, 1.66e-1, 4.56e-3)),
    ],
)  # fmt: skip
def test_constructed_networks_are_near_the_best_known(target, output_bias, errors):
    """Held against a search over 2^14 combinations of sides, which took ten times the lines."""
    data = ensemble.sample(target, seed=0)
    for width, error in zip([4, 8, 16], errors, strict=True):
        network = limits.constructive_bound(data.x_train, data.y_train, width, output_bias)
        assert mse(network, data.x_train, data.y_train) <= 1.2 * error


@pytest.mark.jit_heavy
def test_a_chirp_is_built_with_24_units():
    """To the share of the variance that the original reached on its own target, 0.001 of MSE."""
    data, own = ensemble.sample("chirp", noise=0.01), ensemble.sample("reciprocal_sine", noise=0.01)
    network = limits.constructive_bound(data.x_train, data.y_train, 24)
    assert mse(network, data.x_train, data.y_train) / data.y_train.var() <= 0.001 / own.y_train.var()


@pytest.mark.jit_heavy
@pytest.mark.parametrize("output_bias", [False, True])
def test_constructed_networks_fall_with_width(original, output_bias):
    widths = [16, 1, 2, 3, 4, 8, 32, 128, 300, 420, 640]
    networks = limits.constructive_bounds(*original, widths, output_bias)
    errors = np.array([mse(network, *original) for network in networks])
    for network, width in zip(networks, widths, strict=True):
        check(network, width, output_bias)
    ordered = errors[np.argsort(widths)]
    assert (ordered[1:] <= ordered[:-1] * (1 + 1e-12) + 1e-24).all()
    assert (errors + 1e-12 >= limits.width_floor(*original, widths)).all()
    assert errors[-2:].max() < 1e-20  # one unit per sample: through every point


@pytest.mark.parametrize("output_bias", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3, 6])
def test_constructed_network_reproduces_the_search(monkeypatch, quick, width, output_bias):
    x, y = wave(16)
    found = []
    search = built._search
    monkeypatch.setattr(built, "_search", lambda *args: found.append(search(*args)) or found[-1])
    network = limits.constructive_bound(x, y, width, output_bias)
    check(network, width, output_bias)
    unit = np.abs(y - (y.mean() if output_bias else 0)).max()
    assert_allclose(mse(network, x, y), found[0].cost / len(x) * unit**2, rtol=1e-9)
    assert mse(network, x, y) + 1e-15 >= limits.width_floor(x, y, [width])[0]
    again = limits.constructive_bound(x, y, width, output_bias)
    for ours, theirs in zip(naive.four(network), naive.four(again), strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("output_bias", [False, True])
def test_wider_networks_on_few_points(quick, output_bias):
    x, y = wave(12)
    widths = [4, 2, 12, 3, 30]
    networks = limits.constructive_bounds(x, y, widths, output_bias)
    errors = np.array([mse(network, x, y) for network in networks])
    for network, width in zip(networks, widths, strict=True):
        check(network, width, output_bias)
    ordered = errors[np.argsort(widths)]
    assert (ordered[1:] <= ordered[:-1] * (1 + 1e-12) + 1e-24).all()
    assert errors[[2, 4]].max() < 1e-25


@pytest.mark.parametrize("output_bias", [False, True])
def test_a_hurried_search_places_kinks_once(monkeypatch, quick, output_bias):
    monkeypatch.setattr(built, "_EFFORT", 0)
    x, y = wave(20)
    network = limits.constructive_bound(x, y, 8, output_bias)
    check(network, 8, output_bias)
    assert limits.width_floor(x, y, [8])[0] <= mse(network, x, y) < 1e-2 * y.var()


def test_a_search_that_finds_nothing_better_keeps_the_narrower_network(monkeypatch, quick):
    x, y = wave(16)
    search = built._search

    def spoiled(problem, pieces, width, *rest):
        units = search(problem, pieces, width, *rest)
        return units if width == 2 else units._replace(c=0.5 * units.c)

    monkeypatch.setattr(built, "_search", spoiled)
    narrow, wide = limits.constructive_bounds(x, y, [2, 5])
    check(wide, 5, False)
    assert_allclose(wide.predict(x), narrow.predict(x), rtol=1e-13)


@pytest.mark.jit_heavy
@pytest.mark.parametrize("output_bias", [False, True])
@pytest.mark.parametrize(("offset", "spread", "scale"), [(2000.0, 10.0, 1.0), (1e4, 1.0, 1e-6), (0.0, 1e6, 1e6)])
def test_constructed_network_in_other_units(original, offset, spread, scale, output_bias):
    x, y = original
    x, y = offset + spread * x, scale * y
    network = limits.constructive_bound(x, y, 8, output_bias)
    check(network, 8, output_bias)
    floor = limits.width_floor(x, y, [8])[0]
    assert floor <= mse(network, x, y) <= 1.2 * floor


@pytest.mark.parametrize("output_bias", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_function_that_a_network_is_is_found(quick, width, output_bias):
    """Lines and |x| need two units, and one with an output bias for a line; constant y likewise."""
    x = np.linspace(-1, 2, 7)
    if width >= 2:
        assert mse(limits.constructive_bound(x, np.abs(x), width, output_bias), x, np.abs(x)) < 1e-20
        assert mse(limits.constructive_bound(x, 3 - x, width, output_bias), x, 3 - x) < 1e-20
    if output_bias:
        assert mse(limits.constructive_bound(x, 3 - x, width, True), x, 3 - x) < 1e-20
        assert mse(limits.constructive_bound(x, np.full(7, 4.0), width, True), x, np.full(7, 4.0)) < 1e-20


@pytest.mark.parametrize("seed", range(3))
def test_broken_line_is_the_best_of_all(seed):
    from ensemble.kernels import broken_lines

    rng = np.random.default_rng(seed)
    x, y, weight = np.sort(rng.uniform(-1, 1, 5)), rng.normal(size=5), np.array([1.0, 2.0, 0.0, 1.0, 3.0])
    levels, price = y[:, None] + np.array([-0.5, 0.0, 0.4]), 0.1
    best, best_knots = np.inf, None
    for n_inner in range(4):
        for inner in combinations([1, 2, 3], n_inner):
            at = [0, *inner, 4]
            for heights in product(*levels[at]):
                cost = weight @ (np.interp(x, x[at], heights) - y) ** 2 + price * (len(at) - 1)
                if cost < best:
                    best, best_knots = cost, at
    value, source = np.empty((5, 3)), np.empty((5, 3), np.int64)
    broken_lines.best_broken_line(broken_lines.Points(x, y, weight), levels, 4, price, value, source)
    assert_allclose(value[-1].min(), best, rtol=1e-12)
    assert [0, *starts.inner_knots(value, source), 4] == best_knots


def test_broken_lines_improve_a_fit_of_noise(quick):
    """Knots are points or the middles between them, and no more than asked for."""
    x, y = np.linspace(0, 1, 14), np.random.default_rng(0).normal(size=14)
    problem = problem_of(x, y, True)
    line = np.polyval(np.polyfit(problem.points.x, problem.points.y, 1), problem.points.x)
    for count in (4, 6):
        knots = starts.broken_line(problem, line, count)
        assert 1 <= len(knots) <= count and (np.diff(knots) > 0).all()
        ends = np.array([-1.0, *knots, 1.0])
        basis = np.maximum(problem.points.x[:, None] - ends[:-1], 0.0)
        basis = np.column_stack([np.ones(14), basis])
        r = basis @ np.linalg.lstsq(basis, problem.points.y, rcond=None)[0] - problem.points.y
        assert r @ r < 0.9 * ((line - problem.points.y) ** 2).sum()


def test_starts_give_as_many_kinks_as_asked_for():
    x, y = wave(30)
    problem = problem_of(x, y, True)
    pieces = best_pieces(problem, 4)
    for count in (0, 1, 3, 9):  # 9 are more than the pieces have breaks
        for kinks in (starts.breaks(problem, pieces, count), starts.bends(problem, count)):
            assert len(kinks) == count and (np.abs(kinks) <= 1).all() and (np.diff(kinks) >= 0).all()


def test_the_derivatives_of_a_fit_are_those_of_its_residuals_along_what_coefficients_cannot_follow():
    """Kaufman's form leaves out a part within the span of the basis: both agree in their product with r."""
    x, y = wave(40)
    problem = problem_of(x, y, True)
    sign, kinks = np.array([1.0, -1.0, 1.0]), np.array([-0.503, 0.107, 0.411])
    fit = built._Fit(problem, sign, kinks, True)
    r, jacobian = fit.evaluate(kinks)
    for j in range(3):
        step = 1e-6 * np.eye(3)[j]
        up, down = (float(np.sum(fit.evaluate(kinks + way * step)[0] ** 2)) for way in (1, -1))
        assert jacobian[j] @ r == pytest.approx((up - down) / 4e-6, rel=1e-5)


@pytest.mark.jit_heavy
def test_a_search_with_dead_units_gives_the_same_bits_whatever_memory_holds():
    """SciPy's `leastsq` read memory that it had not written: 16 units on half a sine differed in one run of three."""
    code = (
        "import ensemble, hashlib; d = ensemble.sample('half_sine', noise=0.01);"
        "print(hashlib.sha256(ensemble.limits.constructive_bound(d.x_train, d.y_train, 16).weights[0]).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", "import ensemble.limits;" + code], capture_output=True, text=True, check=True,
            env=os.environ | {"MALLOC_PERTURB_": fill},
        ).stdout
        for fill in ("85", "200")
    }  # fmt: skip
    with redirect_stdout(io.StringIO()) as said:
        exec(code)
    assert found == {said.getvalue()} and len(said.getvalue()) == 65


@pytest.mark.parametrize("output_bias", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_points_and_duplicates(quick, n, output_bias):
    x, y = np.repeat(np.arange(n) + 5.0, 2), np.arange(2.0 * n) ** 2
    for width in (1, 2, 4):
        network = limits.constructive_bound(x, y, width, output_bias)
        check(network, width, output_bias)
        assert mse(network, x, y) + 1e-12 >= limits.width_floor(x, y, [width])[0]
    assert mse(network, x, y) == pytest.approx(limits.width_floor(x, y, [4])[0], rel=1e-11, abs=1e-12)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1.0, 2.0]], [1.0], "x has 2 columns: these limits hold for one input"),
        ([], [], r"x has shape \(0,\): at least one sample"),
        ([1.0], 1.0, r"y has shape \(\): at least one sample"),
        ([1.0, np.nan], [1.0, 2.0], r"x\[1\] is nan: finite numbers are needed"),
        ([1.0, 2.0], [np.inf, 2.0], r"y\[0\] is inf: finite numbers are needed"),
        ([1.0, 2.0], [1.0], "x has 2 samples, but y has 1: one y per x is needed"),
        ([1.0, 2.0], [[1.0, 2.0], [3.0, np.nan]], "y has 2 columns: these limits hold for one output|y.1, 1. is nan"),
        (["a"], [1.0], "x has dtype <U1: real numbers are needed"),
        ([1j], [1.0], "x has dtype complex128: real numbers are needed"),
    ],
)
def test_bad_data_is_named(x, y, message):
    for call in (
        lambda: limits.width_floor(x, y, [1]),
        lambda: limits.no_bias_floor(x, y),
        lambda: limits.constructive_bound(x, y, 2),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("width", [0, -1, 2.5, True, "3", None, 2**40])
def test_bad_widths_are_named(width):
    x, y = wave(5)
    with pytest.raises(ValueError, match="width must be a whole number, from 1 to"):
        limits.constructive_bound(x, y, width)
    with pytest.raises(ValueError, match="seed must be a whole number, 0 or more, not -1"):
        limits.constructive_bound(x, y, 2, seed=-1)
    with pytest.raises(ValueError, match="output_bias must be True or False, not 1"):
        limits.no_bias_floor(x, y, 1)
    for widths in ([], 4, [[4]]):
        with pytest.raises(ValueError, match="widths has shape .*: at least one width"):
            limits.width_floor(x, y, widths)


def test_importing_it_compiles_nothing():
    code = "import sys, ensemble.limits; assert not {'numba', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
