"""The command line: what the scripts and `python -m ensemble` call.

Nothing heavy is imported here: Ctrl-C is answered before NumPy is loaded, and while it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from ensemble.cli.signals import DONE, FAILED, INTERRUPTED, USAGE, Stage, guard

__all__ = ["DONE", "FAILED", "INTERRUPTED", "USAGE", "console", "main", "module", "script"]


def main(study: str, arguments: Sequence[str] | None = None, *, last: bool = False) -> int:
    """Run a study of `studies.STUDIES` with the arguments of its script, and return the exit status.

    Parameters
    ----------
    study : str
        Such as "width_study".
    arguments : sequence of str, optional
        Default: those of the command line.
    last : bool
        The process ends afterwards: signals that come then are ignored.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def body(stage: Stage) -> int:
        from ensemble.cli.run import run

        return run(study, given, stage)

    return guard(study, body, last=last)


def module(arguments: Sequence[str] | None = None, *, last: bool = False) -> int:
    """Run a command of `python -m ensemble` and return its exit status; parameters as in `main`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    study = given[0].replace("-", "_") if given else ""

    def body(stage: Stage) -> int:
        if study == "play":
            from ensemble.cli.play import run as play

            return play(given[1:], stage)
        from ensemble.cli.folders import run as manage
        from ensemble.cli.run import run
        from ensemble.studies import STUDIES

        return run(study, given[1:], stage) if study in STUDIES else manage(given, stage)

    return guard("python -m ensemble", body, last=last)


def console() -> NoReturn:
    """Run the console script `relu-ensemble`, which is `python -m ensemble`, and end the process."""
    sys.exit(module(last=True))


def script(study: str) -> NoReturn:
    """Run a study as its script and end the process."""
    sys.exit(main(study, last=True))
