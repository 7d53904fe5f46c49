"""The figures of the double-descent study: the curve itself, and what removes its peak."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from ensemble.plots import style
from ensemble.plots.figure import Figure
from ensemble.plots.sheets import Panel, sheet
from ensemble.statistics import few_note
from ensemble.studies.descent.arms import DECAY, EARLY, END, MEASURES, Arm, Task
from ensemble.studies.descent.study import DescentStudy


def figures(study: DescentStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the double-descent study's figures with their names."""
    yield "summary", _summary(study)
    yield "remedies", _remedies(study)


def _summary(study: DescentStudy) -> Figure:
    """Return test and training error against width, a column for each task."""
    tasks = study.tasks
    panels: list[Panel] = [partial(_test_panel, task) for task in tasks]
    panels += [partial(_train_panel, task) for task in tasks]
    seen = [task for task in tasks if task.descends_twice]
    unseen = " or ".join(task.title for task in tasks if task not in seen)
    if seen:
        found = "; ".join(
            f"{task.title} {task.said(task.peak.error)} at width {task.peak.width}, "
            f"then {task.said(task.arms[END].median[-1])}"
            for task in seen
        )
        title = f"Double descent: the test error peaks where networks get wide enough to learn noise: {found}"
        title += f"; none is seen in {unseen}" if unseen else ""
    else:
        title = "No double descent is seen: no width leaves a greater test error than those on both sides of it"
    size = {1: (7.6, 3.4), 2: (5.4, 3.3)}.get(len(tasks), (4.4, 3.2))
    return sheet(panels, title, columns=len(tasks), panel_size=size, legend_at=0)


def _remedies(study: DescentStudy) -> Figure:
    """Return test error over epochs at a few widths, and against width for each weight decay, a row for each task."""
    panels: list[Panel] = []
    words = []
    for task in study.tasks:
        panels += [partial(_epoch_panel, task)] + [partial(_decay_panel, task)] * (len(task.decays) > 1)
        ratios = " and ".join(f"{np.exp(one.median_log_ratio):.2g}" for one in task.remedies.values())
        words.append(f"{ratios} ({task.title})")
    names = {EARLY: "stopping early", DECAY: "weight decay"}
    what = " and ".join(names[name] for name in study.tasks[0].remedies)
    title = f"Of the greatest test error, {what} leave{'s' * (' and ' not in what)} {', '.join(words)}"
    columns = 2 if len(study.tasks[0].decays) > 1 else 1
    return sheet(panels, title, columns=columns, panel_size=(5.6, 3.2))


# ---- against width ----


def _width_axis(ax: Axes, task: Task) -> None:
    """Make the x axis one of widths, with the number of parameters above."""
    style.log_width_axis(ax, task.width)
    scale = int(np.diff(task.parameters).sum() / max(1, np.diff(task.width).sum())) or 1
    second = ax.secondary_xaxis("top", functions=(partial(_parameters, scale), partial(_width, scale)))
    second.xaxis.set_major_locator(FixedLocator([_parameters(scale, tick) for tick in ax.get_xticks()]))
    second.xaxis.set_minor_locator(NullLocator())
    second.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    second.set_xlabel("parameters")


def _parameters(scale: int, width: float) -> float:  # functions of a figure that is sent to the process that draws it
    return scale * width + 1


def _width(scale: int, parameters: float) -> float:
    return (parameters - 1) / scale


def _threshold(ax: Axes, task: Task) -> list[Line2D | Patch]:
    """Mark where networks fit all labels, and where there are as many parameters as samples; return legend entries."""
    entries: list[Line2D | Patch] = []
    found = task.threshold
    if found.half is not None and found.first is not None:
        if found.first < found.half:
            ax.axvspan(found.first, found.half, color="0.9", zorder=0, linewidth=0)
            entries.append(Patch(color="0.9", label="some networks fit all labels"))
        ax.axvline(found.half, color=style.NOTE_COLOUR, linewidth=1.2)
        entries.append(
            Line2D(
                [], [], color=style.NOTE_COLOUR, linewidth=1.2, label="half of the networks fit all labels (measured)"
            )
        )
    slope = np.diff(task.parameters[:2]) / np.diff(task.width[:2]) if len(task.width) > 1 else task.parameters - 1
    equal = _width(int(slope[0]), task.n)
    if task.width[0] < equal < task.width[-1]:
        ax.axvline(equal, color=style.NOTE_COLOUR, linewidth=1, linestyle=":")
        entries.append(
            Line2D(
                [],
                [],
                color=style.NOTE_COLOUR,
                linewidth=1,
                linestyle=":",
                label="as many parameters as samples",
            )
        )
    return entries


def _error_axis(ax: Axes, task: Task, part: str, *errors: NDArray[np.float64]) -> float:
    """Make the y axis one of the task's errors on a part of the data, log but for shares of labels; return its top."""
    words = MEASURES[task.measure] if part == "test" else "noisy labels"
    ax.set_ylabel(f"{part} {task.measure} ({words})")
    if task.measure == "error":
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # no halves of a percent
        return 1.01
    style.log_axis(ax)
    return style.ceiling_of(*errors)


def _tidy(ax: Axes, task: Task) -> None:
    if task.measure != "error":
        style.tidy_log_axis(ax)


def _arm(ax: Axes, task: Task, arm: Arm, ceiling: float, dots: bool) -> Line2D:
    """Draw an arm: the median over draws, its 95% interval, and single draws as lines or dots."""
    colour, marker = style.LOOKS[arm.label]
    low, high = arm.interval
    ax.fill_between(
        task.width, style.gaps(low, ceiling), style.gaps(np.minimum(high, ceiling), np.inf), color=colour, alpha=0.2,
        linewidth=0,
    )  # fmt: skip
    errors = style.gaps(arm.errors, ceiling)
    if dots:
        ax.scatter(np.repeat(task.width, errors.shape[1]), errors.ravel(), s=5, color=colour, alpha=0.3, linewidths=0)
    else:
        ax.plot(task.width, errors, color=colour, linewidth=0.6, alpha=0.35)
    (line,) = ax.plot(
        task.width, style.gaps(arm.median, ceiling), color=colour, marker=marker, label=arm.label,
        markeredgecolor="white", markeredgewidth=0.5, linewidth=2,
    )  # fmt: skip
    return line


def _test_panel(task: Task, ax: Axes) -> None:
    arms = list(task.arms.values())
    _width_axis(ax, task)
    ceiling = _error_axis(ax, task, "test", *(arm.errors for arm in arms))
    entries = [_arm(ax, task, arm, ceiling, dots=arm.label != END) for arm in arms]
    _tidy(ax, task)
    draws = arms[0].errors.shape[1]
    ax.legend(
        handles=[*entries, *_threshold(ax, task)],
        title=f"median of {draws} data draws{' (few)' * bool(few_note(draws))}; band: its 95% interval; thin lines and "
        "dots: single draws",
    )  # fmt: skip
    end, peak = task.arms[END].median, task.peak
    ax.set_title(
        f"{task.title}: {task.said(peak.error)} at width {peak.width}\n"
        f"({task.parameters_at(peak.width):,} parameters), {task.said(end[-1])} at width {task.width[-1]}"
    )


def _train_panel(task: Task, ax: Axes) -> None:
    style.log_width_axis(ax, task.width)
    errors = np.moveaxis(task.train[..., 0, -1], 0, 1).reshape(len(task.width), -1)
    _error_axis(ax, task, "training", errors)
    colour, marker = style.LOOKS[END]
    floor = 0.0
    if task.measure != "error":  # exact fits have errors of 1e-30, and need no more room than others
        floor = (task.zero or 1e-2) / 1000
        if (errors <= floor).any():
            note = f"at most {floor:.1g}"
            ax.text(task.width[0], floor * 1.3, note, fontsize=7, color=style.NOTE_COLOUR, ha="left", va="bottom")
    if task.zero is not None:
        ax.axhline(task.zero, color=style.NOTE_COLOUR, linewidth=1, linestyle=(0, (4, 2)))
        ax.text(
            0.99, task.zero * 1.2, "1% of the noise variance: called zero", fontsize=7, color=style.NOTE_COLOUR,
            ha="right", va="bottom", transform=ax.get_yaxis_transform(),
        )  # fmt: skip
    errors = np.maximum(np.where(np.isfinite(errors), errors, np.nan), floor)
    ax.scatter(np.repeat(task.width, errors.shape[1]), errors.ravel(), s=5, color=colour, alpha=0.3, linewidths=0)
    ax.plot(
        task.width, np.median(errors, axis=1), color=colour, marker=marker, markeredgecolor="white",
        markeredgewidth=0.5, linewidth=2,
    )  # fmt: skip
    _threshold(ax, task)
    _tidy(ax, task)
    half = task.threshold.half
    if half is None:
        ax.set_title(f"at no width half of the networks fit all {task.n} labels")
    else:
        count = f"{task.parameters_at(half):,} parameters"
        ax.set_title(f"half of the networks fit all {task.n} labels\nfrom width {half} on ({count})")


# ---- what removes the peak ----


def _epoch_panel(task: Task, ax: Axes) -> None:
    looks = style.width_looks(len(task.shown))
    found = [task.over_epochs(place) for place in task.shown]
    ceiling = _error_axis(ax, task, "test", *found)
    for place, quarters, each in zip(task.shown, found, looks, strict=True):
        low, median, high = (style.gaps(one, ceiling) for one in quarters)
        ax.fill_between(task.epochs, low, high, color=each["color"], alpha=0.18, linewidth=0)
        ax.plot(task.epochs, median, label=f"width {task.width[place]}", **each)
    _tidy(ax, task)
    style.epoch_axis(ax, int(task.epochs[-1]))
    at = float(np.median(task.arms[EARLY].settings[task.at_peak]))
    ax.set_title(f"{task.title}: at width {task.peak.width} epoch {at:.0f} is best")
    style.beside(ax, title="median over draws;\nband: quartiles")


def _decay_panel(task: Task, ax: Axes) -> None:
    _width_axis(ax, task)
    ceiling = _error_axis(ax, task, "test", *(arm.errors for arm in task.by_decay))
    for place, arm in enumerate(task.by_decay):
        colour, marker = style.LOOKS[DECAY if place else END]
        low, high = arm.interval
        ax.fill_between(
            task.width, style.gaps(low, ceiling), style.gaps(np.minimum(high, ceiling), np.inf), color=colour,
            alpha=0.15, linewidth=0,
        )  # fmt: skip
        ax.plot(
            task.width, style.gaps(arm.median, ceiling), color=colour, marker=marker, label=arm.label,
            linestyle=style.DASHES[place - 1 if place else 0], markeredgecolor="white", markeredgewidth=0.5,
        )  # fmt: skip
    _tidy(ax, task)
    strongest = task.by_decay[-1]
    ax.set_title(
        f"{task.title}: decay {strongest.label} leaves {task.said(strongest.median[task.at_peak])} at width "
        f"{task.peak.width}"
    )
    style.beside(ax, title="weight decay\n(median, 95% interval)")
