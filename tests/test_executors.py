"""Pools whose workers die, and what a worker elsewhere keeps; test_identity.py has the bits that pools give."""

import multiprocessing
import os
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from stored import EPOCHS, content, make_data, make_specs, models_kept, train

import ensemble
from ensemble import store
from ensemble.engines import Checkpoint
from ensemble.training import running
from ensemble.training.request import make_settings

pytestmark = pytest.mark.jit_heavy


class Dying(ProcessPoolExecutor):
    """A pool whose only worker ends when a number of chunks has come back."""

    after = 4

    def submit(self, fn, /, *args, **kwargs):
        if not self.after:
            assert isinstance(super().submit(os._exit, 1).exception(), BrokenProcessPool)
        self.after -= 1
        return super().submit(fn, *args, **kwargs)


def test_a_worker_process_that_dies_ends_in_a_clear_error_and_the_store_keeps_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "WINDOW", 1)  # so that the chunks before are done and kept
    executor = Dying(1, mp_context=multiprocessing.get_context("spawn"))
    with executor, pytest.raises(BrokenProcessPool, match="BrokenProcessPool") as error:
        train(make_specs(), executor=executor, store=tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    kept = store.verify(tmp_path)
    assert 0 < kept.done < kept.models
    assert content(train(make_specs(), store=tmp_path)) == content(train(make_specs()))
    assert models_kept(tmp_path) == kept.models


class Last(Executor):
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
    planned = ensemble.plan(make_specs(), make_data(), epochs=EPOCHS, snapshots=[5])
    with pytest.raises(BrokenExecutor, match="finished chunks are kept"):
        train(make_specs(), executor=Last(3), store=tmp_path)
    assert len(list((tmp_path / "chunks").iterdir())) == min(running.WINDOW, len(planned.chunks)) - 1


def test_elsewhere_a_state_is_kept_only_where_the_folder_is_shared(tmp_path):
    specs, data = make_specs(), make_data()
    settings = make_settings(EPOCHS, None, None, True)
    (tmp_path / "there").mkdir()
    for folder in ("there", "not"):
        state = Checkpoint(tmp_path / folder / "state.npz", -1.0)  # save whenever it can be
        rows = running._run_elsewhere(specs, data, "spline", settings, None, state)
        assert np.array_equal(rows.losses["train"], train(specs, data).train_loss)
    assert not (tmp_path / "not").exists()
