"""Data of many inputs from a teacher: a small random ReLU network whose outputs, or their signs, are to be learned.

Beside `sampling`, which draws from functions of one input; the labels that training sees may be wrong on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble.data.dataset import Dataset
from ensemble.data.targets import FloatArray
from ensemble.system import memory
from ensemble.system.checks import flag, number, whole
from ensemble.system.streams import TEACHER, generator

__all__ = ["sample_teacher"]


def sample_teacher(
    n: int = 100, *, n_inputs: int = 20, units: int = 3, noise: float = 0.5, classes: bool = False,
    n_val: int | None = None, n_test: int = 1000, seed: int = 0,
) -> Dataset:  # fmt: skip
    """Return samples of a random teacher network with one hidden layer, with noise on the labels that training sees.

    Inputs are standard normal. The teacher sum_k v_k relu(w_k x) has standard normal w_k and v_k, and is shifted and
    scaled to mean 0 and variance 1 over all inputs. Training and validation labels are noisy; test labels are exact,
    so that the test error is how far a network is from the teacher.

    Parameters
    ----------
    n : int
        Training samples.
    n_inputs, units : int
        D, and the teacher's hidden units.
    noise : float
        Standard deviation of the normal noise; with `classes` the share of labels that are flipped, at most 0.5.
    classes : bool
        Labels 0 and 1 by the teacher's sign, instead of its outputs.
    n_val, n_test : int
        Validation samples (default: `n`) and test samples, each 1 or more.
    seed : int
        Of teacher, samples and noise. Another `noise` moves no sample, another `n` only adds or takes away some.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        A value that is not allowed, or more samples than there is memory for.

    Notes
    -----
    Mean and variance are exact: for unit vectors at an angle t, E relu(u x) relu(v x) is
    (sin t + (pi - t) cos t) / (2 pi) (Cho and Saul 2009, arc-cosine kernel of order 1).
    """
    sizes = {"train": whole(n, "n", 1), "val": whole(n if n_val is None else n_val, "n_val", 1)}
    sizes["test"] = whole(n_test, "n_test", 1)
    n_inputs, units = whole(n_inputs, "n_inputs", 1), whole(units, "units", 1)
    noise, classes = number(noise, "noise", low=0.0), flag(classes, "classes")
    if classes and noise > 0.5:
        raise ValueError(f"noise is {noise}; at most half of the labels of two classes can be flipped")
    count = sum(sizes.values())
    memory.require(8 * count * (n_inputs + units + 4), f"a dataset of {count:,} samples", "take fewer samples")
    own = generator(seed, TEACHER)
    w, v = own.standard_normal((units, n_inputs)), own.standard_normal(units)
    shift, scale = _moments(w, v)
    arrays: dict[str, Any] = {}
    for place, (part, size) in enumerate(sizes.items()):
        x = generator(seed, TEACHER, 2 * place).standard_normal((size, n_inputs))
        exact = (np.maximum(x @ w.T, 0.0) @ v - shift) / scale
        draws = generator(seed, TEACHER, 2 * place + 1)
        wrong = 0.0 if part == "test" else noise
        y = (exact > 0) ^ (draws.random(size) < wrong) if classes else exact + wrong * draws.standard_normal(size)
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    return Dataset(**arrays, name="teacher")


def _moments(w: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Return mean and standard deviation of sum_k v_k relu(w_k x) over standard normal x; w (K, D), v (K,)."""
    sizes = np.sqrt(np.einsum("kd,kd->k", w, w))
    cosine = np.clip((w @ w.T) / np.outer(sizes, sizes), -1.0, 1.0)
    angle = np.arccos(cosine)
    second = np.outer(sizes, sizes) * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    mean = float(v @ sizes / np.sqrt(2 * np.pi))
    return mean, float(np.sqrt(v @ second @ v - mean * mean))
