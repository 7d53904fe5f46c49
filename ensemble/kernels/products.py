"""Matrix products of a few models' size, out of cache on one thread: what deep networks spend their time on.

Rows are padded to a multiple of `ROWS`, columns to one of `LANES`, and padding stays zero. Every sum is added up in the
order of its terms, so that a product's bits depend on its operands alone.
"""

from __future__ import annotations

from ensemble.kernels.jit import inner
from ensemble.kernels.tiles import LANES, add_outer, read_tile, write_rows, zero_tile
from ensemble.kernels.updates import Array

ROWS = 8  # by two vectors: half the registers hold sums, and each is used once in as many cycles as an addition takes
ONE, EIGHT = (0,), (0,) * ROWS


@inner
def product(
    c: Array, c_at: int, a: Array, a_at: int, a_row: int, a_term: int, b: Array, b_at: int, rows: int, terms: int,
    stride: int,
) -> None:  # fmt: skip
    """Write C (rows, stride) = A B, C from c[c_at] on: element (r, i) of A is a[a_at + r a_row + i a_term].

    B (terms, stride) begins at b[b_at]; the rows of C are written by `ROWS`, up to the next multiple of it.
    """
    for column in range(0, stride, LANES):
        for r in range(0, rows, ROWS):
            total = zero_tile(EIGHT)
            for i in range(terms):
                row = read_tile(ONE, b, b_at + i * stride + column)
                total = add_outer(total, a, a_at + r * a_row + i * a_term, a_row, row)
            write_rows(c, c_at + r * stride + column, stride, total)


@inner
def transpose(a: Array, a_at: int, rows: int, columns: int, stride: int, c: Array, c_at: int) -> None:
    """Write the transpose of A (rows, columns), from a[a_at] on, to c[c_at:]; both have rows `stride` apart."""
    for first in range(0, rows, 8):  # a line of the cache at a time
        for j in range(columns):
            for i in range(first, first + 8 if first + 8 < rows else rows):
                c[c_at + j * stride + i] = a[a_at + i * stride + j]
