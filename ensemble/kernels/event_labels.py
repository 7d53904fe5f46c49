"""The cross-entropy of labels along the outputs' straight lines: sums sample by sample, O(N O) beside the pieces.

Compiled only where there are labels. K = 2 classes have one output, the logit of label 1 beside a 0 for label 0.
"""

from __future__ import annotations

import math

import numpy as np

from ensemble.kernels.event_sums import spread
from ensemble.kernels.jit import inner
from ensemble.kernels.updates import Array

# isort: off
from ensemble.kernels.workspace import (
    ALPHA, BETA, COUNT, EACH, EVENTS, LAYERS, LINES, MEANS, MOST, ORDER, OUT_BIASES, OUTPUTS, PLACE, SHARE, SUM_R,
    SUM_RU, Places,
)  # fmt: skip
# isort: on

__all__ = ["entropy"]


@inner
def entropy(u: Array, labels: Array, recorded: bool, f: Array, n: Places, at: Places) -> tuple[float, float]:
    """Return the cross-entropy and the share of right labels, both where `recorded`; write what `residual_sums` does.

    A label is right where its logit is the first of the largest.
    """
    outputs, each, event = at[OUTPUTS], at[EACH], at[EVENTS]
    last, single = at[LAYERS] - 1, at[OUTPUTS] == 1
    order, leave = at[ORDER] + last * at[MOST], n[at[COUNT] + last]
    slopes, values = at[LINES], at[LINES] + outputs
    sums, logits = values + outputs, values + 3 * outputs
    loss, right, begin = 0.0, 0, 0
    for o in range(outputs):
        f[slopes + o] = f[event + 3 * o + SHARE]
        f[values + o] = f[event + each + 3 * o + SHARE] + f[at[OUT_BIASES] + o]
        f[sums + o] = f[sums + outputs + o] = 0.0
    for s in range(2, leave + 1):
        t = n[order + s] if s < leave else 0
        end = n[at[PLACE] + t] if s < leave else u.size
        for i in range(begin, end):
            label, best, peak = int(labels[i] + f[at[MEANS]] + 0.5), 0, 0.0 if single else -np.inf
            for o in range(outputs):
                z = f[slopes + o] * u[i] + f[values + o]
                f[logits + o] = z
                if z > peak:
                    best, peak = o + single, z
            own = f[logits + label - single] if label >= single else 0.0
            rest = math.exp(-peak) if best > 0 and single else 0.0  # of all but the largest, which is 1
            for o in range(outputs):
                e = math.exp(f[logits + o] - peak)
                f[logits + o] = e
                rest += e if o + single != best else 0.0
            if recorded:
                loss += math.log1p(rest) + (peak - own)
                right += best == label
            for o in range(outputs):
                r = f[logits + o] / (1.0 + rest) - (1.0 if o + single == label else 0.0)
                f[sums + o] += r
                f[sums + outputs + o] += r * u[i]
        begin, event = end, at[EVENTS] + t * each
        for o in range(outputs):
            place = event + 3 * o
            share = f[place + SHARE]
            f[place + SUM_R], f[place + SUM_RU] = f[sums + o], f[sums + outputs + o]
            f[slopes + o] += f[event + ALPHA] * share
            f[values + o] += f[event + BETA] * share
    for o in range(outputs):
        spread(o, 1.0 / u.size, f[sums + o], f[sums + outputs + o], leave, f, at)
    return loss / u.size, right / u.size
