"""A study's folder: its figures, tables and texts, each file whole or not at all.

Called by `Study.save`; takes what is to be written and knows no study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.studies import files
from ensemble.system import archive
from ensemble.training.request import n_threads

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["by_part", "check_formats", "save"]

PANELS = 20  # drawn in about the time that a helper takes to start


def check_formats(formats: Iterable[str]) -> None:
    """Raise a ValueError where a format is none that plots are written in."""
    from ensemble import plots  # matplotlib is loaded where something is drawn, and no sooner

    for name in formats:
        plots.check_format(name)


def save(
    folder: Path, figures: Mapping[str, Figure], tables: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]],
    texts: Callable[[], Mapping[str, str]], formats: Sequence[str], configuration: str,
) -> list[Path]:  # fmt: skip
    """Write figures in all formats, tables as CSV where they have rows, and texts, in this order; return the paths.

    Where there is much to draw and a core to spare, helper processes draw while tables and texts are made.

    Parameters
    ----------
    folder : Path
        There already.
    figures : mapping by file name without suffix
    tables, texts : callables
        Return mappings by file name, without suffix for tables.
    formats : sequence of str
    configuration : str
        Hash of what is shown, kept in the figures' metadata.

    Raises
    ------
    OSError
        A file cannot be written; the message names it.
    RuntimeError
        A figure cannot be drawn; the message names its file.
    """
    from ensemble import plots

    panels = sum(len(figure.axes) for figure in figures.values())
    helpers = min(n_threads(None) - 1, panels // PANELS)
    with plots.Drawing(figures, formats, configuration, helpers) as drawing:
        written = {f"{name}.csv": files.csv_text(rows) for name, rows in tables().items() if rows} | dict(texts())
        content: dict[str, bytes | str] = {**drawing.finish(), **written}
    for name, what in content.items():
        archive.write(folder / name, what)
    return [folder / name for name in content]


def by_part(figures: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    """Return the figures of several parts, such as datasets, with the part in each name where there are several."""
    return {
        f"{name}-{files.safe_name(part)}" if len(figures) > 1 else name: figure
        for part, found in figures.items()
        for name, figure in found.items()
    }
