"""How `benchmark.py` measures: contestants in turn, the same result required, ratios round by round.

It holds no comparison of its own: `benchmark.py` and `alone.py` say who runs on what.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import peers

import ensemble

CORES = os.cpu_count() or 1


class Contestant(NamedTuple):
    """A way to train, and how much of the work it gets: slow ones get fewer models and epochs."""

    name: str
    prepare: Callable[[peers.Task], peers.Run]
    models: int
    epochs: int
    needs: str = "numpy"
    peer: bool = True  # False: an engine of ours


@dataclass(frozen=True)
class Spread:
    """A number over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 0 if self.median >= 20 else 1 if self.median >= 3 else 2
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


@dataclass(frozen=True)
class Row:
    """One contestant: seconds per model and epoch, and its ratio to the first contestant round by round."""

    name: str
    seconds: Spread
    ratio: Spread
    peer: bool


def spread(values: np.ndarray) -> Spread:
    """Return the median, the lowest and the highest of the rounds."""
    return Spread(float(np.median(values)), float(values.min()), float(values.max()))


def microseconds(seconds: float) -> str:
    """Return a time with three digits, as "0.0775" or "1,340" microseconds."""
    value = seconds * 1e6
    return f"{float(f'{value:.3g}'):,.{max(0, 2 - int(np.floor(np.log10(value))))}f}"


REST = 0.3  # threads of OpenMP and BLAS wait busily for 0.2 s after the last contestant, on the cores of the next


def interleaved(
    runs: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> np.ndarray:
    """Return the seconds (repeats, runs), all runs in turn in each round, each from a machine at rest."""
    times = np.empty((repeats, len(runs)))
    for round_ in range(repeats):
        for i, run in enumerate(runs):
            time.sleep(REST)
            start = clock()
            run()
            times[round_, i] = clock() - start
    return times


def warm(runs: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Return the same after a first run of each, which compiles and fills caches."""
    for run in runs:
        run()
    return interleaved(runs, repeats)


def compete(contestants: list[Contestant], specs: ensemble.Specs, data: ensemble.Dataset, repeats: int) -> list[Row]:
    """Run all contestants on the first of `specs`; the first contestant is what the others are compared with."""
    present = [c for c in contestants if importlib.util.find_spec(c.needs)]
    for contestant in contestants:
        if contestant not in present:
            print(f"left out, {contestant.needs} is not installed: {contestant.name}")
    tasks = [peers.Task(specs[: c.models], data, c.epochs) for c in present]
    runs = [c.prepare(task) for c, task in zip(present, tasks, strict=True)]
    for contestant, task, run in zip(present, tasks, runs, strict=True):  # the warm-up, which compiles, and the check
        np.testing.assert_allclose(run(), present[0].prepare(task)(), rtol=1e-9, err_msg=contestant.name)
    times = interleaved(runs, repeats) / [c.models * c.epochs for c in present]
    return [Row(c.name, spread(t), spread(t / times[:, 0]), c.peer) for c, t in zip(present, times.T, strict=True)]


def best_peer(rows: list[Row]) -> Row | None:
    """Return the fastest row that is not ours, or None where no peer is installed."""
    return min((row for row in rows if row.peer), key=lambda row: row.ratio.median, default=None)


def run_engine(specs, data, epochs: int, threads: int | None = 1, **options) -> Callable[[], ensemble.Result]:
    """Return a training by this library, with the errors of the first and the last epoch only."""
    return lambda: ensemble.train(specs, data, epochs=epochs, record=[], threads=threads, progress=False, **options)


def step_seconds(specs: ensemble.Specs, data: ensemble.Dataset, epochs: int) -> float:
    """Return the time of a step: what `epochs` more cost than 500, so that tables and recorded errors drop out."""
    short, long = run_engine(specs, data, 500), run_engine(specs, data, 500 + epochs)
    if not (long().status == "ok").all():
        raise RuntimeError("a model diverged, and was not trained further")
    times = interleaved([short, long], 3)
    return float(np.median(times[:, 1] - times[:, 0])) / (epochs * len(specs))


_COLD = """
import resource
import ensemble
{before}

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

start = used()
{call}
print(used() - start, start)
"""


def cold_seconds(before: str, call: str) -> tuple[float, float]:
    """Return the CPU seconds of a call in a fresh process with an empty kernel cache, and of what ran before it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        script = _COLD.format(before=before, call=call)
        command = [sys.executable, "-c", script]
        pipe = subprocess.PIPE
        output = subprocess.run(command, env=environment, stdout=pipe, stderr=pipe, text=True, check=True).stdout
    needed, until = map(float, output.split())
    return needed, until


class OtherPrograms:
    """Share of the machine's CPU time that other programs took since this was made; None where that is not known."""

    def __init__(self) -> None:
        self.start = self._used()

    def share(self) -> float | None:
        """Return it, from 0 to 1."""
        now = self._used()
        if self.start is None or now is None:
            return None
        busy, ours, total = (after - before for after, before in zip(now, self.start, strict=True))
        return max(0.0, busy - ours) / total

    @staticmethod
    def _used() -> tuple[float, float, float] | None:
        """Return CPU seconds so far: in use, of this process and its children, and in all."""
        if not os.path.exists("/proc/stat"):
            return None
        with open("/proc/stat") as lines:
            fields = [int(field) / os.sysconf("SC_CLK_TCK") for field in next(lines).split()[1:9]]
        idle = fields[3] + fields[4]
        return sum(fields) - idle, sum(os.times()[:4]), sum(fields)


def machine() -> str:
    """Say what this was measured on."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {CORES} cores, {platform.system()}, Python {platform.python_version()}"
