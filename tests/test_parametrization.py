"""mu-P: the factors as the table has them, the same in every engine, and what they are for."""

import naive
import numpy as np
import pytest

import ensemble
from ensemble.rules import optimizers


def test_initial_variances():
    for init, scale in [("normal", 0.3), ("uniform", 1.0), ("he", 1.0), ("fan_in", 1.0)]:
        standard = ensemble.initialize(ensemble.grid(width=64, seed=range(3), init=init, init_scale=scale))
        mup = ensemble.initialize(
            ensemble.grid(width=64, seed=range(3), init=init, init_scale=scale, parametrization="mup")
        )
        for a, b in zip(standard, mup, strict=True):
            np.testing.assert_array_equal(a.weights[0], b.weights[0])
            np.testing.assert_array_equal(a.biases[0], b.biases[0])
            np.testing.assert_allclose(b.weights[1], a.weights[1] / (64 if init == "normal" else 8), rtol=1e-15)
    wide = ensemble.initialize(ensemble.grid(width=10_000, init="fan_in"))[0]
    assert wide.weights[0].std() == pytest.approx(1, rel=0.05)
    assert wide.biases[0].std() == pytest.approx(1, rel=0.05)
    assert wide.weights[1].std() == pytest.approx(0.01, rel=0.05)
    one, same = (
        ensemble.grid(width=100, init="fan_in", parametrization="mup"),
        ensemble.grid(width=100, init_scale=1.0, parametrization="mup"),
    )
    one, same = (ensemble.initialize(specs)[0].weights[1] for specs in (one, same))
    np.testing.assert_allclose(one, same, rtol=1e-14)


def test_layer_factors():
    optimizer = np.array(["gd", "momentum", "adam", "gd"])
    factors = optimizers.layer_factors(optimizer, np.array([4, 8, 16, 32]), np.array([True, True, True, False]))
    by_kind = [[4, 1, 4, 1 / 4, 1], [8, 1, 8, 1 / 8, 1], [1, 1 / 16, 1, 1 / 16, 1], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(factors, by_kind)


def test_every_parameter_tensor_has_a_kind():
    def names(hidden_layers):
        return [optimizers.KINDS[kind] for kind in optimizers.kinds(hidden_layers)]

    assert names(1) == ["weights[0]", "hidden biases", "output weights", "output bias"]
    deep = ["weights[0]", "hidden biases", *["hidden weights", "hidden biases"] * 2, "output weights", "output bias"]
    assert names(3) == deep


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
@pytest.mark.parametrize("d", [1, 3])
def test_every_engine_takes_the_factors(optimizer, d):
    rng = np.random.default_rng(0)
    data = ensemble.Dataset(rng.normal(size=(20, d)), rng.normal(size=20))
    axes = {"width": [3, 20], "init": "fan_in", "weight_decay": 0.01, "output_bias": True, "optimizer": optimizer}
    specs = ensemble.grid(parametrization=["standard", "mup"], lr=0.002, **axes)
    results = {
        engine: ensemble.train(specs, data, epochs=30, engine=engine, progress=False)
        for engine in ["numpy", "dense"] + ["spline"] * (d == 1)
    }
    for result in results.values():
        np.testing.assert_allclose(result.train_loss, results["numpy"].train_loss, rtol=1e-10)
    assert (np.abs(results["numpy"].train_loss[:2, -1] / results["numpy"].train_loss[2:, -1] - 1) > 1e-3).all()


def test_one_step_of_gd_by_hand():
    data = ensemble.Dataset([-1.0, 0.5, 2.0], [1.0, 0.0, -1.0])
    specs = ensemble.grid(width=5, lr=0.1, init="fan_in", parametrization=["standard", "mup"], output_bias=True)
    start = ensemble.initialize(specs)
    same = start.take(np.array([1, 1]))  # both from mu-P's weights
    end = ensemble.train(specs, data, epochs=1, initial=same, engine="numpy").networks
    for part, factor in enumerate([5, 5, 1 / 5, 1]):
        moved = [naive.four(end[i])[part] - naive.four(same[i])[part] for i in (0, 1)]
        np.testing.assert_allclose(moved[1], factor * moved[0], rtol=1e-9, atol=1e-15)


@pytest.mark.jit_heavy
def test_the_best_rate_of_gd_does_not_move_with_the_width():
    """The prototype found 2^-3 from width 32 to 1,024 under mu-P, and 2^-5 to 2^-10 without."""
    data = ensemble.sample("reciprocal_sine", seed=0)
    exponents = np.arange(-12, 1)
    widths = [32, 128, 512, 1024]
    specs = ensemble.grid(
        parametrization=["standard", "mup"], width=widths, lr=2.0**exponents, seed=range(8), init="fan_in"
    )
    result = ensemble.train(specs, data, epochs=500, record=[])
    errors = np.median(result.val_loss[:, -1].reshape(2, len(widths), len(exponents), 8), axis=-1)
    standard, mup = exponents[errors.argmin(axis=-1)]
    assert np.ptp(mup) <= 1
    assert standard[0] - standard[-1] >= 3
