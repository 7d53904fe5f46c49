import os
import runpy
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import chromium  # noqa: F401, a fixture of all tests of pages
from hypothesis import settings

import ensemble
from ensemble.cli.signals import SIGNALS
from ensemble.studies import bias_ablation, fit_target, save, width_study
from ensemble.training import planning

ROOT = Path(__file__).resolve().parents[1]
JIT_DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in a script's background; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

planning.LEAST_CHUNK_SECONDS = 0.0  # the runs of tests are short, and yet cut into chunks
planning.CHUNKS_PER_RUN = 8  # a few are enough: each is a file with two fsyncs
save.HELPERS = 0  # other tests keep the other cores busy: starting helpers would take longer than they save

os.fsync = os.fstat  # no test stops the machine; what a process of its own writes is synced
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of workers: threads that wait take the other's core

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("fixed")


def pytest_collection_modifyitems(config, items):
    """Leave out what needs compiled speed where nothing is compiled."""
    heavy = [item for item in items if JIT_DISABLED and item.get_closest_marker("jit_heavy")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels():
    """Compile, or load, the kernels first: a test of what a script prints must not see that they are compiled."""
    if not JIT_DISABLED:
        second = os.environ.get("PYTEST_XDIST_WORKER") == "gw1"  # which finds in the cache what the first compiled
        for n_inputs in (2, 1) if second else (1, 2):
            data = ensemble.Dataset(np.arange(3.0 * n_inputs).reshape(3, n_inputs), np.arange(3.0))
            ensemble.train(ensemble.grid(width=1), data, epochs=1)


SMALL = {
    "data": "reciprocal_sine", "widths": [2, 8, 16], "seeds": 3, "lrs": [0.02, 0.1], "epochs": 30,
}  # fmt: skip


@pytest.fixture(scope="session")
def width():
    """A small width study, trained; not to be changed, as all that follow."""
    return width_study(**SMALL).run(progress=False)


@pytest.fixture(scope="session")
def bias():
    return bias_ablation(**SMALL).run(progress=False)


@pytest.fixture(scope="session")
def fit():
    return fit_target(width=16, seeds=4, epochs=60).run(progress=False)


@pytest.fixture(scope="session")
def saved(width, tmp_path_factory):
    """Folder and files of the small width study, with its plots in two formats."""
    out = tmp_path_factory.mktemp("width")
    return out, width.save(out, formats=("png", "svg"))


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Run a script in this process, from another folder: what a process costs are its imports.

    Returns exit status, standard output and standard error.
    """

    def run(name, *arguments, folder):
        path = ROOT / "scripts" / f"{name}.py"
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return status, *capsys.readouterr()

    handlers = {number: signal.getsignal(number) for number in SIGNALS}  # as a process ends, its script leaves none
    return run


@pytest.fixture
def unrendered(monkeypatch):
    """Let figures be made and not drawn, where a test is about their names or the tables beside them."""
    monkeypatch.setattr("ensemble.plots.drawing.render", lambda *_: b"not drawn")
    monkeypatch.setattr("ensemble.studies.page.available", lambda: False)


@pytest.fixture
def undrawn(monkeypatch):
    """Let studies leave one empty picture, where a test is about something else: drawing takes seconds."""
    leave_undrawn(monkeypatch)


def leave_undrawn(monkeypatch):
    from matplotlib.figure import Figure

    from ensemble.studies import page
    from ensemble.studies.study import Study

    monkeypatch.setattr(Study, "drawn", lambda study: iter([("summary", Figure())]))
    monkeypatch.setattr(page, "available", lambda: False)


def same(a, b):
    """Require that two results hold the same bits."""
    assert np.array_equal(a.train_loss, b.train_loss)
    assert np.array_equal(a.test_loss, b.test_loss)
    assert np.array_equal(a.networks.parameters, b.networks.parameters)
