"""What stands beside the depth study's curves: other initial weights, and what is possible on a sawtooth.

`study` fills these from its models; they hold rows, words, and what `figures` draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis import Bounds, Curve, multiply_adds, percent
from ensemble.data import Dataset
from ensemble.limits import sawtooth_network
from ensemble.networks import Network
from ensemble.specs import CHOICES
from ensemble.statistics import bootstrap_interval, quartiles

__all__ = ["InitialWeights", "Sawtooth", "compared", "half", "teeth_of"]

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

COMPARED = (
    "reciprocal_sine",
    "quadratic",
    "chirp",
)  # on which all initial weights are compared, where they are asked for
LEARNED = 0.01  # of the variance: a sawtooth that is learned leaves at most so much


def compared(names: Sequence[str]) -> list[str]:
    """Return the datasets on which initial weights are compared."""
    return [name for name in COMPARED if name in names] or list(names[:1])


def half(seeds: Sequence[int]) -> list[int]:
    """Return the seeds with which they are compared: half of them, two at least."""
    return list(seeds[: max(2, len(seeds) // 2)])


def teeth_of(datasets: Mapping[str, Dataset]) -> tuple[str, int] | None:
    """Return the name of the first dataset that is a sawtooth of two teeth or more, and its k."""
    for name, dataset in datasets.items():
        function = None if dataset.target is None else dataset.target.function
        if isinstance(function, partial) and function.keywords.get("k", 1) > 1:
            return name, int(function.keywords["k"])
    return None


@dataclass(frozen=True)
class InitialWeights:
    """Initial weights compared at one computation.

    Attributes
    ----------
    hidden_layers : list of int
    width : int
        Of the deepest network.
    spent : int
        Multiply-adds per sample.
    errors : dict of (depths, S) by dataset, optimizer and initial weights
        Test MSE at the best learning rate.
    spread : dict of (S, L + 2) by initial weights
        What each layer of the deepest network passes on before training; see `analysis.layer_spread`.
    """

    hidden_layers: list[int]
    width: int
    spent: int
    errors: dict[tuple[str, str, str], Floats]
    spread: dict[str, Floats]

    def score(self, init: str, place: int | None = None) -> float:
        """Return the mean ratio of the median error with these weights to the best, of all depths or of one.

        The mean is that of logarithms, over datasets and optimizers; where all diverged the ratio is 1.
        """
        medians = {key: quartiles(errors)[1] for key, errors in self.errors.items()}
        own = np.log([found for key, found in medians.items() if key[2] == init])  # (cells, depths)
        cells = [(data, name) for data, name, each in self.errors if each == init]
        best = np.log([np.min([medians[*cell, each] for each in self.spread], axis=0) for cell in cells])
        logs = np.subtract(own, best, out=np.zeros_like(own), where=own != best)
        return float(np.exp(np.mean(logs if place is None else logs[:, place])))

    def rows(self, figure: str) -> Rows:
        """Return the rows of `summary.csv`."""
        rows: Rows = []
        for init, spread in self.spread.items():
            head = {"figure": figure, "measure": "spread_of_layer", "init": init, "width": self.width}
            head["hidden_layers"] = self.hidden_layers[-1]
            medians = np.median(spread, axis=0).tolist()
            rows += [head | {"layer": layer, "median": value} for layer, value in enumerate(medians)]
        for (data, optimizer, init), errors in self.errors.items():
            head = {"figure": figure, "data": data, "optimizer": optimizer, "init": init, "measure": "test_loss"}
            rows += depth_rows(head, self.hidden_layers, errors)
        return rows

    def lines(self) -> list[str]:
        """Return a table for the terminal."""
        lines = []
        for data, optimizer in dict.fromkeys(key[:2] for key in self.errors):
            words = f"initial weights at {self.spent:,} multiply-adds, {data}, {optimizer}: median test MSE"
            lines.append(words + "".join(f", L = {depth}" for depth in self.hidden_layers))
            for init in CHOICES["init"]:
                medians = quartiles(self.errors[data, optimizer, init])[1]
                lines.append(f"  {init:13}" + "".join(f"{value:10.2e} " for value in medians).rstrip())
        scores = ", ".join(f"{init} {self.score(init):.3g}" for init in CHOICES["init"])
        return [*lines, f"  times the error of the best, in the mean of all these: {scores}"]


@dataclass(frozen=True)
class Sawtooth:
    """What is possible on a sawtooth of 2^(k-1) teeth, and what training finds.

    Attributes
    ----------
    name : str
        Of the dataset.
    k : int
    dataset : Dataset
    floor : Bounds
        What no network of one hidden layer can pass, by width, up to one unit for each bend.
    curves : list of Curve
        Trained networks, one curve per depth.
    left : dict of (k, S) by hidden layers
        Test MSE as a share of the variance on sawtooths of 1, 2, 4, ... teeth, at one computation.
    """

    name: str
    k: int
    dataset: Dataset
    floor: Bounds
    curves: list[Curve]
    left: dict[int, Floats]

    @property
    def network(self) -> Network:
        """The network of width 2 that is the sawtooth exactly."""
        return sawtooth_network(self.k)

    @property
    def spent(self) -> int:
        """Its multiply-adds per sample."""
        return int(multiply_adds(2, self.k))

    def built_error(self, part: str) -> float:
        """Return its MSE on a part of the data, which the noise alone makes."""
        x, y = self.dataset.parts()[part]
        return float(np.mean((self.network.predict(x) - y) ** 2))

    @property
    def trained(self) -> float:
        """Least median test MSE of all trained networks, as a share of the variance."""
        variance = float(np.var(self.dataset.parts()["test"][1]))
        return min(float(curve.quartiles[1].min()) for curve in self.curves) / variance

    @property
    def learned(self) -> int:
        """Number of teeth of the largest sawtooth of which some depth leaves at most 1% of the variance; 0: none."""
        best = np.min([np.median(left, axis=1) for left in self.left.values()], axis=0)
        found = np.flatnonzero(best <= LEARNED)
        return int(2 ** found[-1]) if len(found) else 0

    @property
    def answer(self) -> str:
        """What is possible, and what training finds of it, in a sentence."""
        teeth, most = 2 ** (self.k - 1), self.learned
        found = f"up to {most} of {teeth} teeth" if most else "not even one tooth"
        return (
            f"The sawtooth of {teeth} teeth is exactly a network of {2 * self.k} units in {self.k} layers, and no "
            f"network of fewer than {2**self.k - 1} in one; training leaves {percent(self.trained)} of its variance "
            f"or more, and learns {found} to 1%."
        )

    def rows(self, figure: str) -> Rows:
        """Return the rows of `summary.csv`."""
        head = {"figure": figure, "data": self.name}
        rows: Rows = [
            head | {"measure": "train_mse_floor", "hidden_layers": 1, "width": width, "median": value}
            for width, value in zip(self.floor.width.tolist(), self.floor.floor.tolist(), strict=True)
        ]
        built = {"measure": "train_mse_built", "hidden_layers": self.k, "width": 2, "multiply_adds": self.spent}
        rows.append(head | built | {"median": self.built_error("train")})
        for curve in self.curves:
            rows += curve.error_rows(figure, "train_loss")
        for place in range(self.k):
            head = {"figure": figure, "data": f"sawtooth-{place + 1}", "measure": "test_share_of_variance"}
            rows += depth_rows(head, list(self.left), np.array([left[place] for left in self.left.values()]))
        return rows


def depth_rows(head: Mapping[str, Any], depths: Sequence[int], errors: Floats) -> Rows:
    """Return one row per depth of errors (depths, S): the median and its interval."""
    low, high = bootstrap_interval(errors)
    columns = zip(depths, quartiles(errors)[1].tolist(), low.tolist(), high.tolist(), strict=True)
    return [
        {**head, "hidden_layers": depth, "seeds": errors.shape[1], "median": median, "ci_low": low, "ci_high": high}
        for depth, median, low, high in columns
    ]
