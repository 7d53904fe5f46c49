"""The figure that everything is drawn into: matplotlib's, which also shows itself in a notebook.

Displays and sheets make one. Notebooks know figures of pyplot, which is not loaded here.
"""

from __future__ import annotations

import io

import matplotlib.figure

__all__ = ["Figure"]


class Figure(matplotlib.figure.Figure):
    """A figure without a window; parameters are those of matplotlib's."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=self.dpi)
        return content.getvalue()
