"""A study's folder: its figures, tables and texts, each file whole or not at all.

Called by `Study.save`; takes what is to be written and knows no study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.studies import files
from ensemble.system import archive

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["by_part", "check_formats", "save"]


def check_formats(formats: Iterable[str]) -> None:
    """Raise a ValueError where a format is none that plots are written in."""
    from ensemble import plots  # matplotlib is loaded where something is drawn, and no sooner

    for name in formats:
        plots.check_format(name)


def save(
    folder: Path, figures: Mapping[str, Figure], tables: Mapping[str, Sequence[Mapping[str, Any]]],
    texts: Mapping[str, str], formats: Sequence[str], configuration: str,
) -> list[Path]:  # fmt: skip
    """Write figures in all formats, tables as CSV where they have rows, and texts, in this order; return the paths.

    Parameters
    ----------
    folder : Path
        There already.
    figures, tables : mappings by file name without suffix
    texts : mapping by file name
    formats : sequence of str
    configuration : str
        Hash of what is shown, kept in the figures' metadata.

    Raises
    ------
    OSError
        A file cannot be written; the message names it.
    """
    from ensemble import plots

    written: list[Path] = []

    def write(name: str, content: bytes | str) -> None:
        archive.write(folder / name, content)
        written.append(folder / name)

    for name, figure in figures.items():
        for suffix in formats:
            write(f"{name}.{suffix}", plots.render(figure, suffix, configuration))
    for name, rows in tables.items():
        if rows:
            write(f"{name}.csv", files.csv_text(rows))
    for name, text in texts.items():
        write(name, text)
    return written


def by_part(figures: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    """Return the figures of several parts, such as datasets, with the part in each name where there are several."""
    return {
        f"{name}-{files.safe_name(part)}" if len(figures) > 1 else name: figure
        for part, found in figures.items()
        for name, figure in found.items()
    }
