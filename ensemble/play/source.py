"""What is to be learned: a `Dataset` from the settings, drawn curves and typed formulas among them.

`parse_csv` checks a student's file; what is wrong with anything is one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from ensemble.data import SHAPES, TARGETS, Dataset, FloatArray, Target, csv_columns, parse_csv, sample, sample_labels
from ensemble.play.formula import parse
from ensemble.play.settings import DRAWN, FILE, FORMULA, KNOTS, MOST, Settings

__all__ = ["columns_of", "dataset_of", "drawn_of", "traced"]

_FEWEST = 2  # knots of a curve that goes somewhere
_HIGHEST = 1e100  # of y, whose square must be a number


def dataset_of(settings: Settings, content: bytes | None) -> Dataset:
    """Return the data that the settings describe; `content` is the student's file, where there is one.

    Raises
    ------
    ValueError
        A formula, a file or an interval that cannot be used, in one sentence.
    """
    if settings.source in SHAPES:
        return sample_labels(settings.source, settings.n, noise=settings.noise)
    if settings.source == FILE:
        return _loaded(settings, content)
    data = sample(_target(settings), settings.n, noise=settings.noise)
    highest = float(np.abs(data.y_train).max())
    if highest > _HIGHEST:
        raise ValueError(f"f(x) is as large as {highest:.0e} there; up to {_HIGHEST:g} can be learned")
    return data


def drawn_of(settings: Settings) -> tuple[float, float, FloatArray]:
    """Return the drawn curve: the ends of its interval, and its values at `KNOTS` equally spaced x between.

    Where nothing is drawn yet, it is a period of a sine.
    """
    if settings.drawn:
        low, high, *knots = settings.drawn
        return low, high, np.array(knots)
    return -3.0, 3.0, np.array([round(float(np.sin(at)), 3) + 0.0 for at in np.linspace(-np.pi, np.pi, KNOTS)])


def traced(x: Sequence[float], y: Sequence[float]) -> tuple[float, ...]:
    """Return a curve that was drawn with the mouse, as `Settings.drawn` keeps it.

    The mouse may go back and forth: where it passed an x several times, the mean is taken.

    Raises
    ------
    ValueError
        The curve has no width.
    """
    at, where = np.unique(np.round(x, 2), return_inverse=True)
    if len(at) < _FEWEST:
        raise ValueError("Draw from left to right: that curve has no width.")
    mean = np.bincount(where, y) / np.bincount(where)
    knots = np.interp(np.linspace(at[0], at[-1], KNOTS), at, mean)
    return tuple(float(f"{one:.4g}") + 0.0 for one in (at[0], at[-1], *knots))


def columns_of(name: str, content: bytes) -> list[str]:
    """Return the names of the columns of a student's file, two or more.

    Raises
    ------
    ValueError
        The file is no CSV file with a header, or has one column.
    """
    columns = csv_columns(content, PurePath(name))
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) < 2 and sign in columns[0]:
            raise ValueError(f"{name}: has {word} between its cells: save it with commas, and numbers with a point")
    if len(columns) < 2:
        raise ValueError(f"{name}: has one column, but x and y are needed")
    return columns


def _target(settings: Settings) -> str | Target:
    if settings.source == FORMULA:
        formula = parse(settings.formula)
        if not max(abs(settings.low), abs(settings.high)) <= MOST:
            raise ValueError(f"the interval must lie between -{MOST:,.0f} and {MOST:,.0f}")
        return Target("formula", formula, settings.low, settings.high, formula.text)
    if settings.source == DRAWN:
        low, high, knots = drawn_of(settings)
        at = np.linspace(low, high, KNOTS)
        return Target("drawn curve", lambda x: np.interp(x, at, knots), low, high)
    assert settings.source in TARGETS
    return settings.source


def _loaded(settings: Settings, content: bytes | None) -> Dataset:
    if content is None:
        raise ValueError("no file is chosen")
    try:
        return parse_csv(content, PurePath(settings.file), settings.x, settings.y)
    except ValueError as error:
        if "test_fraction" not in str(error):
            raise
        raise ValueError(
            f"{settings.file}: too few rows: some are kept to test on, and two are needed to train"
        ) from None
