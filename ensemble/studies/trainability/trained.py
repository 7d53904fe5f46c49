"""A trained trainability study: how rough the boundary of training is, in numbers, words and tables.

Made by `study` from maps; `figures` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ensemble.specs import Specs
from ensemble.statistics import BoxDimension, dimension_of
from ensemble.studies.study import Rows, Study
from ensemble.studies.trainability.maps import MOST_ZOOM, PAPER, SEED, TAIL, WINDOW, Map

__all__ = ["TrainabilityStudy"]

RESAMPLES = 1000


@dataclass(frozen=True)
class TrainabilityStudy(Study):
    """A trained trainability study: the map, and closer and closer looks at its boundary; `result` holds examples."""

    views: tuple[Map, ...] = ()
    trained: int = 0

    name = "trainability"
    question = "At which learning rates of its two layers does a network train?"
    question = "At which learning rates of its two layers does a network train?"

    @property
    def specs(self) -> Specs:
        """The networks whose losses are drawn: some pixels."""
        return self.result.specs

    @property
    def models(self) -> int:
        """How many networks the maps show."""
        return sum(found.speed.size for found in self.views)

    @property
    def diverged(self) -> int:
        """How many of them left what numbers can hold."""
        return sum(int((found.diverged_at >= 0).sum()) for found in self.views)

    @property
    def chosen(self) -> bool:
        """Whether the window, and the seed with it, are those that were chosen for their boundary."""
        return self.settings["zoom"] is None and self.settings["seed"] == SEED

    @property
    def whole(self) -> Map:
        """The map that was asked for."""
        return self.views[0]

    @property
    def rich(self) -> list[Map]:
        """The closer looks at the part with the most of the boundary."""
        return [found for found in self.views if found.name.startswith("rich")]

    @property
    def places(self) -> dict[float, list[Map]]:
        """The closer looks at places all along the boundary, by zoom."""
        found: dict[float, list[Map]] = {}
        for one in self.views:
            if one.name.startswith("place"):
                found.setdefault(one.zoom, []).append(one)
        return found

    @cached_property
    def scales(self) -> dict[float, BoxDimension]:
        """The boundary's dimension by zoom, where it can be told: of the whole map, and of all places together.

        The boxes of the places are added up. Places are spread evenly over the pixels of the boundary, so that their
        sum grows as the boxes of the whole boundary would, had it been drawn as fine.
        """
        found = {1.0: self.whole.boxes}
        for zoom, maps in self.places.items():
            found[zoom] = dimension_of(maps[0].boxes.sizes, np.sum([one.boxes.counts for one in maps], axis=0))
        return {zoom: boxes for zoom, boxes in found.items() if np.isfinite(boxes.dimension)}

    @cached_property
    def dimension(self) -> tuple[float, float, float]:
        """The median of the dimension over the scales, the least and the largest; NaN without any."""
        values = [boxes.dimension for boxes in self.scales.values()]
        return (float(np.median(values)), min(values), max(values)) if values else (np.nan, np.nan, np.nan)

    @cached_property
    def intervals(self) -> dict[float, tuple[float, float]]:
        """A 95% interval of the dimension at each zoom above 1, from other draws of the same places with repetition."""
        found = {}
        generator = np.random.Generator(np.random.Philox(0))
        for zoom, maps in self.places.items():
            if zoom in self.scales:
                sizes, counts = maps[0].boxes.sizes, np.array([one.boxes.counts for one in maps])
                draws = generator.integers(len(maps), size=(RESAMPLES, len(maps)))
                values = [dimension_of(sizes, counts[draw].sum(axis=0)).dimension for draw in draws]
                low, high = np.nanquantile(values, [0.025, 0.975])
                found[zoom] = float(low), float(high)
        return found

    @property
    def network(self) -> str:
        """What all pixels share, in words."""
        s = self.settings
        layers = "" if s["hidden_layers"] == 1 else f" x {s['hidden_layers']}"
        steps = f"batches of {s['batch_size']}" if s["batch_size"] else "full batch"
        return f"{self.first}, {s['samples']} samples, width {s['width']}{layers}, {self.setup.epochs} epochs, {steps}"

    def shares(self) -> tuple[float, float, float]:
        """Return the shares of the map that converged, diverged, and neither fell nor left what numbers can hold."""
        found = self.whole
        converged, lost = found.converged.mean(), (~found.converged & (found.diverged_at >= 0)).mean()
        return float(converged), float(lost), float(1 - converged - lost)

    def outcome(self) -> str:
        """Return a table of the boundary's dimension, map by map."""
        converged, lost, rest = self.shares()
        lines = [
            f"{self.network}: {self.whole.pixels:,} x {self.whole.pixels:,} networks of seed {self.settings['seed']}",
            f"{converged:.1%} converged (mean loss of the last {TAIL} epochs below that at the start), {lost:.1%} "
            f"grew beyond all numbers, {rest:.1%} ended at or above their start",
            f"{'map':<24}{'zoom':>6}{'boundary':>12}{'dimension':>11}   slopes from size to size",
        ]
        shown = [("whole", 1.0, self.whole.boxes), *((found.name, found.zoom, found.boxes) for found in self.rich)]
        for zoom, maps in self.places.items():
            if zoom in self.scales:
                low, high = self.intervals[zoom]
                shown.append((f"{len(maps)} places [{low:.2f}, {high:.2f}]", zoom, self.scales[zoom]))
        for name, zoom, boxes in shown:
            lines.append(
                f"{name:<24}{zoom:>5g}x{int(boxes.counts[0]):>9} px{boxes.dimension:>11.3f}   "
                f"{boxes.low:.2f} to {boxes.high:.2f}"
            )
        return "\n".join([*lines, *self._closer()])

    def _closer(self) -> list[str]:
        """Return how to look closer still, at a pixel of the boundary in the closest map of its richest part."""
        closest = self.rich[-1] if self.rich else self.whole
        factor = WINDOW.side / closest.window.side * 8
        if not closest.edge.any() or factor > MOST_ZOOM:
            return []
        row, column = closest.typical(0.5)
        hidden, output = closest.window.rates(closest.pixels)
        return [f"closer: --zoom {float(hidden[column])!r} {float(output[row])!r} {factor:.6g}"]

    def answer(self) -> str:
        """Return the dimension with its spread, against the range that the paper reports."""
        if not self.scales and self.whole.edge.any():
            return "The boundary in this window has too few pixels to be measured; more --pixels show it."
        if not self.scales:
            return "No boundary lies in this window, so there is nothing to measure; another --zoom may have one."
        middle, low, high = self.dimension
        over = "one map"
        if len(self.scales) > 1:
            over = f"median of zooms 1 to {max(self.scales):g}, which have {low:.2f} to {high:.2f}"
        found = [one.boxes.dimension for one in self.rich if np.isfinite(one.boxes.dimension)]
        rich = f" Its richest parts have {min(found):.2f} to {max(found):.2f}." if found else ""
        where = "within" if PAPER[0] <= middle <= PAPER[1] else "outside"
        return (
            f"The boundary between training and divergence has a box-counting dimension of {middle:.2f} ({over}), "
            f"{where} the {PAPER[0]} to {PAPER[1]} of Sohl-Dickstein 2024; a smooth curve has 1.{rich}"
        )

    def summary_rows(self) -> Rows:
        """Return one row per map and size of boxes, with the map's place, shares and dimension."""
        rows: Rows = []
        for found in self.views:
            boxes: BoxDimension = found.boxes
            about = {
                "map": found.name, "zoom": found.zoom, "pixels": found.pixels, "log10_hidden_rate": found.window.hidden,
                "log10_output_rate": found.window.output, "decades": found.window.side,
                "converged": float(found.converged.mean()), "dimension": boxes.dimension, "least_slope": boxes.low,
                "largest_slope": boxes.high,
            }  # fmt: skip
            for size, count in zip(boxes.sizes.tolist(), boxes.counts.tolist(), strict=True):
                rows.append(about | {"box_pixels": size, "boxes": count})
        return rows

    def tables(self) -> dict[str, Rows]:
        """Return the rows of every CSV file by its name; the maps as they are drawn, a row per output rate."""
        shown = {f"map_{found.name.replace(' ', '_')}": _map_rows(found) for found in (self.whole, *self.rich)}
        losses: Rows = [
            {"example": model, "epoch": epoch, "train_loss": loss}
            for model, of_model in enumerate(self.result.train_loss.tolist())
            for epoch, loss in zip(self.result.epochs.tolist(), of_model, strict=True)
        ]
        return {
            "models": self.model_rows(), "summary": self.summary, "losses": losses, "points": self.point_rows(), **shown
        }  # fmt: skip

    def about(self) -> dict[str, Any]:
        """Return what `study.json` holds, with the dimension and the shares."""
        middle, low, high = self.dimension
        found = {
            "median": middle, "least": low, "largest": high,
            "by_zoom": {zoom: boxes.dimension for zoom, boxes in self.scales.items()},
            "intervals": self.intervals, "paper": PAPER,
        }  # fmt: skip
        shares = dict(zip(("converged", "diverged", "neither"), self.shares(), strict=True))
        return super().about() | {"dimension": found, "shares": shares}


def _map_rows(found: Map) -> Rows:
    """Return a map as a table: a row per output rate, a column per hidden rate, five digits of its speeds."""
    hidden, output = found.window.rates(found.pixels)
    heads = ["output_rate", *(f"hidden {rate!r}" for rate in hidden.tolist())]
    return [
        dict(zip(heads, [rate, *(float(f"{value:.5g}") for value in speeds)], strict=True))
        for rate, speeds in zip(output.tolist(), found.speed.tolist(), strict=True)
    ]
