"""Streams of random numbers: one Philox generator per seed and purpose, so that changing one draw never moves another.

The one place where purposes are numbered; everything random in the package comes from `generator`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.system.checks import whole

__all__ = [
    "BATCHES", "BUILT", "HIDDEN", "NOISE", "OUTPUTS", "POINTS", "RESAMPLING", "ROWS", "SPLIT", "TEACHER", "VALIDATION",
    "WEIGHTS", "generator", "generators", "pools",
]  # fmt: skip

Words = NDArray[np.uint32]

_FEW = 30  # seeds: hashing fewer at once costs more than one by one

# First entries of SeedSequence's spawn keys. A number is never used twice and never changed: files and figures depend
# on it.
WEIGHTS = 0  # initial weights of the first and the output layer
HIDDEN = 1  # (HIDDEN, l): initial weights of hidden matrix l
OUTPUTS = 3  # (OUTPUTS, o): initial weights of output o, from the second one on
BATCHES = 2  # (BATCHES, epoch): order of the training samples in an epoch
NOISE = 100
SPLIT = 101
VALIDATION = 102
ROWS = 103
POINTS = 104  # where points lie that are not equally spaced
TEACHER = 105  # a teacher network; (TEACHER, part): its samples of a part of the data
RESAMPLING = 200  # resampled seeds; before 1.0 built networks used 200 too, with the width behind it
BUILT = 201  # (BUILT, width): starts of the search for a built network


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Return the generator of the stream of a seed, 0 or more, for one purpose.

    The purpose is the spawn key: one of those above, and what tells its streams apart, such as the layer or the epoch.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(whole(seed, "seed"), spawn_key=purpose)))


def generators(seeds: NDArray[np.int64], *purpose: int) -> Iterator[np.random.Generator]:
    """Yield what `generator` returns for each of many seeds (M,), at a tenth of its cost; purposes are below 2^32.

    It is one generator that is set to the next seed's stream each time: use it before the next one is taken.
    """
    if len(seeds) < _FEW:
        yield from (generator(int(seed), *purpose) for seed in seeds)
        return
    shared = generator(0, *purpose)
    fresh: dict[str, Any] = {
        "counter": (0,) * 4,
        "key": None,
    }  # plain numbers: NumPy reads arrays of them 0.7 us slower
    state = {**shared.bit_generator.state, "state": fresh, "buffer": (0,) * 4}
    for key in _philox_keys(seeds, purpose).tolist():
        fresh["key"] = key
        shared.bit_generator.state = state
        yield shared


def pools(seeds: NDArray[np.int64], *purpose: int) -> list[Words]:
    """Return what NumPy's SeedSequence makes of seeds (M,) and the beginning of a spawn key: four words for each seed.

    All words of 32 bits so far are hashed into the pool, which the next ones are hashed into (O'Neill 2015, "Developing
    a seed_seq alternative"; NumPy keeps this stable). A kernel goes on from there.
    """
    seeds = np.asarray(seeds).astype(np.uint64)
    low, high = (seeds & np.uint64(0xFFFFFFFF)).astype(np.uint32), (seeds >> np.uint64(32)).astype(np.uint32)
    words = [low, high, *(np.full_like(low, word) for word in (0, 0, *purpose))]

    def mixed(x: Words, y: Words) -> Words:
        value: Words = np.uint32(0xCA01F9DD) * x - np.uint32(0x4973F715) * y
        return value ^ (value >> np.uint32(16))

    hashed = _hashing(0x43B0D7E5, 0x931E8875)
    pool = [hashed(word) for word in words[:4]]
    for i in range(4):
        for j in range(4):
            if i != j:
                pool[j] = mixed(pool[j], hashed(pool[i]))
    for word in words[4:]:
        pool = [mixed(value, hashed(word)) for value in pool]
    return pool


def _hashing(factor: int, multiplier: int) -> Callable[[Words], Words]:
    def hashed(value: Words) -> Words:
        nonlocal factor
        value = value ^ np.uint32(factor)
        factor = factor * multiplier % 2**32
        value = value * np.uint32(factor)
        return value ^ (value >> np.uint32(16))

    return hashed


def _philox_keys(seeds: NDArray[np.int64], purpose: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return the keys (M, 2) of the Philox generators of many seeds and a spawn key."""
    hashed = _hashing(0x8B51F9DD, 0x58F38DED)
    key = [hashed(value).astype(np.uint64) for value in pools(seeds, *purpose)]
    return np.stack([key[0] | key[1] << np.uint64(32), key[2] | key[3] << np.uint64(32)], axis=1)
