"""The cross-entropy of labels, compiled: the loss and its gradient for a block of samples, without overflow.

The compiled form of the rule in `rules/losses.py`. With K = 2 classes there is one output, the logit of label 1; that
of label 0 is 0. With more classes each has an output. It is compiled only where there are labels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.cgutils import ir

from ensemble.kernels.jit import inner
from ensemble.kernels.outputs import BLOCK
from ensemble.kernels.tiles import FUSED, or_plain
from ensemble.kernels.updates import Array

__all__ = ["Labels", "entropy", "entropy_gradient", "labels_of"]

# e^x = 2^n e^r with whole n and |r| <= log(2) / 2. A number added to ROUND has its whole part in its last bits; LOG_2
# has 32 bits, so that n LOG_2 is exact.
PER_LOG_2, ROUND = 1.0 / math.log(2.0), 1.5 * 2.0**52
LOG_2, LOG_2_REST = math.floor(math.log(2.0) * 2.0**32) / 2.0**32, 1.9082149292705877e-10
LOWEST = -708.0  # e^x of less is smaller than 1e-307
TERMS = 13  # of the series of e^r: the next is 4e-18


class Labels(NamedTuple):
    """What training on labels needs beside other arrays."""

    p: Array  # (O, BLOCK) logits of a block of samples
    peak: Array  # (BLOCK,) each sample's largest logit
    total: Array  # (BLOCK,) the sum of exp(logit - largest)
    right: Array  # (1,) share of samples that are right, left there with the loss


def labels_of(p: Array) -> Labels:
    """Return such arrays, with the logits p (O BLOCK,)."""
    return Labels(p.reshape(-1, BLOCK), np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(1))


def _exp_plain(x: float) -> float:
    return math.exp(max(x, LOWEST)) if x == x else x


@or_plain(_exp_plain)
def exp(typing: Any, x: Any) -> Any:
    """Return e^x for x <= 0, within two units of its last digit: loops over it are vectorized, 3 times as fast."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def multiply_add(a: Any, b: Any, c: Any) -> Any:
            return builder.fadd(builder.fmul(a, b, flags=FUSED), c, flags=FUSED)

        def number(value: float) -> Any:
            return ir.Constant(ir.DoubleType(), value)

        x, word = arguments[0], ir.IntType(64)
        x = builder.select(builder.fcmp_ordered("<", x, number(LOWEST)), number(LOWEST), x)  # NaN stays
        rounded = builder.fadd(builder.fmul(x, number(PER_LOG_2)), number(ROUND))
        n = builder.fsub(rounded, number(ROUND))
        r = multiply_add(n, number(-LOG_2_REST), multiply_add(n, number(-LOG_2), x))
        series = number(1.0 / math.factorial(TERMS))
        for k in range(TERMS - 1, -1, -1):
            series = multiply_add(series, r, number(1.0 / math.factorial(k)))
        exponent = builder.shl(builder.bitcast(rounded, word), ir.Constant(word, 52))
        power = builder.bitcast(builder.add(exponent, ir.Constant(word, 1023 << 52)), ir.DoubleType())
        return builder.fmul(series, power)

    return types.float64(types.float64), generate


@inner
def entropy_gradient(
    p: Array, y: Array, first: int, n: int, outputs: int, c: float, peak: Array, total: Array
) -> None:  # fmt: skip
    """Replace logits p (O, S) of n samples, `first` the first in y, by c (softmax - [label]): dL/dp for c = 1 / N."""
    single = outputs == 1
    for i in range(n):
        peak[i] = 0.0 if single and not p[0, i] > 0.0 else p[0, i]
    for o in range(1, outputs):
        for i in range(n):
            peak[i] = p[o, i] if p[o, i] > peak[i] else peak[i]
    for i in range(n):
        total[i] = exp(-peak[i]) if single else 0.0
    for o in range(outputs):
        for i in range(n):
            e = exp(p[o, i] - peak[i])
            p[o, i] = e
            total[i] += e
    for i in range(n):
        total[i] = c / total[i]
    for o in range(outputs):
        label = 1.0 if single else float(o)
        for i in range(n):
            p[o, i] = p[o, i] * total[i] - (c if y[first + i] == label else 0.0)


@inner
def entropy(p: Array, y: Array, first: int, n: int, outputs: int) -> tuple[float, int]:
    """Return the sum of the losses -log(softmax of the label) of n samples, and how many are right, by logits p (O, S).

    Right is where the label's logit is the first of the largest.
    """
    loss, right = 0.0, 0
    for i in range(n):
        label = int(y[first + i])
        best, peak = 0, 0.0 if outputs == 1 else p[0, i]
        for o in range(outputs):
            if p[o, i] > peak:
                best, peak = o + (outputs == 1), p[o, i]
        rest = 0.0 if outputs > 1 or best == 0 else math.exp(-peak)
        for o in range(outputs):
            if o + (outputs == 1) != best:
                rest += math.exp(p[o, i] - peak)
        own = p[label, i] if outputs > 1 else p[0, i] if label == 1 else 0.0
        loss += math.log1p(rest) + (peak - own)
        right += best == label
    return loss, right
