"""Several outputs, and labels, in the engine "dense": gradients at every depth, whole trainings, predictions."""

import itertools

import numpy as np
import pytest
from conftest import JIT_DISABLED
from test_deep import flat
from test_kernels import door

import ensemble
from ensemble.engines.settings import kernel_rules
from ensemble.kernels import dense, labels, outputs, updates
from ensemble.kernels.tiles import LANES
from ensemble.rules import layers

BLOCK = outputs.BLOCK
SQUARES = [("mse", 2), ("mse", 3), ("mse", 10), ("mse", LANES + 1)]
LABELS = [("cross_entropy", 1), ("cross_entropy", 3), ("cross_entropy", LANES + 4)]  # of 2, 3 and 20 classes
BOTH = [*SQUARES, *LABELS]
CODES = {"mse": updates.MSE, "cross_entropy": updates.CROSS_ENTROPY}


def rule(loss, p, y):
    """Return the loss of outputs (N, O), its gradient for them, and the share of labels that is right, else None."""
    n = len(p)
    if loss == "mse":
        return ((p - y) ** 2).mean(), 2 * (p - y) / y.size, None
    logits = np.concatenate([np.zeros((n, 1)), p], axis=1) if p.shape[1] == 1 else p
    own = y[:, None] == np.arange(logits.shape[1])
    with np.errstate(over="ignore"):
        below = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(below).sum(axis=1, keepdims=True)
    slopes = (np.exp(below) / total - own) / n
    right = (logits.argmax(axis=1) == y).mean()
    return (np.log(total[:, 0]) - below[own]).mean(), slopes[:, -p.shape[1] :], right


def backward(loss, x, y, weights, biases):
    """Return the loss, the gradient by tensor, and the share that is right: the layers in NumPy."""
    products = [layers.Matmul(w, b) for w, b in zip(weights, biases, strict=True)]
    relus = [layers.Relu() for _ in products[1:]]
    for product, relu in zip(products, relus, strict=False):
        x = relu.forward(product.forward(x))
    value, dh, right = rule(loss, products[-1].forward(x), y)
    dh = products[-1].backward(dh)
    for product, relu in zip(products[-2::-1], relus[::-1], strict=True):
        dh = product.backward(relu.backward(dh))
    return value, [part for product in products for part in (product.dw, product.db)], right


def draw(loss, n_outputs, d, depth, width, n):
    """Return x (N, D), targets or labels, weights and biases of a network all of whose layers are at work."""
    rng = np.random.default_rng([n_outputs, d, depth, width, n])
    units = [d, *[width] * depth, n_outputs]
    weights = [rng.normal(size=pair) * np.sqrt(2 / pair[0]) for pair in itertools.pairwise(units)]
    biases = [rng.normal(size=units_out) * 0.3 for units_out in units[1:]]
    y = rng.normal(size=(n, n_outputs)) if loss == "mse" else targets(rng, n, n_outputs)
    return rng.normal(size=(n, d)), y, weights, biases


def targets(rng, n, n_outputs):
    return rng.integers(max(n_outputs, 2), size=n).astype(float)


def run(loss, x, y, weights, biases, lr=1e-3, output_weights=None, **settings):
    """Return the kernel's gradient, by tensor, and what it recorded of the first epoch: loss and accuracy."""
    theta, (_, width), n_outputs = flat(weights, biases), weights[0].shape, len(biases[-1])
    models = updates.Models(
        np.array([width]), np.array([len(weights) - 1]), np.array([0, theta.size]), theta, np.zeros(theta.size),
        np.zeros(theta.size), np.ones((1, 2)),
    )  # fmt: skip
    memory = {"optimizer": "momentum", "momentum": 0.0, "output_bias": True}  # its memory is the gradient
    spec = ensemble.grid(width=width, hidden_layers=len(weights) - 1, lr=lr, **memory | settings)
    rules = kernel_rules(spec, 1, len(x))._replace(loss=CODES[loss], outputs=n_outputs)
    rows = [np.full((1, 2), np.inf) for _ in range(3)], [np.zeros((1, 2 * (loss != "mse"))) for _ in range(3)]
    given = np.ones(n_outputs) if output_weights is None else output_weights
    history = updates.History(np.arange(2), *rows[0], np.full(1, -1), *rows[1], given)
    empty = np.empty((0, x.shape[1])), np.empty((0, *y.shape[1:]))
    dense.train(dense.prepare(x, y, *empty, *empty), models, rules, history, updates.Span(0, 1, 0, 1))
    parts = [part for pair in zip(weights, biases, strict=True) for part in pair]
    ends = np.cumsum([part.size for part in parts])[:-1]
    found = [g.reshape(part.shape) for g, part in zip(np.split(models.first, ends), parts, strict=True)]
    return found, history.train[0, 0], history.train_accuracy[0, :1].tolist()


def assert_same(loss, x, y, weights, biases, hidden_bias=True, output_bias=True):
    """Compare with the rules, gradients within 1e-12 of each tensor's largest entry; return the gradient."""
    found, value, share = run(loss, x, y, weights, biases, hidden_bias=hidden_bias, output_bias=output_bias)
    expected, gradient, right = backward(loss, x, y, weights, biases)
    on = [hidden_bias] * (len(biases) - 1) + [output_bias]
    gradient = [part * (place % 2 == 0 or on[place // 2]) for place, part in enumerate(gradient)]
    for place, (ours, slope) in enumerate(zip(found, gradient, strict=True)):
        name = f"{'biases' if place % 2 else 'weights'}[{place // 2}]"
        np.testing.assert_allclose(ours, slope, rtol=0, atol=1e-12 * np.abs(slope).max(), err_msg=name)
    assert value == pytest.approx(expected, rel=1e-12)
    assert share == ([] if right is None else [right])
    return found


# ---- the gradient ----


@pytest.mark.parametrize(("width", "n"), [(1, 1), (5, 7), (LANES, BLOCK), (20, 2 * BLOCK + 7), (64, 131)])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("d", [1, 3, 17])
@pytest.mark.parametrize(("loss", "n_outputs"), BOTH)
def test_gradient_is_that_of_the_rules(loss, n_outputs, d, depth, width, n):
    if JIT_DISABLED and width * n * n_outputs > 1000:
        pytest.skip("needs compiled speed")
    assert_same(loss, *draw(loss, n_outputs, d, depth, width, n))


@pytest.mark.parametrize(("loss", "n_outputs"), BOTH)
@pytest.mark.parametrize("depth", [1, 3])
def test_gradient_is_the_slope_along_a_random_direction(loss, n_outputs, depth):
    x, y, weights, biases = draw(loss, n_outputs, 3, depth, 12, 40)
    rng = np.random.default_rng(1)
    found, _, _ = run(loss, x, y, weights, biases)
    along = [rng.normal(size=part.shape) for part in found]
    ends = []
    for step in (1e-6, -1e-6):
        moved = [part + step * a for part, a in zip(naive_order(weights, biases), along, strict=True)]
        ends.append(run(loss, x, y, moved[::2], moved[1::2])[1])
    slope = sum((g * a).sum() for g, a in zip(found, along, strict=True))
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-6), "central difference, and the gradient's share"


def naive_order(weights, biases):
    return [part for pair in zip(weights, biases, strict=True) for part in pair]


@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 4)])
@pytest.mark.parametrize(("hidden_bias", "output_bias"), [(False, False), (False, True), (True, False)])
def test_biases_that_are_switched_off_have_no_gradient(loss, n_outputs, hidden_bias, output_bias):
    for depth in (1, 3):
        x, y, weights, biases = draw(loss, n_outputs, 2, depth, 20, 50)
        biases = [*(hidden_bias * b for b in biases[:-1]), output_bias * biases[-1]]
        found = assert_same(loss, x, y, weights, biases, hidden_bias=hidden_bias, output_bias=output_bias)
        assert all((db == 0).all() != hidden_bias for db in found[1:-1:2])
        assert (found[-1] != 0).all() if output_bias else (found[-1] == 0).all()


@pytest.mark.parametrize(("loss", "n_outputs"), [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 4)])
def test_below_a_dead_layer_there_is_exactly_no_gradient(loss, n_outputs):
    for depth, dead in ((1, 0), (3, 1)):
        x, y, weights, biases = draw(loss, n_outputs, 3, depth, 20, 40)
        weights[dead], biases[dead] = -np.abs(weights[dead]), np.zeros(20)
        found = assert_same(loss, np.abs(x), y, weights, biases)
        assert all((g == 0).all() for g in found[: 2 * dead + 3]) and (found[-1] != 0).all()


def test_samples_beyond_the_last_are_not_counted():
    for loss, n_outputs in (("mse", 2), ("cross_entropy", 3)):
        x, y, weights, biases = draw(loss, n_outputs, 2, 2, 5, 9)
        assert_same(loss, x, y, weights, [b + 1e6 for b in biases])  # a sample of zeros would be as far off as any


def test_several_outputs_have_weights_where_errors_are_recorded_only():
    x, y, weights, biases = draw("mse", 3, 2, 1, 5, 9)
    shares = np.array([0.5, 2.0, 10.0])
    weighted, plain = (run("mse", x, y, weights, biases, output_weights=of) for of in (shares, None))
    squares = (layers.forward(x, weights, biases) - y) ** 2
    assert weighted[1] == pytest.approx((squares * shares).mean(), rel=1e-12)
    for one, other in zip(weighted[0], plain[0], strict=True):
        np.testing.assert_array_equal(one, other)


# ---- labels without overflow ----


def block(logits):
    """Return logits (n, O) as kernels keep them, (O, BLOCK) flat."""
    p = np.zeros((logits.shape[1], BLOCK))
    p[:, : len(logits)] = logits.T
    return p.ravel()


ENTROPY, ENTROPY_GRADIENT, EXP = (door(f) for f in (labels.entropy, labels.entropy_gradient, labels.exp))


@pytest.mark.parametrize("scale", [1.0, 30.0, 700.0, 1e5, 1e300])
@pytest.mark.parametrize("n_outputs", [1, 2, 7])
def test_no_finite_logits_overflow(n_outputs, scale):
    rng = np.random.default_rng(n_outputs)
    p, y = rng.normal(size=(60, n_outputs)) * scale, targets(rng, 60, n_outputs)
    p[:3] = 0.0
    p[3:6, 0] = -0.0
    p[6] = -1.7e308
    loss, right = ENTROPY(block(p), y, 0, 60, n_outputs)
    expected, slopes, share = rule("cross_entropy", p, y)
    assert loss / 60 == pytest.approx(expected, rel=1e-12)
    assert right / 60 == share
    found = block(p)
    ENTROPY_GRADIENT(found, y, 0, 60, n_outputs, np.zeros(BLOCK), np.zeros(BLOCK))
    np.testing.assert_allclose(found.reshape(n_outputs, BLOCK)[:, :60].T, slopes, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_logit_that_is_not_finite_shows(n_outputs, bad):
    for column in range(n_outputs):
        p, y = np.ones((4, n_outputs)), np.zeros(4)
        p[2, column] = bad
        assert not np.isfinite(ENTROPY(block(p), y, 0, 4, n_outputs)[0]) or (bad > 0 and column == 0 and n_outputs > 1)


def test_exponentials_are_those_of_numpy():
    x = -np.concatenate([np.linspace(0.0, 708.0, 5001), np.geomspace(1e-300, 1.0, 500), [0.0]])
    found = np.array([EXP(value) for value in x])
    np.testing.assert_allclose(found, np.exp(x), rtol=5e-16)
    assert EXP(0.0) == 1.0
    assert 0.0 <= EXP(-1e308) <= 1e-307 and 0.0 <= EXP(-np.inf) <= 1e-307
    assert np.isnan(EXP(np.nan))
