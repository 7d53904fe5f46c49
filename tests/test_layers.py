import itertools

import naive
import numpy as np
import pytest

from ensemble.networks import Network
from ensemble.rules import layers, losses
from ensemble.rules.layers import Matmul, Relu, mse

DEPTHS = [1, 2, 3, 4]
BIASES = [(True, True), (True, False), (False, True), (False, False)]


def draw(seed, d, h, n=12, m=None, gap=1e-3):
    """Return x, y and weights of which no pre-activation comes closer than `gap` to the kink."""
    rng = np.random.default_rng(seed)
    lead = () if m is None else (m,)
    while True:
        x, y = rng.normal(size=(n, d)), rng.normal(size=n)
        weights = tuple(rng.normal(size=(*lead, *shape)) for shape in ((d, h), (h,), (h,), ()))
        if np.abs(x @ weights[0] + weights[1][..., None, :]).min() > gap:
            return x, y, weights


def two_layers(x, y, w1, b1, w2, b2):
    """Return the loss and the gradient by `layers.backward` of one hidden layer, w2 (H,), b2 ()."""
    loss, ((dw1, dw2), (db1, db2)) = layers.backward(x, y, (w1, w2[..., None]), (b1, np.asarray(b2)[..., None]))
    return loss, (dw1, db1, dw2[..., 0], db2[..., 0])


def loss_and_gradient(x, y, weights, biases):
    """Two layers by hand, with biases left out where they are off: the loss and the gradient of x and weights."""
    w1, b1, w2, b2 = weights
    first, relu = Matmul(w1, b1 if biases[0] else None), Relu()
    second = Matmul(w2[..., None], b2[..., None] if biases[1] else None)
    p = second.forward(relu.forward(first.forward(x)))[..., 0]
    loss, dp = mse(p, y)
    dx = first.backward(relu.backward(second.backward(dp[..., None])))
    return loss, (dx, first.dw, first.db, second.dw, second.db)


@pytest.mark.parametrize("biases", BIASES)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_gradient_is_the_central_difference_along_random_directions(d, biases):
    x, y, weights = draw(d, d, h=6)
    rng = np.random.default_rng(100 + d)
    _, gradient = loss_and_gradient(x, y, weights, biases)
    assert (gradient[2] is None) == (not biases[0])
    assert (gradient[4] is None) == (not biases[1])
    step = 1e-6
    for _ in range(5):
        arrays = (x, *weights)
        directions = [rng.normal(size=a.shape) for a in arrays]
        analytic = sum(
            (np.reshape(g, a.shape) * v).sum()
            for g, a, v in zip(gradient, arrays, directions, strict=True)
            if g is not None
        )
        ends = []
        for sign in (1, -1):
            moved = [a + sign * step * v for a, v in zip(arrays, directions, strict=True)]
            ends.append(loss_and_gradient(moved[0], y, tuple(moved[1:]), biases)[0])
        numeric = (ends[0] - ends[1]) / (2 * step)
        assert abs(analytic - numeric) <= 1e-7 * (1 + abs(numeric)), f"analytic {analytic!r}, numeric {numeric!r}"


def deep(seed, hidden_layers, d=2, h=4, n=12, m=None, gap=1e-3):
    """Return x, y, weights and biases of which no pre-activation comes closer than `gap` to the kink."""
    rng = np.random.default_rng([seed, hidden_layers])
    lead = () if m is None else (m,)
    units = [d, *[h] * hidden_layers, 1]
    while True:
        x, y = rng.normal(size=(n, d)), rng.normal(size=n)
        weights = [rng.normal(size=(*lead, *pair)) for pair in itertools.pairwise(units)]
        biases = [rng.normal(size=(*lead, size)) for size in units[1:]]
        near, active = x, True
        closest = []
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = near @ w + b[..., None, :]
            closest.append(np.abs(z).min())
            near, active = np.maximum(z, 0), active and (z > 0).any(axis=-2).any(axis=-1).all()
        if min(closest) > gap and active:
            return x, y, weights, biases


@pytest.mark.parametrize("hidden_layers", DEPTHS)
@pytest.mark.parametrize("d", [1, 3])
def test_the_gradient_is_the_central_difference_at_any_depth(d, hidden_layers):
    x, y, weights, biases = deep(d, hidden_layers, d)
    rng = np.random.default_rng(7)
    _, gradient = layers.backward(x, y, weights, biases)
    step = 1e-6
    for at, part in enumerate((*weights, *biases)):  # each tensor by itself, then all at once
        for whole in (False, True):
            directions = [rng.normal(size=a.shape) * (whole or a is part) for a in (*weights, *biases)]
            analytic = sum((g * v).sum() for g, v in zip((*gradient[0], *gradient[1]), directions, strict=True))
            ends = []
            for sign in (1, -1):
                moved = [a + sign * step * v for a, v in zip((*weights, *biases), directions, strict=True)]
                p = layers.forward(x, moved[: len(weights)], moved[len(weights) :])[..., 0]
                ends.append(mse(p, y)[0])
            numeric = (ends[0] - ends[1]) / (2 * step)
            assert abs(analytic - numeric) <= 1e-7 * (1 + abs(numeric)), f"tensor {at}: {analytic!r}, {numeric!r}"


@pytest.mark.parametrize("hidden_layers", DEPTHS)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_forward_and_backward_are_the_scalar_loops_at_any_depth(d, hidden_layers):
    x, y, weights, biases = deep(d, hidden_layers, d)
    order = naive.parameters(Network(weights, biases))
    np.testing.assert_allclose(layers.forward(x, weights, biases)[:, 0], naive.forward(x, *order), rtol=1e-12)
    loss, gradient = layers.backward(x, y, weights, biases)
    assert loss == pytest.approx(naive.mse(naive.forward(x, *order), y), rel=1e-12)
    expected = naive.gradient(x, y, *order)
    for ours, theirs, given in zip((*gradient[0], *gradient[1]), (*expected[::2], *expected[1::2]),
                                   (*weights, *biases), strict=True):  # fmt: skip
        assert ours.shape == given.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11 * np.abs(theirs).max())


@pytest.mark.parametrize("hidden_layers", DEPTHS)
def test_a_stack_of_deep_networks_is_each_alone(hidden_layers):
    x, y, weights, biases = deep(0, hidden_layers, m=4)
    loss, gradient = layers.backward(x, y, weights, biases)
    assert layers.forward(x, weights, biases).shape == (4, len(x), 1)
    for i in range(4):
        alone = layers.backward(x, y, [w[i] for w in weights], [b[i] for b in biases])
        assert loss[i] == alone[0]
        for stacked, single in zip((*gradient[0], *gradient[1]), (*alone[1][0], *alone[1][1]), strict=True):
            np.testing.assert_array_equal(stacked[i], single)


@pytest.mark.parametrize("biases", BIASES)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_stack_is_each_model_alone(d, biases):
    x, y, weights = draw(d, d, h=3, m=4)
    loss, gradient = loss_and_gradient(x, y, weights, biases)
    assert loss.shape == (4,)
    for i in range(4):
        alone_loss, alone = loss_and_gradient(x, y, tuple(w[i] for w in weights), biases)
        assert loss[i] == alone_loss
        for stacked, single in zip(gradient, alone, strict=True):
            assert (stacked is None) == (single is None)
            if single is not None:
                np.testing.assert_array_equal(stacked[i], single)


def test_each_model_may_have_samples_of_its_own():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 4))
    y = Matmul(w, b).forward(x)
    assert y.shape == (3, 7, 4)
    np.testing.assert_allclose(y[1], x[1] @ w[1] + b[1])


def test_derivative_of_relu_at_zero_is_zero():
    relu = Relu()
    np.testing.assert_array_equal(relu.forward(np.array([-1.0, -0.0, 0.0, 1e-300, 2.0])), [0, 0, 0, 1e-300, 2])
    np.testing.assert_array_equal(relu.backward(np.array([3.0, 3, 3, 3, 3])), [0, 0, 0, 3, 3])


def test_a_unit_whose_kink_is_on_a_sample_learns_nothing_from_it():
    x, y = np.array([[0.5]]), np.array([1.0])
    _, gradient = two_layers(x, y, np.array([[2.0]]), np.array([-1.0]), np.array([3.0]), np.array(0.0))
    assert [g.item() for g in gradient] == [0.0, 0.0, 0.0, -2.0]


def test_mse_and_its_gradient():
    loss, dp = mse(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([0.0, 4.0]))
    np.testing.assert_array_equal(loss, [2.5, 8.0])
    np.testing.assert_array_equal(dp, [[1.0, -2.0], [0.0, -4.0]])


def test_messages_name_the_shapes():
    with pytest.raises(ValueError, match=r"w has shape \(3, 16\), but x has 2 columns"):
        Matmul(np.zeros((3, 16))).forward(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"b has shape \(4,\), but w has shape \(3, 16\): 16 outputs"):
        Matmul(np.zeros((3, 16)), np.zeros(4))
    with pytest.raises(ValueError, match=r"b has shape \(16,\), but w has shape \(2, 3, 16\)"):
        Matmul(np.zeros((2, 3, 16)), np.zeros(16))


def test_an_unknown_loss_is_named_with_what_is_allowed():
    assert losses.check_loss("mse") == "mse"
    with pytest.raises(ValueError, match="loss 'mae' is unknown; allowed are mse"):
        losses.check_loss("mae")
