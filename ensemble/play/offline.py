"""A picture as one page that works offline: the plots, the slider through the epochs, the answer and the program.

What the window's save button hands to the browser; nothing in the page asks for a server.
"""

from __future__ import annotations

import html

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.resources import INLINE
from jinja2 import Template

from ensemble.play.answer import answer, notes
from ensemble.play.code import python
from ensemble.play.look import PAGE, text_of
from ensemble.play.picture import Picture
from ensemble.play.scene import Scene

__all__ = ["page"]


def page(picture: Picture) -> str:
    """Return the page of a complete picture."""
    scene = Scene(main=700)
    scene.show(picture)
    scene.complete(picture)
    scene.fits.drawing(False)
    document = Document()
    small = " ".join(html.escape(note) for note in notes(picture))
    code = html.escape(python(picture.settings))
    document.add_root(text_of(name="answer", text=f"<b>{html.escape(answer(picture))}</b> {small}", width=1100))
    document.add_root(scene.main)
    document.add_root(scene.side)
    program = f"<details><summary>The same in Python</summary><pre>{code}</pre></details>"
    document.add_root(text_of(name="share", text=program, width=1100))
    text: str = file_html(
        document,
        INLINE,
        "relu-ensemble playground",
        template=Template(PAGE),
        template_variables={"columns": "auto 1fr", "narrow": "1fr"},
    )
    return text
