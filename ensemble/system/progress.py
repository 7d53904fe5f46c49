"""What a user sees while it runs: the bar in models, and a word about what takes long; the only importer of tqdm.

`training.train` moves the bar as chunks come back.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm  # its bar of text: the widget of notebooks needs ipywidgets, and warns without

__all__ = ["note", "progress_bar", "slow_note"]

DELAY = 0.5  # seconds: what ends sooner shows no bar


def progress_bar(total: int, shown: bool | None, done: int = 0) -> tqdm[None]:
    """Return a bar over `total` models with rate and time left; `shown` None: on a terminal or in a notebook only."""
    delay = DELAY if shown is None else 0.0
    if shown is None:
        shown = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    scale = total > 10_000
    return tqdm(
        total=total, initial=done, unit=" models", disable=not shown, smoothing=0.1, unit_scale=scale, delay=delay
    )


def note(text: str) -> None:
    """Say `text` on one line of standard error, above a bar that may be there."""
    tqdm.write(f"ensemble: {text}", file=sys.stderr)


@contextmanager
def slow_note(text: str, after: float) -> Iterator[None]:
    """Say `text` on standard error if what is inside takes longer than `after` seconds."""
    timer = threading.Timer(after, tqdm.write, [f"ensemble: {text}"], {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
