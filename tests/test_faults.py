"""What ends or hinders a stored run: kills, signals, full disks, bad neighbours, a hundred thousand models.

The kills are real ones, of children forked by a process of its own that has its kernels loaded (`python(...)`).
"""

import errno
import gc
import json
import os
import random
import signal
import time
from pathlib import Path

import naive
import numpy as np
import pytest
from stored import assert_sound, chunk_files, content, make_data, models_kept, python, train

import ensemble
from ensemble import store
from ensemble.engines import run_chunk
from ensemble.training import planning
from ensemble.training import running as training

pytestmark = pytest.mark.jit_heavy
slow = pytest.mark.slow


# ---- R1: SIGKILL ----

KILL_CHUNKS = 16
KILL_EPOCHS = 1500
HALF = 0  # epochs that are trained before, in the same folder, where going on is killed
LABELS = False  # whether what is killed learns labels
PAUSE = 0.02  # seconds before each chunk, so that it takes longer than its writing, as in runs worth keeping


def kill_specs():
    """Return 32 models, half of them in batches."""
    return ensemble.grid(width=[6, 8], optimizer=["gd", "adam"], lr=[0.01, 0.02], seed=range(2), batch_size=[0, 9])


def kill_train(folder=None, log=None):
    """Train what is killed; `log` gets one byte per model that is begun."""

    def logged(specs, *rest):
        if log is not None:
            handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            written(handle, b"." * len(specs))
            os.close(handle)
        time.sleep(PAUSE)
        return run_chunk(specs, *rest)

    training.run_chunk, planning.CHUNKS_PER_RUN, planning.LEAST_CHUNK_SECONDS = logged, KILL_CHUNKS, 0.0
    options = {"snapshots": [50], "store": folder, "threads": 2, "keep_state": bool(HALF)}
    options |= {"data": make_data("labels"), "loss": "cross_entropy"} if LABELS else {"data": make_data()}
    if HALF and folder is not None:
        train(kill_specs(), epochs=HALF, **options)
    return train(kill_specs(), epochs=KILL_EPOCHS, **options)


written = os.write  # not the one that kills


def fork(folder, log, before=lambda: None):
    """Start a child that trains and leaves what it found in `log.json`; return its pid."""
    child = os.fork()
    if child:
        return child
    try:
        before()
        begin = time.monotonic()
        found = content(kill_train(folder, log))
        Path(f"{log}.json").write_text(json.dumps([time.monotonic() - begin, found]))
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(3)


def finish(folder, log):
    """Run to the end; return the seconds, what came out, and how many models were begun in all, kills included."""
    status = os.waitpid(fork(folder, log), 0)[1]
    assert status == 0, status
    seconds, found = json.loads(Path(f"{log}.json").read_text())
    return seconds, found, Path(log).stat().st_size


def judge(folder, log, expected):
    """Return how far a run after a kill is from what it should be: (differences, models begun, seconds)."""
    seconds, found, begun = finish(folder, log)
    if HALF:
        assert store.verify(folder).problems == () and models_kept(folder) == 2 * len(kill_specs())
    else:
        assert_sound(folder, len(kill_specs()))
    return int(found != expected) + int(content(store.load_result(folder)) != expected), begun, seconds


def die_at_instants(base, kills, seed):
    """Kill runs at random instants, each from one to three times, and go on to the end; print what was found."""
    base, draw = Path(base), random.Random(seed)
    kill_train()  # compiled before anything is forked
    seconds, expected, models = finish(base / "whole", base / "whole.log")
    differences, most, longest, done = 0, 0.0, 0.0, 0
    while done < kills:
        folder, log = base / f"run {done}", base / f"{done}.log"
        times = min(draw.choice([1, 1, 2, 3]), kills - done)
        for _ in range(times):
            child = fork(folder, log)
            time.sleep(draw.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        done += times
        wrong, begun, took = judge(folder, log, expected)
        differences += wrong
        # Each kill loses what was under way in two threads, or finished and not yet written.
        most, longest = max(most, (begun - models) / models / times), max(longest, took - seconds)
    print(json.dumps({"kills": done, "differences": differences, "lost": most, "late": longest}))


def die_at_points(base, step, seed):
    """Kill a run before, in the middle of and after its n-th write, fsync or rename; print what was found."""
    global KILL_EPOCHS, PAUSE
    KILL_EPOCHS, PAUSE = 500, 0.0  # the steps are counted, so that a run may be as short as it gets
    base, draw = Path(base), random.Random(seed)
    straight = content(kill_train())
    _, expected, models = finish(base / "whole", base / "whole.log")
    assert expected == straight
    differences, most, n, points = 0, 0.0, draw.randrange(step), 0
    while True:
        folder, log = base / f"run {n}", base / f"{n}.log"
        child = fork(folder, log, lambda: die_at(n // 2, n % 2))  # noqa: B023 (called at once, in the child)
        if os.waitpid(child, 0)[1] == 0:  # it has no n-th point
            break
        points += 1
        wrong, begun, _ = judge(folder, log, expected)
        differences, most = differences + wrong, max(most, begun / models)
        n += step
    print(json.dumps({"kills": points, "differences": differences, "compute": most}))


def die_at(n, after):
    """Let the n-th call of os.write, os.fsync or os.replace kill: before it (a write: in its middle) or after it."""
    calls = [0]

    def deadly(name):
        function = getattr(os, name)

        def call(*arguments):
            calls[0] += 1
            if calls[0] != n + 1:
                return function(*arguments)
            if after:
                function(*arguments)
            elif name == "write":
                function(arguments[0], arguments[1][: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, name, call)

    for name in ("write", "fsync", "replace"):
        deadly(name)


def campaign(call, timeout=590):
    process = python(f"import test_faults; test_faults.{call}")
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, out + err
    print(call, out)
    return json.loads(out.splitlines()[-1])


# 200 in all, in four parts: each ends in time on a machine with a slow disk.
@pytest.mark.parametrize(("kills", "seed"), [(8, 0), *(pytest.param(50, seed, marks=slow) for seed in range(1, 5))])
def test_killed_at_random_instants(kills, seed, tmp_path):
    found = campaign(f"die_at_instants({str(tmp_path)!r}, {kills}, {seed})")
    assert (found["kills"], found["differences"]) == (kills, 0)
    assert found["lost"] <= 0.5
    assert found["late"] < 5  # it waits for no lock


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=slow)])
def test_killed_at_every_step_of_writing(step, tmp_path):
    found = campaign(f"die_at_points({str(tmp_path)!r}, {step}, seed=2)")
    assert found["kills"] * step > 2 * 4 * KILL_CHUNKS  # four points a chunk, each before and after
    assert found["differences"] == 0
    assert found["compute"] <= 1.5


# ---- R20: the same while a run folder is gone on with ----


@pytest.mark.parametrize("step", [41, pytest.param(3, marks=slow)])
def test_killed_at_every_step_of_going_on(step, tmp_path):
    found = campaign(
        f"HALF, test_faults.LABELS = 200, True; test_faults.die_at_points({str(tmp_path)!r}, {step}, seed=3)"
    )
    assert found["kills"] * step > 2 * 2 * 4 * KILL_CHUNKS
    assert found["differences"] == 0
    assert found["compute"] <= 1.5


# ---- R2: SIGINT to a program that uses the library (test_scripts.py has the scripts) ----


def long_run(folder):
    """Train for some ten seconds."""
    specs = ensemble.grid(width=[100, 200], lr=0.001, seed=range(20))
    return train(specs, make_data(), epochs=100_000, store=folder)


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    process = python("import test_faults, sys; print('go', flush=True); test_faults.long_run(sys.argv[1])", tmp_path)
    assert process.stdout.readline() == "go\n"
    end = time.monotonic() + 120
    while len(chunk_files(tmp_path)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    took = time.monotonic() - begin
    print(f"ended {took:.2f} s after SIGINT")
    assert process.returncode == -signal.SIGINT, err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert took < 5  # 1 s is the promise; this machine may be busy
    found = store.verify(tmp_path)
    assert 0 < found.done < found.models and found.problems == ()
    assert models_kept(tmp_path) == found.done


# ---- R3: a disk that fails ----


class Disk:
    """Lets the n-th write, fsync or rename fail, and with `stays` all later ones."""

    def __init__(self, monkeypatch, n, stays=False):
        self.calls, self.n, self.stays = 0, n, stays
        errors = {"write": errno.ENOSPC, "fsync": errno.EIO, "replace": errno.EACCES}
        for name, number in errors.items():
            monkeypatch.setattr(os, name, self._failing(getattr(os, name), number))

    def _failing(self, function, number):
        def call(*arguments):
            self.calls += 1
            if self.calls == self.n or (self.stays and self.calls > self.n):
                raise OSError(number, os.strerror(number))
            return function(*arguments)

        return call


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=slow)])
@pytest.mark.parametrize("stays", [False, True])
def test_a_disk_that_fails_at_every_step(step, stays, tmp_path, monkeypatch):
    specs, data = ensemble.grid(width=[4, 6], seed=range(8)), make_data()
    expected, n, failures = content(train(specs, data)), 1, 0
    while True:
        folder = tmp_path / f"{n}"
        with monkeypatch.context() as patch:
            disk = Disk(patch, n, stays)
            try:
                train(specs, data, store=folder)
            except OSError as error:
                assert Path(error.filename).is_relative_to(folder), n
                assert "cannot be written" in str(error), n
            if disk.calls < n:
                break
        failures += 1
        assert list(folder.rglob("*.tmp")) == [], n
        if (folder / "manifest.json").exists():
            found = store.verify(folder)
            assert found.problems == () and found.done == models_kept(folder), n
        else:
            assert chunk_files(folder) == [], n
        assert content(train(specs, data, store=folder)) == expected, n
        assert_sound(folder, len(specs))
        n += step
    assert failures * step >= 4 * len(chunk_files(folder))


@pytest.mark.parametrize("name", ["open", "mkdir"])
def test_a_folder_that_may_not_be_written(name, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(arguments[0]))

    monkeypatch.setattr(os, name, refused)
    with pytest.raises(OSError, match="cannot be written: Permission denied") as caught:
        train(ensemble.grid(width=4), store=tmp_path / "run")
    assert Path(caught.value.filename).is_relative_to(tmp_path)


def test_a_state_that_cannot_be_saved(tmp_path, monkeypatch):
    monkeypatch.setattr("ensemble.engines.checkpoint.SECONDS", -1.0)
    monkeypatch.setattr("ensemble.engines.compiled.CALL_SECONDS", 0.0)
    specs = ensemble.grid(width=5, optimizer="adam", lr=0.02)
    expected = content(train(specs))
    for n in range(10, 26):  # all of a state's steps, twice and more
        with monkeypatch.context() as patch:
            Disk(patch, n)
            with pytest.raises(OSError, match="cannot be written") as caught:
                train(specs, store=tmp_path)
        assert "states" in caught.value.filename
        assert content(train(specs, store=tmp_path)) == expected
        store.clear(tmp_path)


# ---- R6: a bad neighbour ----


@pytest.mark.parametrize("n", [20, pytest.param(1000, marks=slow)])
@pytest.mark.parametrize(("engine", "d"), [("spline", 1), ("dense", 2), ("numpy", 2)])
def test_one_wild_model_among_many(n, engine, d, tmp_path):
    draw = np.random.default_rng(n)
    specs = ensemble.Specs(
        width=draw.integers(4, 17, n), seed=np.arange(n), lr=draw.uniform(1e-3, 0.03, n),
        optimizer=draw.choice(["gd", "adam", "momentum"], n),
    )  # fmt: skip
    data = make_data(d)
    alone = train(specs, data, engine=engine)
    wild = ensemble.grid(width=8, lr=1e10, seed=1)
    for at in (0, n // 2, n):
        batch = specs[:at] + wild + specs[at:]
        result = train(batch, data, engine=engine, store=tmp_path / str(at))
        others = np.delete(np.arange(n + 1), at)
        assert result.status[at] == "diverged"
        assert 1 <= result.diverged_at[at] <= 12
        assert (result.status[others] == "ok").all()
        for name in ("train_loss", "test_loss", "val_loss", "diverged_at"):
            assert getattr(result, name)[others].tobytes() == getattr(alone, name).tobytes()
        for kept, networks in ((result.networks, alone.networks), (result.snapshots[5], alone.snapshots[5])):
            same = [
                all(a.tobytes() == b.tobytes() for a, b in zip(naive.four(kept[i]), naive.four(network), strict=True))
                for i, network in zip(others.tolist(), networks, strict=True)
            ]
            assert sum(same) == n


# ---- R14: nothing grows ----


def resident():
    """Return the memory that this process takes, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def train_in_rounds(folder, rounds, models):
    """Train fresh models in every round, and print memory and open files after each."""
    data, found = make_data(), []
    for number in range(rounds):
        specs = ensemble.grid(width=8, lr=0.01, seed=range(number * models, (number + 1) * models))
        options = {"epochs": 20, "snapshots": None, "keep_networks": False, "store": folder}
        errors = train(specs, data, **options).train_loss
        assert np.isfinite(errors).all()
        assert store.verify(folder).done == models
        store.clear(folder)
        gc.collect()
        found.append((resident(), len(os.listdir("/proc/self/fd"))))
    print(json.dumps(found))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(("rounds", "models"), [(8, 200), pytest.param(20, 5000, marks=slow)])
def test_memory_and_open_files_stay_constant(rounds, models, tmp_path):
    found = np.array(campaign(f"train_in_rounds({str(tmp_path)!r}, {rounds}, {models})"))
    memory, handles = found[rounds // 4 :].T  # after the first rounds, in which all is loaded
    slope = np.polyfit(np.arange(len(memory)) * models, memory, 1)[0]
    print(f"{slope:.1f} bytes a model, {memory.min() / 1e6:.1f} to {memory.max() / 1e6:.1f} MB, {handles[-1]} handles")
    assert len(set(handles.tolist())) == 1
    assert memory.max() - memory.min() < 8e6
    assert slope * len(memory) * models < 4e6
