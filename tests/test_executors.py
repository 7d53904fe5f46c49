import multiprocessing
import os
import signal
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from conftest import same

import ensemble
from ensemble import store
from ensemble.engines import Checkpoint
from ensemble.training import running as training
from ensemble.training.request import make_settings

pytestmark = pytest.mark.jit_heavy

EPOCHS = 20


def some_specs(seeds=3):
    return ensemble.grid(width=[1, 4, 19], seed=range(seeds), optimizer=["gd", "adam"], lr=0.05)


def small_data():
    x = np.linspace(-1, 1, 30)
    return ensemble.Dataset(x, np.sin(3 * x), x + 0.01, np.sin(3 * x), standardize=True)


def trained_alike(executor):
    arguments = {"epochs": EPOCHS, "snapshots": [3]}
    same(
        ensemble.train(some_specs(), small_data(), **arguments, executor=executor),
        ensemble.train(some_specs(), small_data(), **arguments),
    )


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_process_pools(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        trained_alike(executor)


def test_loky():
    loky = pytest.importorskip("loky", reason="loky is not installed")
    executor = loky.ProcessPoolExecutor(2)
    try:
        trained_alike(executor)
    finally:
        executor.shutdown()


def test_mpi():
    futures = pytest.importorskip("mpi4py.futures", reason="mpi4py, or MPI itself, is not installed")
    with futures.MPIPoolExecutor(1) as executor:
        trained_alike(executor)


class Dying(ProcessPoolExecutor):
    """A pool whose workers are killed when a number of chunks has come back."""

    after = 4

    def submit(self, fn, /, *args, **kwargs):
        if self.after:
            self.after -= 1
            return super().submit(fn, *args, **kwargs)
        for process in list(self._processes.values()):
            os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while not self._broken and time.monotonic() < deadline:
            time.sleep(0.01)
        return super().submit(fn, *args, **kwargs)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_worker_process_ends_in_a_clear_error_and_the_store_keeps_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_WINDOW", 1)  # so that the chunks before are done and kept
    executor = Dying(1, mp_context=multiprocessing.get_context("spawn"))
    with executor, pytest.raises(BrokenProcessPool, match="BrokenProcessPool") as error:
        ensemble.train(some_specs(), small_data(), epochs=EPOCHS, executor=executor, store=tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    kept = store.verify(tmp_path)
    assert 0 < kept.done < kept.models
    again = ensemble.train(some_specs(), small_data(), epochs=EPOCHS, store=tmp_path)
    same(again, ensemble.train(some_specs(), small_data(), epochs=EPOCHS))
    assert sum(len(np.load(path)["diverged_at"]) for path in (tmp_path / "chunks").iterdir()) == kept.models


class Last(training.Executor):
    """Runs at once; the chunk with this number fails."""

    def __init__(self, number):
        self.number = number

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.number -= 1
        if self.number == 0:
            future.set_exception(BrokenExecutor("gone"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_what_came_back_beside_an_error_is_kept(tmp_path):
    with pytest.raises(BrokenExecutor, match="finished chunks are kept"):
        ensemble.train(some_specs(), small_data(), epochs=EPOCHS, executor=Last(3), store=tmp_path)
    assert len(list((tmp_path / "chunks").iterdir())) == min(training._WINDOW, len(_chunks())) - 1


def _chunks():
    return ensemble.plan(some_specs(), small_data(), epochs=EPOCHS).chunks


def test_elsewhere_a_state_is_kept_only_where_the_folder_is_shared(tmp_path):
    specs, data = some_specs(), small_data()
    settings = make_settings(EPOCHS, None, None, "auto", True)
    (tmp_path / "there").mkdir()
    for folder in ("there", "not"):
        state = Checkpoint(tmp_path / folder / "state.npz", -1.0)  # save whenever it can be
        rows = training._run_elsewhere(specs, data, settings, None, state)
        assert np.array_equal(rows.train_loss, ensemble.train(specs, data, epochs=EPOCHS).train_loss)
    assert not (tmp_path / "not").exists()
