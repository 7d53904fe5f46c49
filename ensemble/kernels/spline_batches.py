"""The exact training step for one-dimensional inputs on a batch of samples, O(B + H): the cell form of `spline`.

A unit's kink is tracked among all samples, as in `spline`: it moves little from step to step, though each step sees
other samples. How many of the batch's samples are left of it is then read from a table, made for each batch in O(B):
the number of the batch's samples before each of at most 16 B places among all. An epoch's batches are drawn and sorted
once, by counting.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.batches import Batch, Words, order_of
from ensemble.kernels.cells import MANY, evaluate, total
from ensemble.kernels.jit import jit
from ensemble.kernels.kinks import Places, guess, is_left, locate
from ensemble.kernels.samples import Samples, rooms
from ensemble.kernels.updates import GD, WEIGHT_LIMIT, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["train"]

FILL = 32  # counts written at once: most gaps between two samples of a batch are shorter
COUNTS = 16  # of the table, for each sample of a batch, at most


class Work(NamedTuple):
    """Working arrays for the widest model, the largest part of the data and the largest batch."""

    k: Places  # (H,) switch positions among the training samples
    low: Array  # (H,) x[k-1], and
    high: Array  # (H,) x[k]: between them a kink moves without a new search
    moved: Places  # (H,) whether a unit's kink is elsewhere, then the list of those units
    slope: Array  # (H,) what a unit adds to A at k, and
    intercept: Array  # (H,) to B
    before_r: Array  # (H,) what it adds to A left of all samples; then the sum of r before k
    before_ru: Array  # (H,) the same of B, and of r u
    g: Array  # (3 H + 1,) gradient, then direction of the step
    scale: Array  # (3 H + 1,) factor of each parameter's learning rate, and
    decays: Array  # (3 H + 1,) its weight decay
    jumps: Array  # (N + 1, 2) changes of A and B per sample, zero between steps
    sums: Array  # (B + 1, 2) sums of r and r u before a sample
    words: Words  # as in batches.order_of, which
    batch: Batch
    ends: Batch
    order: Batch  # (N,) writes this
    at: Places  # (B + 1,) the batch's samples among all, and an end
    u: Array  # (B,) their u, and
    t: Array  # (B,) t
    table: NDArray[np.uint32]  # number of the batch's samples before each 2^shift-th of all
    left: Places  # (H,) number of the batch's samples left of each kink


def train(samples: Samples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train those models that have batches through some epochs, in place."""
    some = slice(span.first_model, span.last_model)
    n, sizes = samples.train.x.size, rules.batch_size[some]
    h, largest = int(models.width[some].max()), int(sizes.max())
    k, moved, left = np.empty((3, h), np.int64)
    low, high, slope, intercept, before_r, before_ru = rooms(6, h)
    g, scale, decays = rooms(3, 3 * h + 1)
    (jumps,) = rooms(1, max(part.x.size for part in samples[:3]) + 1, 2)
    (sums,) = rooms(1, largest + 1, 2)
    u, t = rooms(2, largest)
    at = np.empty(largest + 1, np.int64)
    words, batch, order = np.zeros(n // 2 + 4, np.uint64), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    ends = np.zeros(-(-n // int(sizes[sizes > 0].min())), np.uint32)
    table = np.zeros(min(n, COUNTS * largest) + 2 + FILL, np.uint32)
    work = Work(
        k, low, high, moved, slope, intercept, before_r, before_ru, g, scale, decays, jumps, sums, words, batch, ends,
        order, at, u, t, table, left,
    )  # fmt: skip
    train_models(samples, models, rules, history, span, work)


@jit
def train_models(samples: Samples, models: Models, rules: Rules, history: History, span: Span, work: Work) -> None:
    """Train those models that have batches through some epochs, in place: one function, as in `spline`."""
    guide, lowest, per_x, edges, given = samples.guide, samples.lowest, samples.per_x, samples.edges, samples.given
    x_mean, y_mean = samples.x_mean, samples.y_mean
    x, all_u, all_t, _ = samples.train
    k, low, high, moved, slope, intercept, before_r, before_ru = work[:8]
    g, scale, decays, jumps, sums = work[8:13]
    words, batch, all_ends, order, at, u, t, table, left_of = work[13:]
    column, parts = history.column, (samples.train, samples.test, samples.val)
    errors = (history.train, history.test, history.val)
    n, epochs = x.size, history.column.size - 1
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
        shift = 0
        while n >> shift > COUNTS * batch_size:
            shift += 1
        for j in range(h):  # any place: the first step searches all, as none is between its samples
            k[j], low[j], high[j] = 1 if w[j] < 0.0 else 0, np.nan, np.nan
        inside = True
        for turn in range((span.last_epoch - span.first_epoch) * steps + 1):
            number = turn % steps
            epoch = span.first_epoch + turn // steps
            # Where each kink is among all samples: most that leave their place move by one.
            count = 0
            for j in range(h):
                wj, bj = w[j], b[j]
                falls = wj < 0.0
                right = ((wj * high[j] + bj > 0.0) == falls) & (k[j] < n)  # for w = 0 all is left of the kink
                left = (wj * low[j] + bj > 0.0) != falls
                k[j] = k[j] + right - left
                count = count + right + left
            if count:
                if n > MANY or turn == 0:
                    for j in range(h):  # among many samples a kink moves past many in a step
                        if is_left(high[j], w[j], b[j]) or not is_left(low[j], w[j], b[j]):
                            k[j] = guess(guide, lowest, per_x, w[j], b[j])
                for j in range(h):  # which may be far: they are fetched side by side, as no branch waits for them
                    place = np.uint64(k[j])
                    low[j], high[j] = edges[place], edges[place + np.uint64(1)]
                count = 0
                for j in range(h):
                    is_moved = ((w[j] * high[j] + b[j] > 0.0) == (w[j] < 0.0)) & (k[j] < n)
                    is_moved |= (w[j] * low[j] + b[j] > 0.0) != (w[j] < 0.0)
                    moved[j] = is_moved
                    count += is_moved
                if count:
                    count = 0
                    for j in range(h):  # list them: a branch per unit would be mispredicted at every one that moved
                        is_moved = moved[j]
                        moved[count] = j
                        count += is_moved
                    for i in range(count):
                        j = moved[i]
                        k[j] = locate(x, w[j], b[j], k[j])
                        low[j], high[j] = edges[k[j]], edges[k[j] + 1]

            if number == 0:
                column_now = column[epoch]
                if column_now >= 0 and (epoch < span.last_epoch or epoch == epochs):
                    for i in range(3):
                        if parts[i].x.size and (i == 0 or history.train[m, column_now] < np.inf):
                            error = evaluate(parts[i], i == 0, k, x_mean, y_mean, h, theta, jumps)
                            errors[i][m, column_now] = error if error <= np.inf else np.inf
                    if not history.train[m, column_now] < np.inf:
                        history.diverged_at[m] = epoch
                        break
                if epoch == span.last_epoch:
                    break
                order_of(rules.pools, m, epoch, batch_size, given, words, batch, ends, order)

            # The batch's samples, and how many of them are before each 2^shift-th of all.
            begin = number * batch_size
            size = min(batch_size, n - begin)
            start = 0
            for s in range(size + 1):
                for i in range(start, start + FILL):
                    table[i] = s
                sample = int(order[begin + s]) if s < size else n
                after = (sample >> shift) + 1
                for i in range(start + FILL, after):  # seldom
                    table[i] = s
                at[s], start = sample, after
            for s in range(size):
                u[s], t[s] = all_u[at[s]], all_t[at[s]]
            for j in range(h):
                left_of[j] = table[np.uint64(k[j] >> shift)]
            if shift:
                for j in range(h):
                    while at[left_of[j]] < k[j]:
                        left_of[j] += 1

            leftmost = x[at[0]]
            for j in range(h):
                wj, bj, vj = w[j], b[j], v[j]
                falls = wj < 0.0
                starts_on = falls & (wj * leftmost + bj > 0.0)
                rise, height = vj * wj, vj * (bj + wj * x_mean)
                left_rise, left_height = rise if starts_on else 0.0, height if starts_on else 0.0
                before_r[j], before_ru[j] = left_rise, left_height
                slope[j] = -left_rise if falls else rise
                intercept[j] = -left_height if falls else height
            slope_now, value_now = total(before_r, h), total(before_ru, h) + (theta[3 * h] - y_mean)
            for j in range(h):
                cell = np.uint64(left_of[j])  # pairs are read, then written: the compiler moves them as one
                jump_a, jump_b = jumps[cell, 0] + slope[j], jumps[cell, 1] + intercept[j]
                jumps[cell, 0], jumps[cell, 1] = jump_a, jump_b
            sum_r, sum_ru = 0.0, 0.0
            for s in range(size):
                slope_now += jumps[s, 0]
                value_now += jumps[s, 1]
                r = slope_now * u[s] + (value_now - t[s])
                r_u = r * u[s]
                jumps[s, 0], jumps[s, 1] = 0.0, 0.0
                sums[s, 0], sums[s, 1] = sum_r, sum_ru
                sum_r += r
                sum_ru += r_u
            jumps[size, 0], jumps[size, 1] = 0.0, 0.0
            sums[size, 0], sums[size, 1] = sum_r, sum_ru
            for j in range(h):
                cell = np.uint64(left_of[j])
                before_r[j], before_ru[j] = sums[cell, 0], sums[cell, 1]

            c = 2.0 / size
            rate = lr * rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            db2 = c * sum_r if output_bias else 0.0
            if optimizer == GD and hidden_factor * output_factor > 0.0:  # none is frozen: without a detour through g
                new = theta[3 * h] - rate * (rates[4] * db2 + output_decay * theta[3 * h])
                theta[3 * h] = new
                outside = 0 if abs(new) <= WEIGHT_LIMIT else 1
                for j in range(h):
                    wj, bj, vj = w[j], b[j], v[j]
                    falls = wj < 0.0
                    r0 = c * (before_r[j] if falls else sum_r - before_r[j])
                    r1 = c * (before_ru[j] if falls else sum_ru - before_ru[j]) + x_mean * r0
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
                    falls = wj < 0.0
                    r0 = c * (before_r[j] if falls else sum_r - before_r[j])
                    r1 = c * (before_ru[j] if falls else sum_ru - before_ru[j]) + x_mean * r0
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
