"""The exact training step for one input and one hidden layer with several outputs, or with labels: O((N + H) O).

The cell form of `spline_batches`, for all samples at once or for batches, with one line and one pair of sums for each
output. Any loss will do, as its gradient is taken sample by sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ensemble.kernels.batches import Batch, Words, order_of
from ensemble.kernels.cells import outputs_of, sums_from
from ensemble.kernels.jit import inner, jit
from ensemble.kernels.kinks import Places, find
from ensemble.kernels.labels import exp
from ensemble.kernels.samples import OutputSamples, rooms
from ensemble.kernels.updates import MSE, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["train"]


class Work(NamedTuple):
    """Working arrays for the widest model, the largest part of the data and the largest batch."""

    rows: Places  # (H,) row from which on a unit is on, as in kinks.find, and
    probe: Array  # (H,)
    slope: Array  # (H,) what a unit adds to the slope of an output, and
    intercept: Array  # (H,) to its intercept
    lines: Array  # (2 N + 2, 2) as in cells.outputs_of, zero between steps
    sum_r: Array  # (2 N + 2,) as in cells.sums_from, and
    sum_rx: Array  # (2 N + 2,) of one output
    p: Array  # (O, N) outputs, then their gradient
    peak: Array  # (N,) of labels each sample's largest logit, and
    total: Array  # (N,) the sum of exp(logit - largest)
    g: Array  # (P,) gradient, then direction of the step
    scale: Array  # (P,) factor of each parameter's learning rate, and
    decays: Array  # (P,) its weight decay
    x: Array  # (2 B + 2,) the samples of a batch, as in kinks.find, and
    y: Array  # (O, B)
    words: Words  # as in batches.order_of, which
    batch: Batch
    ends: Batch
    order: Batch  # (N,) writes this


def train(samples: OutputSamples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    some = slice(span.first_model, span.last_model)
    n, sizes, outputs = samples.train.y.shape[1], rules.batch_size[some], rules.outputs
    h, largest = int(models.width[some].max(initial=0)), int(sizes.max(initial=0))
    most = max(part.y.shape[1] for part in samples[:3])
    (rows,) = np.empty((1, h), np.int64)
    probe, slope, intercept = rooms(3, h)
    (lines,) = rooms(1, 2 * most + 2, 2)
    sum_r, sum_rx = rooms(2, 2 * most + 2)
    (p,) = rooms(1, outputs, most)
    peak, total = rooms(2, most)
    g, scale, decays = rooms(3, (2 + outputs) * h + outputs)
    x, y = np.zeros(2 * largest + 2), np.zeros((len(samples.train.y), largest))
    words, batch, order = np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    ends = np.zeros(-(-n // int(sizes[sizes > 0].min(initial=n))), np.uint32)
    work = Work(
        rows, probe, slope, intercept, lines, sum_r, sum_rx, p, peak, total, g, scale, decays, x, y, words, batch, ends,
        order,
    )  # fmt: skip
    with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
        train_models(samples, models, rules, history, span, work)


@inner
def forward(x: Array, size: int, theta: Array, h: int, outputs: int, work: Work) -> None:
    """Write the outputs p (O, S) of one model for S samples, x as in kinks.find."""
    rows, probe, slope, intercept, lines, p = work.rows, work.probe, work.slope, work.intercept, work.lines, work.p
    w, b, v, bias = theta[:h], theta[h : 2 * h], theta[2 * h :], theta[(2 + outputs) * h :]
    find(x, size, w, b, rows, probe)
    for o in range(outputs):
        for j in range(h):
            slope[j], intercept[j] = v[j * outputs + o] * w[j], v[j * outputs + o] * b[j]
        outputs_of(x, size, rows, slope, intercept, bias[o], h, lines, p[o])


@inner
def backward(x: Array, size: int, theta: Array, h: int, outputs: int, work: Work) -> None:
    """Write the gradient g (P,) of one model, from that of its outputs in p and the rows that `forward` found."""
    rows, sum_r, sum_rx, p, g = work.rows, work.sum_r, work.sum_rx, work.p, work.g
    for i in range(2 * h):
        g[i] = 0.0
    for o in range(outputs):
        sums_from(x, size, p[o], sum_r, sum_rx)
        for j in range(h):
            row, at = np.uint64(rows[j]), 2 * h + j * outputs + o
            r, rx = sum_r[row], sum_rx[row]
            g[j] += theta[at] * rx
            g[h + j] += theta[at] * r
            g[at] = theta[j] * rx + theta[h + j] * r
        g[(2 + outputs) * h + o] = sum_r[0]


@inner
def loss_gradient(loss: int, p: Array, y: Array, size: int, outputs: int, peak: Array, total: Array) -> None:
    """Replace outputs p (O, S) by the gradient of the loss, as in rules/losses.py; y (O, S), or labels (1, S)."""
    single, each = outputs == 1, 1.0 / size
    if loss == MSE:
        for o in range(outputs):
            for s in range(size):
                p[o, s] = 2.0 * each / outputs * (p[o, s] - y[o, s])
        return
    for s in range(size):
        peak[s] = 0.0 if single and not p[0, s] > 0.0 else p[0, s]  # one logit is beside a logit of 0 for label 0
    for o in range(1, outputs):
        for s in range(size):
            peak[s] = p[o, s] if p[o, s] > peak[s] else peak[s]
    for s in range(size):
        total[s] = exp(-peak[s]) if single else 0.0
    for o in range(outputs):
        for s in range(size):
            power = exp(p[o, s] - peak[s])
            p[o, s] = power
            total[s] += power
    for s in range(size):
        total[s] = each / total[s]
    for o in range(outputs):
        label = 1.0 if single else float(o)
        for s in range(size):
            p[o, s] = p[o, s] * total[s] - (each if y[0, s] == label else 0.0)


@inner
def loss_of(loss: int, p: Array, y: Array, size: int, outputs: int, weights: Array) -> tuple[float, float]:
    """Return the loss of outputs p (O, S), as in rules/losses.py, and of labels the share that is right."""
    value, right = 0.0, 0
    if loss == MSE:
        for o in range(outputs):
            for s in range(size):
                value += weights[o] * (p[o, s] - y[o, s]) * (p[o, s] - y[o, s])
        return value / (size * outputs), 0.0
    for s in range(size):
        label, best, peak, rest = int(y[0, s]), 0, p[0, s], 0.0
        if outputs == 1:
            best, rest, own = int(peak > 0.0), math.exp(-abs(peak)), peak if label == 1 else 0.0
            peak = peak if best == 1 else 0.0
        else:
            own = p[label, s]
            for o in range(1, outputs):
                if p[o, s] > peak:
                    best, peak = o, p[o, s]
            for o in range(outputs):
                rest += math.exp(p[o, s] - peak) if o != best else 0.0
        value += math.log1p(rest) + (peak - own)
        right += best == label
    return value / size, right / size


@jit
def train_models(
    samples: OutputSamples, models: Models, rules: Rules, history: History, span: Span, work: Work
) -> None:
    """Train some models through some epochs, in place."""
    p, peak, total, g, scale, decays, batch_x, batch_y, words, batch, all_ends, order = work[7:]
    parts, given = (samples.train, samples.test, samples.val), samples.given
    errors = (history.train, history.test, history.val)
    accuracies = (history.train_accuracy, history.test_accuracy, history.val_accuracy)
    all_x, all_y = samples.train
    column, loss, outputs, targets = history.column, rules.loss, rules.outputs, len(all_y)
    n, epochs = all_y.shape[1], column.size - 1
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] >= 0:
            continue
        h, start, end = models.width[m], models.starts[m], models.starts[m + 1]
        theta, first, second = models.parameters[start:end], models.first[start:end], models.second[start:end]
        gradient, powers = g[: theta.size], models.powers[m]
        rates, decay = rules.layer_factors[m], rules.weight_decay[m]
        for i in range(theta.size):
            kind = 0 if i < 2 * h else 3 if i < (2 + outputs) * h else 4
            scale[i], decays[i] = rates[kind], decay[kind]
        batch_size = rules.batch_size[m]
        steps = (n + batch_size - 1) // batch_size if batch_size > 0 else 1
        ends = all_ends[:steps]
        for turn in range((span.last_epoch - span.first_epoch) * steps + 1):
            number = turn % steps
            epoch = span.first_epoch + turn // steps
            if number == 0:
                column_now = column[epoch]
                if column_now >= 0 and (epoch < span.last_epoch or epoch == epochs):
                    for i in range(3):
                        size = parts[i].y.shape[1]
                        if size and (i == 0 or history.train[m, column_now] < np.inf):
                            forward(parts[i].x, size, theta, h, outputs, work)
                            value, share = loss_of(loss, p, parts[i].y, size, outputs, history.output_weights)
                            errors[i][m, column_now] = value if value <= np.inf else np.inf
                            if loss != MSE:
                                accuracies[i][m, column_now] = share if value < np.inf else 0.0
                    if not history.train[m, column_now] < np.inf:
                        history.diverged_at[m] = epoch
                        break
                if epoch == span.last_epoch:
                    break
                if batch_size > 0:
                    order_of(rules.pools, m, epoch, batch_size, given, words, batch, ends, order)
            x, y, size = all_x, all_y, n
            if batch_size > 0:
                begin = number * batch_size
                x, y, size = batch_x, batch_y, min(batch_size, n - begin)
                for s in range(size):
                    sample = order[begin + s]
                    x[s] = all_x[sample]
                    x[2 * size - s] = x[s]
                    for o in range(targets):
                        y[o, s] = all_y[o, sample]

            forward(x, size, theta, h, outputs, work)
            loss_gradient(loss, p, y, size, outputs, peak, total)
            backward(x, size, theta, h, outputs, work)
            if not rules.hidden_bias[m]:
                for j in range(h):
                    gradient[h + j] = 0.0
            if not rules.output_bias[m]:
                for o in range(outputs):
                    gradient[(2 + outputs) * h + o] = 0.0
            rate = rules.lr[m] * rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            if not step(
                rules.optimizer[m], rate, decay[0], rules.momentum[m], rules.beta2[m], powers, theta, gradient, first,
                second, rules.scaled[m], scale, decays,
            ):  # fmt: skip
                history.diverged_at[m] = epoch + 1
                break
