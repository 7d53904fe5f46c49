"""Where the parameters of networks are in one flat buffer: the one place that knows their order and their shapes.

A model's parameters are side by side: weights[0], biases[0], weights[1], biases[1], and so on, each row by row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["joined", "shapes", "sizes", "split", "weight_bytes"]

Array = NDArray[np.float64]
Shapes = tuple[tuple[int, ...], ...]


def shapes(width: Any, hidden_layers: int, n_inputs: int, n_outputs: int) -> Shapes:
    """Return the shapes of one network's parameters in their order: weights[0] (D, H), biases[0] (H,), and so on.

    `width` may also be an array, one width per network.
    """
    units = [n_inputs, *[width] * hidden_layers, n_outputs]
    return tuple(shape for pair in itertools.pairwise(units) for shape in (pair, pair[1:]))


def sizes(width: ArrayLike, hidden_layers: ArrayLike, n_inputs: int, n_outputs: int) -> Array:
    """Return how many parameters networks have, (M,), for their widths and hidden layers, (M,) or one for all.

    As floats, exact below 2^53: no number in a hostile file overflows.
    """
    h, more = np.asarray(width, dtype=np.float64), np.asarray(hidden_layers, dtype=np.float64) - 1
    counts: Array = (n_inputs + 1) * h + more * (h + 1) * h + n_outputs * (h + 1)
    return counts


def weight_bytes(width: ArrayLike, n_inputs: int, hidden_layers: ArrayLike = 1, n_outputs: int = 1) -> Array:
    """Return the bytes of the parameters of networks, as floats, shaped as `width`."""
    return 8 * sizes(width, hidden_layers, n_inputs, n_outputs)


def split(parameters: Array, layout: Shapes) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return weights and biases as views of parameters (P,), or (M, P) for models of one layout, made by `shapes`."""
    parts, at = [], 0
    for shape in layout:
        end = at + math.prod(shape)
        parts.append(parameters[..., at:end].reshape(*parameters.shape[:-1], *shape))
        at = end
    return tuple(parts[::2]), tuple(parts[1::2])


def joined(width: NDArray[np.int64], n_inputs: int, buffers: Sequence[Array]) -> Array:
    """Return the flat buffer of models that release 0.1 kept in four: w1, b1, w2 and b2 of all models.

    Widths (M,) are in the order of the specs; the buffers hold sum(D H), sum(H), sum(H) and M float64, models sorted by
    width. Others are a ValueError.
    """
    units = sum(width.tolist())  # before anything is allocated: a file may claim any width
    for name, values, size in zip(("w1", "b1", "w2", "b2"), buffers, (n_inputs * units, units, units, len(width)),
                                  strict=True):  # fmt: skip
        if values.shape != (size,) or values.dtype != np.float64:
            raise ValueError(f"{name} has {values.size} weights of {values.dtype}, the specs need {size}")
    by_width = np.sort(width)
    ends = np.cumsum(by_width)
    pieces = []
    for i, (h, end) in enumerate(zip(by_width.tolist(), ends.tolist(), strict=True)):
        w1, b1, w2, b2 = buffers
        a = end - h
        pieces += [w1[n_inputs * a : n_inputs * end], b1[a:end], w2[a:end], b2[i : i + 1]]
    return np.concatenate(pieces) if pieces else np.empty(0)
