"""The two small plots: loss over epochs, and error against width with intervals and the provable floor.

Takes a `Picture`; the statistics are those of `analysis`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, NumeralTickFormatter, Range1d, Span, TapTool
from bokeh.plotting import figure
from numpy.typing import NDArray

from ensemble.play.answer import loss_words
from ensemble.play.look import INK, TEST, TRAIN, legend_above, plain_axes, show_entry, single, source
from ensemble.play.picture import Picture
from ensemble.statistics import quartiles

__all__ = ["LossView", "WidthView"]

Floats = NDArray[np.float64]
DECADES = 10  # of an error axis, at most


class LossView:
    """Loss over epochs: medians over the seeds with the middle half, and a line at the slider's epoch."""

    # In the browser: move the line to the epoch of row i.
    MOVE = "loss_at.location = Math.max(epochs.data.epoch[i] ?? 0.5, 0.5);"

    def __init__(self, width: int, height: int) -> None:
        self.y_range, self.x_range = Range1d(1e-3, 1), Range1d(0.5, 500)
        self.figure = plot = figure(
            width=width, height=height, x_axis_type="log", y_axis_type="log", x_range=self.x_range,
            y_range=self.y_range, tools="", toolbar_location=None, x_axis_label="epoch", name="loss",
        )  # fmt: skip
        plain_axes(plot)
        self.losses = source(
            "losses", "epoch", *(f"{part}_{name}" for part in PARTS for name in ("low", "mid", "high"))
        )
        self.epochs = source("frame_epochs", "epoch")
        for part, (colour, words) in PARTS.items():
            band = plot.varea("epoch", f"{part}_low", f"{part}_high", source=self.losses, color=colour, alpha=0.15)
            line = plot.line(
                "epoch", f"{part}_mid", source=self.losses, color=colour, line_width=2, legend_label=words,
                line_dash="solid" if part == "test" else (6, 3),
            )  # fmt: skip
            band.level = line.level = "glyph"
        self.at = Span(dimension="height", location=1, line_color=INK, line_width=1, line_alpha=0.5, syncable=False)
        self.noise = source("noise_line", "epoch", "variance")
        plot.line("epoch", "variance", source=self.noise, color=INK, line_dash="dotted", legend_label="noise")
        plot.add_layout(self.at)
        tips = [("epoch", "@epoch"), ("test", "@test_mid{0.0e}"), ("training", "@train_mid{0.0e}")]
        plot.add_tools(HoverTool(tooltips=tips, mode="vline", renderers=[line]))
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
        legend_above(plot)

    def arguments(self) -> dict[str, Any]:
        """Return what `MOVE` names."""
        return {"loss_at": self.at, "epochs": self.epochs}

    def show(self, picture: Picture) -> None:
        """Draw a picture, with the line at its last epoch."""
        result = picture.result
        data: dict[str, Any] = {"epoch": np.maximum(result.epochs, 0.5)}
        shown = []
        for part in PARTS:
            low, mid, high = quartiles(result.losses[part].T)
            data |= {f"{part}_low": _drawable(low), f"{part}_mid": _drawable(mid), f"{part}_high": _drawable(high)}
            shown += [low, high]
        self.losses.data = data
        self.epochs.data = {"epoch": picture.frames.tolist()}
        self.at.location = float(result.epochs[-1])
        noise = picture.data.noise_variance
        show_entry(self.figure, "noise", bool(noise))
        self.noise.data = {"epoch": [0.5, 1e6], "variance": [noise or np.nan] * 2}
        _fit_axis(self.y_range, [*shown, np.array([noise or np.nan])])
        self.x_range.end = float(max(result.epochs[-1], 1)) * 1.05
        self.figure.yaxis.axis_label = loss_words(picture)


class WidthView:
    """Error against width; a click on a width shows its networks.

    Attributes
    ----------
    tested : ColumnDataSource
        A row per width; its selection is what was clicked.
    """

    def __init__(self, width: int, height: int) -> None:
        self.y_range, self.x_range = Range1d(1e-6, 1), Range1d(0.8, 80)
        self.figure = plot = figure(
            width=width, height=height, x_axis_type="log", y_axis_type="log", x_range=self.x_range,
            y_range=self.y_range, tools="", toolbar_location=None, x_axis_label="width (hidden units in a layer)",
            name="widths",
        )  # fmt: skip
        plain_axes(plot)
        self.tested = ColumnDataSource(
            {name: [] for name in ("width", "test", "low", "high", "train", "lr", "diverged")}, name="tested"
        )
        self.floor = source("floor", "width", "floor", "bottom")
        self.chosen = source("chosen", "width", "test")
        plot.varea(
            "width", "bottom", "floor", source=self.floor, color="#c3c8d0", alpha=0.35, hatch_pattern="/",
            hatch_color="#8a8f98", hatch_alpha=0.5, hatch_scale=8, legend_label="impossible",
        )  # fmt: skip
        plot.varea("width", "low", "high", source=self.tested, color=TEST, alpha=0.18)
        plot.line(
            "width", "train", source=self.tested, color=TRAIN, line_width=1.5, line_dash=(6, 3), legend_label="training"
        )
        plot.line("width", "test", source=self.tested, color=TEST, line_width=2, legend_label="test, 95% interval")
        dots = plot.scatter("width", "test", source=self.tested, color=TEST, size=7, nonselection_alpha=1.0)
        plot.scatter(
            "width", "test", source=self.chosen, size=13, fill_color=None, line_color=INK, line_width=1.8,
            legend_label="shown",
        )  # fmt: skip
        plot.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[
                    ("width", "@width"), ("test", "@test{0.0e}"), ("95% interval", "@low{0.0e} to @high{0.0e}"),
                    ("training", "@train{0.0e}"), ("rate", "@lr"), ("diverged", "@diverged"), ("", "click to show"),
                ],
            ),
            TapTool(renderers=[dots]),
        )  # fmt: skip
        legend_above(plot)

    def show(self, picture: Picture) -> None:
        """Draw a picture."""
        curve = picture.curve
        test, train = quartiles(curve.errors)[1], quartiles(curve.of("train_loss"))[1]
        low, high = curve.band("test_loss")[0]
        place = int(np.searchsorted(curve.width, picture.settings.width))
        floor = np.zeros(len(curve.width)) if picture.floor is None else picture.floor
        held = floor > 0
        _fit_axis(self.y_range, [low, high, train, floor[held]])
        top = self.y_range.end
        self.tested.data = {
            "width": curve.width.tolist(), "test": _drawable(test), "low": _drawable(low),
            "high": _drawable(np.minimum(high, np.where(np.isfinite(low), top, np.nan))), "train": _drawable(train),
            "lr": curve.lr.tolist(), "diverged": curve.diverged.tolist(),
        }  # fmt: skip
        self.tested.selected.indices = []
        self.floor.data = {
            "width": curve.width[held].tolist(), "floor": floor[held].tolist(),
            "bottom": [self.y_range.start] * int(held.sum()),
        }  # fmt: skip
        show_entry(self.figure, "impossible", bool(held.any()))
        self.chosen.data = {"width": [picture.settings.width], "test": _drawable(test[[place]])}
        self.x_range.update(start=curve.width[0] / 1.3, end=curve.width[-1] * 1.3)
        powers = [2**power for power in range(10) if curve.width[0] <= 2**power <= curve.width[-1]]
        ticks = powers if len(powers) < 8 else powers[::2]
        self.figure.xaxis.ticker = FixedTicker(ticks=ticks or curve.width.tolist())
        self.figure.xaxis.major_label_overrides = {tick: str(tick) for tick in ticks}
        self.figure.yaxis.axis_label = loss_words(picture)


PARTS = {"test": (TEST, "test"), "train": (TRAIN, "training")}  # of the data: colour and word


def _drawable(values: Floats) -> Any:
    """Return the values with NaN where a logarithmic axis has no place for them."""
    return single(np.where(values > 0, values, np.nan))


def _fit_axis(axis: Any, values: list[Floats]) -> None:
    """Make a logarithmic axis hold what can be drawn, at most `DECADES` of it."""
    found = np.concatenate(values)
    found = found[np.isfinite(found) & (found > 0)]
    low, high = (float(found.min()), float(found.max())) if found.size else (1e-3, 1.0)
    high = min(high, low * 10.0**DECADES)
    axis.update(start=low / 1.8, end=high * 1.8)
