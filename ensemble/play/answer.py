"""The answer in a sentence, for the top of the window and of a saved page.

Takes a `Picture`; every number comes from it.
"""

from __future__ import annotations

import numpy as np

from ensemble.play.models import loss_of, rates_of
from ensemble.play.picture import Picture, Plane
from ensemble.statistics import quartiles

__all__ = ["answer", "loss_words", "notes", "short"]


def short(value: float) -> str:
    """Return a number with two digits, such as 1.2e-4 or 0.031."""
    if not np.isfinite(value):
        return "diverged"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def loss_words(picture: Picture) -> str:
    """Return what the loss is called."""
    return "MSE" if loss_of(picture.settings) == "mse" else "cross-entropy"


def answer(picture: Picture) -> str:
    """Return what the networks of the chosen width reach, in one sentence."""
    settings, curve = picture.settings, picture.curve
    place = int(np.searchsorted(curve.width, settings.width))
    depth = "" if settings.hidden_layers == 1 else f", {settings.hidden_layers} hidden layers"
    tried = rates_of(settings)
    best = f" (best of {len(tried)})" if len(tried) > 1 else ""
    head = f"Width {settings.width}{depth}, {settings.optimizer}, rate {curve.lr[place]:g}{best}: "
    median = quartiles(curve.errors[place])[1]
    if not np.isfinite(median):
        return f"{head}{curve.diverged[place]} of {settings.seeds} networks diverged. Take a smaller learning rate."
    low, high = (float(end[place]) for end in curve.band("test_loss")[0])
    interval = f"95% interval {short(low)} to {short(high)}" if np.isfinite(high) else f"at least {short(low)}"
    error = f"median test {loss_words(picture)} {short(median)} ({interval})"
    if isinstance(picture.view, Plane):
        right = float(np.median(picture.view.accuracy))
        agree = float(np.mean(picture.view.minority[-1] == 0))
        return (
            f"{head}the median network puts {right:.1%} of the test points on the right side, {error}; "
            f"all {settings.seeds} networks agree on {agree:.0%} of the square."
        )
    floor = 0.0 if picture.floor is None else float(picture.floor[place])
    bound = f"; no network of this shape can have a training MSE below {short(floor)}" if floor > 0 else ""
    return f"{head}{error}{bound}."


def notes(picture: Picture) -> list[str]:
    """Return what a reader of the picture should know besides, a short sentence each."""
    settings, curve = picture.settings, picture.curve
    place = int(np.searchsorted(curve.width, settings.width))
    found = []
    diverged = int(curve.diverged[place])
    if diverged and np.isfinite(quartiles(curve.errors[place])[1]):
        found.append(f"{diverged} of {settings.seeds} networks diverged.")
    if curve.at_edge[place]:
        found.append("The best rate is the first or last that was tried: a better one may lie beyond.")
    if settings.seeds < 10:
        found.append("Few seeds: the interval is wide.")
    if picture.data.dropped_rows:
        found.append(f"{picture.data.dropped_rows} rows with empty cells are left out.")
    return found
