"""Versions of installed packages, and which of them decide a result's last bits."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

__all__ = ["DECIDE_BITS", "installed"]

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
