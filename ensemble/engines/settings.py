"""The settings of models as the rules and the kernels take them: factors by kind of parameters, and the whole of them.

From the columns of specs to the arguments of `rules.optimizers.update`, and to `Rules` of the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensemble.rules import optimizers
from ensemble.rules.batches import effective
from ensemble.rules.losses import LOSSES
from ensemble.specs import Specs
from ensemble.system.streams import BATCHES, pools

if TYPE_CHECKING:  # kernels load numba, which nobody waits for before the first training
    from ensemble.kernels.updates import Rules

__all__ = ["kernel_rules", "kind_factors"]

Array = NDArray[np.float64]


def kind_factors(specs: Specs) -> tuple[Array, Array]:
    """Return the factors of the learning rate (M, 5), columns as `optimizers.KINDS`, and the weight decays (M, 5).

    The model's own factors are part of both, mu-P's of the first only. A factor of 0 freezes.
    """
    own = optimizers.own_factors(specs.hidden_lr_factor, specs.output_lr_factor)
    mup = optimizers.layer_factors(specs.optimizer, specs.width, specs.parametrization == "mup")
    return own * mup, own * specs.weight_decay[:, None]


def kernel_rules(specs: Specs, epochs: int, n_train: int, loss: str = "mse", outputs: int = 1) -> Rules:
    """Return how the models are trained on so many samples, as kernels take it."""
    from ensemble.kernels.updates import Rules

    factors, decays = kind_factors(specs)
    batch_size, drawn_from = effective(specs.batch_size, n_train), np.zeros((len(specs), 4), dtype=np.uint64)
    if batch_size.any():
        drawn_from[:] = np.stack(pools(specs.seed, BATCHES), axis=1)
    columns = (
        specs.codes("optimizer"),
        specs.codes("schedule"),
        specs.lr,
        specs.momentum,
        specs.beta2,
        decays,
        specs.hidden_bias,
        specs.output_bias,
        optimizers.rate_factors(epochs),
        factors,
        (factors != 1.0).any(axis=1) | (decays != specs.weight_decay[:, None]).any(axis=1),
        batch_size,
        drawn_from,
    )
    writeable: list[Any] = [np.array(values, order="C") for values in columns]  # read-only is another type to numba
    return Rules._make([*writeable, list(LOSSES).index(loss), outputs])
