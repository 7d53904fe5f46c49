"""Initial weights from seeds: each model's come from a stream of its own, whatever models are beside it.

Between `specs` and `training`, which starts from `initialize`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensemble.data import Scale
from ensemble.networks.layout import weight_bytes
from ensemble.networks.stack import NetworkStack, Stack
from ensemble.specs import CHOICES, Specs
from ensemble.system import memory, streams
from ensemble.system.checks import whole

__all__ = ["initialize"]

Array = NDArray[np.float64]

_DRAW_BYTES = 16 * 2**20  # of random draws held at once


def initialize(
    specs: Specs, n_inputs: int = 1, scales: Mapping[str, Scale] | None = None, n_outputs: int = 1
) -> NetworkStack:
    """Return the initial networks.

    A model's weights depend on its seed, width, hidden_layers, init, init_scale and parametrization, and on D and O
    alone. One stream of its seed holds the output bias first, then (weights[0] of D inputs, biases[0], weight to the
    first output) unit by unit. Each further output has its own: its bias, then its weights unit by unit. Each further
    hidden layer l has its own: for j = 0, 1, ... it holds weights[l][: j + 1, j], weights[l][j, :j] and
    biases[l][j]. So a narrow network is the first units of a wide one in every layer (up to the factor that some take
    from the width), a shallow one has the first and the output layer of a deep one, one with few outputs has the first
    ones of one with more, and biases that are switched off
    are drawn all the same, so that ablations are paired.

    Parameters
    ----------
    specs : Specs
    n_inputs : int
        D >= 1.
    scales : dict of Scale by dataset name, optional
    n_outputs : int
        O >= 1.

    Raises
    ------
    ValueError
        `n_inputs` or `n_outputs` is not allowed, or the networks need more memory than there is.

    Notes
    -----
    "he": He et al. 2015, eq. 10, for all layers. "uniform": the default of PyTorch's Linear. "mup" changes the spread
    of the weights behind the first layer as the table in `optimizers.layer_factors` says.
    """
    n_inputs, n_outputs = whole(n_inputs, "n_inputs", 1), whole(n_outputs, "n_outputs", 1)
    needed = int(weight_bytes(specs.width, n_inputs, specs.hidden_layers, n_outputs).sum())
    memory.require(needed, f"{len(specs):,} networks", "take fewer or smaller models")
    networks = NetworkStack(specs, n_inputs, scales, n_outputs=n_outputs)
    for width, hidden_layers in networks.shapes():
        stack = networks.stack(width, hidden_layers, units="training")
        most = width * max(n_inputs + 2, (width + 1) * (hidden_layers > 1))  # draws from one stream
        block = max(1, _DRAW_BYTES // (8 * most))
        for first in range(0, len(stack.models), block):
            some = slice(first, first + block)
            weights, biases = (tuple(a[some] for a in arrays) for arrays in (stack.weights, stack.biases))
            _fill(Stack(stack.models[some], weights, biases), specs)
    return networks


def _fill(stack: Stack, specs: Specs) -> None:
    """Write the initial weights of some models of one shape into `stack`."""
    chosen = specs[stack.models]
    _, n_inputs, width = stack.weights[0].shape
    uniform, he, fan_in = (chosen.codes("init") == CHOICES["init"].index(c) for c in ("uniform", "he", "fan_in"))
    # Grids over rates and biases repeat the same draw: each is made once.
    keys, which = np.unique(np.stack([chosen.seed, uniform]), axis=1, return_inverse=True)
    normal = chosen.init_scale
    scaled, gain = uniform | fan_in | he, np.where(he, np.sqrt(2.0), 1.0)
    first = np.where(scaled, gain / np.sqrt(n_inputs), normal)
    later = np.where(scaled, gain / np.sqrt(width), normal)
    mup = chosen.codes("parametrization") == CHOICES["parametrization"].index("mup")
    output = later * np.where(mup, np.where(scaled, 1.0 / np.sqrt(width), 1.0 / width), 1.0)
    drawn = _draw(keys, 1 + width * (n_inputs + 2), streams.WEIGHTS)
    units = drawn[:, 1:].reshape(len(drawn), width, n_inputs + 2)[which]
    stack.weights[0][:] = np.swapaxes(units[:, :, :n_inputs], 1, 2) * first[:, None, None]
    stack.biases[0][:] = units[:, :, n_inputs] * (first * (chosen.hidden_bias & ~he))[:, None]
    stack.weights[-1][..., 0] = units[:, :, -1] * output[:, None]
    output_bias = later * (chosen.output_bias & ~he)
    stack.biases[-1][:, 0] = drawn[which, 0] * output_bias
    for o in range(1, stack.biases[-1].shape[1]):
        drawn = _draw(keys, 1 + width, streams.OUTPUTS, o)[which]
        stack.biases[-1][:, o] = drawn[:, 0] * output_bias
        stack.weights[-1][..., o] = drawn[:, 1:] * output[:, None]
    hidden = np.where(mup & ~scaled, later / np.sqrt(width), later)
    for layer in range(1, len(stack.weights) - 1):
        drawn = _draw(keys, width * (width + 1), streams.HIDDEN, layer)[which]
        weights, biases = stack.weights[layer], stack.biases[layer]
        for j in range(width):
            at = j * (j + 1)
            weights[:, : j + 1, j] = drawn[:, at : at + j + 1]
            weights[:, j, :j] = drawn[:, at + j + 1 : at + 2 * j + 1]
            biases[:, j] = drawn[:, at + 2 * j + 1]
        weights *= hidden[:, None, None]
        biases *= (later * (chosen.hidden_bias & ~he))[:, None]


def _draw(keys: NDArray[np.int64], count: int, *purpose: int) -> Array:
    """Return the first draws of the streams of K seeds, (K, count); `keys` (2, K): the seeds, and 1 for U(-1, 1)."""
    drawn = np.empty((keys.shape[1], count))
    for row, generator, is_uniform in zip(drawn, streams.generators(keys[0], *purpose), keys[1], strict=True):
        if is_uniform:
            generator.random(out=row)
        else:
            generator.standard_normal(out=row)
    drawn[keys[1] != 0] = 2.0 * drawn[keys[1] != 0] - 1.0
    return drawn
