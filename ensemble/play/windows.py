"""The application that the server runs: a session for each window, ended with the window or with the server.

Bokeh says when a window is gone, and when the server stops; it does not end the windows of a server that stops.
"""

from __future__ import annotations

import threading
from typing import Any

from bokeh.application.handlers.handler import Handler

from ensemble.play.session import Session

__all__ = ["Windows"]


class Windows(Handler):  # type: ignore[misc] # Bokeh's types are not looked at
    """Makes the contents of windows.

    Parameters
    ----------
    warm : Event
        Set once the kernels are compiled.

    Attributes
    ----------
    sessions : set of Session
        Of the windows that are open.
    """

    def __init__(self, warm: threading.Event) -> None:
        super().__init__()
        self._warm = warm
        self.sessions: set[Session] = set()

    def modify_document(self, doc: Any) -> None:
        """Fill the document of a window that was opened."""
        arguments = doc.session_context.request.arguments
        query = {name: [value.decode("utf-8", "replace") for value in values] for name, values in arguments.items()}
        session = Session(doc, query, self._warm)
        self.sessions.add(session)

        def gone(context: Any) -> None:
            self.sessions.discard(session)
            session.close()

        doc.on_session_destroyed(gone)

    def on_server_unloaded(self, server_context: Any) -> None:
        """End the work of all windows: their threads would wait for ever, or the program for what they train."""
        while self.sessions:
            self.sessions.pop().close()
