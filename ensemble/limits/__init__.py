"""Limits."""

from ensemble.limits.floors import (
    Array,
    constructive_bound,
    constructive_bounds,
    no_bias_floor,
    noise_floor,
    width_floor,
)

__all__ = [
    "Array",
    "constructive_bound",
    "constructive_bounds",
    "no_bias_floor",
    "noise_floor",
    "width_floor",
]
