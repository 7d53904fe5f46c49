"""The double-descent study: what happens to the test error where a network is just wide enough to learn every label.

Networks of all widths learn few, noisy samples of random teachers, much longer than they should, at one learning rate
that mu-P keeps right for each width. Beside it stand the same networks stopped early, and networks with weight decay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import training
from ensemble.data import sample_teacher
from ensemble.results import Origin, Result
from ensemble.specs import Specs, grid
from ensemble.statistics import Comparison, few_note
from ensemble.studies.descent.arms import DECAY, EARLY, END, Task
from ensemble.studies.inputs import batch_notes, seeds_of, values_of
from ensemble.studies.study import Rows, Setup, Study
from ensemble.system.checks import number, whole
from ensemble.training import Loss

__all__ = ["DECAYS", "WIDTHS", "DescentStudy", "double_descent"]

Floats = NDArray[np.float64]

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 24, 50, 100, 200)
DECAYS = (0.1, 1.0)
TASKS: dict[str, Loss] = {"regression": "mse", "classification": "cross_entropy"}  # and what each minimizes
RECORDED = 60  # epochs, about: early stopping chooses one of them


def double_descent(
    *,
    widths: Iterable[int] = WIDTHS,
    draws: int = 10,
    seeds: int | Iterable[int] = 2,
    lr: float = 0.05,
    optimizer: str = "momentum",
    epochs: int = 3000,
    noise: float = 0.5,
    flips: float = 0.2,
    weight_decays: Iterable[float] = DECAYS,
    n: int = 100,
    n_labelled: int = 300,
    n_inputs: int = 20,
    batch_size: int = 0,
) -> DescentSetup:
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
    flips : float
        Share of the labels of the classification, by the teacher's sign, that are flipped; at most 0.5.
    weight_decays : iterable of float
        Validation data chooses one for each draw and width; none leaves that arm out.
    n, n_labelled : int
        Training samples of the regression, and of the classification; each has as many validation samples. A label says
        less than an output: networks of two units fit nearly all of 100 labels, which leaves no room below the peak.
    n_inputs : int
        D.

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
        "epochs": epochs, "noise": number(noise, "noise", low=0.0), "flips": number(flips, "flips", low=0.0),
        "weight_decays": sorted(decays), "n": n, "n_labelled": n_labelled, "n_inputs": n_inputs,
        "batch_size": batch_size,
    }  # fmt: skip
    if flips > 0.5:
        raise ValueError(f"flips is {flips}; at most half of the labels can be flipped")
    kinds = {"regression": (n, noise, False), "classification": (n_labelled, flips, True)}
    datasets = {
        f"{task}-{draw}": sample_teacher(
            kinds[task][0], n_inputs=n_inputs, noise=kinds[task][1], classes=kinds[task][2], seed=draw
        )
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
    chosen_on = f"{count} random teachers; early stopping and weight decay choose on as many noisy samples again"
    notes = (chosen_on, *batch_notes(batch_size, datasets))
    return DescentSetup(DescentStudy, specs, datasets, epochs, settings, notes, record=record)


@dataclass(frozen=True)
class DescentSetup(Setup["DescentStudy"]):
    """A double-descent study before training: one pass for each loss, and one `Result` of all."""

    def _passes(self) -> list[tuple[NDArray[np.int64], dict[str, Any]]]:
        """Return the rows of the specs that each pass trains, with the arguments of `train` for them."""
        passes = []
        for task, loss in TASKS.items():
            rows = _rows_of(self.specs, task)
            if not len(rows):
                raise ValueError(f"there is no model of the {task} among {len(self.specs)}; take fewer shards")
            own = {name: data for name, data in self.datasets.items() if name.startswith(f"{task}-")}
            given = {"specs": self.specs[rows], "data": own, "loss": loss}
            passes.append((rows, given | self._how))
        return passes

    def plan(self) -> training.Plan:
        """Return what training would cost, without training."""
        passes = self._passes()
        plans = [training.plan(**given) for _, given in passes]
        return training.Plan(
            sum(plan.models for plan in plans), self.epochs, sum(plan.cost for plan in plans),
            sum(plan.memory for plan in plans), sum(plan.kept for plan in plans),
            {name: count for plan in plans for name, count in plan.engines.items()},
            tuple(rows[chunk] for (rows, _), plan in zip(passes, plans, strict=True) for chunk in plan.chunks),
        )  # fmt: skip

    def train(self, **where: Any) -> Result:
        """Train all models, one pass for each loss, and return the result of all."""
        return _joined(self.specs, [(rows, training.train(**given, **where)) for rows, given in self._passes()])

    def forget(self, store: str | Path) -> None:
        """Remove from a run folder what this training would take from there, and nothing else."""
        for _, given in self._passes():
            training.forget(folder=store, **given)


def _rows_of(specs: Specs, task: str) -> NDArray[np.int64]:
    """Return the rows of a task's models."""
    return np.flatnonzero(np.char.startswith(specs.data, f"{task}-"))


def _joined(specs: Specs, found: Sequence[tuple[NDArray[np.int64], Result]]) -> Result:
    """Return one result, without networks, of the models at `rows` each; NaN where there is no accuracy."""
    results = [result for _, result in found]
    order = np.argsort(np.concatenate([rows for rows, _ in found]))
    origins, epochs = [result.origin for result in results], results[0].epochs

    def together(columns: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(columns))[order]

    return Result(
        specs, epochs, {part: together(result.losses[part] for result in results) for part in results[0].parts},
        together(result.diverged_at for result in results), together(result.fresh for result in results),
        Origin(
            " and ".join(one.loss for one in origins), together(one.engine for one in origins),
            together(one.initial for one in origins),
            {name: digest for one in origins for name, digest in one.data.items()},
            [made for one in origins for made in one.made],
        ),
        accuracies={
            part: together(
                result.accuracies.get(part, np.full((len(result), len(epochs)), np.nan)) for result in results
            )
            for part in results[0].parts
        },
    )  # fmt: skip


@dataclass(frozen=True)
class DescentStudy(Study):
    """A trained double-descent study: a `Task` for the regression, and for each measure of the classification."""

    name = "double_descent"
    question = "Where does the test error peak as networks get wide enough to learn noisy labels?"

    @property
    def parameters(self) -> NDArray[np.int64]:
        """How many parameters a network of each width has, its output bias included."""
        return np.array([(self.settings["n_inputs"] + 2) * width + 1 for width in self.settings["widths"]])

    @cached_property
    def tasks(self) -> list[Task]:
        """What was found, by task and measure."""
        zero = max(0.01 * self.settings["noise"] ** 2, 1e-4)
        losses = {part: self._cube("regression", values) for part, values in self.result.losses.items()}
        fits = losses["train"][..., 0, -1] <= zero
        regression = self._task("regression", "MSE", losses, fits, zero)
        losses = {part: self._cube("classification", values) for part, values in self.result.losses.items()}
        # A model that diverged has no accuracy to speak of.
        errors = {
            part: np.where(np.isfinite(losses[part]), 1.0 - self._cube("classification", values), np.inf)
            for part, values in self.result.accuracies.items()
        }
        fits = errors["train"][..., 0, -1] == 0
        return [
            regression,
            self._task("classification", "error", errors, fits),
            self._task("classification", "cross-entropy", losses, fits),
        ]

    def _cube(self, task: str, values: Floats) -> Floats:
        """Return a task's values (M, E) by draw, width, seed, weight decay and epoch."""
        given = self.settings
        shape = (given["draws"], len(given["widths"]), len(given["seeds"]), 1 + len(given["weight_decays"]), -1)
        return values[_rows_of(self.specs, task)].reshape(shape)

    def _task(
        self, name: str, measure: str, errors: dict[str, Floats], fits: NDArray[np.bool_],
        zero: float | None = None,
    ) -> Task:  # fmt: skip
        given = self.settings
        return Task(
            name, measure, np.array(given["widths"]), self.parameters, np.array([0.0, *given["weight_decays"]]),
            self.result.epochs, errors["train"], errors["test"], errors["val"], fits,
            given["n" if name == "regression" else "n_labelled"], zero,
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
