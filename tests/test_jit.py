"""The cache of compiled kernels, on a small package that holds a copy of `kernels/jit.py`."""

import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from conftest import JIT_DISABLED
from numba.core.base import BaseContext
from numba.core.types.functions import BaseFunction

from ensemble.kernels import jit
from ensemble.kernels.compiling import KernelCompiler

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

# Forks for each line that it reads: a folder in which RUN runs as in a fresh process, but for numba's import.
FORKS = f"""
import contextlib, io, json, os, sys
import numba
numba.njit(lambda x: 2 * x + 1)(10)  # numba's own tables are made with the first function
for line in sys.stdin:
    if not (child := os.fork()):
        sys.path.insert(0, line.rstrip())
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            exec({RUN!r})
        print(json.dumps([*map(int, out.getvalue().split()), err.getvalue()]), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print("failed", flush=True)
"""


def without_numba():
    """Return the environment without its settings of numba."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}


@pytest.fixture(scope="module")
def forks():
    process = subprocess.Popen(
        [sys.executable, "-B", "-W", "error", "-c", FORKS], env=without_numba(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    yield process
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    shutil.copy(jit.__file__, folder / "jit.py")
    (folder / "__init__.py").write_text("")
    (folder / "caller.py").write_text(CALLER)
    (folder / "helper.py").write_text(HELPER.format(factor=2))
    return folder


@pytest.fixture
def again(package, forks):
    """Return a function that runs the package as a new process does, and returns its value, cache hits and words."""

    def run():
        forks.stdin.write(f"{package.parent}\n")
        forks.stdin.flush()
        return tuple(json.loads(forks.stdout.readline()))

    return run if hasattr(os, "fork") else lambda: run_alone(package)


def start(package, **environment):
    return subprocess.Popen(
        # No bytecode is kept: Python takes it for that of an edited file of the same size in the same second.
        [sys.executable, "-B", "-W", "error", "-c", RUN], cwd=package.parent,
        env=without_numba() | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run_alone(package, **environment):
    process = start(package, **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    value, hits = out.split()
    return int(value), int(hits), err


def test_an_edited_helper_in_another_file_is_noticed(package, again):
    assert again() == (21, 0, "")
    assert again() == (21, 1, "")
    times = (package / "caller.py").stat()
    (package / "helper.py").write_text(HELPER.format(factor=3))
    assert again() == (31, 0, "")
    assert again() == (31, 1, "")
    assert (package / "caller.py").stat().st_mtime_ns == times.st_mtime_ns


def test_bounds_checks_have_compiled_kernels_of_their_own(package, again):
    assert again()[1] == 0
    assert run_alone(package, NUMBA_BOUNDSCHECK="1")[1] == 0


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\0" * len(data)]
)
@pytest.mark.parametrize("ending", ["nbc", "nbi"])
def test_a_damaged_cache_file_is_replaced(package, again, ending, damage):
    assert again()[0] == 21
    files = list(package.glob(f"**/caller*.{ending}"))
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    value, hits, err = again()
    assert (value, hits) == (21, 0)
    assert err.count("\n") <= 1
    assert again() == (21, 1, "")


def test_no_folder_to_cache_in(package, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").write_text("and here")
    value, hits, err = run_alone(package, NUMBA_CACHE_DIR=str(blocked / "cache"), HOME=str(blocked))
    assert (value, hits) == (21, 0)
    assert err.count("\n") == 1 and "cannot be cached" in err


def test_two_cold_processes_at_once(package):
    both = [start(package) for _ in range(2)]
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
import sys
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
for shape in sys.argv[1:]:
    n_inputs, n_outputs, hidden_layers = map(int, shape.split("x"))
    for seed in (0, 1):
        x = np.random.default_rng(seed).normal(size=(9, n_inputs))
        y = np.stack([x[:, 0]] * n_outputs, axis=1)
        data = ensemble.Dataset(x, y, x[:5], y[:5])
        specs = ensemble.grid(
            width=[1, 8], optimizer=["gd", "adam"], hidden_bias=[True, False], hidden_layers=hidden_layers
        )
        start = ensemble.initialize(specs, n_inputs, n_outputs=n_outputs)
        ensemble.train(specs, data, epochs=3, snapshots=[1], initial=start)
        if n_outputs > 1:
            labels = ensemble.Dataset(x, np.arange(9) % 3)
            ensemble.train(ensemble.grid(width=2, batch_size=[0, 4]), labels, epochs=3, loss="cross_entropy")
        print(len(Counter.names), *Counter.names)
"""


@pytest.mark.parametrize(
    ("shapes", "most"),
    [
        (("1x1x1",), (9,)),
        pytest.param(("2x1x1", "9x1x1"), (10, 15), marks=pytest.mark.slow),
        pytest.param(("1x2x1",), (16,), marks=pytest.mark.slow),
        pytest.param(("1x1x2",), (27,), marks=pytest.mark.slow),
        pytest.param(("2x2x1",), (25,), marks=pytest.mark.slow),
    ],
)
def test_an_engine_compiles_few_functions_and_each_once_and_says_so_once(shapes, most, tmp_path):
    """A count, as it does not depend on the machine: every function costs a newcomer 0.1 s and more."""

    def run():
        done = subprocess.run(
            [sys.executable, "-c", COUNT, *shapes],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.splitlines(), done.stderr.count("compiling the kernels")

    lines, said = run()
    for first, again, limit in zip(lines[::2], lines[1::2], most, strict=True):
        assert int(first.split()[0]) <= limit, first
        assert again == first  # other data and other models are of the same types
    assert said == 1
    lines, said = run()
    assert {line.split()[0] for line in lines} == {"0"}  # all comes from the cache, and nothing is announced
    assert said == 0


@pytest.mark.parametrize("argument", [1, "text"])
def test_numba_is_left_as_it_was_after_a_kernel_and_after_one_that_fails(argument):
    def methods():
        return BaseFunction.get_call_type, BaseContext.get_abi_sizeof, gc.isenabled()

    before, within = methods(), []

    class Watched(KernelCompiler):
        def define_pipelines(self):
            within.append(methods())
            return super().define_pipelines()

    add_one = numba.njit(pipeline_class=Watched)(lambda x: x + 1)
    if argument == 1:
        assert add_one(argument) == 2
    else:
        with pytest.raises(numba.TypingError):
            add_one(argument)
    assert methods() == before
    assert not any(now == then for then, now in zip(before, within[0], strict=True))
