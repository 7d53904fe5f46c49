"""How far a long chunk has come: one file that is replaced whole, from which training goes on to the same bits.

Made by the store, used by `run_chunk` between two pieces of work; picklable, so it travels to processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ensemble.system import archive
from ensemble.system.progress import note

__all__ = ["Checkpoint"]

SECONDS = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """A place for one chunk's state.

    Attributes
    ----------
    path : Path
    seconds : float
        Between two saves.
    """

    path: Path
    seconds: float

    def load(self) -> dict[str, NDArray[Any]] | None:
        """Return what was saved last; None where there is nothing intact: then the chunk starts afresh."""
        try:
            return archive.read(self.path, {"*": ("fib", -1)}, follow=False)
        except FileNotFoundError:
            return None
        except archive.RefusedFileError:  # a link, or no file at all: not ours to replace
            raise
        except archive.DamagedFileError as error:
            note(f"{error}; its model is trained from the start")
            return None

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace what was saved."""
        archive.write(self.path, archive.dump(arrays))

    def remove(self) -> None:
        """Forget it: the chunk is done."""
        self.path.unlink(missing_ok=True)
