"""A real cluster for the tests: a scheduler and workers, each a process."""

import os
import subprocess
import sys
import time

import pytest

# Dask leaves sockets and event loops to the garbage collector where a scheduler dies.
leftovers_allowed = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Mismatched versions found"),
]


class Cluster:
    """A real scheduler and workers, each a process."""

    def __init__(self, folder, workers=2, **environment):
        self.folder, self.processes = folder, []
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", file, **environment
        )
        wait_until(lambda: file.exists() and "tcp://" in file.read_text())
        self.address = "tcp://" + file.read_text().split("tcp://")[1].split('"')[0]
        self.workers = [self.add_worker() for _ in range(workers)]

    def _start(self, kind, *arguments, **environment):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *map(str, arguments)]
        with open(self.folder / f"{kind}.log", "ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=os.environ | environment)
        self.processes.append(process)
        return process

    def add_worker(self, **environment):
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", **environment)

    def client(self):
        import distributed

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
