"""Depth against width: networks that cost the same, the pieces of their layers, and what initial weights let through.

Takes trained networks and curves over widths, and leaves arrays that the depth study lists in its tables and draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.analysis.curves import Curve
from ensemble.data import Dataset
from ensemble.networks import Network, NetworkStack
from ensemble.results import Result
from ensemble.statistics import Comparison, compare
from ensemble.training import train

__all__ = [
    "VERDICTS", "Deeper", "PieceFilm", "count_pieces", "deeper", "equal_width", "equal_widths", "layer_spread",
    "multiply_adds", "piece_films",
]  # fmt: skip

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

VERDICTS = {
    "more": "depth does more",
    "less": "depth does less",
    "as much": "no clear difference",
    "nothing": "neither learns it",
}


def multiply_adds(width: Any, hidden_layers: int, n_inputs: int = 1) -> Any:
    """Return the multiply-adds per sample of the forward pass by the dense rule: D H + (L - 1) H^2 + H."""
    return (n_inputs + 1) * width + (hidden_layers - 1) * width**2


def equal_width(spent: int, hidden_layers: int, n_inputs: int = 1) -> int:
    """Return the width, at least 1, at which so many hidden layers come nearest to `spent` multiply-adds."""
    more, first = hidden_layers - 1, n_inputs + 1
    exact = (np.sqrt(first**2 + 4 * more * spent) - first) / (2 * more) if more else spent / first
    low = max(1, int(exact))
    return min((low, low + 1), key=lambda width: abs(int(multiply_adds(width, hidden_layers, n_inputs)) - spent))


def equal_widths(widths: Sequence[int], hidden_layers: Sequence[int], n_inputs: int = 1) -> dict[int, list[int]]:
    """Return by depth the widths that spend what one hidden layer of each of `widths` spends.

    Raises
    ------
    ValueError
        A depth would have one width twice.
    """
    spent = [int(multiply_adds(width, 1, n_inputs)) for width in widths]
    found = {depth: [equal_width(each, depth, n_inputs) for each in spent] for depth in hidden_layers}
    for depth, own in found.items():
        if len(set(own)) < len(own):
            raise ValueError(
                f"widths {list(widths)} are too small for {depth} hidden layers, whose widths would be {own}; give "
                "larger ones, or fewer"
            )
    return found


class Deeper(NamedTuple):
    """The best deeper network against the shallowest one for the same computation, at one point of the curves.

    Attributes
    ----------
    curve : Curve
        The one of the deeper networks, chosen on validation data.
    place : int
        Which of the curve's widths.
    comparison : Comparison
        Its test errors (a) against those of the shallowest (b), paired by seed.
    left, deep_left : float
        The lower of the two median test MSEs, and the deeper one's, as shares of the variance of the test data.
    """

    curve: Curve
    place: int
    comparison: Comparison
    left: float
    deep_left: float

    @property
    def hidden_layers(self) -> int:
        """Its number of hidden layers."""
        depth: int = self.curve.settings["hidden_layers"]
        return depth

    @property
    def ratio(self) -> float:
        """Median over seeds of its error / that of the shallowest."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.comparison.median_log_ratio))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `ratio`."""
        with np.errstate(over="ignore"):
            low, high = np.exp(self.comparison.log_ratio_interval)
        return float(low), float(high)

    @property
    def verdict(self) -> str:
        """What depth does: "more" or "less" than width where the interval does not hold 1, "as much" where it does.

        "nothing" where both leave more than half of the variance: where so little is learned, little can be gained.
        """
        low, high = self.interval
        return "nothing" if not self.left <= 0.5 else "more" if high < 1 else "less" if low > 1 else "as much"

    @property
    def says(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict]

    @property
    def words(self) -> str:
        """The depth and the ratio with its interval, such as "4 layers: 0.41x the error [0.35, 0.5]"."""
        low, high = self.interval
        return f"{self.hidden_layers} layers: {self.ratio:.3g}x the error [{low:.3g}, {high:.3g}]"


def deeper(curves: Sequence[Curve], place: int, variance: float) -> Deeper:
    """Return the best of the deeper networks against the shallowest, at one computation.

    Parameters
    ----------
    curves : sequence of Curve
        One per number of hidden layers, the shallowest first; widths at one place cost the same.
    place : int
    variance : float
        Of the test data.
    """
    shallow, *others = curves
    best = min(others, key=lambda curve: float(curve.validation_median[place].min()))
    pair = best.errors[place], shallow.errors[place]
    comparison = compare(*pair, best.seeds, shallow.seeds)
    left = np.median(pair, axis=1) / variance
    return Deeper(best, place, comparison, float(left.min()), float(left[0]))


# ---- pieces ----


@dataclass(frozen=True)
class PieceFilm:
    """How many linear pieces each hidden layer of one model has, from the initial network to the last: T epochs.

    Attributes
    ----------
    data : str
    model, width : int
        Row of the study's specs, and H.
    epochs : (T,) int
    pieces : (T, L) int
    """

    data: str
    model: int
    width: int
    epochs: Integers
    pieces: Integers

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `pieces.csv`: one per epoch and layer, with the number of units up to that layer."""
        head = {"data": self.data, "model": self.model, "width": self.width, "hidden_layers": self.pieces.shape[1]}
        return [
            head | {"epoch": epoch, "layer": layer, "units": layer * self.width, "pieces": count}
            for epoch, counts in zip(self.epochs.tolist(), self.pieces.tolist(), strict=True)
            for layer, count in enumerate(counts, start=1)
        ]


def count_pieces(network: Network, x: Floats) -> Integers:
    """Return the number of linear pieces of each hidden layer among samples, (L,).

    A piece of a layer is a run of neighbouring samples on which no unit of this layer, or of one before it, switches:
    there the layer's values are straight lines of x.

    Parameters
    ----------
    network : Network
        With one input.
    x : (N,)
        Ascending, in the data's own units.
    """
    h = x[:, None]
    switched = np.zeros(len(x) - 1, dtype=np.bool_)
    pieces = []
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
        for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
            z = h @ w + b
            switched |= ((z[1:] > 0) != (z[:-1] > 0)).any(axis=1)
            pieces.append(1 + int(switched.sum()))
            h = np.maximum(z, 0.0)
    return np.array(pieces, dtype=np.int64)


def piece_films(models: Integers, result: Result, datasets: dict[str, Dataset], frames: int = 40) -> list[PieceFilm]:
    """Return the films of a few models of a study, with one input.

    The models are trained once more, with snapshots, as for the films of kinks: these are the same networks.
    """
    last = int(result.epochs[-1])
    epochs = np.unique([0, *(np.geomspace(1, last, frames).astype(np.int64) if last else [])]).astype(np.int64)
    specs = result.specs[models]
    again = train(specs, datasets, epochs=last, record=[], snapshots=epochs.tolist(), progress=False)
    films = []
    for i, model in enumerate(models.tolist()):
        name = str(specs.data[i])
        x = np.sort(datasets[name].x_train[:, 0])
        pieces = np.array([count_pieces(again.snapshots[epoch][i], x) for epoch in epochs.tolist()])
        films.append(PieceFilm(name, model, int(specs.width[i]), epochs, pieces))
    return films


# ---- initial weights ----


def layer_spread(networks: NetworkStack, x: Floats) -> Floats:
    """Return how much of the inputs each layer of networks of one depth passes on, (M, L + 2).

    The root mean square over a layer's units of their standard deviation over the samples, as a share of that of the
    inputs: first the inputs themselves (1), then each hidden layer, last the output.

    Parameters
    ----------
    networks : NetworkStack
    x : (N, D)
    """
    found = []
    for network in networks:
        values = [x]
        for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
            values.append(np.maximum(values[-1] @ w + b, 0.0))
        values.append(values[-1] @ network.weights[-1] + network.biases[-1])
        found.append([np.sqrt(np.mean(np.var(one, axis=0))) for one in values])
    spread = np.array(found)
    return np.asarray(spread / spread[:, :1])
