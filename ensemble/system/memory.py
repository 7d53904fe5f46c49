"""Memory: how much is free, and a refusal of what needs more, before it is taken."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available", "in_words", "require"]


def available() -> int | None:
    """Return the free memory in bytes, or None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def require(n_bytes: int, what: str, remedy: str) -> None:
    """Raise ValueError where `what` needs more memory than is free; `remedy` says what to do instead."""
    free = available()
    if free is not None and n_bytes > free:
        raise ValueError(
            f"{what} needs about {in_words(n_bytes)} of memory, but {in_words(free)} are available; {remedy}"
        )


def in_words(n_bytes: float) -> str:
    """Return a number of bytes as people write it."""
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes < 1e10 else f"{n_bytes / 1e9:,.0f} GB"
