"""Vector arithmetic on tiles of a few rows by `LANES` hidden units, which the compiler keeps in registers.

The kernels for any number of inputs are written with them. A vectorized inner loop over units loads and stores an
operand for each multiplication and reaches a fifth of the machine's rate; weights and gradients that stay in registers
over many samples reach nearly all of it.

A tile lives inside compiled code only, and its number of rows is part of its type, so that one source makes one
kernel for each number of inputs. Offsets are into flat arrays and are not checked. No sum is ever reordered:
each lane adds up its own terms, in the order written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, types
from numba.core.cgutils import ir
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from ensemble.kernels.updates import Array

LANES = 16  # two 512-bit vectors: one broadcast of an input serves two multiplications
Count = tuple[int, ...]  # only its length counts: the number of rows of a tile
Masks = NDArray[np.uint16]  # one bit per lane
Tile = Array  # (K, LANES)


class TileType(types.Type):  # type: ignore[misc]
    """K rows of `LANES` numbers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        super().__init__(name=f"Tile({rows})")


VECTOR = ir.VectorType(ir.DoubleType(), LANES)
BITS = ir.IntType(LANES)
FUSED = ("contract",)  # a * b + c in one instruction where the machine has it


@register_model(TileType)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: TileType) -> None:
        super().__init__(manager, kind, ir.ArrayType(VECTOR, kind.rows))


def or_plain(plain: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Choose the plain function where nothing is compiled, and else the compiled one."""

    def choose(define: Callable[..., Any]) -> Any:
        return plain if config.DISABLE_JIT else intrinsic(define)

    return choose


def address(context: Any, builder: Any, kind: Any, array: Any, at: Any, target: Any) -> Any:
    """Return a pointer to element `at` of a flat array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), target.as_pointer())


def broadcast(builder: Any, value: Any) -> Any:
    """Return a vector with one number in all lanes."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), zeros)


def _read_plain(rows: Count, a: Array, at: int) -> Tile:
    return a[at : at + len(rows) * LANES].reshape(-1, LANES).copy()


@or_plain(_read_plain)
def read_tile(typing: Any, rows: Any, a: Any, at: Any) -> Any:
    """Return a tile of len(rows) rows, copied from a[at:]."""
    tile = TileType(len(rows))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = address(context, builder, a, arguments[1], arguments[2], VECTOR)
        value = ir.Constant(ir.ArrayType(VECTOR, tile.rows), ir.Undefined)
        for k in range(tile.rows):
            row = builder.load(builder.gep(start, [ir.Constant(ir.IntType(64), k)]), align=8)
            value = builder.insert_value(value, row, k)
        return value

    return tile(rows, a, types.intp), generate


def _write_plain(a: Array, at: int, tile: Tile) -> None:
    a[at : at + tile.size] = tile.ravel()


@or_plain(_write_plain)
def write_tile(typing: Any, a: Any, at: Any, tile: Any) -> Any:
    """Copy a tile to a[at:]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = address(context, builder, a, arguments[0], arguments[1], VECTOR)
        for k in range(tile.rows):
            row = builder.extract_value(arguments[2], k)
            builder.store(row, builder.gep(start, [ir.Constant(ir.IntType(64), k)]), align=8)
        return context.get_dummy_value()

    return types.none(a, types.intp, tile), generate


def _add_inputs_plain(z: Tile, x: Array, at: int, w: Tile) -> Tile:
    for k in range(len(w)):
        z = z + x[at + k] * w[k]
    return z


@or_plain(_add_inputs_plain)
def add_inputs(typing: Any, z: Any, x: Any, at: Any, w: Any) -> Any:
    """Return z + sum over k of x[at + k] w[k], one row; added up in the order of k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total = builder.extract_value(arguments[0], 0)
        start = address(context, builder, x, arguments[1], arguments[2], ir.DoubleType())
        for k in range(w.rows):
            factor = builder.load(builder.gep(start, [ir.Constant(ir.IntType(64), k)]))
            product = builder.fmul(broadcast(builder, factor), builder.extract_value(arguments[3], k), flags=FUSED)
            total = builder.fadd(total, product, flags=FUSED)
        return builder.insert_value(arguments[0], total, 0)

    return z(z, x, types.intp, w), generate


def _add_product_plain(c: Tile, a: Tile, b: Tile) -> Tile:
    return c + a * b


@or_plain(_add_product_plain)
def add_product(typing: Any, c: Any, a: Any, b: Any) -> Any:
    """Return c + a b, element by element; b is one row, which multiplies each row of a."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, right = arguments[0], builder.extract_value(arguments[2], 0)
        for k in range(c.rows):
            product = builder.fmul(builder.extract_value(arguments[1], k), right, flags=FUSED)
            total = builder.fadd(builder.extract_value(value, k), product, flags=FUSED)
            value = builder.insert_value(value, total, k)
        return value

    return c(c, a, b), generate


def _dot_active_plain(p: Tile, z: Tile, v: Tile, masks: Masks, at: int) -> Tile:
    active = z[0] > 0.0
    masks[at] = active @ (1 << np.arange(LANES))
    return np.where(active, p + z * v, p)


@or_plain(_dot_active_plain)
def dot_active(typing: Any, p: Any, z: Any, v: Any, masks: Any, at: Any) -> Any:
    """Return p + relu(z) v, one row, and write to masks[at] in which lanes z > 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, pre, weight = (builder.extract_value(argument, 0) for argument in arguments[:3])
        active = builder.fcmp_ordered(">", pre, ir.Constant(VECTOR, None))
        place = address(context, builder, masks, arguments[3], arguments[4], BITS)
        builder.store(builder.bitcast(active, BITS), place)
        after = builder.fadd(before, builder.fmul(pre, weight, flags=FUSED), flags=FUSED)
        return builder.insert_value(arguments[0], builder.select(active, after, before), 0)

    return p(p, z, v, masks, types.intp), generate


def _add_active_plain(g: Tile, masks: Masks, at: int, c: Array, c_at: int) -> Tile:
    active = (masks[at] >> np.arange(LANES)) & 1 > 0
    return np.where(active, g + c[c_at : c_at + len(g), None], g)


@or_plain(_add_active_plain)
def add_active(typing: Any, g: Any, masks: Any, at: Any, c: Any, c_at: Any) -> Any:
    """Return g with c[c_at + k] added to row k, in the lanes set in masks[at]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = address(context, builder, masks, arguments[1], arguments[2], BITS)
        active = builder.bitcast(builder.load(place), ir.VectorType(ir.IntType(1), LANES))
        start = address(context, builder, c, arguments[3], arguments[4], ir.DoubleType())
        value = arguments[0]
        for k in range(g.rows):
            term = builder.load(builder.gep(start, [ir.Constant(ir.IntType(64), k)]))
            before = builder.extract_value(value, k)
            after = builder.fadd(before, broadcast(builder, term))
            value = builder.insert_value(value, builder.select(active, after, before), k)
        return value

    return g(g, masks, types.intp, c, types.intp), generate


def _zero_plain(rows: Count) -> Tile:
    return np.zeros((len(rows), LANES))


@or_plain(_zero_plain)
def zero_tile(typing: Any, rows: Any) -> Any:
    """Return a tile of len(rows) rows of zeros."""
    tile = TileType(len(rows))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.ArrayType(VECTOR, tile.rows), None)

    return tile(rows), generate


def _write_rows_plain(a: Array, at: int, stride: int, tile: Tile) -> None:
    for k, row in enumerate(tile):
        a[at + k * stride : at + k * stride + LANES] = row


@or_plain(_write_rows_plain)
def write_rows(typing: Any, a: Any, at: Any, stride: Any, tile: Any) -> Any:
    """Copy the rows of a tile to a[at:], a[at + stride:], and so on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = arguments[1]
        for k in range(tile.rows):
            start = address(context, builder, a, arguments[0], place, VECTOR)
            builder.store(builder.extract_value(arguments[3], k), start, align=8)
            place = builder.add(place, arguments[2])
        return context.get_dummy_value()

    return types.none(a, types.intp, types.intp, tile), generate


def _add_outer_plain(c: Tile, a: Array, at: int, stride: int, row: Tile) -> Tile:
    return c + a[at : at + stride * (len(c) - 1) + 1 : stride, None] * row


@or_plain(_add_outer_plain)
def add_outer(typing: Any, c: Any, a: Any, at: Any, stride: Any, row: Any) -> Any:
    """Return c with a[at + k stride] times the one row added to row k: a step of a matrix product."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, place, right = arguments[0], arguments[2], builder.extract_value(arguments[4], 0)
        for k in range(c.rows):
            factor = builder.load(address(context, builder, a, arguments[1], place, ir.DoubleType()))
            product = builder.fmul(broadcast(builder, factor), right, flags=FUSED)
            total = builder.fadd(builder.extract_value(value, k), product, flags=FUSED)
            value = builder.insert_value(value, total, k)
            place = builder.add(place, arguments[3])
        return value

    return c(c, a, types.intp, types.intp, row), generate


def _add_scaled_plain(c: Tile, factor: float, row: Tile) -> Tile:
    return c + factor * row


@or_plain(_add_scaled_plain)
def add_scaled(typing: Any, c: Any, factor: Any, row: Any) -> Any:
    """Return c + factor row; one row each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, right = builder.extract_value(arguments[0], 0), builder.extract_value(arguments[2], 0)
        product = builder.fmul(broadcast(builder, arguments[1]), right, flags=FUSED)
        return builder.insert_value(arguments[0], builder.fadd(start, product, flags=FUSED), 0)

    return c(c, types.float64, row), generate


def _repeat_plain(rows: Count, row: Tile) -> Tile:
    return np.repeat(row, len(rows), axis=0)


@or_plain(_repeat_plain)
def repeat(typing: Any, rows: Any, row: Any) -> Any:
    """Return a tile of len(rows) rows, each the one row."""
    tile = TileType(len(rows))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, one = ir.Constant(ir.ArrayType(VECTOR, tile.rows), ir.Undefined), builder.extract_value(arguments[1], 0)
        for k in range(tile.rows):
            value = builder.insert_value(value, one, k)
        return value

    return tile(rows, row), generate


def _rectify_plain(tile: Tile) -> Tile:
    return np.where(tile > 0.0, tile, 0.0)


@or_plain(_rectify_plain)
def rectify(typing: Any, tile: Any) -> Any:
    """Return a tile with zeros where it is not positive."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, zero = arguments[0], ir.Constant(VECTOR, None)
        for k in range(tile.rows):
            row = builder.extract_value(value, k)
            row = builder.select(builder.fcmp_ordered(">", row, zero), row, zero)
            value = builder.insert_value(value, row, k)
        return value

    return tile(tile), generate


def _keep_active_plain(tile: Tile, a: Array, at: int) -> Tile:
    return np.where(a[at : at + tile.size].reshape(tile.shape) > 0.0, tile, 0.0)


@or_plain(_keep_active_plain)
def keep_active(typing: Any, tile: Any, a: Any, at: Any) -> Any:
    """Return a tile with zeros where the tile at a[at:] is not positive."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, zero = arguments[0], ir.Constant(VECTOR, None)
        start = address(context, builder, a, arguments[1], arguments[2], VECTOR)
        for k in range(tile.rows):
            h = builder.load(builder.gep(start, [ir.Constant(ir.IntType(64), k)]), align=8)
            row = builder.select(builder.fcmp_ordered(">", h, zero), builder.extract_value(value, k), zero)
            value = builder.insert_value(value, row, k)
        return value

    return tile(tile, a, types.intp), generate


def _add_rows_plain(total: Tile, tile: Tile) -> Tile:
    for row in tile:
        total = total + row
    return total


@or_plain(_add_rows_plain)
def add_rows(typing: Any, total: Any, tile: Any) -> Any:
    """Return the one row `total` with the rows of a tile added, one after the other."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = builder.extract_value(arguments[0], 0)
        for k in range(tile.rows):
            row = builder.fadd(row, builder.extract_value(arguments[1], k))
        return builder.insert_value(arguments[0], row, 0)

    return total(total, tile), generate
