"""The commands of `python -m ensemble` that keep run folders in order: `verify` and `merge`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ensemble import store
from ensemble.cli.parser import Parser
from ensemble.cli.play import WORDS
from ensemble.cli.signals import DONE, FAILED, USAGE, Stage
from ensemble.studies import STUDIES

__all__ = ["run"]


def run(arguments: Sequence[str], stage: Stage) -> int:
    """Verify or merge run folders as the arguments say, and return the exit status."""
    parser = Parser(
        prog="python -m ensemble",
        description="The studies, as their scripts run them, and what keeps run folders in order.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, study in STUDIES.items():
        commands.add_parser(name.replace("_", "-"), help=study.words, add_help=False)
    commands.add_parser("play", help=WORDS, add_help=False)
    check = commands.add_parser("verify", help="Read every file of a run folder and say what is damaged.")
    check.add_argument("folder", metavar="DIR", help="such as results/width_study")
    join = commands.add_parser("merge", help="Join the run folders of shards into one, to draw from.")
    join.add_argument("folders", nargs="+", metavar="DIR", help="such as results/width_study/run-*-of-8")
    join.add_argument("--into", required=True, metavar="DIR", help="such as results/width_study/run")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # also --help and --version, with status 0
        return int(stop.code or 0)
    stage.words = "interrupted; the same command again goes on"
    try:
        return _merge(options.folders, options.into) if options.command == "merge" else _verify(options.folder)
    except (ValueError, OSError) as error:
        print(f"python -m ensemble: error: {error}", file=sys.stderr)
        return USAGE


def _merge(folders: Sequence[str], into: str) -> int:
    """Join run folders and say what to do with the result."""
    models = len(store.merge(folders, into))
    print(f"{into}: {models:,} models of {len(folders):,} runs; the study's command without --shard now draws them")
    return DONE


def _verify(folder: str) -> int:
    """Print what is in a run folder, or in that of a study's folder; status 1 where something is damaged."""
    if Path(folder, "run").is_dir():
        folder = str(Path(folder, "run"))
    found = store.verify(folder)
    for problem in [*found.problems, *filter(None, [found.mixed])]:
        print(problem, file=sys.stderr)
    state = "finished" if found.done == found.models else "unfinished: the same command again goes on"
    print(
        f"{folder}: {found.files:,} files, {len(found.problems):,} damaged, {found.done:,} of {found.models:,} models "
        f"({state})"
    )
    return FAILED if found.problems else DONE
