"""The optimizer step of deep networks, one layer's parameters at a time, as soon as their gradient is there.

The compiled form of `rules/optimizers.py` for numbers in a `workspace`: while they are in the cache, and in registers.
"""

from __future__ import annotations

from ensemble.kernels.jit import inner
from ensemble.kernels.lanes import ALL, adam_direction, within
from ensemble.kernels.tiles import LANES, Tile, add_product, add_scaled, read_tile, write_tile, zero_tile
from ensemble.kernels.updates import ADAM, GD, MOMENTUM, Array

# isort: off
from ensemble.kernels.workspace import (
    BETA2, DECAY, FACTOR, MOMENTUM_, ONE, OPTIMIZER, OUTSIDE, RATE, RULE, SCALE1, SCALE2, SIZE, Places,
)  # fmt: skip
# isort: on

__all__ = ["descend", "factors", "step_row"]


@inner
def factors(f: Array, at: Places, kind: int) -> tuple[float, float]:
    """Return by what a step multiplies one kind of parameters, and their gradient, before it adds both to them."""
    rate = -f[at[RULE] + RATE]
    return rate * f[at[RULE] + DECAY + kind], rate * f[at[RULE] + FACTOR + kind]


@inner
def step_row(f: Array, place: int, theta: Tile, shrink: float, step: float, direction: Tile) -> int:
    """Write a row of parameters after a step; return which are within `WEIGHT_LIMIT`."""
    theta = add_scaled(add_scaled(theta, shrink, theta), step, direction)
    write_tile(f, place, theta)
    inside: int = within(theta)
    return inside


@inner
def descend(f: Array, at: Places, first: int, count: int, gradient: int, kind: int) -> None:
    """Update `count` parameters of one kind from f[first] on, by their gradient from f[gradient] on.

    at[OUTSIDE] is set where one is not within `WEIGHT_LIMIT` afterwards. What has a factor of 0 is frozen.
    """
    rule, optimizer, moments = at[RULE], at[OPTIMIZER], at[SIZE]
    factor = f[rule + FACTOR + kind]
    if factor == 0.0:
        return
    shrink, step = factors(f, at, kind)
    momentum, beta2, scale1, scale2 = f[rule + MOMENTUM_], f[rule + BETA2], f[rule + SCALE1], f[rule + SCALE2]
    inside, zero = ALL, zero_tile(ONE)
    if optimizer == MOMENTUM:
        step = -f[rule + RATE]
    for i in range(0, count, LANES):
        place = first + i
        theta, g = read_tile(ONE, f, place), read_tile(ONE, f, gradient + i)
        if optimizer != GD:
            place += moments
            mean = add_scaled(zero, momentum, read_tile(ONE, f, place))
            if optimizer == ADAM:
                mean = add_scaled(mean, 1.0 - momentum, g)
                square = add_scaled(zero, beta2, read_tile(ONE, f, place + moments))
                square = add_product(square, g, add_scaled(zero, 1.0 - beta2, g))
                write_tile(f, place + moments, square)
                g = adam_direction(mean, scale1, square, scale2)
            else:  # where the direction is linear in the gradient, what is remembered has the factor
                mean = add_scaled(mean, factor, g)
                g = mean
            write_tile(f, place, mean)
        inside &= step_row(f, first + i, theta, shrink, step, g)
    if inside != ALL:
        at[OUTSIDE] = 1
