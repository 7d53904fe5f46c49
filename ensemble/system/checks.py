"""Checks of single arguments: each returns the plain value, or raises one ValueError that names argument and value.

Used wherever a user's argument enters; kernels never check.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

__all__ = ["flag", "number", "text", "whole"]


def whole(value: Any, name: str, low: int = 0, high: int | None = None) -> int:
    """Return a whole number in [low, high] as an int; 1.5, True and "3" are refused."""
    try:
        found = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < low or (high is not None and found > high):
        wanted = f"{low} or more" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be a whole number, {wanted}, not {value!r}")
    return found


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number in [low, high] as a float; NaN, True and text are refused."""
    try:
        found = math.nan if isinstance(value, (str, bytes, bool, np.bool_)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and low <= found <= high):
        wanted = "" if low == -math.inf else f", {low:g} or more" if high == math.inf else f" in [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be a finite number{wanted}, not {value!r}")
    return found


def text(value: Any, name: str) -> str:
    """Return a non-empty string that can be written as UTF-8; a lone surrogate is refused."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty string, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} {value!r} holds a character that cannot be written") from None
    return value


def flag(value: Any, name: str) -> bool:
    """Return True or False, also of NumPy's type; 1 and "yes" are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return bool(value)
