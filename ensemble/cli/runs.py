"""`python -m ensemble runs`: a table of what the run folders under a folder hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ensemble import store
from ensemble.store import Kept
from ensemble.studies import STUDIES, files
from ensemble.system import archive, memory

__all__ = ["say"]

_MOST_BYTES = 2**24  # of a study.json
MOST_NAMES = 4  # of data in a line
_LEFT = ("folder", "study", "data", "loss", "complete", "changed")  # columns of words


def say(folder: str, as_json: bool) -> None:
    """Print what run folders hold, one in a line; errors are those of `store.listed`."""
    found = [(kept, _study(kept.folder)) for kept in store.listed(folder)]
    if as_json:
        print(files.json_text([_described(*one) for one in found]))
    elif found:
        print(_table([_row(*one) for one in found]))
        for kept, _ in found:
            if kept.problem:
                print(f"damaged: {kept.problem}")
    else:
        print(f"{folder}: no run folders; the studies make one in results/STUDY/run")


def _study(folder: Path) -> str:
    """Return the name of the study whose `study.json` is beside a run folder, "" where there is none."""
    try:
        about = json.loads(archive.read_bytes(folder.parent / "study.json", _MOST_BYTES, follow=False))
        return str(about["study"]) if about["study"] in STUDIES else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _described(kept: Kept, study: str) -> dict[str, Any]:
    return {
        "folder": str(kept.folder), "study": study, "models": kept.models, "done": kept.done, "epochs": kept.epochs,
        "loss": kept.loss, "data": list(kept.data), "kept": kept.kept, "bytes": kept.bytes, "complete": kept.complete,
        "changed": kept.changed.isoformat(timespec="seconds"), "problem": kept.problem,
    }  # fmt: skip


def _row(kept: Kept, study: str) -> dict[str, str]:
    state = "damaged" if kept.problem else "yes" if kept.complete else f"no, {kept.done:,} done"
    return {
        "folder": str(kept.folder), "study": study or "-", "models": f"{kept.models:,}", "epochs": f"{kept.epochs:,}",
        "loss": kept.loss or "-", "data": _some(kept.data) or "-", "complete": state, "kept": f"{kept.kept:,}",
        "size": memory.in_words(kept.bytes), "changed": f"{kept.changed.astimezone():%Y-%m-%d %H:%M}",
    }  # fmt: skip


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f", and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _table(rows: list[dict[str, str]]) -> str:
    """Return rows in columns, words to the left and numbers to the right."""
    lines = [dict(zip(rows[0], rows[0], strict=True)), *rows]
    width = {name: max(len(line[name]) for line in lines) for name in rows[0]}
    return "\n".join(
        "  ".join(
            line[name].ljust(width[name]) if name in _LEFT else line[name].rjust(width[name]) for name in line
        ).rstrip()
        for line in lines
    )
