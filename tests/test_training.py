import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import get_args

import naive
import numpy as np
import pytest
from conftest import JIT_DISABLED
from stored import content

import ensemble
from ensemble.engines import Settings, base, choose_engines, prepared, registry, run_chunk
from ensemble.rules import losses
from ensemble.rules.losses import LOSSES
from ensemble.system import memory
from ensemble.training import planning
from ensemble.training.request import Engine, Loss, make_settings, n_threads

ENGINES = [("spline", 1), ("dense", 1), ("numpy", 1), ("dense", 2), ("numpy", 2)]
every_engine = pytest.mark.parametrize(("engine", "d"), ENGINES)


def make_data(d=1, n=20, seed=0, parts=3):
    rng = np.random.default_rng([seed, d])
    sizes = (n, 6, 5)[:parts]
    return ensemble.Dataset(*[a for m in sizes for a in (rng.uniform(-2, 2, size=(m, d)), rng.normal(size=m))])


def some_specs():
    return ensemble.grid(width=[6, 2], seed=[0, 1], optimizer=["gd", "adam"], lr=0.02, output_bias=True)


def assert_same_networks(a, b):
    for one, other in zip(a, b, strict=True):
        for x, y in zip(naive.four(one), naive.four(other), strict=True):
            np.testing.assert_array_equal(x, y)


def run_python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options)


# ---- what a result holds ----


@every_engine
def test_errors_are_those_of_the_networks(engine, d):
    data = make_data(d)
    result = ensemble.train(some_specs(), data, epochs=15, engine=engine)
    assert result.train_loss.shape == (8, len(result.epochs))
    for part, history in (("train", result.train_loss), ("test", result.test_loss), ("val", result.val_loss)):
        x, y = data.parts()[part]
        for i, network in enumerate(result.networks):
            assert history[i, -1] == pytest.approx(naive.mse(naive.forward(x, *naive.four(network)), y), rel=1e-11)
    assert (result.train_loss[:, -1] < result.train_loss[:, 0]).all()
    assert result.status.tolist() == ["ok"] * 8
    assert len(result) == 8
    assert repr(result) == "<Result of 8 models after 15 epochs>"


@every_engine
def test_no_epochs_give_the_initial_networks(engine, d):
    specs, data = some_specs(), make_data(d)
    result = ensemble.train(specs, data, epochs=0, engine=engine, snapshots=[0])
    start = ensemble.initialize(specs, d)
    assert result.epochs.tolist() == [0]
    assert_same_networks(result.networks, start)
    assert_same_networks(result.snapshots[0], start)
    errors = ((start.predict(data.x_train) - data.y_train) ** 2).mean(axis=1)
    np.testing.assert_allclose(result.train_loss[:, 0], errors, rtol=1e-12)


def test_epochs_recorded_by_default():
    longest = make_settings(10**9, None, None, True).record
    for epochs, count in ((0, 1), (1, 2), (2, 3), (10, 11), (500, 45), (20_000, 77)):
        recorded = make_settings(epochs, None, None, True).record
        assert recorded[0] == 0 and recorded[-1] == epochs
        assert (np.diff(recorded) > 0).all() and len(recorded) == count
        assert set(recorded[:-1]) <= set(longest)  # so that a longer run records them too
        ratios = recorded[1:] / np.maximum(recorded[:-1], 1)
        assert (ratios[recorded[:-1] >= 12] < 1.2).all()


def test_epochs_recorded_on_request():
    data, specs = make_data(), some_specs()
    for record, expected in [([], [0, 9]), ([5, 3, 5], [0, 3, 5, 9]), (range(10), list(range(10))),
                             ((e for e in [4]), [0, 4, 9]), (np.array([2, 9]), [0, 2, 9])]:  # fmt: skip
        result = ensemble.train(specs, data, epochs=9, record=record)
        assert result.epochs.tolist() == expected
        assert result.train_loss.shape == result.val_loss.shape == (8, len(expected))


@every_engine
def test_snapshots_are_training_to_that_epoch(engine, d):
    specs, data = some_specs(), make_data(d)
    result = ensemble.train(specs, data, epochs=9, snapshots=[4, 0, 9, 4], engine=engine)
    assert sorted(result.snapshots) == [0, 4, 9]
    for epoch, networks in result.snapshots.items():
        assert_same_networks(networks, ensemble.train(specs, data, epochs=epoch, engine=engine).networks)
    assert (result.snapshots[4].parameters != result.networks.parameters).any()
    cosine = ensemble.grid(width=3, schedule="cosine")
    long = ensemble.train(cosine, data, epochs=9, snapshots=[4], engine=engine)
    short = ensemble.train(cosine, data, epochs=4, engine=engine)
    assert (long.snapshots[4].parameters != short.networks.parameters).any()  # its rate knows how long the run is


@every_engine
def test_going_on_from_given_networks(engine, d):
    specs, data = ensemble.grid(width=[5, 2], seed=[0, 1], lr=0.02, output_bias=True), make_data(d)
    whole = ensemble.train(specs, data, epochs=40, engine=engine)
    half = ensemble.train(specs, data, epochs=20, engine=engine)
    before = [a.tobytes() for n in half.networks for a in naive.four(n)]
    rest = ensemble.train(specs, data, epochs=20, engine=engine, initial=half.networks)
    assert_same_networks(rest.networks, whole.networks)
    np.testing.assert_array_equal(rest.train_loss[:, -1], whole.train_loss[:, -1])
    assert [a.tobytes() for n in half.networks for a in naive.four(n)] == before  # what was given stays as it was
    order = [2, 0, 3]
    some = ensemble.train(specs[order], data, epochs=20, engine=engine, initial=half.networks[order])
    assert_same_networks(some.networks, whole.networks[order])


@every_engine
@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
def test_biases_that_are_off_stay_zero(engine, d, optimizer):
    specs = ensemble.grid(
        width=4, optimizer=optimizer, hidden_bias=[True, False], output_bias=[True, False], lr=0.01,
        weight_decay=0.1, init="uniform",
    )  # fmt: skip
    result = ensemble.train(specs, make_data(d), epochs=10, engine=engine)
    start = ensemble.initialize(specs, d)
    for i, network in enumerate(result.networks):
        assert (network.biases[0] != start[i].biases[0]).any() == specs.hidden_bias[i] == bool(network.biases[0].any())
        assert bool(network.biases[1] != start[i].biases[1]) == specs.output_bias[i] == bool(network.biases[1])


def test_several_datasets_in_one_pass():
    rng = np.random.default_rng(0)
    plain = make_data(seed=1)
    bare = make_data(seed=2, n=11, parts=1)
    scaled = ensemble.Dataset(rng.uniform(1000, 2000, 15), rng.normal(70, 9, 15), [1500.0], [70.0], standardize=True)
    data = {"plain": plain, "bare": bare, "scaled": scaled, "unused": make_data(d=2)}
    specs = ensemble.grid(seed=[0, 1], data=["scaled", "plain", "bare"], width=[5, 2], lr=0.01)
    result = ensemble.train(specs, data, epochs=8, snapshots=[3])
    for name, dataset in data.items():
        if name == "unused":
            continue
        index = np.flatnonzero(specs.data == name)
        alone = ensemble.train(specs[index], dataset, epochs=8, snapshots=[3])
        assert_same_networks(alone.networks, result.networks[index])
        assert_same_networks(alone.snapshots[3], result.snapshots[3][index])
        np.testing.assert_array_equal(result.train_loss[index], alone.train_loss)
        assert alone.parts == tuple(dataset.parts())
        for part, both in result.losses.items():
            if part in alone.parts:
                np.testing.assert_array_equal(both[index], alone.losses[part])
            else:
                assert np.isnan(both[index]).all()
        np.testing.assert_array_equal(
            result.networks.predict([0.5, 1500.0])[index], alone.networks.predict([0.5, 1500.0])
        )


def test_one_dataset_takes_any_one_name():
    specs = ensemble.grid(width=3, data="north")
    result = ensemble.train(specs, make_data(), epochs=2)
    np.testing.assert_array_equal(
        result.train_loss, ensemble.train(ensemble.grid(width=3), make_data(), epochs=2).train_loss
    )


@every_engine
def test_results_without_networks(engine, d):
    kept = ensemble.train(some_specs(), make_data(d), epochs=4, engine=engine)
    result = ensemble.train(some_specs(), make_data(d), epochs=4, engine=engine, keep_networks=False, snapshots=[2])
    with pytest.raises(AttributeError, match="no networks: it was trained with keep_networks=False"):
        result.networks  # noqa: B018
    assert not hasattr(result, "networks")
    np.testing.assert_array_equal(result.train_loss, kept.train_loss)
    assert len(result.snapshots[2]) == 8


def test_representation_counts_the_diverged():
    specs = ensemble.grid(width=3, lr=[0.1, 1e10])
    with np.errstate(all="ignore"):
        result = ensemble.train(specs, make_data(), epochs=1000 if not JIT_DISABLED else 30, engine="numpy")
    assert result.status.tolist() == ["ok", "diverged"]
    assert "Result of 2 models" in repr(result) and ", 1 diverged" in repr(result)


# ---- engines ----


def test_which_engine_is_chosen():
    for engine, n_inputs, chosen in [("auto", 1, "spline"), ("auto", 2, "dense"), ("numpy", 1, "numpy"),
                                     ("numpy", 9, "numpy")]:  # fmt: skip
        assert choose_engines(engine, some_specs(), n_inputs).tolist() == [chosen] * 8
    for engine, d in ENGINES:
        assert ensemble.plan(some_specs(), make_data(d), epochs=1, engine=engine).engines == {"data": {engine: 8}}
    with pytest.raises(ValueError, match="engine 'torch' is unknown; allowed are auto, numpy, dense, pieces, spline"):
        choose_engines("torch", some_specs(), 1)


@pytest.fixture
def picky(monkeypatch):
    """Let the engine for one input refuse widths above 3: then its models and others are in one run."""

    def limits(self, specs, *rest):
        wide, more = specs.width > 3, base.Engine.limits(self, specs, *rest)
        return more + [(wide, f"is for width 3, but specs[{wide.argmax()}] has {specs.width.max()}")] * bool(wide.any())

    monkeypatch.setattr(type(registry.REGISTRY["spline"]), "limits", limits)


def test_each_model_has_the_engine_that_fits_it(picky, tmp_path):
    specs, data = ensemble.grid(width=[2, 5, 3], seed=range(4), data=["a", "b"]), {"a": make_data(), "b": make_data()}
    narrow = specs.width <= 3
    assert choose_engines("auto", specs, 1).tolist() == np.where(narrow, "spline", "pieces").tolist()
    planned = ensemble.plan(specs, data, epochs=6)
    assert planned.engines == {"a": {"pieces": 4, "spline": 8}, "b": {"pieces": 4, "spline": 8}}
    assert "(pieces and spline engines)" in str(planned)
    for chunk in planned.chunks:
        assert len(set(specs.data[chunk])) == len(set(narrow[chunk])) == 1
    mixed = ensemble.train(specs, data, epochs=6, store=tmp_path)
    for engine, own in (("spline", narrow), ("pieces", ~narrow)):
        assert content(ensemble.train(specs[own], data, epochs=6, engine=engine)) == content(mixed[own])
        assert ensemble.train(specs[own], data, epochs=6, engine=engine, store=tmp_path).trained == 0
    assert ensemble.train(specs[narrow], data, epochs=6, engine="dense", store=tmp_path).trained == narrow.sum()


def test_an_engine_that_cannot_train_one_model_says_which(picky):
    with pytest.raises(ValueError, match=r"'spline' is for width 3, but specs\[1\] has 5; use 'pieces' or 'auto'"):
        ensemble.train(ensemble.grid(width=[3, 5]), make_data(), epochs=1, engine="spline")


@pytest.fixture
def absolute(monkeypatch):
    """Add a loss, the mean absolute error, that only the readable engine holds."""

    def rule(p, y):
        return np.abs(p - y).mean(axis=(-2, -1)), np.sign(p - y) / len(y)

    monkeypatch.setitem(LOSSES, "mae", losses.Loss(rule, 1, False))


@pytest.mark.parametrize("d", [1, 2])
def test_a_loss_reaches_the_engine_and_comes_back_in_its_own_unit(d, absolute, tmp_path):
    plain = make_data(d)
    data = ensemble.Dataset(3 * plain.x_train, 50 * plain.y_train, plain.x_test, plain.y_test, standardize=True)
    specs = ensemble.grid(width=6, seed=range(3), lr=0.05, init="uniform")
    results = {loss: ensemble.train(specs, data, epochs=30, loss=loss, store=tmp_path) for loss in ("mae", "mse")}
    for loss, power in (("mae", 1), ("mse", 2)):
        result = results[loss]
        assert result.trained == 3  # a run folder tells the losses apart
        off = np.abs(result.networks.predict(data.x_train) - data.y_train) ** power
        np.testing.assert_allclose(result.train_loss[:, -1], off.mean(axis=1), rtol=1e-12)
    assert (results["mae"].train_loss[:, -1] < results["mae"].train_loss[:, 0]).all()
    assert (results["mae"].networks.parameters != results["mse"].networks.parameters).any()


@pytest.mark.parametrize(("engine", "d"), [("spline", 1), ("dense", 1), ("dense", 2)])
def test_an_engine_refuses_a_loss_that_it_does_not_hold(engine, d, absolute):
    specs, data = some_specs(), make_data(d)
    assert ensemble.plan(specs, data, epochs=1, loss="mae").engines == {"data": {"numpy": 8}}
    for function in (ensemble.plan, ensemble.train):
        with pytest.raises(ValueError, match=f"engine '{engine}' cannot minimize 'mae'; use 'numpy' or 'auto'"):
            function(specs, data, epochs=1, engine=engine, loss="mae")


@pytest.mark.parametrize("d", [1, 2])
def test_auto_is_the_engine_it_stands_for(d):
    auto = ensemble.train(some_specs(), make_data(d), epochs=5)
    named = ensemble.train(some_specs(), make_data(d), epochs=5, engine="spline" if d == 1 else "dense")
    assert_same_networks(auto.networks, named.networks)


@pytest.mark.parametrize("d", [1, 2])
def test_engines_agree(d):
    specs = some_specs() + ensemble.grid(width=9, optimizer="momentum", schedule="cosine", init="he", lr=0.01)
    results = [
        ensemble.train(specs, make_data(d), epochs=50, engine=engine) for engine, inputs in ENGINES if inputs == d
    ]
    for other in results[1:]:
        for i in range(len(specs)):
            for a, b in zip(naive.four(results[0].networks[i]), naive.four(other.networks[i]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.abs(b).max())
        np.testing.assert_allclose(results[0].train_loss, other.train_loss, rtol=1e-9)
        np.testing.assert_allclose(results[0].val_loss, other.val_loss, rtol=1e-9)


@every_engine
def test_a_chunk_that_is_told_to_stop_gives_up(engine, d):
    stop = threading.Event()
    stop.set()
    settings = Settings(5, np.array([0, 5]), (), True)
    with pytest.raises(CancelledError, match="interrupted"):
        run_chunk(some_specs(), make_data(d), engine, settings, None, stop)


def test_datasets_of_equal_content_are_prepared_once(monkeypatch):
    monkeypatch.setattr(prepared, "_PREPARED", {})
    engine = registry.REGISTRY["numpy"]
    first = prepared.prepared(make_data(seed=0), engine, "mse")
    assert prepared.prepared(make_data(seed=0), engine, "mse") is first
    assert prepared.prepared(make_data(seed=9), engine, "mse") is not first
    for seed in range(20):
        prepared.prepared(make_data(seed=seed), engine, "mse")
    assert len(prepared._PREPARED) == prepared._MOST_PREPARED
    prepared.forget_prepared()
    assert not prepared._PREPARED


# ---- plans and memory ----


def test_a_plan_holds_every_model_once():
    specs = ensemble.grid(width=[1, 64, 8], seed=range(200), data=["a", "b"])
    data = {"a": make_data(seed=1), "b": make_data(seed=2)}
    planned = ensemble.plan(specs, data, epochs=1000)
    assert planned.models == 1200 and planned.epochs == 1000
    np.testing.assert_array_equal(np.sort(np.concatenate(planned.chunks)), np.arange(1200))
    for chunk in planned.chunks:
        assert len(set(specs.data[chunk])) == 1  # a chunk shares its data
    assert 8 <= len(planned.chunks) <= 100
    assert planned.engines == {"a": {"spline": 600}, "b": {"spline": 600}}
    assert str(planned).startswith("1,200 models x 1,000 epochs on 2 datasets (spline engine), ")
    more = ensemble.plan(specs, data, epochs=10_000, record=range(10_000))
    assert more.cost == pytest.approx(10 * planned.cost, rel=0.5)
    assert more.memory > planned.memory + 8 * 1200 * 3 * 9_000
    assert ensemble.plan(specs, data, epochs=1000, keep_networks=False).memory < planned.memory
    assert ensemble.plan(specs, data, epochs=1000, snapshots=[1, 2]).memory > planned.memory


def test_plans_in_words():
    assert planning._duration(3.14159) == "3.1 s"
    assert planning._duration(600) == "10 min"
    assert planning._duration(36_000) == "10 h"
    text = str(ensemble.plan(ensemble.grid(width=3), make_data(), epochs=0))
    assert text.startswith("1 model x 0 epochs on 1 dataset (spline engine), 1 chunk, ")


def test_a_plan_prints_as_its_summary():
    planned = ensemble.plan(ensemble.grid(width=3), make_data(), epochs=7)
    assert repr(planned) == str(planned)
    assert repr(planned).startswith("1 model x 7 epochs on 1 dataset (spline engine), 1 chunk, about ")
    assert "<td>spline</td>" in planned._repr_html_()


@pytest.mark.parametrize("epochs", [0, 500])
@pytest.mark.parametrize("width", [1, 300])
def test_what_is_kept_is_a_part_of_the_memory(epochs, width):
    specs, data = ensemble.grid(width=width, seed=range(20_000)), make_data(n=4)
    planned = ensemble.plan(specs, data, epochs=epochs, record=[])
    assert specs.nbytes < planned.kept <= planned.memory


def test_networks_to_start_from_count_as_memory():
    specs, data = ensemble.grid(width=100, seed=range(50)), make_data()
    fresh = ensemble.plan(specs, data, epochs=1)
    given = ensemble.plan(specs, data, epochs=1, initial=ensemble.initialize(specs))
    assert given.memory - fresh.memory == 50 * 8 * 301
    assert given.kept == fresh.kept


@pytest.mark.parametrize("argument", ["record", "snapshots"])
def test_too_many_epochs_to_keep_are_refused_with_their_number(argument, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    for function in (ensemble.plan, ensemble.train):
        with pytest.raises(ValueError, match=f"{argument} of 1,000,000,000 epochs needs about 100 GB of memory, but"):
            function(ensemble.grid(width=3), make_data(), epochs=10**9, **{argument: range(10**9)})


def test_type_checkers_know_the_engines_and_losses():
    assert get_args(Engine) == registry.ENGINES
    assert get_args(Loss) == tuple(LOSSES)


def test_a_long_run_counts_its_schedules():
    short = ensemble.plan(ensemble.grid(width=3), make_data(), epochs=1000, record=[])
    long = ensemble.plan(ensemble.grid(width=3), make_data(), epochs=10**9, record=[])
    assert long.memory - short.memory >= 24 * 10**9 * 0.99  # two rates and a place in the history per epoch


def test_the_numpy_engine_counts_its_activations():
    specs, data = ensemble.grid(width=640, seed=range(1000)), make_data(n=400)
    activations = 8 * 400 * 640  # of one model
    lean = ensemble.plan(specs, data, epochs=0, engine="spline")
    planned = ensemble.plan(specs, data, epochs=0, engine="numpy")
    largest = max(len(chunk) for chunk in planned.chunks)
    assert 1 <= largest * activations <= planning.CHUNK_BYTES
    assert planned.memory >= lean.memory + largest * activations


def test_more_memory_than_there_is(monkeypatch):
    specs, data = ensemble.grid(width=1000, seed=range(400)), make_data()
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(ValueError, match=r"needs about \d+ MB of memory, but 1 MB are available"):
        ensemble.train(specs, data, epochs=1)
    ensemble.plan(specs, data, epochs=1)  # only tells
    monkeypatch.setattr(memory, "available", lambda: None)
    ensemble.train(specs[:2], data, epochs=0)


def test_a_run_too_large_is_refused_before_anything_is_taken():
    specs = ensemble.grid(width=2**31 - 1, seed=range(1000))
    with pytest.raises(ValueError, match=r"needs about [\d,]+ GB of memory"):
        ensemble.train(specs, make_data(), epochs=1)


# ---- bad arguments ----

BAD = [
    ({"epochs": -1}, "epochs must be a whole number, from 0 to 1000000000, not -1"),
    ({"epochs": 2.0}, "epochs must be a whole number, from 0 to 1000000000, not 2.0"),
    ({"epochs": True}, "epochs must be a whole number.*not True"),
    ({"epochs": "5"}, "epochs must be a whole number.*not '5'"),
    ({"epochs": None}, "epochs must be a whole number.*not None"),
    ({"epochs": 10**9 + 1}, "epochs must be a whole number.*not 1000000001"),
    ({"record": [6]}, "every epoch of record must be a whole number, from 0 to 5, not 6"),
    ({"record": [-1]}, "every epoch of record must be.*not -1"),
    ({"record": [1.0]}, "every epoch of record must be.*not 1.0"),
    ({"record": [True]}, "every epoch of record must be.*not True"),
    ({"snapshots": [6]}, "every epoch of snapshots must be a whole number, from 0 to 5, not 6"),
    ({"snapshots": ["a"]}, "every epoch of snapshots must be.*not 'a'"),
    ({"engine": "torch"}, "engine 'torch' is unknown; allowed are auto, numpy, dense, pieces, spline"),
    ({"engine": None}, "engine None is unknown"),
    ({"loss": "mae"}, "loss 'mae' is unknown; allowed are mse"),
    ({"keep_networks": "no"}, "keep_networks must be True or False, not 'no'"),
    ({"threads": 0}, "threads must be a whole number, 1 or more, not 0"),
    ({"threads": 1.5}, "threads must be a whole number.*not 1.5"),
    ({"threads": True}, "threads must be a whole number.*not True"),
    ({"specs": "width"}, "specs is a str; Specs are needed"),
    ({"specs": ensemble.grid(width=3)[0]}, r"specs is a Spec; Specs are needed, as specs\[:1\]"),
    ({"specs": ensemble.grid(width=3)[:0]}, "specs is empty; at least one model"),
    ({"specs": ensemble.grid(width=3, data=["a", "b"])}, r"specs name the datasets \['a', 'b'\], but data is a single"),
    ({"data": np.zeros((3, 2))}, "data is a ndarray; a Dataset or a dict of them"),
    ({"data": {}}, r"specs name the dataset 'data', but data holds \[\]"),
    ({"data": {"other": 1}}, r"specs name the dataset 'data', but data holds \['other'\]"),
    ({"data": {"data": 1}}, r"specs name the dataset 'data', but"),
    ({"data": make_data(2), "engine": "spline"}, "engine 'spline' is for one input, but the data has 2"),
    ({"initial": "networks"}, "initial is a str; a NetworkStack is needed"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_arguments_are_named(arguments, message):
    given = {"specs": ensemble.grid(width=3), "data": make_data(), "epochs": 5, **arguments}
    with pytest.raises(ValueError, match=message):
        ensemble.train(**given)
    if "threads" not in arguments:
        with pytest.raises(ValueError, match=message):
            ensemble.plan(**given)


def test_datasets_of_different_inputs():
    specs = ensemble.grid(width=3, data=["a", "b"])
    with pytest.raises(ValueError, match=r"different numbers of inputs, \{'a': 1, 'b': 2\}"):
        ensemble.train(specs, {"a": make_data(1), "b": make_data(2)}, epochs=1)


def test_threads_and_an_executor():
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="threads 2 and an executor are given"):
        ensemble.train(ensemble.grid(width=3), make_data(), epochs=1, threads=2, executor=executor)


def test_initial_networks_that_do_not_fit():
    specs, data = ensemble.grid(width=[3, 4]), make_data()
    for wrong in (specs[:1], specs[::-1]):
        with pytest.raises(ValueError, match=f"initial holds {len(wrong)} networks of 1 inputs"):
            ensemble.train(specs, data, epochs=1, initial=ensemble.initialize(wrong))
    with pytest.raises(ValueError, match="initial holds 2 networks of 2 inputs"):
        ensemble.train(specs, data, epochs=1, initial=ensemble.initialize(specs, 2))
    biased = ensemble.initialize(ensemble.grid(width=[3, 4], output_bias=True))
    with pytest.raises(ValueError, match="initial network 0 has a bias that its spec switches off"):
        ensemble.train(specs, data, epochs=1, initial=biased)
    unbiased = ensemble.grid(width=3, hidden_bias=False)
    with pytest.raises(ValueError, match="initial network 0 has a bias"):
        ensemble.train(unbiased, data, epochs=1, initial=ensemble.initialize(ensemble.grid(width=3)))


def test_initial_networks_in_other_units_are_refused():
    """Weights of standardized data mean something else on plain data, and on data of another scale."""
    x, y = np.linspace(0, 9, 20), np.linspace(70, 90, 20)
    data = {
        "plain": ensemble.Dataset(x, y),
        "scaled": ensemble.Dataset(x, y, standardize=True),
        "otherwise": ensemble.Dataset(x, y + 1, standardize=True),
    }
    specs = {name: ensemble.grid(width=3, data=name) for name in data}
    ends = {name: ensemble.train(specs[name], data, epochs=2).networks for name in data}
    for name in data:
        for start in data:
            if start == name:
                assert len(ensemble.train(specs[name], data, epochs=1, initial=ends[start])) == 1
            else:
                expected = f"initial holds networks of data .*, but the dataset '{name}' is .*same units are needed"
                for call in (ensemble.train, ensemble.plan):
                    with pytest.raises(ValueError, match=expected):
                        call(specs[name], data, epochs=1, initial=ends[start])
    # What counts is the scale and not the dataset: a fine-tuning on other data, and fresh networks that are given one.
    again = {"more": ensemble.Dataset(x, y, x[:5], y[:5], standardize=True)}
    fresh = ensemble.initialize(specs["scaled"], scales={"scaled": data["scaled"].scale})
    for start in (ends["scaled"], fresh):
        assert len(ensemble.train(ensemble.grid(width=3, data="more"), again, epochs=1, initial=start)) == 1


def test_a_failing_worker_is_heard_of():
    class Broken(ThreadPoolExecutor):
        def submit(self, function, /, *arguments, **options):
            return super().submit(int, "not a number")

    with Broken(1) as executor, pytest.raises(ValueError, match="not a number"):
        ensemble.train(some_specs(), make_data(), epochs=1, executor=executor)


# ---- odd data ----

ODD = {
    "one sample": ([0.5], [1.0]),
    "all x equal": ([0.5] * 6, [1.0, 2.0, 0.0, 1.0, 3.0, 1.0]),
    "all x zero": ([0.0, -0.0, 0.0], [1.0, 2.0, 0.0]),
    "duplicate x": ([1.0, -1.0, 1.0, 2.0, -1.0], [1.0, 0.5, 2.0, 0.0, -1.0]),
    "unsorted": ([2.0, -1.0, 0.3, 1.7, -2.0], [0.0, 1.0, 2.0, 1.0, 0.4]),
    "far from zero": ([1000.0, 1001.0, 1003.0], [1.0, 2.0, 3.0]),
    "whole numbers": ([-3, -2, 0, 1, 2], [1, 0, 0, 2, 3]),
    "constant y": ([0.0, 1.0, 2.0], [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", ODD)
def test_odd_data(name, standardize):
    x, y = ODD[name]
    data = ensemble.Dataset(x, y, x, y, standardize=standardize)
    specs = ensemble.grid(width=[1, 5], seed=[0, 1], lr=1e-7 if name.startswith("far") else 0.02, output_bias=True)
    start = ensemble.initialize(specs)
    inputs, outputs = np.array(x, dtype=float)[:, None], np.array(y, dtype=float)
    if standardize:
        inputs, outputs = data.scale.inputs(inputs), data.scale.outputs(outputs)
    for engine in ("spline", "dense", "numpy"):
        result = ensemble.train(specs, data, epochs=20, engine=engine)
        np.testing.assert_allclose(result.train_loss, result.test_loss, rtol=1e-13)
        for i in range(len(specs)):
            expected = naive.train(inputs, outputs, naive.four(start[i]), 20, specs[i]._asdict())
            for ours, theirs in zip(naive.four(result.networks.network(i, units="training")), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_order_of_samples_without_duplicates_is_nothing_to_the_spline():
    data = make_data()
    order = np.random.default_rng(1).permutation(data.n_train)
    shuffled = ensemble.Dataset(data.x_train[order], data.y_train[order])
    assert_same_networks(
        ensemble.train(some_specs(), data, epochs=9).networks,
        ensemble.train(some_specs(), shuffled, epochs=9).networks,
    )


@pytest.mark.parametrize("engine", ["spline", "dense", "numpy"])
def test_arrays_of_any_kind_train_the_same(engine):
    x, y = np.array([-3, -2, 0, 1, 2, 4]), np.array([1, 0, 0, 2, 3, 1])
    expected = ensemble.train(some_specs(), ensemble.Dataset(x * 1.0, y * 1.0), epochs=5, engine=engine)
    frozen = x.copy()
    frozen.flags.writeable = False
    for a, b in [
        (x, y), (x.astype(np.int8), y.astype(np.uint16)), (x.astype(np.float16), y.astype(np.float32)),
        (np.repeat(x, 2)[::2], y[::-1].copy()[::-1]), (np.asfortranarray(x[:, None]), y), (frozen, y),
        (x.tolist(), tuple(y.tolist())), (x.astype(">f8"), y),
    ]:  # fmt: skip
        result = ensemble.train(some_specs(), ensemble.Dataset(a, b), epochs=5, engine=engine)
        assert_same_networks(result.networks, expected.networks)


@pytest.mark.parametrize("engine", ["spline", "dense", "numpy"])
@pytest.mark.parametrize("width", [1, pytest.param(100_000, marks=pytest.mark.jit_heavy)])
def test_extreme_widths(engine, width):
    data, specs = make_data(n=5, parts=1), ensemble.grid(width=[width, 2], lr=1e-6)
    result = ensemble.train(specs, data, epochs=3, engine=engine)
    start = ensemble.initialize(specs)
    weights = [a.copy() for a in naive.four(start[0])[:3]]
    for _ in range(3):  # the same three steps, vectorized over units
        z = data.x_train @ weights[0] + weights[1]
        r = 2 * (np.maximum(z, 0) @ weights[2] - data.y_train) / 5
        s = (r[:, None] * (z > 0)) * weights[2]
        step = (data.x_train.T @ s, s.sum(axis=0), np.maximum(z, 0).T @ r)
        weights = [a - 1e-6 * g for a, g in zip(weights, step, strict=True)]
    for ours, theirs in zip(naive.four(result.networks[0])[:3], weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)


# ---- running ----


@pytest.mark.parametrize(
    "engine", [*(pytest.param(e, marks=pytest.mark.jit_heavy) for e in ("spline", "dense")), "numpy"]
)
def test_training_from_two_threads_at_once(engine):
    expected = [ensemble.train(some_specs(), make_data(seed=i), epochs=30, engine=engine) for i in range(2)]
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(ensemble.train, some_specs(), make_data(seed=i % 2), epochs=30, engine=engine) for i in range(8)
        ]
        for i, future in enumerate(futures):
            assert_same_networks(future.result().networks, expected[i % 2].networks)


def test_the_bar_is_silent_where_there_is_no_terminal(capfd):
    ensemble.train(some_specs(), make_data(), epochs=2)
    ensemble.train(some_specs(), make_data(), epochs=2, progress=False)
    assert capfd.readouterr() == ("", "")
    ensemble.train(some_specs(), make_data(), epochs=2, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "8/8" in err and "models" in err


def test_no_thread_is_left_behind():
    before = threading.active_count()
    ensemble.train(some_specs(), make_data(), epochs=2, threads=3)
    assert threading.active_count() == before


def test_number_of_threads():
    assert n_threads(3) == n_threads(np.int64(3)) == 3
    assert 1 <= n_threads(None) <= (os.cpu_count() or 1)


def test_importing_is_light():
    done = run_python(
        "import sys, ensemble; ensemble.train, ensemble.load_result, ensemble.Result\n"
        "print(sorted({'numba', 'matplotlib', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


# Each setting takes hours: single long models of every engine, and many chunks.
INTERRUPTED = """
import ensemble
data, settings = ensemble.sample("reciprocal_sine", n=60), {settings}
for engine, epochs, seeds in settings:
    specs = ensemble.grid(width=[1, 64, 640], seed=range(seeds))
    ensemble.train(specs[:1], data, epochs=1, engine=engine)
    try:
        print("started", flush=True)
        ensemble.train(specs, data, epochs=epochs, record=[], engine=engine)
    except KeyboardInterrupt:
        if (engine, epochs, seeds) == settings[-1]:
            raise
"""
LONG = [("spline", 3_000_000, 2), ("dense", 300_000, 2), ("numpy", 100_000, 2), ("spline", 100_000, 300)]


@pytest.mark.jit_heavy
def test_ctrl_c_ends_training():
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(settings=LONG)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        hung = threading.Timer(120, process.kill)
        hung.start()
        try:
            for _ in LONG:  # the next one starts when the one before has ended
                assert process.stdout.readline() == "started\n", process.stderr.read()
                time.sleep(0.3)
                assert process.poll() is None
                process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
        finally:
            hung.cancel()
            process.kill()
    assert errors.strip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"record": 3}, "record is 3; several epochs"), ({"snapshots": 5}, "snapshots is 5; several epochs"),
        ({"record": range(10**30)}, "every epoch of record must be a whole number, from 0 to 9"),
        ({"loss": ["mse"]}, "loss .* is unknown"),
    ],
)  # fmt: skip
def test_arguments_of_another_type_are_one_clear_error(argument, message):
    with pytest.raises(ValueError, match=message):
        ensemble.train(ensemble.grid(width=2), make_data(), epochs=9, **argument)


BARS = """
import os, signal, threading
from ensemble.system.progress import progress_bar
lock = type(progress_bar(1, False)).get_lock
child = os.fork()
if not child:
    lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
progress_bar(1, False)
held, go_on = threading.Event(), threading.Event()
def hold():
    with lock():
        held.set()
        go_on.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    progress_bar(1, False)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
go_on.set()
thread.join()
assert threading.active_count() == 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_bars_of_forked_processes_do_not_wait_for_each_other():
    subprocess.run([sys.executable, "-W", "ignore", "-c", BARS], timeout=60, check=True)
