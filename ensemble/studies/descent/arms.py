"""One task of the double-descent study: errors by width and data draw, trained to the end, stopped early, or decayed.

Between the study's result and what is drawn. A data draw is a teacher with its samples; draws are what is resampled,
and the seeds of a draw count as one by their median.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.statistics import Comparison, PeakWidth, bootstrap_interval, compare, peak_width, quartiles

__all__ = ["DECAY", "EARLY", "END", "MEASURES", "Arm", "Task", "Threshold"]

Floats = NDArray[np.float64]

MEASURES = {"MSE": "1: predicting the mean", "error": "labels wrong", "cross-entropy": "0.69: a guess"}
QUARTILES = ("lower_quartile", "median", "upper_quartile")
END, EARLY, DECAY = "trained to the end", "stopped early", "weight decay"


@dataclass(frozen=True)
class Arm:
    """Test errors of one way to train, (W, K) for W widths and K data draws.

    `settings` (W, K) is what validation data chose, the median over seeds: an epoch, or a weight decay.
    """

    label: str
    errors: Floats
    settings: Floats

    @property
    def median(self) -> Floats:
        """The median over draws, (W,)."""
        return np.asarray(quartiles(self.errors)[1])

    @cached_property
    def interval(self) -> tuple[Floats, Floats]:
        """The 95% interval of the median over draws, two arrays (W,)."""
        low, high = bootstrap_interval(self.errors)
        return low, high


@dataclass(frozen=True)
class Threshold:
    """Which networks fit all of their labels: at `share` (W,) of those of each width the training error is zero.

    `first` and `half` are the narrowest widths at which any network does, and at which half of them do.
    """

    share: Floats
    first: int | None
    half: int | None


@dataclass(frozen=True)
class Task:
    """Errors of a task by K draws, W widths, S seeds, A weight decays (the first is 0) and E epochs.

    Attributes
    ----------
    name, measure : str
        What is learned, and how errors are measured: a key of `MEASURES`.
    width, parameters : (W,) int
    decays, epochs : (A,) float, (E,) int
    train, test, val : (K, W, S, A, E) float
        Errors on each part of the data; +inf where a model diverged.
    fits : (K, W, S) bool
        Which networks, trained to the end without weight decay, fit every label: their training error is called zero.
    n : int
        Training samples.
    zero : float, optional
        The training error up to which it is called zero; where 0 is meant, or none, None.
    """

    name: str
    measure: str
    width: NDArray[np.int64]
    parameters: NDArray[np.int64]
    decays: Floats
    epochs: NDArray[np.int64]
    train: Floats
    test: Floats
    val: Floats
    fits: NDArray[np.bool_]
    n: int
    zero: float | None = None

    @property
    def title(self) -> str:
        """The task with its measure, where the measure does not follow from the task."""
        return f"{self.name}, {self.measure}" if self.measure == "cross-entropy" else self.name

    def said(self, error: float) -> str:
        """Return an error in words: a share as a percentage."""
        return f"{100 * error:.0f}%" if self.measure == "error" else f"{error:.2g}"

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The ways to train by label: to the end first."""
        last = self.test[..., 0, -1]
        end = Arm(END, _by_draw(last), np.full(last.shape[1::-1], float(self.epochs[-1])))
        best = self.val[..., 0, :].argmin(axis=-1)  # (K, W, S)
        stopped = np.take_along_axis(self.test[..., 0, :], best[..., None], axis=-1)[..., 0]
        arms = [end, Arm(EARLY, _by_draw(stopped), _by_draw(self.epochs[best]))]
        if len(self.decays) > 1:
            found = [_by_draw(self.test[..., place, -1]) for place in range(1, len(self.decays))]
            validated = [_by_draw(self.val[..., place, -1]) for place in range(1, len(self.decays))]
            chosen = np.argmin(validated, axis=0)  # (W, K)
            errors = np.take_along_axis(np.array(found), chosen[None], axis=0)[0]
            arms.append(Arm(DECAY, errors, self.decays[1:][chosen]))
        return {arm.label: arm for arm in arms}

    @cached_property
    def by_decay(self) -> list[Arm]:
        """Training to the end with each weight decay, 0 first."""
        errors = [_by_draw(self.test[..., place, -1]) for place in range(len(self.decays))]
        return [
            Arm(f"{decay:g}", each, np.full(each.shape, decay)) for decay, each in zip(self.decays, errors, strict=True)
        ]

    @cached_property
    def peak(self) -> PeakWidth:
        """The width at which training to the end leaves the greatest error."""
        return peak_width(self.width, self.arms[END].errors)

    @property
    def at_peak(self) -> int:
        """Place of the peak among the widths."""
        return int(np.searchsorted(self.width, self.peak.width))

    @cached_property
    def narrow(self) -> int | None:
        """Place of the least median error among the widths below the peak; None where there are none."""
        return int(self.arms[END].median[: self.at_peak].argmin()) if self.at_peak else None

    @cached_property
    def fall(self) -> Comparison:
        """The widest networks against those of the peak, paired by draw."""
        return self._compare(self.arms[END].errors[-1], self.arms[END].errors[self.at_peak])

    @cached_property
    def rise(self) -> Comparison | None:
        """The best networks below the peak against those of the peak, paired by draw."""
        errors = self.arms[END].errors
        return None if self.narrow is None else self._compare(errors[self.narrow], errors[self.at_peak])

    @cached_property
    def against_narrow(self) -> Comparison | None:
        """The widest networks against the best below the peak, paired by draw."""
        errors = self.arms[END].errors
        return None if self.narrow is None else self._compare(errors[-1], errors[self.narrow])

    @cached_property
    def remedies(self) -> dict[str, Comparison]:
        """The other ways to train against training to the end, at the peak, by label."""
        worst = self.arms[END].errors[self.at_peak]
        return {name: self._compare(arm.errors[self.at_peak], worst) for name, arm in self.arms.items() if name != END}

    @property
    def descends_twice(self) -> bool:
        """Whether the error is lower on both sides of the peak: both intervals of the ratio are below 1."""
        both = (self.rise, self.fall)
        return all(one is not None and one.log_ratio_interval[1] < 0 for one in both)

    @cached_property
    def threshold(self) -> Threshold:
        """Where the training error reaches zero."""
        share = self.fits.mean(axis=(0, 2))
        places = [np.flatnonzero(share >= least) for least in (1e-12, 0.5)]
        first, half = (int(self.width[found[0]]) if len(found) else None for found in places)
        return Threshold(share, first, half)

    def parameters_at(self, width: int) -> int:
        """Return how many parameters a network of a trained width has."""
        return int(self.parameters[np.searchsorted(self.width, width)])

    def rows(self) -> list[dict[str, Any]]:
        """Return one row of `summary.csv` per point of the plots."""
        rows: list[dict[str, Any]] = []
        for arm in self.arms.values():
            rows += self._rows("summary", "test", arm.errors, {"arm": arm.label}, arm.settings)
        train = _by_draw(self.train[..., 0, -1])
        rows += self._rows("summary", "train", train, {"arm": END})
        for row, share in zip(rows[-len(self.width) :], self.threshold.share.tolist(), strict=True):
            row["fit_all_labels"] = share
        for arm, decay in zip(self.by_decay, self.decays.tolist(), strict=True):
            rows += self._rows("remedies", "test", arm.errors, {"arm": "by weight decay", "weight_decay": decay})
        for place in self.shown:
            for epoch, quarters in zip(self.epochs.tolist(), self.over_epochs(place).T.tolist(), strict=True):
                cells = {"arm": "by epoch", "epoch": epoch} | dict(zip(QUARTILES, quarters, strict=True))
                rows.append(self._head("remedies", "test", place) | cells)
        return rows

    @property
    def shown(self) -> list[int]:
        """Places of the widths whose errors are shown over epochs: the best below the peak, the peak, the widest."""
        narrow = [] if self.narrow is None else [self.narrow]
        return sorted({*narrow, self.at_peak, len(self.width) - 1})

    def over_epochs(self, place: int) -> Floats:
        """Return the quartiles over draws of the test error of a width at each epoch, (3, E)."""
        return quartiles(_by_draw(np.moveaxis(self.test[:, place, :, 0], 1, 2)))

    def draw_rows(self) -> list[dict[str, Any]]:
        """Return one row per draw, width and way to train: what `draws.csv` holds."""
        return [
            {"task": self.name, "draw": draw, "width": width, "parameters": int(self.parameters[place])}
            | {"arm": arm.label, "measure": self.measure, "test": float(arm.errors[place, draw])}
            | {"epoch" if arm.label != DECAY else "weight_decay": float(arm.settings[place, draw])}
            for arm in self.arms.values()
            for place, width in enumerate(self.width.tolist())
            for draw in range(arm.errors.shape[1])
        ]

    def _head(self, figure: str, part: str, place: int) -> dict[str, Any]:
        cells = {"width": int(self.width[place]), "parameters": int(self.parameters[place])}
        return (
            {"figure": figure, "task": self.name, "part": part, "measure": self.measure}
            | cells
            | {"draws": len(self.test)}
        )

    def _rows(
        self, figure: str, part: str, errors: Floats, cells: dict[str, Any], settings: Floats | None = None
    ) -> list[dict[str, Any]]:
        (low, high), quarters = bootstrap_interval(errors), quartiles(errors)
        return [
            self._head(figure, part, place) | cells | {"diverged": int(np.isinf(errors[place]).sum())}
            | dict(zip(QUARTILES, quarters[:, place].tolist(), strict=True))
            | {"ci_low": float(low[place]), "ci_high": float(high[place])}
            | ({} if settings is None else {"chosen": float(np.median(settings[place]))})
            for place in range(len(self.width))
        ]  # fmt: skip

    def _compare(self, errors: Floats, base: Floats) -> Comparison:
        draws = np.arange(len(base))
        return compare(errors, base, draws, draws)


def _by_draw(values: NDArray[Any]) -> Floats:
    """Return the median over the last axis, seeds, of values (K, ..., S) as (..., K)."""
    return np.moveaxis(quartiles(values)[1], 0, -1)
