"""The picture of the claims: errors by epoch against the report's, and the width that a target needs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from ensemble.plots.figure import Figure
from ensemble.plots.sheets import sheet
from ensemble.plots.style import COLOURS, MARKERS, NOTE_COLOUR, beside, log_axis
from ensemble.studies.claims.claim import HOLDS
from ensemble.studies.claims.study import REPORTED, REPORTED_WIDTHS, ClaimsStudy


def figures(study: ClaimsStudy) -> Iterator[tuple[str, Figure]]:
    """Yield the claims' figure with its name."""

    def errors(ax: Axes) -> None:
        epochs = study.result.epochs[1:]
        for seed, history in enumerate(study.history[:, 1:]):
            ax.plot(
                epochs, history, color=COLOURS[0], alpha=0.35, linewidth=0.8, label="" if seed else "a seed of ours"
            )
        ax.plot(epochs, np.median(study.history[:, 1:], axis=0), color=COLOURS[0], marker="o", label="median of ours")
        ax.plot(list(REPORTED), list(REPORTED.values()), linestyle="", marker="*", markersize=11, color="black",
                label="the report (one seed)")  # fmt: skip
        log_axis(ax)
        ax.set_xlabel("epoch (full-batch steps)")
        ax.set_ylabel("training MSE (y²)")
        among = sum(claim.verdict == HOLDS for claim in study.claims if claim.claim.startswith("training MSE"))
        ax.set_title(
            f"its training errors: {among} of {len(REPORTED)} are within ours\n(gd, width 640, learning rate 0.1)"
        )
        beside(ax)

    def widths(ax: Axes) -> None:
        widest = study.settings["widths"][-1]
        last = max(high for _, _, high in REPORTED_WIDTHS.values())
        for row, (data, (words, low, high)) in enumerate(reversed(REPORTED_WIDTHS.items())):
            ax.fill_betweenx([row - 0.42, row + 0.42], low, high, color="0.88", linewidth=0,
                             label="the report's words" if not row else "")  # fmt: skip
            ax.text(np.sqrt(low * high), row + 0.3, words, ha="center", fontsize=7, color=NOTE_COLOUR)
            for place, optimizer in enumerate(("gd", "adam")):
                found = study.smallest(data, optimizer)
                y = row + 0.15 - 0.15 * place
                ax.hlines(y, min(found.low, widest), min(found.high, last), color=COLOURS[place], linewidth=1.5)
                label = "" if row != len(REPORTED_WIDTHS) - 1 else optimizer
                width, marker = (widest, ">") if found.width is None else (found.width, MARKERS[place])
                ax.plot(width, y, linestyle="", color=COLOURS[place], marker=marker, label=label)
            possible, built = study.in_principle[data]
            for least, sign, label in ((built, "x", "built"), (possible, "|", "impossible to the left")):
                if least is not None:
                    ax.plot(least, row - 0.2, linestyle="", marker=sign, markersize=8, color="black",
                            label="" if row else label)  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.set_xlim(0.8, 1.25 * last)
        ticks = [2**power for power in range(0, 14, 2)]
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.set_yticks(range(len(REPORTED_WIDTHS)), [name.replace("_", "\n") for name in reversed(REPORTED_WIDTHS)])
        ax.set_ylim(-0.5, len(REPORTED_WIDTHS) - 0.5)
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"smallest width with test MSE at most {100 * study.stated:.1g}% of the variance")
        exist = [str(least) for _, least in study.in_principle.values() if least is not None]
        enough = f"in principle {', '.join(exist)} are enough" if exist else "none was built"
        ax.set_title(f"its widths: {enough}\n(bars: 95% intervals over seeds; >: not reached at {widest:,})")
        beside(ax)

    title = f"{study.answer().partition(':')[0].rstrip('.')} ({len(study.settings['seeds'])} seeds)"
    yield "summary", sheet([errors, widths], title, panel_size=(5.4, 4.1), legend_at=(0, 1))
