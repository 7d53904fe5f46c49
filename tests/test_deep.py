"""The kernel "deep" of the engine "dense" against the rules: its gradient at every depth, and whole trainings."""

import itertools
import os
import subprocess
import sys

import naive
import numpy as np
import pytest
from conftest import JIT_DISABLED
from stored import content
from test_kernels import door

import ensemble
from ensemble.engines import dense as engine
from ensemble.engines.settings import kernel_rules
from ensemble.kernels import deep, dense, updates
from ensemble.kernels.tiles import LANES
from ensemble.rules import layers

INPUTS = [1, 2, 3, 7, 8, 9, 33]  # the first group of inputs: narrow, odd, whole, before others
DEPTHS = [2, 3, 5]
BLOCK = deep.BLOCK


def draw(d, depth, width, n):
    """Return x (N, D), y, weights and biases of a network all of whose layers are at work."""
    rng = np.random.default_rng([d, depth, width, n])
    units = [d, *[width] * depth, 1]
    weights = [rng.normal(size=pair) * np.sqrt(2 / pair[0]) for pair in itertools.pairwise(units)]
    x = rng.normal(size=(n, d))
    return x, np.sin(x).sum(axis=1), weights, [rng.normal(size=units_out) * 0.3 for units_out in units[1:]]


def flat(weights, biases):
    return np.concatenate([part.ravel() for pair in zip(weights, biases, strict=True) for part in pair])


def arguments(weights, biases, epochs, **settings):
    """Return the kernel's arguments for one model, every epoch recorded."""
    theta, width, depth = flat(weights, biases), weights[0].shape[1], len(weights) - 1
    models = updates.Models(
        np.array([width]), np.array([depth]), np.array([0, theta.size]), theta, np.zeros(theta.size),
        np.zeros(theta.size), np.ones((1, 2)),
    )  # fmt: skip
    spec = ensemble.grid(width=width, hidden_layers=depth, **{"output_bias": True} | settings)
    rules = kernel_rules(spec, epochs, 1)
    rows = (np.full((1, epochs + 1), np.inf) for _ in range(3))
    return (
        models,
        rules,
        updates.History(
            np.arange(epochs + 1), *rows, np.full(1, -1), *(np.empty((1, 0)) for _ in range(3)), np.ones(1)
        ),
    )


def prepared(x, y):
    empty = np.empty((0, x.shape[1])), np.empty(0)
    return dense.prepare(x, y, *empty, *empty)


def gradient(x, y, weights, biases, **switches):
    """Return the kernel's gradient as (weights[0]'s, biases[0]'s, ...) and the MSE: the memory of "momentum" with 0."""
    models, rules, history = arguments(weights, biases, 1, optimizer="momentum", momentum=0.0, lr=1e-3, **switches)
    dense.train(prepared(x, y), models, rules, history, updates.Span(0, 1, 0, 1))
    parts = [part for pair in zip(weights, biases, strict=True) for part in pair]
    ends = np.cumsum([part.size for part in parts])[:-1]
    return [g.reshape(p.shape) for g, p in zip(np.split(models.first, ends), parts, strict=True)], history.train[0, 0]


def assert_same_gradient(x, y, weights, biases, hidden_bias=True, output_bias=True):
    """Compare with `layers.backward`, within 1e-12 of each tensor's largest entry; return the gradient."""
    found, error = gradient(x, y, weights, biases, hidden_bias=hidden_bias, output_bias=output_bias)
    loss, (dweights, dbiases) = layers.backward(x, y, weights, biases)
    on = [hidden_bias] * (len(biases) - 1) + [output_bias]
    expected = [part for dw, db, is_on in zip(dweights, dbiases, on, strict=True) for part in (dw, db * is_on)]
    for place, (ours, rule) in enumerate(zip(found, expected, strict=True)):
        name = f"{'biases' if place % 2 else 'weights'}[{place // 2}]"
        np.testing.assert_allclose(ours, rule, rtol=0, atol=1e-12 * np.abs(rule).max(), err_msg=name)
    assert error == pytest.approx(loss, rel=1e-12)
    return found


# ---- the gradient ----


@pytest.mark.parametrize(
    ("width", "n"),
    [(1, 7), (5, 130), (LANES - 1, 1), (LANES, 8), (LANES + 4, BLOCK), (20, 2 * BLOCK + 7), (64, 131), (64, 1000)],
)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("d", INPUTS)
def test_gradient_is_that_of_the_rules(d, depth, width, n):
    if JIT_DISABLED and width * n > 1000:
        pytest.skip("needs compiled speed")
    assert_same_gradient(*draw(d, depth, width, n))


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("d", "depth", "width", "n"), [(8, 3, 256, 1000), (300, 2, 130, 200), (4, 12, 40, 333)])
def test_gradient_of_large_networks(d, depth, width, n):
    assert_same_gradient(*draw(d, depth, width, n))


@pytest.mark.parametrize("d", [2, 9])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("hidden_bias", "output_bias"), [(False, False), (False, True), (True, False)])
def test_biases_that_are_switched_off_have_no_gradient(d, depth, hidden_bias, output_bias):
    x, y, weights, biases = draw(d, depth, 20, 50)
    biases = [*(hidden_bias * b for b in biases[:-1]), output_bias * biases[-1]]
    found = assert_same_gradient(x, y, weights, biases, hidden_bias=hidden_bias, output_bias=output_bias)
    assert all((db == 0).all() != hidden_bias for db in found[1:-1:2])
    assert (found[-1] == 0).all() != output_bias


@pytest.mark.parametrize("dead", range(3))
def test_below_a_dead_layer_there_is_exactly_no_gradient(dead):
    x, y, weights, biases = draw(3, 3, 20, 40)
    weights[dead] = -np.abs(weights[dead])
    biases[dead] = np.zeros(20)
    x = np.abs(x)
    found = assert_same_gradient(x, y, weights, biases)
    assert all((g == 0).all() for g in found[: 2 * dead + 3])  # and the next weights, to which it puts out nothing
    assert all((g != 0).any() for g in found[2 * dead + 3 :: 2])


def test_dead_units_get_exactly_no_gradient():
    x, y, weights, biases = draw(5, 3, 2 * LANES + 3, 70)
    for b in biases[:-1]:
        b[::5] = -1e3
    found = assert_same_gradient(x, y, weights, biases)
    for layer in range(3):
        assert (found[2 * layer][:, ::5] == 0).all() and (found[2 * layer + 1][::5] == 0).all()
        assert (found[2 * layer + 2][::5] == 0).all()
        assert (found[2 * layer][:, 1::5] != 0).any() and (found[2 * layer + 1][1::5] != 0).any()


def test_samples_beyond_the_last_are_not_counted():
    x, y, weights, biases = draw(2, 2, 5, 9)
    assert_same_gradient(x, y, weights, [b + 1e6 for b in biases])  # a sample of zeros would be as far off as any


# ---- strips ----


@pytest.mark.parametrize("d", [1, 3, 8, 11, 16])
@pytest.mark.parametrize(("depth", "outputs"), [(1, 3), (2, 1), (4, 1), (4, LANES + 1)])
def test_packing_is_undone_and_leaves_the_padding_zero(d, depth, outputs):
    width, rows_in, rows, padded = LANES + 5, -(-d // 8) * 8, 24, 2 * LANES
    sizes = [(d + 1) * width, *[(width + 1) * width] * (depth - 1), (width + 1) * outputs]
    parameters = np.arange(1.0, sum(sizes) + 1)
    packed = np.zeros(deep.size_of(depth, rows_in, rows, padded, outputs))
    door(deep.move)(parameters, packed, 0, d, width, depth, rows_in, rows, padded, outputs, True)
    assert np.sort(packed)[-len(parameters) :].tolist() == parameters.tolist()
    assert np.count_nonzero(packed) == len(parameters)
    back = np.empty_like(parameters)
    door(deep.move)(back, packed, 0, d, width, depth, rows_in, rows, padded, outputs, False)
    np.testing.assert_array_equal(back, parameters)


# ---- whole trainings ----


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
def test_cutting_the_epochs_into_calls_changes_no_bit(optimizer):
    x, y, weights, biases = draw(3, 3, 18, BLOCK + 5)
    if JIT_DISABLED:
        x, y = x[:20], y[:20]
    samples, ends = prepared(x, y), []
    for cuts in ([0, 6], [0, 1, 2, 5, 6]):
        models, rules, history = arguments(weights, biases, 6, optimizer=optimizer, lr=0.01)
        for begin, end in itertools.pairwise(cuts):
            dense.train(samples, models, rules, history, updates.Span(0, 1, begin, end))
        assert np.isfinite(history.train).all() and (np.diff(history.train) != 0).all()
        ends.append([values.tobytes() for values in (models.parameters, models.first, models.second, history.train)])
    assert ends[0] == ends[1]


def test_bits_are_the_same_alone_and_among_models_of_other_shapes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(23, 3))
    data = ensemble.Dataset(x, np.sin(x).sum(axis=1))
    specs = ensemble.grid(
        hidden_layers=[3, 1, 2], width=[17, 1, 40], optimizer=["adam", "gd"], hidden_bias=[True, False], init="he"
    )
    together = ensemble.train(specs, data, epochs=4, engine="dense")
    for i in range(0, len(specs), 5):
        alone = ensemble.train(specs[[i]], data, epochs=4, engine="dense")
        assert content(alone) == content(together[[i]])


@pytest.mark.parametrize("settings", [
    {"optimizer": "gd", "schedule": "cosine"},
    {"optimizer": "momentum", "weight_decay": 0.01},
    {"optimizer": "adam", "schedule": "cosine", "weight_decay": 0.05},
    {"optimizer": ["gd", "momentum", "adam"], "parametrization": "mup", "lr": 0.002},
    {"optimizer": "adam", "hidden_bias": [True, False], "output_bias": [True, False]},
    {"optimizer": ["gd", "adam"], "hidden_lr_factor": [0.0, 0.5], "output_lr_factor": 2.0, "weight_decay": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("d", [2, *(pytest.param(d, marks=pytest.mark.jit_heavy) for d in (1, 5, 12))])
def test_training_is_that_of_the_readable_engine(d, settings):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(30, d))
    y = np.sin(x).sum(axis=1)
    data = ensemble.Dataset(x[:20], y[:20], x_test=x[20:25], y_test=y[20:25], x_val=x[25:], y_val=y[25:])
    specs = ensemble.grid(
        **{"width": [3, 20 if not JIT_DISABLED else 9], "hidden_layers": [1, 2, 3], "lr": 0.01, "init": "fan_in"}
        | {"output_bias": True}
        | settings
    )
    ours, rules = (ensemble.train(specs, data, epochs=12, engine=name, snapshots=[5]) for name in ("dense", "numpy"))
    for part in ("train", "test", "val"):
        np.testing.assert_allclose(ours.losses[part], rules.losses[part], rtol=1e-9)
    for networks, others in ((ours.networks, rules.networks), (ours.snapshots[5], rules.snapshots[5])):
        for one, other in zip(networks, others, strict=True):
            for a, b in zip(naive.parameters(one), naive.parameters(other), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("lr", [1e3, 1e10, 1e200])
def test_a_diverging_model_stops_where_the_readable_engine_stops_it(lr):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    data = ensemble.Dataset(x[:20], x[:20, 0], x_test=x[20:], y_test=x[20:, 0])
    specs = ensemble.grid(width=8, hidden_layers=3, init="he", lr=[0.01, lr, 0.02], seed=1)
    with np.errstate(all="ignore"):
        ours, rules = (ensemble.train(specs, data, epochs=20, record=range(21), engine=e) for e in ("dense", "numpy"))
    assert ours.status.tolist() == ["ok", "diverged", "ok"]
    assert ours.diverged_at.tolist() == rules.diverged_at.tolist()
    for part in ours.parts:
        np.testing.assert_allclose(ours.losses[part], rules.losses[part], rtol=1e-7)


# ---- what it costs ----


def test_cost_grows_with_depth_as_the_products_do():
    data = ensemble.Dataset(np.zeros((1000, 8)), np.zeros(1000))
    specs = ensemble.grid(width=64, hidden_layers=[1, 2, 3, 4])
    seconds = engine.ENGINE.seconds(specs, data)
    steps = np.diff(seconds)
    assert (steps > 0).all()
    np.testing.assert_allclose(steps[1:], steps[1], rtol=1e-9)
    assert 2e11 > 6 * 1000 * 64**2 / steps[1] > 2e10  # operations a second, of any machine of today


# A fresh process for each list of depths, but for the imports.
NEEDED = """
import os
import numpy as np, ensemble
from ensemble.kernels import deep, dense
data = ensemble.Dataset(np.ones((3, 2)), np.ones(3))
for depths in ([1], [2, 3], [1, 2]):
    if not (child := os.fork()):
        specs = ensemble.grid(width=2, hidden_layers=depths)
        ensemble.train(specs, data, epochs=1, engine="dense", progress=False)
        print(len(dense.train_models.signatures), len(deep.train_models.signatures), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled (NUMBA_DISABLE_JIT)")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_only_the_kernels_that_are_needed_are_compiled():
    done = subprocess.run([sys.executable, "-c", NEEDED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 0", "0 1", "1 1"], done.stderr
