import io
import json
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import naive
import numpy as np
import pytest

import ensemble
from ensemble.data import Scale
from ensemble.networks import NetworkStack, initialize, layout
from ensemble.networks import network as one_network
from ensemble.rules import layers
from ensemble.system import archive


def mixed_specs():
    return ensemble.grid(width=[5, 1, 3], seed=[4, 2], output_bias=[True, False], init=["normal", "he", "uniform"])


def filled(specs, n_inputs=2):
    """A stack whose every weight is another number."""
    stack = NetworkStack(specs, n_inputs)
    at = 0
    for network in stack:
        for array in naive.four(network):
            array[...] = np.arange(at, at + array.size).reshape(array.shape)
            at += array.size
    return stack


def assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        for x, y in zip(naive.four(one), naive.four(other), strict=True):
            np.testing.assert_array_equal(x, y)


# ---- initial weights ----


@pytest.mark.parametrize("n_inputs", [1, 3])
@pytest.mark.parametrize("init", ["normal", "he", "uniform"])
def test_initial_weights_depend_on_seed_width_and_init_alone(init, n_inputs):
    plain = initialize(ensemble.grid(width=6, seed=3, init=init), n_inputs)[0]
    others = ensemble.grid(
        width=6, seed=3, init=init, lr=[0.5, 2.0], optimizer=["adam", "momentum"], schedule="cosine", beta2=0.5,
        momentum=0.1, weight_decay=1.0, data="b",
    )  # fmt: skip
    crowd = ensemble.grid(width=[2, 6], seed=range(5), init=["he", "normal", "uniform"]) + others
    drawn = initialize(crowd, n_inputs)
    for i in range(len(crowd) - len(others), len(crowd)):
        for a, b in zip(naive.four(drawn[i]), naive.four(plain), strict=True):
            np.testing.assert_array_equal(a, b)
    different = initialize(ensemble.grid(width=6, seed=4, init=init), n_inputs)[0]
    assert (different.weights[0] != plain.weights[0]).all() and (different.weights[1] != plain.weights[1]).all()


@pytest.mark.parametrize("n_inputs", [1, 3])
@pytest.mark.parametrize("init", ["normal", "he", "uniform"])
def test_a_narrow_network_is_the_first_units_of_a_wide_one(init, n_inputs):
    narrow, wide = initialize(ensemble.grid(width=[16, 32], seed=8, init=init, output_bias=True), n_inputs)
    np.testing.assert_array_equal(narrow.weights[0], wide.weights[0][:, :16])
    np.testing.assert_array_equal(narrow.biases[0], wide.biases[0][:16])
    if init == "normal":
        np.testing.assert_array_equal(narrow.weights[1], wide.weights[1][:16])
        assert narrow.biases[1] == wide.biases[1]
    else:
        np.testing.assert_allclose(narrow.weights[1], wide.weights[1][:16] * np.sqrt(2), rtol=1e-14)
        np.testing.assert_allclose(narrow.biases[1], wide.biases[1] * np.sqrt(2), rtol=1e-14)


def test_init_scale_is_a_factor_of_normal_only():
    one, two = initialize(ensemble.grid(width=4, init_scale=[0.1, 0.2], output_bias=True))
    for a, b in zip(naive.four(one), naive.four(two), strict=True):
        np.testing.assert_allclose(2 * a, b, rtol=1e-14)
    zero = initialize(ensemble.grid(width=4, init_scale=0))[0]
    assert not any(a.any() for a in naive.four(zero))
    for init in ("he", "uniform"):
        one, two = initialize(ensemble.grid(width=4, init=init, init_scale=[0.1, 0.2], output_bias=True))
        for a, b in zip(naive.four(one), naive.four(two), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("init", ["normal", "uniform"])
def test_bias_flags_are_paired(init):
    specs = ensemble.grid(width=5, seed=2, init=init, hidden_bias=[True, False], output_bias=[True, False])
    both, hidden, output, neither = initialize(specs)
    for network in (hidden, output, neither):
        np.testing.assert_array_equal(network.weights[0], both.weights[0])
        np.testing.assert_array_equal(network.weights[1], both.weights[1])
    np.testing.assert_array_equal(hidden.biases[0], both.biases[0])
    assert output.biases[1] == both.biases[1] != 0
    assert both.biases[0].all()
    assert not output.biases[0].any() and not neither.biases[0].any()
    assert hidden.biases[1] == neither.biases[1] == 0


@pytest.mark.parametrize(
    ("init", "n_inputs", "first", "bias", "second"),
    [
        ("normal", 1, 0.1, 0.1, 0.1),
        ("normal", 4, 0.1, 0.1, 0.1),
        ("he", 1, np.sqrt(2), 0, np.sqrt(2 / 4000)),
        ("he", 4, np.sqrt(2 / 4), 0, np.sqrt(2 / 4000)),
        ("uniform", 1, 1 / np.sqrt(3), 1 / np.sqrt(3), 1 / np.sqrt(3 * 4000)),
        ("uniform", 4, 1 / np.sqrt(12), 1 / np.sqrt(12), 1 / np.sqrt(3 * 4000)),
    ],
)
def test_spread_of_initial_weights(init, n_inputs, first, bias, second):
    network = initialize(ensemble.grid(width=4000, seed=1, init=init), n_inputs)[0]
    for weights, spread in ((network.weights[0], first), (network.biases[0], bias), (network.weights[1], second)):
        assert abs(weights.mean()) <= 5 * spread / np.sqrt(weights.size)
        assert weights.std() == pytest.approx(spread, rel=0.05)
    if init == "uniform":
        for weights, fan_in in (
            (network.weights[0], n_inputs),
            (network.biases[0], n_inputs),
            (network.weights[1], 4000),
        ):
            assert 0.99 / np.sqrt(fan_in) < np.abs(weights).max() <= 1 / np.sqrt(fan_in)
    assert abs(np.corrcoef(network.weights[0][0], network.weights[1][:, 0])[0, 1]) < 0.08  # each weight its own draw


def test_output_biases_over_seeds():
    stack = initialize(ensemble.grid(width=1, seed=range(2000), output_bias=True))
    biases = stack.stack(width=1).biases[1]
    assert biases.std() == pytest.approx(0.1, rel=0.08)
    assert len(np.unique(biases)) == 2000


# ---- layout ----


def test_layout_of_any_depth_and_number_of_outputs():
    assert layout.shapes(4, 1, 2, 1) == ((2, 4), (4,), (4, 1), (1,))
    assert layout.shapes(4, 3, 2, 5) == ((2, 4), (4,), (4, 4), (4,), (4, 4), (4,), (4, 5), (5,))
    assert layout.sizes([4, 7, 4], [1, 1, 3], 2, 1).tolist() == [17, 29, 57]
    assert layout.weight_bytes(4, 2) == 8 * 17
    assert layout.weight_bytes(2**31 - 1, 10**6) > 1e15  # no overflow, whatever a file claims
    for lead in ((), (3,)):
        parameters = np.arange(np.prod(lead, dtype=int) * 57.0).reshape(*lead, 57)
        weights, biases = layout.split(parameters, layout.shapes(4, 3, 2, 1))
        assert [w.shape for w in weights] == [(*lead, 2, 4), (*lead, 4, 4), (*lead, 4, 4), (*lead, 4, 1)]
        assert all(np.shares_memory(part, parameters) for part in (*weights, *biases))
        order = [part.reshape(*lead, -1) for pair in zip(weights, biases, strict=True) for part in pair]
        np.testing.assert_array_equal(np.concatenate(order, axis=-1), parameters)


def test_each_models_parameters_are_side_by_side():
    stack = filled(mixed_specs())
    for i, network in enumerate(stack):
        start = stack.starts[stack.slots[i]]
        own = np.concatenate([part.ravel() for part in naive.four(network)])
        np.testing.assert_array_equal(stack.parameters[start : start + own.size], own)
    assert np.diff(stack.specs.width[np.argsort(stack.slots)]).min() == 0  # sorted by width


def test_a_given_buffer_is_used_and_checked():
    specs = mixed_specs()
    parameters = filled(specs).parameters
    assert NetworkStack(specs, 2, parameters=parameters).parameters is parameters
    for wrong in (parameters[1:], parameters.astype(np.float32), parameters[None]):
        with pytest.raises(ValueError, match=rf"the specs need \({parameters.size},\) and float64"):
            NetworkStack(specs, 2, parameters=wrong)


# ---- stacks ----


@pytest.mark.parametrize("n_inputs", [1, 3])
def test_stack_gives_views_of_the_right_shape(n_inputs):
    stack = filled(mixed_specs(), n_inputs)
    assert stack.parameters.size == ((n_inputs + 2) * stack.specs.width + 1).sum() == stack.starts[-1]
    for width in (1, 3, 5):
        group = stack.stack(width=width)
        assert group.models.tolist() == np.flatnonzero(stack.specs.width == width).tolist()
        m = len(group.models)
        shapes = [(m, n_inputs, width), (m, width), (m, width, 1), (m, 1)]
        for layer, array in enumerate((group.weights[0], group.biases[0], group.weights[1], group.biases[1])):
            assert array.shape == shapes[layer]
            assert np.shares_memory(array, stack.parameters)
            for place, model in enumerate(group.models):
                network = stack[int(model)]
                np.testing.assert_array_equal(
                    array[place], (network.biases if layer % 2 else network.weights)[layer // 2]
                )
        group.biases[0][:] = -1.0
        assert (stack[int(group.models[-1])].biases[0] == -1).all()


def test_a_width_that_is_not_there():
    with pytest.raises(
        ValueError, match=r"no model has width 4 and 1 hidden layers; .* \[\(1, 1\), \(3, 1\), \(5, 1\)\]"
    ):
        filled(mixed_specs()).stack(width=4)


def test_networks_are_views_in_the_order_of_the_specs():
    stack = filled(mixed_specs())
    assert [n.biases[0].size for n in stack] == stack.specs.width.tolist()
    assert len({n.weights[0].tobytes() for n in stack}) == len(stack)
    for array in (*stack[3].weights, *stack[3].biases):
        assert np.shares_memory(array, stack.parameters)
    assert_same([stack[-1]], [stack[len(stack) - 1]])
    assert stack[np.int64(2)].weights[0].shape == (2, int(stack.specs.width[2]))
    for index in (len(stack), -len(stack) - 1):
        with pytest.raises(IndexError, match=f"network {index} of {len(stack)}"):
            stack[index]
    assert repr(stack) == "<NetworkStack of 36 networks, 2 inputs>"


def test_some_networks_are_a_stack_of_copies():
    stack = filled(mixed_specs())
    for index in (slice(3, 30, 4), stack.specs.width == 3, [7, 7, 0, -1], slice(0, 0), np.array([35, 2])):
        places = np.arange(len(stack))[index]
        taken = stack[index]
        assert isinstance(taken, NetworkStack)
        assert taken.specs == stack.specs[places]
        assert_same(taken, [stack[int(i)] for i in places])
        assert not np.shares_memory(taken.parameters, stack.parameters)


@pytest.mark.parametrize("n_inputs", [1, 3])
def test_take_and_put_are_inverse(n_inputs):
    source = filled(mixed_specs(), n_inputs)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(source))
        target = NetworkStack(source.specs, n_inputs)
        for part in np.array_split(order, 5):
            target.put(part, source.take(part))
        assert_same(target, source)
    untouched = filled(mixed_specs(), n_inputs)
    zeros = NetworkStack(source.specs[[4, 2]], n_inputs)
    untouched.put(np.array([4, 2]), zeros)
    for i, (network, original) in enumerate(zip(untouched, source, strict=True)):
        if i in (2, 4):
            assert not any(a.any() for a in naive.four(network))
        else:
            assert_same([network], [original])


# ---- predictions ----


@pytest.mark.parametrize("n_inputs", [1, 3])
def test_predictions_are_those_of_each_network_and_of_the_rules(n_inputs):
    stack = initialize(mixed_specs(), n_inputs)
    x = np.random.default_rng(0).normal(size=(11, n_inputs))
    p = stack.predict(x)
    assert p.shape == (len(stack), 11)
    for i, network in enumerate(stack):
        expected = layers.forward(x, network.weights, network.biases)[:, 0]
        np.testing.assert_array_equal(network.predict(x), expected)
        np.testing.assert_allclose(p[i], expected, rtol=0, atol=1e-14 * max(1.0, np.abs(expected).max()))
    if n_inputs == 1:
        np.testing.assert_array_equal(stack.predict(x[:, 0]), p)
        np.testing.assert_array_equal(stack.predict(x[:, 0].tolist()), p)
    assert stack.predict(np.empty((0, n_inputs))).shape == (len(stack), 0)


def test_predictions_do_not_depend_on_the_size_of_blocks(monkeypatch):
    """A BLAS with several threads may sum the last few of N rows in another way, where N is no multiple of 16."""
    for n_inputs in (1, 3):
        stack = initialize(ensemble.grid(width=[5, 64, 640], init="uniform", output_bias=True), n_inputs)
        x = np.random.default_rng(0).normal(size=(240, n_inputs))
        blocks = []
        for size in (1, 2**16, 2**40):
            monkeypatch.setattr(one_network, "_PREDICT_BYTES", size)
            blocks.append(np.array([network.predict(x) for network in stack]))
        np.testing.assert_array_equal(blocks[0], blocks[1])
        np.testing.assert_array_equal(blocks[0], blocks[2])


def test_predictions_in_blocks(monkeypatch):
    stack = initialize(ensemble.grid(width=[3, 50]))
    x = np.linspace(-1, 1, 101)
    whole = stack[1].predict(x)
    monkeypatch.setattr(one_network, "_PREDICT_BYTES", 8 * 50 * 7)
    np.testing.assert_allclose(stack[1].predict(x), whole, rtol=1e-13)


@pytest.mark.parametrize("n_inputs", [1, 2, 9])
def test_predictions_of_many_are_those_of_each_alone(n_inputs):
    """At any depth and width, with kinks among the inputs, beyond them, and where weights are 0 or the sample is."""
    specs = ensemble.grid(
        width=[1, 5, 16, 33], hidden_layers=[1, 2, 4], init="uniform", seed=range(3), output_bias=True
    )
    stack = initialize(specs, n_inputs)
    rng = np.random.default_rng(1)
    stack.parameters[rng.random(stack.parameters.size) < 0.05] = 0.0
    for x in (rng.normal(size=(301, n_inputs)), np.round(rng.normal(size=(40, n_inputs))), np.zeros((1, n_inputs))):
        p = stack.predict(x)
        for i, network in enumerate(stack):
            np.testing.assert_allclose(p[i], network.predict(x), rtol=1e-12, atol=1e-13)
        order = rng.permutation(len(stack))
        np.testing.assert_array_equal(stack.take(order).predict(x), p[order])
        np.testing.assert_array_equal(stack.take(order[:1]).predict(x), p[order[:1]])


@pytest.mark.parametrize("n_outputs", [2, 3, 17])
@pytest.mark.parametrize("n_inputs", [1, 3, 9])
def test_predictions_of_several_outputs_are_those_of_each_alone(n_inputs, n_outputs):
    specs = ensemble.grid(width=[1, 16, 21], hidden_layers=[1, 3], seed=[0, 1])
    stack = NetworkStack(specs, n_inputs, n_outputs=n_outputs)
    rng = np.random.default_rng(n_outputs)
    stack.parameters[:] = rng.normal(size=stack.parameters.size)
    for n in (300, 1, 0):
        x = rng.normal(size=(n, n_inputs))
        p = stack.predict(x)
        assert p.shape == (len(stack), n, n_outputs)
        for i, network in enumerate(stack):
            expected = layers.forward(x, network.weights, network.biases)
            np.testing.assert_allclose(p[i], expected, rtol=0, atol=1e-13 * np.abs(expected).max(initial=1.0))
        order = rng.permutation(len(stack))
        np.testing.assert_array_equal(stack.take(order).predict(x), p[order])
        np.testing.assert_array_equal(stack.take(order[:1]).predict(x), p[order[:1]])


@pytest.mark.parametrize("far", [1e9, 1e15, 1e308])
@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_a_sample_far_away_costs_the_others_no_digits(far, hidden_layers):
    stack = initialize(ensemble.grid(width=[5, 16], hidden_layers=hidden_layers, init="he", seed=range(3)))
    near = np.linspace(-2, 2, 9)
    p = stack.predict(np.concatenate([near, [far, far]]))[:, :9]
    np.testing.assert_allclose(p, [network.predict(near) for network in stack], rtol=1e-12, atol=1e-13)


def test_a_unit_of_a_diverged_network_is_absent_where_it_is_off():
    """Its outputs overflow where it is on; switched off it adds 0, not the NaN of inf - inf."""
    stack = initialize(ensemble.grid(width=2, init="he", seed=range(3)))
    own, other = stack.network(1), stack.network(2)
    own.weights[0][:], own.biases[0][:], own.weights[1][:] = [[-1e200, 1.0]], [0.0, 1.0], [[1e200], [1.0]]
    x = np.array([-1.0, 0.5, 2.0])
    p = stack.predict(x)
    np.testing.assert_array_equal(p[1], [np.inf, 1.5, 3.0])
    np.testing.assert_allclose(p[2], other.predict(x), rtol=1e-12)
    np.testing.assert_array_equal(stack.take(np.array([2])).predict(x)[0], p[2])


def test_predictions_of_standardized_data_are_in_original_units():
    rng = np.random.default_rng(0)
    x = rng.uniform(1000, 3000, size=(40, 2))
    y = 50 + 1e-2 * x[:, 0] + rng.normal(size=40)
    data = ensemble.Dataset(x[:20], y[:20], x[20:30], y[20:30], x[30:], y[30:], standardize=True)
    specs = ensemble.grid(width=[3, 8], lr=0.05)
    result = ensemble.train(specs, data, epochs=30, snapshots=[10])
    for part, history in (("train", result.train_loss), ("test", result.test_loss), ("val", result.val_loss)):
        inputs, outputs = data.parts()[part]
        errors = ((result.networks.predict(inputs) - outputs) ** 2).mean(axis=1)
        np.testing.assert_allclose(history[:, -1], errors, rtol=1e-12)
        for i, network in enumerate(result.networks[::-1]):
            of_many = result.networks.predict(inputs)[len(specs) - 1 - i]
            np.testing.assert_allclose(network.predict(inputs), of_many, rtol=1e-12)
    early = result.snapshots[10].predict(data.x_test)
    at = result.epochs.tolist().index(10)
    np.testing.assert_allclose(((early - data.y_test) ** 2).mean(axis=1), result.test_loss[:, at], rtol=1e-12)
    assert result.train_loss[:, -1].max() < result.train_loss[:, 0].min()


def standardized(names=("scaled",), **axes):
    """Networks trained on two inputs far from 0, and the data's inputs in their own units."""
    rng = np.random.default_rng(0)
    x = rng.uniform([1000, -5], [3000, -4], size=(40, 2))
    y = 50 + 1e-2 * x[:, 0] + rng.normal(size=40)
    data = {name: ensemble.Dataset(x, y, standardize=name.startswith("scaled")) for name in names}
    specs = ensemble.grid(data=list(names), width=[3, 8], lr=1e-9 if "plain" in names else 0.05, **axes)
    return ensemble.train(specs, data, epochs=30, progress=False).networks, x


def formula(x, weights, biases):
    """The definition of a network, over a leading axis of models or without one."""
    h = x
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = np.maximum(h @ w + b[..., None, :], 0)
    return (h @ weights[-1] + biases[-1][..., None, :])[..., 0]


def test_weights_of_standardized_data_fit_its_own_units():
    networks, x = standardized(seed=range(2))
    for i, network in enumerate(networks):
        expected = network.predict(x)
        np.testing.assert_allclose(formula(x, network.weights, network.biases), expected, rtol=1e-11)
        assert np.std(expected) > 0.1  # it has learned something
        views = networks.network(i, units="training")
        z = (x - network.scale.x_mean) / network.scale.x_std
        np.testing.assert_allclose(network.scale.restore(formula(z, views.weights, views.biases)), expected, rtol=1e-12)
    for width in (3, 8):
        group = networks.stack(width=width)
        np.testing.assert_allclose(
            formula(x, group.weights, group.biases), networks.predict(x)[group.models], rtol=1e-11
        )
        for place, model in enumerate(group.models.tolist()):
            for folded, one in zip(group.weights + group.biases, networks[model].weights + networks[model].biases,
                                   strict=True):  # fmt: skip
                np.testing.assert_array_equal(folded[place], one)


def test_folded_weights_are_read_only_and_training_units_are_views():
    networks, _ = standardized()
    network, group = networks[0], networks.stack(width=3)
    for array in (*network.weights, *network.biases, *group.weights, *group.biases):
        assert not np.shares_memory(array, networks.parameters)
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0
    network, group = networks.network(0, units="training"), networks.stack(width=3, units="training")
    for array in (*network.weights, *network.biases, *group.weights, *group.biases):
        assert np.shares_memory(array, networks.parameters)
    for ask in (lambda: networks.network(0, units="raw"), lambda: networks.stack(width=3, units="raw")):
        with pytest.raises(ValueError, match="units 'raw' are unknown; allowed are data, training"):
            ask()


def test_a_stack_of_models_of_several_datasets_has_each_in_its_own_units():
    networks, x = standardized(("plain", "scaled", "scaled too"))
    group = networks.stack(width=8)
    np.testing.assert_allclose(formula(x, group.weights, group.biases), networks.predict(x)[group.models], rtol=1e-9)
    assert np.shares_memory(networks[0].weights[0], networks.parameters)  # nothing to fold


def test_diverged_weights_fold_without_a_warning():
    networks, _ = standardized()
    networks.parameters[:] = 1e308
    for biases in (networks[0].biases[0], networks.stack(width=3).biases[0]):
        assert not np.isfinite(biases).all()


# ---- one network of any depth ----


def test_a_deep_network_with_several_outputs_predicts():
    (w1, w2, w3), (b1, b2, b3), x = naive.deep_network()
    network = ensemble.Network((w1, w2, w3), (b1, b2, b3))
    expected = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0) @ w3 + b3
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-12, atol=1e-14)
    assert repr(network) == "<Network 3 - 5 - 5 - 2>"


def test_shapes_that_do_not_fit_are_named():
    w, v, b, c = np.ones((2, 4)), np.ones((4, 1)), np.ones(4), np.ones(1)
    for weights, biases, message in [
        ((w,), (b,), "1 weights and 1 biases; one of each per layer, two layers or more"),
        ((w, v), (b,), "2 weights and 1 biases"),
        ((w, np.ones((3, 1))), (b, c), r"weights\[1\] has shape \(3, 1\) and biases\[1\] \(1,\); \(4, n\)"),
        ((w, v), (c, c), r"weights\[0\] has shape \(2, 4\) and biases\[0\] \(1,\)"),
        ((w, b), (b, c), r"weights\[1\] has shape \(4,\)"),
        ((1.0, v), (b, c), r"weights\[0\] has shape \(\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            ensemble.Network(weights, biases)


def test_wrong_inputs_are_named():
    stack = initialize(ensemble.grid(width=4), 2)
    for x in (np.zeros(5), np.zeros((5, 3)), np.zeros((1, 5, 2))):
        with pytest.raises(ValueError, match="but the networks have 2 inputs: .N, 2. is needed"):
            stack.predict(x)
        with pytest.raises(ValueError, match="x has shape"):
            stack[0].predict(x)


# Files


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    x = 3 + 10 * rng.standard_normal((40, 2))
    data = {
        "plain": ensemble.Dataset(x, x[:, 0]),
        "scaled": ensemble.Dataset(x, x @ [1.0, -2.0], standardize=True),
    }
    specs = ensemble.grid(data=list(data), width=[3, 1, 8], seed=range(2), output_bias=[True, False], lr=1e-3)
    return ensemble.train(specs, data, epochs=5, progress=False).networks, x


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_networks_come_back_from_a_file_to_the_bit(trained, tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")
    networks, x = trained
    path = tmp_path / f"networks.{suffix}"
    networks.save(path)
    again = NetworkStack.load(path)
    assert again.specs == networks.specs
    np.testing.assert_array_equal(again.predict(x), networks.predict(x))
    np.testing.assert_array_equal(again.parameters, networks.parameters)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_every_damage_to_a_file_of_networks_is_found(trained, tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")
    networks, x = trained
    path = tmp_path / f"networks.{suffix}"
    networks.save(path)
    content, expected = path.read_bytes(), networks.predict(x)
    rng = np.random.default_rng(4)
    for trial in range(150):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged if trial % 2 else content[: rng.integers(len(content))])
        try:
            found = NetworkStack.load(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:  # a bit that means nothing, such as a date in the archive's directory
            np.testing.assert_array_equal(found.predict(x), expected)


def test_files_of_networks_have_two_endings(trained, tmp_path):
    with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
        trained[0].save(tmp_path / "networks.pt")
    with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
        NetworkStack.load(tmp_path / "networks.pt")


def test_a_file_that_claims_enormous_networks_takes_no_memory(tmp_path):
    specs = ensemble.grid(width=2 * 10**9)
    arrays = {f"spec_{name}": values for name, values in specs.columns().items()}
    for parameters in ({"parameters": np.zeros(1)}, {name: np.zeros(1) for name in ("w1", "b1", "w2", "b2")}):
        archive.write(tmp_path / "huge.npz", archive.dump(arrays | parameters | {"n_inputs": np.array([1])}))
        with pytest.raises(archive.DamagedFileError, match=r"the specs need \(?[26]00000000"):
            NetworkStack.load(tmp_path / "huge.npz")


def test_a_missing_extra_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'relu-ensemble\[safetensors\]'"):
        trained[0].save(tmp_path / "networks.safetensors")


def needs_safetensors(suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_of_the_first_release_load(suffix):
    """Written by 0.1.0, where a stack had a buffer for each of w1, b1, w2 and b2."""
    needs_safetensors(suffix)
    folder = Path(__file__).parent / "data"
    specs = ensemble.grid(
        data=["plain", "scaled"], width=[3, 1, 5], seed=[0, 2], init=["normal", "uniform"], output_bias=True
    )
    scale = Scale(np.array([1.5, -2.0]), np.array([0.5, 4.0]), 10.0, 3.0)
    expected = initialize(specs, 2, {"scaled": scale})
    found = NetworkStack.load(folder / f"networks-0.{suffix}")
    assert found.specs == specs and found.n_inputs == 2
    np.testing.assert_array_equal(found.parameters, expected.parameters)
    x = np.random.default_rng(0).normal(size=(9, 2))
    np.testing.assert_array_equal(found.predict(x), expected.predict(x))
    one = ensemble.Network.load(folder / f"network-0.{suffix}")
    np.testing.assert_allclose(one.predict(x), expected.predict(x)[-1], rtol=1e-12)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_loaded_stack_can_be_written_to(trained, tmp_path, suffix):
    needs_safetensors(suffix)
    trained[0].save(tmp_path / f"networks.{suffix}")
    again = NetworkStack.load(tmp_path / f"networks.{suffix}")
    again.put(np.array([0]), again.take(np.array([0])))


def stack_file(path, trained, **changes):
    """Write the stack as `save` does, its hash right, but with some arrays changed."""
    trained[0].save(path)
    arrays = archive.read(path, {"*": ("ifbU", 1)})
    archive.write(path, archive.dump(arrays | changes))


@pytest.mark.parametrize("name", ["n_inputs", "n_outputs"])
@pytest.mark.parametrize("values", [[], [2, 2], [0], [-1], [10**6 + 1]])
def test_a_file_with_another_count_is_refused(trained, tmp_path, name, values):
    path = tmp_path / "networks.npz"
    stack_file(path, trained, **{name: np.array(values, dtype=np.int64)})
    with pytest.raises(archive.DamagedFileError, match=f"{path}.*{name} is .*one whole number from 1 to 10"):
        NetworkStack.load(path)


@pytest.mark.parametrize(("place", "value"), [(0, np.nan), (2, 0.0), (3, -1.0), (3, np.inf), (4, np.inf), (5, 0.0)])
def test_a_file_with_an_impossible_scale_is_refused(trained, tmp_path, place, value):
    scale = trained[0].scales["scaled"]
    values = np.array([*scale.x_mean, *scale.x_std, scale.y_mean, scale.y_std])
    values[place] = value
    path = tmp_path / "networks.npz"
    stack_file(path, trained, scale_scaled=values)
    with pytest.raises(archive.DamagedFileError, match="scale_scaled holds a mean that is not finite or a standard"):
        NetworkStack.load(path)


def test_a_file_with_other_arrays_is_refused(trained, tmp_path):
    path = tmp_path / "networks.npz"
    stack_file(path, trained, w1=np.zeros(3))
    with pytest.raises(archive.DamagedFileError, match="its arrays are .'parameters', 'w1'."):
        NetworkStack.load(path)


def test_numbers_that_numpy_lacks_are_named(tmp_path):
    pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")
    tensors = {name: {"dtype": "BF16", "shape": shape, "data_offsets": [4 * i, 4 * i + 4]}
               for i, (name, shape) in enumerate({"0.weight": [2, 1], "2.weight": [1, 2]}.items())}  # fmt: skip
    header = json.dumps(tensors).encode()
    path = tmp_path / "half.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    for load in (ensemble.Network.load, NetworkStack.load):
        with pytest.raises(ValueError, match=f"{path} holds numbers of dtype BF16, which are not supported") as raised:
            load(path)
        assert not isinstance(raised.value, archive.DamagedFileError)


@pytest.mark.parametrize("load", [ensemble.Network.load, NetworkStack.load])
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("thing", ["pipe", "device", "folder", "sparse"])
@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are files on POSIX systems only")
def test_what_is_no_file_of_a_possible_size_is_refused_at_once(tmp_path, load, suffix, thing):
    needs_safetensors(suffix)
    path = tmp_path / f"networks.{suffix}"
    if thing == "pipe":
        os.mkfifo(path)
    elif thing == "device":
        path.symlink_to("/dev/zero")
    elif thing == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(10**13)
    with pytest.raises((archive.DamagedFileError, OSError), match=f"networks.{suffix}"):
        load(path)


def nested_members(n_members, n_bytes):
    """Return a zip archive whose every member's data holds all members after it: n times the file's size."""
    tail, members = bytes(n_bytes), []
    for i in reversed(range(n_members)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f2", "fortran_order": False, "shape": (len(tail) // 2,)}
        )
        data, name = header.getvalue() + tail, f"{i:04}.npy".encode()
        sizes = struct.pack("<III", zlib.crc32(data), len(data), len(data))
        local = struct.pack("<HHHHH", 20, 0, 0, 0, 33) + sizes + struct.pack("<HH", len(name), 0)
        tail = b"PK\x03\x04" + local + name + data
        members.append((name, sizes, len(tail)))
    directory = b"".join(
        b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 0, 0, 33) + sizes
        + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(tail) - place) + name
        for name, sizes, place in members
    )  # fmt: skip
    end = struct.pack("<HHHHIIH", 0, 0, n_members, n_members, len(directory), len(tail), 0)
    return tail + directory + b"PK\x05\x06" + end


def test_members_that_overlap_take_no_memory(tmp_path):
    path = tmp_path / "network.npz"
    path.write_bytes(nested_members(300, 2**19))
    tracemalloc.start()
    with pytest.raises(archive.DamagedFileError, match=str(path)):
        ensemble.Network.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6, f"{peak / 1e6:.0f} MB for a file of {path.stat().st_size / 1e6:.1f} MB"


@pytest.mark.parametrize("n_inputs", [0, -1, True, 1.5, "1", 10**12])
def test_initial_networks_of_no_such_number_of_inputs_are_refused(n_inputs):
    with pytest.raises(ValueError, match="n_inputs must be a whole number|needs about .* of memory"):
        ensemble.initialize(ensemble.grid(width=4), n_inputs)


@pytest.mark.parametrize("x", [[1j], ["1"], "ab"])
def test_inputs_that_are_no_real_numbers_are_refused(x):
    with pytest.raises(ValueError, match="x has dtype .*; real numbers are needed"):
        ensemble.initialize(ensemble.grid(width=4)).predict(x)
