"""Where the kinks of a model are among a few samples, all units searched side by side, `LANES` of them at a time.

Used by the kernels that see other samples in every step; `kinks` has the search that begins where a kink was before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core.cgutils import ir

from ensemble.kernels.jit import inner
from ensemble.kernels.kinks import Places
from ensemble.kernels.lanes import get
from ensemble.kernels.tiles import LANES, VECTOR, Tile, TileType, address, broadcast, or_plain, read_tile
from ensemble.kernels.updates import Array

__all__ = ["PIVOTS", "add_pairs", "find", "pairs"]

LEVELS = 4  # halvings among samples that are in registers
PIVOTS = 2**LEVELS - 1  # which are: of each halving those that it may look at, ascending
Cuts = tuple[int, int, int, int]
ONE = (0,)

NUMBER, PLACE = ir.IntType(32), ir.IntType(64)
WHOLE = ir.VectorType(PLACE, LANES)


def _repeated(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(WHOLE, ir.Undefined), value, ir.Constant(NUMBER, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(NUMBER, LANES), None))


def _is_left(builder: Any, x: Any, w: Any, b: Any, falls: Any) -> Any:
    """As kinks.is_left, rounded like the same expression of single numbers."""
    z = builder.fadd(builder.fmul(w, x), b)
    return builder.not_(builder.xor(builder.fcmp_ordered(">", z, ir.Constant(VECTOR, None)), falls))


def _first_rows_plain(rows: Places, at: int, pivots: Array, cuts: Cuts, w: Tile, b: Tile) -> None:
    k, node = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    for level, cut in enumerate(cuts):
        left = (w[0] * pivots[2**level - 1 + node] + b[0] > 0.0) == (w[0] < 0.0)
        k, node = k + cut * left, 2 * node + left
    rows[at : at + LANES] = k


@or_plain(_first_rows_plain)
def first_rows(typing: Any, rows: Any, at: Any, pivots: Any, cuts: Any, w: Any, b: Any) -> Any:
    """Write to rows[at:] how far `LEVELS` halvings come for a row of units."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, samples, parts = arguments[:4]
        weights, biases = (builder.extract_value(tile, 0) for tile in arguments[4:])
        zero, falls = ir.Constant(WHOLE, None), builder.fcmp_ordered("<", weights, ir.Constant(VECTOR, None))
        k = zero
        decided: list[Any] = []
        for level in range(LEVELS):
            options = []
            for i in range(2**level - 1, 2 ** (level + 1) - 1):
                pivot = address(context, builder, pivots, samples, ir.Constant(PLACE, i), ir.DoubleType())
                options.append(broadcast(builder, builder.load(pivot)))
            for left in decided:
                half = len(options) // 2
                options = [builder.select(left, options[half + i], options[i]) for i in range(half)]
            left = _is_left(builder, options[0], weights, biases, falls)
            cut = _repeated(builder, builder.extract_value(parts, level))
            k = builder.add(k, builder.select(left, cut, zero))
            decided.append(left)
        builder.store(k, address(context, builder, rows, array, place, WHOLE), align=8)
        return context.get_dummy_value()

    return types.none(rows, types.intp, pivots, types.UniTuple(types.intp, LEVELS), w, b), generate


def _last_rows_plain(rows: Places, at: int, found: tuple[Tile, Tile], two: int, size: int, w: Tile, b: Tile) -> None:
    falls = w[0] < 0.0
    left, next_left = ((w[0] * x[0] + b[0] > 0.0) == falls for x in found)
    k = rows[at : at + LANES] + left + two * next_left
    rows[at : at + LANES] = np.where(falls, 2 * size + 1 - k, k)


@or_plain(_last_rows_plain)
def last_rows(typing: Any, rows: Any, at: Any, found: Any, two: Any, size: Any, w: Any, b: Any) -> Any:
    """Move rows[at:] past those of the two samples found there that are left, and number falling units' from behind."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, samples, second, length = arguments[:5]
        weights, biases = (builder.extract_value(tile, 0) for tile in arguments[5:])
        zero, falls = ir.Constant(WHOLE, None), builder.fcmp_ordered("<", weights, ir.Constant(VECTOR, None))
        start = address(context, builder, rows, array, place, WHOLE)
        k = builder.load(start, align=8)
        for i, step in enumerate((ir.Constant(PLACE, 1), second)):
            x = builder.extract_value(builder.extract_value(samples, i), 0)
            left = _is_left(builder, x, weights, biases, falls)
            k = builder.add(k, builder.select(left, _repeated(builder, step), zero))
        all_rows = builder.add(builder.shl(length, ir.Constant(PLACE, 1)), ir.Constant(PLACE, 1))
        behind = builder.sub(_repeated(builder, all_rows), k)
        builder.store(builder.select(falls, behind, k), start, align=8)
        return context.get_dummy_value()

    return types.none(rows, types.intp, found, types.intp, types.intp, w, b), generate


def _pairs_plain(a: Array, rows: Places, at: int, stride: int) -> tuple[Tile, Tile]:
    places = stride * rows[at : at + LANES]
    return a.reshape(-1)[None, places], a.reshape(-1)[None, places + 1]


@or_plain(_pairs_plain)
def pairs(typing: Any, a: Any, rows: Any, at: Any, stride: Any) -> Any:
    """Return for LANES units the numbers at a[stride * rows[at]] and right after it, a row of each.

    Two at once, as that takes as many instructions as one of them; and the places by themselves from memory, from
    where they cost a third of what it takes to get them out of a vector.
    """
    both = types.UniTuple(TileType(1), 2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pair = ir.VectorType(ir.DoubleType(), 2)
        vectors = []
        for lane in range(LANES):
            place = builder.add(arguments[2], ir.Constant(PLACE, lane))
            row = builder.load(address(context, builder, rows, arguments[1], place, PLACE))
            start = address(context, builder, a, arguments[0], builder.mul(row, arguments[3]), pair)
            vectors.append(builder.load(start, align=8))
        while len(vectors) > 1:
            length = 2 * vectors[0].type.count
            joined = ir.Constant(ir.VectorType(NUMBER, length), list(range(length)))
            vectors = [builder.shuffle_vector(*two, joined) for two in zip(vectors[::2], vectors[1::2], strict=True)]
        tiles = []
        for first in range(2):
            every = ir.Constant(ir.VectorType(NUMBER, LANES), list(range(first, 2 * LANES, 2)))
            row = builder.shuffle_vector(vectors[0], vectors[0], every)
            tile = ir.Constant(ir.ArrayType(VECTOR, 1), ir.Undefined)
            tiles.append(builder.insert_value(tile, row, 0))
        return context.make_tuple(builder, both, tiles)

    return both(a, rows, types.intp, types.intp), generate


def _add_pairs_plain(a: Array, rows: Places, at: int, one: Tile, other: Tile) -> None:
    for row, *terms in zip(rows[at : at + LANES], one[0], other[0], strict=True):
        a[row] += terms


@or_plain(_add_pairs_plain)
def add_pairs(typing: Any, a: Any, rows: Any, at: Any, one: Any, other: Any) -> Any:
    """Add for LANES units, one after the other, their two numbers to a[rows[at]]; a has two columns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pair = ir.VectorType(ir.DoubleType(), 2)
        left, right = (builder.extract_value(tile, 0) for tile in arguments[3:])
        for lane in range(LANES):
            place = builder.add(arguments[2], ir.Constant(PLACE, lane))
            row = builder.load(address(context, builder, rows, arguments[1], place, PLACE))
            start = address(context, builder, a, arguments[0], builder.shl(row, ir.Constant(PLACE, 1)), pair)
            both = ir.Constant(ir.VectorType(NUMBER, 2), [lane, LANES + lane])
            term = builder.shuffle_vector(left, right, both)
            builder.store(builder.fadd(builder.load(start, align=8), term), start, align=8)
        return context.get_dummy_value()

    return types.none(a, rows, types.intp, one, other), generate


@inner
def find(x: Array, size: int, w: Array, b: Array, rows: Places, probe: Array, pivots: Array) -> None:
    """Write from which row on each unit is on; units go by LANES, those beyond a model's width have weights of 0.

    A row is a sample, of S ascending ones, and S where there is none; for falling units, which are on from the first
    sample on, S + 1 is the last sample, and so on in descending order up to 2 S + 1 for none. x (S + 1,) has a number
    behind it that is not used. `probe` (H,) and `pivots` (PIVOTS,) are working arrays. No unit waits for another one's
    branch, and nothing depends on where kinks were before.
    """
    one = size >> 1
    length = size - one
    two = length >> 1
    length -= two
    three = length >> 1
    length -= three
    four = length >> 1
    length -= four
    # The sample before each cut decides whether a unit moves there; without a cut one is looked at in vain.
    at_two, at_three, at_four = two - (two > 0), three - (three > 0), four - (four > 0)
    pivots[0] = get(x, one - (one > 0))
    for i in range(2):
        place = i * one
        pivots[1 + i] = get(x, place + at_two)
        for j in range(2):
            place = i * one + j * two
            pivots[3 + 2 * i + j] = get(x, place + at_three)
            for k in range(2):
                pivots[7 + 4 * i + 2 * j + k] = get(x, place + k * three + at_four)
    cuts = (one, two, three, four)
    for j in range(0, w.size, LANES):
        first_rows(rows, j, pivots, cuts, read_tile(ONE, w, j), read_tile(ONE, b, j))
    while length > 2:  # the row is among `length` from rows[j] on, or right after them
        part = length >> 1
        for j in range(w.size):  # a loop of its own: the compiler's way to fetch them within the next takes four times
            probe[j] = get(x, get(rows, j) + (part - 1))
        for j in range(w.size):
            rows[j] += part if (w[j] * probe[j] + b[j] > 0.0) == (w[j] < 0.0) else 0
        length -= part
    for j in range(0, w.size, LANES):
        found = pairs(x, rows, j, 1)
        last_rows(rows, j, found, length - 1, size, read_tile(ONE, w, j), read_tile(ONE, b, j))
