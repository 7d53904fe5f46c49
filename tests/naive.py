"""One model, plain loops: what the package computes, written a second time and without the package.

`original` is the training loop of the original report; everything else goes sample by sample and parameter by
parameter. Weights are a tuple (w1 (D, H), b1 (H,), w2 (H,), b2).
"""

import itertools
import math

import numpy as np

# ---- the original report's loop: layers as classes, full-batch gradient descent, no output bias ----


class Matmul:
    def __init__(self, w, b=None):
        self.w, self.b = w, b

    def forward(self, x):
        self.x = x
        y = np.matmul(x, self.w)
        return y if self.b is None else y + self.b

    def backward(self, dy):
        self.dw = np.matmul(self.x.T, dy)
        self.db = np.sum(dy, axis=0)
        return np.matmul(dy, self.w.T)


class Relu:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return dy * (self.x > 0)


def original(x, y, weights, epochs, lr=0.1):
    """Return the trained weights and the training MSE of every epoch, 0 and the last among them."""
    w1, b1, w2, b2 = weights
    first, relu, second = Matmul(w1.copy(), b1.copy()), Relu(), Matmul(w2.reshape(-1, 1).copy())
    y = y.reshape(-1, 1)
    losses = []
    for epoch in range(epochs + 1):
        p = second.forward(relu.forward(first.forward(x)))
        losses.append(np.mean((p - y) ** 2))
        if epoch == epochs:
            break
        first.backward(relu.backward(second.backward(2 * (p - y) / len(y))))
        first.w -= lr * first.dw
        first.b -= lr * first.db
        second.w -= lr * second.dw
    return (first.w, first.b, second.w[:, 0], b2), losses


# ---- forward and backward, scalar by scalar ----


def four(network):
    """Return the arrays of a network with one hidden layer and one output as (w1, b1, w2 (H,), b2 ()), views."""
    (w1, w2), (b1, b2) = network.weights, network.biases
    return w1, b1, w2[:, 0], b2[0:1].reshape(())


def deep_network():
    """Return weights and biases of units 3, 5, 5 and 2, and inputs (50, 3)."""
    rng = np.random.default_rng(2)
    units = [3, 5, 5, 2]
    weights = [rng.normal(size=pair) for pair in itertools.pairwise(units)]
    return weights, [rng.normal(size=n) for n in units[1:]], rng.normal(size=(50, 3))


def forward(x, w1, b1, w2, b2):
    """Return the predictions as a list."""
    x, w1, b1, w2 = (np.asarray(a).tolist() for a in (x, w1, b1, w2))
    predictions = []
    for row in x:
        p = float(b2)
        for j in range(len(b1)):
            z = sum(row[i] * w1[i][j] for i in range(len(row))) + b1[j]
            if z > 0:
                p += z * w2[j]
        predictions.append(p)
    return predictions


def mse(predictions, y):
    return sum((p - t) ** 2 for p, t in zip(predictions, np.asarray(y).tolist(), strict=True)) / len(y)


def gradient(x, y, w1, b1, w2, b2):
    """Return dL/dw1 (D, H), dL/db1 (H,), dL/dw2 (H,) and dL/db2 of the MSE."""
    predictions = forward(x, w1, b1, w2, b2)
    x, y, w1, b1, w2 = (np.asarray(a).tolist() for a in (x, y, w1, b1, w2))
    d, h = len(w1), len(b1)
    dw1, db1, dw2, db2 = [[0.0] * h for _ in range(d)], [0.0] * h, [0.0] * h, 0.0
    for row, target, p in zip(x, y, predictions, strict=True):
        dp = 2.0 * (p - target) / len(y)
        db2 += dp
        for j in range(h):
            z = sum(row[i] * w1[i][j] for i in range(d)) + b1[j]
            if z > 0:
                dw2[j] += dp * z
                db1[j] += dp * w2[j]
                for i in range(d):
                    dw1[i][j] += dp * w2[j] * row[i]
    return np.array(dw1), np.array(db1), np.array(dw2), np.array(db2)


# ---- the update rules, one parameter at a time ----


class GradientDescent:
    def __init__(self, momentum, beta2):
        pass

    def direction(self, g):
        return g


class Momentum:
    def __init__(self, momentum, beta2):
        self.momentum, self.velocity = momentum, 0.0

    def direction(self, g):
        self.velocity = self.momentum * self.velocity + g
        return self.velocity


class Adam:
    def __init__(self, momentum, beta2):
        self.beta1, self.beta2, self.m, self.v, self.t = momentum, beta2, 0.0, 0.0, 0

    def direction(self, g):
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g**2
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        return m_hat / (math.sqrt(v_hat) + 1e-8)


OPTIMIZERS = {"gd": GradientDescent, "momentum": Momentum, "adam": Adam}


def rate(lr, schedule, t, epochs):
    return lr if schedule == "constant" else lr * (1 + math.cos(math.pi * t / epochs)) / 2


def train(x, y, weights, epochs, spec):
    """Return the weights after `epochs` updates; `spec` is one model's settings, a dict by column."""
    shapes = [np.shape(a) for a in weights]
    values = [float(v) for a in weights for v in np.ravel(a)]
    trained = [on for on, a in zip((True, spec["hidden_bias"], True, spec["output_bias"]), weights, strict=True)
               for _ in range(np.size(a))]  # fmt: skip
    rules = [OPTIMIZERS[spec["optimizer"]](spec["momentum"], spec["beta2"]) for _ in values]

    def unflatten():
        arrays, at = [], 0
        for shape in shapes:
            size = math.prod(shape)
            arrays.append(np.array(values[at : at + size]).reshape(shape))
            at += size
        return arrays

    for t in range(epochs):
        g = [float(v) for a in gradient(x, y, *unflatten()) for v in np.ravel(a)]
        step = rate(spec["lr"], spec["schedule"], t, epochs)
        for i, rule in enumerate(rules):
            if trained[i]:
                values[i] -= step * (rule.direction(g[i]) + spec["weight_decay"] * values[i])
    return unflatten()
