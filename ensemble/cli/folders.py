"""The commands of `python -m ensemble` that keep run folders in order, and the map of all commands, its help.

What a shell completes is read from the same parser, with the arguments of every other command in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ensemble import store
from ensemble.cli import play, runs
from ensemble.cli.parser import Parser, build_parser
from ensemble.cli.signals import DONE, FAILED, USAGE, Stage, unread
from ensemble.data import TARGETS
from ensemble.specs import CHOICES
from ensemble.studies import STUDIES
from ensemble.system.extras import load_extra

__all__ = ["run"]

# Of each command that is no study an example, and what it does.
OTHERS = {
    "play": ("play", play.WORDS),
    "runs": ("runs results", "List what the run folders in a folder hold."),
    "verify": ("verify results/width_study", "Read every file of a run folder, or a study's, and say what is damaged."),
    "merge": ("merge results/w/run-*-of-8 --into results/w/run", "Join the run folders of shards, to draw from."),
    "completion": ("completion bash", "Print what a shell reads to complete these: bash, zsh or fish."),
}
SHELLS = ("bash", "zsh", "fish")


def run(arguments: Sequence[str], stage: Stage) -> int:
    """List, verify or merge run folders as the arguments say, and return the exit status."""
    parser = _parser("python -m ensemble")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # also --help and --version, with status 0
        return int(stop.code or 0)
    stage.words = "interrupted; the same command again goes on"
    try:
        if options.command == "runs":
            runs.say(options.folder, options.json)
            return DONE
        if options.command == "completion":
            return _completion(options.shell)
        return _merge(options.folders, options.into) if options.command == "merge" else _verify(options.folder)
    except (ImportError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and unread():
            raise
        print(f"python -m ensemble: error: {error}", file=sys.stderr)
        return USAGE


def _parser(prog: str, *, whole: bool = False) -> Parser:
    """Return the parser of all commands; `whole`: with the arguments of those that parse their own."""
    parser = Parser(
        prog=prog, usage="%(prog)s COMMAND ...", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_map(),
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, help="one of these", prog=prog)

    def add(name: str, words: str, **settings: Any) -> argparse.ArgumentParser:
        # Without help of its own a command is not listed below the map; and what is not listed is not completed.
        settings |= {"help": words} if whole else {}
        return commands.add_parser(name, description=words, **settings)

    own = {study.replace("_", "-"): (words, partial(build_parser, study)) for study, (_, words, _) in STUDIES.items()}
    for name, (words, build) in (own | {"play": (play.WORDS, play.build_parser)}).items():
        # The parents know --help and --version, as every parser here does.
        theirs: Any = {"parents": [build()], "conflict_handler": "resolve"} if whole else {}
        add(name, words, add_help=False, **theirs)
    listing = add("runs", OTHERS["runs"][1])
    listing.add_argument("folder", metavar="DIR", nargs="?", default="results", help="default: results")
    listing.add_argument("--json", action="store_true", help="print a list of objects, for programs")
    check = add("verify", OTHERS["verify"][1])
    check.add_argument("folder", metavar="DIR", help="such as results/width_study")
    join = add("merge", OTHERS["merge"][1])
    join.add_argument("folders", nargs="+", metavar="DIR", help="such as results/width_study/run-*-of-8")
    join.add_argument("--into", required=True, metavar="DIR", help="such as results/width_study/run")
    add("completion", OTHERS["completion"][1]).add_argument("shell", choices=SHELLS)
    return parser


def _completion(shell: str) -> int:
    """Print what a shell reads to complete commands, arguments and their values: it starts no Python for it."""
    shtab = load_extra("shtab", "completion", "completions of a shell")
    parser = _parser("relu-ensemble", whole=True)
    values = {"target": TARGETS, "optimizers": CHOICES["optimizer"], "format": ("png", "svg", "pdf")}
    paths = {"data": shtab.FILE} | dict.fromkeys(("out", "store", "into", "folder", "folders"), shtab.DIRECTORY)
    every: Any = next(action for action in parser._actions if action.dest == "command")
    for action in (action for command in every.choices.values() for action in command._actions):
        action.choices = values.get(action.dest, action.choices)
        if action.dest in paths:
            action.complete = paths[action.dest]
    print(shtab.complete(parser, shell))
    return DONE


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
