"""Batches, and rates of the hidden and the output layers: the order, the steps, and what they must not change."""

import naive
import numba
import numpy as np
import pytest
from stored import content, make_data

import ensemble
from ensemble import store
from ensemble.engines import choose_engines
from ensemble.kernels import batches as kernel
from ensemble.rules import batches as rule
from ensemble.rules import optimizers
from ensemble.system import streams

# ---- the order ----


@pytest.mark.parametrize("seed", [0, 3, 2**32 + 5, 2**63 - 1])
@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (2, 1), (7, 3), (8, 4), (23, 5), (64, 63), (420, 32)])
def test_batches_are_the_plain_reimplementation(seed, n, batch_size):
    for epoch in (0, 1, 77):
        found = [batch.tolist() for batch in ensemble.batches(seed, n, batch_size, epoch)]
        assert found == naive.batches(seed, n, batch_size, epoch)


def test_an_epoch_is_one_pass_in_batches_of_the_size_asked_for():
    for n, size in [(420, 32), (64, 16), (5, 4), (5, 1)]:
        found = ensemble.batches(1, n, size, 2)
        assert [len(batch) for batch in found] == [size] * (n // size) + [n % size] * (n % size > 0)
        assert sorted(np.concatenate(found).tolist()) == list(range(n))
        assert all((np.diff(batch) > 0).all() for batch in found)


@pytest.mark.parametrize("batch_size", [0, 9, 10, 1000])
def test_all_samples_are_one_batch_in_order(batch_size):
    (whole,) = ensemble.batches(5, 9, batch_size, 3)
    assert whole.tolist() == list(range(9))


def test_the_order_is_one_and_the_batch_size_says_where_it_is_cut():
    small, large = ensemble.batches(1, 30, 5, 0), ensemble.batches(1, 30, 10, 0)
    for i, batch in enumerate(large):
        assert sorted(np.concatenate(small[2 * i : 2 * i + 2]).tolist()) == batch.tolist()


def test_each_seed_and_epoch_has_its_own_order():
    orders = {tuple(rule.places(seed, 12, epoch)) for seed in range(10) for epoch in range(20)}
    assert len(orders) == 200


def test_every_order_comes_about_as_often():
    counts = {}
    for epoch in range(4800):
        order = tuple(rule.places(0, 4, epoch))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 49.7  # chi-squared, 23 degrees: 0.1%


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 5, 2, 0), "seed must be a whole number, 0 or more, not -1"),
        ((0, 0, 2, 0), "n must be a whole number, from 1 to"),
        ((0, 5, -2, 0), "batch_size must be a whole number, 0 or more, not -2"),
        ((0, 5, 2.0, 0), "batch_size must be a whole number, 0 or more, not 2.0"),
        ((0, 5, 2, -1), "epoch must be a whole number, from 0 to"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ensemble.batches(*arguments)


# ---- training ----

N = 13
SETTINGS = [
    {"batch_size": 4},
    {"batch_size": 1, "lr": 0.01, "schedule": "cosine"},
    {"batch_size": 5, "weight_decay": 0.02, "schedule": "cosine", "hidden_lr_factor": 0.5, "output_lr_factor": 2.0},
    {"batch_size": 4, "optimizer": "momentum", "lr": 0.01, "weight_decay": 0.01, "output_lr_factor": 0.3},
    {"batch_size": 12, "optimizer": "adam", "lr": 0.02, "schedule": "cosine", "hidden_lr_factor": 3.0},
    {"batch_size": 3, "optimizer": "adam", "lr": 0.01, "weight_decay": 0.05, "output_bias": False},
    {"batch_size": 3, "hidden_bias": False},
    {"hidden_lr_factor": 0.2, "output_lr_factor": 0.7, "weight_decay": 0.1},
    {"hidden_lr_factor": 0.0, "batch_size": 6, "weight_decay": 0.1},
    {"output_lr_factor": 0.0, "optimizer": "adam", "weight_decay": 0.1, "lr": 0.01},
    {"hidden_lr_factor": 0.0, "optimizer": "momentum", "weight_decay": 0.1, "lr": 0.01},
    {"hidden_lr_factor": 0.0, "output_lr_factor": 0.0},
]


def some_specs(**more):
    base = {"width": 5, "init": "fan_in", "output_bias": True, "lr": 0.05}
    return ensemble.Specs.from_rows(base | settings | {"seed": i} | more for i, settings in enumerate(SETTINGS))


def noise(d, n=N):
    rng = np.random.default_rng([d, n])
    return rng.normal(size=(n, d)), rng.normal(size=n)


@pytest.mark.parametrize(("d", "hidden_layers"), [(1, 1), (3, 1), (17, 1), (1, 2), (2, 3), (17, 2)])
def test_training_is_the_plain_reimplementation(d, hidden_layers):
    x, y = noise(d)
    specs = some_specs(hidden_layers=hidden_layers)
    start = ensemble.initialize(specs, d)
    for engine in ("numpy", "auto"):
        result = ensemble.train(specs, ensemble.Dataset(x, y), epochs=8, engine=engine, progress=False)
        assert (result.status == "ok").all()
        for i in range(len(specs)):
            found = naive.parameters(result.networks[i])
            expected = naive.train(x, y, naive.parameters(start[i]), 8, specs[i]._asdict())
            for one, right in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, right, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("d", "hidden_layers"), [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
def test_batches_of_all_samples_or_more_are_the_full_batch_to_the_bit(optimizer, d, hidden_layers):
    axes = {"width": [3, 9], "hidden_layers": hidden_layers, "optimizer": optimizer, "schedule": "cosine", "lr": 0.01}
    data = make_data(d)
    expected = content(ensemble.train(ensemble.grid(**axes), data, epochs=9))
    for size in (data.n_train, data.n_train + 1, 10**6):
        specs = ensemble.grid(batch_size=size, **axes)
        assert content(ensemble.train(specs, data, epochs=9)) == expected
    smaller = ensemble.grid(batch_size=data.n_train - 1, **axes)
    assert content(ensemble.train(smaller, data, epochs=9)) != expected


@pytest.mark.parametrize("engine", ["auto", "numpy"])
@pytest.mark.parametrize("d", [1, 2])
def test_the_factor_of_both_layers_is_that_of_the_rate(d, engine):
    """Weight decay and the output bias included."""
    axes = {"width": [2, 20], "weight_decay": 0.1, "output_bias": True, "init": "fan_in", "batch_size": [0, 6]}
    for optimizer in ("gd", "momentum", "adam"):
        whole = ensemble.grid(lr=0.02, optimizer=optimizer, **axes)
        shared = ensemble.grid(lr=0.04, optimizer=optimizer, hidden_lr_factor=0.5, output_lr_factor=0.5, **axes)
        one, other = (ensemble.train(specs, make_data(d), epochs=6, engine=engine) for specs in (whole, shared))
        np.testing.assert_allclose(one.train_loss, other.train_loss, rtol=1e-9)


def test_own_factors_multiply_those_of_mup_which_leave_decay_and_output_bias_alone():
    data = ensemble.Dataset([-1.0, 0.5, 2.0], [1.0, 0.0, -1.0])
    axes = {"width": 4, "lr": 0.1, "init": "fan_in", "output_bias": True, "weight_decay": 0.3}
    specs = ensemble.grid(parametrization=["standard", "mup"], hidden_lr_factor=3.0, output_lr_factor=0.5, **axes)
    plain = ensemble.grid(parametrization=["standard", "mup"], **axes)
    same = ensemble.initialize(specs).take(np.array([1, 1]))
    for engine in ("numpy", "spline", "dense"):
        given, found = (
            [naive.four(net) for net in ensemble.train(one, data, epochs=1, initial=same, engine=engine).networks]
            for one in (plain, specs)
        )
        start = naive.four(same[0])
        for part, (own, mup) in enumerate([(3.0, 4.0), (3.0, 4.0), (0.5, 0.25), (0.5, 1.0)]):
            shrunk = -0.1 * 0.3 * start[part]
            gradient = given[0][part] - start[part] - shrunk
            for model, factor in enumerate((1.0, mup)):
                moved = own * (factor * gradient + shrunk)
                np.testing.assert_allclose(found[model][part] - start[part], moved, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("hidden_layers", [1, 2])
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_a_frozen_layer_stays_as_it_was_to_the_bit(engine, d, hidden_layers):
    specs = ensemble.grid(
        width=6, hidden_layers=hidden_layers, optimizer=["gd", "momentum", "adam"], weight_decay=0.1, lr=0.02,
        init="fan_in", output_bias=True, hidden_lr_factor=[1.0, 0.0], output_lr_factor=[1.0, 0.0], batch_size=[0, 5],
    )  # fmt: skip
    start = ensemble.initialize(specs, d)
    end = ensemble.train(specs, make_data(d), epochs=4, engine=engine).networks
    for i in range(len(specs)):
        before, after = naive.parameters(start[i]), naive.parameters(end[i])
        is_hidden = [True] * (len(before) - 2) + [False] * 2
        for one, other, hidden in zip(before, after, is_hidden, strict=True):
            factor = specs.hidden_lr_factor[i] if hidden else specs.output_lr_factor[i]
            assert (one.tobytes() == other.tobytes()) == (factor == 0.0)


def test_what_is_remembered_of_a_frozen_parameter_is_not_touched():
    one, zero = np.ones((1, 1)), np.zeros((1, 2))
    theta, gradient = np.array([[1.0, 2.0]]), np.array([[np.inf, 3.0]])
    given = optimizers.Moments(np.array([[0.1, 0.1]]), np.array([[0.2, 0.2]]), np.ones((1, 2)))
    for name in ("gd", "momentum", "adam"):
        with np.errstate(invalid="ignore"):
            after, moments = optimizers.update(
                name, theta, gradient, given, one, zero, 0.5 * one, 0.5 * one, np.array([[0.0, 1.0]])
            )
        assert after[0, 0] == 1.0 and after[0, 1] != 2.0
        assert (moments.first[0, 0], moments.second[0, 0]) == (0.1, 0.2)


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("batch_size", "tolerance"), [(0, 1e-9), (30, 1e-5)])
def test_a_frozen_first_layer_learns_the_least_squares_fit_of_its_features(batch_size, tolerance):
    data = ensemble.sample("half_sine", n=60, test_fraction=0.0, noise=0.0)
    specs = ensemble.grid(
        width=4, seed=2, init="fan_in", hidden_lr_factor=0.0, output_bias=True, optimizer="momentum", lr=0.1,
        batch_size=batch_size, schedule="cosine",
    )  # fmt: skip
    result = ensemble.train(specs, data, epochs=20_000)
    network = ensemble.initialize(specs)[0]
    features = np.maximum(data.x_train @ network.weights[0] + network.biases[0], 0.0)
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    solution = np.linalg.lstsq(features, data.y_train)[0]
    best = np.mean((features @ solution - data.y_train) ** 2)
    assert result.train_loss[0, 0] > 10 * best > 1e-6
    assert result.train_loss[0, -1] == pytest.approx(best, rel=tolerance)


def test_a_diverging_model_stops_within_its_epoch_and_touches_no_other():
    specs = some_specs()
    wild = ensemble.grid(width=4, lr=1e10, batch_size=2)
    for engine in ("numpy", "auto"):
        with np.errstate(all="ignore"):
            result = ensemble.train(specs[:3] + wild + specs[3:], make_data(2), epochs=6, engine=engine)
        alone = ensemble.train(specs, make_data(2), epochs=6, engine=engine)
        assert result.diverged_at.tolist() == [-1] * 3 + [1] + [-1] * (len(specs) - 3)
        assert content(result[result.status == "ok"]) == content(alone)
        assert (result.train_loss[3, 1:] == np.inf).all()


# ---- the columns everywhere ----


def test_models_of_a_folder_without_batches_are_found_and_others_added(tmp_path):
    plain = ensemble.grid(width=[3, 4])
    ensemble.train(plain, make_data(), epochs=3, store=tmp_path)
    more = ensemble.grid(width=[3, 4], batch_size=[0, 5], output_lr_factor=[1.0, 0.5])
    result = ensemble.train(more, make_data(), epochs=3, store=tmp_path)
    assert result.trained == 6
    assert ensemble.train(more[::-1], make_data(), epochs=3, store=tmp_path).trained == 0
    expected = ensemble.train(plain, make_data(), epochs=3)
    loaded = store.load_result(tmp_path)
    is_plain = np.flatnonzero((loaded.specs.batch_size == 0) & (loaded.specs.output_lr_factor == 1.0))
    in_order = is_plain[np.argsort(loaded.specs.width[is_plain])]
    assert content(result[[0, 4]]) == content(loaded[in_order]) == content(expected)


def test_an_engine_without_batches_says_so_and_auto_takes_another():
    specs = ensemble.grid(width=3, hidden_layers=2, batch_size=[0, 23, 22, 5])
    with pytest.raises(ValueError, match=r"engine 'pieces' is for full batches, but specs\[2\] has batch_size 22; use"):
        ensemble.train(specs, make_data(), epochs=1, engine="pieces")
    assert ensemble.plan(specs, make_data(), epochs=1).engines["data"]["pieces"] == 2
    chosen = choose_engines("auto", specs, 1, "mse", np.array([False, False, True, True])).tolist()
    assert chosen[:2] == ["pieces"] * 2 and "pieces" not in chosen[2:]


def test_batches_replayed_in_pytorch_are_the_same_training():
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    data = make_data(2)
    specs = ensemble.grid(
        width=6, seed=4, init="fan_in", optimizer="adam", lr=0.01, batch_size=5, output_bias=True,
        hidden_lr_factor=0.5, output_lr_factor=2.0,
    )  # fmt: skip
    module = ensemble.initialize(specs, 2)[0].to_torch()
    result = ensemble.train(specs, data, epochs=8)
    layers = [layer for layer in module if hasattr(layer, "weight")]
    optimizer = torch.optim.Adam(
        [{"params": layers[0].parameters(), "lr": 0.005}, {"params": layers[1].parameters(), "lr": 0.02}]
    )
    x, y = torch.from_numpy(data.x_train.copy()), torch.from_numpy(data.y_train.copy())
    for epoch in range(8):
        for batch in ensemble.batches(4, data.n_train, 5, epoch):
            optimizer.zero_grad()
            torch.mean((module(x[batch])[:, 0] - y[batch]) ** 2).backward()
            optimizer.step()
    network = result.networks[0]
    for layer, w, b in zip(layers, network.weights, network.biases, strict=True):
        np.testing.assert_allclose(layer.weight.detach().numpy().T, w, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(layer.bias.detach().numpy(), b, rtol=1e-7, atol=1e-9)


# ---- the order inside kernels ----

ORDER_OF = numba.njit(lambda *arguments: kernel.order_of(*arguments))  # with a door for Python


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9, 23, 64, 420])
def test_kernels_draw_the_same_batches(n):
    rng = np.random.default_rng(n)
    seeds = np.array([0, 7, 2**32 - 1, 2**32, 2**63 - 1])
    given = rng.permutation(n).astype(np.uint32)
    for size in {1, 2, 5, n // 2, n - 1} - {0, n}:
        for m, epoch in ((0, 0), (1, 3), (2, 2**32 - 1), (3, 1), (4, 10**6)):
            order, ends = np.zeros(n, np.uint32), np.zeros(-(-n // size), np.uint32)
            ORDER_OF(
                np.stack(streams.pools(seeds, streams.BATCHES), axis=1).astype(np.uint64), m, epoch, size, given,
                np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), ends, order,
            )  # fmt: skip
            found = [given[batch] for batch in np.split(order, ends[:-1])]
            for one, other in zip(found, ensemble.batches(int(seeds[m]), n, size, epoch), strict=True):
                assert sorted(one.tolist()) == other.tolist()
            assert all((np.diff(batch.astype(int)) > 0).all() for batch in np.split(order, ends[:-1]))
