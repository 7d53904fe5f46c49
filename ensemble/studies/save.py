"""What a study writes as the content of files: figures, tables and texts, made side by side.

Called by `Study.save`; takes what is to be shown and knows no study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ensemble.studies import files, page
from ensemble.system.garbage import uncollected
from ensemble.training.request import n_threads

if TYPE_CHECKING:
    from ensemble.plots import Figure

__all__ = ["by_part", "check_formats", "contents"]

HELPERS = 3  # processes that draw beside this one, at most: there are about eight figures


def check_formats(formats: Iterable[str]) -> None:
    """Raise a ValueError where a format is none that plots are written in."""
    from ensemble import plots  # matplotlib is loaded where something is drawn, and no sooner

    for name in formats:
        plots.check_format(name)


def contents(
    figures: Callable[[], Iterable[tuple[str, Figure]]],
    tables: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]],
    texts: Callable[[], Mapping[str, str]], formats: Sequence[str], configuration: str, *, many: bool,
) -> dict[str, bytes]:  # fmt: skip
    """Return files by name: figures in all formats, the summary first, tables as CSV where they have rows, and texts.

    Parameters
    ----------
    figures : callable
        Returns pairs of a file name without suffix and a Figure.
    tables, texts : callables
        Return mappings by file name, without suffix for tables.
    formats : sequence of str
    configuration : str
        Hash of what is shown, kept in the figures' metadata.
    many : bool
        Drawing takes longer than a helper process takes to start: where cores are free, helpers draw while tables and
        texts are made.

    Raises
    ------
    RuntimeError
        A figure cannot be drawn; the message names its file.
    """
    from ensemble import plots

    helpers = min(n_threads(None) - 1, HELPERS) if many else 0
    with uncollected(), plots.Drawing(figures, formats, configuration, helpers) as drawing:
        written = {f"{name}.csv": files.csv_text(rows) for name, rows in tables().items() if rows} | dict(texts())
        drawn = sorted(drawing.finish().items(), key=lambda item: not item[0].startswith("summary"))
        if page.FILE in written:
            written[page.FILE] = page.illustrated(written[page.FILE], dict(drawn))
        return dict(drawn) | {name: text.encode() for name, text in written.items()}


def by_part(
    parts: Sequence[str], figures: Callable[[str], Iterable[tuple[str, Figure]]]
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of each part, such as a dataset, with the part in their names where there are several."""
    for part in parts:
        for name, figure in figures(part):
            yield f"{name}-{files.safe_name(part)}" if len(parts) > 1 else name, figure
