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


def initialize(specs: Specs, n_inputs: int = 1, scales: Mapping[str, Scale] | None = None) -> NetworkStack:
    """Return the initial networks.

    A model's weights depend on its seed, width, init, init_scale and parametrization alone. The stream of a seed
    holds biases[1] first, then (weights[0] of D inputs, biases[0], weights[1]) unit by unit: a narrow network is the
    first units of a wide one (up to the factor that some take from the width), and biases that are switched off are
    drawn all the same, so that ablations are paired.

    Parameters
    ----------
    specs : Specs
    n_inputs : int
        D >= 1.
    scales : dict of Scale by dataset name, optional

    Raises
    ------
    ValueError
        `n_inputs` is not allowed, or the networks need more memory than there is.

    Notes
    -----
    "he": He et al. 2015, eq. 10, for both layers. "uniform": the default of PyTorch's Linear. "mup" divides the
    spread of weights[1] as the table in `optimizers.layer_factors` says.
    """
    n_inputs = whole(n_inputs, "n_inputs", 1)
    needed = int(weight_bytes(specs.width, n_inputs).sum())
    memory.require(needed, f"{len(specs):,} networks", "take fewer or narrower models")
    networks = NetworkStack(specs, n_inputs, scales)
    for width in np.unique(specs.width).tolist():
        stack = networks.stack(width, units="training")
        block = max(1, _DRAW_BYTES // (8 * width * (n_inputs + 2)))
        for first in range(0, len(stack.models), block):
            some = slice(first, first + block)
            weights, biases = (tuple(a[some] for a in arrays) for arrays in (stack.weights, stack.biases))
            _fill(Stack(stack.models[some], weights, biases), specs)
    return networks


def _fill(stack: Stack, specs: Specs) -> None:
    """Write the initial weights of some models of one width into `stack`."""
    chosen = specs[stack.models]
    _, n_inputs, width = stack.weights[0].shape
    uniform, he, fan_in = (chosen.codes("init") == CHOICES["init"].index(c) for c in ("uniform", "he", "fan_in"))
    # Grids over rates and biases repeat the same draw: each is made once.
    keys, which = np.unique(np.stack([chosen.seed, uniform]), axis=1, return_inverse=True)
    drawn = np.empty((keys.shape[1], 1 + width * (n_inputs + 2)))
    for row, generator, is_uniform in zip(drawn, streams.generators(keys[0], streams.WEIGHTS), keys[1], strict=True):
        if is_uniform:
            generator.random(out=row)
        else:
            generator.standard_normal(out=row)
    drawn[keys[1] != 0] = 2.0 * drawn[keys[1] != 0] - 1.0
    units = drawn[:, 1:].reshape(len(drawn), width, n_inputs + 2)[which]
    normal = chosen.init_scale
    scaled, gain = uniform | fan_in | he, np.where(he, np.sqrt(2.0), 1.0)
    first = np.where(scaled, gain / np.sqrt(n_inputs), normal)
    second = np.where(scaled, gain / np.sqrt(width), normal)
    mup = chosen.codes("parametrization") == CHOICES["parametrization"].index("mup")
    second_weights = second * np.where(mup, np.where(scaled, 1.0 / np.sqrt(width), 1.0 / width), 1.0)
    stack.weights[0][:] = np.swapaxes(units[:, :, :n_inputs], 1, 2) * first[:, None, None]
    stack.biases[0][:] = units[:, :, n_inputs] * (first * (chosen.hidden_bias & ~he))[:, None]
    stack.weights[1][..., 0] = units[:, :, -1] * second_weights[:, None]
    stack.biases[1][:, 0] = drawn[which, 0] * (second * (chosen.output_bias & ~he))
