"""The trainability study: at which pairs of learning rates training converges, and how rough the boundary is.

A network a pixel: all have the same seed and data, and differ in the rates of their hidden and their output layer
alone. `trained` says what they became. After Sohl-Dickstein 2024, "The boundary of neural network trainability is
fractal", arXiv 2402.06184.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble import training
from ensemble.results import Result
from ensemble.specs import Init, Specs
from ensemble.studies.inputs import Data, batch_notes, noise_of
from ensemble.studies.study import Setup
from ensemble.studies.trainability import maps
from ensemble.studies.trainability.maps import MOST_ZOOM, SEED, TILE, WINDOW, Map, Tiles, Window
from ensemble.studies.trainability.samples import samples_of
from ensemble.studies.trainability.trained import TrainabilityStudy
from ensemble.system.checks import number, whole
from ensemble.system.progress import progress_bar

__all__ = ["TrainabilitySetup", "trainability"]

PIXELS, PIXELS_IN_BATCHES, MOST_PIXELS = 1024, 256, 8192
ZOOM = 8  # how much smaller each map is than the one that it is a part of
LEVELS = 3
FEWEST_EDGE = 64  # pixels of a boundary that is worth a closer look
PLACES = 16  # along the boundary, at each zoom


def trainability(
    data: Data = "chirp",
    *,
    width: int = 16,
    hidden_layers: int = 1,
    epochs: int = 300,
    noise: float = 0.01,
    samples: int = 32,
    batch_size: int = 0,
    pixels: int | None = None,
    zoom: Sequence[float] | None = None,
    seed: int = SEED,
    init: Init = "fan_in",
) -> TrainabilitySetup:
    """Return the trainability study before training.

    Parameters
    ----------
    data : str or Dataset
        One target, or own data, of which the training part is used; standardized where the dataset says so.
    width, hidden_layers : int
        Of all networks.
    epochs : int
        Passes over the data; at least 20, whose mean loss decides.
    noise : float
        As in `width_study`.
    samples : int
        At most 64: equally spaced for a target; own data that have more are thinned to as many at random.
    batch_size : int
        0 for the full batch.
    pixels : int, optional
        Along a side, a network each; default: 1,024, in batches 256.
    zoom : (hidden rate, output rate, factor), optional
        Look at a window `factor` times smaller than the study's own, around these rates.
    seed, init
        Of the initial weights, the same for all networks.

    Raises
    ------
    ValueError
        A value that is not allowed.
    """
    named, notes = samples_of(data, samples, noise)
    batch_size = whole(batch_size, "batch_size")
    pixels = PIXELS_IN_BATCHES if pixels is None and batch_size else PIXELS if pixels is None else pixels
    settings: dict[str, Any] = {
        "width": width, "hidden_layers": hidden_layers, "epochs": whole(epochs, "epochs", maps.TAIL),
        "noise": noise_of(data, noise), "samples": next(iter(named.values())).n_train, "batch_size": batch_size,
        "pixels": whole(pixels, "pixels", 16, MOST_PIXELS), "zoom": None, "seed": seed, "init": init,
        "closer": [ZOOM, LEVELS, PLACES], "window": list(WINDOW),
    }  # fmt: skip
    window = WINDOW
    if zoom is not None:
        if len(zoom) != 3:
            raise ValueError(f"zoom is {list(zoom)}; a hidden rate, an output rate and a factor are needed")
        hidden, output, factor = (
            number(value, f"zoom's {what}", 1e-300 if place < 2 else 1.0, 1e300 if place < 2 else MOST_ZOOM)
            for place, (value, what) in enumerate(zip(zoom, ("hidden rate", "output rate", "factor"), strict=True))
        )
        settings["zoom"] = [hidden, output, factor]
        window = Window(float(np.log10(hidden)), float(np.log10(output)), WINDOW.side / factor)
    model = Specs(
        width=[width], hidden_layers=[hidden_layers], seed=[seed], init=[init], lr=[1.0], batch_size=[batch_size],
        data=list(named),
    )  # fmt: skip
    return TrainabilitySetup(
        TrainabilityStudy, model, named, epochs, settings, (*notes, *batch_notes(batch_size, named)),
        record=maps.recorded(epochs), window=window,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainabilitySetup(Setup[TrainabilityStudy]):
    """A trainability study before training: `specs` is one row, which all pixels share but for their rates."""

    window: Window = WINDOW

    stored = False

    @property
    def pixels(self) -> int:
        """Along a side of the map."""
        return int(self.settings["pixels"])

    @property
    def closer_pixels(self) -> tuple[int, int]:
        """Along a side of the maps of the richest parts, and of the places along the boundary."""
        return max(32, self.pixels // 4), max(32, self.pixels // 8)

    @property
    def models(self) -> int:
        """How many networks are trained, where the boundary is worth all the closer looks."""
        rich, place = self.closer_pixels
        return self.pixels**2 + LEVELS * rich**2 + len(self.place_zooms) * PLACES * place**2

    @property
    def place_zooms(self) -> list[int]:
        """How much closer places are looked at: where a window is smaller than two pixels, it may miss the boundary."""
        return [ZOOM**level for level in range(1, LEVELS + 1) if 2 * ZOOM**level <= self.pixels]

    def plan(self) -> training.Plan:
        """Return what training would cost if no model diverged, from the cost of one tile."""
        side = min(TILE, self.pixels)
        tile = training.plan(
            maps.pixel_specs(self.specs, np.ones(side**2), np.ones(side**2)), self.datasets, epochs=self.epochs,
            record=self.record, keep_networks=False,
        )  # fmt: skip
        times = self.models / side**2
        kept = 17 * self.models  # speed, epoch of divergence, and whether it converged
        engines = {data: {name: self.models for name in found} for data, found in tile.engines.items()}
        chunks = tile.chunks * round(times)
        return replace(
            tile, models=self.models, cost=tile.cost * times, memory=tile.memory + kept, kept=kept, engines=engines,
            chunks=chunks,
        )  # fmt: skip

    def run(
        self, *, threads: int | None = None, progress: bool | None = None, store: str | Path | None = None,
        executor: Executor | None = None,
    ) -> TrainabilityStudy:  # fmt: skip
        """Train the map and its closer looks tile by tile, and return the study; arguments are those of `train`."""
        folder = None if store is None else Path(store)
        (data,) = self.datasets.values()
        start = time.perf_counter()
        with ExitStack() as held:
            bar = held.enter_context(progress_bar(self.models, progress))
            tiles = held.enter_context(
                Tiles(self.specs, data, self.epochs, folder, self.digest[:12], bar.update, threads, executor)
            )
            whole_map = tiles.map("whole", self.window, self.pixels, 1.0)
            found = [whole_map, *self._richest(tiles, whole_map), *self._places(tiles, whole_map)]
        seconds = time.perf_counter() - start if tiles.trained else 0.0
        return TrainabilityStudy(self, self._examples(whole_map), seconds, folder, tuple(found), tiles.trained)

    def _richest(self, tiles: Tiles, within: Map) -> list[Map]:
        """Return maps that look closer and closer, each at the part of the one before with the most of the boundary."""
        found: list[Map] = []
        for level in range(1, LEVELS + 1):
            window = within.window.part(*within.richest(ZOOM), within.pixels, ZOOM)
            if int(within.edge.sum()) < FEWEST_EDGE or not window.fits(self.closer_pixels[0]):
                break
            within = tiles.map(f"rich {level}", window, self.closer_pixels[0], float(ZOOM**level))
            found.append(within)
        return found

    def _places(self, tiles: Tiles, within: Map) -> list[Map]:
        """Return maps of places all along the boundary, at each zoom around the same pixels of it."""
        found: list[Map] = []
        if int(within.edge.sum()) < FEWEST_EDGE:
            return found
        for zoom in self.place_zooms:
            for place in range(PLACES):
                pixel = within.typical((place + 0.5) / PLACES)
                window = within.window.part(*pixel, within.pixels, zoom)
                if window.fits(self.closer_pixels[1]):
                    name = f"place {place + 1}, {zoom}"
                    found.append(tiles.map(name, window, self.closer_pixels[1], float(zoom)))
        return found

    def _examples(self, found: Map) -> Result:
        """Return networks whose losses are drawn, all epochs: of fast and of slow pixels, converged and diverged."""
        speed = found.speed.ravel()
        order = np.argsort(speed)  # the slowest of those that converged first, the fastest of those that did not next
        shares = [places for places in (order[speed[order] <= 0], order[speed[order] > 0]) if len(places)]
        chosen = np.concatenate([
            places[[len(places) // 50, len(places) // 2, -1 - len(places) // 50]] for places in shares
        ])  # fmt: skip
        hidden, output = found.window.rates(found.pixels)
        specs = maps.pixel_specs(self.specs, hidden[chosen % found.pixels], output[chosen // found.pixels])
        return training.train(
            specs, self.datasets, epochs=self.epochs, record=range(self.epochs + 1), progress=False, threads=1,
            keep_networks=False,
        )  # fmt: skip

    def forget(self, store: str | Path) -> None:
        """Remove from a run folder what this training would take from there, and nothing else."""
        maps.forget(Path(store), self.digest[:12])
