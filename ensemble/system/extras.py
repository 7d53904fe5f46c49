"""Optional libraries: imported where they are used, with one error that names the extra.

An extra is a group of packages in pyproject.toml that not everyone needs.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load_extra"]


def load_extra(module: str, extra: str, what: str) -> Any:
    """Return a module of an optional library, such as "safetensors.numpy".

    Where it is not installed, an ImportError says that `what` (such as "safetensors files") need the extra `extra` of
    this package, and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} need the extra {extra!r}: pip install 'relu-ensemble[{extra}]'") from error
