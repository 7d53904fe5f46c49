"""The engine "numpy": the rules of `layers`, `losses` and `optimizers` as they are, for any number of inputs.

The definition that the compiled engines are tested against; hundreds of times slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Dataset
from ensemble.engines.base import Engine
from ensemble.engines.chunk import Chunk
from ensemble.engines.prepared import parts, prepared
from ensemble.networks import NetworkStack
from ensemble.rules import layers, optimizers
from ensemble.rules.losses import LOSSES
from ensemble.specs import Specs

__all__ = ["ENGINE"]

Array = NDArray[np.float64]


class Reference(Engine):
    """The rules in NumPy."""

    name = "numpy"
    unit_bytes = 40  # hidden activations and their gradients are arrays (m, N, H)

    def prepare(self, data: Dataset) -> tuple[Array, ...]:
        """Return x (N, D) and y (N,) of each part."""
        return parts(data)

    def seconds(self, specs: Specs, data: Dataset) -> Array:
        """Return the time of one epoch of each model, (M,): products of matrices of these sizes."""
        h: NDArray[Any] = specs.width
        return 1e-7 + 2.0 * (2 * data.n_inputs + 3) * data.n_train * h / 5e8

    def train(self, run: Chunk) -> None:
        """Train all models of one width and optimizer as one stack."""
        _train(run)


ENGINE = Reference()


def _train(run: Chunk) -> None:
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

    def __init__(self, run: Chunk, models: NDArray[np.int64], optimizer: str) -> None:
        self.run, self.models, self.optimizer = run, models, optimizer
        self.alive = np.arange(len(models))
        self.width = int(run.specs.width[models[0]])
        self.parts: tuple[Array, ...] = prepared(run.data, ENGINE)
        start = run.networks.take(models)
        self.stack = start
        self.theta: Array = start.parameters.reshape(len(models), -1)
        self.moments = optimizers.init(*self.theta.shape)
        self.loss = LOSSES[run.settings.loss].rule
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
                    error, _ = self.loss(layers.forward(x, *self.weights(self.alive)), y)
                    rows[self.models[self.alive], column[0]] = np.where(np.isnan(error), np.inf, error)
            self._stop(~np.isfinite(run.train[self.models[self.alive], column[0]]), epoch)
        if epoch == run.settings.epochs or not len(self.alive):
            return
        models = self.models[self.alive]
        _, gradient = layers.backward(self.parts[0], self.parts[1], *self.weights(self.alive), loss=self.loss)
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
        self._stop(np.any(~(np.abs(theta) <= optimizers.WEIGHT_LIMIT), axis=1), epoch + 1)

    def _stop(self, bad: NDArray[np.bool_], epoch: int) -> None:
        for rows in (self.run.train, self.run.test, self.run.val):
            rows[self.models[self.alive[bad]]] = np.where(
                self.run.settings.record[: rows.shape[1]] >= epoch, np.inf, rows[self.models[self.alive[bad]]]
            )
        self.run.diverged_at[self.models[self.alive[bad]]] = epoch
        self.alive = self.alive[~bad]
