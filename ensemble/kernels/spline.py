"""The exact training step for one-dimensional inputs, O(N + H) or O(H) instead of O(N H).

The same gradient as `layers.backward`, reached through where each hidden unit switches instead of an N x H matrix.

A unit z(x) = w x + b is positive on a half-line. With x ascending, its switch position k is the number of samples
on its left side: it is active on samples k, k+1, ... when w >= 0, and on 0, ..., k-1 when w < 0. So the network is
A_i x_i + B_i on sample i, and A and B change at the k_j only: by v |w| and by v b sign(w), for an output weight v.
A unit's gradient needs the sums of the residual r and of r x over its active samples only, each a difference of two
entries of a running sum. Two forms find those running sums:

cell form, O(N + H):  add the changes up per sample, walk along the samples, and read the running sums at the k_j.
segment form, O(H):   walk along the kinks in order. Between two of them r = A x + B - y with A and B constant, so
                      sum r = A Sx + B n - Sy and sum r x = A Sxx + B Sx - Sxy, from running sums made once per
                      dataset. N does not appear.

Without hidden biases every kink is at 0, and the segment form has three segments, whatever H.

Differences of running sums cancel, so those are of centred x and y and rounded once each (`samples` makes them);
where a unit switches is still decided on x itself, by the very expression of the dense rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.kernels.cells import MANY, evaluate, find_near, totals, write_factors
from ensemble.kernels.jit import jit
from ensemble.kernels.kinks import UNIT_BITS, UNIT_MASK, Places, guess, is_left, locate, sort_keys
from ensemble.kernels.samples import OutputSamples, Samples, prepare, prepare_outputs, rooms
from ensemble.kernels.updates import GD, WEIGHT_LIMIT, Array, History, Models, Rules, Span, step

__all__ = ["prepare", "prepare_outputs", "train"]


class Work(NamedTuple):
    """Working arrays for the widest model and the largest part of the data, used by one model after the other."""

    k: Places  # (H,) switch positions among the training samples
    low: Array  # (H,) x[k-1], and
    high: Array  # (H,) x[k]: between them a kink moves without a new search
    moved: Places  # (H,) whether a unit's kink is elsewhere, then the list of those units
    keys: Places  # (H,) k and unit in one number each, ascending: the units in the order of their kinks
    slope: Array  # (H,) what a unit adds to A at k, and
    intercept: Array  # (H,) to B
    before_r: Array  # (H,) what it adds to A left of all samples; then the sum of r before k
    before_ru: Array  # (H,) the same of B, and of r u
    g: Array  # (3 H + 1,) gradient, then direction of the step
    scale: Array  # (3 H + 1,) factor of each parameter's learning rate, and
    decays: Array  # (3 H + 1,) its weight decay
    jumps: Array  # (N + 1, 2) changes of A and B per sample, zero between steps
    sums: Array  # (N + 1, 2) sums of r and r u before a sample


def train(samples: Samples | OutputSamples, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    if isinstance(samples, OutputSamples):  # another kernel, which is compiled and loaded where it is used only
        from ensemble.kernels import spline_outputs

        spline_outputs.train(samples, models, rules, history, span)
        return
    h = int(models.width[span.first_model : span.last_model].max(initial=0))
    n = max(part.x.size for part in samples[:3])
    k, moved, keys = np.empty((3, h + 1), np.int64)
    low, high, slope, intercept, before_r, before_ru = rooms(6, h + 2)  # two for all kinks that are at 0
    g, scale, decays = rooms(3, 3 * h + 1)
    jumps, sums = rooms(2, n + 1, 2)
    work = Work(k, low, high, moved, keys, slope, intercept, before_r, before_ru, g, scale, decays, jumps, sums)
    batch_size = rules.batch_size[span.first_model : span.last_model]
    with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
        if not batch_size.all():
            train_models(samples, models, rules, history, span, work)
        if batch_size.any():  # likewise
            from ensemble.kernels import spline_batches

            spline_batches.train(samples, models, rules, history, span)


@jit
def train_models(samples: Samples, models: Models, rules: Rules, history: History, span: Span, work: Work) -> None:
    """Train some models through some epochs, in place.

    One function for the whole step: each level of calls would be compiled once more by the level above it, and arrays
    in tuples or slices cost five times the step itself at width 16.
    """
    train, test, val, guide, lowest, per_x, negative, not_positive, edges, table, x_mean, y_mean, segment_width = (
        samples[:-1]
    )
    x, u, t, _ = train
    k, low, high, moved, keys, slope, intercept, before_r, before_ru = work[:9]
    g, scale, decays, jumps, sums = work[9:]
    column, parts, errors = history.column, (train, test, val), (history.train, history.test, history.val)
    n = x.size
    c, leftmost = 2.0 / n, x[0]
    for m in range(span.first_model, span.last_model):
        if history.diverged_at[m] >= 0 or rules.batch_size[m] > 0:
            continue
        h, at = models.width[m], models.starts[m]
        theta = models.parameters[at : at + 3 * h + 1]
        w, b, v = theta[:h], theta[h : 2 * h], theta[2 * h : 3 * h]
        first, second = models.first[at : at + 3 * h + 1], models.second[at : at + 3 * h + 1]
        powers, factors = models.powers[m], rules.factors[rules.schedule[m]]
        optimizer, lr, momentum, beta2 = rules.optimizer[m], rules.lr[m], rules.momentum[m], rules.beta2[m]
        hidden_bias, output_bias = rules.hidden_bias[m], rules.output_bias[m]
        rates, decay, scaled = rules.layer_factors[m], rules.weight_decay[m], rules.scaled[m]
        hidden_factor, output_factor, hidden_decay, output_decay = rates[0], rates[3], decay[0], decay[3]
        write_factors(rates, decay, h, 1, scale, decays)
        bias_factor = hidden_factor if hidden_bias else 0.0
        for j in range(h):  # any place: the first step searches all, as none is between its samples
            k[j], low[j], high[j], keys[j] = 1 if w[j] < 0.0 else 0, np.nan, np.nan, j
        segments, gap = hidden_bias and h <= segment_width, h
        for epoch in range(span.first_epoch, span.last_epoch + 1):
            # What each unit adds, and whether its kink left its place: most that do move by one.
            count = 0
            for j in range(h):
                wj, bj, vj = w[j], b[j], v[j]
                falls = wj < 0.0
                right = ((wj * high[j] + bj > 0.0) == falls) & (k[j] < n)  # for w = 0 all is left of the kink
                left = (wj * low[j] + bj > 0.0) != falls
                k[j] = k[j] + right - left
                count = count + right + left
                starts_on = falls & (wj * leftmost + bj > 0.0)
                rise, height = vj * wj, vj * (bj + wj * x_mean)
                left_rise, left_height = rise if starts_on else 0.0, height if starts_on else 0.0
                before_r[j], before_ru[j] = left_rise, left_height
                slope[j] = -left_rise if falls else rise
                intercept[j] = -left_height if falls else height
            if count:
                if n > MANY or epoch == span.first_epoch:
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
                if segments:
                    sort_keys(h, k, keys, gap)
                    gap = 1

            column_now = column[epoch]
            if column_now >= 0 and (epoch < span.last_epoch or epoch == column.size - 1):
                for i in range(3):
                    if parts[i].x.size and (i == 0 or history.train[m, column_now] < np.inf):
                        if i > 0:
                            find_near(parts[i], k, w, b, moved, g[:h], g[h : 2 * h], g[2 * h : 3 * h])
                        rows, at_mean = k if i == 0 else moved, theta[3 * h] - y_mean
                        error = evaluate(parts[i], rows, w, b, v, at_mean, x_mean, jumps, g[:h], g[h : 2 * h])
                        # A NaN becomes +inf: a diverged error is infinitely bad, not unknown.
                        errors[i][m, column_now] = error if error <= np.inf else np.inf
                if not history.train[m, column_now] < np.inf:
                    history.diverged_at[m] = epoch
                    break
            if epoch == span.last_epoch:
                break

            slope_now, value_now = totals(before_r, before_ru, h)
            value_now += theta[3 * h] - y_mean
            sum_r, sum_ru = 0.0, 0.0
            kinks = h
            if not hidden_bias:  # all at 0: as if there were two units, one falling and one rising
                kinks = 2
                slope[h], intercept[h] = -slope_now, theta[3 * h] - y_mean - value_now
                slope[h + 1] = totals(slope, slope, h)[0] + slope_now
                intercept[h + 1] = slope[h + 1] * x_mean
                keys[0], keys[1] = (negative << UNIT_BITS) | h, (not_positive << UNIT_BITS) | (h + 1)
            if segments or not hidden_bias:
                done, su, suu, st, stu = 0, 0.0, 0.0, 0.0, 0.0
                for s in range(kinks):
                    at, j = keys[s] >> UNIT_BITS, keys[s] & UNIT_MASK
                    tu, tuu, tt, ttu = table[at, 0], table[at, 1], table[at, 2], table[at, 3]
                    du = tu - su
                    sum_r += slope_now * du + (value_now * (at - done) - (tt - st))
                    sum_ru += slope_now * (tuu - suu) + (value_now * du - (ttu - stu))
                    done, su, suu, st, stu = at, tu, tuu, tt, ttu
                    before_r[j] = sum_r
                    before_ru[j] = sum_ru
                    slope_now += slope[j]
                    value_now += intercept[j]
                du = table[n, 0] - su
                sum_r += slope_now * du + (value_now * (n - done) - (table[n, 2] - st))
                sum_ru += slope_now * (table[n, 1] - suu) + (value_now * du - (table[n, 3] - stu))
            else:
                for j in range(h):
                    place = np.uint64(k[j])  # pairs are read, then written: the compiler moves them as one
                    jump_a, jump_b = jumps[place, 0] + slope[j], jumps[place, 1] + intercept[j]
                    jumps[place, 0], jumps[place, 1] = jump_a, jump_b
                for i in range(n):
                    slope_now += jumps[i, 0]
                    value_now += jumps[i, 1]
                    r = slope_now * u[i] + (value_now - t[i])
                    r_u = r * u[i]
                    jumps[i, 0], jumps[i, 1] = 0.0, 0.0
                    sums[i, 0], sums[i, 1] = sum_r, sum_ru
                    sum_r += r
                    sum_ru += r_u
                jumps[n, 0], jumps[n, 1] = 0.0, 0.0
                sums[n, 0], sums[n, 1] = sum_r, sum_ru
                for j in range(h):
                    place = np.uint64(k[j])
                    before_r[j], before_ru[j] = sums[place, 0], sums[place, 1]
            if not hidden_bias:
                for j in range(h):  # a unit of weight 0 is on nowhere
                    before_r[j] = before_r[h] if w[j] < 0.0 else before_r[h + 1] if w[j] > 0.0 else sum_r
                    before_ru[j] = before_ru[h] if w[j] < 0.0 else before_ru[h + 1] if w[j] > 0.0 else sum_ru

            rate = lr * factors[epoch]
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
