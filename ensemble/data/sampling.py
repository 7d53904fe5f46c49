"""Data sampled from a target, as the original report did it.

A dataset's points, noise and split each have a random stream of their own.
"""

from __future__ import annotations

import numpy as np

from ensemble.data.dataset import Dataset, held_out
from ensemble.data.targets import Function, Target, get_target
from ensemble.system.checks import number, whole
from ensemble.system.streams import NOISE, SPLIT, VALIDATION, generator

__all__ = ["sample"]

_POINT_BYTES = 50  # of a point while it is drawn: x, y, noise, its place in the split, and copies


def sample(
    target: str | Target | Function,
    n: int = 600,
    test_fraction: float = 0.3,
    noise: float = 0.01,
    seed: int = 0,
    *,
    n_val: int | None = None,
    interval: tuple[float, float] | None = None,
) -> Dataset:
    """Sample a target as the original did: equally spaced points, noisy values, a random test part.

    y = f(x) + noise * U[0, 1) on n equally spaced points, both ends among them. The test part is drawn from
    them without replacement; the others, in ascending order, are the training part. The validation part is
    fresh: uniform random points on the interval, with noise of the same law.

    Parameters
    ----------
    target : str, Target or callable
        What to sample; see `data.get_target`.
    n : int
        The number of equally spaced points, 1 or more.
    test_fraction : float
        The share of them that is the test part, in [0, 1), rounded to whole points; 0 for no test part.
    noise : float
        The width of the uniform noise, in the units of y, 0 or more. Its variance is noise^2 / 12.
    seed : int
        The seed of noise, split and validation points (a stream each), 0 or more.
    n_val : int, optional
        The number of validation points; 0 for no validation part. Default: as many as test points.
    interval : (float, float), optional
        Where to sample. Default: the target's own interval.

    Returns
    -------
    Dataset
        With `target` and `noise_variance` set.

    Raises
    ------
    ValueError
        If an argument is out of range, the target is unknown or not finite on the interval, a test_fraction
        above 0 comes to no point at all, no training point would remain, or the points do not fit in memory.
    """
    found = get_target(target, interval)
    n = whole(n, "n", 1)
    noise = number(noise, "noise", low=0.0)
    n_test, n_val = held_out(n, test_fraction, n_val, _POINT_BYTES)

    x = np.linspace(found.low, found.high, n)
    y = found(x) + noise * generator(seed, NOISE).random(n)
    test = np.zeros(n, dtype=np.bool_)
    test[generator(seed, SPLIT).choice(n, size=n_test, replace=False)] = True

    x_val = y_val = None
    if n_val:
        validation = generator(seed, VALIDATION)
        x_val = validation.uniform(found.low, found.high, n_val)
        y_val = found(x_val) + noise * validation.random(n_val)
    return Dataset(
        x[~test],
        y[~test],
        x[test] if n_test else None,
        y[test] if n_test else None,
        x_val,
        y_val,
        name=found.name,
        noise_variance=noise * noise / 12.0,
        target=found,
    )
