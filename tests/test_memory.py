import numpy as np
import pytest

import ensemble
from ensemble.store import run as store
from ensemble.system import memory


def test_available(monkeypatch):
    found = memory.available()
    assert found is None or found > 2**20

    def unreadable(self):
        raise OSError

    monkeypatch.setattr(memory.Path, "read_text", unreadable)
    assert memory.available() is None
    monkeypatch.setattr(memory.Path, "read_text", lambda self: "MemTotal: 5 kB\nMemAvailable:    7 kB\n")
    assert memory.available() == 7 * 1024
    monkeypatch.setattr(memory.Path, "read_text", lambda self: "")
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_AVPHYS_PAGES": 3}.get, raising=False)
    assert memory.available() == 3 * 4096


def test_in_words():
    assert [memory.in_words(n) for n in (0, 2_400_000, 9.9e9, 1e10, 1.234e15)] == [
        "0 MB", "2 MB", "9,900 MB", "10 GB", "1,234,000 GB",
    ]  # fmt: skip


def test_a_stored_run_that_repeats_one_model_too_often(tmp_path, monkeypatch):
    """A model is stored once however often it is asked for: the files' size does not bound what loading them takes."""
    specs = ensemble.grid(width=1000, seed=0)
    many = specs[np.zeros(500, dtype=int)]
    data = ensemble.sample("reciprocal_sine")
    ensemble.train(many, data, epochs=1, store=tmp_path, progress=False)
    monkeypatch.setattr(memory, "available", lambda: 10**7)
    with pytest.raises(ValueError, match="a result of 500 models needs about 12 MB of memory, but 10 MB are available"):
        store.load_result(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: 10**8)
    assert len(store.load_result(tmp_path)) == 500
