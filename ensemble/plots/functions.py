"""Pictures of any result or network in one call, whether a study made it or not.

Each function finds what its display needs, draws it, and returns the display: `display.figure_.savefig("file.png")`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from ensemble.analysis import Curve, Fit, curves_of, histories_of, interval_of, varied
from ensemble.data import Dataset
from ensemble.networks import Network
from ensemble.plots.curves import LearningCurveDisplay, WidthCurveDisplay
from ensemble.plots.fits import FitDisplay
from ensemble.plots.rates import LearningRateMapDisplay
from ensemble.results import Result

__all__ = ["fit", "learning_curves", "learning_rate_map", "width_curves"]

MOST = 12  # curves that can be told apart
POINTS = 500  # of a fitted curve
WORDS = {"train": "training", "val": "validation", "test": "test"}


def learning_curves(
    result: Result, *, part: str = "", by: Sequence[str] | None = None, ax: Axes | None = None
) -> LearningCurveDisplay:
    """Draw the loss against epoch: median and interquartile range over seeds, a line for each kind of model.

    Parameters
    ----------
    result : Result
    part : {"train", "val", "test"}
        Of the data; default: "test" where the result has it, else "train".
    by : sequence of str, optional
        Columns of the specs that tell the kinds apart; default: all in which models differ, beside the seed.
    ax : Axes, optional
        Default: a figure of its own.

    Returns
    -------
    LearningCurveDisplay

    Raises
    ------
    ValueError
        A part or a column that there is not, or more than 12 kinds of model.

    Examples
    --------
    >>> import ensemble
    >>> from ensemble import plots
    >>> data = ensemble.sample("quadratic", n=60, seed=0)
    >>> result = ensemble.train(ensemble.grid(width=[2, 8], seed=range(3)), data, epochs=5)
    >>> len(plots.learning_curves(result).lines_)
    2
    """
    part = part or ("test" if "test" in result.parts else "train")
    curves = histories_of(result, part, by)
    if len(curves) > MOST:
        names = ", ".join(varied(result, "seed") if by is None else by)
        raise ValueError(
            f"{len(curves)} kinds of model differ in {names}; at most {MOST} can be told apart: give by=[...], or a "
            "part of the result such as result[result.specs.lr == 0.1]"
        )
    display = LearningCurveDisplay(curves, part=WORDS[part]).plot(ax)
    if result.origin.loss != "mse":
        display.ax_.set_ylabel(f"{WORDS[part]} {result.origin.loss.replace('_', ' ')}")
    return display


def width_curves(result: Result, *, data: str | None = None, ax: Axes | None = None) -> WidthCurveDisplay:
    """Draw the test error against width, each width at the learning rate that is best on validation data.

    Parameters
    ----------
    result : Result
        With validation and test errors; a full grid of widths, learning rates and seeds for each kind of model.
    data : str, optional
        Name of a dataset; default: the first.
    ax : Axes, optional
        Default: a figure of its own.

    Returns
    -------
    WidthCurveDisplay
        A curve for each kind of model, such as an optimizer.

    Raises
    ------
    ValueError
        No such dataset, no full grid, or no validation or test error.
    """
    display = WidthCurveDisplay(_few(curves_of(result, data))).plot(ax)
    if result.origin.loss != "mse":
        display.ax_.set_ylabel(f"test {result.origin.loss.replace('_', ' ')}")
    return display


def learning_rate_map(result: Result, *, data: str | None = None, ax: Axes | None = None) -> LearningRateMapDisplay:
    """Draw the validation error over learning rate and width, for a result of one kind of model.

    Parameters, errors and what the result must hold are as in `width_curves`; more than one kind is an error too.
    """
    curves = curves_of(result, data)
    if len(curves) > 1:
        raise ValueError(
            f"a map is of one kind of model; this result has {', '.join(curve.label for curve in curves)}: give a part "
            "of it, such as result[result.specs.optimizer == 'adam']"
        )
    return LearningRateMapDisplay(curves[0]).plot(ax)


def fit(
    networks: Network | Mapping[str, Network] | Sequence[Network], data: Dataset, *, part: str = "train",
    ax: Axes | None = None,
) -> FitDisplay:  # fmt: skip
    """Draw what networks of one input predict, over the data.

    Parameters
    ----------
    networks : Network, sequence of Network, or dict of Network by label
        Such as ``result.networks[7]``, or one read from a file.
    data : Dataset
        With one input and one output.
    part : {"train", "val", "test"}
        Whose samples are drawn.
    ax : Axes, optional
        Default: a figure of its own.

    Returns
    -------
    FitDisplay

    Raises
    ------
    ValueError
        Several inputs or outputs, a part that the data does not have, or no network.

    Examples
    --------
    >>> import ensemble
    >>> from ensemble import plots
    >>> data = ensemble.sample("quadratic", n=60, seed=0)
    >>> result = ensemble.train(ensemble.grid(width=8), data, epochs=5)
    >>> display = plots.fit(result.networks[0], data)
    """
    if data.n_inputs > 1 or np.ndim(data.y_train) > 1:
        shape = np.shape(data.y_train)
        raise ValueError(f"data has {data.n_inputs} inputs and y of shape {shape}; a fit is drawn for one of each")
    if part not in data.parts():
        raise ValueError(f"part {part!r} is not in this data; it has {', '.join(data.parts())}")
    if isinstance(networks, Network):
        named = {"network": networks}
    elif isinstance(networks, Mapping):
        named = dict(networks)
    else:
        named = {f"network {place}": network for place, network in enumerate(networks)}
    if not named:
        raise ValueError("networks is empty; give at least one")
    for label, network in named.items():
        if len(network.biases[-1]) > 1:
            raise ValueError(f"{label!r} has {len(network.biases[-1])} outputs; a fit is drawn for one")
    x = np.linspace(*interval_of(data), POINTS)
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a diverged model
        fits = [Fit(label, place, -1, x, network.predict(x)) for place, (label, network) in enumerate(named.items())]
    return FitDisplay.over(fits, data, part).plot(ax)


def _few(curves: Sequence[Curve]) -> Sequence[Curve]:
    if len(curves) > MOST:
        raise ValueError(f"{len(curves)} kinds of model are in this result; at most {MOST} can be told apart")
    return curves
