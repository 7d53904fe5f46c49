import sys

import naive
import numpy as np
import pytest

import ensemble
from ensemble.networks import NetworkStack, initialize
from ensemble.networks import network as one_network
from ensemble.rules import layers


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
        np.testing.assert_array_equal(p[i], network.predict(x))
        np.testing.assert_array_equal(p[i], layers.forward(x, *naive.four(network)))
    if n_inputs == 1:
        np.testing.assert_array_equal(stack.predict(x[:, 0]), p)
        np.testing.assert_array_equal(stack.predict(x[:, 0].tolist()), p)
    assert stack.predict(np.empty((0, n_inputs))).shape == (len(stack), 0)


def test_predictions_in_blocks(monkeypatch):
    stack = initialize(ensemble.grid(width=[3, 50]))
    x = np.linspace(-1, 1, 101)
    whole = stack.predict(x)
    monkeypatch.setattr(one_network, "_PREDICT_BYTES", 8 * 50 * 7)
    np.testing.assert_allclose(stack.predict(x), whole, rtol=1e-13)


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
            np.testing.assert_array_equal(network.predict(inputs), result.networks.predict(inputs)[len(specs) - 1 - i])
    early = result.snapshots[10].predict(data.x_test)
    at = result.epochs.tolist().index(10)
    np.testing.assert_allclose(((early - data.y_test) ** 2).mean(axis=1), result.test_loss[:, at], rtol=1e-12)
    assert result.train_loss[:, -1].max() < result.train_loss[:, 0].min()


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
    from ensemble.system import archive

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
