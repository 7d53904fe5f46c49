import functools
import math

import naive
import numba
import numpy as np
import pytest
from conftest import JIT_DISABLED
from hypothesis import given, settings
from hypothesis import strategies as st
from test_layers import two_layers

import ensemble
from ensemble.engines.settings import kernel_rules
from ensemble.kernels import dense, kinks, samples, search, spline, updates
from ensemble.kernels.tiles import LANES

# ---- the one place that knows the kernels' arguments ----


def _theta(w1, b1, w2, b2):
    return np.concatenate([np.ravel(w1), b1, w2, [b2]]).astype(np.float64)


def _blocks(g, d, h):
    return g[: d * h].reshape(d, h), g[d * h : (d + 1) * h], g[(d + 1) * h : (d + 2) * h], g[(d + 2) * h]


def one_step(kernel, samples, w1, b1, w2, b2):
    """Run one step of "momentum" with momentum 0, whose memory is then the gradient; return it and the first MSE.

    A bias that is zero is switched off, as far as the gradient's other blocks go (which then must not depend on it).
    """
    d, h = w1.shape
    p = (d + 2) * h + 1
    first = np.zeros(p)
    models = updates.Models(
        np.array([h]),
        np.array([1]),
        np.array([0, p]),
        _theta(w1, b1, w2, b2),
        first,
        np.zeros(p),
        np.ones((1, 2)),
    )
    spec = ensemble.grid(width=h, optimizer="momentum", lr=1e-3, momentum=0.0, output_bias=True)
    rules = kernel_rules(spec, 1, 1)
    history = updates.History(
        np.array([0, 1]),
        np.full((1, 2), np.inf),
        np.full((1, 2), np.inf),
        np.full((1, 2), np.inf),
        np.full(1, -1),
        *(np.empty((1, 0)) for _ in range(3)),
        np.ones(1),
    )
    kernel.train(samples, models, rules, history, updates.Span(0, 1, 0, 1))
    return _blocks(models.first, d, h), history.train[0, 0]


def spline_run(segment_width):
    def run(x, y, w1, b1, w2, b2):
        empty = np.empty((0, 1)), np.empty(0)
        samples = spline.prepare(x, y, *empty, *empty)
        if segment_width is not None:
            samples = samples._replace(segment_width=segment_width)
        return one_step(spline, samples, w1, b1, w2, b2)

    return run


def dense_run(x, y, w1, b1, w2, b2):
    empty = np.empty((0, x.shape[1])), np.empty(0)
    return one_step(dense, dense.prepare(np.ascontiguousarray(x), y, *empty, *empty), w1, b1, w2, b2)


@functools.cache
def door(function):
    """Return a function that only kernels may call with a door for Python."""
    return numba.njit(lambda *arguments: function(*arguments))


locate, SORT_KEYS = door(kinks.locate), door(kinks.sort_keys)
FIND = door(search.find)


KERNELS = [("cells", 1), ("segments", 1), ("dense", 1), ("dense", 2), ("dense", 5)]
RUN = {"cells": spline_run(0), "segments": spline_run(10**6), "chosen": spline_run(None), "dense": dense_run}
GRADIENT = {name: lambda *args, run=run: run(*args)[0] for name, run in RUN.items()}
ERROR = {name: lambda *args, run=run: run(*args)[1] for name, run in RUN.items()}


# ---- gradients and errors against the rules ----


def assert_gradient(kernel, x, y, weights, scales=None):
    """Compare with `layers.backward`, block by block, within 1e-12 of the block's largest entry (or of `scales`)."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    weights = [np.asarray(w, dtype=np.float64) for w in weights]
    loss, expected = two_layers(x, y, *weights)
    ours = GRADIENT[kernel](x, y, *weights)
    scales = [np.abs(block).max() for block in expected] if scales is None else scales
    for name, a, b, scale in zip(("w1", "b1", "w2", "b2"), ours, expected, scales, strict=True):
        worst = np.abs(a - b).max()
        assert worst <= 1e-12 * scale, f"dL/d{name}: {kernel} {a}, layers {b}, off by {worst:.2e} of {scale:.2e}"
    assert ERROR[kernel](x, y, *weights) == pytest.approx(loss, rel=1e-12, abs=1e-25)


def magnitudes(x, y, w1, b1, w2, b2):
    """Each block's gradient if nothing cancelled: what rounding errors are relative to."""
    hidden = np.abs(x) @ np.abs(w1) + np.abs(b1)  # (N, H)
    r = hidden @ np.abs(w2) + np.abs(b2) + np.abs(y)  # (N,)
    c = 2.0 / len(y)
    return [
        c * (r @ np.abs(x)).max() * np.abs(w2).max(),
        c * r.sum() * np.abs(w2).max(),
        c * (r @ hidden).max(),
        c * r.sum(),
    ]


def draw(seed, d, h, n):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-3, 3, size=(n, d)), rng.normal(size=n)
    return x, y, [rng.normal(size=shape) for shape in ((d, h), h, h, ())]


@pytest.mark.parametrize("biases", [(1, 1), (1, 0), (0, 1), (0, 0)])
@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_gradient_in_every_bias_setting(kernel, d, biases):
    x, y, (w1, b1, w2, b2) = draw(1, d, 17, 41)
    assert_gradient(kernel, x, y, (w1, b1 * biases[0], w2, b2 * biases[1]))


@pytest.mark.parametrize(("kernel", "d"), KERNELS)
@pytest.mark.parametrize(("n", "h"), [(1, 1), (1, 9), (30, 1), (2, 2), (5, 60), (64, 8), (65, 3)])
def test_gradient_in_every_shape(kernel, d, n, h):
    assert_gradient(kernel, *draw(n + h, d, h, n))


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_gradient_at_the_originals_size(kernel, d):
    assert_gradient(kernel, *draw(5, d, 640, 420))


@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_gradient_with_duplicate_unsorted_and_equal_inputs(kernel, d):
    x, y, weights = draw(2, d, 7, 24)
    duplicated = x[np.random.default_rng(0).integers(5, size=24)]
    assert (np.diff(duplicated[:, 0]) < 0).any()
    assert_gradient(kernel, duplicated, y, weights)
    assert_gradient(kernel, np.repeat(x[:1], 24, axis=0), y, weights)
    assert_gradient(kernel, np.zeros_like(x), y, weights)
    assert_gradient(kernel, x[np.argsort(-x[:, 0])], y, weights)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_gradient_of_units_without_a_kink(kernel, d, zero):
    x, y, (w1, b1, w2, b2) = draw(3, d, 6, 20)
    w1[:, :4] = zero  # always on, always off, and on the border twice
    b1[:4] = [0.7, -0.7, 0.0, -0.0]
    assert_gradient(kernel, x, y, (w1, b1, w2, b2))
    gradient = GRADIENT[kernel](x, y, w1, b1, w2, b2)
    for block in gradient[:3]:
        assert (block[..., 1:4] == 0).all()
        assert (block[..., 0] != 0).all()


@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_gradient_of_dead_units_is_exactly_zero(kernel, d):
    x, y, (w1, b1, w2, b2) = draw(4, d, 5, 20)
    b1[1] = b1[3] = -100.0
    w1[:, 1] = abs(w1[:, 1])
    w1[:, 3] = -abs(w1[:, 3])
    assert_gradient(kernel, x, y, (w1, b1, w2, b2))
    for block in GRADIENT[kernel](x, y, w1, b1, w2, b2)[:3]:
        assert (block[..., [1, 3]] == 0).all()
    b1[:] = -100.0  # none is left: only the output bias learns
    gradient = GRADIENT[kernel](x, y, w1, b1, w2, b2)
    assert not any(block.any() for block in gradient[:3])
    assert gradient[3] == pytest.approx(2 * (b2 - y.mean()), rel=1e-12)


@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_a_kink_on_a_sample_leaves_that_sample_out(kernel, d):
    # Small whole numbers and halves: every w x + b is exact, and many are exactly 0.
    rng = np.random.default_rng(6)
    x, y = rng.integers(-4, 5, size=(30, d)).astype(float), rng.integers(-4, 5, size=30) / 2
    w1 = rng.choice([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0], size=(d, 12))
    b1 = -(x[:12] * w1.T).sum(axis=1)
    w2, b2 = rng.integers(1, 5, size=12) / 4, np.array(0.5)
    z = x @ w1 + b1
    assert (z == 0).sum() >= 12
    assert_gradient(kernel, x, y, (w1, b1, w2, b2))


@st.composite
def problems(draw, d):
    """Shapes and values on a grid of 1/8, where z is exact and kinks on samples, duplicates and zeros abound."""
    n, h = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    values = st.integers(-24, 24)
    sizes = {"x": (n, d), "y": (n,), "w1": (d, h), "b1": (h,), "w2": (h,), "b2": ()}
    arrays = []
    for shape in sizes.values():
        size = int(np.prod(shape))
        arrays.append(np.array(draw(st.lists(values, min_size=size, max_size=size))).reshape(shape) / 8)
    return arrays[0], arrays[1], arrays[2:]


@pytest.mark.parametrize(("kernel", "d"), KERNELS)
@settings(max_examples=25 if JIT_DISABLED else 80)
@given(data=st.data())
def test_gradient_is_the_rules_whatever_the_problem(kernel, d, data):
    x, y, weights = data.draw(problems(d))
    assert_gradient(kernel, x, y, weights, magnitudes(x, y, *weights))


@pytest.mark.parametrize(("kernel", "d"), KERNELS)
def test_gradient_is_the_scalar_loops(kernel, d):
    x, y, weights = draw(8, d, 5, 15)
    for ours, theirs in zip(GRADIENT[kernel](x, y, *weights), naive.gradient(x, y, *weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * np.abs(theirs).max())


# ---- where a unit switches ----

NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 5e-324, -5e-324, 1e-300, 1e75, -1e75, 1e200, -1e200]),
    st.integers(-8, 8).map(lambda i: i / 4),
    st.floats(-1e3, 1e3),
)


@settings(max_examples=100 if JIT_DISABLED else 200)
@given(x=st.lists(NUMBERS, min_size=1, max_size=12), w=NUMBERS, b=NUMBERS)
def test_locate_is_brute_force_from_any_start(x, w, b):
    x = np.sort(np.array(x))
    with np.errstate(all="ignore"):
        active = w * x + b > 0
        expected = active.sum() if w < 0 else (~active).sum()
        for start in range(len(x) + 1):
            assert locate(x, w, b, start) == expected


@settings(max_examples=100 if JIT_DISABLED else 200)
@given(
    x=st.lists(NUMBERS, min_size=1, max_size=40), units=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5)
)
def test_rows_found_by_halving_are_brute_force(x, units):
    x, w, b = np.sort(np.array(x)), np.zeros(LANES), np.zeros(LANES)
    w[: len(units)], b[: len(units)] = np.array(units).T
    n, rows = len(x), np.zeros(LANES, np.int64)
    with np.errstate(all="ignore"):
        FIND(np.append(x, np.nan), n, w, b, rows, np.zeros(LANES), np.zeros(search.PIVOTS))
        off = (~(w * x[:, None] + b > 0)).sum(axis=0)
    assert rows.tolist() == np.where(w < 0, n + 1 + off, off).tolist()


def test_locate_gallops_over_long_ranges():
    x = np.linspace(-1, 1, 1000)
    for w, b in [(1.0, 0.3), (-1.0, 0.3), (2.0, 5.0), (2.0, -5.0), (-2.0, 5.0), (-2.0, -5.0), (1.0, -x[400])]:
        active = w * x + b > 0
        expected = active.sum() if w < 0 else (~active).sum()
        for start in range(0, 1001, 37):
            assert locate(x, w, b, start) == expected


def test_locate_with_a_kink_on_a_run_of_duplicates():
    x = np.array([-1.0, -0.0, 0.0, 0.0, 2.0, 2.0, 3.0])
    for start in range(8):
        assert locate(x, 1.0, 0.0, start) == 4  # at 0 a unit is off
        assert locate(x, -1.0, 0.0, start) == 1
        assert locate(x, 1.0, -2.0, start) == 6
        assert locate(x, -1.0, 2.0, start) == 4
        assert locate(x, 0.0, 1.0, start) == 0
        assert locate(x, 0.0, 0.0, start) == 7
        assert locate(x, -0.0, -1.0, start) == 7


# ---- the original's loop and its own figures ----


@functools.cache
def original(seed):
    """Return what the original's loop makes of 640 units of a seed in 500 epochs: weights and losses."""
    data, start = ensemble.sample("reciprocal_sine"), ensemble.initialize(ensemble.grid(width=640, seed=seed))
    return naive.original(data.x_train, data.y_train, naive.four(start[0]), 500)


@pytest.mark.jit_heavy
@pytest.mark.parametrize(
    ("engine", "seeds"), [("spline", 1), ("dense", 1), pytest.param("spline", 3, marks=pytest.mark.slow)]
)
def test_500_epochs_are_the_originals_loop(engine, seeds):
    data = ensemble.sample("reciprocal_sine")
    specs = ensemble.grid(width=640, seed=range(seeds))
    result = ensemble.train(specs, data, epochs=500, record=range(0, 501, 50), engine=engine)
    for i in range(seeds):
        expected, losses = original(i)
        for name, ours, theirs in zip(("w1", "b1", "w2"), naive.four(result.networks[i]), expected, strict=False):
            worst = np.abs(ours - theirs).max() / np.abs(theirs).max()
            assert worst <= 1e-9, f"{name} of seed {i} is off by {worst:.2e}"
        assert result.networks[i].biases[1] == 0
        np.testing.assert_allclose(result.train_loss[i], losses[::50], rtol=1e-9)


@pytest.mark.jit_heavy
def test_the_originals_figures():
    specs = ensemble.grid(width=640, seed=range(10))
    result = ensemble.train(specs, ensemble.sample("reciprocal_sine"), epochs=500, record=[50, 100, 200])
    assert result.epochs.tolist() == [0, 50, 100, 200, 500]
    median = np.median(result.train_loss, axis=0)
    for epoch, value, printed, factor in zip(
        (50, 100, 200, 500), median[1:], (0.033, 0.016, 0.006, 0.001), (1.5, 1.5, 1.5, 2.5), strict=True
    ):
        assert printed / factor <= value <= printed * factor, f"epoch {epoch}: median {value:.4f}, original {printed}"


# ---- the order of the units, running sums, and what a dead unit must not touch ----


@given(k=st.lists(st.integers(0, 5), min_size=1, max_size=40), seed=st.integers(0, 40))
def test_keys_are_sorted_by_place_and_unit(k, seed):
    k = np.array(k)
    for gap in (1, len(k)):
        keys = np.random.default_rng(seed).permutation(len(k))  # of other places, in any order
        SORT_KEYS(len(k), k, keys, gap)
        assert (keys & kinks.UNIT_MASK).tolist() == np.lexsort((np.arange(len(k)), k)).tolist()
        assert (keys >> kinks.UNIT_BITS).tolist() == sorted(k)


@given(moves=st.lists(st.tuples(st.integers(0, 9), st.integers(-2, 2)), min_size=1, max_size=40))
def test_keys_of_units_that_moved_a_little_are_sorted_again(moves):
    before, step = np.array(moves).T
    after = np.maximum(before + step, 0)
    keys = np.arange(len(before))
    SORT_KEYS(len(before), before, keys, len(before))
    SORT_KEYS(len(after), after, keys, 1)
    assert (keys & kinks.UNIT_MASK).tolist() == np.lexsort((np.arange(len(after)), after)).tolist()


def test_running_sums_are_rounded_about_once():
    terms = np.random.default_rng(0).normal(size=20_000) * 10.0 ** np.random.default_rng(1).integers(-8, 9, 20_000)
    exact = [math.fsum(terms[:i]) for i in range(0, 20_001, 500)]
    np.testing.assert_allclose(samples.running_sums(terms)[::500], exact, rtol=2e-15, atol=1e-15 * np.abs(terms).max())


@pytest.mark.parametrize("kernel", ["cells", "segments"])
def test_a_dead_falling_unit_with_huge_weights_swallows_nothing(kernel):
    x, y, (w1, b1, w2, b2) = draw(4, 1, 3, 20)
    expected, loss = RUN[kernel](x, y, w1, b1, w2, b2)
    w1, b1, w2 = np.append(w1, [[-1e12]], axis=1), np.append(b1, -1e14), np.append(w2, 1e12)
    gradient, same_loss = RUN[kernel](x, y, w1, b1, w2, b2)
    assert same_loss == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(gradient[0][0, :3], expected[0][0], rtol=1e-13)
    assert gradient[3] == pytest.approx(expected[3], rel=1e-13)
