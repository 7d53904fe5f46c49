"""`python -m ensemble play`: the playground in a browser."""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction
from collections.abc import Sequence

from ensemble.cli.parser import Parser
from ensemble.cli.signals import DONE, FAILED, USAGE, Stage

__all__ = ["WORDS", "build_parser", "run"]

WORDS = "Train hundreds of networks by moving sliders, in a browser on this machine."


def build_parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser(prog="python -m ensemble play", description=WORDS)
    parser.add_argument("--port", type=int, default=5006, metavar="N", help="the first port to try (default: 5006)")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine alone; 0.0.0.0 lets everyone in who reaches it)",
    )  # fmt: skip
    parser.add_argument(
        "--open", action=BooleanOptionalAction, default=sys.stdout.isatty(),
        help="open a browser (default: on a terminal)",
    )  # fmt: skip
    return parser


def run(arguments: Sequence[str], stage: Stage) -> int:
    """Serve the playground until it is interrupted, and return the exit status."""
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # also --help and --version, with status 0
        return int(stop.code or 0)
    if not 0 <= options.port <= 65535:
        return _end(USAGE, f"--port {options.port} is no port; 0 to 65535 are")
    try:
        from ensemble.play import serve

        stage.words = "the playground has ended"
        serve(options.host, options.port, lambda text: print(text, flush=True), options.open)
    except ImportError as error:
        return _end(USAGE, str(error))
    except (OSError, UnicodeError) as error:
        return _end(FAILED, str(error))
    return DONE


def _end(status: int, problem: str) -> int:
    print(f"python -m ensemble play: error: {problem}", file=sys.stderr)
    return status
