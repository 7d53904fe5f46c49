"""Where the numbers of one deep model are: three flat arrays, and the places in them.

Made once for the widest and deepest of some models; `pieces` and the functions that it calls take them as `f`
(float64), `n` (int64) and `bits` (uint16), and the places as `at` (int64): four arguments instead of
thirty, which numba would unpack into two hundred.

L hidden layers, O outputs, room for T events; rows of a layer are S = H rounded up to LANES apart ("stride").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.kernels.lanes import WORD
from ensemble.kernels.products import ROWS
from ensemble.kernels.samples import room
from ensemble.kernels.tiles import LANES
from ensemble.kernels.updates import Array

__all__ = ["ONE", "Bits", "Places", "Several", "workspace"]

ONE = (0,)
Places = NDArray[np.int64]
Bits = NDArray[np.uint16]  # one bit per unit, a strip of LANES units each
Several = bool | None  # None leaves out of the compiled code what another value is there for

# In `at`: numbers of the model,
H, LAYERS, OUTPUTS, OPTIMIZER, STRIDE, MATRIX, SIZE, OUTSIDE, MOST = range(9)
OUT_BIASES = 35  # where the outputs' biases are among the parameters
# and where things begin in f. From 0 on there are parameters and, SIZE and 2 SIZE later, their moments: rows of S
# numbers: weights[0], biases[0]; for each deeper hidden layer weights[l], H rows and rows of zeros up to a multiple of
# ROWS (MATRIX numbers), and biases[l]; a row for each output's weights; the outputs' biases.
RULE = 9  # how the optimizer steps, numbers named below
MEANS = 10  # (O,) means of y, which kernels see centred
SCALES = 36  # (O,) what each output's squared error is multiplied with where it is recorded
EVENTS = 11  # (T, EACH) numbers of each event, named below
EACH = 12
Q, KEPT = 13, 14  # (L - 1, T, S) what each event changes in hidden layers 2, 3, ...; the same in units that are on
DQ, DKEPT = 15, 16  # (T, S) dL/dq, dL/dkept of one layer
GRADIENT = 17  # of one layer's weights
FLIPPED = 18  # (S, S) the transpose of such
ZEROS = 19  # (S,)
A, B = 20, 21  # (S,) slopes of the lines where a walk is, and values at u = 0
LINES = 22  # (5, O) what `entropy` adds up: slopes and values of the outputs' lines, sums of dL/dp and u dL/dp, logits
D_BIASES = 23  # (O,) gradient of the output's biases
# In n:
PLACE, UNIT = 24, 25  # (T,) of each event: the number of samples left of it, and whose switch it is
ORDER = 26  # (L, T) the events that leave each hidden layer, by place
DEAD = 27  # (L, T) whether no unit of the layer is on from there to the next
COUNT = 28  # (L,) how many leave each hidden layer; the first of them are those that came
FOUND = 29  # (2, 2 H) units that switch where the lines change, then those between two events, and where
OWN = 30  # (H,) the event of each unit of the first layer, 0 where it has none
KEYS, K = 31, 32  # (H,) its units by where they switch, as `kinks` has them, and the places; (2, H): K of another part
# In bits:
ON = 33  # (L - 1, T, strips) which units are on
NOW = 34  # (2, S') those before a stretch of samples, and at its last; S' is strips rounded up to WORD
WORDS = 38  # (S' / WORD, 2) words: which switch where the stretch begins, and which in it
SCRATCH = 37  # (S,) in f
NAMES = 39

# Of each event, in f:
ALPHA, BETA = 0, 1
TURN = 2  # +1 where the unit's line is added, -1 where it is taken away
D_ALPHA, D_BETA = 3, 4  # dL/dalpha, dL/dbeta; then three numbers for each output:
SHARE = 5  # what alpha and beta are multiplied with in it
SUM_R, SUM_RU = 6, 7  # sums of dL/dp and of u dL/dp over the samples before it
D_SHARE = 6  # dL/dshare, which takes SUM_R's place

# At RULE:
RATE, MOMENTUM_, BETA2 = 0, 1, 2
FACTOR, DECAY = 3, 8  # of each kind, optimizers.KINDS
SCALE1, SCALE2 = 13, 14  # of adam's means


def workspace(
    layers: int, h: int, outputs: int, most: int, means: Array, scales: Array
) -> tuple[Array, Places, Bits, Places]:
    """Return f, n, bits and at for models of so many hidden layers, units, outputs and events."""
    strips = -(-h // LANES)
    stride, rows, padded = strips * LANES, -(-h // ROWS) * ROWS, -(-outputs // LANES) * LANES
    at = np.zeros(NAMES, np.int64)
    size = (2 + (layers - 1) * (rows + 1) + outputs) * stride + padded
    lengths = {
        RULE: 16, MEANS: padded, SCALES: padded, EVENTS: most * (SHARE + 3 * outputs), Q: (layers - 1) * most * stride,
        KEPT: (layers - 2) * most * stride, DQ: most * stride, DKEPT: most * stride,
        GRADIENT: max(rows, outputs, 2) * stride, FLIPPED: stride * stride, ZEROS: stride, SCRATCH: stride,
        A: stride, B: stride, LINES: 5 * outputs, D_BIASES: padded,
    }  # fmt: skip
    end = 3 * size
    for name, length in lengths.items():
        at[name], end = end, end + length + -length % 8
    f = room(end)
    f[at[MEANS] : at[MEANS] + outputs], f[at[SCALES] : at[SCALES] + outputs] = means, scales
    integers = {
        PLACE: most, UNIT: most, ORDER: layers * most, DEAD: layers * most, COUNT: layers, FOUND: 4 * h, OWN: h,
        KEYS: h, K: 2 * h,
    }  # fmt: skip
    end = 0
    for name, length in integers.items():
        at[name], end = end, end + length
    n = np.zeros(end, np.int64)
    at[NOW] = (layers - 1) * most * strips
    bits = np.zeros(at[NOW] + 4 * (strips + WORD), np.uint16)
    at[OUTPUTS], at[EACH], at[MOST] = outputs, SHARE + 3 * outputs, most
    return f, n, bits, at
