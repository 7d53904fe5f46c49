"""What the regressor and the width curve share: seeds, threads, and samples held out.

scikit-learn's own conventions in each: ``random_state``, ``n_jobs``, ``validation_fraction``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray

from ensemble.system.checks import number, whole

__all__ = ["Array", "first_of_several", "held_out", "seeds", "threads"]

Array = NDArray[np.float64]

_SEEDS = 2**31 - 1


def seeds(rng: np.random.RandomState, n: int) -> NDArray[np.int64]:
    """Return n seeds, all different: consecutive ones have independent streams in `networks.initialize`."""
    return int(rng.randint(_SEEDS)) + np.arange(n, dtype=np.int64)


def threads(n_jobs: int | None) -> int:
    """Return the number of threads that scikit-learn means by `n_jobs`: None or a whole number other than 0."""
    if n_jobs is not None and whole(n_jobs, "n_jobs", -(2**31)) == 0:
        raise ValueError("n_jobs 0 is not allowed; None or a whole number other than 0 is needed")
    return max(1, int(effective_n_jobs(n_jobs)))


def held_out(
    n: int, fraction: Any, rng: np.random.RandomState, reason: str, labels: Array | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of n samples stay and which are held out, both ascending; one at least of each label stays.

    A ValueError where the fraction is not in (0, 1), or where there is one sample only and `reason` needs more.
    """
    if not 0.0 < number(fraction, "validation_fraction") < 1.0:
        raise ValueError(f"validation_fraction {fraction!r} is not allowed; a number in (0, 1) is needed")
    if n < 2:
        raise ValueError(f"{reason} needs 2 samples or more, but n_samples = {n}")
    order, stay = rng.permutation(n), 1
    if labels is not None:
        first = np.unique(labels[order], return_index=True)[1]
        order, stay = np.concatenate([np.delete(order, first), order[first]]), len(first)
        if n == stay:
            raise ValueError(f"{reason} needs more samples than classes, but n_samples = {n}")
    held = min(max(1, round(n * fraction)), n - stay)
    return np.sort(order[held:]), np.sort(order[:held])


def first_of_several(settings: Mapping[str, Any]) -> str:
    """Return the first setting that holds several values, with them."""
    return next(f"{name} {value}" for name, value in settings.items() if np.size(value) != 1)
