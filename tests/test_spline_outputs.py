"""One input and one hidden layer with several outputs, or with labels, in the engine "spline"."""

import math

import naive
import numpy as np
import pytest
from stored import content

import ensemble
from ensemble.engines import choose_engines
from ensemble.rules import layers, losses

LOSSES = [("mse", 3), ("cross_entropy", 1), ("cross_entropy", 3)]  # with the number of outputs
SETTINGS = [
    {},
    {"hidden_bias": False},
    {"output_bias": False, "weight_decay": 0.1, "schedule": "cosine"},
    {"batch_size": 4, "hidden_lr_factor": 0.5, "output_lr_factor": 2.0, "weight_decay": 0.02},
    {"batch_size": 1, "optimizer": "momentum", "lr": 0.01, "schedule": "cosine"},
    {"batch_size": 5, "optimizer": "adam", "lr": 0.02, "output_bias": False},
    {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.05, "parametrization": "mup"},
    {"hidden_lr_factor": 0.0, "optimizer": "momentum", "lr": 0.02},
    {"output_lr_factor": 0.0, "batch_size": 6, "weight_decay": 0.1},
]
SPECS = ensemble.Specs.from_rows(
    {"width": 3 + 2 * i, "seed": i, "init": "fan_in", "output_bias": True, "lr": 0.1} | settings
    for i, settings in enumerate(SETTINGS)
)


def noise(loss, outputs, n=13, **options):
    """Return one input, some x twice, with targets of O outputs, or labels; and a test part of another size."""
    rng = np.random.default_rng([outputs, n])
    x = np.repeat(rng.normal(size=(n + 1) // 2), 2)[:n]
    if loss == "mse":
        y, y_test = rng.normal(size=(n, outputs)), rng.normal(size=(6, outputs))
    else:
        classes = max(outputs, 2)
        y, y_test = rng.permutation(np.arange(n) % classes), np.arange(6) % classes
    return ensemble.Dataset(rng.permutation(x), y, rng.normal(size=6), y_test, **options)


def both(specs, data, loss, epochs):
    """Return what the engine and the rules leave."""
    options = {"epochs": epochs, "loss": loss, "record": range(epochs + 1)}
    return [ensemble.train(specs, data, engine=engine, **options) for engine in ("spline", "numpy")]


def assert_same(ours, rules):
    assert ours.status.tolist() == rules.status.tolist()
    for part, values in rules.losses.items():
        np.testing.assert_allclose(ours.losses[part], values, rtol=1e-9)
    for part, values in rules.accuracies.items():
        np.testing.assert_array_equal(ours.accuracies[part], values)
    np.testing.assert_allclose(ours.networks.parameters, rules.networks.parameters, rtol=1e-8, atol=1e-10)


# ---- against the rules, plain loops and differences ----


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_training_is_that_of_the_rules(loss, outputs, standardize):
    assert_same(*both(SPECS, noise(loss, outputs, standardize=standardize), loss, 12))


@pytest.mark.parametrize(("loss", "outputs"), [("mse", 2), ("mse", 10), ("cross_entropy", 12)])
def test_training_is_that_of_the_rules_among_more_samples_and_units(loss, outputs):
    specs = ensemble.grid(width=[1, 40], init="he", lr=0.05, output_bias=True, batch_size=[0, 32])
    assert_same(*both(specs, noise(loss, outputs, n=150), loss, 4))


@pytest.mark.parametrize("n", [1, 2])
def test_one_sample_and_two(n):
    assert_same(*both(SPECS, ensemble.Dataset(np.arange(n) + 0.5, np.arange(2.0 * n).reshape(n, 2)), "mse", 8))
    if n == 2:
        assert_same(*both(SPECS, ensemble.Dataset([0.5, 1.5], [1, 0]), "cross_entropy", 8))


def slopes(loss, p, target):
    """Return the gradient of one sample's loss for its outputs, by the definition."""
    if loss == "mse":
        return [2.0 * (one - t) / len(p) for one, t in zip(p, target, strict=True)]
    logits = [0.0, *p] if len(p) == 1 else p
    shares = [1.0 / sum(math.exp(other - one) for other in logits) for one in logits]
    return [share - (k == target) for k, share in enumerate(shares)][len(logits) - len(p) :]


def plain_step(loss, x, y, parameters, lr):
    """Return the parameters after a step of gd: sample by sample, unit by unit, output by output."""
    w, b, v, c = (np.asarray(part).tolist() for part in parameters)
    dw, db, dv, dc = (np.zeros_like(part).tolist() for part in parameters)
    for row, target in zip(x.tolist(), y.tolist(), strict=True):
        _, hidden, p = naive.activations(row, [w, v], [b, c])
        for o, slope in enumerate(slopes(loss, p, target)):
            dc[o] += slope / len(x)
            for j, h in enumerate(hidden):
                dv[j][o] += h * slope / len(x)
                if h > 0:
                    dw[0][j] += row[0] * v[j][o] * slope / len(x)
                    db[j] += v[j][o] * slope / len(x)
    return [np.array(part) - lr * np.array(g) for part, g in zip(parameters, (dw, db, dv, dc), strict=True)]


@pytest.mark.parametrize("batch_size", [0, 5])
@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_training_is_the_plain_reimplementation(loss, outputs, batch_size):
    data = noise(loss, outputs)
    spec = ensemble.grid(width=6, seed=4, init="fan_in", lr=0.1, output_bias=True, batch_size=batch_size)
    expected = naive.parameters(ensemble.initialize(spec, n_outputs=outputs)[0])
    for epoch in range(8):
        for batch in ensemble.batches(4, data.n_train, batch_size, epoch):
            expected = plain_step(loss, data.x_train[batch], data.y_train[batch], expected, 0.1)
    found = ensemble.train(spec, data, epochs=8, loss=loss, engine="spline").networks[0]
    for one, other in zip(naive.parameters(found), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_a_step_goes_down_the_slope_of_the_loss(loss, outputs):
    data, spec = noise(loss, outputs), ensemble.grid(width=7, init="he", lr=1.0, output_bias=True)
    start = ensemble.initialize(spec, n_outputs=outputs)[0]
    end = ensemble.train(spec, data, epochs=1, loss=loss, engine="spline").networks[0]
    rng, values = np.random.default_rng(outputs), []
    along = [rng.normal(size=part.shape) for part in naive.parameters(start)]
    gradient = [a - b for a, b in zip(naive.parameters(start), naive.parameters(end), strict=True)]
    for step in (1e-6, -1e-6):
        moved = [part + step * one for part, one in zip(naive.parameters(start), along, strict=True)]
        p = layers.forward(data.x_train, moved[::2], moved[1::2])
        values.append(losses.LOSSES[loss].rule(p, data.y_train)[0])
    slope = sum((g * one).sum() for g, one in zip(gradient, along, strict=True))
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


# ---- what must not matter, and what must not be touched ----


@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_a_model_is_the_same_in_any_company_and_when_training_goes_on(loss, outputs):
    data = noise(loss, outputs)
    together = ensemble.train(SPECS, data, epochs=6, loss=loss, engine="spline", threads=2, record=range(7))
    turned = ensemble.train(SPECS[::-1], data, epochs=6, loss=loss, engine="spline", record=range(7))
    assert content(turned[np.arange(len(SPECS))[::-1]]) == content(together)
    for i in (1, 3, 6):
        alone = ensemble.train(SPECS[i : i + 1], data, epochs=6, loss=loss, engine="spline", record=range(7))
        assert content(alone) == content(together[i : i + 1])
    constant = SPECS[SPECS.schedule == "constant"]
    options = {"loss": loss, "engine": "spline", "keep_state": True}
    half = ensemble.train(constant, data, epochs=2, **options)
    gone_on = ensemble.train(constant, data, epochs=6, initial=half, **options)
    np.testing.assert_array_equal(
        gone_on.networks.parameters, ensemble.train(constant, data, epochs=6, **options).networks.parameters
    )


@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_a_batch_of_all_samples_is_the_full_batch_to_the_bit(loss, outputs):
    data = noise(loss, outputs)
    whole, batch = (
        ensemble.train(ensemble.grid(width=5, batch_size=size), data, epochs=5, loss=loss, engine="spline")
        for size in (0, data.n_train)
    )
    assert content(whole) == content(batch)


def test_frozen_and_dead_parameters_stay_as_they_were_to_the_bit():
    for loss, outputs in LOSSES:
        data, start = noise(loss, outputs), ensemble.initialize(SPECS, n_outputs=outputs)
        start.parameters[start.starts[0]] = -1.0  # the first model's first unit is on nowhere
        start.parameters[start.starts[0] + SPECS.width[0]] = -100.0
        end = ensemble.train(SPECS, data, epochs=5, loss=loss, engine="spline", initial=start).networks
        for i in range(len(SPECS)):
            before, after = naive.parameters(start[i]), naive.parameters(end[i])
            for place, factor in ((0, "hidden_lr_factor"), (2, "output_lr_factor")):
                frozen = getattr(SPECS, factor)[i] == 0.0
                assert (before[place].tobytes() == after[place].tobytes()) == frozen
            assert SPECS.hidden_bias[i] or not after[1].any()
            assert SPECS.output_bias[i] or not after[3].any()
        for before, after in zip(naive.parameters(start[0])[:3], naive.parameters(end[0])[:3], strict=True):
            dead = (0, 0) if before.ndim == 2 and len(before) == 1 else 0
            np.testing.assert_array_equal(before[dead], after[dead])


def test_a_diverging_model_is_right_nowhere_and_touches_no_other():
    wild = ensemble.grid(width=4, lr=1e80, batch_size=[0, 3])
    for loss, outputs in LOSSES:
        data = noise(loss, outputs)
        alone = ensemble.train(SPECS, data, epochs=4, loss=loss, engine="spline")
        result = ensemble.train(SPECS[:4] + wild + SPECS[4:], data, epochs=4, loss=loss, engine="spline")
        assert result.status.tolist() == ["ok"] * 4 + ["diverged"] * 2 + ["ok"] * 5
        assert (result.train_loss[4:6, -1] == np.inf).all()
        assert all((values[4:6, -1] == 0.0).all() for values in result.accuracies.values())
        assert content(result[result.status == "ok"]) == content(alone)


@pytest.mark.parametrize("outputs", [1, 3])
def test_no_finite_logits_overflow(outputs):
    data, specs = noise("cross_entropy", outputs), ensemble.grid(width=5, seed=range(3), lr=1e-60, init="he")
    start = ensemble.initialize(specs, n_outputs=outputs)
    start.parameters[:] *= 1e60
    ours, rules = (
        ensemble.train(specs, data, epochs=1, loss="cross_entropy", engine=engine, initial=start)
        for engine in ("spline", "numpy")
    )
    assert np.isfinite(rules.train_loss).all() and rules.train_loss.max() > 1e100
    assert_same(ours, rules)


def test_of_equal_logits_the_first_counts():
    for outputs in (1, 3):
        data, spec = noise("cross_entropy", outputs), ensemble.grid(width=3)
        start = ensemble.initialize(spec, n_outputs=outputs)
        start.parameters[:] = 0.0
        result = ensemble.train(spec, data, epochs=0, loss="cross_entropy", engine="spline", initial=start)
        assert result.train_accuracy[0, 0] == (data.y_train == 0).mean()
        assert result.test_loss[0, 0] == pytest.approx(math.log(max(outputs, 2)), rel=1e-15)


def test_auto_takes_it():
    for loss, outputs in LOSSES:
        assert choose_engines("auto", SPECS, 1, loss, n_outputs=outputs).tolist() == ["spline"] * len(SPECS)
