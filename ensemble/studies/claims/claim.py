"""A row of the table of claims, and the words of its verdict.

Filled by `study` and `depth`, which hold the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["FAILS", "HOLDS", "OURS", "PARTLY", "Claim", "interval_text", "times_text", "verdict"]

HOLDS, PARTLY, FAILS = "holds", "holds in part", "does not hold"
OURS = "(ours)"  # begins a claim that the report does not make


@dataclass(frozen=True)
class Claim:
    """One row of the table; `interval` is that of 95% over seeds where nothing else is said."""

    claim: str
    verdict: str
    number: str
    interval: str
    note: str


def verdict(inside: bool, nearly: bool = False) -> str:
    """Return the words for a rule that is met, met by some of the seeds or targets, or not met."""
    return HOLDS if inside else PARTLY if nearly else FAILS


def times_text(ratio: float) -> str:
    """Return a ratio of errors as the table has it."""
    return "diverges" if not math.isfinite(ratio) else f"{ratio:.3g} times the error"


def interval_text(low: Any, high: Any, unit: str = "") -> str:
    """Return an interval as the table has it."""
    return f"[{float(low):.3g}{unit}, {float(high):.3g}{unit}]"
