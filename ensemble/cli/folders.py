"""The commands of `python -m ensemble` that keep run folders in order, and the map of all commands, its help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ensemble import store
from ensemble.cli import runs
from ensemble.cli.parser import Parser
from ensemble.cli.play import WORDS
from ensemble.cli.signals import DONE, FAILED, USAGE, Stage
from ensemble.studies import STUDIES

__all__ = ["run"]

# Of each command that is no study an example, and what it does.
OTHERS = {
    "play": ("play", WORDS),
    "runs": ("runs results", "List what the run folders in a folder hold."),
    "verify": ("verify results/width_study", "Read every file of a run folder, or a study's, and say what is damaged."),
    "merge": ("merge results/w/run-*-of-8 --into results/w/run", "Join the run folders of shards, to draw from."),
}


def run(arguments: Sequence[str], stage: Stage) -> int:
    """List, verify or merge run folders as the arguments say, and return the exit status."""
    parser = Parser(
        prog="python -m ensemble", usage="%(prog)s COMMAND ...", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_map(),
    )  # fmt: skip
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, help="one of these", prog="python -m ensemble"
    )
    for name in (*(name.replace("_", "-") for name in STUDIES), "play"):
        commands.add_parser(name, add_help=False)  # the caller runs these
    listing = commands.add_parser("runs", description=OTHERS["runs"][1])
    listing.add_argument("folder", metavar="DIR", nargs="?", default="results", help="default: results")
    listing.add_argument("--json", action="store_true", help="print a list of objects, for programs")
    check = commands.add_parser("verify", description=OTHERS["verify"][1])
    check.add_argument("folder", metavar="DIR", help="such as results/width_study")
    join = commands.add_parser("merge", description=OTHERS["merge"][1])
    join.add_argument("folders", nargs="+", metavar="DIR", help="such as results/width_study/run-*-of-8")
    join.add_argument("--into", required=True, metavar="DIR", help="such as results/width_study/run")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # also --help and --version, with status 0
        return int(stop.code or 0)
    stage.words = "interrupted; the same command again goes on"
    try:
        if options.command == "runs":
            runs.say(options.folder, options.json)
            return DONE
        return _merge(options.folders, options.into) if options.command == "merge" else _verify(options.folder)
    except (ValueError, OSError) as error:
        print(f"python -m ensemble: error: {error}", file=sys.stderr)
        return USAGE


def _map() -> str:
    """Return a line for each command: an example, and what it answers or does."""
    lines = [
        (f"{name.replace('_', '-')} {study.example}", study.words.partition("?")[0] + "?")
        for name, study in STUDIES.items()
    ]
    lines += OTHERS.values()
    width = max(len(example) for example, _ in lines)
    table = "\n".join(f"  {example:{width}}  {words}" for example, words in lines)
    return f"All commands, each with an example; COMMAND --help lists its arguments.\n\n{table}"


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
