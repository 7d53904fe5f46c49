"""Peers that train in batches, for the part "batches" of `benchmark.py`: as those of `peers.py`, each step on a batch.

All replay the order that this library draws, from `ensemble.batches`; drawing it is not in their time, but is in ours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import peers

import ensemble


def orders(task: peers.Task) -> np.ndarray:
    """Return the samples (M, epochs, N) in the order in which each epoch takes them."""
    n, size = task.data.n_train, int(task.specs.batch_size[0])
    every = [
        [np.concatenate(ensemble.batches(seed, n, size, epoch)) for epoch in range(task.epochs)]
        for seed in task.specs.seed.tolist()
    ]
    return np.array(every)


def jax_scan(mapped: str) -> Callable[[peers.Task], peers.Run]:
    """JAX under jit: lax.scan over epochs and over batches of equal size, and over models vmap or lax.map."""

    def prepare(task: peers.Task) -> peers.Run:
        import jax

        jax.config.update("jax_enable_x64", True)
        x, y = np.array(task.data.x_train), np.array(task.data.y_train)
        size = int(task.specs.batch_size[0])
        whole, order = len(y) // size * size, orders(task)

        def loss(parameters, x, y):
            return ((peers.network(x, parameters, jax.nn.relu) - y) ** 2).mean()

        def step(parameters, batch):
            gradient = jax.grad(loss)(parameters, jax.numpy.asarray(x)[batch], jax.numpy.asarray(y)[batch])
            return jax.tree.map(lambda w, d: w - task.lr * d, parameters, gradient), None

        def epoch(parameters, order):
            parameters, _ = jax.lax.scan(step, parameters, order[:whole].reshape(-1, size))
            return (step(parameters, order[whole:]) if whole < len(y) else (parameters, None))[0], None

        def train(model):
            parameters, order = model
            return loss(jax.lax.scan(epoch, parameters, order)[0], x, y)

        every = jax.jit(jax.vmap(train) if mapped == "vmap" else lambda models: jax.lax.map(train, models))

        def run() -> np.ndarray:
            return np.asarray(every((task.parameters(), order)).block_until_ready())

        return run

    return prepare


def torch_vmap(compiled: bool) -> Callable[[peers.Task], peers.Run]:
    """torch.func: vmap over models of the gradient of one model's loss on its own batch."""

    def prepare(task: peers.Task) -> peers.Run:
        import torch

        x, y = torch.from_numpy(np.array(task.data.x_train)), torch.from_numpy(np.array(task.data.y_train))
        size = int(task.specs.batch_size[0])
        order = torch.from_numpy(orders(task))  # (M, epochs, N)
        batches = [batch for epoch in order.unbind(1) for batch in epoch.split(size, dim=1)]

        def loss(parameters, x, y):
            return ((peers.network(x, parameters, torch.relu) - y) ** 2).mean()

        def step(parameters, batch):
            gradient = torch.func.vmap(torch.func.grad(loss))(parameters, x[batch], y[batch])
            return [w - task.lr * d for w, d in zip(parameters, gradient, strict=True)]

        if compiled:  # once for whole batches, and once for the last one of an epoch
            step = torch.compile(step, dynamic=False)

        def run() -> np.ndarray:
            parameters = [torch.from_numpy(values) for values in task.parameters()]
            with torch.no_grad():
                for batch in batches:
                    parameters = step(parameters, batch)
                return torch.func.vmap(loss, in_dims=(0, None, None))(parameters, x, y).numpy()

        return run

    return prepare
