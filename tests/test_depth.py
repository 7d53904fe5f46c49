"""Networks of several hidden layers, from the specs to files: initial weights, training, stacks, run folders."""

import itertools

import naive
import numpy as np
import pytest
from stored import assert_sound, content, make_data

import ensemble
from ensemble import store
from ensemble.analysis import dead_fraction
from ensemble.engines import choose_engines
from ensemble.networks import Network, NetworkStack, initialize, weight_bytes
from ensemble.system import memory, streams

INITS = ["normal", "he", "uniform", "fan_in"]
DEPTHS = [1, 2, 3, 5]


def deep_specs(**more):
    """Return models of mixed depths, widths and settings, not in the order of a buffer."""
    axes = {"lr": 0.02, "init": "fan_in", "output_bias": True} | more
    return ensemble.grid(hidden_layers=[3, 1, 2], width=[5, 3], optimizer=["gd", "adam", "momentum"], **axes)


def biases_of(network):
    return np.concatenate([b.ravel() for b in network.biases])


# ---- initial weights ----


def test_one_hidden_layer_has_the_weights_of_past_releases():
    normal, uniform = initialize(ensemble.grid(width=2, seed=5, init=["normal", "uniform"], output_bias=True), 2)
    expected = {
        "normal": [
            -0.0032713159077575518, -0.08816815144873652, -0.03786180548795536, -0.10669642877343635,
            -0.006440715090312312, -0.03855576729412824, 0.2142452558893267, -0.11507047664414066, 0.08373178465792079,
        ],
        "uniform": [
            0.0041472189158961665, 0.44317209084587156, 0.21659087455234974, 0.5101881824373538, 0.3640121036047423,
            -0.020994422082814858, -0.5530996270374262, -0.5954905246087624, 0.3444795662074881,
        ],
    }  # fmt: skip
    for network, values in ((normal, expected["normal"]), (uniform, expected["uniform"])):
        found = np.concatenate([part.ravel() for part in naive.parameters(network)])
        np.testing.assert_allclose(found, values, rtol=1e-15)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("init", INITS)
def test_the_first_and_the_output_layer_are_the_same_at_every_depth(init, d):
    networks = initialize(ensemble.grid(width=6, seed=3, init=init, output_bias=True, hidden_layers=DEPTHS), d)
    for network, hidden_layers in zip(networks, DEPTHS, strict=True):
        assert len(network.weights) == hidden_layers + 1
        for part, same in ((network.weights, networks[0].weights), (network.biases, networks[0].biases)):
            np.testing.assert_array_equal(part[0], same[0])
            np.testing.assert_array_equal(part[-1], same[-1])
    shallower, deeper = networks[2], networks[3]
    for layer in range(1, 3):  # and so is every hidden matrix
        np.testing.assert_array_equal(shallower.weights[layer], deeper.weights[layer])
        np.testing.assert_array_equal(shallower.biases[layer], deeper.biases[layer])


@pytest.mark.parametrize("parametrization", ["standard", "mup"])
@pytest.mark.parametrize("init", INITS)
def test_a_narrow_network_is_the_first_units_of_a_wide_one_in_every_layer(init, parametrization):
    axes = {"init": init, "parametrization": parametrization, "init_scale": 0.3, "hidden_layers": 4}
    narrow, wide = initialize(ensemble.grid(width=[16, 32], seed=8, **axes), 2)
    unscaled = init == "normal"
    by_width = 1.0 if unscaled and parametrization == "standard" else np.sqrt(2)  # of the spread of hidden weights
    for layer in range(1, 4):
        np.testing.assert_allclose(narrow.weights[layer], by_width * wide.weights[layer][:16, :16], rtol=1e-14)
        factor = 1.0 if unscaled else np.sqrt(2)
        np.testing.assert_allclose(narrow.biases[layer], factor * wide.biases[layer][:16], rtol=1e-14)
    np.testing.assert_array_equal(narrow.weights[0], wide.weights[0][:, :16])


def test_hidden_weights_come_in_shells_from_a_stream_of_their_layer():
    network = initialize(ensemble.grid(width=3, seed=4, init_scale=1.0, hidden_layers=3))[0]
    for layer in (1, 2):
        drawn = iter(streams.generator(4, streams.HIDDEN, layer).standard_normal(12).tolist())
        weights, biases = np.empty((3, 3)), np.empty(3)
        for j in range(3):
            for i in range(j + 1):
                weights[i, j] = next(drawn)
            for i in range(j):
                weights[j, i] = next(drawn)
            biases[j] = next(drawn)
        np.testing.assert_array_equal(network.weights[layer], weights)
        np.testing.assert_array_equal(network.biases[layer], biases)


@pytest.mark.parametrize("init", INITS)
def test_weights_depend_on_seed_and_shape_alone_in_mixed_company(init):
    crowd = ensemble.grid(hidden_layers=[2, 1, 3], width=[4, 2], seed=range(40), init=INITS, lr=[0.1, 0.2])
    drawn = initialize(crowd, 2)
    for i in np.flatnonzero(crowd.init == init)[::37]:
        alone = initialize(crowd[[i]], 2)[0]
        for one, other in zip(naive.parameters(drawn[int(i)]), naive.parameters(alone), strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({network.weights[0].tobytes() for network in drawn[(crowd.init == "normal") & (crowd.width == 4)]}) == 40


@pytest.mark.parametrize("init", ["normal", "uniform", "fan_in"])
def test_hidden_biases_are_paired_in_every_layer(init):
    on, off = initialize(ensemble.grid(width=5, seed=2, hidden_layers=3, init=init, hidden_bias=[True, False]))
    for layer in range(3):
        assert on.biases[layer].all() and not off.biases[layer].any()
    for one, other in zip(on.weights, off.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("init", "spread", "bias"),
    [("normal", 0.3, 0.3), ("he", np.sqrt(2 / 300), 0.0), ("uniform", 1 / np.sqrt(3 * 300), 1 / np.sqrt(3 * 300)),
     ("fan_in", 1 / np.sqrt(300), 1 / np.sqrt(300))],
)  # fmt: skip
@pytest.mark.parametrize("parametrization", ["standard", "mup"])
def test_spread_of_hidden_weights(init, spread, bias, parametrization):
    specs = ensemble.grid(
        width=300, hidden_layers=3, seed=1, init=init, init_scale=0.3, parametrization=parametrization
    )
    network = initialize(specs)[0]
    if init == "normal" and parametrization == "mup":
        spread = spread / np.sqrt(300)
    for layer in (1, 2):
        weights, biases = network.weights[layer], network.biases[layer]
        assert abs(weights.mean()) <= 5 * spread / 300
        assert weights.std() == pytest.approx(spread, rel=0.01)
        assert biases.std() == pytest.approx(bias, rel=0.15)
        if init == "uniform":
            assert 0.999 / np.sqrt(300) < np.abs(weights).max() <= 1 / np.sqrt(300)
        assert abs(np.corrcoef(weights.ravel(), weights.T.ravel())[0, 1]) < 0.02  # each weight its own draw
    assert abs(np.corrcoef(network.weights[1].ravel(), network.weights[2].ravel())[0, 1]) < 0.02


def test_networks_that_do_not_fit_in_memory_are_refused_with_their_depth_counted(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**8)
    wide = ensemble.grid(width=2000, hidden_layers=[1, 4])
    assert weight_bytes(2000, 1, 4) == 8 * (2 * 2000 + 3 * 2001 * 2000 + 2001)
    with pytest.raises(ValueError, match="2 networks needs about 192 MB of memory"):
        initialize(wide[[1, 1]])
    initialize(wide[:1])
    huge = ensemble.grid(width=2**31 - 1, hidden_layers=1000, seed=range(10_000))
    for ask in (initialize, lambda specs: ensemble.train(specs, make_data(), epochs=1)):
        with pytest.raises(ValueError, match=r"needs about [\d,]+ GB of memory"):
            ask(huge)


# ---- stacks ----


def test_a_stack_holds_models_of_one_shape_side_by_side():
    networks = initialize(deep_specs(), 2)
    assert networks.shapes() == [(3, 1), (5, 1), (3, 2), (5, 2), (3, 3), (5, 3)]
    for width, hidden_layers in networks.shapes():
        stack = networks.stack(width=width, hidden_layers=hidden_layers)
        assert len(stack.models) == 3
        assert [w.shape[1:] for w in stack.weights] == [(2, width), *[(width, width)] * (hidden_layers - 1), (width, 1)]
        for place, model in enumerate(stack.models.tolist()):
            for layer, (w, b) in enumerate(zip(stack.weights, stack.biases, strict=True)):
                assert np.shares_memory(w, networks.parameters)
                np.testing.assert_array_equal(w[place], networks[model].weights[layer])
                np.testing.assert_array_equal(b[place], networks[model].biases[layer])
    with pytest.raises(ValueError, match=r"width 5 and 4 hidden layers; .* \[\(3, 1\), \(5, 1\), \(3, 2\)"):
        networks.stack(width=5, hidden_layers=4)
    shown = networks._repr_html_()
    assert "<th>hidden layers</th>" in shown and shown.count("<tr>") == 7


def test_taking_and_putting_keeps_each_depth_in_its_place():
    source = initialize(deep_specs(), 2)
    target = NetworkStack(source.specs, 2)
    for part in np.array_split(np.random.default_rng(0).permutation(len(source)), 4):
        target.put(part, source.take(part))
    np.testing.assert_array_equal(target.parameters, source.parameters)
    taken = source[[7, 2, 7]]
    assert taken.specs == source.specs[[7, 2, 7]]
    for one, i in zip(taken, (7, 2, 7), strict=True):
        np.testing.assert_array_equal(biases_of(one), biases_of(source[i]))


def test_predictions_are_the_plain_loops():
    networks = initialize(deep_specs(), 2)
    x = np.random.default_rng(0).normal(size=(9, 2))
    for network, p in zip(networks, networks.predict(x), strict=True):
        np.testing.assert_allclose(p, naive.forward(x, *naive.parameters(network)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_networks_of_mixed_depths_come_back_from_a_file_to_the_bit(tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors", reason="the extra 'safetensors' is not installed")
    data = {"data": make_data(2, standardize=True)}
    networks = ensemble.train(deep_specs(), data, epochs=3, progress=False).networks
    networks.save(tmp_path / f"deep.{suffix}")
    again = NetworkStack.load(tmp_path / f"deep.{suffix}")
    assert again.specs == networks.specs
    np.testing.assert_array_equal(again.parameters, networks.parameters)
    np.testing.assert_array_equal(again.predict(data["data"].x_train), networks.predict(data["data"].x_train))
    one = networks[0]  # of three hidden layers, written by itself in the data's own units
    one.save(tmp_path / f"one.{suffix}")
    x = data["data"].x_train
    np.testing.assert_allclose(Network.load(tmp_path / f"one.{suffix}").predict(x), one.predict(x), rtol=1e-9)


@pytest.mark.parametrize("standardize", [False, True])
def test_a_trained_deep_network_is_the_same_in_pytorch_and_comes_back(standardize):
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    data = make_data(2, standardize=standardize)
    network = ensemble.train(deep_specs()[:1], data, epochs=5, progress=False).networks[0]
    module = network.to_torch()
    assert [type(layer).__name__ for layer in module] == ["Linear", "ReLU"] * 3 + ["Linear"]
    p = module(torch.from_numpy(data.x_train.copy())).detach().numpy()[:, 0]
    np.testing.assert_allclose(p, network.predict(data.x_train), rtol=1e-9, atol=1e-12)
    for one, other in zip(naive.parameters(Network.from_torch(module)), naive.parameters(network), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- training ----

SETTINGS = [
    {"optimizer": "gd", "lr": 0.05},
    {"optimizer": "gd", "lr": 0.1, "weight_decay": 0.01, "schedule": "cosine", "hidden_bias": False},
    {"optimizer": "momentum", "lr": 0.01, "momentum": 0.8, "output_bias": False},
    {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.05, "schedule": "cosine"},
    {"optimizer": "adam", "lr": 0.01, "hidden_bias": False, "output_bias": False},
]


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("hidden_layers", [2, 3, 4])
def test_training_is_the_plain_reimplementation_at_any_depth(hidden_layers, d):
    rng = np.random.default_rng(3)
    x, y, epochs = rng.normal(size=(13, d)), rng.normal(size=13), 25
    specs = ensemble.Specs.from_rows(
        {"width": 4, "hidden_layers": hidden_layers, "seed": 3, "init": "fan_in", "output_bias": True} | settings
        for settings in SETTINGS
    )
    start = initialize(specs, d)
    result = ensemble.train(specs, ensemble.Dataset(x, y), epochs=epochs, engine="numpy", progress=False)
    assert (result.status == "ok").all()
    for i in range(len(specs)):
        given, found = naive.parameters(start[i]), naive.parameters(result.networks[i])
        expected = naive.train(x, y, given, epochs, specs[i]._asdict())
        for one, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, right, rtol=1e-9, atol=1e-11)
        assert all(np.abs(w - v).max() > 1e-3 for w, v in zip(found[::2], given[::2], strict=True))  # all layers moved
        final = naive.mse(naive.forward(x, *expected), y)
        assert result.train_loss[i, -1] == pytest.approx(final, rel=1e-8)


def test_one_step_of_gd_under_mup_by_hand():
    data = ensemble.Dataset([-1.0, 0.5, 2.0], [1.0, 0.0, -1.0])
    axes = {"width": 5, "hidden_layers": 3, "lr": 0.1, "init": "fan_in", "output_bias": True}
    specs = ensemble.grid(parametrization=["standard", "mup"], **axes)
    same = initialize(specs).take(np.array([1, 1]))  # both from mu-P's weights
    end = ensemble.train(specs, data, epochs=1, initial=same, engine="numpy", progress=False).networks
    for layer, (weight_factor, bias_factor) in enumerate([(5, 5), (1, 5), (1, 5), (1 / 5, 1)]):
        for part, factor in (("weights", weight_factor), ("biases", bias_factor)):
            standard, mup = (getattr(end[i], part)[layer] - getattr(same[i], part)[layer] for i in (0, 1))
            np.testing.assert_allclose(mup, factor * standard, rtol=1e-9, atol=1e-15)


def test_one_step_of_adam_under_mup_moves_hidden_weights_by_a_share_of_the_rate():
    data = ensemble.Dataset([-1.0, 0.5, 2.0], [1.0, 0.0, -1.0])
    specs = ensemble.grid(width=8, hidden_layers=2, lr=0.1, init="fan_in", optimizer="adam", parametrization="mup")
    start, end = initialize(specs)[0], ensemble.train(specs, data, epochs=1, progress=False).networks[0]
    moved = [np.abs(after - before).max() for before, after in zip(start.weights, end.weights, strict=True)]
    np.testing.assert_allclose(moved, [0.1, 0.1 / 8, 0.1 / 8], rtol=1e-4)
    np.testing.assert_allclose(np.abs(end.biases[1] - start.biases[1]).max(), 0.1, rtol=1e-4)


def test_a_deep_model_that_diverges_touches_no_other():
    specs = deep_specs() + ensemble.grid(width=5, hidden_layers=3, lr=1e10, optimizer="gd", init="fan_in")
    data = make_data()
    with np.errstate(all="ignore"):
        result = ensemble.train(specs, data, epochs=9, engine="numpy", progress=False)
    assert result.status.tolist() == ["ok"] * 18 + ["diverged"]
    alone = ensemble.train(deep_specs(), data, epochs=9, engine="numpy", progress=False)
    assert content(result[:18]) == content(alone)


# ---- which engine ----


@pytest.mark.parametrize(("d", "shallow", "deep"), [(1, "spline", "pieces"), (2, "dense", "dense")])
def test_auto_takes_for_each_model_an_engine_that_holds_its_depth(d, shallow, deep):
    specs = deep_specs()
    expected = np.where(specs.hidden_layers == 1, shallow, deep)
    assert choose_engines("auto", specs, d).tolist() == expected.tolist()
    planned = ensemble.plan(specs, make_data(d), epochs=3)
    assert planned.engines == {"data": {engine: (expected == engine).sum() for engine in (deep, shallow)}}
    for chunk in planned.chunks:
        assert len(set(expected[chunk])) == 1
    result = ensemble.train(specs, make_data(d), epochs=3, progress=False)
    for engine in (deep, shallow):
        own = expected == engine
        assert content(ensemble.train(specs[own], make_data(d), epochs=3, engine=engine)) == content(result[own])


def test_an_engine_for_one_hidden_layer_names_the_model_that_is_deeper():
    specs = ensemble.grid(hidden_layers=[1, 3], width=4)
    message = r"engine 'spline' is for one hidden layer, but specs\[1\] has 3; use 'pieces' or 'auto'"
    for function in (ensemble.plan, ensemble.train):
        with pytest.raises(ValueError, match=message):
            function(specs, make_data(), epochs=1, engine="spline")


def test_a_plan_counts_depth_in_cost_and_memory():
    data = make_data()
    plans = [
        ensemble.plan(ensemble.grid(width=64, hidden_layers=depth, seed=range(8)), data, epochs=100, engine="numpy")
        for depth in (1, 2, 4)
    ]
    for less, more in itertools.pairwise(plans):
        assert more.cost > less.cost and more.memory > less.memory
    assert plans[2].kept - plans[0].kept == 8 * 3 * 8 * 65 * 64


# ---- going on, and run folders ----


def test_networks_to_start_from_must_have_the_depth_of_the_specs():
    specs = ensemble.grid(width=4, hidden_layers=2)
    with pytest.raises(ValueError, match=r"hidden layers \[1\]\.\.\.; the specs need 1 of 1 inputs, .*\[2\]"):
        ensemble.train(specs, make_data(), epochs=1, initial=initialize(ensemble.grid(width=4)))
    off = ensemble.grid(width=4, hidden_layers=2, hidden_bias=False)
    start = initialize(off)
    start[0].biases[1][2] = 0.5  # not in the first hidden layer
    with pytest.raises(ValueError, match="initial network 0 has a bias that its spec switches off"):
        ensemble.train(off, make_data(), epochs=1, initial=start)


def test_a_run_folder_of_one_hidden_layer_takes_deep_models_and_the_other_way_round(tmp_path):
    shallow, deep = deep_specs()[deep_specs().hidden_layers == 1], deep_specs()
    options = {"epochs": 7, "snapshots": [3], "progress": False}
    expected = content(ensemble.train(deep, make_data(), **options))
    assert ensemble.train(shallow, make_data(), store=tmp_path, **options).trained == 6
    result = ensemble.train(deep, make_data(), store=tmp_path, **options)
    assert result.trained == 12
    assert content(result) == content(store.load_result(tmp_path)) == expected
    assert_sound(tmp_path, len(deep))
    assert ensemble.train(deep[::-1], make_data(), store=tmp_path, **options).trained == 0
    again = ensemble.train(shallow, make_data(), store=tmp_path, **options)
    assert again.trained == 0 and content(again) == content(result[deep.hidden_layers == 1])


def test_a_deep_run_has_its_depths_in_tables_and_cubes():
    pandas = pytest.importorskip("pandas", reason="the extra 'pandas' is not installed")
    pytest.importorskip("xarray", reason="the extra 'xarray' is not installed")
    specs = ensemble.grid(hidden_layers=[1, 2], width=[3, 4], init="fan_in")
    result = ensemble.train(specs, make_data(), epochs=2, progress=False)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and frame["hidden_layers"].tolist() == [1, 1, 2, 2]
    assert ensemble.Specs.from_rows(frame) == specs
    cube = result.to_xarray()
    assert dict(cube.sizes) == {"width": 2, "hidden_layers": 2, "epoch": 3}
    assert cube["train_loss"].sel(hidden_layers=2, width=3, epoch=2).item() == result.train_loss[2, -1]
    shown = result._repr_html_()
    assert "<th>hidden layers</th>" in shown and shown.count("<tr>") == 5


def test_dead_units_are_counted_in_every_layer():
    networks = initialize(ensemble.grid(width=4, hidden_layers=[2, 1], init="fan_in", seed=1))
    data = ensemble.Dataset([-1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 0.0, 1.0])
    first, second = networks[0].biases[:2]
    networks[0].weights[0][:], first[:] = 0.0, [1.0, 1.0, 1.0, -1.0]  # one dead
    networks[0].weights[1][:], second[:] = 0.0, [-1.0, -1.0, 1.0, 0.0]  # three dead: 0 is not active
    networks[1].weights[0][:], networks[1].biases[0][:] = [[1.0, -1.0, 0.0, 2.0]], [-1.0, 0.5, -1.0, -1.0]  # two dead
    assert dead_fraction(networks, np.array([0, 1]), data).tolist() == [4 / 8, 2 / 4]
    networks[0].weights[0][0, 0], first[0] = 1.0, 0.0
    networks[0].weights[1][0, 0], networks[0].weights[1][0, 1], second[0], second[1] = -4.0, 4.0, 1.0, -1.0
    assert dead_fraction(networks, np.array([0]), data).tolist() == [2 / 8]  # active at x <= 0, and at x = 0.5 and 1
