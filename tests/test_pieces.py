"""The kernel "pieces" against the rules: its gradient at every depth, and whole trainings."""

import itertools

import numpy as np
import pytest
from conftest import JIT_DISABLED

import ensemble
from ensemble.engines.settings import kernel_rules
from ensemble.kernels import pieces, updates
from ensemble.rules import layers

DEPTHS = [2, 3, 4, 6]
WIDTHS = [1, 2, 5, 16, 33] if JIT_DISABLED else [1, 2, 5, 16, 33, 64]


def draw(depth, width, seed=0, gain=1.4):
    """Return weights and biases of a network with one input: kinks among inputs of [-3, 3], all layers at work."""
    rng = np.random.default_rng([seed, depth, width])
    units = [1, *[width] * depth, 1]
    weights = [
        rng.normal(size=pair) * (gain if pair[0] == 1 else np.sqrt(2 / pair[0])) for pair in itertools.pairwise(units)
    ]
    return weights, [rng.normal(size=n) * (1.0 if i == 0 else 0.3) for i, n in enumerate(units[1:])]


def flat(weights, biases):
    return np.concatenate([part.ravel() for pair in zip(weights, biases, strict=True) for part in pair])


def gradient(x, y, weights, biases, hidden_bias=True, output_bias=True):
    """Return the kernel's gradient, flat, and the MSE: one step of "momentum" with momentum 0 and hardly any rate."""
    width, depth, size = weights[0].shape[1], len(weights) - 1, flat(weights, biases).size
    empty = np.empty((0, 1)), np.empty(0)
    models = updates.Models(
        np.array([width]), np.array([depth]), np.array([0, size]), flat(weights, biases), np.zeros(size),
        np.zeros(size), np.ones((1, 2)),
    )  # fmt: skip
    spec = ensemble.grid(
        width=width, hidden_layers=depth, optimizer="momentum", lr=1e-300, momentum=0.0, hidden_bias=hidden_bias,
        output_bias=output_bias,
    )  # fmt: skip
    rules = kernel_rules(spec, 1, 1)
    rows = (np.full((1, 2), np.inf) for _ in range(3))
    history = updates.History(
        np.array([0, 1]), *rows, np.full(1, -1), *(np.empty((1, 0)) for _ in range(3)), np.ones(1)
    )
    samples = pieces.prepare(np.array(x)[:, None], np.array(y), *empty, *empty)
    pieces.train(samples, models, rules, history, updates.Span(0, 1, 0, 1))
    return models.first, history.train[0, 0]


def assert_same_gradient(x, y, weights, biases, tolerance=1e-11, **switches):
    """Compare with `layers.backward`, relative to the largest entry of each tensor; biases switched off have none."""
    found, error = gradient(x, y, weights, biases, **switches)
    loss, (dweights, dbiases) = layers.backward(x[:, None], y, weights, biases)
    np.testing.assert_allclose(error, loss, rtol=1e-11, atol=1e-24)
    end, rounding = 0, 1e-15 * max(np.abs(part).max() for part in (*dweights, *dbiases))
    for layer, parts in enumerate(zip(dweights, dbiases, strict=True)):
        for kind, expected in zip(("weights", "biases"), parts, strict=True):
            begin, end = end, end + expected.size
            is_on = switches.get("hidden_bias" if layer < len(weights) - 1 else "output_bias", True)
            expected = expected.ravel() if kind == "weights" or is_on else np.zeros(expected.size)
            largest = np.abs(expected).max()
            np.testing.assert_allclose(
                found[begin:end], expected, rtol=0, atol=tolerance * largest + rounding, err_msg=f"{kind}[{layer}]"
            )


def inputs(n, seed=1):
    return np.random.default_rng(seed).uniform(-3, 3, n)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 420])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_gradient_is_that_of_the_rules(depth, width, n):
    x = inputs(n)
    assert_same_gradient(x, np.sin(3 * x), *draw(depth, width))


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("depth", "width", "n"), [(2, 256, 420), (3, 128, 20_000), (2, 256, 20_000), (6, 64, 20_000)])
def test_gradient_of_wide_networks_and_many_samples(depth, width, n):
    x = inputs(n)
    assert_same_gradient(x, np.sin(3 * x), *draw(depth, width))


CASES = {
    "duplicate x": lambda x, y, w, b: (np.round(2 * x) / 2, y, w, b),
    "all x equal": lambda x, y, w, b: (0 * x + 0.5, y, w, b),
    "constant y": lambda x, y, w, b: (x, 0 * y + 3.0, w, b),
    "equally spaced x with 0 among them": lambda x, y, w, b: (np.linspace(-3, 3, len(x)), y, w, b),
    "biases that are zero": lambda x, y, w, b: (x, y, w, [0 * a for a in b]),
    "first weights that are zero": lambda x, y, w, b: (x, y, [0 * w[0], *w[1:]], b),
    "all weights zero": lambda x, y, w, b: (x, y, [0 * a for a in w], [0 * a for a in b]),
    "a dead second layer": lambda x, y, w, b: (x, y, [w[0], -np.abs(w[1]), *w[2:]], [b[0], 0 * b[1], *b[2:]]),
    "a dead last layer, zero biases": lambda x, y, w, b: (x, y, [*w[:-2], -np.abs(w[-2]), w[-1]], [0 * a for a in b]),
    "hardly any unit on": lambda x, y, w, b: (x, y, w, [b[0], *(a - 3.0 for a in b[1:-1]), b[-1]]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [1, 5, 16])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_gradient_in_hard_cases(depth, width, case):
    x = inputs(131)
    assert_same_gradient(*CASES[case](x, np.sin(3 * x), *draw(depth, width)))


@pytest.mark.parametrize("width", [1, 5, 16])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_biases_that_are_switched_off_have_no_gradient(depth, width):
    x = inputs(130)
    weights, biases = draw(depth, width)
    zero = [0 * b for b in biases]
    assert_same_gradient(x, np.sin(3 * x), weights, zero, hidden_bias=False, output_bias=False)
    assert_same_gradient(x, np.sin(3 * x), weights, [*zero[:-1], biases[-1]], hidden_bias=False)


@pytest.mark.parametrize("offset", [-1e4, 1e4])
@pytest.mark.parametrize("depth", [2, 4])
def test_large_offsets_cost_few_digits(depth, offset):
    x = inputs(420)
    weights, biases = draw(depth, 16)
    moved = [biases[0] - offset * weights[0][0], *biases[1:]]
    assert_same_gradient(x + offset, np.sin(3 * x), weights, moved, tolerance=1e-9)


@pytest.mark.parametrize("depth", [2, 4, 6])
def test_more_pieces_than_units_find_room(depth):
    """A sawtooth of 2^L lines (Telgarsky 2016), of width 2: far more switches than units."""
    n = 3 * 2**depth + 1
    x = np.arange(n) / (n - 1) + 1e-3
    tooth = np.array([[2.0, 2.0], [-4.0, -4.0]])  # of relu(z), relu(z - 1 / 2): up to 1 in the middle, and down again
    weights = [np.ones((1, 2)), *[tooth] * (depth - 1), np.array([[2.0], [-4.0]])]
    biases = [np.array([0.0, -0.5]), *[np.array([0.0, -0.5])] * (depth - 1), np.zeros(1)]
    assert_same_gradient(x, np.cos(7 * x), weights, biases)


@pytest.mark.jit_heavy
@pytest.mark.parametrize("settings", [
    {"optimizer": "gd"}, {"optimizer": "momentum", "weight_decay": 0.01}, {"optimizer": "adam", "schedule": "cosine"},
    {"optimizer": ["gd", "adam"], "parametrization": "mup"}, {"init": ["uniform", "he", "fan_in"]},
    {"hidden_bias": [True, False], "output_bias": [True, False]},
])  # fmt: skip
def test_training_ends_where_the_rules_end(settings):
    data = ensemble.sample("reciprocal_sine", n=200, n_val=50, seed=0)
    specs = ensemble.grid(
        **{"width": [1, 5, 16], "hidden_layers": [1, 2, 3, 4], "seed": 3, "lr": 0.01, "init": "uniform"} | settings
    )
    found = ensemble.train(specs, data, epochs=30, progress=False)
    expected = ensemble.train(specs, data, epochs=30, engine="numpy", progress=False)
    for part in found.parts:
        np.testing.assert_allclose(found.losses[part], expected.losses[part], rtol=1e-9)
    for one, other in zip(found.networks, expected.networks, strict=True):
        np.testing.assert_allclose(
            flat(one.weights, one.biases), flat(other.weights, other.biases), rtol=1e-8, atol=1e-10
        )


@pytest.mark.jit_heavy
def test_a_model_that_diverges_stops_and_the_others_go_on():
    data = ensemble.sample("quadratic", n=60, seed=0)
    specs = ensemble.grid(width=8, hidden_layers=3, init="he", lr=[0.01, 1e10, 0.02], seed=1)
    result = ensemble.train(specs, data, epochs=20, record=range(21), progress=False)
    assert result.status.tolist() == ["ok", "diverged", "ok"]
    at = result.diverged_at[1]
    assert np.isinf(result.train_loss[1, at:]).all() and np.isfinite(result.train_loss[1, :at]).all()
    assert np.isinf(result.test_loss[1, at:]).all()
