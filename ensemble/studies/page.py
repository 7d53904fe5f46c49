"""A study as one page to send to others, with the answer first; the extra `report`.

`Study.save` writes the page where Bokeh is installed. It is one file that opens offline. `interactive` makes its plots,
`template` is its frame.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ensemble.studies import files, interactive, template
from ensemble.studies.interactive import Shown
from ensemble.system.extras import load_extra

__all__ = ["FILE", "Shown", "available", "illustrated", "page"]

FILE = "report.html"
PICTURES = "<!-- the figures of the study -->"
MOST_ROWS = 20_000  # of a table
MOST_BYTES = 4_000_000  # of a page with its figures


def available() -> bool:
    """Return whether Bokeh is installed."""
    return find_spec("bokeh") is not None


def page(shown: Shown) -> str:
    """Return a study as one self-contained HTML page, with a place for the figures; see `illustrated`.

    Raises
    ------
    ImportError
        Bokeh is not installed.
    """
    embed = load_extra("bokeh.embed", "report", "interactive pages")
    from bokeh.resources import INLINE

    title = f"relu-ensemble: {shown.about['study'].replace('_', ' ')}"
    controls, plots = interactive.plots(shown)
    roots = ([controls] if controls else []) + [plot for _, _, plot in plots]
    values = {
        "style": template.STYLE, "script": template.TABLES, "heading": html.escape(shown.question or title),
        "answer": "".join(f"<p>{html.escape(line)}</p>" for line in shown.answer.splitlines()),
        "about": _about(shown), "controls": bool(controls), "plots": [(name, words) for name, words, _ in plots],
        "pictures": PICTURES, "tables": _script(_tables(shown.rows)),
        "settings": html.escape(files.json_text(shown.about)),
    }  # fmt: skip
    if roots:
        text: str = embed.file_html(roots, INLINE, title, template=template.TEMPLATE, template_variables=values)
        return text
    from jinja2 import Environment

    head, main, body = Environment(autoescape=False).from_string(template.TEMPLATE).render(values).partition("<main>")
    head = f'<meta charset="utf-8"><title>{title}</title>{head}'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{main}{body}</body></html>'


def illustrated(text: str, pictures: Mapping[str, bytes]) -> str:
    """Return a page with the study's figures in it, those that are PNG or SVG, by file name.

    Parameters
    ----------
    text : str
        What `page` returned.
    pictures : mapping of bytes by file name
        Each figure is taken once, as PNG before SVG, as long as there is room.
    """
    from ensemble.plots import small_png

    kinds = {"png": "png", "svg": "svg+xml"}
    drawn: dict[str, str] = {}
    left: list[str] = []
    room = MOST_BYTES - len(text.encode())
    for suffix, kind in kinds.items():
        for file, content in pictures.items():
            name, _, end = file.rpartition(".")
            if end == suffix and name not in drawn:
                small = small_png(content) if suffix == "png" else content
                drawn[name] = template.FIGURE.format(
                    alt=html.escape(name.replace("_", " ")), kind=kind, content=base64.b64encode(small).decode()
                )
                room -= len(drawn[name])
                if room < 0:
                    room += len(drawn[name])
                    drawn[name] = ""
                    left.append(html.escape(file))
    figures = "<h2>Figures</h2>\n" + "".join(drawn.values()) if drawn else ""
    figures += f'<p class="note">In the folder: {", ".join(left)}, for which this page has no room.</p>' if left else ""
    return text.replace(PICTURES, figures, 1)


def _about(shown: Shown) -> str:
    names = ", ".join(html.escape(name) for name in shown.datasets)
    models, diverged, epochs = shown.about["models"], shown.about["diverged"], int(shown.result.epochs[-1])
    said = f"{models:,} ReLU networks trained for {epochs:,} epochs on {names}; {diverged:,} diverged."
    if not shown.panels:
        return said
    return (
        f"{said} Learning rates are chosen on validation data, errors are those on test data where nothing else is "
        "said. Lines are medians over seeds, bands their 95% intervals, dots single seeds; a click on a legend hides."
    )


# ---- tables ----


def _tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the rows of the summary by figure, each as heads and columns."""
    by_figure: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_figure.setdefault(str(row.get("figure", "summary")).replace("_", " "), []).append(row)
    found = {}
    for figure, listed in by_figure.items():
        listed = listed[:MOST_ROWS]
        heads = [name for name in dict.fromkeys(name for row in listed for name in row) if name != "figure"]
        columns = [[_cell(row.get(name, "")) for row in listed] for name in heads]
        kept = [place for place, column in enumerate(columns) if any(cell != "" for cell in column)]
        found[figure] = {"heads": [heads[place] for place in kept], "columns": [columns[place] for place in kept]}
    return found or {"summary": {"heads": ["empty"], "columns": [[]]}}


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if np.isfinite(value) else str(value)
    return "" if value is None else value


def _script(content: Any) -> str:
    """Return content as JSON that may stand in a script: no text in it can end the script."""
    return json.dumps(files.plain(content), separators=(",", ":")).replace("<", "\\u003c")
