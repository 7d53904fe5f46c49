"""The engine "numpy": the rules of `layers`, `losses` and `optimizers` as they are, for any number of inputs.

The definition that the compiled engines are tested against; hundreds of times slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.base import Engine
from ensemble.engines.chunk import Chunk
from ensemble.engines.prepared import parts, prepared
from ensemble.engines.settings import kind_factors
from ensemble.rules import layers, optimizers
from ensemble.rules.batches import batches, effective, steps_per_epoch
from ensemble.rules.losses import LOSSES, accuracy
from ensemble.specs import Specs

__all__ = ["ENGINE"]

Array = NDArray[np.float64]


class Reference(Engine):
    """The rules in NumPy."""

    name = "numpy"
    unit_bytes = 40  # hidden activations and their gradients are arrays (m, N, H)

    def prepare(self, data: Dataset, loss: str) -> tuple[Array, ...]:
        """Return x (N, D) of each part, with y (N, O) or labels (N,)."""
        x_and_y = parts(data, loss)
        if LOSSES[loss].takes_labels or data.n_outputs > 1:
            return x_and_y
        return tuple(a if i % 2 == 0 else a[:, None] for i, a in enumerate(x_and_y))

    def seconds(self, specs: Specs, data: Dataset, loss: str = "mse") -> Array:
        """Return the time of one epoch of each model, (M,): products of matrices of these sizes."""
        h, more = specs.width.astype(np.float64), specs.hidden_layers - 1
        seconds: Array = 1e-7 + data.n_train * (2.0 * (2 * data.n_inputs + 3) * h / 5e8 + more * 6.0 * h * h / 5e9)
        return seconds

    def train(self, run: Chunk) -> None:
        """Train all models of one shape and optimizer as one stack."""
        _train(run)


ENGINE = Reference()


def _train(run: Chunk) -> None:
    """Train through `layers` and `optimizers`, all models of one shape, optimizer and size of batches as one stack."""
    sizes = effective(run.specs.batch_size, run.data.n_train)
    columns = (run.specs.width, run.specs.hidden_layers, run.specs.codes("optimizer"), sizes)
    groups, which = np.unique(np.stack(columns), axis=1, return_inverse=True)
    reached = run.resume()
    states = [_Group(run, np.flatnonzero(which == group)) for group in range(groups.shape[1])]

    def settle() -> None:
        for group in states:
            group.settle()

    for epoch in range(run.first + reached, run.settings.epochs + 1):
        run.pause(epoch - run.first, settle)
        if epoch in run.settings.snapshots or epoch == run.settings.epochs:
            settle()
            run.snapshot(epoch)
        for group in states:
            group.advance(epoch)


class _Group:
    """Models of one shape, optimizer and size of batches; rows of `theta` (m, P) are those of the stack."""

    def __init__(self, run: Chunk, models: NDArray[np.int64]) -> None:
        self.run, self.models = run, models
        specs = run.specs[models]
        self.optimizer = str(specs.optimizer[0])
        self.alive = np.flatnonzero(run.diverged_at[models] < 0)
        self.parts: tuple[Array, ...] = prepared(run.data, ENGINE, run.settings.loss)
        self.stack = run.networks.take(models)
        hidden_layers = int(specs.hidden_layers[0])
        tensors = self.stack.stack(int(specs.width[0]), hidden_layers, units="training")  # views
        self.weights, self.biases = tensors.weights, tensors.biases
        self.theta: Array = self.stack.parameters.reshape(len(models), -1)
        self.state = run.state.take(models)
        kept = {name: a.reshape(len(models), -1) for name, a in self.state.arrays().items()}  # views
        self.moments = optimizers.Moments(**kept) if kept else optimizers.init(*self.theta.shape)
        self.loss, self.roots = LOSSES[run.settings.loss], np.sqrt(run.output_weights())
        n = run.data.n_train
        self.batch_size, self.steps = (int(of(specs.batch_size[:1], n)[0]) for of in (effective, steps_per_epoch))
        self.factors = optimizers.rate_factors(run.settings.epochs * self.steps)
        sizes = [part[0].size for part in _in_order(self.weights, self.biases)]
        self.scale, self.decay = (
            np.repeat(by_kind[:, optimizers.kinds(hidden_layers)], sizes, axis=1) for by_kind in kind_factors(specs)
        )

    def settle(self) -> None:
        """Bring the chunk's networks and state up to date."""
        self.run.networks.put(self.models, self.stack)
        self.run.state.put(self.models, self.state)

    def living(self) -> tuple[list[Array], list[Array]]:
        """Return copies of the weights and biases of the models that have not diverged."""
        return [w[self.alive] for w in self.weights], [b[self.alive] for b in self.biases]

    @np.errstate(all="ignore")
    def advance(self, epoch: int) -> None:
        """Record this epoch if it is asked for, then take the steps that lead to the next."""
        run = self.run
        column = run.column[epoch]
        if column >= 0 and len(self.alive):
            weights, biases = self.living()
            for part, x, y in zip(("train", "test", "val"), self.parts[::2], self.parts[1::2], strict=True):
                if getattr(run, part).shape[1]:
                    self._record(part, column, layers.forward(x, weights, biases), y)
            self._stop(~np.isfinite(run.train[self.models[self.alive], column]), epoch)
        if epoch == run.settings.epochs or not len(self.alive):
            return
        seeds = run.specs.seed[self.models].tolist()
        orders = {seed: batches(seed, run.data.n_train, self.batch_size, epoch) for seed in seeds}
        for step in range(self.steps):
            if len(self.alive):
                self._step(epoch, step, [orders[seeds[place]][step] for place in self.alive])

    def _record(self, part: str, column: int, p: Array, y: Array) -> None:
        """Write down the loss of outputs (m, N, O), and of labels the accuracy too."""
        own = self.models[self.alive]
        if self.loss.takes_labels:
            error, _ = self.loss.rule(p, y)
            right = np.where(np.isfinite(error), accuracy(p, y), 0.0)
            getattr(self.run, f"{part}_accuracy")[own, column] = right
        else:
            error, _ = self.loss.rule(p * self.roots, y * self.roots)
        getattr(self.run, part)[own, column] = np.where(np.isnan(error), np.inf, error)

    def _step(self, epoch: int, step: int, batch: list[NDArray[np.int64]]) -> None:
        """Take one step, each model on the samples of its batch."""
        specs = self.run.specs
        models = self.models[self.alive]
        x, y, weights, biases = *self.parts[:2], *self.living()
        if self.batch_size:
            x, y = x[np.stack(batch)], y[np.stack(batch)]  # (m, B, D) and (m, B, O), of labels (m, B)
        _, (dweights, dbiases) = layers.backward(x, y, weights, biases, self.loss)
        for db in dbiases[:-1]:
            db *= specs.hidden_bias[models, None]
        dbiases[-1][:] *= specs.output_bias[models, None]
        g = np.concatenate([part.reshape(len(models), -1) for part in _in_order(dweights, dbiases)], axis=1)
        rate = specs.lr[models] * self.factors[specs.codes("schedule")[models], epoch * self.steps + step]
        moments = optimizers.Moments(*(kept[self.alive] for kept in self.moments))
        theta, moments = optimizers.update(
            self.optimizer,
            self.theta[self.alive],
            g,
            moments,
            rate[:, None],
            self.decay[self.alive],
            specs.momentum[models, None],
            specs.beta2[models, None],
            self.scale[self.alive],
        )
        self.theta[self.alive] = theta
        for kept, new in zip(self.moments, moments, strict=True):
            kept[self.alive] = new
        self._stop(np.any(~(np.abs(theta) <= optimizers.WEIGHT_LIMIT), axis=1), epoch + 1)

    def _stop(self, bad: NDArray[np.bool_], epoch: int) -> None:
        run, models = self.run, self.models[self.alive[bad]]
        accuracies = (run.train_accuracy, run.test_accuracy, run.val_accuracy)
        for rows, left in (*((r, np.inf) for r in (run.train, run.test, run.val)), *((r, 0.0) for r in accuracies)):
            rows[models] = np.where(run.settings.record[: rows.shape[1]] >= epoch, left, rows[models])
        run.diverged_at[models] = epoch
        self.alive = self.alive[~bad]


def _in_order(weights: Sequence[Array], biases: Sequence[Array]) -> list[Array]:
    """Return the parameters in their order in a buffer."""
    return [part for pair in zip(weights, biases, strict=True) for part in pair]
