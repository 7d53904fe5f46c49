"""The progress bar, in models; the only file that imports tqdm.

`training.train` moves it as chunks come back.
"""

from __future__ import annotations

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(total: int, shown: bool | None) -> tqdm[None]:
    """Return a bar over `total` models with the rate; `shown` None means: on a terminal only."""
    disable = None if shown is None else not shown
    return tqdm(total=total, unit=" models", disable=disable, smoothing=0.1, unit_scale=total > 10_000)
