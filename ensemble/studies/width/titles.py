"""What the figures of the width study say: each title is an answer with its numbers, computed from the models.

`figures` puts these words over its panels; nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ensemble.analysis import GOOD, Curve, Film, Reach, interval_of, percent
from ensemble.plots.style import rate_text, title_of
from ensemble.studies.width.study import WidthStudy

__all__ = ["answer", "deadliest", "gathered", "last", "moved", "principle", "rates", "rise"]

FEWEST_UNITS = 8  # a share of dead units says something from this width on


def answer(found: Iterable[Reach]) -> str:
    """Return the widths that the datasets need."""
    every = list(found)
    known = [one for one in every if not one.constant]
    if not known:
        return "y is constant: there is nothing to learn"
    if len(every) == 1:
        text = known[0].words.partition(": ")[2].rstrip(".")
        return text[0].upper() + text[1:] if text.startswith("no") else text
    parts = []
    for label in known[0].order:
        widths = [one.widths[label].width for one in known]
        reached = [width for width in widths if width is not None]
        on = "" if len(reached) == len(every) else f" on {len(reached)} of {len(every)} targets"
        parts.append(f"{label} at width {_range(reached)}{on}" if reached else f"{label} nowhere")
    possible = principle(known)
    return f"{percent(GOOD)} of the variance is reached by {', by '.join(parts)}" + (
        f"; {possible}" if possible else ""
    )


def principle(found: Iterable[Reach]) -> str:
    """Return what the datasets need in principle; empty where that is not known."""
    built = [one.built for one in found]
    known = [width for width in built if width is not None]
    return f"in principle {_range(known)} units are enough" if known and len(known) == len(built) else ""


def last(study: WidthStudy, names: Iterable[str]) -> str:
    """Return what the best networks leave of the variance."""
    return f"the best leaves {percent(*(min(study.reach[name].left.values()) for name in names))} of the variance"


def rise(study: WidthStudy, curves: Sequence[Curve]) -> str:
    """Return how far the median test error of a drawn width rises above that of the start."""
    drawn = [(curve.label, one) for curve in curves for one in study.learning_curves(curve)]
    rises = [float(one.quartiles[1].max() / one.quartiles[1, 0]) for _, one in drawn]
    highest = max(rises)
    if not 1.5 < highest < np.inf:
        return "it falls from the start" if highest <= 1.5 else "some diverge"
    label, one = drawn[rises.index(highest)]
    return f"at a good rate it first rises, up to {highest:,.0f}-fold ({label}, width {one.width:,})"


def rates(curves: Sequence[Curve]) -> str:
    """Return how far the best learning rates of a study are apart, by optimizer."""
    parts = []
    for label in dict.fromkeys(curve.label for curve in curves):
        best = [curve.lr[curve.rate_matters] for curve in curves if curve.label == label]
        found = np.concatenate(best)
        parts.append(f"{label} {found.max() / found.min():,.0f}-fold" if len(found) else f"{label} any will do")
    return ", ".join(parts)


def moved(curve: Curve) -> str:
    """Return between which values the best learning rate of a curve moves."""
    best = curve.lr[curve.rate_matters]
    if not len(best):
        return "no rate is best"
    low, high = rate_text(float(best.min())), rate_text(float(best.max()))
    return f"best {low}" if low == high else f"best {low} to {high}"


def _killed(study: WidthStudy, curve: Curve) -> tuple[float, int, float]:
    """Return the largest median share of dead units of a curve, its width, and the rise of the error there."""
    dead = np.median(study.dead_units(curve), axis=1)
    wide = np.flatnonzero(curve.width >= min(FEWEST_UNITS, curve.width[-1]))
    place = int(wide[dead[wide].argmax()])
    return float(dead[place]), int(curve.width[place]), float(study.overshoot(curve)[place])


def deadliest(study: WidthStudy, name: str = "") -> str:
    """Return where most hidden units are dead, on a dataset or on all, and what its first steps did."""
    curves = [curve for data in ([name] if name else study.datasets) for curve in study.curves(data)]
    (share, width, first), curve = max(((_killed(study, one), one) for one in curves), key=lambda pair: pair[0][0])
    start = float(np.median(study.dead_at_start(curve)[curve.width == width]))
    at, rose = f"{percent(share)} of {width:,}", 2 <= first < np.inf
    if name:
        text = f"{at} dead ({curve.label}), {percent(start)} at the start"
        return text + (f";\nits error first rose {first:,.0f}-fold" if rose else "")
    on = f"{curve.label} on {title_of(curve.data, study.datasets[curve.data])}"
    why = f"Hidden units die where the first steps overshoot: up to {at}" if rose else f"Up to {at} hidden units"
    return f"{why} are active on no training sample ({on}; {percent(start)} before training)"


def gathered(study: WidthStudy, films: Sequence[Film]) -> str:
    """Return how many of the kinks of the widest networks are within the data, at first and at last."""
    widest = [film for film in films if film.width == max(one.width for one in films)]
    counts = [[film.inside(interval_of(study.datasets[film.data]), frame) for film in widest] for frame in (0, -1)]
    width = widest[0].width
    return f"Of {width} kinks {_range(counts[1])} end within the data ({_range(counts[0])} start there)"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
