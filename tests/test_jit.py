"""The cache of compiled kernels, on a small package that holds a copy of `kernels/jit.py`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import JIT_DISABLED

from ensemble.kernels import jit

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="there is no cache without compiling (NUMBA_DISABLE_JIT)")

CALLER = """
from small.jit import jit
from small.helper import helper

@jit
def caller(x):
    return helper(x) + 1
"""
HELPER = """
from small.jit import jit

@jit
def helper(x):
    return {factor} * x
"""
RUN = "from small.caller import caller; print(caller(10), sum(caller.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    shutil.copy(jit.__file__, folder / "jit.py")
    (folder / "__init__.py").write_text("")
    (folder / "caller.py").write_text(CALLER)
    (folder / "helper.py").write_text(HELPER.format(factor=2))
    return folder


def run(package, wait=True, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN],
        cwd=package.parent,
        env={**kept, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if not wait:
        return process
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    value, hits = out.split()
    return int(value), int(hits), err


def test_an_edited_helper_in_another_file_is_noticed(package):
    assert run(package) == (21, 0, "")
    assert run(package) == (21, 1, "")
    times = (package / "caller.py").stat()
    (package / "helper.py").write_text(HELPER.format(factor=3))
    assert run(package) == (31, 0, "")
    assert run(package) == (31, 1, "")
    assert (package / "caller.py").stat().st_mtime_ns == times.st_mtime_ns


def test_bounds_checks_have_compiled_kernels_of_their_own(package):
    assert run(package)[1] == 0
    assert run(package, NUMBA_BOUNDSCHECK="1")[1] == 0


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\0" * len(data)]
)
@pytest.mark.parametrize("ending", ["nbc", "nbi"])
def test_a_damaged_cache_file_is_replaced(package, ending, damage):
    assert run(package)[0] == 21
    files = list(package.glob(f"**/caller*.{ending}"))
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    value, hits, err = run(package)
    assert (value, hits) == (21, 0)
    assert err.count("\n") <= 1
    assert run(package) == (21, 1, "")


def test_no_folder_to_cache_in(package, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").write_text("and here")
    value, hits, err = run(package, NUMBA_CACHE_DIR=str(blocked / "cache"), HOME=str(blocked))
    assert (value, hits) == (21, 0)
    assert err.count("\n") == 1 and "cannot be cached" in err


def test_two_cold_processes_at_once(package):
    both = [run(package, wait=False) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.split()[0], err) == (0, "21", "")


def test_the_kernel_files_are_what_the_stamp_covers():
    names = {path.name for path in Path(jit.__file__).parent.glob("*.py")}
    assert {"jit.py", "updates.py", "spline.py", "dense.py"} <= names


def test_the_target_is_what_numba_compiles_for():
    run = "from ensemble.kernels.jit import target; t = target(); print(t['cpu'], '+' in t['features'])"
    names = []
    for environment in ({}, {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}):
        done = subprocess.run(
            [sys.executable, "-c", run], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        names.append(done.stdout.split())
    assert names[0][0] == jit.target()["cpu"]
    assert names[1] == ["x86-64", "True"]


COUNT = """
import numpy as np
from numba.core import event

class Counter(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass

event.register("numba:compile", Counter())
import ensemble
for n_inputs, seed in ((D, 0), (D, 1)):
    x = np.random.default_rng(seed).normal(size=(9, n_inputs))
    data = ensemble.Dataset(x, x[:, 0], x[:5], x[:5, 0])
    specs = ensemble.grid(width=[1, 8], optimizer=["gd", "adam"], hidden_bias=[True, False])
    ensemble.train(specs, data, epochs=3, snapshots=[1], initial=ensemble.initialize(specs, n_inputs))
    print(len(Counter.names))
print(*Counter.names)
"""


@pytest.mark.parametrize(("n_inputs", "most"), [(1, 10), (2, 24), (9, 25)])
def test_an_engine_compiles_few_functions_and_each_once(n_inputs, most, tmp_path):
    """A count, as it does not depend on the machine: every function costs a newcomer 0.1 s and more."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT.replace("D,", f"{n_inputs},")],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, again, names = done.stdout.splitlines()
    assert int(first) <= most, names
    assert again == first, names  # other data and other models are of the same types
    assert done.stderr.count("compiling the kernels") == 1


def test_kernels_from_the_cache_are_not_announced(tmp_path):
    run = "import ensemble; ensemble.train(ensemble.grid(width=1), ensemble.sample('reciprocal_sine', n=9), epochs=1)"
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", run], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        said.append(done.stderr.count("compiling the kernels"))
    assert said == [1, 0]
