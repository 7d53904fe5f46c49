"""Other ways to train the same networks, for `benchmark.py`: same data, weights, float64 and epochs.

Each contestant is a function that takes a `Task` and returns a function; calling that trains and returns the
training MSE (M,) after the last epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import ensemble
from ensemble.rules import layers

Run = Callable[[], np.ndarray]


class Task(NamedTuple):
    """M models of one width and learning rate, trained by full-batch gradient descent."""

    specs: ensemble.Specs
    data: ensemble.Dataset
    epochs: int

    def weights(self):
        """Return fresh copies of the initial w1 (M, D, H), b1 (M, H), w2 (M, H), b2 (M,)."""
        stack = ensemble.initialize(self.specs, self.data.n_inputs).stack(int(self.specs.width[0]))
        (w1, w2), (b1, b2) = stack.weights, stack.biases
        return w1.copy(), b1.copy(), w2[..., 0].copy(), b2[:, 0].copy()


def engine(name: str, threads: int) -> Callable[[Task], Run]:
    """This project's own engines."""

    def prepare(task: Task) -> Run:
        def run() -> np.ndarray:
            result = ensemble.train(
                task.specs, task.data, epochs=task.epochs, record=[], engine=name, threads=threads, progress=False
            )
            return result.train_loss[:, -1]

        return run

    return prepare


def numpy_loop(task: Task) -> Run:
    """The original report's way: a Python loop over models, two matrix products and a ReLU in NumPy each."""
    x, y, lr = task.data.x_train, task.data.y_train, float(task.specs.lr[0])

    def run() -> np.ndarray:
        errors = []
        for w1, b1, w2, b2 in zip(*task.weights(), strict=True):
            hidden, relu, output = layers.Matmul(w1, b1), layers.Relu(), layers.Matmul(w2[:, None], b2[None])
            for _ in range(task.epochs):
                p = output.forward(relu.forward(hidden.forward(x)))
                _, dp = layers.mse(p[:, 0], y)
                hidden.backward(relu.backward(output.backward(dp[:, None])))
                hidden.w, hidden.b = hidden.w - lr * hidden.dw, hidden.b - lr * hidden.db
                output.w = output.w - lr * output.dw
            p = output.forward(relu.forward(hidden.forward(x)))
            errors.append(layers.mse(p[:, 0], y)[0])
        return np.array(errors)

    return run


def numpy_batched(task: Task) -> Run:
    """All models as one stack of batched matrix products in NumPy: this project's readable engine."""
    return engine("numpy", 1)(task)


def scikit_learn(task: Task) -> Run:
    """MLPRegressor, one model after the other: sgd, full batches, no momentum, no shuffling, never stopped early.

    Its loss is half of ours, so its rate is twice ours; it always trains an output bias, so the task must too.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    x, y, lr = task.data.x_train, task.data.y_train, float(task.specs.lr[0])

    def run() -> np.ndarray:
        errors = []
        for w1, b1, w2, b2 in zip(*task.weights(), strict=True):
            model = MLPRegressor(
                hidden_layer_sizes=w2.shape,
                solver="sgd",
                learning_rate_init=2 * lr,
                momentum=0.0,
                alpha=0.0,
                batch_size=len(x),
                shuffle=False,
                max_iter=task.epochs,
                tol=0.0,
                n_iter_no_change=10**9,
                warm_start=True,
            )
            model.partial_fit(x, y)  # makes the arrays that are set here; fit goes on from them
            model.coefs_, model.intercepts_ = [w1, w2[:, None]], [b1, b2[None]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x, y)
            errors.append(np.mean((model.predict(x) - y) ** 2))
        return np.array(errors)

    return run


def _torch_tensors(task: Task):
    import torch

    x = torch.from_numpy(np.array(task.data.x_train))
    y = torch.from_numpy(np.array(task.data.y_train))
    return torch, x, y, float(task.specs.lr[0])


def torch_loop(task: Task) -> Run:
    """PyTorch modules, autograd and optim.SGD, one model after the other."""
    torch, x, y, lr = _torch_tensors(task)
    width = int(task.specs.width[0])

    def run() -> np.ndarray:
        errors = []
        for w1, b1, w2, _ in zip(*task.weights(), strict=True):
            hidden = torch.nn.Linear(x.shape[1], width, dtype=torch.float64)
            output = torch.nn.Linear(width, 1, bias=False, dtype=torch.float64)
            with torch.no_grad():
                hidden.weight.copy_(torch.from_numpy(w1.T.copy()))
                hidden.bias.copy_(torch.from_numpy(b1))
                output.weight.copy_(torch.from_numpy(w2[None]))
            net = torch.nn.Sequential(hidden, torch.nn.ReLU(), output)
            optimizer = torch.optim.SGD(net.parameters(), lr=lr)
            for _ in range(task.epochs):
                optimizer.zero_grad()
                loss = ((net(x)[:, 0] - y) ** 2).mean()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                errors.append(float(((net(x)[:, 0] - y) ** 2).mean()))
        return np.array(errors)

    return run


def torch_vmap(compiled: bool) -> Callable[[Task], Run]:
    """torch.func: vmap over models of the gradient of one model's loss."""

    def prepare(task: Task) -> Run:
        torch, x, y, lr = _torch_tensors(task)

        def loss(w1, b1, w2):
            return ((torch.relu(x @ w1 + b1) @ w2 - y) ** 2).mean()

        gradient = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2)))

        def step(w1, b1, w2):
            d1, db, d2 = gradient(w1, b1, w2)
            return w1 - lr * d1, b1 - lr * db, w2 - lr * d2

        step = torch.compile(step) if compiled else step

        def run() -> np.ndarray:
            w1, b1, w2 = (torch.from_numpy(values) for values in task.weights()[:3])
            with torch.no_grad():
                for _ in range(task.epochs):
                    w1, b1, w2 = step(w1, b1, w2)
                return torch.func.vmap(loss)(w1, b1, w2).numpy()

        return run

    return prepare


def torch_bmm(task: Task) -> Run:
    """Stacked weights and torch.bmm, the gradient by autograd."""
    torch, x, y, lr = _torch_tensors(task)

    def run() -> np.ndarray:
        w1, b1, w2 = (torch.from_numpy(values).requires_grad_() for values in task.weights()[:3])
        inputs = x.expand(len(w1), *x.shape)

        def errors():
            hidden = torch.relu(torch.baddbmm(b1[:, None, :], inputs, w1))
            return ((torch.bmm(hidden, w2[:, :, None])[..., 0] - y) ** 2).mean(dim=1)

        for _ in range(task.epochs):
            gradients = torch.autograd.grad(errors().sum(), (w1, b1, w2))
            with torch.no_grad():
                for weights, d in zip((w1, b1, w2), gradients, strict=True):
                    weights -= lr * d
        with torch.no_grad():
            return errors().numpy()

    return run


def jax_scan(mapped: str) -> Callable[[Task], Run]:
    """JAX under jit: lax.scan over epochs, and over models vmap or lax.map."""

    def prepare(task: Task) -> Run:
        import jax

        jax.config.update("jax_enable_x64", True)
        x, y, lr = np.array(task.data.x_train), np.array(task.data.y_train), float(task.specs.lr[0])

        def loss(weights):
            w1, b1, w2 = weights
            return ((jax.nn.relu(x @ w1 + b1) @ w2 - y) ** 2).mean()

        def step(weights, _):
            return jax.tree.map(lambda w, d: w - lr * d, weights, jax.grad(loss)(weights)), None

        def train(weights):
            return loss(jax.lax.scan(step, weights, None, length=task.epochs)[0])

        every = jax.jit(jax.vmap(train) if mapped == "vmap" else lambda stacked: jax.lax.map(train, stacked))

        def run() -> np.ndarray:
            return np.asarray(every(task.weights()[:3]).block_until_ready())

        return run

    return prepare
