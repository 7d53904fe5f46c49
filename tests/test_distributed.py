import importlib
import operator
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path

import numpy as np
import pytest
from cluster import Cluster, leftovers_allowed, wait_until
from conftest import same
from stored import models_kept

import ensemble
from ensemble import cli, store
from ensemble import distributed as clusters

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
pytestmark = [
    pytest.mark.jit_heavy,
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
    *leftovers_allowed,
]
ROOT = Path(__file__).resolve().parents[1]
TINY = ["--widths", "2", "4", "--seeds", "2", "--lrs", "0.1", "--epochs", "10", "--optimizers", "gd"]


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


IMPATIENT = "from ensemble import cli, distributed; distributed._CONNECT_SECONDS = 1.0; cli.script('width_study')"


def study(scheduler, folder, *arguments):
    """Run the width study as a process."""
    command = [sys.executable, str(ROOT / "scripts" / "width_study.py"), *TINY, "--scheduler", scheduler, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


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
    assert models_kept(tmp_path) == len(some_specs())


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
        done_before.append(models_kept(tmp_path))

    with cluster.client() as client:
        client.wait_for_workers(1, timeout=60)
        with clusters.executor(client) as executor:
            watcher = after_some_chunks(tmp_path, change)
            result = long_run(tmp_path, executor)
            watcher.join()
    assert done_before[0] < len(result)  # the late worker did the rest
    assert models_kept(tmp_path) == len(result)
    alone = ensemble.train(result.specs[::40], {"a": small_data("a")}, epochs=20_000)
    assert np.array_equal(result.train_loss[::40], alone.train_loss)


def test_a_lost_scheduler_ends_in_one_line_and_the_run_goes_on_later(cluster, tmp_path, capfd):
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
    capfd.readouterr()
    assert cli.main("width_study", [*command[2:], "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    assert models_kept(tmp_path / "run-1-of-1") == before.models


class Answer:
    """Says one thing here; travels as something else that is called on the worker."""

    def __init__(self, here, *there):
        self.here, self.there = here, there

    def __call__(self):
        return self.here

    def __reduce__(self):
        return self.there


def test_a_worker_of_another_version_is_named(two_workers, monkeypatch):
    here = clusters._decides_bits()
    there = Answer(here | {"numba": "0.1"}, operator.attrgetter("_decides_bits"), (clusters,))
    monkeypatch.setattr(clusters, "_decides_bits", there)
    named = pytest.raises(clusters.OtherWorkerError, match=r"worker tcp://.* has numba .*, this is 0.1")
    with two_workers.client() as client, named:
        clusters.executor(client)


def test_a_worker_that_lacks_the_package_is_named(two_workers, monkeypatch):
    here = clusters._decides_bits()
    monkeypatch.setattr(clusters, "_decides_bits", Answer(here, importlib.import_module, ("not_there",)))
    named = pytest.raises(clusters.OtherWorkerError, match=r"worker tcp://.* cannot run relu-ensemble .*not_there")
    with two_workers.client() as client, named:
        clusters.executor(client)


def test_a_worker_on_another_kind_of_cpu_is_refused_from_the_start_and_when_it_joins_later(cluster):
    with cluster.client() as client:
        client.wait_for_workers(1, timeout=60)
        with clusters.executor(client) as executor:
            assert executor.submit(int, "1").result(timeout=60) == 1
            cluster.add_worker(NUMBA_CPU_NAME="generic")
            client.wait_for_workers(2, timeout=60)
            cluster.workers[0].kill()
            other = r"worker tcp://\S+ compiles for the CPU generic, this is .* NUMBA_CPU_NAME=generic"
            with pytest.raises(clusters.OtherWorkerError, match=other):
                executor.submit(int, "1").result(timeout=60)
        with pytest.raises(clusters.OtherWorkerError, match=other):
            clusters.executor(client)


def test_a_chunk_that_kills_every_worker_ends_in_one_line(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), workers=1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    try:
        with cluster.client() as client:
            client.wait_for_workers(1, timeout=60)
            ended = pytest.raises(BrokenExecutor, match="every worker that took up the chunk .* died")
            with ended, clusters.executor(client) as executor:
                executor.submit(os._exit, 1).result(timeout=60)
    finally:
        cluster.stop()


def test_neither_workers_that_never_answer_nor_a_result_of_a_lost_scheduler_is_waited_for(cluster, monkeypatch):
    with cluster.client() as client:
        client.wait_for_workers(1, timeout=60)
        cluster.workers[0].send_signal(signal.SIGSTOP)
        with monkeypatch.context() as impatient:
            impatient.setattr(clusters, "_ANSWER_SECONDS", 0.5)
            with pytest.raises(clusters.SchedulerLostError, match="the workers of tcp://.* do not answer"):
                clusters.executor(client)
        cluster.workers[0].send_signal(signal.SIGCONT)
        with clusters.executor(client) as executor:
            future = executor.submit(np.ones, 60_000_000)
            (theirs,) = executor._pool._futures
            wait_until(lambda: theirs.status == "finished")
            time.sleep(0.02)  # half a gigabyte takes longer
            cluster.scheduler.kill()
            with pytest.raises((clusters.SchedulerLostError, CancelledError)):
                future.result(timeout=30)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1"])
def test_what_is_no_address(address, tmp_path, capsys):
    assert cli.main("width_study", [*TINY, "--out", str(tmp_path), "--scheduler", address]) == cli.USAGE
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert f"--scheduler '{address}' is no address" in errors


@pytest.mark.parametrize("address", ["foo://a:1", "tls://127.0.0.1:9", "inproc://a:1"])
def test_what_is_no_address_of_a_scheduler_ends_in_one_line_without_a_traceback(address, tmp_path, capfd):
    assert cli.main("width_study", [*TINY, "--out", str(tmp_path), "--scheduler", address]) == cli.USAGE
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1, errors
    assert f"'{address}' is no address of a scheduler" in errors


def test_the_address_of_a_worker_is_none_of_a_scheduler_either_and_nothing_is_said_when_the_process_ends(
    two_workers, tmp_path
):
    with two_workers.client() as client:
        address = next(iter(client.nthreads()))
    done = study(address, tmp_path)
    assert done.returncode == cli.USAGE
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"'{address}' is no address of a scheduler" in done.stderr


@pytest.mark.parametrize("listens", [False, True], ids=["nothing listens", "something listens and never answers"])
def test_where_no_scheduler_answers_the_command_ends_in_one_line(listens, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-c", IMPATIENT, *TINY, "--scheduler", address]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == cli.FAILED
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no scheduler answers at 'tcp://127.0.0.1:" in done.stderr


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
    done = study("local", tmp_path, "--shard", "1/2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("dashboard at http://")
    assert done.stderr.count("\n") == 1
    found = store.verify(tmp_path / "results" / "width_study" / "run-1-of-2")
    assert found.done == found.models > 0
