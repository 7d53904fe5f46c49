import naive
import numpy as np
import pytest

from ensemble.rules import layers, losses
from ensemble.rules.layers import Matmul, Relu, mse

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


@pytest.mark.parametrize("d", [1, 2, 5])
def test_forward_and_backward_are_the_scalar_loops(d):
    x, y, weights = draw(d, d, h=4)
    np.testing.assert_allclose(layers.forward(x, *weights), naive.forward(x, *weights), rtol=1e-13)
    loss, gradient = layers.backward(x, y, *weights)
    assert loss == pytest.approx(naive.mse(naive.forward(x, *weights), y), rel=1e-13)
    for ours, theirs, weight in zip(gradient, naive.gradient(x, y, *weights), weights, strict=True):
        assert ours.shape == weight.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * np.abs(theirs).max())


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


@pytest.mark.parametrize("d", [1, 2, 5])
def test_backward_of_a_stack_is_each_model_alone(d):
    x, y, weights = draw(d, d, h=3, m=4)
    loss, gradient = layers.backward(x, y, *weights)
    for i in range(4):
        alone_loss, alone = layers.backward(x, y, *(w[i] for w in weights))
        assert loss[i] == alone_loss
        for stacked, single in zip(gradient, alone, strict=True):
            np.testing.assert_array_equal(stacked[i], single)
        np.testing.assert_array_equal(layers.forward(x, *weights)[i], layers.forward(x, *(w[i] for w in weights)))


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
    _, gradient = layers.backward(x, y, np.array([[2.0]]), np.array([-1.0]), np.array([3.0]), np.array(0.0))
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
