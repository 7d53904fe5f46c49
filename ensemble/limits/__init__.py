"""What is provably possible: floors that no network can pass, and networks that come close to them.

Higher rooms import from here; none of it loads SciPy or compiles anything before the first call.
"""

from ensemble.limits.built import constructive_bound, constructive_bounds
from ensemble.limits.floors import no_bias_floor, noise_floor, width_floor
from ensemble.limits.sawtooth import sawtooth_network

__all__ = [
    "constructive_bound", "constructive_bounds", "no_bias_floor", "noise_floor", "sawtooth_network", "width_floor",
]  # fmt: skip
