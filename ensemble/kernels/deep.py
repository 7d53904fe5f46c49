"""The training step for any number of inputs, hidden layers and outputs: three matrix products a layer of a model.

`dense` hands over all models but those of one hidden layer and one output with the squared loss; all sums are tiles
that stay in registers. The last layer is in `outputs`, the loss of labels in `labels`.

A block of samples goes through all layers, then back through all of them. Forward, a tile begins with the biases and
ends in the ReLU. With dz_l = dL/d(pre-activations of layer l) and h_l its outputs (h_l > 0 where pre-activations are),

    dz_{l-1} = (dz_l W_l^T where h_{l-1} > 0)      dW_l += h_{l-1}^T dz_l      db_l += sum over the samples of dz_l

dz takes the place of h, which is needed no more. Every sum is added up in the order of its terms, a block's after
the block's before it, so that the bits depend on the model and its data alone.

Measured at D = 8, L = 3, N = 1,000, one thread, where multiply-adds of registers alone make 118 GFLOP/s and NumPy's
large matrix product 94: 88 at H = 16, 102 at 64 and 88 at 256, of 6 N (D H + (L-1) H^2 + H) operations a step. Blocks
of 32 to 192 samples differ by 3%, but for 32 at H = 256, which lose 10%; loops over a whole strip's fixed number of
terms gain nothing.

There is no BLAS path: the same step by NumPy, products written into arrays that are there, makes 16, 35 and 51.
"""

from __future__ import annotations

import numpy as np

from ensemble.kernels.batches import Room, take
from ensemble.kernels.jit import inner, jit
from ensemble.kernels.labels import Labels, entropy, entropy_gradient, labels_of
from ensemble.kernels.outputs import BLOCK, ROWS, add_output_gradient, predict_outputs, squared_error, squared_gradient
from ensemble.kernels.samples import room as room_for
from ensemble.kernels.tiles import (
    LANES,
    add_outer,
    add_rows,
    keep_active,
    read_tile,
    rectify,
    repeat,
    write_tile,
    zero_tile,
)
from ensemble.kernels.updates import CROSS_ENTROPY, Array, History, Models, Rules, Span, rate_factor, step

__all__ = ["GROUP", "Parts", "move", "predict", "size_inside", "size_of", "train"]

GROUP = 8  # inputs that lie side by side, as in `dense`; the first group may have fewer
ONE, EIGHT = (0,), (0,) * ROWS

Parts = tuple[Array, Array, Array, Array, Array, Array]  # x and y of the training, test and validation part

# A matrix (rows, columns) is kept in strips of LANES columns, one strip after the other, a strip row after row, and a
# row per sample in a block. Zeros fill columns up to a multiple of LANES, rows of weights up to one of ROWS, and stay
# zero. Of one model, with S the padded width:
#
# theta, g, moments, ...     weights[0] (rows_in, S), biases[0] (S), weights[1] (rows, S), biases[1], ..., then each
#                            output's weights (O, S), no strips, and the O biases, filled up to a multiple of LANES. A
#                            first group of less than GROUP inputs is followed by rows of zeros.
# h                          (L, BLOCK, S) outputs of all hidden layers; then dz
# flipped                    (L - 1, rows, S) transposes of weights[1], weights[2], ...


def size_of(layers: int, rows_in: int, rows: int, padded: int, outputs: int) -> int:
    """Return the size of one model's theta."""
    return (rows_in + 1 + (layers - 1) * (rows + 1) + outputs) * padded + (outputs + LANES - 1) // LANES * LANES


size_inside = inner(size_of)


def train(
    n_inputs: int, parts: Parts, models: Models, rules: Rules, history: History, span: Span, room: Room | None
) -> None:
    """Train some models through some epochs, in place; `parts` as `dense.prepare` leaves them."""
    some = slice(span.first_model, span.last_model)
    width, layers = int(models.width[some].max()), int(models.hidden_layers[some].max())
    padded, rows, rows_in = -(-width // LANES) * LANES, -(-width // ROWS) * ROWS, -(-n_inputs // GROUP) * GROUP
    size = size_of(layers, rows_in, rows, padded, rules.outputs)
    state, g, scale = room_for(3 * size), room_for(size), room_for(2 * size)
    h, flipped = room_for(layers * BLOCK * padded), room_for(max(layers - 1, 1) * rows * padded)
    p = room_for(rules.outputs * BLOCK)
    labels = labels_of(p) if rules.loss == CROSS_ENTROPY else None
    train_models(n_inputs, parts, models, rules, history, span, state, g, scale, h, flipped, p, room, labels)


@inner
def first_layer(
    x: Array, at: int, group: int, theta: Array, weights: int, rows_in: int, bias: int, n: int, h: Array, padded: int,
    is_first: bool, is_last: bool,
) -> None:  # fmt: skip
    """Add one group of inputs to the first layer's pre-activations: the first begins with b, the last ends in relu."""
    for column in range(0, padded, LANES):
        w_at = weights + column * rows_in
        for r in range(0, n, ROWS):
            place = column * BLOCK + r * LANES
            total = repeat(EIGHT, read_tile(ONE, theta, bias + column)) if is_first else read_tile(EIGHT, h, place)
            for i in range(group):
                total = add_outer(total, x, at + r * group + i, group, read_tile(ONE, theta, w_at + i * LANES))
            write_tile(h, place, rectify(total) if is_last else total)


@inner
def next_layer(
    h: Array, h_at: int, width: int, theta: Array, weights: int, rows: int, bias: int, n: int, padded: int
) -> None:
    """Write relu(h W + b) behind h."""
    for column in range(0, padded, LANES):
        w_at = weights + column * rows
        for r in range(0, n, ROWS):
            total = repeat(EIGHT, read_tile(ONE, theta, bias + column))
            for strip in range(0, width, LANES):
                a_at = h_at + strip * BLOCK + r * LANES - strip
                for i in range(strip, min(strip + LANES, width)):
                    total = add_outer(total, h, a_at + i, LANES, read_tile(ONE, theta, w_at + i * LANES))
            write_tile(h, h_at + (padded + column) * BLOCK + r * LANES, rectify(total))


@inner
def backward(
    h: Array, h_at: int, width: int, flipped: Array, f_at: int, rows: int, n: int, padded: int, g: Array, bias: int
) -> None:  # fmt: skip
    """Replace h by dz, from the next layer's dz, which is behind it, and add its sum to the gradient of the biases."""
    for column in range(0, padded, LANES):
        db, w_at = read_tile(ONE, g, bias + column), f_at + column * rows
        for r in range(0, n, ROWS):
            total = zero_tile(EIGHT)
            for strip in range(0, width, LANES):
                a_at = h_at + (padded + strip) * BLOCK + r * LANES - strip
                for i in range(strip, min(strip + LANES, width)):
                    total = add_outer(total, h, a_at + i, LANES, read_tile(ONE, flipped, w_at + i * LANES))
            place = h_at + column * BLOCK + r * LANES
            total = keep_active(total, h, place)
            write_tile(h, place, total)
            db = add_rows(db, total)
        write_tile(g, bias + column, db)


@inner
def add_gradient(
    a: Array, at: int, row: int, a_columns: int, h: Array, dz_at: int, n: int, padded: int, g: Array, g_at: int,
    g_rows: int,
) -> None:  # fmt: skip
    """Add A^T dz, sums over n samples, to the gradient of a layer's weights.

    A has rows of `row` numbers one after the other, and in strips if they are LANES.
    """
    for r in range(0, a_columns, ROWS):
        a_at = at + r // LANES * LANES * BLOCK + r % LANES
        for column in range(0, padded, LANES):
            place = g_at + column * g_rows + r * LANES
            total = read_tile(EIGHT, g, place)
            for i in range(n):
                dz = read_tile(ONE, h, dz_at + column * BLOCK + i * LANES)
                total = add_outer(total, a, a_at + i * row, 1, dz)
            write_tile(g, place, total)


@inner
def flip(theta: Array, at: int, width: int, rows: int, flipped: Array, f_at: int) -> None:
    """Write the transpose of a hidden layer's weights."""
    for j in range(width):
        column = at + j // LANES * LANES * rows + j % LANES
        for strip in range(0, width, LANES):
            row = f_at + strip * rows + j * LANES - strip
            for i in range(strip, min(strip + LANES, width)):
                flipped[row + i] = theta[column + i * LANES]


@inner
def predict(
    x: Array, first: int, n: int, d: int, width: int, layers: int, rows_in: int, rows: int, padded: int,
    outputs: int, theta: Array, h: Array, p: Array,
) -> None:  # fmt: skip
    """Write p (O, BLOCK) and h of all layers for a block of samples, `first` the first of them."""
    size, group, bias = x.size // d, (d - 1) % GROUP + 1, rows_in * padded
    for row in range(0, rows_in, GROUP):
        count = group if row == 0 else GROUP
        x_at = max(0, row - GROUP + group) * size + first * count
        first_layer(
            x, x_at, count, theta, row * LANES, rows_in, bias, n, h, padded, row == 0, row + GROUP == rows_in
        )  # fmt: skip
    h_at = 0
    for _ in range(1, layers):
        weights = bias + padded
        bias = weights + rows * padded
        next_layer(h, h_at, width, theta, weights, rows, bias, n, padded)
        h_at += BLOCK * padded
    predict_outputs(h, h_at, n, padded, theta, bias + padded, outputs, p)


@inner
def sweep(
    x: Array, y: Array, d: int, width: int, layers: int, rows_in: int, rows: int, padded: int, outputs: int,
    theta: Array, h: Array, p: Array, flipped: Array, g: Array, output_weights: Array,
    labels: Labels | None, is_step: bool,
) -> float:  # fmt: skip
    """Return the loss on (x, y), NaN as +inf; or for a step write the gradient of all parameters.

    A diverged loss is infinitely bad, not unknown. With labels, `labels.right` is left holding the share that is right.
    """
    size, group, total, right = x.size // d, (d - 1) % GROUP + 1, 0.0, 0
    hidden, per_layer = (rows_in + 1) * padded, (rows + 1) * padded  # where weights[1] begin, and from there weights[2]
    output, n_all = hidden + (layers - 1) * per_layer, y.size // outputs if labels is None else y.size
    if is_step:
        for at in range(0, g.size, LANES):
            write_tile(g, at, zero_tile(ONE))
        for layer in range(layers - 1):
            flip(theta, hidden + layer * per_layer, width, rows, flipped, layer * rows * padded)
    for first in range(0, n_all, BLOCK):
        n = min(BLOCK, n_all - first)
        predict(x, first, n, d, width, layers, rows_in, rows, padded, outputs, theta, h, p)
        if not is_step:
            if labels is None:
                total += squared_error(p, y, first, n, outputs, output_weights)
            else:
                loss, count = entropy(labels.p, y, first, n, outputs)
                total, right = total + loss, right + count
            continue
        if labels is None:
            squared_gradient(p, y, first, n, outputs)
        else:
            entropy_gradient(labels.p, y, first, n, outputs, 1.0 / n_all, labels.peak, labels.total)
        add_output_gradient(h, (layers - 1) * BLOCK * padded, p, n, padded, theta, output, outputs, g)
        for layer in range(layers - 2, -1, -1):
            weights, h_at = hidden + layer * per_layer, layer * BLOCK * padded
            add_gradient(h, h_at, LANES, rows, h, h_at + BLOCK * padded, n, padded, g, weights, rows)
            backward(h, h_at, width, flipped, layer * rows * padded, rows, n, padded, g, weights - padded)
        for row in range(0, rows_in, GROUP):
            count = group if row == 0 else GROUP
            x_at = max(0, row - GROUP + group) * size + first * count
            add_gradient(x, x_at, count, GROUP, h, 0, n, padded, g, row * LANES, rows_in)
    for column in range(0, padded, LANES):  # what is beside a first group of less than 8 inputs
        for row in range(group, GROUP):
            write_tile(g, column * rows_in + row * LANES, zero_tile(ONE))
    if labels is not None:
        labels.right[0] = right / n_all if total < np.inf else 0.0
    return total / y.size if total <= np.inf else np.inf


@inner
def move(
    flat: Array, packed: Array, packed_at: int, n_inputs: int, width: int, layers: int, rows_in: int, rows: int,
    padded: int, outputs: int, inward: bool,
) -> None:  # fmt: skip
    """Copy one model's parameters from where they are side by side into strips, or back."""
    group = (n_inputs + n_inputs % 2 - 1) % GROUP + 1
    at, start = 0, packed_at
    for layer in range(layers + 1):
        real, w_rows = (n_inputs, rows_in) if layer == 0 else (width, rows)
        is_output = layer == layers
        if is_output:
            w_rows = outputs  # each output's weights are a row
        for i in range(real + 1):
            row = i + GROUP - group if layer == 0 and i >= group else i
            for j in range(outputs if is_output else width):
                place = start + w_rows * padded + j
                if i < real:
                    place = start + (
                        j * padded + i if is_output else j // LANES * LANES * w_rows + row * LANES + j % LANES
                    )
                if inward:
                    packed[place] = flat[at]
                else:
                    flat[at] = packed[place]
                at += 1
        start += (w_rows + 1) * padded


@jit
def train_models(
    n_inputs: int, parts: Parts, models: Models, rules: Rules, history: History, span: Span, state: Array,
    all_g: Array, all_scale: Array, h: Array, flipped: Array, p: Array, room: Room | None, labels: Labels | None,
) -> None:  # fmt: skip
    """Do as `train`, in these working arrays; those that have batches, or without room those that do not."""
    column, d, x, y, outputs = history.column, n_inputs + n_inputs % 2, parts[0], parts[1], rules.outputs
    errors, flat = (history.train, history.test, history.val), (models.parameters, models.first, models.second)
    shares = (history.train_accuracy, history.test_accuracy, history.val_accuracy)
    rows_in, kinds = (d + GROUP - 1) // GROUP * GROUP, 3 if models.first.size else 1
    n, epochs = y.size // outputs if labels is None else y.size, column.size - 1
    for m in range(span.first_model, span.last_model):
        batch_size = rules.batch_size[m]
        if history.diverged_at[m] >= 0 or (batch_size > 0) != (room is not None):
            continue
        width, layers, begin, end = models.width[m], models.hidden_layers[m], models.starts[m], models.starts[m + 1]
        padded, rows = (width + LANES - 1) // LANES * LANES, (width + ROWS - 1) // ROWS * ROWS
        first_bias, output = rows_in * padded, (rows_in + 1 + (layers - 1) * (rows + 1)) * padded
        output_bias = output + outputs * padded
        size = size_inside(layers, rows_in, rows, padded, outputs)
        theta, first, second = state[:size], state[size : 2 * size], state[2 * size : 3 * size]
        g, scale, decays = all_g[:size], all_scale[:size], all_scale[size : 2 * size]
        for at in range(0, 3 * size, LANES):
            write_tile(state, at, zero_tile(ONE))
        for i in range(kinds):
            move(flat[i][begin:end], state, i * size, n_inputs, width, layers, rows_in, rows, padded, outputs, True)
        for at in range(size):
            kind = 0
            if at >= output:
                kind = 3 if at < output_bias else 4
            elif at >= first_bias:
                kind = 2 if (at - first_bias) % ((rows + 1) * padded) < padded else 1
            scale[at], decays[at] = rules.layer_factors[m, kind], rules.weight_decay[m, kind]
        powers, factors = models.powers[m], rules.factors[rules.schedule[m]]
        steps = (n + batch_size - 1) // batch_size if batch_size else 1
        for turn in range((span.last_epoch - span.first_epoch) * steps + 1):
            epoch, number = span.first_epoch + turn // steps, turn % steps
            at = column[epoch]
            if number == 0 and at >= 0 and (epoch < span.last_epoch or epoch == epochs):
                for part in range(3):
                    x_part, y_part = parts[2 * part], parts[2 * part + 1]
                    if y_part.size == 0:
                        continue
                    error = sweep(
                        x_part, y_part, d, width, layers, rows_in, rows, padded, outputs, theta, h, p, flipped, g,
                        history.output_weights, labels, False,
                    )  # fmt: skip
                    if part == 0 and not error < np.inf:
                        history.diverged_at[m] = epoch
                        break
                    errors[part][m, at] = error
                    if labels is not None:
                        shares[part][m, at] = labels.right[0]
            if epoch == span.last_epoch or history.diverged_at[m] >= 0:
                break
            if room is not None:
                x_now, y_now = take(
                    rules.pools, m, epoch, number, batch_size, x, y, d, (d - 1) % GROUP + 1, GROUP, room
                )
                factor = rate_factor(rules.schedule[m], epoch * steps + number, epochs * steps)
            else:
                x_now, y_now, factor = x, y, factors[epoch]
            sweep(
                x_now, y_now, d, width, layers, rows_in, rows, padded, outputs, theta, h, p, flipped, g,
                history.output_weights, labels, True,
            )  # fmt: skip
            if not rules.output_bias[m]:
                for place in range(output_bias, size, LANES):
                    write_tile(g, place, zero_tile(ONE))
            if not rules.hidden_bias[m]:
                for bias in range(first_bias, output, (rows + 1) * padded):
                    for place in range(bias, bias + padded, LANES):
                        write_tile(g, place, zero_tile(ONE))
            if not step(
                rules.optimizer[m], rules.lr[m] * factor, rules.weight_decay[m, 0], rules.momentum[m],
                rules.beta2[m], powers, theta, g, first, second, rules.scaled[m], scale, decays,
            ):  # fmt: skip
                history.diverged_at[m] = epoch + 1
                break
        for i in range(kinds):
            move(flat[i][begin:end], state, i * size, n_inputs, width, layers, rows_in, rows, padded, outputs, False)
