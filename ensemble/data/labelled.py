"""Points of two classes in the plane, labels 0 and 1: the classic shapes on which boundaries are looked at.

`sample_labels` leaves a `Dataset` with two inputs, as `sample` does with one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble.data.dataset import Dataset, held_out
from ensemble.data.targets import FloatArray
from ensemble.system.checks import number, whole
from ensemble.system.streams import NOISE, POINTS, SPLIT, VALIDATION, generator

__all__ = ["SHAPES", "sample_labels"]

Shape = Callable[[np.random.Generator, FloatArray], tuple[FloatArray, FloatArray]]  # (random, labels) -> points, labels

_POINT_BYTES = 100  # of a point while it is drawn


def moons(random: np.random.Generator, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two half circles that reach into each other."""
    angle = random.uniform(0.0, np.pi, len(label))
    side = 1.0 - 2.0 * label
    return np.stack([side * np.cos(angle) + label - 0.5, side * np.sin(angle) + 0.5 * label - 0.25], axis=1), label


def spiral(random: np.random.Generator, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two arms of one turn and a half each, wound into each other."""
    radius = np.sqrt(random.uniform(0.01, 1.0, len(label)))
    angle = 3.0 * np.pi * radius + np.pi * label
    return 1.5 * np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), label


def xor(random: np.random.Generator, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Four squares around the origin; opposite ones share a label."""
    x = random.uniform(0.05, 1.0, (len(label), 2)) * np.where(random.random((len(label), 1)) < 0.5, -1.0, 1.0)
    x[:, 1] *= 2.0 * label - 1.0
    return x, label


def circles(random: np.random.Generator, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A ring, and a smaller one inside it."""
    angle = random.uniform(0.0, 2.0 * np.pi, len(label))
    radius = np.where(label == 1.0, 0.45, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), label


#: Every named shape.
SHAPES: dict[str, Shape] = {shape.__name__: shape for shape in (moons, spiral, xor, circles)}


def sample_labels(
    shape: str, n: int = 600, test_fraction: float = 0.3, noise: float = 0.1, seed: int = 0, *, n_val: int | None = None
) -> Dataset:
    """Sample points of two classes in the plane.

    Half of the points have label 0, half label 1. Each is moved by noise * N(0, 1) along both axes, after its label is
    known. The test part is drawn from the n points without replacement; the validation part is fresh.

    Parameters
    ----------
    shape : {"moons", "spiral", "xor", "circles"}
        Where the points lie, all within about 1.5 of the origin.
    n : int
        The number of points, 2 or more.
    test_fraction : float
        The share of them that is the test part, in [0, 1), rounded to whole points; 0 for no test part.
    noise : float
        The standard deviation of what moves the points, 0 or more.
    seed : int
        The seed of points, noise, split and validation points (a stream each), 0 or more.
    n_val : int, optional
        The number of validation points; 0 for no validation part. Default: as many as test points.

    Returns
    -------
    Dataset
        Inputs (N, 2), outputs 0.0 or 1.0.

    Raises
    ------
    ValueError
        If an argument is out of range, the shape is unknown, a test_fraction above 0 comes to no point at all, no
        training point would remain, or the points do not fit in memory.
    """
    if not isinstance(shape, str) or shape not in SHAPES:
        raise ValueError(f"unknown shape {shape!r}: the shapes are {', '.join(SHAPES)}")
    n = whole(n, "n", 2)
    noise = number(noise, "noise", low=0.0)
    n_test, n_val = held_out(n, test_fraction, n_val, _POINT_BYTES)

    x, y = _drawn(shape, n, noise, generator(seed, POINTS), generator(seed, NOISE))
    test = np.zeros(n, dtype=np.bool_)
    test[generator(seed, SPLIT).choice(n, size=n_test, replace=False)] = True
    fresh = generator(seed, VALIDATION)
    x_val, y_val = _drawn(shape, n_val, noise, fresh, fresh) if n_val else (None, None)
    x_test, y_test = (x[test], y[test]) if n_test else (None, None)
    return Dataset(
        x[~test], y[~test], x_test, y_test, x_val, y_val, name=shape, x_names=("x1", "x2"), y_name="label"
    )  # fmt: skip


def _drawn(
    shape: str, n: int, noise: float, points: np.random.Generator, moves: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    x, y = SHAPES[shape](points, (np.arange(n) % 2).astype(np.float64))
    return x + noise * moves.standard_normal((n, 2)), y
