import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import same

import ensemble
from ensemble import distributed as clusters
from ensemble.cli import run as cli
from ensemble.store import run as store

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
pytestmark = [
    pytest.mark.jit_heavy,
    pytest.mark.jit_heavy,
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
    # Dask leaves sockets and event loops to the garbage collector where a scheduler dies.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::distributed.versions.VersionMismatchWarning"),
]
ROOT = Path(__file__).resolve().parents[1]
TINY = ["--widths", "2", "4", "--seeds", "2", "--lrs", "0.1", "--epochs", "10", "--optimizers", "gd"]


class Cluster:
    """A real scheduler and workers, each a process."""

    def __init__(self, folder, workers=2):
        self.folder, self.processes = folder, []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", file)
        wait_until(lambda: file.exists() and "tcp://" in file.read_text())
        self.address = "tcp://" + file.read_text().split("tcp://")[1].split('"')[0]
        self.workers = [self.add_worker() for _ in range(workers)]

    def _start(self, kind, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *map(str, arguments)]
        with open(self.folder / f"{kind}.log", "ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def add_worker(self):
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny")

    def client(self):
        return distributed.Client(self.address, timeout=10, set_as_default=False)

    def stop(self):
        for process in self.processes[::-1]:
            process.kill()
            process.wait()


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    with cluster.client() as client:
        client.wait_for_workers(2, timeout=60)
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(tmp_path_factory):
    """A cluster of one's own, to break."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), workers=1)
    yield cluster
    cluster.stop()


def small_data(name="data"):
    x = np.linspace(-1, 1, 60)
    return ensemble.Dataset(x, np.sin(3 * x), x + 0.01, np.sin(3 * x), standardize=name == "b", name=name)


def some_specs(seeds=4):
    return ensemble.grid(width=[1, 4, 19], seed=range(seeds), optimizer=["gd", "adam"], lr=0.05, data=["a", "b"])


def kept_models(folder):
    return sum(len(np.load(path)["diverged_at"]) for path in (folder / "chunks").glob("[!.]*.npz"))


def test_a_cluster_gives_the_same_bits_as_threads(two_workers, tmp_path):
    data = {name: small_data(name) for name in "ab"}
    with two_workers.client() as client, clusters.executor(client) as executor:
        result = ensemble.train(some_specs(), data, epochs=50, snapshots=[7], executor=executor, store=tmp_path)
        assert len(executor._sent) == 2  # each dataset once
        assert executor.window >= 64
    expected = ensemble.train(some_specs(), data, epochs=50, snapshots=[7])
    same(result, expected)
    assert np.array_equal(result.snapshots[7].parameters, expected.snapshots[7].parameters)
    same(store.load_result(tmp_path), expected)
    assert kept_models(tmp_path) == len(some_specs())


def test_networks_to_go_on_from_travel(two_workers):
    specs, data = some_specs()[:9], {name: small_data(name) for name in "ab"}
    start = ensemble.train(specs, data, epochs=5).networks
    with two_workers.client() as client, clusters.executor(client) as executor:
        same(
            ensemble.train(specs, data, epochs=5, initial=start, executor=executor),
            ensemble.train(specs, data, epochs=5, initial=start),
        )


def test_an_error_of_a_task_comes_back_as_it_is(two_workers):
    with two_workers.client() as client, clusters.executor(client) as executor:
        with pytest.raises(ValueError, match="invalid literal"):
            executor.submit(int, "one").result(timeout=60)
        assert executor.submit(int, "1").result(timeout=60) == 1
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(int, "1")


def test_a_task_that_is_cancelled_leaves_the_cluster(two_workers):
    with two_workers.client() as client, clusters.executor(client) as executor:
        futures = [executor.submit(time.sleep, 0.5) for _ in range(30)]
        assert [future.cancel() for future in futures[5:]] == [True] * 25
        assert executor.submit(int, "1").result(timeout=10) == 1


def long_run(folder, executor):
    """Train about five seconds of one core, in 32 chunks."""
    specs = ensemble.grid(width=[100], seed=range(160), lr=0.05, data="a")
    return ensemble.train(specs, {"a": small_data("a")}, epochs=20_000, executor=executor, store=folder)


def after_some_chunks(folder, action):
    """Do something while a run is under way."""

    def watch():
        wait_until(lambda: len(list((folder / "chunks").glob("[!.]*.npz"))) >= 3)
        action()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_late_worker_takes_part_and_a_killed_one_loses_nothing(cluster, tmp_path):
    done_before = []

    def change():
        cluster.add_worker()
        with cluster.client() as other:
            other.wait_for_workers(2, timeout=60)
        cluster.workers[0].send_signal(signal.SIGKILL)
        done_before.append(kept_models(tmp_path))

    with cluster.client() as client:
        client.wait_for_workers(1, timeout=60)
        with clusters.executor(client) as executor:
            watcher = after_some_chunks(tmp_path, change)
            result = long_run(tmp_path, executor)
            watcher.join()
    assert done_before[0] < len(result)  # the late worker did the rest
    assert kept_models(tmp_path) == len(result)
    alone = ensemble.train(result.specs[::40], {"a": small_data("a")}, epochs=20_000)
    assert np.array_equal(result.train_loss[::40], alone.train_loss)


def test_a_lost_scheduler_ends_in_one_line_and_the_run_goes_on_later(cluster, tmp_path):
    with cluster.client() as client:
        client.wait_for_workers(1, timeout=60)
    command = [
        sys.executable, str(ROOT / "scripts" / "width_study.py"), "--widths", "100", "--seeds", "20", "--lrs", "0.05",
        "0.1", "--optimizers", "gd", "--epochs", "8000", "--out", str(tmp_path), "--shard", "1/1",
    ]  # fmt: skip
    process = subprocess.Popen(
        [*command, "--scheduler", cluster.address, "--quiet"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    watcher = after_some_chunks(tmp_path / "run-1-of-1", cluster.scheduler.kill)
    _, errors = process.communicate(timeout=120)
    watcher.join()
    assert process.returncode == cli.FAILED
    assert errors.count("\n") == 1, errors
    assert "the scheduler at tcp://" in errors
    assert "is lost" in errors
    before = store.verify(tmp_path / "run-1-of-1")
    assert 0 < before.done < before.models
    assert before.problems == ()
    done = subprocess.run([*command, "--quiet"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept_models(tmp_path / "run-1-of-1") == before.models


def test_a_worker_of_another_version_is_named(two_workers, monkeypatch):
    versions = clusters._versions()
    with two_workers.client() as client:
        monkeypatch.setattr(clusters, "_versions", lambda: versions | {"numba": "0.1"})
        start = time.monotonic()
        with pytest.raises(clusters.OtherVersionError, match=r"worker tcp://.* has numba .*, this is 0.1"):
            clusters.executor(client)
        assert time.monotonic() - start < 10
    call = clusters._Call(int, ("1",), {})
    with pytest.raises(clusters.OtherVersionError, match="a worker has numba"):
        clusters._execute(call, versions)  # as on a worker that came later


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1"])
def test_what_is_no_address(address, tmp_path, capsys):
    assert cli.main("width_study", [*TINY, "--out", str(tmp_path), "--scheduler", address]) == cli.USAGE
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert f"--scheduler '{address}' is no address" in errors


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9"])
def test_no_scheduler_there(address, tmp_path, capsys):
    start = time.monotonic()
    status = cli.main("width_study", [*TINY, "--out", str(tmp_path), "--scheduler", address])
    assert time.monotonic() - start < 10
    assert status == cli.FAILED
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert f"no scheduler answers at '{address}'" in errors


def test_something_that_never_answers(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, str(ROOT / "scripts" / "width_study.py"), *TINY, "--scheduler", address]
        start = time.monotonic()
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert time.monotonic() - start < 15  # ten, and the start of Python
    assert done.returncode == cli.FAILED
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_scheduler_and_threads_exclude_each_other(capsys):
    assert cli.main("width_study", [*TINY, "--scheduler", "local", "--threads", "2"]) == cli.USAGE
    assert "exclude each other" in capsys.readouterr().err


def test_without_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main("width_study", [*TINY, "--out", str(tmp_path), "--scheduler", "local"]) == cli.USAGE
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "pip install 'relu-ensemble[dask]'" in errors


def test_a_local_cluster_as_a_script_starts_it(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "width_study.py"), *TINY, "--scheduler", "local", "--shard", "1/2"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("dashboard at http://")
    assert done.stderr.count("\n") == 1
    found = store.verify(tmp_path / "results" / "width_study" / "run-1-of-2")
    assert found.done == found.models > 0
