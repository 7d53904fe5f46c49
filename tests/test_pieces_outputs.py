"""Several outputs, and labels, in the kernel "pieces": gradients, losses and accuracies against the rules."""

import numpy as np
import pytest
from conftest import JIT_DISABLED
from test_pieces import draw, flat, inputs

import ensemble
from ensemble.engines.settings import kernel_rules
from ensemble.kernels import pieces, updates
from ensemble.rules import layers
from ensemble.rules.losses import LOSSES, accuracy

SQUARES = [("mse", 1), ("mse", 2), ("mse", 3), ("mse", 17)]
LABELS = [("cross_entropy", 1), ("cross_entropy", 3), ("cross_entropy", 18)]  # of 2, 3 and 18 classes
BOTH = [*SQUARES, *LABELS]
WIDTHS = [1, 5, 16] if JIT_DISABLED else [1, 5, 16, 33]


def problem(loss, n_outputs, depth, width, n):
    """Return x (N,), targets (N, O) or labels (N,), weights and biases of a network all of whose layers are at work."""
    weights, biases = draw(depth, width)
    rng = np.random.default_rng([n_outputs, depth, width, n])
    weights[-1], biases[-1] = rng.normal(size=(width, n_outputs)) * np.sqrt(2 / width), rng.normal(size=n_outputs)
    y = rng.normal(size=(n, n_outputs)) + 3.0
    if loss == "cross_entropy":
        y = rng.integers(max(n_outputs, 2), size=n).astype(float)
    return inputs(n), y, weights, biases


def run(loss, x, y, weights, biases, test=0, output_weights=None, **settings):
    """Return the kernel's gradient, flat, and the history: one step of "momentum" with momentum 0 and hardly any rate.

    The first `test` samples are the test part too.
    """
    width, depth, size = weights[0].shape[1], len(weights) - 1, flat(weights, biases).size
    models = updates.Models(
        np.array([width]), np.array([depth]), np.array([0, size]), flat(weights, biases), np.zeros(size),
        np.zeros(size), np.ones((1, 2)),
    )  # fmt: skip
    memory = {"optimizer": "momentum", "momentum": 0.0, "lr": 1e-300, "output_bias": True}
    spec = ensemble.grid(width=width, hidden_layers=depth, **memory | settings)
    rules = kernel_rules(spec, 1, len(x), loss, len(biases[-1]))
    losses, shares = [np.full((1, 2), np.inf) for _ in range(3)], [np.zeros((1, 2)) for _ in range(3)]
    given = np.ones(len(biases[-1])) if output_weights is None else output_weights
    history = updates.History(np.array([0, 1]), *losses, np.full(1, -1), *shares, given)
    absent = np.empty((0, 1)), np.empty((0, *y.shape[1:]))
    samples = pieces.prepare(x[:, None], y, x[:test, None], y[:test], *absent)
    pieces.train(samples, models, rules, history, updates.Span(0, 1, 0, 1))
    return models.first, history


def assert_same(loss, x, y, weights, biases, tolerance=1e-11, test=0, on=None, **settings):
    """Compare with the rules, relative to the largest entry of each tensor; `on` says which tensors have a gradient."""
    found, history = run(loss, x, y, weights, biases, test, **settings)
    value, parts = layers.backward(x[:, None], y, weights, biases, LOSSES[loss])
    expected = [part for pair in zip(*parts, strict=True) for part in pair]
    rounding, end = 1e-15 * max(np.abs(part).max() for part in expected), 0
    for place, part in enumerate(expected):
        begin, end = end, end + part.size
        part = part.ravel() * (on is None or on[place])
        np.testing.assert_allclose(found[begin:end], part, rtol=0, atol=tolerance * np.abs(part).max() + rounding)
    for n, losses, shares in (
        (len(x), history.train, history.train_accuracy),
        (test, history.test, history.test_accuracy),
    ):
        if n:
            p = layers.forward(x[:n, None], weights, biases)
            assert losses[0, 0] == pytest.approx(LOSSES[loss].rule(p, y[:n])[0], rel=1e-11)
            assert shares[0, 0] == (accuracy(p, y[:n]) if loss == "cross_entropy" else 0.0)
    assert history.train[0, 0] == pytest.approx(value, rel=1e-11)


@pytest.mark.parametrize("n", [1, 2, 50, 420])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize(("loss", "n_outputs"), BOTH)
def test_gradient_loss_and_accuracy_are_those_of_the_rules(loss, n_outputs, depth, width, n):
    assert_same(loss, *problem(loss, n_outputs, depth, width, n), test=n // 3)


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 3)])
def test_gradient_among_many_samples(loss, n_outputs):
    assert_same(loss, *problem(loss, n_outputs, 3, 64, 20_000))


CASES = {
    "duplicate x": lambda x, y, w, b: (np.round(2 * x) / 2, y, w, b),
    "all x equal": lambda x, y, w, b: (0 * x + 0.5, y, w, b),
    "all weights zero": lambda x, y, w, b: (x, y, [0 * a for a in w], [0 * a for a in b]),
    "a dead second layer": lambda x, y, w, b: (x, y, [w[0], -np.abs(w[1]), *w[2:]], [b[0], 0 * b[1], *b[2:]]),
    "one class only": lambda x, y, w, b: (x, 0 * y + 1.0, w, b),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 3)])
def test_hard_cases(loss, n_outputs, depth, case):
    assert_same(loss, *CASES[case](*problem(loss, n_outputs, depth, 5, 131)))


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 3)])
def test_biases_that_are_switched_off_and_layers_that_are_frozen_have_no_gradient(loss, n_outputs, depth):
    x, y, weights, biases = problem(loss, n_outputs, depth, 16, 130)
    hidden, last = [True, False] * depth, [True, False]
    zero = [0 * b for b in biases]
    assert_same(loss, x, y, weights, zero, on=hidden + last, hidden_bias=False, output_bias=False)
    assert_same(loss, x, y, weights, biases, on=[False] * 2 * depth + [True] * 2, hidden_lr_factor=0.0)
    assert_same(loss, x, y, weights, biases, on=[True] * 2 * depth + [False] * 2, output_lr_factor=0.0)


@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 3)])
def test_gradient_is_that_of_central_differences(loss, n_outputs):
    x, y, weights, biases = problem(loss, n_outputs, 3, 5, 60)
    slope, _ = run(loss, x, y, weights, biases)
    theta, direction, h = flat(weights, biases), np.random.default_rng(0).normal(size=slope.size), 1e-6

    def value(at):
        shapes = [part.shape for pair in zip(weights, biases, strict=True) for part in pair]
        ends = np.cumsum([np.prod(shape) for shape in shapes]).astype(int)[:-1]
        parts = [part.reshape(shape) for part, shape in zip(np.split(at, ends), shapes, strict=True)]
        return run(loss, x, y, parts[::2], parts[1::2])[1].train[0, 0]

    expected = (value(theta + h * direction) - value(theta - h * direction)) / (2 * h)
    assert slope @ direction == pytest.approx(expected, rel=1e-6)


def test_each_output_s_error_is_recorded_with_its_weight_and_trained_without():
    x, y, weights, biases = problem("mse", 3, 2, 16, 100)
    plain, _ = run("mse", x, y, weights, biases)
    found, history = run("mse", x, y, weights, biases, test=30, output_weights=np.array([1.0, 4.0, 0.25]))
    np.testing.assert_array_equal(found, plain)
    h = x[:, None]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = np.maximum(h @ w + b, 0.0)
    squares = (h @ weights[-1] + biases[-1] - y) ** 2
    assert history.train[0, 0] == pytest.approx((squares * [1.0, 4.0, 0.25]).mean(), rel=1e-12)
    assert history.test[0, 0] == pytest.approx((squares[:30] * [1.0, 4.0, 0.25]).mean(), rel=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_no_finite_logits_overflow(n_outputs):
    x, y, weights, biases = problem("cross_entropy", n_outputs, 2, 5, 40)
    weights[-1] = 1e70 * weights[-1]
    found, history = run("cross_entropy", x, y, weights, biases)
    assert np.isfinite(found).all() and 1e60 < history.train[0, 0] < np.inf


# ---- through the engine ----


@pytest.mark.jit_heavy
@pytest.mark.parametrize("settings", [
    {"optimizer": ["gd", "momentum"], "weight_decay": 0.01}, {"optimizer": "adam", "hidden_lr_factor": [0.5, 0.0]},
    {"parametrization": "mup", "hidden_bias": [True, False]},
])  # fmt: skip
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_training_ends_where_the_rules_end(classes, settings):
    x = np.sort(inputs(90))
    y = np.stack([np.sin(3 * x), 20.0 * np.abs(x) + 5.0], axis=1) if classes == 0 else np.floor((x + 3) * 2) % classes
    data = ensemble.Dataset(x[::2], y[::2], x[1::2], y[1::2], standardize=classes == 0)
    specs = ensemble.grid(
        **{"width": [5, 16], "hidden_layers": [2, 3], "seed": 3, "lr": 0.02, "init": "he", "output_bias": True}
        | settings
    )
    found, expected = (
        ensemble.train(
            specs, data, epochs=30, engine=engine, loss="mse" if classes == 0 else "cross_entropy", progress=False
        )
        for engine in ("pieces", "numpy")
    )
    for part in found.parts:
        np.testing.assert_allclose(found.losses[part], expected.losses[part], rtol=1e-9)
    if classes:
        np.testing.assert_array_equal(found.train_accuracy, expected.train_accuracy)
        np.testing.assert_array_equal(found.test_accuracy, expected.test_accuracy)
    atol = 1e-7 if settings.get("optimizer") == "adam" else 1e-10  # adam makes a step of a gradient that is rounding
    for one, other in zip(found.networks, expected.networks, strict=True):
        np.testing.assert_allclose(
            flat(one.weights, one.biases), flat(other.weights, other.biases), rtol=1e-8, atol=atol
        )


def test_auto_takes_it_for_deep_networks_and_who_asks_for_others_is_told():
    x = inputs(40)
    data, specs = ensemble.Dataset(x, np.floor(x + 3) % 2), ensemble.grid(width=4, hidden_layers=[2, 1])
    assert ensemble.plan(specs[:1], data, epochs=1, loss="cross_entropy").engines["data"] == {"pieces": 1}
    with pytest.raises(
        ValueError, match=r"'pieces' has labels .* two hidden layers or more only, but specs\[1\] has one"
    ):
        ensemble.plan(specs, data, epochs=1, loss="cross_entropy", engine="pieces")
