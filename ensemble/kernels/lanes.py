"""Which lanes of a row are on, as bits, and sums over lanes: what walks along straight lines need beside `tiles`.

Bits are those of one 16-bit number, lane 0 the lowest; nothing here is checked, as in `tiles`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core.cgutils import get_or_insert_function, ir

from ensemble.kernels.tiles import BITS, LANES, VECTOR, Masks, Tile, address, broadcast, or_plain
from ensemble.kernels.updates import EPSILON, WEIGHT_LIMIT, Array

__all__ = [
    "ALL", "WORD", "active", "adam_direction", "add_up", "count_lanes", "first_lane", "get", "get_word", "keep", "mark",
    "positive", "put", "put_word", "within", "write_sums",
]  # fmt: skip

ALL = 2**LANES - 1
WORD = 4  # masks side by side in one number


def _active_plain(a: Tile, u: float, b: Tile) -> int:
    return int((a[0] * u + b[0] > 0.0) @ (1 << np.arange(LANES)))


@or_plain(_active_plain)
def active(typing: Any, a: Any, u: Any, b: Any) -> Any:
    """Return in which lanes a u + b > 0, one bit each; rounded as the same expression of single numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        slope, value = builder.extract_value(arguments[0], 0), builder.extract_value(arguments[2], 0)
        z = builder.fadd(builder.fmul(slope, broadcast(builder, arguments[1])), value)
        return builder.bitcast(builder.fcmp_ordered(">", z, ir.Constant(VECTOR, None)), BITS)

    return types.uint16(a, types.float64, b), generate


def _get_plain(a: Any, at: int) -> Any:
    return a[at]


@or_plain(_get_plain)
def get(typing: Any, a: Any, at: Any) -> Any:
    """Return a[at] of a flat array, at >= 0: without the three instructions that numba spends on negative places."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_data_type(a.dtype)
        return builder.load(address(context, builder, a, arguments[0], arguments[1], kind))

    return a.dtype(a, types.intp), generate


def _put_plain(a: Any, at: int, value: Any) -> None:
    a[at] = value


@or_plain(_put_plain)
def put(typing: Any, a: Any, at: Any, value: Any) -> Any:
    """Write a[at] of a flat array, likewise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_data_type(a.dtype)
        builder.store(arguments[2], address(context, builder, a, arguments[0], arguments[1], kind))
        return context.get_dummy_value()

    return types.none(a, types.intp, a.dtype), generate


def _positive_plain(u: Array, at: int, w: float, b: float) -> int:
    return int((w * u[at : at + LANES] + b > 0.0) @ (1 << np.arange(LANES)))


@or_plain(_positive_plain)
def positive(typing: Any, u: Any, at: Any, w: Any, b: Any) -> Any:
    """Return at which of u[at:], LANES samples, w u + b > 0, one bit each; rounded as in `active`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = builder.load(address(context, builder, u, arguments[0], arguments[1], VECTOR), align=8)
        z = builder.fadd(builder.fmul(row, broadcast(builder, arguments[2])), broadcast(builder, arguments[3]))
        bits = builder.bitcast(builder.fcmp_ordered(">", z, ir.Constant(VECTOR, None)), BITS)
        return builder.zext(bits, ir.IntType(64))

    return types.intp(u, types.intp, types.float64, types.float64), generate


def _keep_plain(tile: Tile, bits: int) -> Tile:
    return np.where((int(bits) >> np.arange(LANES)) & 1 > 0, tile, 0.0)


@or_plain(_keep_plain)
def keep(typing: Any, tile: Any, bits: Any) -> Any:
    """Return a row with zeros in the lanes whose bit is not set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = builder.bitcast(arguments[1], ir.VectorType(ir.IntType(1), LANES))
        row = builder.select(lanes, builder.extract_value(arguments[0], 0), ir.Constant(VECTOR, None))
        return builder.insert_value(arguments[0], row, 0)

    return tile(tile, types.uint16), generate


def _add_up_plain(tile: Tile) -> float:
    row, half = tile[0], LANES // 2
    while half:
        row, half = row[:half] + row[half:], half // 2
    return float(row[0])


@or_plain(_add_up_plain)
def add_up(typing: Any, tile: Any) -> Any:
    """Return the sum of a row's lanes, halves added to halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, half = builder.extract_value(arguments[0], 0), LANES // 2
        while half:
            numbers = ir.VectorType(ir.IntType(32), half)
            low, high = (ir.Constant(numbers, list(range(first, first + half))) for first in (0, half))
            none = ir.Constant(row.type, ir.Undefined)
            row = builder.fadd(builder.shuffle_vector(row, none, low), builder.shuffle_vector(row, none, high))
            half //= 2
        return builder.extract_element(row, ir.Constant(ir.IntType(32), 0))

    return types.float64(tile), generate


def _write_sums_plain(a: Array, at: int, tile: Tile) -> None:
    a[at : at + len(tile)] = [_add_up_plain(row[None]) for row in tile]


@or_plain(_write_sums_plain)
def write_sums(typing: Any, a: Any, at: Any, tile: Any) -> Any:
    """Write to a[at:] the sum of each of LANES / 2 rows' lanes, as `add_up` does; in a third of its instructions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, length = [builder.extract_value(arguments[2], k) for k in range(tile.rows)], LANES
        while length > 1:  # of each row's lanes that are left; several rows share a vector
            half, sums = length // 2, []
            for one, other in zip(vectors[::2], vectors[1::2] or vectors, strict=True):
                starts = range(0, LANES * min(2, len(vectors)), length)
                low = [first + i for first in starts for i in range(half)]
                numbers = ir.VectorType(ir.IntType(32), len(low))
                left, right = (
                    builder.shuffle_vector(one, other, ir.Constant(numbers, [lane + shift for lane in low]))
                    for shift in (0, half)
                )
                sums.append(builder.fadd(left, right))
            vectors, length = sums, half
        place = address(context, builder, a, arguments[0], arguments[1], vectors[0].type)
        builder.store(vectors[0], place, align=8)
        return context.get_dummy_value()

    return types.none(a, types.intp, tile), generate


def _get_word_plain(masks: Masks, at: int) -> int:
    return sum(int(masks[at + i]) << LANES * i for i in range(WORD))


@or_plain(_get_word_plain)
def get_word(typing: Any, masks: Any, at: Any) -> Any:
    """Return masks[at : at + WORD] as one number, the first of them lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(address(context, builder, masks, arguments[0], arguments[1], ir.IntType(64)), align=2)

    return types.intp(masks, types.intp), generate


def _put_word_plain(masks: Masks, at: int, word: int) -> None:
    masks[at : at + WORD] = [(word >> LANES * i) & ALL for i in range(WORD)]


@or_plain(_put_word_plain)
def put_word(typing: Any, masks: Any, at: Any, word: Any) -> Any:
    """Write one number to masks[at : at + WORD], likewise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, masks, arguments[0], arguments[1], ir.IntType(64))
        builder.store(arguments[2], place, align=2)
        return context.get_dummy_value()

    return types.none(masks, types.intp, types.intp), generate


def _mark_plain(word: int, strip: int, before: int, after: int) -> int:
    return word | (int(before) ^ int(after)) << LANES * (strip % WORD)


@or_plain(_mark_plain)
def mark(typing: Any, word: Any, strip: Any, before: Any, after: Any) -> Any:
    """Return a word in which the lanes of a strip are set where two masks differ; `strip` counts from any word on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = builder.zext(builder.xor(arguments[2], arguments[3]), ir.IntType(64))
        shift = builder.mul(
            builder.and_(arguments[1], ir.Constant(ir.IntType(64), WORD - 1)), ir.Constant(ir.IntType(64), LANES)
        )
        return builder.or_(arguments[0], builder.shl(wide, shift))

    return types.intp(types.intp, types.intp, types.uint16, types.uint16), generate


def _first_lane_plain(word: int) -> int:
    return (word & -word).bit_length() - 1


@or_plain(_first_lane_plain)
def first_lane(typing: Any, word: Any) -> Any:
    """Return the first lane whose bit is set in a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.intp), generate


def _count_lanes_plain(bits: int) -> int:
    return int(bits).bit_count()


@or_plain(_count_lanes_plain)
def count_lanes(typing: Any, bits: Any) -> Any:
    """Return how many lanes have their bit set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.ctpop(builder.trunc(arguments[0], BITS)), ir.IntType(64))

    return types.intp(bits), generate


def _apply(builder: Any, name: str, row: Any) -> Any:
    """Return LLVM's function of that name of each lane."""
    kind = ir.FunctionType(VECTOR, [VECTOR])
    return builder.call(get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64"), [row])


def _within_plain(tile: Tile) -> int:
    return int((np.abs(tile[0]) <= WEIGHT_LIMIT) @ (1 << np.arange(LANES)))


@or_plain(_within_plain)
def within(typing: Any, tile: Any) -> Any:
    """Return which lanes of a row are within `WEIGHT_LIMIT`, one bit each; a NaN is not."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _apply(builder, "fabs", builder.extract_value(arguments[0], 0))
        limit = ir.Constant(VECTOR, [WEIGHT_LIMIT] * LANES)
        return builder.zext(builder.bitcast(builder.fcmp_ordered("<=", row, limit), BITS), ir.IntType(64))

    return types.intp(tile), generate


def _adam_direction_plain(mean: Tile, scale1: float, square: Tile, scale2: float) -> Tile:
    return (mean * scale1) / (np.sqrt(square * scale2) + EPSILON)


@or_plain(_adam_direction_plain)
def adam_direction(typing: Any, mean: Any, scale1: Any, square: Any, scale2: Any) -> Any:
    """Return mean scale1 / (sqrt(square scale2) + EPSILON), one row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second = builder.extract_value(arguments[0], 0), builder.extract_value(arguments[2], 0)
        below = _apply(builder, "sqrt", builder.fmul(second, broadcast(builder, arguments[3])))
        below = builder.fadd(below, ir.Constant(VECTOR, [EPSILON] * LANES))
        row = builder.fdiv(builder.fmul(first, broadcast(builder, arguments[1])), below)
        return builder.insert_value(arguments[0], row, 0)

    return mean(mean, types.float64, square, types.float64), generate
