import naive
import numpy as np
import pytest
from test_layers import draw

import ensemble
from ensemble.kernels import updates
from ensemble.rules import optimizers
from ensemble.specs import CHOICES

EPOCHS = 60


def assert_close(ours, theirs, tolerance):
    """Compare block by block, relative to the largest value of each."""
    for name, a, b in zip(("w1", "b1", "w2", "b2"), ours, theirs, strict=True):
        scale = max(np.abs(b).max(), 1e-300)
        worst = np.abs(a - b).max() / scale
        assert worst <= tolerance, f"{name} is off by {worst:.2e} relative to {scale:.2e}"


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_a_stack_takes_the_steps_of_its_parameters_alone(optimizer):
    rng = np.random.default_rng(3)
    m, p = 3, 4
    theta = rng.normal(size=(m, p))
    rate, decay, momentum, beta2 = (
        np.array(v)[:, None] for v in ([0.1, 0.2, 0.3], [0, 0.1, 0.5], [0.9, 0.5, 0.0], [0.999, 0.9, 0.0])
    )
    rules = [[naive.OPTIMIZERS[optimizer](momentum[i, 0], beta2[i, 0]) for _ in range(p)] for i in range(m)]
    expected, moments = theta.copy(), optimizers.init(m, p)
    for _ in range(20):
        gradient = rng.normal(size=(m, p))
        theta, moments = optimizers.update(optimizer, theta, gradient, moments, rate, decay, momentum, beta2)
        for i in range(m):
            for j in range(p):
                step = rules[i][j].direction(gradient[i, j]) + decay[i, 0] * expected[i, j]
                expected[i, j] -= rate[i, 0] * step
        np.testing.assert_allclose(theta, expected, rtol=1e-13, atol=1e-14)


def test_adams_first_step_is_the_learning_rate():
    theta = np.zeros((1, 3))
    one = np.ones((1, 1))
    gradient = np.array([[1e-3, -5.0, 0.0]])
    stepped, _ = optimizers.update(
        "adam", theta, gradient, optimizers.init(1, 3), 0.1 * one, 0 * one, 0.9 * one, 0.999 * one
    )
    np.testing.assert_allclose(stepped, [[-0.1, 0.1, 0.0]], rtol=2e-5)


def test_update_does_not_touch_its_arguments():
    theta, gradient, moments = np.ones((1, 2)), np.ones((1, 2)), optimizers.init(1, 2)
    one = np.ones((1, 1))
    for optimizer in CHOICES["optimizer"]:
        optimizers.update(optimizer, theta, gradient, moments, one, one, 0.5 * one, 0.5 * one)
        assert (theta == 1).all() and (gradient == 1).all()
        assert (moments.first == 0).all() and (moments.second == 0).all() and (moments.powers == 1).all()


def test_unknown_optimizer():
    zero = np.zeros((1, 1))
    with pytest.raises(ValueError, match="optimizer 'sgd' is unknown; allowed are gd, momentum, adam"):
        optimizers.update("sgd", zero, zero, optimizers.init(1, 1), zero, zero, zero, zero)


def test_schedules():
    constant, cosine = optimizers.rate_factors(8)
    assert (constant == 1).all()
    np.testing.assert_allclose(cosine, [naive.rate(1.0, "cosine", t, 8) for t in range(8)], rtol=1e-15)
    assert cosine[0] == 1.0
    assert (np.diff(cosine) < 0).all()
    assert optimizers.rate_factors(0).shape == (2, 0)


def test_an_optimizer_is_one_row_of_one_table():
    assert CHOICES["optimizer"] == tuple(optimizers.OPTIMIZERS)
    assert set(naive.OPTIMIZERS) == set(optimizers.OPTIMIZERS)
    codes = (updates.GD, updates.MOMENTUM, updates.ADAM)
    assert [CHOICES["optimizer"][code] for code in codes] == ["gd", "momentum", "adam"]
    assert updates.EPSILON == optimizers.EPSILON
    assert updates.WEIGHT_LIMIT == optimizers.WEIGHT_LIMIT
    costs = optimizers.step_seconds(np.array(["adam", "gd", "adam"]))
    assert costs.tolist() == [optimizers.OPTIMIZERS[name].seconds for name in ("adam", "gd", "adam")]


SETTINGS = [
    {"optimizer": "gd"},
    {"optimizer": "gd", "schedule": "cosine", "weight_decay": 0.01, "lr": 0.2},
    {"optimizer": "momentum", "lr": 0.02},
    {"optimizer": "momentum", "momentum": 0.5, "schedule": "cosine", "weight_decay": 0.02},
    {"optimizer": "adam", "lr": 0.01},
    {"optimizer": "adam", "lr": 0.02, "schedule": "cosine", "weight_decay": 0.05, "momentum": 0.8, "beta2": 0.99},
    {"optimizer": "adam", "lr": 0.01, "hidden_bias": False, "output_bias": False},
]


@pytest.mark.parametrize(("engine", "d"), [("numpy", 1), ("dense", 1), ("spline", 1), ("numpy", 3), ("dense", 3)])
def test_training_is_the_plain_reimplementation(engine, d):
    x, y, _ = draw(7, d, 1, n=25)
    specs = ensemble.grid(width=5, seed=3, init="uniform", **{"output_bias": True, **SETTINGS[0]})
    for settings in SETTINGS[1:]:
        specs = specs + ensemble.grid(width=5, seed=3, init="uniform", **{"output_bias": True, **settings})
    start = ensemble.initialize(specs, d)
    result = ensemble.train(specs, ensemble.Dataset(x, y), epochs=EPOCHS, engine=engine)
    assert (result.status == "ok").all()
    for i in range(len(specs)):
        expected = naive.train(x, y, naive.four(start[i]), EPOCHS, specs[i]._asdict())
        assert np.abs(expected[0] - start[i].weights[0]).max() > 1e-3  # it did move
        assert_close(naive.four(result.networks[i]), expected, 1e-10)
        final = naive.mse(naive.forward(x, *expected), y)
        assert result.train_loss[i, -1] == pytest.approx(final, rel=1e-9)
