"""Everything that a student sets, as one value: what a link holds, and what a picture depends on.

`link` turns it into a query and back, `source` makes data of it, `models` the specs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ensemble.data import SHAPES, TARGETS
from ensemble.specs import CHOICES, COLUMNS

__all__ = [
    "BEST",
    "CHOSEN",
    "DRAWN",
    "FILE",
    "FORMULA",
    "KNOTS",
    "MOST",
    "SOURCES",
    "Settings",
    "from_query",
    "to_query",
]

DRAWN, FORMULA, FILE = "drawn", "formula", "file"  # sources beside the named targets and shapes
SOURCES = (*TARGETS, DRAWN, FORMULA, FILE, *SHAPES)
BEST = 0.0  # of `rate`: the best of a small grid
KNOTS = 61  # points that a drawn target is kept as
MOST_TEXT = 200  # characters of a formula, a file's name or a column's
MOST = 1e6  # of an interval's ends, and of what a link may hold


class Choice(NamedTuple):
    """One setting with few values: how it is called, what it may be, and what it does in a sentence."""

    title: str
    values: tuple[Any, ...]
    does: str


# The controls, in order.
CHOSEN: dict[str, Choice] = {
    "n": Choice("points", (20, 50, 100, 200, 300, 600, 1000, 2000), "How many points are drawn; 70% are trained on."),
    "noise": Choice("noise", (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0), "How far the points lie off the target."),
    "width": Choice(
        "width", (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512), "Hidden units in each hidden layer."
    ),
    "hidden_layers": Choice("hidden layers", (1, 2, 3, 4), "How many layers of hidden units lie behind one another."),
    "seeds": Choice("seeds", (2, 4, 8, 16, 32, 64), "How many networks, which differ in their initial weights alone."),
    "epochs": Choice("epochs", (20, 50, 100, 200, 500, 1000, 2000, 5000), "How often each network sees all points."),
    "optimizer": Choice("optimizer", CHOICES["optimizer"], "The rule that turns a gradient into a step."),
    "rate": Choice(
        "learning rate", (BEST, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        "The length of a step; best: for each width, the best of six on validation data.",
    ),
    "batch_size": Choice("batch size", (0, 8, 16, 32, 64, 128), "Points in a step: all, or a few, in random order."),
    "init": Choice("initial weights", CHOICES["init"], "The random numbers that training starts from."),
    "parametrization": Choice(
        "parametrization", CHOICES["parametrization"],
        "mu-P scales weights and rates with the width, such that one rate fits all widths.",
    ),
    "hidden_bias": Choice("hidden bias", (True, False), "Without it, every kink of a network sits at 0."),
    "output_bias": Choice("output bias", (False, True), "A constant that is added to the output."),
}  # fmt: skip
if "batch_size" not in COLUMNS:
    del CHOSEN["batch_size"]


@dataclass(frozen=True)
class Settings:
    """What is to be learned, and by which networks.

    Attributes
    ----------
    source : str
        One of `SOURCES`.
    formula : str
        Used by the source "formula".
    low, high : float
        Interval of a formula.
    drawn : tuple of float
        A drawn curve: the ends of its interval, then y at `KNOTS` equally spaced x; empty until one is drawn.
    file, x, y : str
        Name of a CSV file, and its columns; what the file holds is kept by the window alone.
    others
        As `CHOSEN` says.
    """

    source: str = "reciprocal_sine"
    formula: str = "sin(3x) + x/2"
    low: float = -3.0
    high: float = 3.0
    drawn: tuple[float, ...] = ()
    file: str = ""
    x: str = ""
    y: str = ""
    n: int = 300
    noise: float = 0.01
    width: int = 16
    hidden_layers: int = 1
    seeds: int = 16
    epochs: int = 500
    optimizer: str = "adam"
    rate: float = BEST
    batch_size: int = 0
    init: str = "uniform"  # the best or close to it over depths, widths and optimizers, where "normal" is not
    parametrization: str = "standard"
    hidden_bias: bool = True
    output_bias: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the data are labels of points in the plane."""
        return self.source in SHAPES

    def changed(self, **values: Any) -> Settings:
        """Return these settings with some others."""
        return replace(self, **values)


_DEFAULTS = Settings()


def to_query(settings: Settings) -> str:
    """Return the settings that are not the defaults, as the query of a link."""
    found = {}
    for name, value, default in (
        (field.name, getattr(settings, field.name), getattr(_DEFAULTS, field.name)) for field in fields(Settings)
    ):
        if value != default and _used(settings, name):
            found[name] = _text(value)
    return urlencode(found)


def _used(settings: Settings, name: str) -> bool:
    """Return whether a setting matters for the source."""
    owners = {
        "formula": (FORMULA,), "low": (FORMULA,), "high": (FORMULA,), "drawn": (DRAWN,), "file": (FILE,), "x": (FILE,),
        "y": (FILE,),
    }  # fmt: skip
    return settings.source in owners.get(name, SOURCES)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "_".join(f"{number:.4g}" for number in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def from_query(query: Mapping[str, Sequence[str]]) -> tuple[Settings, list[str]]:
    """Return the settings in a link's query, and a sentence for each part of it that is not understood.

    Such a part is left at its default: a link from another version, or with a slip, still opens.
    """
    found: dict[str, Any] = {}
    problems = []
    for name, values in query.items():
        text = values[-1] if values else ""
        try:
            found[name] = _read(name, text)
        except ValueError as error:
            problems.append(str(error))
    low, high = (found.get(name, getattr(_DEFAULTS, name)) for name in ("low", "high"))
    if not low < high:
        problems.append(f"The link's interval from {low:g} to {high:g} is empty.")
        found |= {"low": _DEFAULTS.low, "high": _DEFAULTS.high}
    return Settings(**found), problems


def _read(name: str, text: str) -> Any:
    shown = repr(text if len(text) <= 30 else f"{text[:30]}...")
    if name in CHOSEN:
        for value in CHOSEN[name].values:
            if text == _text(value):
                return value
        allowed = ", ".join(_text(value) for value in CHOSEN[name].values)
        raise ValueError(f"The link's {CHOSEN[name].title} {shown} is none of {allowed}.")
    if name == "source":
        if text not in SOURCES:
            raise ValueError(f"The link's source {shown} is none of {', '.join(SOURCES)}.")
        return text
    if name in ("formula", "file", "x", "y"):
        if len(text) > MOST_TEXT or not text.isprintable():
            raise ValueError(f"The link's {name} {shown} cannot be used.")
        return text
    if name in ("low", "high"):
        return _number(text, f"The link's {name} {shown} is no number up to 1e6.")
    if name == "drawn":
        parts = text.split("_")
        problem = f"The link's drawn curve is not {KNOTS + 2} numbers, of which the first two are an interval."
        curve = tuple(_number(part, problem) for part in parts[: KNOTS + 3])
        if len(curve) != KNOTS + 2 or not curve[0] < curve[1]:
            raise ValueError(problem)
        return curve
    raise ValueError(f"The link's {name[:30]!a} is no setting.")


def _number(text: str, problem: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= MOST:  # NaN too
        raise ValueError(problem)
    return value
