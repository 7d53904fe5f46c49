"""Batches: in which order an epoch goes through the training samples, and where that order is cut.

The order is drawn from the seed's own stream of the epoch by the rule below, which uses nothing of NumPy but the words
of its Philox generator: any other program can repeat it, and `kernels/batches.py` does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensemble.system.checks import whole
from ensemble.system.streams import BATCHES, generator

__all__ = ["batches", "effective", "places", "steps_per_epoch"]

_MOST_SAMPLES = 2**31 - 1
_WORD = 2**64


def batches(seed: int, n: int, batch_size: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the batches of one epoch of one model, as training takes them, one step each.

    Parameters
    ----------
    seed : int
        The model's seed.
    n : int
        Number of training samples N >= 1.
    batch_size : int
        Samples of a batch; 0, or N or more, is one batch of all.
    epoch : int
        Which pass over the data: 0 is the first, which leads from the initial network to "epoch 1".

    Returns
    -------
    list of (B,) int64
        Places in ``x_train`` as it was given, ascending within a batch; the last batch may be smaller. The order of all
        samples depends on `seed`, `n` and `epoch` alone, and `batch_size` says where it is cut.

    Raises
    ------
    ValueError
        An argument that is no whole number, or below what is allowed.

    Examples
    --------
    >>> [batch.tolist() for batch in batches(seed=0, n=7, batch_size=3, epoch=0)]
    [[1, 2, 3], [4, 5, 6], [0]]
    """
    n, batch_size = whole(n, "n", 1, _MOST_SAMPLES), whole(batch_size, "batch_size")
    epoch = whole(epoch, "epoch", 0, 2**32 - 1)
    whole(seed, "seed")
    if not 0 < batch_size < n:
        return [np.arange(n)]
    batch = np.array(places(seed, n, epoch)) // batch_size
    return np.split(np.argsort(batch, kind="stable"), np.arange(batch_size, n, batch_size))


def places(seed: int, n: int, epoch: int) -> list[int]:
    """Return the place of each of n samples in the order of an epoch.

    Shuffled from the last place down to the second (Fisher and Yates, in the form of Durstenfeld 1964): place i is
    exchanged with place j, drawn from 0 to i. The words of the stream (BATCHES, epoch), 64 bits each, give two j in
    turn, floor(w (i + 1) / 2^64) and, with the lower half w' = w (i + 1) mod 2^64 of that product, floor(w' i / 2^64)
    (Brackett-Rozinsky and Lemire 2024): uniform but for n^2 / 2^64.
    """
    words = generator(seed, BATCHES, epoch).bit_generator.random_raw(n // 2).tolist()
    place = list(range(n))
    word = 0
    for i in range(n - 1, 0, -1):
        if (n - 1 - i) % 2 == 0:
            word = words[(n - 1 - i) // 2]
        j, word = divmod(word * (i + 1), _WORD)
        place[i], place[j] = place[j], place[i]
    return place


def effective(batch_size: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the sizes of batches (M,) of n samples, with 0 where all samples are one batch."""
    return np.where(batch_size < n, batch_size, 0)


def steps_per_epoch(batch_size: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return how many steps each model takes in an epoch, (M,)."""
    sizes = effective(batch_size, n)
    return np.where(sizes > 0, -(-n // np.maximum(sizes, 1)), 1)
