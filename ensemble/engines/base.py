"""One chunk of models, from initial weights to its rows of the result, through one of three engines.

`run_chunk` is the pure function that `training.train` maps over an executor: "numpy" is the rules of `layers` and
`optimizers` as they stand, "dense" and "spline" are the same rules compiled.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.networks import NetworkStack, initialize
from ensemble.rules import layers, optimizers
from ensemble.specs import CHOICES, Specs
from ensemble.system.progress import note, slow_note

if TYPE_CHECKING:
    from ensemble.engines.checkpoint import Checkpoint

__all__ = ["ENGINES", "Rows", "Settings", "choose_engine", "epoch_seconds", "run_chunk"]

Array = NDArray[np.float64]

ENGINES = ("auto", "numpy", "dense", "spline")

_WORTH_SAVING = 5.0  # seconds of work that an interrupt should not lose

# A kernel call delays Ctrl-C until it returns, so calls are cut to about this long.
CALL_SECONDS = 0.25


class Settings(NamedTuple):
    """What is the same for every model of a run."""

    epochs: int
    record: NDArray[np.int64]  # (E,) ascending, with 0 and the last
    snapshots: tuple[int, ...]  # ascending
    engine: str
    keep_networks: bool


class Rows(NamedTuple):
    """A chunk's part of the result, rows in the order of the chunk's specs."""

    train_loss: Array  # (m, E)
    test_loss: Array | None
    val_loss: Array | None
    diverged_at: NDArray[np.int64]  # (m,)
    networks: NetworkStack | None
    snapshots: dict[int, NetworkStack]


def choose_engine(engine: str, n_inputs: int) -> str:
    """Return which engine trains a model: by name, or for "auto" by the number of inputs, never by timing.

    Raises
    ------
    ValueError
        An unknown engine, or "spline" for more than one input.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; allowed are {', '.join(ENGINES)}")
    if engine == "spline" and n_inputs != 1:
        raise ValueError(f"engine 'spline' is for one input, but the data has {n_inputs}; use 'dense' or 'auto'")
    if engine == "auto":
        return "spline" if n_inputs == 1 else "dense"
    return engine


def epoch_seconds(engine: str, specs: Specs, data: Dataset) -> Array:
    """Estimate the time of one epoch of each model on one core, shape (M,), in seconds.

    For cutting work into chunks of equal cost and for telling the user what to expect; results never depend on it.
    """
    n, d = data.n_train, data.n_inputs
    h: NDArray[Any] = specs.width
    if engine == "spline":
        adam = np.where(specs.codes("optimizer") == CHOICES["optimizer"].index("adam"), 4.5e-9 * h, 0.0)
        return np.where(h <= n // 4, 5e-8 + 12e-9 * h, 1.2e-9 * n + 7e-9 * h) + adam
    if engine == "dense":
        return 1e-6 + 8e-9 * n + 2.0 * (2 * d + 3) * n * (-(-h // 16) * 16) / 5e10  # units go by 16
    return 1e-7 + 2.0 * (2 * d + 3) * n * h / 5e8


def run_chunk(
    specs: Specs,
    data: Dataset,
    settings: Settings,
    initial: NetworkStack | None = None,
    stop: threading.Event | None = None,
    checkpoint: Checkpoint | None = None,
) -> Rows:
    """Train one chunk of models that share a dataset and return their rows; a pure function of its arguments.

    With a `checkpoint`, a chunk that takes long leaves there how far it has come, and starts from there.

    Raises
    ------
    CancelledError
        `stop` was set; nothing of the chunk is kept but its checkpoint.
    """
    scales = {} if data.scale is None else {name: data.scale for name in np.unique(specs.data).tolist()}
    networks = initialize(specs, data.n_inputs, scales) if initial is None else initial.take(np.arange(len(specs)))
    run = Run(specs, data, settings, networks, stop, checkpoint)
    run.snapshot(0)
    engine = choose_engine(settings.engine, data.n_inputs)
    if engine == "numpy":
        _train_numpy(run)
    else:
        _train_compiled(run, engine)
    return run.rows()


class Run:
    """A chunk under way: its networks, what it has recorded so far, and whether it shall stop."""

    def __init__(
        self, specs: Specs, data: Dataset, settings: Settings, networks: NetworkStack, stop: threading.Event | None,
        checkpoint: Checkpoint | None,
    ) -> None:  # fmt: skip
        self.specs, self.data, self.settings, self.networks, self.stop = specs, data, settings, networks, stop
        self.checkpoint, self.saved = checkpoint, time.monotonic()
        shape = (len(specs), len(settings.record))
        self.train = np.full(shape, np.inf)
        self.test = np.full(shape if data.x_test is not None else (shape[0], 0), np.inf)
        self.val = np.full(shape if data.x_val is not None else (shape[0], 0), np.inf)
        self.diverged_at = np.full(len(specs), -1, dtype=np.int64)
        self.snapshots: dict[int, NetworkStack] = {}

    def pause(self, place: int, more: Callable[[], dict[str, Array]]) -> None:
        """Between two pieces of work: give up where the main thread asks for it, and save the state now and then.

        `place` is the number of the piece that comes next, `more` returns the state that only the engine knows.
        """
        stopped = self.stop is not None and self.stop.is_set()
        if self.checkpoint is not None and place:
            spent = time.monotonic() - self.saved
            if spent > self.checkpoint.seconds or (stopped and spent > _WORTH_SAVING):
                self.checkpoint.save(self._state(place) | more())
                self.saved = time.monotonic()
        if stopped:
            raise CancelledError("training was interrupted")

    def resume(self, more: dict[str, Array]) -> tuple[int, dict[str, Array]]:
        """Return the number of the next piece of work and what the engine has saved; 0 and nothing at a fresh start.

        `more` is the engine's own state as it is now, which the saved one must be like.
        """
        found = None if self.checkpoint is None else self.checkpoint.load()
        if found is None:
            return 0, {}
        if not self._fits(found, more):
            assert self.checkpoint is not None
            note(f"{self.checkpoint.path} is no state of its model, which is trained from the start")
            return 0, {}
        for name, value in self._state(0).items():
            if name != "place" and not name.startswith("snapshot_"):
                value[...] = found.pop(name)
        for epoch in self.settings.snapshots:
            if f"snapshot_{epoch}" in found:
                self.snapshots[epoch] = self.networks.take(np.arange(len(self.specs)))
                self.snapshots[epoch].parameters[:] = found.pop(f"snapshot_{epoch}")
        return int(found.pop("place")[0]), found

    def _fits(self, found: dict[str, Array], more: dict[str, Array]) -> bool:
        """Return whether saved arrays are what this chunk saves: all there, of the same kinds and shapes."""
        expected = self._state(0) | more
        for epoch in self.settings.snapshots:
            if f"snapshot_{epoch}" in found:
                expected[f"snapshot_{epoch}"] = self.networks.parameters
        if set(found) != set(expected) or found["place"].shape != (2,) or found["place"][0] < 0:
            return False
        if found["place"][1] != sum(name.startswith("snapshot_") for name in found):
            return False
        return all(
            found[name].dtype == value.dtype
            and (found[name].shape == value.shape or (name.endswith("_alive") and _is_subset(found[name], value)))
            for name, value in expected.items()
        )

    def _state(self, place: int) -> dict[str, Array]:
        """Return all arrays that change in training, by name."""
        arrays: dict[str, Any] = {"place": np.array([place, len(self.snapshots)]), "diverged_at": self.diverged_at}
        arrays |= {"train": self.train, "test": self.test, "val": self.val}
        arrays |= {f"snapshot_{epoch}": kept.parameters for epoch, kept in self.snapshots.items()}
        return arrays | {"parameters": self.networks.parameters}

    def snapshot(self, epoch: int) -> None:
        """Keep the networks as they are, if this epoch's were asked for."""
        if epoch in self.settings.snapshots:
            self.snapshots[epoch] = self.networks.take(np.arange(len(self.specs)))

    def rows(self) -> Rows:
        """Return what was recorded, in the original units."""
        unit = 1.0 if self.data.scale is None else self.data.scale.y_std**2
        return Rows(
            self.train * unit,
            self.test * unit if self.data.x_test is not None else None,
            self.val * unit if self.data.x_val is not None else None,
            self.diverged_at,
            self.networks if self.settings.keep_networks else None,
            self.snapshots,
        )


def _is_subset(found: Array, whole: Array) -> bool:
    return found.ndim == 1 and bool(np.isin(found, whole).all() and (np.diff(found) > 0).all())


# ---- the compiled engines ----


def _train_compiled(run: Run, engine: str) -> None:
    from ensemble.kernels import updates

    specs, settings, networks = run.specs, run.settings, run.networks
    kernel = _kernel(engine)
    samples = _prepared(run.data, engine)
    order = np.argsort(networks.slots)  # kernels see the models as they lie in the buffers, sorted by width
    n_moments = networks.parameters.size if (specs.codes("optimizer") != updates.GD).any() else 0
    models = updates.Models(
        specs.width[order],
        networks.starts,
        networks.parameters,
        np.zeros(n_moments),
        np.zeros(n_moments),
        np.ones((len(specs), 2)),
    )
    by_width = specs[order]
    rules = updates.Rules(
        by_width.codes("optimizer"),
        by_width.codes("schedule"),
        by_width.lr,
        by_width.momentum,
        by_width.beta2,
        by_width.weight_decay,
        by_width.hidden_bias,
        by_width.output_bias,
        optimizers.rate_factors(settings.epochs),
        optimizers.layer_factors(by_width.optimizer, by_width.width, by_width.parametrization == "mup"),
    )
    column = np.full(settings.epochs + 1, -1, dtype=np.int64)
    column[settings.record] = np.arange(len(settings.record))
    history = updates.History(column, run.train, run.test, run.val, run.diverged_at)
    seconds = epoch_seconds(engine, specs, run.data)[order]
    kept = {"moment_1": models.first, "moment_2": models.second, "powers": models.powers}
    first, saved = run.resume(kept)
    for name, values in saved.items():
        kept[name][...] = values
    for place, span in enumerate(_spans(seconds, settings.epochs, settings.snapshots)):
        if place < first:
            continue
        run.pause(place, lambda: kept)
        kernel.train(samples, models, rules, history, updates.Span(*span))
        if span[1] == len(specs):
            run.snapshot(span[3])
    for rows in (run.train, run.test, run.val, run.diverged_at):
        rows[order] = rows.copy()


def _spans(seconds: Array, epochs: int, snapshots: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """Cut models x epochs into kernel calls of about `CALL_SECONDS`: several models, or part of one's epochs."""
    stops = sorted({0, epochs, *snapshots})
    for begin, end in itertools.pairwise(stops) if epochs else [(0, 0)]:
        m = 0
        while m < len(seconds):
            per_call = max(1, int(CALL_SECONDS / seconds[m]))
            if per_call < end - begin:
                for e in range(begin, end, per_call):
                    yield m, m + 1, e, min(e + per_call, end)
                m += 1
            else:
                spent = np.cumsum(seconds[m:]) * max(end - begin, 1)
                count = max(1, int(np.searchsorted(spent, CALL_SECONDS)))
                yield m, m + count, begin, end
                m += count


@cache
def _kernel(engine: str) -> Any:
    """Return a compiled engine's module, compiled; imported here so that `import ensemble` does not wait for numba."""
    from ensemble.kernels import dense, spline, updates

    kernel = spline if engine == "spline" else dense
    with slow_note("compiling the kernels, once; later runs take them from the cache", after=1.5):
        one = np.ones(1)
        samples = kernel.prepare(*(np.zeros((n, 1) if i % 2 == 0 else n) for i, n in enumerate((1, 1, 0, 0, 0, 0))))
        models = updates.Models(np.array([1]), np.array([0, 4]), np.ones(4), np.empty(0), np.empty(0), np.ones((1, 2)))
        codes, flags = np.zeros(1, np.int8), np.zeros(1, np.bool_)
        rules = updates.Rules(codes, codes, one, one, one, one, flags, flags, np.ones((2, 1)), np.ones((1, 2)))
        none = np.empty((1, 0))
        history = updates.History(np.zeros(2, np.int64), none, none, none, np.zeros(1, np.int64))
        kernel.train(samples, models, rules, history, updates.Span(0, 0, 0, 0))
    return kernel


def _prepared(data: Dataset, engine: str) -> Any:
    """Return a dataset as an engine wants it, made once: chunks of one run, and runs on equal data, share it."""
    key = (data.digest, engine)
    with _preparing:
        if key not in _PREPARED:
            while len(_PREPARED) >= _MOST_PREPARED:
                del _PREPARED[next(iter(_PREPARED))]
            parts = _parts(data)
            if engine == "numpy":
                _PREPARED[key] = parts
            else:
                _PREPARED[key] = _kernel(engine).prepare(*parts)
        return _PREPARED[key]


_PREPARED: dict[tuple[str, str], Any] = {}
_MOST_PREPARED = 16
_preparing = threading.Lock()


def _parts(data: Dataset) -> tuple[Array, ...]:
    """Return x (N, D) and y (N,) of the training, test and validation part, in training units; absent ones empty."""
    parts: list[Array] = []
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test), (data.x_val, data.y_val)):
        if x is None or y is None:
            x, y = np.empty((0, data.n_inputs)), np.empty(0)
        elif data.scale is not None:
            x, y = data.scale.inputs(x), data.scale.outputs(y)
        parts += [np.array(x, order="C"), np.array(y, order="C")]  # writeable: read-only is another type to numba
    return tuple(parts)


# ---- the readable engine ----


def _train_numpy(run: Run) -> None:
    """Train through `layers` and `optimizers`, all models of one width and optimizer as one stack."""
    optimizer = run.specs.optimizer
    groups = sorted({(int(h), str(o)) for h, o in zip(run.specs.width, optimizer, strict=True)})
    states = [_Group(run, np.flatnonzero((run.specs.width == h) & (optimizer == o)), o) for h, o in groups]

    def state() -> dict[str, Array]:
        return {name: kept for number, group in enumerate(states) for name, kept in group.state(number).items()}

    first, saved = run.resume(state())
    if first:
        for number, group in enumerate(states):
            group.restore(number, saved)
    for epoch in range(first, run.settings.epochs + 1):
        run.pause(epoch, state)
        if epoch in run.settings.snapshots or epoch == run.settings.epochs:
            for group in states:
                run.networks.put(group.models, group.networks())
            run.snapshot(epoch)
        for group in states:
            group.advance(epoch)


class _Group:
    """Models of one width and optimizer; rows of `theta` (m, P) are their parameters, as the stack has them."""

    def __init__(self, run: Run, models: NDArray[np.int64], optimizer: str) -> None:
        self.run, self.models, self.optimizer = run, models, optimizer
        self.alive = np.arange(len(models))
        self.width = int(run.specs.width[models[0]])
        self.parts = _prepared(run.data, "numpy")
        start = run.networks.take(models)
        self.stack = start
        self.theta: Array = start.parameters.reshape(len(models), -1)
        self.moments = optimizers.init(*self.theta.shape)
        self.factors = optimizers.rate_factors(run.settings.epochs)
        mup = run.specs.parametrization[models] == "mup"
        by_layer = optimizers.layer_factors(run.specs.optimizer[models], run.specs.width[models], mup)
        sizes = [(run.data.n_inputs + 1) * self.width, self.width, 1]
        self.scale = np.repeat(np.column_stack([by_layer, np.ones(len(models))]), sizes, axis=1)

    def state(self, number: int) -> dict[str, Any]:
        """Return what changes in training, by name; `number` is the group's."""
        moments = {f"group_{number}_moment_{i}": values for i, values in enumerate(self.moments)}
        return {f"group_{number}_theta": self.theta, f"group_{number}_alive": self.alive} | moments

    def restore(self, number: int, saved: dict[str, Array]) -> None:
        """Go on from a saved state."""
        self.theta[...] = saved[f"group_{number}_theta"]
        self.alive = saved[f"group_{number}_alive"].astype(np.int64)
        for i, values in enumerate(self.moments):
            values[...] = saved[f"group_{number}_moment_{i}"]

    def weights(self, rows: NDArray[np.int64]) -> tuple[Array, Array, Array, Array]:
        theta, d, h = self.theta[rows], self.run.data.n_inputs, self.width
        return (
            theta[:, : d * h].reshape(len(rows), d, h),
            theta[:, d * h : (d + 1) * h],
            theta[:, (d + 1) * h : (d + 2) * h],
            theta[:, -1],
        )

    def networks(self) -> NetworkStack:
        return self.stack

    @np.errstate(all="ignore")
    def advance(self, epoch: int) -> None:
        """Record this epoch if it is asked for, then take the step that leads to the next."""
        run, specs = self.run, self.run.specs
        column = np.flatnonzero(run.settings.record == epoch)
        if len(column) and len(self.alive):
            for rows, x, y in zip((run.train, run.test, run.val), self.parts[::2], self.parts[1::2], strict=True):
                if rows.shape[1]:
                    error, _ = layers.mse(layers.forward(x, *self.weights(self.alive)), y)
                    rows[self.models[self.alive], column[0]] = np.where(np.isnan(error), np.inf, error)
            self._bury(~np.isfinite(run.train[self.models[self.alive], column[0]]), epoch)
        if epoch == run.settings.epochs or not len(self.alive):
            return
        models = self.models[self.alive]
        _, gradient = layers.backward(self.parts[0], self.parts[1], *self.weights(self.alive))
        dw1, db1, dw2, db2 = gradient
        db1 *= specs.hidden_bias[models, None]
        db2 *= specs.output_bias[models]
        g = np.concatenate([dw1.reshape(len(models), -1), db1, dw2, db2[:, None]], axis=1)
        rate = specs.lr[models] * self.factors[specs.codes("schedule")[models], epoch]
        moments = optimizers.Moments(*(kept[self.alive] for kept in self.moments))
        theta, moments = optimizers.update(
            self.optimizer,
            self.theta[self.alive],
            g,
            moments,
            rate[:, None],
            specs.weight_decay[models, None],
            specs.momentum[models, None],
            specs.beta2[models, None],
            self.scale[self.alive],
        )
        self.theta[self.alive] = theta
        for kept, new in zip(self.moments, moments, strict=True):
            kept[self.alive] = new
        self._bury(np.any(~(np.abs(theta) <= optimizers.WEIGHT_LIMIT), axis=1), epoch + 1)

    def _bury(self, bad: NDArray[np.bool_], epoch: int) -> None:
        for rows in (self.run.train, self.run.test, self.run.val):
            rows[self.models[self.alive[bad]]] = np.where(
                self.run.settings.record[: rows.shape[1]] >= epoch, np.inf, rows[self.models[self.alive[bad]]]
            )
        self.run.diverged_at[self.models[self.alive[bad]]] = epoch
        self.alive = self.alive[~bad]
