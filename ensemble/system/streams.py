"""Streams of random numbers: one Philox generator per seed and purpose, so that changing one draw never moves another.

The one place where purposes are numbered; everything random in the package comes from `generator`.
"""

from __future__ import annotations

import numpy as np

from ensemble.system.checks import whole

__all__ = [
    "BATCHES", "BUILT", "HIDDEN", "NOISE", "RESAMPLING", "ROWS", "SPLIT", "VALIDATION", "WEIGHTS", "generator",
]  # fmt: skip

# First entries of SeedSequence's spawn keys. A number is never used twice and never changed: files and figures depend
# on it.
WEIGHTS = 0  # initial weights of the first and the output layer
HIDDEN = 1  # (HIDDEN, l): initial weights of hidden matrix l
BATCHES = 2  # (BATCHES, epoch): order of the training samples in an epoch
NOISE = 100
SPLIT = 101
VALIDATION = 102
ROWS = 103
RESAMPLING = 200  # resampled seeds; before 1.0 built networks used 200 too, with the width behind it
BUILT = 201  # (BUILT, width): starts of the search for a built network


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Return the generator of a seed's stream for one purpose.

    Parameters
    ----------
    seed : int
        0 or more.
    *purpose : int
        The spawn key: one of the purposes above, and what tells its streams apart, such as the layer or the epoch.

    Raises
    ------
    ValueError
        `seed` is no whole number of 0 or more.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(whole(seed, "seed"), spawn_key=purpose)))
