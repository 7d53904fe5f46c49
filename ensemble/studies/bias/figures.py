"""The figures of the bias ablation: a summary, and one figure per topic with a panel per dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from ensemble.analysis import percent, variance_of
from ensemble.plots.curves import WidthCurveDisplay
from ensemble.plots.differences import PairedDifferenceDisplay
from ensemble.plots.figure import Figure
from ensemble.plots.fits import FitDisplay
from ensemble.plots.limits import LimitDisplay
from ensemble.plots.sheets import TITLE, constants, head_legend, panel, sheet, wrapped
from ensemble.plots.style import STYLE, about, legend_title, look, name_of, plain, title_of
from ensemble.studies.bias.study import ARMS, MISSING_BIAS, BiasStudy
from ensemble.studies.save import by_part


def figures(study: BiasStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the ablation's figures with their names, each optimizer with its own."""
    return by_part(study.settings["optimizers"], lambda optimizer: _with(study, optimizer))


def _with(study: BiasStudy, optimizer: str) -> Iterator[tuple[str, Figure]]:
    """Yield the ablation's figures with an optimizer: the summary, and one figure per topic."""
    names = [name for name in study.datasets if not study.constant(name)]
    if not names:
        yield "summary", constants(study.datasets)
        return

    def error(name: str, unit: str = " of the variance") -> Callable[[Axes], None]:
        words = f"{title_of(name, study.datasets[name])}\n{_left(study, name, optimizer, unit)}"
        return panel(arms_display(study, name, optimizer), words)

    def difference(name: str, title: str) -> Callable[[Axes], None]:
        return panel(PairedDifferenceDisplay(study.differences(name, optimizer)), title)

    def possible(name: str) -> Callable[[Axes], None]:
        bounds, dataset = study.bounds[name], study.datasets[name]
        assert bounds is not None
        display = LimitDisplay(
            study.curves(name, optimizer), bounds, arms=list(bounds.no_bias), y_name=dataset.y_name
        )  # fmt: skip
        floors = ", ".join(f"{arm} {value:.3g}" for arm, value in bounds.no_bias.items())
        return panel(display, f"{title_of(name, dataset)}\nexact floors: {floors}")

    after = f"after {study.setup.epochs} epochs of {optimizer}"
    chosen = "best learning rate per width and arm"
    then = (", " if len(names) > 1 else ",\n").join([after, chosen])  # a single panel is too narrow for one line
    # The panel whose legend serves all: one that has every mark, where some seeds diverged.
    lost = [any(curve.diverged.any() for curve in study.curves(name, optimizer)) for name in names]
    ratios = [np.array([each.ratio for each in study.differences(name, optimizer)]) for name in names]
    noted, beyond = int(np.argmax(lost)), int(np.argmax([(~np.isfinite(each) | (each == 0)).any() for each in ratios]))
    shown = names[:4]
    curve = study.curves(names[0], optimizer)[0]
    widest = curve.width[-1]
    worth = {name: f"with hidden bias at width {widest}:\n{_worth(study, name, optimizer)}" for name in shown}
    panels = [*(error(name, "") for name in shown), *(difference(name, worth[name]) for name in shown)]
    more = f" (the first {len(shown)} of {len(names)} datasets)" if len(names) > len(shown) else ""
    factors = ", ".join(f"{_factor(study, name, optimizer)} on {name_of(name)}" for name in shown)
    answer = f"with the hidden bias the error at width {widest} is {factors}"
    title = f"What is the hidden bias worth{more}? At width {widest} the error is {factors}\n({after}, {chosen})"
    # Side by side where there is one dataset; together never narrower than the words around the panels.
    columns, panel_height = (len(shown), 3.1) if len(shown) > 1 else (2, 4.0)
    panel_width = {2: 5.2, 3: 4.2}.get(columns, 3.3)
    legend_at = noted if noted < len(shown) else 0
    summary = sheet(panels, title, columns=columns, panel_size=(panel_width, panel_height), legend_at=legend_at)
    for place, ax in enumerate(summary.axes):
        if len(shown) > 1 and place % columns:
            ax.set_ylabel("")
    words = legend_title(len(curve.seeds), "uncertainty (95% interval of the median)").replace("\n", " ")
    words = words.replace("; band:", " (dots: single seeds); bands, and bars of the ratios paired by seed:")
    head_legend(
        summary,
        f"{words}; a bar holds for its width alone,\n"
        f"ring: differs from 1 with all {len(curve.width)} widths tested (signed rank test, Holm); "
        "with hidden bias: both biases against output bias only; left: of the variance",
    )
    yield "summary", summary
    yield (
        "error_by_arm",
        sheet([error(name) for name in names], f"Test error {then}: {answer}", legend_at=noted),
    )
    yield "differences", sheet(
        [difference(name, title_of(name, study.datasets[name])) for name in names],
        f"What leaving a bias out costs {then}: {answer}", legend_at=beyond,
    )  # fmt: skip
    bounded = [name for name in names if study.bounds[name] is not None]
    if bounded:
        title = (
            f"Training error {after}: without hidden bias no width leaves less than {_floors(study, bounded)} (dotted)"
        )
        yield "limits", sheet([possible(name) for name in bounded], title, legend_at=0)
    fitted = [name for name in names if study.datasets[name].n_inputs == 1]
    if fitted:
        yield "fits_by_arm", _fit_table(study, fitted, optimizer, f"{answer[0].upper()}{answer[1:]}")


def arms_display(study: BiasStudy, data: str | None = None, optimizer: str | None = None) -> WidthCurveDisplay:
    """Return the display of the arms on a dataset with an optimizer (default: the first of each)."""
    curves = study.curves(data, optimizer)
    return WidthCurveDisplay(curves, shared=True, **about(study.datasets[curves[0].data]))


def _worth(study: BiasStudy, data: str, optimizer: str) -> str:
    """Return what the hidden bias is worth at the largest width."""
    return next(
        each.worth for each in study.differences(data, optimizer) if MISSING_BIAS[each.arm.label] == "hidden bias"
    )


def _factor(study: BiasStudy, data: str, optimizer: str) -> str:
    """Return the same in a word or two, for a title."""
    words = _worth(study, data, optimizer)
    return "the same" if words.startswith("no clear") else words.partition(" error")[0]


def _left(study: BiasStudy, data: str, optimizer: str, unit: str) -> str:
    """Return what the best arm leaves of the variance, in words."""
    curves = study.curves(data, optimizer)
    variance = variance_of(study.datasets[data], "test")
    best = min(curves, key=lambda curve: float(curve.quartiles[1].min()))
    left = float(best.quartiles[1].min())
    return f"{percent(left / variance)}{unit} left by {best.label}" if variance and np.isfinite(left) else ""


def _floors(study: BiasStudy, names: Sequence[str]) -> str:
    """Return the share of the variance that no network without hidden bias gets below, from dataset to dataset."""
    found = [(study.bounds[name], variance_of(study.datasets[name], "train")) for name in names]
    shares = [min(bounds.no_bias.values()) / variance for bounds, variance in found if bounds is not None]
    return f"{percent(*shares)} of the variance"


def _fit_table(study: BiasStudy, names: Sequence[str], optimizer: str, answer: str) -> Figure:
    """Return the fits of each arm (columns) on each dataset (rows)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.5 * len(ARMS), 2.1 * len(names) + 0.4), layout="constrained")
        rows = figure.subplots(len(names), len(ARMS), sharex="row", sharey="row", squeeze=False)
        for axes, name in zip(rows, names, strict=True):
            dataset = study.datasets[name]
            for place, (curve, ax) in enumerate(zip(study.curves(name, optimizer), axes, strict=True)):
                looks = [{"color": look(place, curve.label)[0]}]
                FitDisplay.over(study.fits(curve), dataset).plot(ax, looks=looks, legend=False)
                ax.set_title(f"{curve.label}\nmedian test MSE {curve.quartiles[1, -1]:.2g}")
                ax.set_ylabel("" if place else f"{name_of(name)}\n{plain(dataset.y_name)}")
        words = f"{answer}\n(fits over the training data, {optimizer}, seed with median error)"
        figure.suptitle(wrapped(words, figure.get_figwidth() - 0.3, TITLE), fontsize=11, fontweight="bold")
    return figure
