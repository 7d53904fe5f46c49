"""One model, plain loops: what the package computes, written a second time and without the package.

`original` is the training loop of the original report; everything else goes sample by sample and parameter by
parameter. Parameters of a network of any depth are a tuple (weights[0], biases[0], weights[1], ...); with one hidden
layer that is (w1 (D, H), b1 (H,), w2 (H,), b2), as the output's axis may be left out.
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


def parameters(network):
    """Return the arrays of a network of any depth as (weights[0], biases[0], weights[1], ...), views."""
    return tuple(part for pair in zip(network.weights, network.biases, strict=True) for part in pair)


def layers_of(parameters):
    """Return lists (weights, biases) of numbers, from arrays that alternate; the output may have an axis or not."""
    plain = [np.asarray(a, dtype=float) for a in parameters]
    *hidden, w, b = plain
    plain = [*hidden, w.reshape(len(w), -1), b.reshape(-1)]
    return [a.tolist() for a in plain[::2]], [a.tolist() for a in plain[1::2]]


def activations(row, weights, biases):
    """Return what each layer puts out for one sample: the inputs, every hidden layer after its ReLU, the outputs."""
    values = [row]
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        below, out = values[-1], []
        for j in range(len(b)):
            z = b[j]
            for i in range(len(below)):
                z += below[i] * w[i][j]
            out.append(max(z, 0.0) if layer < len(weights) - 1 else z)
        values.append(out)
    return values


def forward(x, *parameters):
    """Return the predictions as a list; parameters (weights[0], biases[0], weights[1], ...) of one output."""
    weights, biases = layers_of(parameters)
    return [activations(row, weights, biases)[-1][0] for row in np.asarray(x, dtype=float).tolist()]


def mse(predictions, y):
    return sum((p - t) ** 2 for p, t in zip(predictions, np.asarray(y).tolist(), strict=True)) / len(y)


def slopes(p, target, n, loss):
    """Return the gradient of the mean loss of n samples for the outputs of one, which has a target or a label."""
    if loss == "mse":
        return [2.0 * (a - t) / (n * len(p)) for a, t in zip(p, np.ravel(target).tolist(), strict=True)]
    logits = [0.0, *p] if len(p) == 1 else p
    powers = [math.exp(logit - max(logits)) for logit in logits]
    found = [(power / sum(powers) - (k == target)) / n for k, power in enumerate(powers)]
    return found[-len(p) :]


def gradient(x, y, *parameters, loss="mse"):
    """Return the gradient of the loss for each parameter, shaped as they are: back through the layers, unit by unit."""
    weights, biases = layers_of(parameters)
    dweights = [[[0.0] * len(row) for row in w] for w in weights]
    dbiases = [[0.0] * len(b) for b in biases]
    for row, target in zip(np.asarray(x, dtype=float).tolist(), np.asarray(y).tolist(), strict=True):
        values = activations(row, weights, biases)
        dz = slopes(values[-1], target, len(y), loss)
        for layer in range(len(weights) - 1, -1, -1):
            below, w = values[layer], weights[layer]
            dbelow = [0.0] * len(below)
            for j in range(len(dz)):
                dbiases[layer][j] += dz[j]
                for i in range(len(below)):
                    dweights[layer][i][j] += below[i] * dz[j]
                    dbelow[i] += w[i][j] * dz[j]
            dz = [d if value > 0 else 0.0 for d, value in zip(dbelow, below, strict=True)]  # a ReLU at 0 passes nothing
    found = [part for pair in zip(dweights, dbiases, strict=True) for part in pair]
    return tuple(np.reshape(g, np.shape(a)) for g, a in zip(found, parameters, strict=True))


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


def batches(seed, n, batch_size, epoch):
    """Return the samples of each batch of an epoch: shuffled by words of the seed's stream, two draws from each."""
    if batch_size == 0 or batch_size >= n:
        return [list(range(n))]
    words = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(2, epoch)))
    place, fraction = list(range(n)), None
    for k, i in enumerate(reversed(range(1, n))):
        word = int(words.random_raw()) if k % 2 == 0 else fraction
        j, fraction = word * (i + 1) // 2**64, word * (i + 1) % 2**64
        place[i], place[j] = place[j], place[i]
    count = (n + batch_size - 1) // batch_size
    return [[sample for sample in range(n) if place[sample] // batch_size == b] for b in range(count)]


def train(x, y, weights, epochs, spec, loss="mse"):
    """Return the weights after `epochs` passes over the data; `spec` is one model's settings, a dict by column."""
    shapes = [np.shape(a) for a in weights]
    values = [float(v) for a in weights for v in np.ravel(a)]
    layers = len(weights) // 2
    flags = [True, spec["hidden_bias"]] * (layers - 1) + [True, spec["output_bias"]]
    trained = [on for on, a in zip(flags, weights, strict=True) for _ in range(np.size(a))]
    inner, outer = spec["hidden_lr_factor"], spec["output_lr_factor"]
    factors = [inner] * (len(weights) - 2) + [outer] * 2
    factors = [factor for factor, a in zip(factors, weights, strict=True) for _ in range(np.size(a))]
    rules = [OPTIMIZERS[spec["optimizer"]](spec["momentum"], spec["beta2"]) for _ in values]

    def unflatten():
        arrays, at = [], 0
        for shape in shapes:
            size = math.prod(shape)
            arrays.append(np.array(values[at : at + size]).reshape(shape))
            at += size
        return arrays

    steps = [batch for t in range(epochs) for batch in batches(spec["seed"], len(y), spec["batch_size"], t)]
    for t, batch in enumerate(steps):
        g = [float(v) for a in gradient(x[batch], y[batch], *unflatten(), loss=loss) for v in np.ravel(a)]
        step = rate(spec["lr"], spec["schedule"], t, len(steps))
        for i, rule in enumerate(rules):
            if trained[i] and factors[i] > 0:
                values[i] -= step * factors[i] * (rule.direction(g[i]) + spec["weight_decay"] * values[i])
    return unflatten()
