"""What a window shows, computed from the settings: trained networks, their fits by epoch, and error against width.

`compute` is the work of a window's worker; the views draw what it yields, and hold no numbers of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import Curve, bounds_of, choose, interval_of
from ensemble.data import Dataset
from ensemble.networks import Network
from ensemble.play.models import loss_of, specs_of, widths_of
from ensemble.play.settings import Settings
from ensemble.play.source import dataset_of
from ensemble.results import Result
from ensemble.statistics import quartiles

__all__ = ["Fits", "Picture", "Plane", "compute"]

Floats = NDArray[np.float64]
Train = Callable[..., Result]  # `ensemble.train`, with the window's pool

FRAMES, POINTS, PIXELS = 16, 160, 48  # epochs of the slider, points of a fit, and of an image's side
_FRAME_BYTES = 200 * 2**20  # of all snapshots together: fewer frames for large networks


@dataclass(frozen=True)
class Fits:
    """One input: the networks' predictions at `x` (G,), for F epochs and S seeds.

    Attributes
    ----------
    x : (G,)
    predictions : (F, S, G)
    quartiles : (F, 3, G)
        Over the seeds, at each x.
    kinks : F arrays (2, K)
        Where the typical network bends, and what it predicts there.
    """

    x: Floats
    predictions: Floats
    quartiles: Floats
    kinks: list[Floats]


@dataclass(frozen=True)
class Plane:
    """Two inputs: images over a square from `low` to `high`, both (2,), for F epochs.

    Attributes
    ----------
    low, high : (2,)
    typical : (F, G, G)
        The typical network's logits, rows along the second input; above 0 for class 1.
    minority : (F, G, G)
        The share of the networks, 0 to 1/2, whose class is not that of the others.
    accuracy : (S,)
        The share of test points that each network puts on the right side, after the last epoch.
    """

    low: Floats
    high: Floats
    typical: Floats
    minority: Floats
    accuracy: Floats


@dataclass(frozen=True)
class Picture:
    """What is shown of one choice of settings.

    Attributes
    ----------
    settings : Settings
    data : Dataset
    curve : Curve
        Error against width; of one width alone until the others are trained.
    result : Result
        The S networks that are shown, at the learning rate that was chosen, ordered by seed.
    frames : (F,) int
        The epochs of the slider.
    typical : int
        Which of them has the median test error.
    view : Fits or Plane
    floor : (W,) or None
        Training errors that no network of the curve's widths can be below; 0 where there is no such bound.
    complete : bool
        Whether all widths are there.
    """

    settings: Settings
    data: Dataset
    curve: Curve
    result: Result
    frames: NDArray[np.int64]
    typical: int
    view: Fits | Plane
    floor: Floats | None
    complete: bool


def compute(settings: Settings, content: bytes | None, train: Train) -> Iterator[Picture]:
    """Yield the picture of the chosen width first, then the one with all widths.

    Parameters
    ----------
    settings : Settings
    content : bytes or None
        Of the student's file.
    train : callable
        `ensemble.train`, or the same that can be stopped.

    Raises
    ------
    ValueError
        Data that cannot be used, or more memory than there is.
    """
    data = dataset_of(settings, content)
    how: dict[str, Any] = {"epochs": settings.epochs, "loss": loss_of(settings), "progress": False}
    specs = specs_of(settings, [settings.width])
    tried = train(specs, data, **how, record=[], keep_networks=False)
    curve = choose(specs, tried, settings.optimizer, "data")
    shown, typical = curve.chosen_models[0], int(np.flatnonzero(curve.chosen_models[0] == curve.typical_models[0])[0])
    frames = _frames(settings, data)
    # Once more, with what is drawn: a model's bits do not depend on its company, and most of those tried are not shown.
    result = train(specs[shown], data, **how, snapshots=frames.tolist())
    view = _plane(result, data, frames, typical) if data.n_inputs == 2 else _fits(result, data, frames, typical)
    picture = Picture(settings, data, curve, result, frames, typical, view, _floor(settings, data, curve.width), False)
    yield picture

    specs = specs_of(settings, widths_of(settings))
    others = train(specs, data, **how, record=[], keep_networks=False)
    curve = choose(specs, others, settings.optimizer, "data")
    floor = _floor(settings, data, curve.width)
    yield Picture(settings, data, curve, result, frames, typical, view, floor, True)


def _frames(settings: Settings, data: Dataset) -> NDArray[np.int64]:
    """Return the epochs of the slider, geometric; fewer where the snapshots would be large."""
    parameters = settings.seeds * settings.width * (data.n_inputs + 2 + settings.width * (settings.hidden_layers - 1))
    count = int(np.clip(_FRAME_BYTES // (8 * parameters), 4, FRAMES))
    steps = np.round(np.geomspace(1, settings.epochs, count - 1)).astype(np.int64)
    return np.unique(np.concatenate([[0], steps]))


def _fits(result: Result, data: Dataset, frames: NDArray[np.int64], typical: int) -> Fits:
    x = np.linspace(*interval_of(data), POINTS)
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
        predictions = np.stack([result.snapshots[epoch].predict(x) for epoch in frames.tolist()])
        kinks = [_kinks(result.snapshots[epoch][typical], x) for epoch in frames.tolist()]
    bounded = np.where(np.isfinite(predictions), predictions, np.inf)
    return Fits(x, predictions, quartiles(bounded.transpose(0, 2, 1)).transpose(1, 0, 2), kinks)


def _kinks(network: Network, x: Floats) -> Floats:
    """Return where a network with one input bends between x[0] and x[-1], and its predictions there, (2, K)."""
    at = np.linspace(x[0], x[-1], 4 * len(x))
    h, found = at[:, None], []
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        z = h @ w + b
        here, unit = np.nonzero((z[:-1] > 0) != (z[1:] > 0))
        before, after = z[here, unit], z[here + 1, unit]
        found.append(at[here] + (at[1] - at[0]) * before / (before - after))  # exact where nothing else bends between
        h = np.maximum(z, 0.0)
    kinks = np.concatenate(found)
    kinks = np.sort(kinks[np.isfinite(kinks)])
    return np.stack([kinks, network.predict(kinks)])


def _plane(result: Result, data: Dataset, frames: NDArray[np.int64], typical: int) -> Plane:
    low, high = data.x_train.min(axis=0), data.x_train.max(axis=0)
    middle, side = (low + high) / 2, 1.1 * (high - low).max() / 2
    low, high = middle - side, middle + side
    # Pixels are drawn around their middles.
    axes = [low[i] + (np.arange(PIXELS) + 0.5) / PIXELS * (high[i] - low[i]) for i in range(2)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    typical_images, minority = [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch in frames.tolist():
            p = result.snapshots[epoch].predict(points).reshape(-1, PIXELS, PIXELS)
            share = (p > 0.0).mean(axis=0)
            typical_images.append(p[typical])
            minority.append(np.minimum(share, 1.0 - share))
    return Plane(low, high, np.stack(typical_images), np.stack(minority), result.test_accuracy[:, -1])


def _floor(settings: Settings, data: Dataset, widths: NDArray[np.int64]) -> Floats | None:
    """Return what no network of these widths can be below on the training data, None where nothing is known."""
    if data.n_inputs > 1:
        return None
    # H units in each of L layers cut the line into (H + 1)^L pieces at most: as one layer of that many units less one.
    pieces = (widths.astype(np.float64) + 1.0) ** settings.hidden_layers
    as_one = np.minimum(pieces - 1.0, data.n_train).astype(np.int64)
    bounds = bounds_of("data", data, as_one, built=())
    if bounds is None:
        return None
    floor = bounds.floor[np.searchsorted(bounds.width, as_one)]
    if not settings.hidden_bias:
        floor = np.maximum(floor, bounds.no_bias["output bias only" if settings.output_bias else "no bias"])
    return floor
