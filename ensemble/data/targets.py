"""The functions to learn, each with its interval, under the names that the scripts accept.

This is where a study starts: `data.sample` draws its points from one of these, or from a callable of the
user's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.system.checks import text, whole

FloatArray = npt.NDArray[np.float64]
Function = Callable[[FloatArray], npt.ArrayLike]

#: The original's interval, and that of a callable given without one.
DEFAULT_INTERVAL = (-3.0, 3.0)


def _interval(interval: Any, owner: str) -> tuple[float, float]:
    """Return (low, high) as floats, or say what is wrong with them; `owner` is what the message names."""
    try:
        if isinstance(interval, str):  # "12" would pass as (1, 2)
            raise TypeError
        low, high = (float(end) for end in interval)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{owner}: the interval must be two numbers (low, high), not {interval!r}") from None
    # high - low may overflow to Inf between two finite ends, and no grid fits in between then.
    if not (math.isfinite(low) and math.isfinite(high) and low < high and math.isfinite(high - low)):
        raise ValueError(f"{owner}: the interval must be finite with low < high, not ({low}, {high})")
    return low, high


@dataclass(frozen=True)
class Target:
    """A function of one variable and the interval on which it is to be learned.

    Calling a target evaluates its function and checks what it returns.

    Parameters
    ----------
    name : str
        A short name, for file names and tables.
    function : callable
        Takes an array of shape (N,) and returns one of the same shape, finite on the interval.
    low, high : float
        The ends of the interval, in the units of x; low < high, both finite.
    formula : str
        The function as a label of a plot, mathtext allowed; the name if left out.

    Raises
    ------
    ValueError
        If the name is not a non-empty string, the function is not callable, or the interval is not finite and
        ascending.
    """

    name: str
    function: Function
    low: float = DEFAULT_INTERVAL[0]
    high: float = DEFAULT_INTERVAL[1]
    formula: str = ""

    def __post_init__(self) -> None:
        text(self.name, "a target's name")
        if not callable(self.function):
            raise ValueError(f"target {self.name!r}: function must be callable, not {self.function!r}")
        low, high = _interval((self.low, self.high), f"target {self.name!r}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        if not self.formula:
            object.__setattr__(self, "formula", self.name)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval (low, high), in the units of x."""
        return self.low, self.high

    def __call__(self, x: npt.ArrayLike) -> FloatArray:
        """Evaluate the function.

        Parameters
        ----------
        x : array_like, shape (N,)
            Where to evaluate it. The function is given a copy.

        Returns
        -------
        ndarray of float64, shape (N,)

        Raises
        ------
        ValueError
            If the function returns another shape, something that is not real numbers, or NaN or Inf.
        """
        points = np.array(x, dtype=np.float64)
        # A division by zero is reported below as the value and its x, not as NumPy's warning without them.
        with np.errstate(all="ignore"):
            values = np.asarray(self.function(points.copy()))
        if values.shape != points.shape:
            raise ValueError(
                f"target {self.name!r} returned shape {values.shape} for x of shape {points.shape}: "
                "it must return one value per point"
            )
        if values.dtype.kind not in "biuf":
            raise ValueError(f"target {self.name!r} returned dtype {values.dtype}: it must return real numbers")
        with np.errstate(over="ignore"):
            values = values.astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            value, where = values.flat[wrong[0]], points.flat[wrong[0]]
            raise ValueError(f"target {self.name!r} is {value} at x = {where}: it must be finite on its interval")
        return values


def reciprocal_sine(x: FloatArray) -> FloatArray:
    """-2 / (2 + sin x), the original's target: smooth, between -2 and -2/3, one period on (-3, 3)."""
    return -2.0 / (2.0 + np.sin(x))


def quadratic(x: FloatArray) -> FloatArray:
    """x^2: the simplest curve, whose curvature is the same everywhere."""
    return x**2


def half_sine(x: FloatArray) -> FloatArray:
    """Half a period of the sine: sin x, one arch on (0, pi)."""
    return np.sin(x)


def chirp(x: FloatArray) -> FloatArray:
    """Seven oscillations that quicken from left to right: sin 2 pi (t + 6 t^2) with t = (x + 3) / 6.

    On (-3, 3) the local frequency grows from 1/6 to 13/6 oscillations per unit of x, so the right end needs
    many more kinks than the left one; much harder than the other targets.
    """
    t = (x + 3.0) / 6.0
    return np.sin(2.0 * np.pi * (t + 6.0 * t**2))


def absolute(x: FloatArray) -> FloatArray:
    """|x| = relu(x) + relu(-x): what a network without any bias represents exactly, with two hidden units."""
    return np.abs(x)


def soft_absolute(x: FloatArray) -> FloatArray:
    """sqrt(x^2 + 1/4): |x| with its corner rounded and lifted to 1/2, so that without bias a little is left."""
    return np.sqrt(x**2 + 0.25)


def sawtooth(x: FloatArray, k: int) -> FloatArray:
    """2^(k-1) teeth of height 1 on (0, 1): 2^k straight pieces, the tent 1 - |2x - 1| applied k times.

    Telgarsky 2016, "Benefits of depth in neural networks": k hidden layers of two units are enough
    (`limits.sawtooth_network`), one hidden layer needs a unit for each bend.
    """
    for _ in range(k):
        x = 1.0 - np.abs(2.0 * x - 1.0)
    return x


MOST_TENTS = 20  # a million pieces: more than samples


def sawtooth_target(k: int, name: str = "") -> Target:
    """Return the sawtooth of 2^(k-1) teeth as a target, under the name by which `get_target` knows it.

    Raises
    ------
    ValueError
        k is no whole number from 1 to 20.
    """
    k = whole(k, "k of a sawtooth", 1, MOST_TENTS)
    return Target(name or f"sawtooth-{k}", partial(sawtooth, k=k), 0.0, 1.0, rf"$t^{{{k}}}(x),\ t=1-|2x-1|$")


#: Every named target.
TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("reciprocal_sine", reciprocal_sine, -3.0, 3.0, r"$-2\,/\,(2+\sin x)$"),
        Target("quadratic", quadratic, -1.0, 1.0, r"$x^2$"),
        Target("half_sine", half_sine, 0.0, math.pi, r"$\sin x$"),
        Target("chirp", chirp, -3.0, 3.0, r"$\sin 2\pi(t+6t^2),\ t=(x+3)/6$"),
        Target("absolute", absolute, -3.0, 3.0, r"$|x|$"),
        Target("soft_absolute", soft_absolute, -3.0, 3.0, r"$\sqrt{x^2+1/4}$"),
        sawtooth_target(4, "sawtooth"),
    )
}


def get_target(
    target: str | Target | Function,
    interval: tuple[float, float] | None = None,
) -> Target:
    """Return the target of that name, or make one of a callable.

    Parameters
    ----------
    target : str, Target or callable
        A name in `TARGETS`, "sawtooth-5" for a sawtooth of 2^4 teeth (any k from 1 to 20), a `Target`, or a function
        that takes an array of shape (N,) and returns one of that shape.
    interval : (float, float), optional
        Where to learn it. Default: the target's own interval, or (-3, 3) for a callable.

    Returns
    -------
    Target

    Raises
    ------
    ValueError
        If the name is unknown, the argument is none of the three, or the interval is not finite and
        ascending.
    """
    if isinstance(target, Target):
        found = target
    elif isinstance(target, str):
        numbered = re.fullmatch(r"sawtooth-([0-9]{1,9})", target)
        if not numbered and target not in TARGETS:
            raise ValueError(f"unknown target {target!r}: the targets are {', '.join(TARGETS)}, or pass a callable")
        found = sawtooth_target(int(numbered[1])) if numbered else TARGETS[target]
    elif callable(target):
        name = getattr(target, "__name__", "custom")
        found = Target("custom" if name == "<lambda>" else name, target)
    else:
        raise ValueError(f"target must be a name ({', '.join(TARGETS)}), a Target or a callable, not {target!r}")
    if interval is None:
        return found
    low, high = _interval(interval, "interval")
    return replace(found, low=low, high=high)
