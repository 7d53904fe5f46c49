"""Short HTML for notebooks: a title and a table, every cell escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["table"]

_MOST_ROWS = 30


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML; rows beyond the thirtieth are counted, not shown."""
    listed = list(rows)
    lines = [f"<p><b>{escape(title)}</b></p><table><thead><tr>"]
    lines += [f"<th>{escape(head)}</th>" for head in heads]
    lines.append("</tr></thead><tbody>")
    for row in listed[:_MOST_ROWS]:
        lines.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>")
    lines.append("</tbody></table>")
    if len(listed) > _MOST_ROWS:
        lines.append(f"<p>and {len(listed) - _MOST_ROWS:,} rows more</p>")
    return "".join(lines)
