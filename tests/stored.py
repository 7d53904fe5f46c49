"""Helpers of the tests of stored runs: small runs, what they say, and whether a folder is sound."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import ensemble
from ensemble import store
from ensemble.engines import Checkpoint
from ensemble.store import chunks
from ensemble.system import archive

TESTS = Path(__file__).resolve().parent
GOLDEN = TESTS / "data" / "run-v1"
EPOCHS = 12


def make_data(d=1, standardize=False, seed=0):
    """Return a dataset of 23, 7 and 5 samples of noise; with d "labels" or "outputs" one input and three of them."""
    kind, d = (d, 1) if isinstance(d, str) else ("", d)
    rng = np.random.default_rng([seed, d])
    parts = [a for n in (23, 7, 5) for a in (rng.uniform(-3, 3, size=(n, d)), rng.normal(size=n))]
    if kind:
        make = {"labels": lambda y: np.arange(len(y)) % 3, "outputs": lambda y: np.stack([y, y**2, -y], axis=1)}[kind]
        parts[1::2] = map(make, parts[1::2])
    return ensemble.Dataset(*parts, standardize=standardize)


def make_specs(seeds=2):
    """Return 12 models per seed, of several widths and all optimizers; no two are the same."""
    return ensemble.grid(width=[9, 4], optimizer=["gd", "adam", "momentum"], lr=[0.01, 0.03], seed=range(seeds))


def train(specs, data=None, **options):
    """Train for `EPOCHS` epochs with a snapshot, but for what `options` say."""
    data = make_data() if data is None else data
    return ensemble.train(specs, data, **({"epochs": EPOCHS, "snapshots": [5], "progress": False} | options))


def content(result):
    """Return all that a result says, by name, as digests of its bytes."""
    arrays = {"epochs": result.epochs, "diverged_at": result.diverged_at, **result.losses}
    arrays |= {f"{part} accuracy": values for part, values in result.accuracies.items()}
    stacks = {f"snapshot {epoch}": kept for epoch, kept in result.snapshots.items()}
    if result.stack is not None:
        stacks["networks"] = result.stack
    for name, stack in stacks.items():
        for i, network in enumerate(stack):
            arrays[f"{name} {i}"] = np.concatenate([part.ravel() for part in (*network.weights, *network.biases)])
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def bits(rows, i):
    """Return all that a result, or a chunk's rows, say of model i as bytes: errors, end, networks, accuracies."""
    stacks = [rows.networks, *(rows.snapshots[epoch] for epoch in sorted(rows.snapshots))]
    arrays = [rows.losses[part][i] for part in sorted(rows.losses)] + [rows.diverged_at[i]]
    parameters = [a for stack in stacks for a in (*stack[i].weights, *stack[i].biases)]
    return [
        a.tobytes() for a in (*arrays, *parameters, *(rows.accuracies[part][i] for part in sorted(rows.accuracies)))
    ]


def chunk_files(folder):
    return sorted(Path(folder, "chunks").glob("*.npz"))


def models_kept(folder):
    """Return how many models the chunk files hold, one counting as often as it is there."""
    return sum(len(archive.read(path, chunks.KINDS)["diverged_at"]) for path in chunk_files(folder))


def assert_sound(folder, models):
    """Check that a run is whole: every model there once, no file damaged, nothing left behind."""
    requests = len(list(Path(folder).glob("run-*")))
    assert store.verify(folder) == store.Verified(models, models, 1 + requests + len(chunk_files(folder)), ())
    assert models_kept(folder) == models
    assert list(Path(folder).glob("**/.*")) == []


def python(code, *arguments, **options):
    """Start a Python that can import these tests."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


class DeadError(Exception):
    """Stands for the end of the process in a test."""


def die_after_chunks(monkeypatch, after):
    """Let the process "die" once when so many chunks are kept."""
    write, count = chunks.write, [0]

    def deadly(*arguments):
        count[0] += 1
        if count[0] == after + 1:
            raise DeadError
        write(*arguments)

    monkeypatch.setattr(chunks, "write", deadly)


def die_after_states(monkeypatch, after):
    """Let the process "die" once when a state has been saved so often; return the list of all saves."""
    save, saves, dead = Checkpoint.save, [], []

    def dying(self, arrays):
        save(self, arrays)
        saves.append((self.path.name, int(arrays["place"][0])))
        if len(saves) >= after and not dead:
            dead.append(True)
            raise DeadError

    monkeypatch.setattr(Checkpoint, "save", dying)
    return saves
