"""One window: its controls, its plots and its work; nothing here is shared with another window.

`server` makes a session for each page that is opened. Bokeh's own thread alone touches widgets: the worker hands
pictures over by callbacks of the next tick.
"""

from __future__ import annotations

import base64
import binascii
import html
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import Button, ColumnDataSource, CustomJS
from jinja2 import Template

from ensemble.play import offline
from ensemble.play.answer import answer, notes
from ensemble.play.code import python
from ensemble.play.controls import Controls
from ensemble.play.look import PAGE, WIDGETS, text_of
from ensemble.play.picture import Picture
from ensemble.play.scene import Scene
from ensemble.play.settings import DRAWN, FILE, from_query, to_query
from ensemble.play.source import columns_of, traced
from ensemble.play.worker import Job, Worker

__all__ = ["Session"]

LATE_MS = 250  # work that takes longer says how far it is
BEAT = 0.1  # seconds between two words about that
NOISE = {False: 0.01, True: 0.1}  # to begin with, for functions and for labels

ADDRESS = (
    "history.replaceState(null, '', location.pathname + (shared.data.query[0] ? '?' + shared.data.query[0] : ''));"
)
COPY = """
    const text = %s;
    const done = () => { const label = button.label; button.label = 'copied ✓';
                         setTimeout(() => { button.label = %r; }, 1500); };
    const old = () => {  // where the page is not from this machine, browsers have no clipboard
        const area = document.createElement('textarea'); area.value = text; document.body.append(area); area.select();
        document.execCommand('copy'); area.remove(); done(); };
    navigator.clipboard ? navigator.clipboard.writeText(text).then(done, old) : old();
"""
SAVE = """
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([saved.data.page[0]], {type: 'text/html'}));
    link.download = 'playground.html'; link.click(); URL.revokeObjectURL(link.href);
"""


class Session:
    """The contents of one window.

    Parameters
    ----------
    document : bokeh Document
        Of the window.
    query : mapping of str to list of str
        Of the address that was opened.
    warm : Event
        Set once the kernels are compiled.
    """

    def __init__(self, document: Any, query: Mapping[str, Sequence[str]], warm: threading.Event) -> None:
        self.document, self._warm = document, warm
        self.settings, problems = from_query(query)
        self._content: bytes | None = None
        self._job: Job | None = None
        self._running, self._closed, self._last_word = False, False, 0.0
        self._picture: Picture | None = None
        self._of_link = ""  # what is wrong with the link; said until something is changed
        self.scene = Scene()
        self.controls = Controls(self.settings, self._changed, self._loaded)
        self.answer = text_of(
            name="answer", text="", width=900, height=44, styles={"font-size": "16.5px", "line-height": "1.3"}
        )
        self.status = text_of(name="status", text="", width=520, height=34,
                          styles={"font-size": "12.5px", "color": "#5b626d"})  # fmt: skip
        self.stop = _button("Stop", "stop", "Stop: ends the training under way; the last picture stays.", 60)
        self.stop.visible = False
        self.stop.on_click(self._stop)
        # What the address and the buttons take: the settings' query, the program, and which picture is drawn.
        self.shared = ColumnDataSource({"query": [""], "code": [""], "drawn": [""], "complete": [False]}, name="shared")
        self.shared.js_on_change("data", CustomJS(args={"shared": self.shared}, code=ADDRESS))
        self.saved = ColumnDataSource({"page": [""]}, name="saved")
        self.saved.js_on_change("data", CustomJS(args={"saved": self.saved}, code=SAVE))
        self.scene.fits.drawn.on_change("data", self._drew)
        self.scene.widths.tested.selected.on_change("indices", self._clicked)
        self.worker = Worker(self._hand_over(self._show), self._progress, self._hand_over(self._ended))
        self._lay_out()
        self._ask()
        self.status.text = self._of_link = html.escape(" ".join(problems))

    def close(self) -> None:
        """End the window's work."""
        self._closed = True
        self.worker.close()

    # ---- what a student does ----

    def _changed(self) -> None:
        before, self.settings = self.settings, self.controls.read()
        if self.settings.labelled != before.labelled and self.settings.noise == NOISE[before.labelled]:
            self.settings = self.settings.changed(noise=NOISE[self.settings.labelled])
            self.controls.write(self.settings)
        self._ask()

    def _loaded(self, name: str, encoded: str) -> None:
        """Take a file that was chosen."""
        try:
            content = base64.b64decode(encoded, validate=True)
            columns = columns_of(name, content)
        except (ValueError, binascii.Error) as error:
            self.worker.stop()
            self.controls.complain(html.escape(str(error)))
            return
        self._content = content
        self.controls.offer(columns)
        self.settings = self.controls.read().changed(file=name)
        self.controls.write(self.settings)
        self._ask()

    def _drew(self, attribute: str, old: Any, new: Mapping[str, Any]) -> None:
        """Take the curve that the mouse has drawn."""
        if not new["xs"] or self.settings.source != DRAWN:
            return
        try:
            drawn = traced(new["xs"][-1], new["ys"][-1])
        except ValueError as error:
            self.controls.complain(html.escape(str(error)))
            return
        self.settings = self.settings.changed(drawn=drawn)
        self.controls.write(self.settings)
        self._ask()

    def _clicked(self, attribute: str, old: Any, new: Sequence[int]) -> None:
        """Show the width whose point was clicked."""
        if new:
            width = int(self.scene.widths.tested.data["width"][new[0]])
            self.settings = self.settings.changed(width=width)
            self.controls.write(self.settings)
            self._ask()

    def _stop(self) -> None:
        self.worker.stop()

    def _save(self) -> None:
        if self._picture is not None:
            self.saved.data = {"page": [offline.page(self._picture)]}

    # ---- work ----

    def _ask(self) -> None:
        """Have the picture of the settings computed."""
        self.controls.complain("")
        self.status.text = self._of_link = ""
        if self.settings.source == FILE and self._content is None:  # the controls ask for one
            self._job, self._running, self.stop.visible = None, False, False
            self.scene.fade(True)
            self.worker.stop()
            self._share(complete=False)
            return
        self._job, self._running = Job(self.settings, self._content), True
        self._share(complete=False)
        self.worker.submit(self._job)
        self.document.add_timeout_callback(partial(self._late, self._job), LATE_MS)

    def _share(self, complete: bool) -> None:
        try:
            code = python(self.settings)
        except ValueError:  # a formula that cannot be read: its sentence comes from the worker
            code = ""
        drawn = to_query(self._picture.settings) if self._picture is not None else ""
        self.shared.data = {
            "query": [to_query(self.settings)], "code": [code], "drawn": [drawn], "complete": [complete],
        }  # fmt: skip

    def _late(self, job: Job) -> None:
        if job is self._job and self._running:
            self.stop.visible = True
            self.scene.fade(self._picture is None or self._picture.settings != job.settings)
            if not self._warm.is_set():
                self.status.text = "Compiling the kernels, once on this machine: about ten seconds."
            elif not self.status.text:
                self.status.text = "Training."

    def _progress(self, job: Job, done: int, known: int) -> None:
        """Say how far a job is; called from the worker's thread."""
        now = time.monotonic()
        if now - self._last_word > BEAT:
            self._last_word = now
            self._later(partial(self._say_progress, job, done, known))

    def _say_progress(self, job: Job, done: int, known: int) -> None:
        if job is self._job and self._running and self.stop.visible:
            self.status.text = f"Training: {done:,} of {known:,} networks done."

    def _show(self, job: Job, picture: Picture) -> None:
        if job is not self._job:
            return
        self.document.hold("combine")  # one message, and so one redraw
        if picture.complete:
            self.scene.complete(picture)
        else:
            self.scene.show(picture)
        self._picture = picture
        self.answer.text = html.escape(answer(picture))
        if picture.complete:
            self._share(complete=True)
        self.document.unhold()

    def _ended(self, job: Job, problem: str) -> None:
        if job is not self._job:
            return
        self._running, self.stop.visible = False, False
        old = self._picture is None or self._picture.settings != job.settings
        if problem == "stopped":
            self.scene.fade(False)
            self.status.text = "Stopped: this picture is of earlier settings." if old else "Stopped before all widths."
            if self._picture is None:
                self.status.text = "Stopped."
        elif problem:
            self.scene.fade(old)
            self.status.text = self._of_link
            self.controls.complain(html.escape(problem))
        elif self._picture is not None:
            self.status.text = f"{self._of_link} {html.escape(' '.join(notes(self._picture)))}".strip()

    def _hand_over(self, function: Callable[..., None]) -> Callable[..., None]:
        """Return what has `function` called by Bokeh's thread."""
        return lambda *arguments: self._later(partial(function, *arguments))

    def _later(self, function: Callable[[], None]) -> None:
        if not self._closed:
            try:
                self.document.add_next_tick_callback(function)
            except AttributeError:  # Bokeh has taken the document of a closed window apart, and is about to say so
                self.close()

    # ---- the page ----

    def _lay_out(self) -> None:
        link = _button("Copy link", "link", "Copy link: the address holds all settings; who opens it sees this.", 86)
        code = _button("Copy as Python", "code", "Copy as Python: the lines that reproduce this picture.", 122)
        save = _button("Save page", "save", "Save page: one file with these plots that works offline.", 88)
        link.js_on_click(CustomJS(args={"button": link}, code=COPY % ("location.href", "Copy link")))
        code.js_on_click(
            CustomJS(
                args={"button": code, "shared": self.shared}, code=COPY % ("shared.data.code[0]", "Copy as Python")
            )
        )
        save.on_click(self._save)
        lost, found = (
            CustomJS(code=f"document.getElementById('lost').hidden = {hidden};") for hidden in ("false", "true")
        )
        document = self.document
        document.title = "relu-ensemble playground"
        document.template = Template(PAGE)
        document.template_variables.update(controls=True, columns="300px auto 1fr", narrow="300px 1fr")
        document.config.notify_connection_status = False
        document.js_on_event("connection_lost", lost)
        document.js_on_event("client_reconnected", found)
        main = column(self.scene.main, row(self.stop, self.status), name="main")
        share = row(link, code, save, name="share")
        for root in (
            self.answer,
            share,
            self.controls.layout,
            main,
            self.scene.side,
        ):
            document.add_root(root)
        document.add_root(_hidden(self.shared, self.saved))


def _button(label: str, name: str, sentence: str, width: int) -> Any:
    return Button(
        label=label, name=name, width=width, stylesheets=[WIDGETS], html_attributes={"data-help": sentence}
    )  # fmt: skip


def _hidden(*sources: Any) -> Any:
    """Return an element that is not seen, such that the browser knows the sources."""
    return text_of(text="", visible=False, name="hidden", tags=list(sources))
