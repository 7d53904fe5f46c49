"""The update rules: gd, momentum and adam, with a learning-rate schedule and weight decay, written out in NumPy.

One row of `OPTIMIZERS` is one optimizer: the choices of `specs` and the costs of the compiled engines come from there,
and `kernels/updates.py` is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ENDLESS", "EPSILON", "KINDS", "OPTIMIZERS", "SCHEDULES", "WEIGHT_LIMIT", "Moments", "Optimizer", "init", "kinds",
    "layer_factors", "own_factors", "rate_factors", "remembers", "step_seconds", "update",
]  # fmt: skip

Array = NDArray[np.float64]

EPSILON = 1e-8  # adam's, added to the root of the second moment

# A weight beyond this counts as not finite: the square of a product of two such weights overflows.
WEIGHT_LIMIT = 1e75

SCHEDULES = ("constant", "cosine")
ENDLESS = ("constant",)  # of them, those whose rate at an epoch is the same however long the run is

# Of parameters; those of one kind have learning rates with one factor.
KINDS = ("weights[0]", "hidden weights", "hidden biases", "output weights", "output bias")


class Moments(NamedTuple):
    """What an optimizer remembers between steps, for a stack of M models with P parameters each."""

    first: Array  # (M, P)
    second: Array  # (M, P), adam only
    powers: Array  # (M, 2): beta1^t and beta2^t after t steps, adam only


class Optimizer(NamedTuple):
    """One optimizer: how a gradient becomes a direction, and what follows from the rule."""

    summary: str  # the rule in one line
    direction: Callable[[Array, Moments, Array, Array], tuple[Array, Moments]]  # of (g, moments, momentum, beta2)
    is_linear: bool  # whether twice the gradient makes twice the direction: then layer factors multiply the gradient
    remembers: bool  # whether it uses `Moments`
    hidden_power: int  # mu-P multiplies the rate of weights[0] and hidden biases with H to this power
    seconds: float  # of a step of a compiled engine, for each parameter, more than gd takes


def _gd(g: Array, moments: Moments, momentum: Array, beta2: Array) -> tuple[Array, Moments]:
    return g, moments


def _momentum(g: Array, moments: Moments, momentum: Array, beta2: Array) -> tuple[Array, Moments]:
    first = momentum * moments.first + g
    return first, moments._replace(first=first)


def _adam(g: Array, moments: Moments, momentum: Array, beta2: Array) -> tuple[Array, Moments]:
    first = momentum * moments.first + (1.0 - momentum) * g
    second = beta2 * moments.second + (1.0 - beta2) * g * g
    powers = moments.powers * np.concatenate([momentum, beta2], axis=1)
    scale = 1.0 / (1.0 - powers)
    return (first * scale[:, :1]) / (np.sqrt(second * scale[:, 1:]) + EPSILON), Moments(first, second, powers)


# Polyak 1964, as in PyTorch; Kingma and Ba 2015. The order is that of the codes in files and kernels: add at the end.
OPTIMIZERS: dict[str, Optimizer] = {
    "gd": Optimizer("d = g", _gd, True, False, 1, 0.0),
    "momentum": Optimizer("m <- momentum m + g, d = m", _momentum, True, True, 1, 0.5e-9),
    "adam": Optimizer(
        "m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, "
        "d = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + EPSILON)",
        _adam, False, True, 0, 1.5e-9,
    ),
}  # fmt: skip


def init(n_models: int, n_parameters: int) -> Moments:
    """Return the state before the first step."""
    return Moments(np.zeros((n_models, n_parameters)), np.zeros((n_models, n_parameters)), np.ones((n_models, 2)))


def remembers(optimizer: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which of the optimizers, (M,), use `Moments`: they cannot go on without."""
    return np.isin(optimizer, [name for name, rule in OPTIMIZERS.items() if rule.remembers])


def rate_factors(steps: int) -> Array:
    """Return what each schedule multiplies the learning rate with, shape (2, steps), rows as `SCHEDULES`.

    "cosine" is (1 + cos(pi t / steps)) / 2 at step t (Loshchilov and Hutter 2017, without restarts).
    """
    t = np.arange(steps)
    return np.stack([np.ones(steps), 0.5 * (1.0 + np.cos(np.pi * t / max(steps, 1)))])


def step_seconds(optimizer: NDArray[np.str_]) -> Array:
    """Return what a step costs for each parameter more than gd's, in seconds, shape (M,); an estimate."""
    seconds = np.zeros(len(optimizer))
    for name, rule in OPTIMIZERS.items():
        seconds[optimizer == name] = rule.seconds
    return seconds


def layer_factors(optimizer: NDArray[np.str_], width: NDArray[np.int64], mup: NDArray[np.bool_]) -> Array:
    """Return what the learning rates of each kind of parameters are multiplied with, shape (M, 5), as `KINDS`.

    The maximal-update parametrization (mu-P) of a network with D fixed inputs, hidden layers of H units and a scalar
    output: after any number of steps every layer has moved the outputs by as much as it can without them growing with
    H, so that the best learning rate of a narrow network is that of a wide one.

    ==================  ================  ==========  ==========  ==========
    parameters          initial variance  gd          momentum    adam
    ==================  ================  ==========  ==========  ==========
    weights[0]          as standard       H           H           1
    hidden weights      as standard*      1           1           1 / H
    hidden biases       as standard       H           H           1
    output weights      1/H of standard*  1 / H       1 / H       1 / H
    output bias         as standard       1           1           1
    ==================  ================  ==========  ==========  ==========

    (*) that is 1 / H, and 1 / H^2 in all; "normal", whose standard variance does not fall with H, is divided by H for
    hidden weights and by H^2 for output weights. Weight decay takes the learning rate without these factors.

    Source: Yang et al. 2021, "Tensor Programs V", table 3 (input weights and biases; hidden weights; output weights).
    """
    h = width.astype(np.float64)
    factors = np.ones((len(h), len(KINDS)))
    for name, rule in OPTIMIZERS.items():
        some, power = mup & (optimizer == name), rule.hidden_power
        if some.any():
            own = h[some]
            factors[some, :4] = np.stack([own**power, own ** (power - 1), own**power, 1.0 / own], axis=1)
    return factors


def own_factors(hidden: Array, output: Array) -> Array:
    """Return each model's own factors of the rates of its hidden layers and its output layer, (M, 5), as `KINDS`."""
    return np.stack([hidden, hidden, hidden, output, output], axis=1)


def kinds(hidden_layers: int) -> list[int]:
    """Return the place in `KINDS` of each parameter tensor of a network: weights[0], biases[0], weights[1], ..."""
    return [0, 2, *[1, 2] * (hidden_layers - 1), 3, 4]


def update(
    optimizer: str,
    theta: Array,
    gradient: Array,
    moments: Moments,
    rate: Array,
    weight_decay: Array,
    momentum: Array,
    beta2: Array,
    factors: Array | float = 1.0,
) -> tuple[Array, Moments]:
    """Return parameters and state after one step.

    With d the direction that the optimizer's row of `OPTIMIZERS` makes of the gradient,

    theta <- theta - rate (factors d + weight_decay theta)         (decoupled decay: Loshchilov and Hutter 2019)

    A factor of 0 freezes a parameter: neither it nor what is remembered of it is touched.

    Parameters
    ----------
    optimizer : str
        A name in `OPTIMIZERS`.
    theta, gradient : (M, P)
    moments : Moments
    rate, momentum, beta2 : (M, 1)
        `rate` is the learning rate times the schedule's factor; `momentum` is adam's beta1.
    weight_decay : (M, P) or (M, 1)
        Times each parameter's factor of `own_factors`.
    factors : (M, P) or 1
        Of each parameter's learning rate: `layer_factors` times `own_factors`.

    Raises
    ------
    ValueError
        An unknown optimizer.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer {optimizer!r} is unknown; allowed are {', '.join(OPTIMIZERS)}")
    rule = OPTIMIZERS[optimizer]
    direction, after = rule.direction(factors * gradient if rule.is_linear else gradient, moments, momentum, beta2)
    direction = direction if rule.is_linear else factors * direction
    stepped = theta - rate * (direction + weight_decay * theta)
    frozen = np.broadcast_to(np.equal(factors, 0.0), theta.shape)
    first, second = (np.where(frozen, old, new) for old, new in zip(moments[:2], after[:2], strict=True))
    return np.where(frozen, theta, stepped), Moments(first, second, after.powers)
