"""The double-descent study: what happens to the test error where a network is just wide enough to learn every label.

Networks of all widths learn few, noisy samples of random teachers, much longer than they should, at one learning rate
that mu-P keeps right for each width. Beside it stand the same networks stopped early, and networks with weight decay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ensemble.data import sample_teacher
from ensemble.specs import grid
from ensemble.statistics import Comparison, few_note
from ensemble.studies.descent.arms import DECAY, EARLY, END, Task
from ensemble.studies.inputs import batch_notes, seeds_of, values_of
from ensemble.studies.study import Rows, Setup, Study
from ensemble.system.checks import number, whole

__all__ = ["DECAYS", "WIDTHS", "DescentStudy", "double_descent"]

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 24, 50, 100, 200)
DECAYS = (0.1, 1.0)
TASKS = ("regression",)
RECORDED = 60  # epochs, about: early stopping chooses one of them


def double_descent(
    *,
    widths: Iterable[int] = WIDTHS,
    draws: int = 12,
    seeds: int | Iterable[int] = 2,
    lr: float = 0.05,
    optimizer: str = "momentum",
    epochs: int = 4000,
    noise: float = 0.5,
    weight_decays: Iterable[float] = DECAYS,
    n: int = 100,
    n_inputs: int = 20,
    batch_size: int = 0,
) -> Setup[DescentStudy]:
    """Return the double-descent study before training.

    Parameters
    ----------
    widths : iterable of int
        Hidden units.
    draws : int
        Data sets, each with a teacher, samples and noise of its own; 2 or more. They are what is resampled.
    seeds : int or iterable of int
        Networks of each width on each of them.
    lr, optimizer, epochs, batch_size
        Of all networks; mu-P holds the rate right for all widths.
    noise : float
        Standard deviation of the noise on the labels of the regression; without noise the teacher's have 1.
    weight_decays : iterable of float
        Validation data chooses one for each draw and width; none leaves that arm out.
    n, n_inputs : int
        Training samples, as many as validation samples; D.

    Raises
    ------
    ValueError
        A value that is not allowed.
    """
    listed = sorted(values_of("widths", widths))
    count = whole(draws, "draws", 2)
    decays = [number(decay, "weight_decays", low=0.0) for decay in weight_decays]
    if 0.0 in decays or len({*decays}) < len(decays):
        raise ValueError(f"weight_decays is {decays}; different numbers above 0 are needed")
    settings: dict[str, Any] = {
        "widths": listed, "draws": count, "seeds": seeds_of(seeds, fewest=1), "lr": lr, "optimizer": optimizer,
        "epochs": epochs, "noise": number(noise, "noise", low=0.0), "weight_decays": sorted(decays), "n": n,
        "n_inputs": n_inputs, "batch_size": batch_size,
    }  # fmt: skip
    datasets = {
        f"{task}-{draw}": sample_teacher(n, n_inputs=n_inputs, noise=noise, seed=draw)
        for task in TASKS
        for draw in range(count)
    }
    kind: Any = optimizer
    specs = grid(
        data=list(datasets), width=listed, seed=settings["seeds"], weight_decay=[0.0, *settings["weight_decays"]],
        lr=lr, optimizer=kind, batch_size=batch_size, init="uniform", parametrization="mup", output_bias=True,
    )  # fmt: skip
    epochs = whole(epochs, "epochs", 1)
    record = np.unique(np.round(np.geomspace(1, epochs, RECORDED)).astype(int)).tolist()
    chosen_on = f"{count} random teachers; early stopping and weight decay choose on {n} more noisy samples"
    notes = (chosen_on, *batch_notes(batch_size, datasets))
    return Setup(DescentStudy, specs, datasets, epochs, settings, notes, record=record)


@dataclass(frozen=True)
class DescentStudy(Study):
    """A trained double-descent study: one `Task` for each loss."""

    name = "double_descent"
    question = "Where does the test error peak as networks get wide enough to learn noisy labels?"

    @cached_property
    def tasks(self) -> list[Task]:
        """What was found, by task."""
        return [self._task(name) for name in TASKS]

    def _task(self, name: str) -> Task:
        given = self.settings
        widths = np.array(given["widths"], dtype=np.int64)
        rows = np.flatnonzero(np.char.startswith(self.specs.data, f"{name}-"))
        shape = (given["draws"], len(widths), len(given["seeds"]), 1 + len(given["weight_decays"]), -1)
        losses = {part: losses[rows].reshape(shape) for part, losses in self.result.losses.items()}
        zero = max(0.01 * given["noise"] ** 2, 1e-4)
        return Task(
            name, "MSE", widths, (given["n_inputs"] + 2) * widths + 1, np.array([0.0, *given["weight_decays"]]),
            self.result.epochs, losses["train"], losses["test"], losses["val"],
            losses["train"][..., 0, -1] <= zero, given["n"], zero,
        )  # fmt: skip

    # ---- tables ----

    def tables(self) -> dict[str, Rows]:
        """Return the rows of every CSV file; samples are not among them, for seeds give them back."""
        return {
            "models": self.model_rows(), "summary": self.summary,
            "draws": [row for task in self.tasks for row in task.draw_rows()],
        }  # fmt: skip

    def summary_rows(self) -> Rows:
        """Return one row per point of the plots."""
        return [row for task in self.tasks for row in task.rows()]

    # ---- words ----

    def answer(self) -> str:
        """Return the answer, a sentence or two for each task."""
        return "\n".join(f"{task.title.capitalize()}: {answer_of(task)}" for task in self.tasks)

    def outcome(self) -> str:
        """Return a table of errors by width for each task."""
        lines: list[str] = []
        for task in self.tasks:
            draws = self.settings["draws"]
            lines.append(
                f"{task.title}: median test {task.measure} of {draws} data draws{' (few)' * bool(few_note(draws))} x "
                f"{len(self.settings['seeds'])} seeds after {self.setup.epochs} epochs, {task.n} training samples"
            )
            arms = list(task.arms.values())
            lines.append("  width  parameters  fit all labels" + "".join(f"{arm.label:>20}" for arm in arms))
            for place, (width, parameters) in enumerate(zip(task.width, task.parameters, strict=True)):
                cells = "".join(f"{arm.median[place]:20.3g}" for arm in arms)
                lines.append(f"{width:7d}{parameters:12,d}{100 * task.threshold.share[place]:15.0f}%{cells}")
        return "\n".join(lines)


def ratio_words(found: Comparison) -> str:
    """Return the ratio of a comparison with its interval, such as "0.22 times (0.19 to 0.27)"."""
    low, high = np.exp(found.log_ratio_interval)
    return f"{np.exp(found.median_log_ratio):.2g} times ({low:.2g} to {high:.2g})"


def answer_of(task: Task) -> str:
    """Return what a task's curve does, in words, with 95% intervals over data draws."""
    end, peak = task.arms[END], task.peak
    between = f"{peak.width}" if peak.low == peak.high else f"{peak.width} ({peak.low} to {peak.high})"
    where = f"width {between}, {task.parameters_at(peak.width):,} parameters for {task.n} samples"
    threshold = task.threshold
    if threshold.half is None:
        fits = "at no width do half of the networks fit every label"
    else:
        count = task.parameters_at(threshold.half)
        fits = f"half of the networks fit every label from width {threshold.half} ({count:,} parameters) on"
    if not task.descends_twice:
        sides = [(task.fall, task.width[-1]), (task.rise, task.width[task.narrow or 0])]
        beside = [f"width {width} leaves {ratio_words(one)} that" for one, width in sides if one is not None]
        greatest = f"the test {task.measure} is greatest, {task.said(peak.error)}, at {where}"
        return f"no double descent is seen: {greatest}; {' and '.join(beside)}; {fits}."
    assert task.narrow is not None and task.against_narrow is not None
    wide = end.median[-1]
    text = (
        f"the test {task.measure} peaks at {where}: {task.said(peak.error)}; {fits}. It falls to {task.said(wide)} at "
        f"width {task.width[-1]}, {ratio_words(task.fall)}: {ratio_words(task.against_narrow)} the "
        f"{task.said(end.median[task.narrow])} of width {task.width[task.narrow]}, the best below the peak."
    )
    words = {EARLY: "Early stopping", DECAY: "weight decay"}
    left = [f"{words[name]} leaves {ratio_words(one)}" for name, one in task.remedies.items()]
    return f"{text} {' and '.join(left)} the error at the peak."
