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
    """M models of one shape and learning rate, trained by full-batch gradient descent."""

    specs: ensemble.Specs
    data: ensemble.Dataset
    epochs: int

    @property
    def lr(self) -> float:
        """The rate of all models."""
        return float(self.specs.lr[0])

    def stack(self):
        """Return the initial networks, batched."""
        width, hidden_layers = int(self.specs.width[0]), int(self.specs.hidden_layers[0])
        return ensemble.initialize(self.specs, self.data.n_inputs).stack(width, hidden_layers)

    def parameters(self) -> list[np.ndarray]:
        """Return copies of the initial w (M, in, H) and b (M, H) of each hidden layer, then w (M, H) of the output."""
        stack = self.stack()
        hidden = [a.copy() for layer in zip(stack.weights[:-1], stack.biases[:-1], strict=True) for a in layer]
        return [*hidden, stack.weights[-1][..., 0].copy()]


def by_layer(parameters):
    """Split `Task.parameters()`, or those of one model, into the hidden layers' (w, b) and the output's w."""
    *hidden, output = parameters
    return list(zip(hidden[::2], hidden[1::2], strict=True)), output


def network(x, parameters, relu):
    """Return the outputs (N,) of one model, in PyTorch or JAX."""
    hidden, output = by_layer(parameters)
    for w, b in hidden:
        x = relu(x @ w + b)
    return x @ output


def engine(name: str, threads: int) -> Callable[[Task], Run]:
    """This library's own engines."""

    def prepare(task: Task) -> Run:
        def run() -> np.ndarray:
            result = ensemble.train(
                task.specs, task.data, epochs=task.epochs, record=[], engine=name, threads=threads, progress=False
            )
            return result.train_loss[:, -1]

        return run

    return prepare


# ---- NumPy and scikit-learn ----


def numpy_loop(task: Task) -> Run:
    """The original report's way: a Python loop over models, matrix products and ReLUs in NumPy."""
    x, y = task.data.x_train, task.data.y_train

    def train(parameters) -> float:
        hidden, w = by_layer(parameters)
        linear = [*(layers.Matmul(w, b) for w, b in hidden), layers.Matmul(w[:, None], np.zeros(1))]
        net = [layer for one in linear for layer in (one, layers.Relu())][:-1]

        def forward():
            h = x
            for layer in net:
                h = layer.forward(h)
            return layers.mse(h[:, 0], y)

        for _ in range(task.epochs):
            d = forward()[1][:, None]
            for layer in reversed(net):
                d = layer.backward(d)
            for layer in linear:
                layer.w = layer.w - task.lr * layer.dw
            for layer in linear[:-1]:
                layer.b = layer.b - task.lr * layer.db
        return forward()[0]

    return lambda: np.array([train(parameters) for parameters in zip(*task.parameters(), strict=True)])


def numpy_batched(task: Task) -> Run:
    """All models as one stack of batched matrix products in NumPy: this library's readable engine."""
    return engine("numpy", 1)(task)


def scikit_learn(task: Task) -> Run:
    """MLPRegressor, one model after the other: sgd, full batches, no momentum, no shuffling, never stopped early.

    Its loss is half of ours, so its rate is twice ours; it always trains an output bias, so the task must too.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    x, y = task.data.x_train, task.data.y_train

    def run() -> np.ndarray:
        errors = []
        for w1, b1, w2, b2 in zip(*task.parameters(), task.stack().biases[1].copy(), strict=True):
            model = MLPRegressor(
                hidden_layer_sizes=w2.shape,
                solver="sgd",
                learning_rate_init=2 * task.lr,
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
            model.coefs_, model.intercepts_ = [w1, w2[:, None]], [b1, b2]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x, y)
            errors.append(np.mean((model.predict(x) - y) ** 2))
        return np.array(errors)

    return run


# ---- PyTorch ----


def _torch_tensors(task: Task):
    import torch

    return torch, torch.from_numpy(np.array(task.data.x_train)), torch.from_numpy(np.array(task.data.y_train))


def torch_loop(task: Task) -> Run:
    """PyTorch modules, autograd and optim.SGD, one model after the other."""
    torch, x, y = _torch_tensors(task)

    def linear(w, b=None):
        module = torch.nn.Linear(*w.shape, bias=b is not None, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(w.T.copy()))
            if b is not None:
                module.bias.copy_(torch.from_numpy(b))
        return module

    def train(parameters) -> float:
        hidden, output = by_layer(parameters)
        modules = [module for w, b in hidden for module in (linear(w, b), torch.nn.ReLU())]
        net = torch.nn.Sequential(*modules, linear(output[:, None]))
        optimizer = torch.optim.SGD(net.parameters(), lr=task.lr)
        for _ in range(task.epochs):
            optimizer.zero_grad()
            loss = ((net(x)[:, 0] - y) ** 2).mean()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float(((net(x)[:, 0] - y) ** 2).mean())

    return lambda: np.array([train(parameters) for parameters in zip(*task.parameters(), strict=True)])


def torch_vmap(compiled: bool) -> Callable[[Task], Run]:
    """torch.func: vmap over models of the gradient of one model's loss."""

    def prepare(task: Task) -> Run:
        torch, x, y = _torch_tensors(task)

        def loss(parameters):
            return ((network(x, parameters, torch.relu) - y) ** 2).mean()

        gradient = torch.func.vmap(torch.func.grad(loss))

        def step(parameters):
            return [w - task.lr * d for w, d in zip(parameters, gradient(parameters), strict=True)]

        step = torch.compile(step, dynamic=False) if compiled else step

        def run() -> np.ndarray:
            parameters = [torch.from_numpy(values) for values in task.parameters()]
            with torch.no_grad():
                for _ in range(task.epochs):
                    parameters = step(parameters)
                return torch.func.vmap(loss)(parameters).numpy()

        return run

    return prepare


def torch_bmm(task: Task) -> Run:
    """Stacked weights and torch.bmm, the gradient by autograd."""
    torch, x, y = _torch_tensors(task)

    def run() -> np.ndarray:
        parameters = [torch.from_numpy(values).requires_grad_() for values in task.parameters()]
        hidden, output = by_layer(parameters)

        def errors():
            h = x.expand(len(output), *x.shape)
            for w, b in hidden:
                h = torch.relu(torch.baddbmm(b[:, None, :], h, w))
            return ((torch.bmm(h, output[:, :, None])[..., 0] - y) ** 2).mean(dim=1)

        for _ in range(task.epochs):
            gradients = torch.autograd.grad(errors().sum(), parameters)
            with torch.no_grad():
                for w, d in zip(parameters, gradients, strict=True):
                    w -= task.lr * d
        with torch.no_grad():
            return errors().numpy()

    return run


# ---- JAX ----


def jax_scan(mapped: str) -> Callable[[Task], Run]:
    """JAX under jit: lax.scan over epochs, and over models vmap or lax.map."""

    def prepare(task: Task) -> Run:
        import jax

        jax.config.update("jax_enable_x64", True)
        x, y = np.array(task.data.x_train), np.array(task.data.y_train)

        def loss(parameters):
            return ((network(x, parameters, jax.nn.relu) - y) ** 2).mean()

        def step(parameters, _):
            return jax.tree.map(lambda w, d: w - task.lr * d, parameters, jax.grad(loss)(parameters)), None

        def train(parameters):
            return loss(jax.lax.scan(step, parameters, None, length=task.epochs)[0])

        every = jax.jit(jax.vmap(train) if mapped == "vmap" else lambda stacked: jax.lax.map(train, stacked))

        def run() -> np.ndarray:
            return np.asarray(every(task.parameters()).block_until_ready())

        return run

    return prepare
