"""However it ran, the same bits: a model's result depends on its spec, its data and the epochs alone."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import NamedTuple

import naive
import numpy as np
import pytest
from cluster import Cluster, leftovers_allowed
from conftest import JIT_DISABLED
from stored import DeadError, assert_sound, bits, die_after_chunks, die_after_states, make_data

import ensemble
from ensemble import store
from ensemble.engines import checkpoint, compiled, epoch_seconds, run_chunk
from ensemble.rules import optimizers
from ensemble.training import planning, running, shards
from ensemble.training.request import make_settings

EPOCHS = 12
ENGINES = [("spline", 1), ("pieces", 1), ("dense", 1), ("numpy", 1), ("dense", 3), ("numpy", 3)]
every_engine = pytest.mark.parametrize(("engine", "d"), ENGINES)
BESIDE = [("numpy", 2), ("spline", "labels"), ("dense", "outputs")]  # mixed depths, three classes, three outputs
all_of_them = pytest.mark.parametrize(("engine", "d"), [*ENGINES, *BESIDE])

# Interpreted kernels warn where compiled ones just go on to infinity.
overflow_allowed = pytest.mark.filterwarnings(
    "ignore:(overflow|invalid value) encountered" if JIT_DISABLED else "error"
)


def mixed_specs():
    """Settings of all kinds, no two the same, widths not in order and repeated."""
    grid = ensemble.grid
    return (
        grid(width=[4, 1], optimizer=["gd", "adam"], seed=3, output_bias=True)
        + grid(width=[6, 4], optimizer="momentum", schedule="cosine", weight_decay=0.01, lr=0.02, seed=1, batch_size=5)
        + grid(width=9, init=["he", "uniform"], hidden_bias=[True, False], lr=0.01, seed=2)
        + grid(
            width=4,
            optimizer=["gd", "momentum", "adam"],
            lr=0.003,
            schedule="cosine",
            output_bias=True,
            hidden_lr_factor=0.5,
            batch_size=22,
        )
        + grid(
            width=[17, 2],
            optimizer="adam",
            beta2=0.9,
            momentum=0.8,
            weight_decay=0.1,
            seed=7,
            batch_size=8,
            output_lr_factor=0.0,
        )
    )


def train(specs, engine, d, **options):
    """Train for `EPOCHS` epochs with a snapshot on the data of `d` inputs, but for what `options` say."""
    given = {"epochs": EPOCHS, "engine": engine, "snapshots": [5], "data": make_data(d), "progress": False} | options
    return ensemble.train(specs, given.pop("data"), loss=loss_of(d), **given)


def loss_of(d):
    return "cross_entropy" if d == "labels" else "mse"


def all_bits(result):
    return [bits(result, i) for i in range(len(result))]


def of_mixed_depths():
    """The same with one to three hidden layers."""
    specs = mixed_specs()
    return ensemble.Specs(**specs.columns() | {"hidden_layers": 1 + np.arange(len(specs)) % 3})


def specs_of(engine, d=1):
    """What an engine is given: of mixed depths where it trains more than one hidden layer, in batches where it can.

    The readable engine has both: with two inputs they are of mixed depths.
    """
    specs = of_mixed_depths() if engine in ("pieces", "dense") or d == 2 else mixed_specs()
    return ensemble.Specs(**specs.columns() | {"batch_size": 0}) if engine == "pieces" else specs


_alone = {}


def alone(engine, d):
    """What each of the models of `specs_of` says when it is trained by itself on one thread."""
    if (engine, d) not in _alone:
        specs = specs_of(engine, d)
        _alone[engine, d] = [bits(train(specs[[i]], engine, d, threads=1), 0) for i in range(len(specs))]
    return _alone[engine, d]


# ---- one list of ways to run, over one list of engines and data ----


class Task(NamedTuple):
    """Models to train, and what a way to run may use."""

    engine: str
    d: int
    folder: os.PathLike
    patch: pytest.MonkeyPatch
    pools: dict
    specs: ensemble.Specs

    def train(self, specs=None, **options):
        return train(self.specs if specs is None else specs, self.engine, self.d, **options)

    def gone_on_with(self, error):
        """Train into the folder until it "dies" of the error, and to the end in a second call."""
        with pytest.raises(error):
            self.train(store=self.folder, threads=1)
        before = store.verify(self.folder).done
        result = self.train(store=self.folder, threads=2)
        assert result.trained == len(result) - before
        assert_sound(self.folder, len(result))
        return result


def all_in_one_batch(task):
    return task.train()


def permuted(task):
    order = np.random.default_rng(0).permutation(len(task.specs))
    return task.train(task.specs[order])[np.argsort(order)]


def reversed_and_each_twice(task):
    result = task.train(task.specs + task.specs[::-1])
    n = len(task.specs)
    assert all_bits(result[2 * n - 1 - np.arange(n)]) == all_bits(result[np.arange(n)])
    return result[np.arange(n)]


def each_first_in_the_middle_or_last(task):
    """One model moves through the batch."""
    n, found = len(task.specs), None
    for at in (0, 5, n - 1):
        order = np.insert(np.delete(np.arange(n), 7), at, 7)
        result = all_bits(task.train(task.specs[order])[np.argsort(order)])
        assert found in (None, result)
        found = result
    return found


def on_threads(count):
    return lambda task: task.train(threads=count)


def in_chunks(fewest, most, **constants):
    def run(task):
        for name, value in constants.items():
            task.patch.setattr(running if name == "WINDOW" else planning, name, value)
        planned = ensemble.plan(task.specs, make_data(task.d), epochs=EPOCHS, engine=task.engine, loss=loss_of(task.d))
        assert fewest <= len(planned.chunks) <= most
        return task.train()

    return run


def in_calls_of(epochs_of_a_model):
    """Cut a chunk into kernel calls of one epoch, of a few epochs of one model, or of some models."""

    def run(task):
        cost = epoch_seconds(task.engine, task.specs, make_data(task.d))
        task.patch.setattr(planning, "CHUNKS_PER_RUN", 1)
        task.patch.setattr(compiled, "CALL_SECONDS", epochs_of_a_model * float(np.median(cost)))
        calls = len(list(compiled.spans(cost, EPOCHS, ())))
        assert calls > (1 if epochs_of_a_model else EPOCHS * len(task.specs) - 1)
        return task.train()

    return run


def as_a_bare_chunk(task):
    """`train` hands over chunks sorted by width, but whoever calls `run_chunk` need not."""
    rows = run_chunk(
        task.specs, make_data(task.d), task.engine, make_settings(EPOCHS, None, [5], True, loss=loss_of(task.d))
    )
    return [bits(rows, i) for i in range(len(task.specs))]


def in_a_pool_of_threads(task):
    with ThreadPoolExecutor(3) as pool:
        result = task.train(executor=pool)
        assert pool.submit(int, "1").result() == 1  # left open for its owner
    return result


def in_two_python_threads_at_once(task):
    with ThreadPoolExecutor(2) as both:
        asked = [both.submit(task.train, store=task.folder / str(i), threads=2) for i in range(2)]
        one, other = (future.result() for future in asked)
    assert all_bits(one) == all_bits(other)
    return one


def in_processes(kind):
    def run(task):
        result = task.train(executor=task.pools[kind](), store=task.folder)
        assert_sound(task.folder, len(result))
        return result

    return run


def kept_and_loaded(task):
    task.train(store=task.folder)
    return store.load_result(task.folder)


def kept_and_asked_for_again(task):
    task.train(store=task.folder)
    result = task.train(store=task.folder)
    assert result.trained == 0
    return result


def one_by_one_into_one_folder(task):
    order = np.random.default_rng(1).permutation(len(task.specs))
    for count in range(1, len(order) + 1):
        assert task.train(task.specs[np.sort(order[:count])], store=task.folder).trained == 1
    assert_sound(task.folder, len(order))
    return store.load_result(task.folder)


def ended_between_chunks(after):
    def run(task):
        die_after_chunks(task.patch, after)
        return task.gone_on_with(DeadError)

    return run


def ended_within_a_chunk(after):
    def run(task):
        task.patch.setattr(checkpoint, "SECONDS", -1.0)  # before every kernel call
        task.patch.setattr(compiled, "CALL_SECONDS", 0.0)
        task.patch.setattr(planning, "CHUNKS_PER_RUN", 1)
        die_after_states(task.patch, after)
        return task.gone_on_with(DeadError)

    return run


def in_shards_that_are_merged(task):
    data = {"data": make_data(task.d)}
    parts = [task.specs[shards.shard(task.specs, data, k, 3)] for k in (1, 2, 3)]
    folders = [task.folder / str(k) for k in range(3)]
    for part, folder in zip(parts, folders, strict=True):
        task.train(part, store=folder)
    assert len(store.merge(folders, task.folder / "all")) == len(task.specs)
    result = task.train(store=task.folder / "all")
    assert result.trained == 0
    return result


# ---- going on: a schedule that depends on the number of epochs cannot, such models are trained at once ----


def with_the_others(task, gone_on):
    """Return the bits of all models, of `gone_on` those with a constant rate, in their order."""
    constant = task.specs.schedule == "constant"
    parts = [iter(all_bits(task.train(task.specs[~constant]))), iter(all_bits(gone_on))]
    return [next(parts[one]) for one in constant.astype(int)]


def up_to(task, epoch, **options):
    """Train what can be gone on with up to an epoch, with the snapshot of the list where it has been reached."""
    constant, options = task.specs.schedule == "constant", {"keep_state": True} | options
    return task.train(task.specs[constant], epochs=epoch, snapshots=[5] if epoch >= 5 else [], **options)


def gone_on_from_a_result(*epochs):
    def run(task):
        found = None
        for epoch in (*epochs, EPOCHS):
            found = up_to(task, epoch, initial=found)
            assert found.trained == len(found)
        return with_the_others(task, found)

    return run


def gone_on_from_a_result_in_another_order(task):
    half = up_to(task, 6)
    order = np.random.default_rng(0).permutation(len(half))
    rest = train(half.specs[order], task.engine, task.d, initial=half[order], threads=1)
    return with_the_others(task, rest[np.argsort(order)])


def gone_on_in_a_folder(*epochs, keep_state=True):
    def run(task):
        for epoch in (*epochs, EPOCHS):
            found = up_to(task, epoch, store=task.folder, keep_state=keep_state)
            assert found.trained == len(found)
        assert up_to(task, EPOCHS, store=task.folder, keep_state=keep_state).trained == 0
        assert all_bits(store.load_result(task.folder)) == all_bits(found)
        return with_the_others(task, found)

    return run


def gone_on_in_a_folder_from_parts_at_different_epochs(task):
    constant = np.flatnonzero(task.specs.schedule == "constant")
    for part, epoch in ((constant[::3], 5), (constant[1::3], 8), (constant[::2], 6)):
        task.train(task.specs[part], epochs=epoch, snapshots=[5], store=task.folder, keep_state=True)
    return with_the_others(task, up_to(task, EPOCHS, store=task.folder))


def gone_on_from_a_result_into_a_folder(task):
    up_to(task, 3, store=task.folder)
    half = up_to(task, 7)
    assert up_to(task, EPOCHS, initial=half, store=task.folder).trained == len(half)
    assert up_to(task, EPOCHS, store=task.folder).trained == 0
    return with_the_others(task, store.load_result(task.folder))


def killed_while_going_on(states, after):
    """The end comes between two chunks, or within one, and a third call finishes."""

    def run(task):
        up_to(task, 5, store=task.folder)
        kept = {path: path.read_bytes() for path in task.folder.glob("chunks/*")}
        if states:  # a place within a chunk is the number of a kernel call, so these stay as they are
            task.patch.setattr(checkpoint, "SECONDS", -1.0)
            task.patch.setattr(compiled, "CALL_SECONDS", 0.0)
        with task.patch.context() as patch:
            (die_after_states if states else die_after_chunks)(patch, after)
            with pytest.raises(DeadError):
                up_to(task, EPOCHS, store=task.folder, threads=1)
        found = up_to(task, EPOCHS, store=task.folder)
        assert found.trained < len(found) or states or not after
        assert {path: path.read_bytes() for path in kept} == kept
        assert store.verify(task.folder).problems == () and not list(task.folder.glob("states/*"))
        return with_the_others(task, found)

    return run


def shorter_from_the_folder_of_a_longer_one(task):
    longer = train(
        task.specs[task.specs.schedule == "constant"], task.engine, task.d, epochs=20, record=range(13),
        snapshots=[5, EPOCHS], store=task.folder,
    )  # fmt: skip
    found = up_to(task, EPOCHS, store=task.folder, keep_state=False)
    assert (longer.trained, found.trained) == (len(found), 0)
    assert all_bits(store.load_result(task.folder)) == all_bits(found)
    return with_the_others(task, found)


def gone_on_in_processes(task):
    half = up_to(task, 5, executor=task.pools["spawn"](), store=task.folder)
    rest = up_to(task, EPOCHS, executor=task.pools["spawn"](), initial=half)
    kept = up_to(task, EPOCHS, executor=task.pools["spawn"](), store=task.folder)
    assert all_bits(kept) == all_bits(rest)
    return with_the_others(task, kept)


IN_COMPANY = [
    all_in_one_batch, permuted, reversed_and_each_twice, each_first_in_the_middle_or_last, as_a_bare_chunk,
    pytest.param(in_chunks(1, 1, CHUNKS_PER_RUN=1), id="in one chunk"),
]  # fmt: skip
WAYS = [
    in_a_pool_of_threads, in_two_python_threads_at_once, kept_and_loaded, kept_and_asked_for_again,
    one_by_one_into_one_folder, in_shards_that_are_merged,
    *(pytest.param(on_threads(n), id=f"on {n} threads") for n in (1, 2, 4)),
    pytest.param(in_chunks(2, 5, CHUNKS_PER_RUN=3), id="in a few chunks"),
    pytest.param(in_chunks(15, 15, CHUNK_SECONDS=1e-9), id="in a chunk for each model"),
    pytest.param(in_chunks(15, 15, CHUNK_BYTES=1), id="in a chunk for each model for want of memory"),
    pytest.param(in_chunks(15, 15, CHUNK_SECONDS=1e-9, WINDOW=1), id="in a chunk for each model one after another"),
    *(pytest.param(ended_between_chunks(n), id=f"ended after {n} chunks") for n in (0, 1, 7)),
    *(pytest.param(ended_within_a_chunk(n), id=f"ended after {n} states") for n in (1, 4, 11)),
    *(pytest.param(gone_on_from_a_result(*e), id=f"gone on at {e}") for e in ((0,), (5,), (1, 4, 11))),
    *(pytest.param(gone_on_in_a_folder(*e), id=f"gone on in a folder at {e}") for e in ((5,), (1, 4, 11))),
    pytest.param(gone_on_in_a_folder(5, keep_state=False), id="gone on in a folder with what needs no state"),
    *(pytest.param(killed_while_going_on(False, n), id=f"killed after {n} chunks of going on") for n in (0, 3)),
    *(pytest.param(killed_while_going_on(True, n), id=f"killed after {n} states of going on") for n in (1, 4)),
    gone_on_from_a_result_in_another_order, gone_on_in_a_folder_from_parts_at_different_epochs,
    gone_on_from_a_result_into_a_folder, shorter_from_the_folder_of_a_longer_one,
]  # fmt: skip
CALLS = [pytest.param(in_calls_of(n), id=f"in kernel calls of {n} epochs of a model") for n in (0.0, 2.5, 30.0)]
PROCESSES = [
    pytest.param(in_processes("spawn"), id="in spawned processes"),
    pytest.param(in_processes("forkserver"), id="in processes of a fork server"),
    gone_on_in_processes,
    pytest.param(in_processes("loky"), id="in processes of loky"),
    pytest.param(in_processes("mpi"), id="in processes of MPI"),
    pytest.param(in_processes("dask"), id="on a cluster", marks=leftovers_allowed),
]


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    """Each kind of pool, started when it is first asked for, and shared by what follows."""
    started, ends = {}, []

    def start(kind):
        if kind in ("spawn", "forkserver"):
            if kind not in multiprocessing.get_all_start_methods():
                pytest.skip(f"this system has no {kind}")
            pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind))
            ends.append(pool.shutdown)
        elif kind == "loky":
            pool = pytest.importorskip("loky", reason="loky is not installed").ProcessPoolExecutor(2)
            ends.append(pool.shutdown)
        elif kind == "mpi":
            futures = pytest.importorskip("mpi4py.futures", reason="mpi4py, or MPI itself, is not installed")
            pool = futures.MPIPoolExecutor(1)
            ends.append(pool.shutdown)
        else:
            pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
            from ensemble import distributed

            cluster = Cluster(tmp_path_factory.mktemp("cluster"))
            client = cluster.client()
            client.wait_for_workers(2, timeout=60)
            pool = distributed.executor(client)
            ends.extend((pool.shutdown, client.close, cluster.stop))
        return pool

    def give(kind):
        if kind not in started:
            started[kind] = start(kind)
        return started[kind]

    kinds = ("spawn", "forkserver", "loky", "mpi", "dask")
    yield {kind: lambda kind=kind: give(kind) for kind in kinds}
    for end in ends:
        end()


def check(way, engine, d, tmp_path, monkeypatch, pools=None):
    found = way(Task(engine, d, tmp_path, monkeypatch, pools, specs_of(engine, d)))
    assert (found if isinstance(found, list) else all_bits(found)) == alone(engine, d)


def some_of_all_pairs(ways, engines, count):
    """Pair every way with every engine, and mark all but `count` engines of each way as slow.

    The engines that stay move on from way to way, so that variants of one way, which are neighbours, have different
    ones, and every engine has its share.
    """
    pairs = []
    for i, way in enumerate(ways):
        function, name, marks = (
            (way.values[0], way.id, way.marks) if hasattr(way, "values") else (way, way.__name__, ())
        )
        for j, (engine, d) in enumerate(engines):
            slow = (j - i * count) % len(engines) >= count
            name_of_pair = f"{name}-{engine}-{d}"
            pairs.append(pytest.param(function, engine, d, id=name_of_pair, marks=[*marks, *[pytest.mark.slow] * slow]))
    return pytest.mark.parametrize(("way", "engine", "d"), pairs)


@pytest.mark.jit_heavy
@all_of_them
@pytest.mark.parametrize("way", IN_COMPANY)
def test_in_whatever_company_the_same_bits(way, engine, d, tmp_path, monkeypatch):
    check(way, engine, d, tmp_path, monkeypatch)


@pytest.mark.jit_heavy
@some_of_all_pairs(WAYS, [*ENGINES, *BESIDE], 2)
def test_however_it_ran_the_same_bits(way, engine, d, tmp_path, monkeypatch):
    check(way, engine, d, tmp_path, monkeypatch)


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("engine", "d"), [one for one in ENGINES if one[0] != "numpy"])
@pytest.mark.parametrize("way", CALLS)
def test_however_it_was_cut_into_kernel_calls_the_same_bits(way, engine, d, tmp_path, monkeypatch):
    check(way, engine, d, tmp_path, monkeypatch)


@pytest.mark.jit_heavy
@some_of_all_pairs(
    PROCESSES, [("spline", 1), ("dense", "outputs"), ("dense", 3), ("pieces", 1), ("spline", "labels"), ("numpy", 1)], 2
)
def test_in_whatever_processes_it_ran_the_same_bits(way, engine, d, tmp_path, monkeypatch, pools):
    check(way, engine, d, tmp_path, monkeypatch, pools)


@pytest.mark.jit_heavy
def test_no_two_models_of_the_list_say_the_same():
    """So that a mix-up would show."""
    assert len({tuple(one) for one in alone("spline", 1)}) == len(mixed_specs())


# ---- what else is asked for changes nothing ----


def ends(found, specs):
    """Leave out the snapshots: after three parts' errors and the epoch of divergence comes the network itself."""
    return [one[: 4 + 2 * (layers + 1)] for one, layers in zip(found, specs.hidden_layers, strict=True)]


@pytest.mark.jit_heavy
@every_engine
@pytest.mark.parametrize("snapshots", [None, [0, 1, 5, EPOCHS - 1, EPOCHS]])
def test_snapshots_do_not_change_the_outcome(snapshots, engine, d):
    result = train(specs_of(engine), engine, d, snapshots=snapshots)
    assert ends(all_bits(result), specs_of(engine)) == ends(alone(engine, d), specs_of(engine))
    for network, last in zip(result.networks, result.snapshots.get(EPOCHS, result.networks), strict=True):
        assert [a.tobytes() for a in naive.parameters(last)] == [a.tobytes() for a in naive.parameters(network)]


@pytest.mark.jit_heavy
@every_engine
def test_what_is_recorded_does_not_change_the_outcome(engine, d):
    full = train(specs_of(engine), engine, d, record=range(EPOCHS + 1))
    few = train(specs_of(engine), engine, d, record=[5])
    assert few.epochs.tolist() == [0, 5, EPOCHS]
    for part in ("train_loss", "test_loss", "val_loss"):
        np.testing.assert_array_equal(getattr(few, part), getattr(full, part)[:, few.epochs])
    for one, other, expected in zip(all_bits(full), all_bits(few), alone(engine, d), strict=True):
        assert one[3:] == other[3:] == expected[3:]


@pytest.mark.jit_heavy
@every_engine
def test_test_and_validation_data_do_not_change_the_weights(engine, d):
    data = make_data(d)
    result = train(specs_of(engine), engine, d, data=ensemble.Dataset(data.x_train, data.y_train))
    assert result.parts == ("train",)
    assert [one[2:] for one in all_bits(result)] == [one[4:] for one in alone(engine, d)]


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


# ---- models that diverge ----


def depth_of(engine):
    """One hidden layer is no work for the piece form: another kernel takes it."""
    return 2 if engine == "pieces" else 1


@pytest.mark.jit_heavy
@overflow_allowed
@every_engine
def test_one_diverging_model_touches_no_other(engine, d):
    specs = specs_of(engine)
    wild = ensemble.grid(width=4, lr=1e10, seed=5)
    for at in (0, len(specs) // 2, len(specs)):
        result = ensemble.train(specs[:at] + wild + specs[at:], make_data(d), epochs=EPOCHS, engine=engine)
        assert result.status.tolist() == ["ok"] * at + ["diverged"] + ["ok"] * (len(specs) - at)
        assert [bits(result, i) for i in range(len(result)) if i != at] == ends(alone(engine, d), specs)
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
    specs, data = ensemble.grid(width=3, lr=0.1, seed=[1, 2, 3], hidden_layers=depth_of(engine)), make_data(d)
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
    tame = specs_of(engine)[:: 5 if JIT_DISABLED else 1]
    wild = ensemble.grid(width=3, lr=1e10, batch_size=[0, 5 if engine != "pieces" else 0])
    wild += ensemble.grid(width=3, lr=1e80, hidden_layers=depth_of(engine))
    specs = tame[:2] + wild + tame[2:]
    whole = ensemble.train(specs, make_data(d), epochs=EPOCHS, engine=engine)
    monkeypatch.setattr(compiled, "CALL_SECONDS", 0.0)
    cut = ensemble.train(specs, make_data(d), epochs=EPOCHS, engine=engine, snapshots=[1, 8])
    assert cut.status.tolist() == ["ok"] * 2 + ["diverged"] * 3 + ["ok"] * (len(tame) - 2)
    assert ends(all_bits(cut), cut.specs) == ends(all_bits(whole), whole.specs)
    for wild in (2, 3, 4):  # as it was when it was stopped
        np.testing.assert_array_equal(cut.snapshots[8][wild].weights[0], cut.networks[wild].weights[0])


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
