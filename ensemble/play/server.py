"""The local server of the playground: one Bokeh application on the loopback address, a session for each window.

`serve` is what `python -m ensemble play` runs. BokehJS comes from the installed package: nothing is loaded from
elsewhere.
"""

from __future__ import annotations

import logging
import socket
import threading
import warnings
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ensemble import limits
from ensemble.data import sample, sample_labels
from ensemble.specs import grid
from ensemble.system.extras import load_extra
from ensemble.training import train

__all__ = ["make_server", "serve", "warm_up"]

LOOPBACK = "127.0.0.1"
MESSAGE_BYTES = 256 * 2**20  # of a file that is loaded, in base64
PORTS = 10  # that are tried
UNUSED_MS = 2000  # a window that was closed this long ago is forgotten


def serve(host: str, port: int, say: Callable[[str], None], browse: bool) -> None:
    """Run the playground until it is interrupted.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        The first port that is tried; 0 for any that is free.
    say : callable
        Told the address, and what else the one who started it should know.
    browse : bool
        Whether to open a browser.

    Raises
    ------
    ImportError
        Bokeh is not installed.
    OSError
        No port is free, or the host is none of this machine's.
    """
    warm = threading.Event()
    server = make_server(host, port, warm)
    threading.Thread(target=warm_up, args=[warm], name="play-warm-up", daemon=True).start()
    address = f"http://{'localhost' if host in (LOOPBACK, 'localhost') else host}:{server.port}/"
    say(f"the playground is at {address} (Ctrl-C ends it)")
    if host not in (LOOPBACK, "localhost", "::1"):
        say("everyone who can reach this machine can use it")
    if browse:
        server.io_loop.add_callback(webbrowser.open, address)
    try:
        server.io_loop.start()
    finally:
        # Ctrl-C between two steps of the loop leaves a coroutine behind that nobody needs to hear about.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        server.stop()  # and so the work of all windows


def make_server(host: str, port: int, warm: threading.Event) -> Any:
    """Return the server, started, on the first free port of ten; its loop does not run yet."""
    load_extra("bokeh.server.server", "play", "the playground's pages")
    from bokeh.application import Application
    from bokeh.server.server import Server
    from bokeh.settings import settings

    from ensemble.play.windows import Windows

    logging.getLogger("bokeh").setLevel(logging.ERROR)  # a window that is closed is no warning
    logging.getLogger("tornado.application").addFilter(_worth_a_word)
    settings.resources = "server"  # whatever the environment says: offline

    last = None
    for tried in range(port, port + PORTS) if port else [_free_port(host)]:
        try:
            server = Server(
                {"/": Application(Windows(warm))}, address=host, port=tried,
                allow_websocket_origin=_origins(host, tried), check_unused_sessions_milliseconds=500,
                unused_session_lifetime_milliseconds=UNUSED_MS,
                websocket_max_message_size=MESSAGE_BYTES,
            )  # fmt: skip
        except OSError as error:
            last = error
            continue
        server.start()
        return server
    raise OSError(f"cannot listen on {host}, ports {port} to {port + PORTS - 1}: {last}")


def _worth_a_word(record: logging.LogRecord) -> bool:
    """Return whether an error of the server is one: Bokeh asserts a session in windows that close while they open."""
    return not (record.exc_info and record.exc_info[0] is AssertionError and "GET /ws" in record.getMessage())


def _origins(host: str, port: int) -> list[str]:
    """Return the addresses whose pages may talk to the server: its own, under each name of this machine."""
    names = {"localhost", LOOPBACK, host}
    if host not in names - {host}:
        names |= {socket.gethostname(), socket.getfqdn()}
        with suppress(OSError):
            names |= {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    return [f"{name}:{port}" for name in sorted(names)]


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as found:
        return int(found.getsockname()[1])


def warm_up(warm: threading.Event) -> None:
    """Compile every kernel that a window may need, the usual ones first, then set `warm`."""
    line, plane = sample("quadratic", 20), sample_labels("xor", 20)
    limits.width_floor(line.x_train, line.y_train, np.array([1]))
    train(grid(width=2, hidden_layers=[1, 2]), line, epochs=1, progress=False)
    train(grid(width=2, hidden_layers=[1, 2]), plane, epochs=1, loss="cross_entropy", progress=False)
    warm.set()
