"""The exact training step for one input and any number of hidden layers, without a row per sample.

As a function of x, every pre-activation of every layer is a chain of straight lines. `spline` keeps it as what changes
at each kink; so does this kernel, layer by layer. An *event* is a place among the sorted samples at which some line
changes. At event t the pre-activations z (H,) of a layer change by (alpha_t x + beta_t) q_t, where alpha_t and beta_t
belong to the event and are the same in every layer, and q_t (H,) is the layer's own:

    z_l(x) = sum over the events t at or before x of (alpha_t x + beta_t) q_t

Two events of every layer are at the first sample, (alpha, beta) = (1, 0) and (0, 1): the first line. A first-layer unit
i that switches among the samples is one more, with (alpha, beta) = +-(w_i, b_i) and q_t its row of weights[1].

Walking along a layer's events keeps the line (A, B) (H,) of every unit and whether it is on. Between two events lines
do not change, so a unit switches there at most once: its signs at the two end samples say whether, a search says where.
It is a new event, with (alpha, beta) = +-(A_j, B_j) and q_t = row j of the next weights. The events that came in go on
with q_t masked by which units are on, times the next weights. So a layer costs one product of (T, H) by (H, H) for its
T events, and the second layer none; N appears in the searches alone.

Backward is the same program in reverse: with the sums of dL/dp, and of x dL/dp, over the samples at or after an event,
which come from running sums made once per dataset, each event's dL/dq_t, dL/dalpha_t and dL/dbeta_t follow, walking
along the events from the last to the first. Two products per layer: dL/dW = q^T dq and dL/dq = dq W^T. A layer's
parameters step as soon as their gradient is there. Several outputs have sums each; those of labels are made sample by
sample (`event_labels`).

Rounding. Lines are in u = x - mean(x), the sums of centred x and y are rounded once each (`samples`), and the first
layer's units switch by the very expression of the dense rule. A deeper line is a sum of changes, where the dense rule
has a sum over units: a pre-activation within rounding of 0 may be decided otherwise. Where all units of a layer are off
the next layer's lines are its biases exactly, so that what is 0 in the dense rule is 0 here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels import samples as spline_samples
from ensemble.kernels import spline
from ensemble.kernels.event_labels import entropy
from ensemble.kernels.event_sums import residual_sums, squared_error
from ensemble.kernels.jit import inner, jit
from ensemble.kernels.kinks import Guide, guess, locate, sort_keys
from ensemble.kernels.lanes import WORD
from ensemble.kernels.passes import backward, forward
from ensemble.kernels.products import ROWS
from ensemble.kernels.rows import clear
from ensemble.kernels.samples import Samples, room
from ensemble.kernels.tiles import LANES
from ensemble.kernels.updates import ADAM, CROSS_ENTROPY, Array, History, Models, Rules, Span

# isort: off
from ensemble.kernels.workspace import (
    BETA2, D_BIASES, FLIPPED, KEYS, LAYERS, MATRIX, MOMENTUM_, NOW, OPTIMIZER, OUT_BIASES, OUTPUTS, OUTSIDE, RATE, RULE,
    SCALE1, SCALE2, SIZE, STRIDE, WORDS, Bits, H, K, Places, Several, workspace,
)  # fmt: skip
# isort: on

__all__ = ["prepare", "train"]

PARTS = ("test", "val", "train")  # the training part last: what follows its loss goes on with its events


class Lines(NamedTuple):
    """One dataset as this kernel wants it."""

    samples: Samples  # of the first output; x and u of all parts are views of those below
    x: Array  # (sum N,) of PARTS, one part after the other
    u: Array  # (sum N,)
    t: Array  # (O sum N,) y - mean, of each part output after output; of labels one row
    place: NDArray[np.uint32]  # (sum (N_train + 1),) of the parts
    starts: Places  # (4,) of the parts among x
    table: Array  # (N_train + 1, 2 + 2 O) as in `samples`, for each output
    means: Array  # (O,) of y


def prepare(x: Array, y: Array, x_test: Array, y_test: Array, x_val: Array, y_val: Array) -> Lines:
    """Return one dataset as the kernel wants it; x (N, 1), y (N,) or (N, O), absent parts of length 0."""
    x_parts = [part[:, 0] for part in (x_test, x_val, x)]
    outputs = y.size // len(y)
    y_parts = [np.ascontiguousarray(part.reshape(len(part), outputs).T) for part in (y_test, y_val, y)]
    samples = spline_samples.prepare(x, y_parts[2][0], x_test, y_parts[0][0], x_val, y_parts[1][0])
    means = np.array([column.mean() for column in y_parts[2]])
    parts = [getattr(samples, name) for name in PARTS]
    orders = [np.argsort(part, kind="stable") for part in x_parts]
    t = [part[:, order] - means[:, None] for part, order in zip(y_parts, orders, strict=True)]
    table = samples.table
    if outputs > 1:
        terms = [moment for column in t[2] for moment in (column, column * samples.train.u)]
        sums = [spline_samples.running_sums(moment) for moment in terms]
        table = room(len(x) + 1, 2 + len(sums))
        table[:, :2], table[:, 2:] = samples.table[:, :2], np.stack(sums, axis=1)
    joined = [np.concatenate([part[i] for part in parts]) for i in (0, 1, 3)]
    starts = np.cumsum([0, *map(len, x_parts)])
    flat = np.concatenate([part.ravel() for part in t])
    return Lines(samples, joined[0], joined[1], flat, joined[2], starts, table, means)


def train(lines: Lines, models: Models, rules: Rules, history: History, span: Span) -> None:
    """Train some models through some epochs, in place."""
    deep = span.first_model + int((models.hidden_layers[span.first_model : span.last_model] == 1).sum())
    if deep > span.first_model:  # models lie by depth; one hidden layer needs no walk
        spline.train(lines.samples, models, rules, history, span._replace(last_model=deep))
    some = slice(deep, span.last_model)
    h, layers = int(models.width[some].max(initial=1)), int(models.hidden_layers[some].max(initial=2))
    n_events = 2 + 2 * h * (layers + 1)  # about as many units switch as there are
    labels = rules.loss == CROSS_ENTROPY
    whole = np.stack(
        [models.width, models.hidden_layers, models.starts[:-1], rules.optimizer, rules.schedule, rules.hidden_bias,
         rules.output_bias], axis=1, dtype=np.int64,
    )  # fmt: skip
    own = np.stack([rules.lr, rules.momentum, rules.beta2], axis=1)
    numbers = np.concatenate([own, rules.layer_factors, rules.weight_decay], axis=1)
    errors, right = (history.test, history.val, history.train), None
    if labels:
        right = (history.test_accuracy, history.val_accuracy, history.train_accuracy)
    model, epoch = deep, span.first_epoch
    while model < span.last_model:
        f, n, bits, at = workspace(
            layers, h, rules.outputs, -(-n_events // ROWS) * ROWS, lines.means, history.output_weights
        )
        with np.errstate(all="ignore"):  # for NUMBA_DISABLE_JIT=1: compiled code never warns
            model, epoch = train_models(
                *lines[1:7], lines.samples.guide, lines.samples.lowest, lines.samples.per_x, lines.samples.x_mean,
                history.column, errors, right, history.diverged_at, models.parameters, models.first, models.second,
                models.powers, rules.factors, whole, numbers, model, span.last_model, epoch, span.first_epoch,
                span.last_epoch, f, n, bits, at, True if labels or rules.outputs > 1 else None,
            )  # fmt: skip
        n_events *= 2  # where a model stopped for want of room


@inner
def pack(parameters: Array, first: Array, second: Array, begin: int, f: Array, inward: bool, at: Places) -> None:
    """Copy one model's parameters and moments from where they are side by side to f, or back."""
    h, stride, outputs = at[H], at[STRIDE], at[OUTPUTS]
    hidden, packed, size = 2 + (at[LAYERS] - 1) * (h + 1), 0, at[SIZE]  # rows of the hidden layers
    for i in range(hidden + outputs + 1):
        place, length, apart = begin + i * h, h, 1
        if i >= hidden:  # the output's weights, a row for each output; then its biases
            place, apart = begin + hidden * h + i - hidden, outputs
        if i == hidden + outputs:
            place, length, apart = begin + (hidden + outputs) * h, outputs, 1
        for j in range(packed, packed + length):
            if inward:
                f[j] = parameters[place]
            else:
                parameters[place] = f[j]
            if first.size:
                if inward:
                    f[size + j], f[2 * size + j] = first[place], second[place]
                else:
                    first[place], second[place] = f[size + j], f[2 * size + j]
            place += apart
        packed += stride
        if 2 <= i < hidden and (i - 2) % (h + 1) == h - 1:  # after the rows of a matrix come rows of zeros
            packed += at[MATRIX] - h * stride


@jit
def train_models(
    x: Array, u: Array, t: Array, places: Guide, starts: Places, table: Array, guide: Guide, lowest: float,
    per_x: float, x_mean: float, column: Places, errors: tuple[Array, Array, Array], right: Any, diverged_at: Places,
    parameters: Array, first: Array, second: Array, powers: Array, factors: Array, whole: Places, numbers: Array,
    first_model: int, last_model: int, resumed_epoch: int, first_epoch: int, last_epoch: int, f: Array, n: Places,
    bits: Bits, at: Places, several: Several,
) -> tuple[int, int]:  # fmt: skip
    """Train some models, the first of them from `resumed_epoch` on, in place.

    Return the model and the epoch at which there was too little room for its events; `last_model` at the end. Plain
    arrays, and no more than there must be: numba takes longer over tuples of arrays than over all that is done here.
    """
    keys, rule, outputs = at[KEYS], at[RULE], at[OUTPUTS]
    columns = t.size // x.size  # of targets: one of labels
    for m in range(first_model, last_model):
        if diverged_at[m] >= 0:
            continue
        h, layers, optimizer = whole[m, 0], whole[m, 1], whole[m, 3]
        stride = (h + LANES - 1) // LANES * LANES
        at[H], at[LAYERS], at[STRIDE], at[OPTIMIZER] = h, layers, stride, optimizer
        at[MATRIX] = (h + ROWS - 1) // ROWS * ROWS * stride
        at[WORDS] = at[NOW] + 2 * WORD * ((stride // LANES + WORD - 1) // WORD)
        at[OUT_BIASES] = (2 + outputs) * stride + (layers - 1) * (at[MATRIX] + stride)
        at[SIZE] = at[OUT_BIASES] + (outputs + LANES - 1) // LANES * LANES
        clear(f, 0, 3 * at[SIZE])
        clear(f, at[FLIPPED], stride * stride)
        pack(parameters, first, second, whole[m, 2], f, True, at)
        for i in range(12):
            f[rule + MOMENTUM_ + i] = numbers[m, 1 + i]
        for i in range(h):
            n[at[K] + i], n[keys + i] = guess(guide, lowest, per_x, f[i], f[stride + i]), i
        gap, stopped = h, -1
        for epoch in range(resumed_epoch if m == first_model else first_epoch, last_epoch + 1):
            place = column[epoch]
            recorded = place >= 0 and (epoch < last_epoch or epoch == column.size - 1)
            if epoch == last_epoch and not recorded:
                break
            for p in range(0 if recorded else 2, 3):
                begin, end = starts[p], starts[p + 1]
                if begin == end:
                    continue
                x_part, u_part, t_part = x[begin:end], u[begin:end], t[columns * begin : columns * end]
                k = at[K] if p == 2 else at[K] + h
                for i in range(h):
                    near = n[at[K] + i]
                    if p < 2:
                        near = np.int64(places[p * len(table) + near])
                    n[k + i] = locate(x_part, f[i], f[stride + i], near)
                sort_keys(h, n[k : k + h], n[keys : keys + h], gap)
                gap = 1
                if not forward(
                    x_part, u_part, guide, p == 2, lowest - x_mean, per_x, x_mean, k, f, n, bits, at, several
                ):
                    stopped = epoch
                    break
                if right is not None:
                    error, share = entropy(u_part, t_part, recorded, f, n, at)
                    if recorded:
                        errors[p][m, place] = error if error <= np.inf else np.inf
                        right[p][m, place] = share if error < np.inf else 0.0
                elif recorded:
                    error = squared_error(u_part, t_part, f, n, at)
                    errors[p][m, place] = error if error <= np.inf else np.inf
            if stopped >= 0:
                break
            if recorded and not errors[2][m, place] < np.inf:
                for p in range(2):
                    if starts[p] < starts[p + 1]:
                        errors[p][m, place] = np.inf
                        if right is not None:
                            right[p][m, place] = 0.0
                diverged_at[m] = epoch
                break
            if epoch == last_epoch:
                break
            if right is None:
                residual_sums(table, f, n, at)
            f[rule + RATE] = numbers[m, 0] * factors[whole[m, 4], epoch]
            if optimizer == ADAM:
                powers[m, 0] *= f[rule + MOMENTUM_]
                powers[m, 1] *= f[rule + BETA2]
                f[rule + SCALE1], f[rule + SCALE2] = 1.0 / (1.0 - powers[m, 0]), 1.0 / (1.0 - powers[m, 1])
            if not whole[m, 6]:
                clear(f, at[D_BIASES], outputs)
            at[OUTSIDE] = 0
            backward(x[starts[2]], x_mean, whole[m, 5] != 0, f, n, bits, at, several)
            if at[OUTSIDE]:
                diverged_at[m] = epoch + 1
                break
        pack(parameters, first, second, whole[m, 2], f, False, at)
        if stopped >= 0:
            return m, stopped
    return last_model, first_epoch
