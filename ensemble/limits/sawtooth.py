"""Telgarsky's network: a sawtooth of 2^k pieces that is exactly a network of k hidden layers of two units.

A network that exists, as those of `built`, but written down and not searched for; the depth study draws it.
"""

from __future__ import annotations

import numpy as np

from ensemble.networks import Network
from ensemble.system.checks import whole

__all__ = ["sawtooth_network"]


def sawtooth_network(k: int) -> Network:
    """Return the network of width 2 with k hidden layers that is the target "sawtooth-k" on [0, 1].

    On [0, 1] the tent 1 - |2t - 1| is 2 relu(t) - 4 relu(t - 1/2). Each hidden layer holds relu(t) and relu(t - 1/2)
    of the tent before it, so the output is the tent applied k times. All weights are powers of two: nothing is rounded.

    Parameters
    ----------
    k : int
        1 or more; the network has 2^(k-1) teeth, and 2k hidden units where one hidden layer needs 2^k - 1.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        k is no whole number of 1 or more.

    References
    ----------
    Telgarsky, "Benefits of depth in neural networks", COLT 2016.
    """
    k = whole(k, "k", 1)
    tent, switch = np.array([[2.0], [-4.0]]), np.array([0.0, -0.5])
    weights = [np.ones((1, 2)), *[np.tile(tent, 2)] * (k - 1), tent]
    return Network(weights, [*[switch] * k, np.zeros(1)])
