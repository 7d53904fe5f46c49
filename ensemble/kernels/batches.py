"""The order of the training samples in an epoch, drawn inside a kernel: bit by bit that of `rules/batches.py`.

NumPy's seeding and its Philox generator are written out here, as NumPy's own cost 27 us an epoch; used by the kernels
that train in batches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.cgutils import ir
from numpy.typing import NDArray

from ensemble.kernels.jit import inlined, inner
from ensemble.kernels.lanes import put
from ensemble.kernels.tiles import or_plain
from ensemble.kernels.updates import Array

__all__ = ["Batch", "Pools", "Room", "Words", "order_of", "padded", "room_of", "take"]

Pools = NDArray[np.uint64]  # (M, 4): of each model's seed and the purpose BATCHES, from streams.pools
Words = NDArray[np.uint64]
Batch = NDArray[np.uint32]

WORD, HALF = ir.IntType(64), 0xFFFFFFFF
PAIR = types.UniTuple(types.uint64, 2)
FOUR = types.UniTuple(types.uint64, 4)

# Of SeedSequence, as in system/streams.py: the factor after the 20 numbers that are hashed before the epoch.
MULTIPLIER = 0x931E8875
FIRST = np.uint64(0x43B0D7E5 * pow(MULTIPLIER, 20, 2**32) % 2**32)
FACTOR, MASK, SHIFT, TOP = np.uint64(MULTIPLIER), np.uint64(HALF), np.uint64(16), np.uint64(32)
LEFT, RIGHT = np.uint64(0xCA01F9DD), np.uint64(0x4973F715)
KEY_FIRST, KEY_FACTOR = np.uint64(0x8B51F9DD), np.uint64(0x58F38DED)
BORROW = np.uint64(2**32)

# Of Philox4x64-10 (Salmon et al. 2011).
ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def _philox_plain(block: int, key: int, other: int) -> tuple[np.uint64, ...]:
    a, b, c, d = int(block), 0, 0, 0
    for turn in range(ROUNDS):
        one, two = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        first, second = ((int(start) + turn * step) % 2**64 for start, step in zip((key, other), STEPS, strict=True))
        a, b, c, d = (two >> 64) ^ b ^ first, two % 2**64, (one >> 64) ^ d ^ second, one % 2**64
    return tuple(np.uint64(word) for word in (a, b, c, d))


@or_plain(_philox_plain)
def philox(typing: Any, block: Any, key: Any, other: Any) -> Any:
    """Return the four words of one block of the stream of a key."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(WORD, 0)
        (a, *keys), b, c, d = arguments, zero, zero, zero
        for turn in range(ROUNDS):
            (high, low), (high_2, low_2) = (
                _wide_product(builder, ir.Constant(WORD, factor), word)
                for factor, word in zip(MULTIPLIERS, (a, c), strict=True)
            )
            first, second = (
                builder.add(key, ir.Constant(WORD, turn * step % 2**64)) for key, step in zip(keys, STEPS, strict=True)
            )
            a, b = builder.xor(builder.xor(high_2, b), first), low_2
            c, d = builder.xor(builder.xor(high, d), second), low
        return context.make_tuple(builder, FOUR, (a, b, c, d))

    return FOUR(types.uint64, types.uint64, types.uint64), generate


def _wide_product(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
    wide = ir.IntType(128)
    product = builder.mul(builder.zext(a, wide), builder.zext(b, wide))
    return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), WORD), builder.trunc(product, WORD)


def _draw_plain(word: int, size: int) -> tuple[int, np.uint64]:
    product = int(word) * int(size)
    return product >> 64, np.uint64(product % 2**64)


@or_plain(_draw_plain)
def draw(typing: Any, word: Any, size: Any) -> Any:
    """Return a whole number below `size` that a word gives, and the word that is left."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, _wide_product(builder, *arguments))

    return types.Tuple((types.int64, types.uint64))(types.uint64, types.int64), generate


@inner
def stream_key(pools: Pools, m: int, epoch: int, key: Words) -> None:
    """Write the key (2,) of the stream (BATCHES, epoch) of model m's seed."""
    factor, key_factor, word = FIRST, KEY_FIRST, np.uint64(epoch)
    for i in range(4):
        hashed = word ^ factor
        factor = (factor * FACTOR) & MASK
        hashed = (hashed * factor) & MASK
        hashed ^= hashed >> SHIFT
        mixed = (((LEFT * pools[m, i]) & MASK) + BORROW - ((RIGHT * hashed) & MASK)) & MASK
        mixed ^= mixed >> SHIFT
        hashed = mixed ^ key_factor
        key_factor = (key_factor * KEY_FACTOR) & MASK
        hashed = (hashed * key_factor) & MASK
        hashed ^= hashed >> SHIFT
        key[i // 2] = hashed if i % 2 == 0 else key[i // 2] | (hashed << TOP)


@inner
def order_of(
    pools: Pools, m: int, epoch: int, size: int, given: Batch, words: Words, batch: Batch, ends: Batch, order: Batch
) -> None:
    """Write the samples of an epoch's batches of `size`, one batch after the other, ascending in each.

    Samples are numbered in another order than they were given in: `given` (N,) says which each of them was. `words`
    (N / 2 + 4,), `batch` (N,) and `ends` (number of batches,) are working arrays.
    """
    n = given.size
    stream_key(pools, m, epoch, words)
    key, other = words[0], words[1]
    for at in range(0, n // 2, 4):
        words[at], words[at + 1], words[at + 2], words[at + 3] = philox(np.uint64(at // 4 + 1), key, other)
    first_place = 0
    for b in range(ends.size):
        put(ends, b, np.uint32(first_place))
        last = min(first_place + size, n)
        for i in range(first_place, last):
            put(batch, i, np.uint32(b))
        first_place = last
    i = n - 1
    for at in range((n - 1) // 2):  # two places from each word
        first, word = draw(words[at], i + 1)
        batch[i], batch[first] = batch[first], batch[i]
        second, word = draw(word, i)
        batch[i - 1], batch[second] = batch[second], batch[i - 1]
        i -= 2
    if i == 1:
        first, word = draw(words[n // 2 - 1], 2)
        batch[1], batch[first] = batch[first], batch[1]
    for sample in range(n):  # a loop of its own: what it writes to is known early, so that it waits for no sum
        drawn = given[sample]
        b = batch[drawn]
        end = ends[b]
        batch[drawn] = end
        ends[b] = end + np.uint32(1)
    for sample in range(n):
        order[batch[given[sample]]] = sample


class Room(NamedTuple):
    """Working arrays of a kernel that copies each batch: those of `order_of`, and the samples of one batch."""

    given: Batch
    words: Words
    batch: Batch
    ends: Batch
    order: Batch
    x: Array
    y: Array


def room_of(n: int, d: int, largest: int, columns: int = 1) -> Room:
    """Return working arrays for batches of up to `largest` of n samples, with d inputs and some columns of targets."""
    batch, ends, order = np.zeros((3, n), np.uint32)
    x, y = np.zeros(padded(largest) * d), np.zeros(largest * columns)
    return Room(np.arange(n, dtype=np.uint32), np.zeros(n // 2 + 4, np.uint64), batch, ends, order, x, y)


def padded(n: int) -> int:
    """Return for how many samples there is room where there are n: kernels read 8 at a time."""
    return (n + 10) // 8 * 8


@inlined  # as it returns arrays
def take(
    pools: Pools, m: int, epoch: int, number: int, size: int, x: Array, y: Array, d: int, first_group: int, group: int,
    room: Room,
) -> tuple[Array, Array]:  # fmt: skip
    """Return x and y of one batch of an epoch; an epoch's batches are taken in turn.

    x is as `dense.prepare` leaves it, group of inputs after group, and y column after column.
    """
    n, rows = room.given.size, x.size // d
    if number == 0:
        steps = (n + size - 1) // size
        order_of(pools, m, epoch, size, room.given, room.words, room.batch, room.ends[:steps], room.order)
    begin = number * size
    size = min(size, n - begin)
    rows_here = (size + 10) // 8 * 8  # `padded`
    start, width = 0, first_group
    while start < d:
        for s in range(size):
            source, target = start * rows + np.int64(room.order[begin + s]) * width, start * rows_here + s * width
            for i in range(width):
                room.x[target + i] = x[source + i]
        start += width
        width = group
    columns = y.size // n
    for column in range(columns):
        for s in range(size):
            room.y[column * size + s] = y[column * n + np.int64(room.order[begin + s])]
    return room.x[: rows_here * d], room.y[: columns * size]
