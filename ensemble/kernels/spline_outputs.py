"""The exact training step for one input and one hidden layer with several outputs, or with labels: O((N + H) O).

The cell form of `spline_batches`, for all samples at once or for batches, with one line and one pair of sums for each
output. Any loss will do, as its gradient is taken sample by sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.kernels.batches import Batch, Words, order_of
from ensemble.kernels.cells import move, outputs_of, sums_from, write_factors
from ensemble.kernels.jit import inner, jit
from ensemble.kernels.kinks import Places
from ensemble.kernels.labels import entropy, entropy_gradient
from ensemble.kernels.samples import OutputSamples, room, rooms
from ensemble.kernels.search import PIVOTS, find, pairs
from ensemble.kernels.tiles import LANES, add_product, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import MSE, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["train"]

ONE = (0,)


class Work(NamedTuple):
    """Working arrays for the widest model, H units in rows of LANES, the largest part of the data and batch."""

    rows: Places  # (H,) row from which on a unit is on, as in search.find, and
    probe: Array  # (H,)
    pivots: Array  # (PIVOTS,)
    lines: Array  # (2 N + 2, 2) as in cells.outputs_of, zero between steps
    sums: Array  # (2 N + 2, 2) as in cells.sums_from, of one output
    p: Array  # (O, N) outputs, then their gradient
    peak: Array  # (N,) of labels each sample's largest logit, and
    total: Array  # (N,) the sum of exp(logit - largest)
    g: Array  # (P,) gradient, then direction of the step
    scale: Array  # (P,) factor of each parameter's learning rate, and
    decays: Array  # (P,) its weight decay
    state: Array  # (3, P) parameters, then moments, as in optimizers.Moments
    x: Array  # (B + 1,) the samples of a batch, as in search.find, and
    y: Array  # (O, B)
    words: Words  # as in batches.order_of, which
    batch: Batch
    ends: Batch
    order: Batch  # (N,) writes this


def train(samples: OutputSamples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    some = slice(span.first_model, span.last_model)
    n, sizes, outputs = samples.train.y.shape[1], rules.batch_size[some], rules.outputs
    h, largest = -(-int(models.width[some].max(initial=0)) // LANES) * LANES, int(sizes.max(initial=0))
    most = max(part.y.shape[1] for part in samples[:3])
    (rows,) = np.empty((1, h), np.int64)
    probe, pivots = room(h), room(PIVOTS)
    lines, sums = rooms(2, 2 * most + 2, 2)
    p = room(outputs, most)
    peak, total = rooms(2, most)
    size = (2 + outputs) * h + outputs
    state, (g, scale, decays) = room(3, size + -size % 8), rooms(3, size)
    x, y = np.zeros(largest + 1), np.zeros((len(samples.train.y), largest))
    words, batch, order = np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    ends = np.zeros(-(-n // int(sizes[sizes > 0].min(initial=n))), np.uint32)
    work = Work(
        rows, probe, pivots, lines, sums, p, peak, total, g, scale, decays, state, x, y, words,
        batch, ends, order,
    )  # fmt: skip
    with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
        train_models(samples, models, rules, history, span, work)


@inner
def forward(x: Array, size: int, theta: Array, h: int, outputs: int, work: Work) -> None:
    """Write the outputs p (O, S) of one model for S samples, x as in search.find."""
    rows, p = work.rows, work.p
    w, b, v, bias = theta[:h], theta[h : 2 * h], theta[2 * h :], theta[(2 + outputs) * h :]
    find(x, size, w, b, rows, work.probe, work.pivots)
    for o in range(outputs):
        outputs_of(x, size, rows, w, b, v[o * h : o * h + h], bias[o], work.lines, p[o])


@inner
def backward(x: Array, size: int, theta: Array, h: int, outputs: int, work: Work) -> None:
    """Write the gradient g (P,) of one model, from that of its outputs in p and the rows that `forward` found."""
    rows, sums, p, g = work.rows, work.sums, work.p, work.g
    for j in range(0, 2 * h, LANES):
        write_tile(g, j, zero_tile(ONE))
    for o in range(outputs):
        sums_from(x, size, p[o], sums)
        for j in range(0, h, LANES):
            at = (2 + o) * h + j
            r, rx = pairs(sums, rows, j, 2)
            w, b, v = read_tile(ONE, theta, j), read_tile(ONE, theta, h + j), read_tile(ONE, theta, at)
            write_tile(g, j, add_product(read_tile(ONE, g, j), v, rx))
            write_tile(g, h + j, add_product(read_tile(ONE, g, h + j), v, r))
            write_tile(g, at, add_product(add_product(zero_tile(ONE), w, rx), b, r))
        g[(2 + outputs) * h + o] = sums[0, 0]


@inner
def loss_gradient(loss: int, p: Array, y: Array, size: int, outputs: int, peak: Array, total: Array) -> None:
    """Replace outputs p (O, S) by the gradient of the loss, as in rules/losses.py; y (O, S), or labels (1, S)."""
    if loss != MSE:
        entropy_gradient(p, y[0], 0, size, outputs, 1.0 / size, peak, total)
        return
    for o in range(outputs):
        for s in range(size):
            p[o, s] = 2.0 / size / outputs * (p[o, s] - y[o, s])


@inner
def loss_of(loss: int, p: Array, y: Array, size: int, outputs: int, weights: Array) -> tuple[float, float]:
    """Return the loss of outputs p (O, S), as in rules/losses.py, and of labels the share that is right."""
    if loss != MSE:
        value, right = entropy(p, y[0], 0, size, outputs)
        return value / size, right / size
    value = 0.0
    for o in range(outputs):
        for s in range(size):
            value += weights[o] * (p[o, s] - y[o, s]) * (p[o, s] - y[o, s])
    return value / (size * outputs), 0.0


@jit
def train_models(
    samples: OutputSamples, models: Models, rules: Rules, history: History, span: Span, work: Work
) -> None:
    """Train some models through some epochs, in place."""
    p, peak, total, g, all_scale, all_decays, state, batch_x, batch_y, words, batch, all_ends, order = work[5:]
    parts, given = (samples.train, samples.test, samples.val), samples.given
    errors = (history.train, history.test, history.val)
    accuracies = (history.train_accuracy, history.test_accuracy, history.val_accuracy)
    all_x, all_y = samples.train
    column, loss, outputs, targets = history.column, rules.loss, rules.outputs, len(all_y)
    flat, kinds = (models.parameters, models.first, models.second), 3 if models.first.size else 1
    n, epochs = all_y.shape[1], column.size - 1
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] >= 0:
            continue
        width, start, end = models.width[m], models.starts[m], models.starts[m + 1]
        h = (width + LANES - 1) // LANES * LANES
        size = (2 + outputs) * h + outputs
        theta, first, second = state[0, :size], state[1, :size], state[2, :size]
        for i in range(kinds):
            move(flat[i][start:end], state[i], width, outputs, True)
        gradient, scale, decays, powers = g[:size], all_scale[:size], all_decays[:size], models.powers[m]
        decay = rules.weight_decay[m]
        write_factors(rules.layer_factors[m], decay, h, outputs, scale, decays)
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
        for i in range(kinds):
            move(flat[i][start:end], state[i], width, outputs, False)
