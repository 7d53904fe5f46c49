"""What a user sees while it runs: the bar in models, and a word about what takes long; the only importer of tqdm.

`training.train` moves the bar as chunks come back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm  # its bar of text: the widget of notebooks needs ipywidgets, and warns without

__all__ = ["note", "progress_bar", "slow_note"]

DELAY = 0.5  # seconds: what ends sooner shows no bar


class _Bar(tqdm):  # type: ignore[misc]  # tqdm ships no types
    """A bar that forks do not share: tqdm's own lock is one for all processes, and stays closed if one dies with it."""

    monitor_interval = 0  # no thread that may hold the lock while another forks


_Bar.set_lock(threading.RLock())
if hasattr(os, "register_at_fork"):  # a lock that a thread holds would stay closed in a child, which has no such thread
    os.register_at_fork(after_in_child=lambda: _Bar.set_lock(threading.RLock()))


def progress_bar(total: int, shown: bool | None, done: int = 0) -> tqdm[None]:
    """Return a bar over `total` models with rate and time left; `shown` None: on a terminal or in a notebook only."""
    delay = DELAY if shown is None else 0.0
    if shown is None:
        shown = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    scale = total > 10_000
    return _Bar(
        total=total, initial=done, unit=" models", disable=not shown, smoothing=0.1, unit_scale=scale, delay=delay,
        miniters=0,
    )  # fmt: skip


def note(text: str) -> None:
    """Say `text` on one line of standard error, above a bar that may be there."""
    _Bar.write(f"ensemble: {text}", file=sys.stderr)


@contextmanager
def slow_note(text: str, after: float) -> Iterator[None]:
    """Say `text` on standard error if what is inside takes longer than `after` seconds."""
    timer = threading.Timer(after, _Bar.write, [f"ensemble: {text}"], {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
