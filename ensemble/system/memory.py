"""Memory: how much is free, and a refusal of what needs more, before it is taken.

Asked before a run, a result or a file is given memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available", "in_words", "require"]

_ROOT = Path("/")
_SMALL = 4 * 2**20  # bytes that need no look: a `train` of 8 models asks nine times, which took 3 of its 8 ms

# Of the two versions of Linux's control groups, which Slurm and containers limit memory by: where the tree is mounted,
# the limit, what is in use, and the part of it that the system gives back when asked (cached files).
_GROUPS = {
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available() -> int | None:
    """Return the free memory in bytes, within the limits that are set for this process.

    None where the system does not tell.
    """
    free = list(_group_memory())
    found = _mac_memory() if sys.platform == "darwin" else _machine_memory()
    if found is not None:
        free.append(found)
    return max(min(free), 0) if free else None


def _machine_memory() -> int | None:
    found = re.search(r"^MemAvailable:\s*(\d+)", _text(_ROOT / "proc/meminfo"), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (OSError, ValueError, AttributeError, KeyError):
        return None


def _group_memory() -> Iterator[int]:
    """Yield what each limit on this process's control groups, and on those around them, leaves free."""
    for line in _text(_ROOT / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        kinds, _, group = rest.partition(":")
        for kind in kinds.split(","):
            if kind not in _GROUPS:
                continue
            mount, limit, usage, cached = _GROUPS[kind]
            parts = [part for part in group.split("/") if part]
            for depth in range(len(parts) + 1):  # a container may see its own group as the root
                folder = _ROOT.joinpath(mount, *parts[:depth])
                most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
                if most.isdigit() and used.isdigit():  # "max": no limit
                    kept = re.search(rf"^{cached} (\d+)", _text(folder / "memory.stat"), re.MULTILINE)
                    yield int(most) - int(used) + (int(kept[1]) if kept else 0)


def _mac_memory() -> int | None:
    try:
        said = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    page = re.search(r"page size of (\d+) bytes", said)
    pages = re.findall(r"^Pages (?:free|inactive|purgeable|speculative):\s+(\d+)", said, re.MULTILINE)
    return int(page[1]) * sum(map(int, pages)) if page and pages else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def require(n_bytes: int, what: str, remedy: str) -> None:
    """Raise ValueError where `what` needs more memory than is free; `remedy` says what to do instead.

    A few megabytes are taken without asking the system.
    """
    free = available() if n_bytes > _SMALL else None
    if free is not None and n_bytes > free:
        raise ValueError(
            f"{what} needs about {in_words(n_bytes)} of memory, but {in_words(free)} are available; {remedy}"
        )


def in_words(n_bytes: float) -> str:
    """Return a number of bytes as people write it."""
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:,.0f} kB"
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes < 1e10 else f"{n_bytes / 1e9:,.0f} GB"
