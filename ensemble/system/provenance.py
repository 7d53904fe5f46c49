"""What a number was made with: versions of packages, the machine, and which of it decides the last bits.

Run folders and studies write this down beside their results; a cluster's workers are compared by it.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["DECIDE_BITS", "installed", "machine", "source_digest", "versions"]

DECIDE_BITS = ("relu-ensemble", "numpy", "numba")  # another version of these may change a result


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a source tree that was never installed
            found[name] = "unknown"
    return found


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of the packages that decide bits, and of `more`."""
    return {"python": platform.python_version()} | installed((*DECIDE_BITS, *more))


def source_digest() -> str:
    """Return a hash of this package's source: it tells apart what one version number does while it is worked on."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge a time or a last bit: system, architecture, processor and cores."""
    processor = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = (line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
            processor = next(named, processor)
    except OSError:  # not Linux
        pass
    return {
        "system": platform.system(), "architecture": platform.machine(), "processor": processor,
        "cores": os.cpu_count(),
    }  # fmt: skip
