"""Run folders: what is kept is found again, gone on with to the same bits, and refused where it does not fit."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import naive
import numpy as np
import pytest

import ensemble
from ensemble.engines import Checkpoint, checkpoint
from ensemble.engines import base as engines
from ensemble.store import run as store
from ensemble.system import archive, lock
from ensemble.training import planning
from ensemble.training import running as training
from ensemble.training.request import make_settings

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels

TESTS = Path(__file__).resolve().parent
GOLDEN = TESTS / "data" / "run-v1"
EPOCHS = 12
ENGINES = [("spline", 1), ("dense", 2), ("numpy", 2)]
every_engine = pytest.mark.parametrize(("engine", "d"), ENGINES)


# ---- helpers, also for test_faults.py and test_fuzz.py ----


def make_data(d=1, standardize=False, seed=0):
    """Return a dataset of 23, 7 and 5 samples of noise."""
    rng = np.random.default_rng([seed, d])
    parts = [a for n in (23, 7, 5) for a in (rng.uniform(-3, 3, size=(n, d)), rng.normal(size=n))]
    return ensemble.Dataset(*parts, standardize=standardize)


def make_specs(seeds=2):
    """Return 12 models per seed, of several widths and all optimizers; no two are the same."""
    return ensemble.grid(width=[9, 4], optimizer=["gd", "adam", "momentum"], lr=[0.01, 0.03], seed=range(seeds))


def train(specs, data=None, **options):
    """Train for `EPOCHS` epochs with a snapshot, but for what `options` say."""
    data = make_data() if data is None else data
    return ensemble.train(specs, data, **({"epochs": EPOCHS, "snapshots": [5], "progress": False} | options))


def content(result):
    """Return all that a result says, by name, as digests of its bytes."""
    arrays = {"epochs": result.epochs, "diverged_at": result.diverged_at}
    arrays |= {name: getattr(result, name, None) for name in ("train_loss", "test_loss", "val_loss")}
    stacks = {"networks": getattr(result, "networks", None)}
    stacks |= {f"snapshot {epoch}": kept for epoch, kept in result.snapshots.items()}
    for name, stack in stacks.items():
        if stack is not None:
            for i, network in enumerate(stack):
                arrays[f"{name} {i}"] = np.concatenate([part.ravel() for part in naive.four(network)])
    kept = {name: array for name, array in arrays.items() if array is not None}
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in kept.items()}


def part_of(result, specs, order):
    """Return the content of a run of the models at `order`, by training them without a store."""
    return content(train(specs[order]))


def chunk_files(folder):
    return sorted(Path(folder, "chunks").glob("*.npz"))


def models_kept(folder):
    """Return how many models the chunk files hold, one counting as often as it is there."""
    return sum(len(archive.read(path, store._ROWS)["diverged_at"]) for path in chunk_files(folder))


def assert_sound(folder, models):
    """Check that a run is whole: every model there once, no file damaged, nothing left behind."""
    assert store.verify(folder) == store.Verified(models, models, 2 + len(chunk_files(folder)), ())
    assert models_kept(folder) == models
    assert list(Path(folder).glob("**/.*")) == []
    assert len(list(Path(folder).glob("specs-*"))) == 1


@pytest.fixture
def trained(monkeypatch):
    """Count the models that are trained: the length of each chunk."""
    lengths, run_chunk = [], engines.run_chunk

    def counted(specs, *rest):
        lengths.append(len(specs))
        return run_chunk(specs, *rest)

    monkeypatch.setattr(training, "run_chunk", counted)
    return lengths


def python(code, *arguments, **options):
    """Start a Python that can import these tests."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


class DeadError(Exception):
    """Stands for the end of the process in a test."""


# ---- what a folder is for ----


@every_engine
@pytest.mark.parametrize("options", [{}, {"snapshots": None}, {"keep_networks": False}, {"record": [3], "threads": 1}])
def test_a_stored_run_is_the_run(engine, d, options, tmp_path, trained):
    specs, data = make_specs(), make_data(d, standardize=True)
    expected = content(train(specs, data, engine=engine, **options))
    trained.clear()
    stored = train(specs, data, engine=engine, store=tmp_path / "run", **options)
    assert content(stored) == expected
    assert sum(trained) == len(specs)
    assert_sound(tmp_path / "run", len(specs))
    again = train(specs, data, engine=engine, store=tmp_path / "run", **options)
    loaded = store.load_result(tmp_path / "run")
    assert content(again) == content(loaded) == expected
    assert loaded.specs == specs
    assert sum(trained) == len(specs)
    np.testing.assert_array_equal(loaded.status, stored.status)
    if hasattr(stored, "networks"):
        x = data.x_test
        np.testing.assert_array_equal(loaded.networks.predict(x), stored.networks.predict(x))


def test_several_datasets_with_and_without_parts(tmp_path):
    whole, bare = make_data(standardize=True), make_data(seed=1)
    data = {"a": whole, "b": ensemble.Dataset(bare.x_train, bare.y_train)}
    specs = ensemble.grid(width=[4, 6], seed=range(4), data=["b", "a"])
    expected = content(train(specs, data))
    assert content(train(specs, data, store=tmp_path)) == expected
    assert content(store.load_result(tmp_path)) == expected
    swapped = specs[::-1]
    assert content(train(swapped, data, store=tmp_path)) == content(train(swapped, data))


def test_a_model_that_is_there_twice_is_kept_and_found(tmp_path, trained):
    specs = make_specs() + make_specs()[3:9]
    expected = content(train(specs))
    assert content(train(specs, store=tmp_path)) == expected
    trained.clear()
    assert content(train(specs[::-1], store=tmp_path)) == content(train(specs[::-1]))
    assert sum(trained) == len(specs)  # all without the store
    assert content(store.load_result(tmp_path)) == content(train(specs[::-1]))


def test_given_networks_to_start_from(tmp_path):
    specs = make_specs()
    start, other = ensemble.initialize(specs), ensemble.initialize(specs)
    other[0].weights[0][:] *= 2
    expected = content(train(specs, initial=start))
    assert content(train(specs, initial=start, store=tmp_path)) == expected
    assert content(train(specs, initial=start, store=tmp_path)) == expected
    with pytest.raises(store.OtherRunError, match="another initial"):
        train(specs, initial=other, store=tmp_path)
    with pytest.raises(store.OtherRunError, match="another initial"):
        train(specs, store=tmp_path)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds 'thesis.tex' and no run"):
        train(make_specs(), store=tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        train(make_specs(), store=tmp_path / "thesis.tex")
    store.clear(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_clear_removes_the_run_and_nothing_else(tmp_path, trained):
    train(make_specs(), store=tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    store.clear(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["lock", "notes.txt"]
    (tmp_path / "notes.txt").unlink()
    store.clear(tmp_path / "nowhere")
    train(make_specs(), store=tmp_path)
    assert sum(trained) == 2 * len(make_specs())


def test_no_run_and_an_unfinished_one_cannot_be_loaded(tmp_path):
    for ask in (store.load_result, store.verify):
        with pytest.raises(ValueError, match="holds no run"):
            ask(tmp_path)
    train(make_specs(), store=tmp_path)
    gone = chunk_files(tmp_path)[0]
    n = len(archive.read(gone, store._ROWS)["diverged_at"])
    gone.unlink()
    with pytest.raises(ValueError, match=f"is not finished: {24 - n} of 24 models"):
        store.load_result(tmp_path)
    assert store.verify(tmp_path).done == 24 - n


def test_too_little_disk_is_refused_before_anything_is_trained(tmp_path, trained, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match="has 0.00 GB of room"):
        train(make_specs(), store=tmp_path)
    assert trained == []


# ---- R8: the same bits, however they came about ----


@every_engine
def test_alone_permuted_in_any_chunks_and_threads(engine, d, tmp_path, monkeypatch):
    specs, data = make_specs(1), make_data(d)
    expected = content(train(specs, data, engine=engine))
    order = np.random.default_rng(0).permutation(len(specs))
    for threads in (1, 2, 4):
        folder = tmp_path / f"threads {threads}"
        assert content(train(specs[order], data, engine=engine, threads=threads, store=folder)) != expected
        monkeypatch.setattr(planning, "_CHUNKS_PER_RUN", threads)
        assert content(train(specs, data, engine=engine, threads=threads, store=folder)) == expected
    folder = tmp_path / "one by one"
    for i in order:
        kept = specs[np.sort(order[: np.flatnonzero(order == i)[0] + 1])]
        train(kept, data, engine=engine, store=folder)
    assert len(chunk_files(folder)) == len(specs)
    assert content(store.load_result(folder)) == expected


def _dying(monkeypatch, after):
    """Let the process "die" after some chunks are kept, once."""
    commit, count = store.Run.commit, [0]

    def dying(self, index, rows):
        if count[0] == after:
            count[0] += 1
            raise DeadError
        count[0] += 1
        commit(self, index, rows)

    monkeypatch.setattr(store.Run, "commit", dying)


@every_engine
@pytest.mark.parametrize("after", [0, 1, 7])
def test_interrupted_and_gone_on_with(engine, d, after, tmp_path, monkeypatch, trained):
    specs, data = make_specs(), make_data(d)
    expected = content(train(specs, data, engine=engine))
    _dying(monkeypatch, after)
    with pytest.raises(DeadError):
        train(specs, data, engine=engine, store=tmp_path, threads=1)
    done = store.verify(tmp_path).done
    assert len(chunk_files(tmp_path)) == after and (done > 0) == (after > 0)
    trained.clear()
    assert content(train(specs, data, engine=engine, store=tmp_path, threads=2)) == expected
    assert sum(trained) == len(specs) - done
    assert_sound(tmp_path, len(specs))


# ---- R10: processes and threads ----


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_pools_of_processes(method, tmp_path):
    specs, data = make_specs(), make_data(2)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert content(train(specs, data, executor=pool, store=tmp_path / method)) == content(train(specs, data))
    assert_sound(tmp_path / method, len(specs))


def test_two_python_threads_at_once(tmp_path):
    specs = make_specs()
    with ThreadPoolExecutor(2) as both:
        asked = [both.submit(train, specs, store=tmp_path / str(i), threads=2) for i in range(2)]
        found = [content(one.result()) for one in asked]
    assert found == [content(train(specs))] * 2


def test_a_child_forked_after_training_trains():
    process = python("import test_store; test_store.fork_and_compare()")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "same\n", "")


def fork_and_compare():
    """Train, fork, and train in the child: in a process of its own."""
    import tempfile

    specs = make_specs()
    with tempfile.TemporaryDirectory() as folder:
        expected = content(train(specs, store=folder))
        child = os.fork()
        if not child:
            ok = content(train(specs)) == expected == content(train(specs, store=Path(folder, "chunks", "child")))
            os._exit(0 if ok else 1)
        print("same" if os.waitpid(child, 0)[1] == 0 else "other")


# ---- R11: one process at a time ----

HOLD = """
import sys, time
from pathlib import Path
from ensemble.system.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    holder = python(HOLD, tmp_path / "lock")
    try:
        assert holder.stdout.readline() == "held\n"
        for attempt in (lambda: train(make_specs(), store=tmp_path), lambda: store.clear(tmp_path)):
            with pytest.raises(ValueError, match=f"in use by process {holder.pid} on {os.uname().nodename}"):
                attempt()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        begin = time.monotonic()
        train(make_specs(), store=tmp_path)
        assert time.monotonic() - begin < 5
    finally:
        holder.kill()
        holder.communicate()


def test_the_same_process_twice(tmp_path):
    train(make_specs(), store=tmp_path)
    with lock.RunLock(tmp_path / "lock"), pytest.raises(ValueError, match=f"in use by process {os.getpid()}"):
        train(make_specs(), store=tmp_path)
    train(make_specs(), store=tmp_path)


def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from ensemble.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1])):\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = python(code, tmp_path / "lock")
    child = int(parent.stdout.readline())
    try:
        parent.wait()
        train(make_specs(), store=tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


def sign(path, beats):
    path.write_bytes(json.dumps({"pid": 77, "host": "elsewhere", "beats": beats}).encode().ljust(200))


@pytest.mark.parametrize("seconds", [0.6, pytest.param(lock._DEAD_AFTER, marks=pytest.mark.slow)])
def test_a_dead_holder_on_another_machine(seconds, tmp_path, monkeypatch):
    assert lock._DEAD_AFTER <= 5
    monkeypatch.setattr(lock, "_DEAD_AFTER", seconds)
    sign(tmp_path / "lock", 41)
    begin = time.monotonic()
    train(make_specs(), store=tmp_path)
    assert seconds <= time.monotonic() - begin < seconds + 5
    assert_sound(tmp_path, len(make_specs()))


def test_a_living_holder_on_another_machine(tmp_path):
    sign(tmp_path / "lock", 1)
    end = threading.Event()

    def beat():
        count = 1
        while not end.wait(0.1):
            count += 1
            sign(tmp_path / "lock", count)

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with pytest.raises(ValueError, match="in use by process 77 on elsewhere"):
            train(make_specs(), store=tmp_path)
    finally:
        end.set()
        beating.join()


@pytest.mark.parametrize("left", [b"", b"\0" * 200, b"no json", b"[1, 2]", b'{"pid": 1}', b"\xff" * 300])
def test_any_content_of_the_lock_file(left, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_DEAD_AFTER", 0.1)
    (tmp_path / "lock").write_bytes(left)
    train(make_specs(), store=tmp_path)
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_lock_shows_that_its_holder_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT", 0.02)
    path = tmp_path / "lock"
    with lock.RunLock(path):
        seen, end = set(), time.monotonic() + 20
        while len(seen) < 3 and time.monotonic() < end:
            seen.add(json.loads(path.read_bytes())["beats"])
            time.sleep(0.02)
    assert len(seen) == 3


# ---- R12: what may change between two calls, and what may not ----


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 13}, "epochs 12, not 13"),
        ({"record": [4]}, "another record"),
        ({"snapshots": [5, 6]}, "another snapshots"),
        ({"engine": "dense"}, "engine auto, not dense"),
        ({"keep_networks": False}, "keep_networks True, not False"),
        ({"data": make_data(seed=1)}, "other data (data)"),
        ({"data": make_data(standardize=True)}, "other data (data)"),
        ({"specs": make_specs()[1:]}, "1 of its 24 models are not among the specs, the first with width 9, seed 0"),
        ({"specs": ensemble.grid(width=3)}, "24 of its 24 models"),
    ],
)
def test_another_run_is_refused_with_what_differs(change, words, tmp_path, trained):
    train(make_specs(), store=tmp_path)
    trained.clear()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(store.OtherRunError) as caught:
        train(**({"specs": make_specs()} | change), store=tmp_path)
    assert words in str(caught.value) and str(tmp_path) in str(caught.value)
    assert trained == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["relu-ensemble", "numpy", "numba"])
def test_another_version(name, tmp_path, monkeypatch, trained):
    """It reads what is finished, but does not go on: the last bits might differ within one run."""
    expected = content(train(make_specs(), store=tmp_path))
    versions = store._versions() | {name: "99.0"}
    monkeypatch.setattr(store, "_versions", lambda: versions)
    trained.clear()
    assert content(train(make_specs(), store=tmp_path)) == content(store.load_result(tmp_path)) == expected
    chunk_files(tmp_path)[0].unlink()
    for specs in (make_specs(), make_specs(3)):
        with pytest.raises(store.OtherRunError, match=f"was begun with {name} .*, this is 99.0"):
            train(specs, store=tmp_path)
    assert trained == []


def test_another_machine_is_noted(tmp_path, monkeypatch, capsys):
    train(make_specs(), store=tmp_path)
    monkeypatch.setattr(store, "_machine", lambda: {"architecture": "abacus", "processor": ""})
    train(make_specs(), store=tmp_path)
    assert capsys.readouterr().err == ""
    train(make_specs(3), store=tmp_path)
    assert "another kind of machine" in capsys.readouterr().err


def test_added_specs_reuse_what_is_there(tmp_path, trained):
    few, many = make_specs(2), make_specs(3)
    train(few, store=tmp_path)
    order = np.random.default_rng(1).permutation(len(many))
    trained.clear()
    assert content(train(many[order], store=tmp_path)) == part_of(None, many, order)
    assert sum(trained) == len(many) - len(few) + len(many)  # the second is without the store
    assert_sound(tmp_path, len(many))


# ---- long single models ----


def _dying_save(monkeypatch, after):
    """Let the process "die" once when a state has been saved `after` times; return the list of all saves."""
    save, saves, dead = Checkpoint.save, [], []

    def dying(self, arrays):
        save(self, arrays)
        saves.append((self.path.name, int(arrays["place"][0])))
        if len(saves) >= after and not dead:
            dead.append(True)
            raise DeadError

    monkeypatch.setattr(Checkpoint, "save", dying)
    return saves


@pytest.fixture
def many_saves(monkeypatch):
    """Save the state of every chunk before every piece of work."""
    monkeypatch.setattr(checkpoint, "SECONDS", -1.0)
    monkeypatch.setattr(engines, "CALL_SECONDS", 0.0)


@every_engine
@pytest.mark.parametrize("chunks", [1, 1000])
@pytest.mark.parametrize("after", [1, 4, 11])
def test_a_long_model_goes_on_from_its_state(engine, d, chunks, after, tmp_path, monkeypatch, many_saves):
    specs = ensemble.grid(width=[5, 3], optimizer=["adam", "momentum"], lr=0.02)
    specs += ensemble.grid(width=4, lr=[1e10, 0.01])  # one diverges
    options = {"engine": engine, "snapshots": [2, 5, EPOCHS], "threads": 1}
    monkeypatch.setattr(planning, "_CHUNKS_PER_RUN", chunks)
    with np.errstate(all="ignore"):
        expected = content(train(specs, make_data(d), **options))
        saves = _dying_save(monkeypatch, after)
        with pytest.raises(DeadError):
            train(specs, make_data(d), store=tmp_path, **options)
        left = {path.name for path in tmp_path.glob("states/*.npz")}
        reached = {name: place for name, place in saves if name in left}  # the last place of each
        assert left and set(reached) == left
        del saves[:]
        monkeypatch.setattr(checkpoint, "SECONDS", -1.0)
        assert content(train(specs, make_data(d), store=tmp_path, **options)) == expected
    first = dict(reversed(saves))
    assert {name: first[name] for name in reached} == reached  # where it stopped, not before
    assert list(tmp_path.glob("states/*.npz")) == []
    assert_sound(tmp_path, len(specs))


@every_engine
def test_a_damaged_state_starts_anew_with_a_note(engine, d, tmp_path, monkeypatch, many_saves, capsys):
    specs = ensemble.grid(width=5, optimizer="adam", lr=0.02)
    expected = content(train(specs, make_data(d), engine=engine))
    saves = _dying_save(monkeypatch, 6)
    with pytest.raises(DeadError):
        train(specs, make_data(d), engine=engine, store=tmp_path)
    (state,) = tmp_path.glob("states/*.npz")
    damaged = bytearray(state.read_bytes())
    damaged[damaged.index(b"\x93NUMPY") + 20] ^= 4
    state.write_bytes(damaged)
    assert str(state) in store.verify(tmp_path).problems[0]
    del saves[:]
    assert content(train(specs, make_data(d), engine=engine, store=tmp_path)) == expected
    assert saves[0][1] == 1
    note = capsys.readouterr().err
    assert str(state) in note and "trained from the start" in note
    assert_sound(tmp_path, 1)


@every_engine
@pytest.mark.parametrize("damage", ["shape", "missing", "kind", "place"])
def test_a_state_of_another_shape_starts_anew(engine, d, damage, tmp_path, monkeypatch, many_saves, capsys):
    """Its hash is right, but it is not what this model leaves."""
    specs = ensemble.grid(width=5, optimizer="adam", lr=0.02)
    expected = content(train(specs, make_data(d), engine=engine))
    _dying_save(monkeypatch, 6)
    with pytest.raises(DeadError):
        train(specs, make_data(d), engine=engine, store=tmp_path)
    (state,) = tmp_path.glob("states/*.npz")
    whole = archive.read(state, {"*": ("fibu", -1)})
    for name in whole:
        arrays = dict(whole)
        if damage == "shape":
            arrays[name] = np.zeros((*whole[name].shape, 2), whole[name].dtype)
        elif damage == "missing":
            del arrays[name]
        elif damage == "kind":
            arrays[name] = np.zeros(whole[name].shape, np.int16 if name == "train" else np.float32)
        elif name == "place":
            arrays[name] = np.array([-3])
        else:
            continue
        state.write_bytes(archive.dump(arrays))
        folder = tmp_path / f"copy of {name}"
        shutil.copytree(tmp_path, folder, ignore=shutil.ignore_patterns("copy of*"))
        assert content(train(specs, make_data(d), engine=engine, store=folder)) == expected, (name, damage)
        assert str(folder) in capsys.readouterr().err


def test_a_state_is_worth_saving_on_ctrl_c(monkeypatch, tmp_path, many_saves):
    """What the main thread gives up is saved if it is worth it."""
    monkeypatch.setattr(checkpoint, "SECONDS", 1e9)
    monkeypatch.setattr(engines, "_WORTH_SAVING", 0.0)
    specs, data = ensemble.grid(width=5), make_data()
    settings = make_settings(EPOCHS, None, None, "spline", True)
    place = Checkpoint(tmp_path / "state.npz", checkpoint.SECONDS)
    stop = threading.Event()
    pauses, pause = [], engines.Run.pause

    def stopping(self, number, more):
        pauses.append(number)
        if number == 4:
            stop.set()
        pause(self, number, more)

    monkeypatch.setattr(engines.Run, "pause", stopping)
    with pytest.raises(engines.CancelledError):
        engines.run_chunk(specs, data, settings, stop=stop, checkpoint=place)
    expected = engines.run_chunk(specs, data, settings)
    del pauses[:]
    rows = engines.run_chunk(specs, data, settings, checkpoint=replace(place))
    assert pauses[0] == 4
    np.testing.assert_array_equal(rows.train_loss, expected.train_loss)
    np.testing.assert_array_equal(rows.networks.parameters, expected.networks.parameters)


# ---- R13: files of past releases ----


def golden_run(folder=None):
    """Train the run in `tests/data/run-v1`; with a folder, write it there (see the end of this file)."""
    x = np.linspace(-2, 2, 15)
    data = {
        "plain": ensemble.Dataset(x, x - x**2 / 2, x[3:6] + 0.05, x[3:6]),
        "scaled": ensemble.Dataset(10 + 3 * x, 5 - 2 * x**2, standardize=True),
    }
    specs = ensemble.grid(width=[2, 3], optimizer=["gd", "adam"], lr=0.05, data=["plain", "scaled"])
    specs += ensemble.grid(width=3, lr=1e10, data="plain")
    return specs, ensemble.train(specs, data, epochs=20, record=[1, 7], snapshots=[7], progress=False, store=folder)


def test_the_run_of_the_first_release_loads(tmp_path):
    before = sorted(GOLDEN.rglob("*"))
    loaded, (specs, fresh) = store.load_result(GOLDEN), golden_run()
    assert loaded.specs == specs
    assert loaded.epochs.tolist() == [0, 1, 7, 20]
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(getattr(loaded, name), getattr(fresh, name), rtol=1e-9)
    assert loaded.diverged_at.tolist() == fresh.diverged_at.tolist() == [-1] * 8 + [3]
    for kept, new in ((loaded.networks, fresh.networks), (loaded.snapshots[7], fresh.snapshots[7])):
        for one, other in zip(list(kept)[:8], list(new)[:8], strict=True):
            for a, b in zip(naive.four(one), naive.four(other), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(one.predict([9.0, 11.0]), other.predict([9.0, 11.0]), rtol=1e-9)
    np.testing.assert_allclose(loaded.train_loss[:8, -1], GOLDEN_ERRORS, rtol=1e-9)
    assert len(chunk_files(GOLDEN)) >= 2
    found = store.verify(GOLDEN)
    assert (found.models, found.done, found.problems) == (9, 9, ())
    assert sorted(GOLDEN.rglob("*")) == before  # reading writes nothing


GOLDEN_ERRORS = [
    2.561074733390557,
    7.330871396177518,
    2.5296972877197006,
    6.327246221584232,
    0.5125642340186518,
    7.330897721816362,
    0.32040176411174554,
    6.186147691666271,
]


def test_the_run_of_the_first_release_is_gone_on_with(tmp_path, trained):
    folder = tmp_path / "run"
    shutil.copytree(GOLDEN, folder)
    _, result = golden_run(folder)
    assert trained == []
    assert content(result) == content(store.load_result(GOLDEN))
