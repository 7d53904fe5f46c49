"""The exact training step for one-dimensional inputs on a batch of samples, O(B + H log B): the cell form of `spline`.

An epoch's batches are drawn and sorted once, by counting, and each step searches its batch for every kink. The changes
that rising units make are added up from the left, those of falling ones from the right, and so are the sums of r and
r u that their gradients need: no difference of two sums is ever taken.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.kernels.batches import Batch, Words, order_of
from ensemble.kernels.cells import evaluate
from ensemble.kernels.jit import jit
from ensemble.kernels.kinks import Places, find
from ensemble.kernels.samples import Samples, rooms
from ensemble.kernels.updates import GD, WEIGHT_LIMIT, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["train"]


class Work(NamedTuple):
    """Working arrays for the widest model, the largest part of the data and the largest batch."""

    cell: Places  # (H,) number of samples left of a unit's kink; then the row of `jumps` and `sums` that it uses
    probe: Array  # (H,) as in kinks.find
    slope: Array  # (H,) what a unit adds to A, and
    intercept: Array  # (H,) to B
    unit_r: Array  # (H,) sum of r over the samples on which a unit is on, and
    unit_ru: Array  # (H,) of r u
    g: Array  # (3 H + 1,) gradient, then direction of the step
    scale: Array  # (3 H + 1,) factor of each parameter's learning rate, and
    decays: Array  # (3 H + 1,) its weight decay
    all_jumps: Array  # (N + 1, 2) as in cells.evaluate
    jumps: Array  # (2 B + 2, 2) changes of A and B by rising units per sample, then by falling ones; zero between steps
    sums: Array  # (2 B + 2, 2) sums of r and r u from a sample on, then before a sample
    lines: Array  # (B, 4) A and B of rising units and of falling ones
    words: Words  # as in batches.order_of, which
    batch: Batch
    ends: Batch
    order: Batch  # (N,) writes this
    x: Array  # (B,) the batch's samples,
    u: Array  # (B,) their u, and
    t: Array  # (B,) t


def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train those models that have batches through some epochs, in place."""
    some = slice(span.first_model, span.last_model)
    n, sizes = samples.train.x.size, rules.batch_size[some]
    h, largest = int(models.width[some].max()), int(sizes.max())
    cell = np.empty(h, np.int64)
    probe, slope, intercept, unit_r, unit_ru = rooms(5, h)
    g, scale, decays = rooms(3, 3 * h + 1)
    (all_jumps,) = rooms(1, max(part.x.size for part in samples[:3]) + 1, 2)
    jumps, sums = rooms(2, 2 * largest + 2, 2)
    (lines,) = rooms(1, largest, 4)
    x, u, t = rooms(3, largest)
    words, batch, order = np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    ends = np.zeros(-(-n // int(sizes[sizes > 0].min())), np.uint32)
    work = Work(
        cell, probe, slope, intercept, unit_r, unit_ru, g, scale, decays, all_jumps, jumps, sums, lines, words, batch,
        ends, order, x, u, t,
    )  # fmt: skip
    train_models(samples, models, rules, history, span, work)


@jit
def train_models(samples: Samples, models: Models, rules: Rules, history: History, span: Span, work: Work) -> None:
    """Train those models that have batches through some epochs, in place: one function, as in `spline`."""
    x_mean, y_mean, given = samples.x_mean, samples.y_mean, samples.given
    all_x, all_u, all_t, _ = samples.train
    cell, probe, slope, intercept, unit_r, unit_ru, g, scale, decays = work[:9]
    all_jumps, jumps, sums, lines = work[9:13]
    words, batch, all_ends, order, xs, u, t = work[13:]
    column, parts = history.column, (samples.train, samples.test, samples.val)
    errors = (history.train, history.test, history.val)
    n, epochs = all_x.size, history.column.size - 1
    for m in range(span.first_model, span.last_model):
        batch_size = rules.batch_size[m]
        if history.diverged_at[m] >= 0 or batch_size == 0:
            continue
        h, start = models.width[m], models.starts[m]
        theta = models.parameters[start : start + 3 * h + 1]
        w, b, v = theta[:h], theta[h : 2 * h], theta[2 * h : 3 * h]
        first, second = models.first[start : start + 3 * h + 1], models.second[start : start + 3 * h + 1]
        powers = models.powers[m]
        optimizer, lr, momentum, beta2 = rules.optimizer[m], rules.lr[m], rules.momentum[m], rules.beta2[m]
        hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
        rates, decay, scaled = rules.layer_factors[m], rules.weight_decay[m], rules.scaled[m]
        hidden_factor, output_factor, hidden_decay, output_decay = rates[0], rates[3], decay[0], decay[3]
        for i in range(3 * h + 1):
            kind = 0 if i < 2 * h else 3 if i < 3 * h else 4
            scale[i], decays[i] = rates[kind], decay[kind]
        bias_factor = hidden_factor if hidden_bias else 0.0
        steps = (n + batch_size - 1) // batch_size
        ends = all_ends[:steps]
        inside = True
        for turn in range((span.last_epoch - span.first_epoch) * steps + 1):
            number = turn % steps
            epoch = span.first_epoch + turn // steps
            if number == 0:
                column_now = column[epoch]
                if column_now >= 0 and (epoch < span.last_epoch or epoch == epochs):
                    find(all_x, w, b, h, cell, probe)
                    for i in range(3):
                        if parts[i].x.size and (i == 0 or history.train[m, column_now] < np.inf):
                            error = evaluate(parts[i], i == 0, cell, x_mean, y_mean, h, theta, all_jumps)
                            errors[i][m, column_now] = error if error <= np.inf else np.inf
                    if not history.train[m, column_now] < np.inf:
                        history.diverged_at[m] = epoch
                        break
                if epoch == span.last_epoch:
                    break
                order_of(rules.pools, m, epoch, batch_size, given, words, batch, ends, order)

            begin = number * batch_size
            size = min(batch_size, n - begin)
            for s in range(size):
                sample = order[begin + s]
                xs[s], u[s], t[s] = all_x[sample], all_u[sample], all_t[sample]
            find(xs[:size], w, b, h, cell, probe)
            for j in range(h):
                wj, vj = w[j], v[j]
                slope[j], intercept[j] = vj * wj, vj * (b[j] + wj * x_mean)
                cell[j] += size + 1 if wj < 0.0 else 0
            for j in range(h):
                row = np.uint64(cell[j])  # pairs are read, then written: the compiler moves them as one
                jump_a, jump_b = jumps[row, 0] + slope[j], jumps[row, 1] + intercept[j]
                jumps[row, 0], jumps[row, 1] = jump_a, jump_b
            # Rising units are on from their cell on, falling ones before it: one sum from either side.
            rising_a, rising_b, falling_a, falling_b = 0.0, theta[3 * h] - y_mean, 0.0, 0.0
            for s in range(size):
                other = size - 1 - s
                rising_a += jumps[s, 0]
                rising_b += jumps[s, 1]
                falling_a += jumps[size + 2 + other, 0]
                falling_b += jumps[size + 2 + other, 1]
                lines[s, 0], lines[s, 1] = rising_a, rising_b
                lines[other, 2], lines[other, 3] = falling_a, falling_b
            for row in range(2 * size + 2):
                jumps[row, 0], jumps[row, 1] = 0.0, 0.0
            for s in range(size):
                r = (lines[s, 0] + lines[s, 2]) * u[s] + (lines[s, 1] + lines[s, 3] - t[s])
                lines[s, 0], lines[s, 1] = r, r * u[s]
            right_r, right_ru, left_r, left_ru = 0.0, 0.0, 0.0, 0.0
            sums[size, 0], sums[size, 1] = 0.0, 0.0
            sums[size + 1, 0], sums[size + 1, 1] = 0.0, 0.0
            for s in range(size):
                other = size - 1 - s
                left_r += lines[s, 0]
                left_ru += lines[s, 1]
                right_r += lines[other, 0]
                right_ru += lines[other, 1]
                sums[other, 0], sums[other, 1] = right_r, right_ru
                sums[size + 2 + s, 0], sums[size + 2 + s, 1] = left_r, left_ru
            for j in range(h):
                row = np.uint64(cell[j])
                unit_r[j], unit_ru[j] = sums[row, 0], sums[row, 1]

            c = 2.0 / size
            rate = lr * rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            db2 = c * left_r if output_bias else 0.0
            if optimizer == GD and hidden_factor * output_factor > 0.0:  # none is frozen: without a detour through g
                new = theta[3 * h] - rate * (rates[4] * db2 + output_decay * theta[3 * h])
                theta[3 * h] = new
                outside = 0 if abs(new) <= WEIGHT_LIMIT else 1
                for j in range(h):
                    wj, bj, vj = w[j], b[j], v[j]
                    r0 = c * unit_r[j]
                    r1 = c * unit_ru[j] + x_mean * r0
                    new_w = wj - rate * (hidden_factor * (vj * r1) + hidden_decay * wj)
                    new_b = bj - rate * (bias_factor * (vj * r0) + hidden_decay * bj)
                    new_v = vj - rate * (output_factor * (wj * r1 + bj * r0) + output_decay * vj)
                    w[j], b[j], v[j] = new_w, new_b, new_v
                    within = (abs(new_w) <= WEIGHT_LIMIT) & (abs(new_b) <= WEIGHT_LIMIT) & (abs(new_v) <= WEIGHT_LIMIT)
                    outside += not within  # a NaN compares false
                inside = outside == 0
            else:
                for j in range(h):
                    wj, bj, vj = w[j], b[j], v[j]
                    r0 = c * unit_r[j]
                    r1 = c * unit_ru[j] + x_mean * r0
                    g[j] = vj * r1
                    g[h + j] = vj * r0 if hidden_bias else 0.0
                    g[2 * h + j] = wj * r1 + bj * r0
                g[3 * h] = db2
                inside = step(
                    optimizer, rate, hidden_decay, momentum, beta2, powers, theta, g, first, second, scaled, scale,
                    decays,
                )  # fmt: skip
            if not inside:
                history.diverged_at[m] = epoch + 1
                break
