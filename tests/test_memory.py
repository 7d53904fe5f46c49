import subprocess

import numpy as np
import pytest

import ensemble
from ensemble import store
from ensemble.system import memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that writes files of a machine that tells no more than they do."""
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096}.__getitem__, raising=False)

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


MEMINFO = {"proc/meminfo": "MemTotal: 5 kB\nMemAvailable:    7000 kB\n"}
V2 = {
    "proc/self/cgroup": "0::/slurm/job\n",
    "sys/fs/cgroup/slurm/memory.max": "3000000\n", "sys/fs/cgroup/slurm/memory.current": "1000000\n",
    "sys/fs/cgroup/slurm/job/memory.max": "max\n", "sys/fs/cgroup/slurm/job/memory.current": "900\n",
}  # fmt: skip
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/a:b\n",  # a container sees its own group as the root
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "5000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "4500000\n",
    "sys/fs/cgroup/memory/memory.stat": "cache 1\ninactive_file 1\ntotal_inactive_file 250000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MEMINFO, 7_168_000),
        (MEMINFO | V2, 2_000_000),
        (MEMINFO | V1, 750_000),
        (MEMINFO | V2 | {"sys/fs/cgroup/slurm/memory.max": "9000000000"}, 7_168_000),
        (V2 | {"sys/fs/cgroup/slurm/memory.current": "3000001"}, 0),
        (MEMINFO | V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, 7_168_000),
        (MEMINFO | V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": "no number"}, 7_168_000),
    ],
)
def test_free_memory_is_the_least_of_what_the_machine_and_its_limits_leave(files, expected, machine):
    machine(files)
    assert memory.available() == expected


def test_free_memory_of_other_systems(machine, monkeypatch):
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_AVPHYS_PAGES": 3}.__getitem__, raising=False)
    assert memory.available() == 3 * 4096


VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                            500.
Pages inactive:                           20.
Pages speculative:                         3.
Pages purgeable:                           1.
"""


def test_free_memory_of_a_mac(machine, monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    said = subprocess.CompletedProcess([], 0, VM_STAT)
    monkeypatch.setattr(memory.subprocess, "run", lambda *_, **__: said)
    assert memory.available() == 34 * 16384

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(memory.subprocess, "run", missing)
    assert memory.available() is None


def test_free_memory_of_this_machine():
    found = memory.available()
    assert found is None or found > 2**20


def test_a_small_request_does_not_ask_the_system(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: pytest.fail("asked"))
    specs, data = ensemble.grid(width=4, seed=range(8)), ensemble.sample("reciprocal_sine")
    assert ensemble.train(specs, data, epochs=2, record=range(2)).status.tolist() == ["ok"] * 8
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(ValueError, match="a thing needs about 5 MB of memory, but 1 MB are available; be modest"):
        memory.require(5_000_000, "a thing", "be modest")


def test_in_words():
    assert [memory.in_words(n) for n in (0, 12_345, 2_400_000, 9.9e9, 1e10, 1.234e15)] == [
        "0 kB", "12 kB", "2 MB", "9,900 MB", "10 GB", "1,234,000 GB",
    ]  # fmt: skip


@pytest.mark.jit_heavy
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
