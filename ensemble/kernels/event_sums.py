"""The squared loss along the outputs' straight lines: from running sums over the samples, without a row per sample."""

from __future__ import annotations

from ensemble.kernels.jit import inner
from ensemble.kernels.lanes import get, put
from ensemble.kernels.updates import Array

# isort: off
from ensemble.kernels.workspace import (
    ALPHA, BETA, COUNT, D_ALPHA, D_BETA, D_BIASES, D_SHARE, EACH, EVENTS, LAYERS, MEANS, MOST, ORDER, OUT_BIASES,
    OUTPUTS, PLACE, SCALES, SHARE, SUM_R, SUM_RU, Places,
)  # fmt: skip
# isort: on

__all__ = ["residual_sums", "spread", "squared_error"]


@inner
def squared_error(u: Array, target: Array, f: Array, n: Places, at: Places) -> float:
    """Return the mean squared error among the samples whose events these are, as it is recorded; target (O, N) flat."""
    outputs, each = at[OUTPUTS], at[EACH]
    last = at[LAYERS] - 1
    order, leave = at[ORDER] + last * at[MOST], n[at[COUNT] + last]
    error = 0.0
    for o in range(outputs):
        total = 0.0
        first, event = o * u.size, at[EVENTS] + 3 * o  # SHARE of this output is where that of the first one would be
        slope, value, begin = f[event + SHARE], f[event + each + SHARE] + f[at[OUT_BIASES] + o] - f[at[MEANS] + o], 0
        for s in range(2, leave + 1):
            t = n[order + s] if s < leave else 0
            end = n[at[PLACE] + t] if s < leave else u.size
            for i in range(begin, end):
                r = slope * u[i] + (value - target[first + i])
                total += r * r
            begin, event = end, at[EVENTS] + t * each
            share = f[event + 3 * o + SHARE]
            slope += f[event + ALPHA] * share
            value += f[event + BETA] * share
        error += total * f[at[SCALES] + o]
    return float(error / (u.size * outputs))


@inner
def residual_sums(table: Array, f: Array, n: Places, at: Places) -> None:
    """Write each event's D_ALPHA, D_BETA and D_SHARE, and the gradient of the outputs' biases.

    From the sums of dL/dp and of u dL/dp over the samples at or after it. table (N + 1, 2 + 2 O) has the sums before
    each sample of u and u^2, then of t and t u for each output.
    """
    outputs, each, events = at[OUTPUTS], at[EACH], at[EVENTS]
    places = at[PLACE]
    last, samples = at[LAYERS] - 1, len(table) - 1
    order, leave = at[ORDER] + last * at[MOST], n[at[COUNT] + last]
    for o in range(outputs):
        event, t_column, done = events + 3 * o, 2 + 2 * o, 0
        slope, value = f[event + SHARE], f[event + each + SHARE] + (f[at[OUT_BIASES] + o] - f[at[MEANS] + o])
        total_r, total_ru, su = 0.0, 0.0, 0.0
        suu, st, stu = 0.0, 0.0, 0.0
        for s in range(2, leave + 1):
            t, place = 0, samples
            if s < leave:
                t = get(n, order + s)
                place = get(n, places + t)
            if place > done:
                tu, tuu = table[place, 0], table[place, 1]
                tt, ttu = table[place, t_column], table[place, t_column + 1]
                du = tu - su
                total_r += slope * du + (value * (place - done) - (tt - st))
                total_ru += slope * (tuu - suu) + (value * du - (ttu - stu))
                done, su, suu = place, tu, tuu
                st, stu = tt, ttu
            event = events + t * each
            shares = event + 3 * o
            put(f, shares + SUM_R, total_r)
            put(f, shares + SUM_RU, total_ru)
            share = get(f, shares + SHARE)
            slope += get(f, event + ALPHA) * share
            value += get(f, event + BETA) * share
        spread(o, 2.0 / (samples * outputs), total_r, total_ru, leave, f, at)


@inner
def spread(o: int, c: float, total_r: float, total_ru: float, leave: int, f: Array, at: Places) -> None:
    """Turn an output's sums before each event, and those over all samples, into its part of D_ALPHA and so on.

    c is what the sums are multiplied with.
    """
    event, each = at[EVENTS], at[EACH]
    f[at[D_BIASES] + o] = c * total_r
    for shares in (event + 3 * o, event + each + 3 * o):  # all samples are at or after the first two events
        f[shares + SUM_R] = f[shares + SUM_RU] = 0.0
    for _ in range(leave):
        shares = event + 3 * o
        share = get(f, shares + SHARE)
        sum_r, sum_ru = c * (total_r - get(f, shares + SUM_R)), c * (total_ru - get(f, shares + SUM_RU))
        d_alpha, d_beta = share * sum_ru, share * sum_r
        put(f, shares + D_SHARE, get(f, event + ALPHA) * sum_ru + get(f, event + BETA) * sum_r)
        if o > 0:
            d_alpha += f[event + D_ALPHA]
            d_beta += f[event + D_BETA]
        put(f, event + D_ALPHA, d_alpha)
        put(f, event + D_BETA, d_beta)
        event += each
