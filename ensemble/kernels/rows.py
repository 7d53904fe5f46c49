"""Rows of numbers in a flat array, padded to whole vectors: what deep networks do with them one row at a time."""

from __future__ import annotations

from ensemble.kernels.jit import inner
from ensemble.kernels.tiles import LANES, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import Array

__all__ = ["add_row", "clear", "copy_row"]

ONE = (0,)


@inner
def clear(f: Array, first: int, count: int) -> None:
    """Write zeros to f[first:], `count` of them or up to LANES - 1 more."""
    for i in range(first, first + count, LANES):
        write_tile(f, i, zero_tile(ONE))


@inner
def copy_row(f: Array, to: int, row: int, count: int) -> None:
    """Write f[row:] to f[to:], `count` numbers, as `clear` counts."""
    for i in range(0, count, LANES):
        write_tile(f, to + i, read_tile(ONE, f, row + i))


@inner
def add_row(f: Array, to: int, factor: float, row: int, count: int) -> None:
    """Add the factor times f[row:] to f[to:], `count` numbers, as `clear` counts."""
    for i in range(0, count, LANES):
        write_tile(f, to + i, add_scaled(read_tile(ONE, f, to + i), factor, read_tile(ONE, f, row + i)))
