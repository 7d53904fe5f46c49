"""Optional libraries: imported where they are used, with one error that names the extra.

An extra is a group of packages in pyproject.toml that not everyone needs.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load_extra"]


def load_extra(module: str, extra: str, what: str) -> Any:
    """Return a module of an optional library.

    Parameters
    ----------
    module : str
        Such as "safetensors.numpy".
    extra : str
        The extra of this package that installs it.
    what : str
        What needs it, as the start of the error's sentence, in the plural: "safetensors files".

    Raises
    ------
    ImportError
        It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} need the extra {extra!r}: pip install 'relu-ensemble[{extra}]'") from error
