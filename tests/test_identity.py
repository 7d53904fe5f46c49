"""A model's result depends on its spec, its data and the epochs alone, to the last bit."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import naive
import numpy as np
import pytest
from conftest import JIT_DISABLED

import ensemble
from ensemble.engines import compiled, epoch_seconds, run_chunk
from ensemble.rules import optimizers
from ensemble.training import planning, running
from ensemble.training.request import make_settings

EPOCHS = 12
ENGINES = [("spline", 1), ("dense", 1), ("numpy", 1), ("dense", 3), ("numpy", 3)]
every_engine = pytest.mark.parametrize(("engine", "d"), ENGINES)

# Interpreted kernels warn where compiled ones just go on to infinity.
overflow_allowed = pytest.mark.filterwarnings(
    "ignore:(overflow|invalid value) encountered" if JIT_DISABLED else "error"
)


def make_data(d=1, standardize=False):
    rng = np.random.default_rng(d)
    parts = [a for n in (23, 7, 5) for a in (rng.uniform(-3, 3, size=(n, d)), rng.normal(size=n))]
    return ensemble.Dataset(*parts, standardize=standardize)


def mixed_specs():
    """Settings of all kinds, no two the same, widths not in order and repeated."""
    grid = ensemble.grid
    return (
        grid(width=[4, 1], optimizer=["gd", "adam"], seed=3, output_bias=True)
        + grid(width=[6, 4], optimizer="momentum", schedule="cosine", weight_decay=0.01, lr=0.02, seed=1)
        + grid(width=9, init=["he", "uniform"], hidden_bias=[True, False], lr=0.01, seed=2)
        + grid(width=4, optimizer=["gd", "momentum", "adam"], lr=0.003, schedule="cosine", output_bias=True)
        + grid(width=[17, 2], optimizer="adam", beta2=0.9, momentum=0.8, weight_decay=0.1, seed=7)
    )


def bits(result, i):
    """Return all that a result says about model i as bytes."""
    network = result.networks[i]
    histories = [h[i] for h in (result.train_loss, result.test_loss, result.val_loss)]
    return [a.tobytes() for a in (*histories, result.diverged_at[i], *naive.four(network))]


def all_bits(result):
    return [bits(result, i) for i in range(len(result.networks))]


_alone = {}


def alone(engine, d):
    """Train every model of `mixed_specs` by itself on one thread, once."""
    if (engine, d) not in _alone:
        _alone[engine, d] = [
            bits(
                ensemble.train(ensemble.Specs.from_rows([spec]), make_data(d), epochs=EPOCHS, engine=engine, threads=1),
                0,
            )
            for spec in mixed_specs()
        ]
    return _alone[engine, d]


@every_engine
def test_a_model_in_a_batch_is_the_model_alone(engine, d):
    specs = mixed_specs()
    result = ensemble.train(specs, make_data(d), epochs=EPOCHS, engine=engine)
    assert all_bits(result) == alone(engine, d)
    assert len({b[0] for b in all_bits(result)}) == len(specs)  # so that a mix-up would show


@every_engine
def test_a_model_first_in_the_middle_and_last(engine, d):
    specs = mixed_specs()
    for i in range(0, len(specs), 3):
        others = specs[np.arange(len(specs)) != i]
        for at in (0, 5, len(others)):
            batch = others[:at] + specs[[i]] + others[at:]
            result = ensemble.train(batch, make_data(d), epochs=EPOCHS, engine=engine)
            assert bits(result, at) == alone(engine, d)[i]


@every_engine
def test_permuting_the_specs_permutes_the_results(engine, d):
    specs = mixed_specs()
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(specs))
        result = ensemble.train(specs[order], make_data(d), epochs=EPOCHS, engine=engine)
        assert all_bits(result) == [alone(engine, d)[i] for i in order]


@every_engine
def test_a_model_trained_twice_in_one_pass(engine, d):
    specs = mixed_specs()
    result = ensemble.train(specs + specs + specs[::-1], make_data(d), epochs=EPOCHS, engine=engine)
    assert all_bits(result) == 2 * alone(engine, d) + alone(engine, d)[::-1]


@every_engine
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_threads(engine, d, threads):
    result = ensemble.train(mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, threads=threads)
    assert all_bits(result) == alone(engine, d)


@every_engine
@pytest.mark.parametrize(
    ("constants", "fewest", "most"),
    [
        ({"_CHUNKS_PER_RUN": 1}, 1, 1),
        ({"_CHUNKS_PER_RUN": 3}, 2, 5),
        ({"_CHUNK_SECONDS": 1e-9}, 15, 15),
        ({"_CHUNK_BYTES": 1}, 15, 15),
        ({"_CHUNK_SECONDS": 1e-9, "_WINDOW": 1}, 15, 15),
    ],
)
def test_any_chunks(engine, d, constants, fewest, most, monkeypatch):
    for name, value in constants.items():
        monkeypatch.setattr(running if name == "_WINDOW" else planning, name, value)
    planned = ensemble.plan(mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine)
    assert fewest <= len(planned.chunks) <= most
    result = ensemble.train(mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, snapshots=[EPOCHS])
    assert all_bits(result) == alone(engine, d)
    for kept, network in zip(result.snapshots[EPOCHS], result.networks, strict=True):
        assert [a.tobytes() for a in naive.four(kept)] == [a.tobytes() for a in naive.four(network)]


@every_engine
def test_a_chunk_keeps_the_order_of_its_specs(engine, d):
    """`train` hands over chunks sorted by width, but whoever calls `run_chunk` need not."""
    settings = make_settings(EPOCHS, None, [EPOCHS], engine, True)
    rows = run_chunk(mixed_specs(), make_data(d), settings)
    assert all_bits(rows) == alone(engine, d)
    np.testing.assert_array_equal(rows.snapshots[EPOCHS].parameters, rows.networks.parameters)


@pytest.mark.parametrize(("engine", "d"), [e for e in ENGINES if e[0] != "numpy"])
@pytest.mark.parametrize("share", [0.0, 2.5, 30.0])
def test_any_cut_into_kernel_calls(engine, d, share, monkeypatch):
    """Calls of one epoch, of a few epochs of one model, and of some models."""
    specs, data = mixed_specs(), make_data(d)
    epoch = epoch_seconds(engine, specs, data)
    monkeypatch.setattr(planning, "_CHUNKS_PER_RUN", 1)
    monkeypatch.setattr(compiled, "CALL_SECONDS", share * float(np.median(epoch)))
    spans = list(compiled.spans(epoch, EPOCHS, ()))
    assert max(len(spans), 1) > (1 if share else EPOCHS * len(specs) - 1)
    result = ensemble.train(specs, data, epochs=EPOCHS, engine=engine)
    assert all_bits(result) == alone(engine, d)


@pytest.mark.parametrize("seconds", [1e-9, 3e-6, 1e-5, 1e-4, 1.0])
@pytest.mark.parametrize(("epochs", "snapshots"), [(0, ()), (1, ()), (20, ()), (20, (0, 7, 20)), (20, (19,))])
def test_spans_cover_every_model_and_epoch_once_and_in_order(epochs, snapshots, seconds, monkeypatch):
    monkeypatch.setattr(compiled, "CALL_SECONDS", seconds)
    cost = np.array([1e-6, 1e-6, 2e-6, 5e-6, 1e-5])
    reached = np.zeros(5, dtype=int)
    ends = set()
    for first, last, begin, end in compiled.spans(cost, epochs, snapshots):
        assert 0 <= first < last
        assert (reached[first:last] == begin).all()
        assert begin < end or epochs == 0
        reached[first:last] = end
        if last >= 5:
            assert last == 5
            ends.add(end)
    assert (reached == epochs).all()
    assert {s for s in snapshots if s} <= ends


@every_engine
def test_snapshots_do_not_change_the_outcome(engine, d):
    result = ensemble.train(
        mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, snapshots=[0, 1, 5, EPOCHS - 1, EPOCHS]
    )
    assert all_bits(result) == alone(engine, d)


@every_engine
def test_what_is_recorded_does_not_change_the_outcome(engine, d):
    full = ensemble.train(mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, record=range(EPOCHS + 1))
    few = ensemble.train(mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, record=[5])
    assert few.epochs.tolist() == [0, 5, EPOCHS]
    np.testing.assert_array_equal(few.train_loss, full.train_loss[:, few.epochs])
    np.testing.assert_array_equal(few.test_loss, full.test_loss[:, few.epochs])
    np.testing.assert_array_equal(few.val_loss, full.val_loss[:, few.epochs])
    for i in range(len(full)):
        assert bits(full, i)[3:] == bits(few, i)[3:] == alone(engine, d)[i][3:]


@every_engine
def test_test_and_validation_data_do_not_change_the_weights(engine, d):
    data = make_data(d)
    result = ensemble.train(mixed_specs(), ensemble.Dataset(data.x_train, data.y_train), epochs=EPOCHS, engine=engine)
    assert result.parts == ("train",)
    for i, expected in enumerate(alone(engine, d)):
        assert [a.tobytes() for a in naive.four(result.networks[i])] == expected[4:]


@every_engine
def test_a_thread_pool_as_executor(engine, d):
    with ThreadPoolExecutor(3) as executor:
        result = ensemble.train(mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, executor=executor)
        assert executor.submit(int, "1").result() == 1  # left open for its owner
    assert all_bits(result) == alone(engine, d)


def test_processes_as_executor():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        for engine, d in [("spline", 1), ("dense", 3), ("numpy", 1)]:
            result = ensemble.train(
                mixed_specs(), make_data(d), epochs=EPOCHS, engine=engine, executor=executor, snapshots=[5]
            )
            assert all_bits(result) == alone(engine, d)
            assert result.snapshots[5].predict(make_data(d).x_train).shape == (len(mixed_specs()), 23)


@overflow_allowed
@every_engine
def test_one_diverging_model_touches_no_other(engine, d):
    specs = mixed_specs()
    wild = ensemble.grid(width=4, lr=1e10, seed=5)
    for at in (0, len(specs) // 2, len(specs)):
        result = ensemble.train(specs[:at] + wild + specs[at:], make_data(d), epochs=EPOCHS, engine=engine)
        assert result.status.tolist() == ["ok"] * at + ["diverged"] + ["ok"] * (len(specs) - at)
        assert [bits(result, i) for i in range(len(result)) if i != at] == alone(engine, d)
        epoch = result.diverged_at[at]
        assert 1 <= epoch <= EPOCHS
        assert (np.delete(result.diverged_at, at) == -1).all()
        after = result.epochs >= epoch
        for history in (result.train_loss, result.test_loss, result.val_loss):
            assert not np.isnan(history).any()
            assert (history[at, after] == np.inf).all()
            assert np.isfinite(history[at, ~after]).all()


@overflow_allowed
@pytest.mark.parametrize("d", [1, 3])
def test_every_engine_sees_a_divergence_at_the_same_epoch(d):
    specs = ensemble.grid(width=[1, 4, 30], lr=[1e3, 1e10, 1e60], optimizer=["gd", "momentum"], seed=[5, 6])
    specs += ensemble.grid(width=4, lr=0.01)
    at = {}
    for engine in ("numpy", "dense", "spline")[: 3 if d == 1 else 2]:
        result = ensemble.train(specs, make_data(d), epochs=40, engine=engine, record=[20])
        assert result.status[-1] == "ok"
        assert ((result.diverged_at >= 0) == (result.status == "diverged")).all()
        at[engine] = result.diverged_at.tolist()
        dead = result.diverged_at >= 0
        later = result.epochs[None, :] >= result.diverged_at[:, None]
        np.testing.assert_array_equal(np.isinf(result.train_loss), dead[:, None] & later)
    assert len({d for d in at["numpy"] if d > 0}) > 1  # not all at once
    assert all(epochs == at["numpy"] for epochs in at.values()), at


@overflow_allowed
@every_engine
@pytest.mark.parametrize(("weight", "epoch"), [(1e160, 0), (1e-3 * optimizers.WEIGHT_LIMIT, 1), (np.nan, 0)])
def test_weights_that_are_not_finite_or_near_it(engine, d, weight, epoch):
    """The squared error overflows at once; or the first step leaves the limit; or the error is a NaN."""
    specs, data = ensemble.grid(width=3, lr=0.1, seed=[1, 2, 3]), make_data(d)
    start = ensemble.initialize(specs, d)
    start[1].weights[0][:] = 1.0
    start[1].weights[1][:] = weight
    result = ensemble.train(specs, data, epochs=3, engine=engine, initial=start)
    assert result.status.tolist() == ["ok", "diverged", "ok"]
    assert result.diverged_at[1] == epoch
    assert not np.isnan(result.train_loss).any()
    assert (result.train_loss[1, epoch:] == np.inf).all()
    if epoch == 0:  # not trained at all
        np.testing.assert_array_equal(result.networks[1].weights[0], start[1].weights[0])
        np.testing.assert_array_equal(result.networks[1].weights[1], start[1].weights[1])
    others = ensemble.train(specs[[0, 2]], data, epochs=3, engine=engine)
    assert [bits(result, 0), bits(result, 2)] == all_bits(others)


@overflow_allowed
@every_engine
def test_a_diverged_model_stays_so_through_later_calls(engine, d, monkeypatch):
    specs = mixed_specs()[:4] + ensemble.grid(width=3, lr=1e10) + mixed_specs()[4:]
    whole = ensemble.train(specs, make_data(d), epochs=EPOCHS, engine=engine)
    monkeypatch.setattr(compiled, "CALL_SECONDS", 0.0)
    cut = ensemble.train(specs, make_data(d), epochs=EPOCHS, engine=engine, snapshots=[1, 8])
    assert cut.status[4] == "diverged"
    assert all_bits(cut) == all_bits(whole)
    np.testing.assert_array_equal(
        cut.snapshots[8][4].weights[0], cut.networks[4].weights[0]
    )  # as it was when it was stopped


@overflow_allowed
@every_engine
def test_an_infinite_test_error_is_no_divergence(engine, d):
    data = make_data(d)
    far = ensemble.Dataset(data.x_train, data.y_train, np.full((2, d), 1e307), [0.0, 1.0])
    specs = ensemble.grid(width=[30, 31], seed=range(3), init_scale=1.0, lr=1e-4)
    result = ensemble.train(specs, far, epochs=3, engine=engine)
    assert (result.status == "ok").all()
    assert np.isfinite(result.train_loss).all()
    assert (result.test_loss == np.inf).all()
