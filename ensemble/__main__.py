"""`python -m ensemble COMMAND`: the studies, as their scripts run them, and what keeps run folders in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ensemble import __version__, store
from ensemble.cli import run as cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    studies = {name.replace("_", "-"): name for name in cli.STUDIES}
    if given and given[0] in studies:
        return cli.main(studies[given[0]], given[1:])
    parser = cli.Parser(prog="python -m ensemble", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"relu-ensemble {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, study in studies.items():
        commands.add_parser(name, help=cli.STUDIES[study].question, add_help=False)
    check = commands.add_parser("verify", help="Read every file of a run folder and say what is damaged.")
    check.add_argument("folder", metavar="DIR", help="such as results/width_study/run")
    join = commands.add_parser("merge", help="Join the run folders of shards into one, to draw from.")
    join.add_argument("folders", nargs="+", metavar="DIR", help="such as results/width_study/run-*-of-8")
    join.add_argument("--into", required=True, metavar="DIR", help="such as results/width_study/run")
    try:
        options = parser.parse_args(given)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        if options.command == "merge":
            return _merge(options.folders, options.into)
        return _verify(options.folder)
    except (ValueError, OSError) as error:
        print(f"python -m ensemble: error: {error}", file=sys.stderr)
        return cli.USAGE
    except KeyboardInterrupt:
        print("python -m ensemble: interrupted; the same command again goes on", file=sys.stderr)
        return cli.INTERRUPTED


def _merge(folders: Sequence[str], into: str) -> int:
    """Join run folders and say what to do with the result."""
    models = len(store.merge(folders, into))
    print(f"{into}: {models:,} models of {len(folders):,} runs; the study's command without --shard now draws them")
    return cli.DONE


def _verify(folder: str) -> int:
    """Print what is in a run folder; status 1 where something is damaged."""
    found = store.verify(folder)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    state = "finished" if found.done == found.models else "unfinished: the same command again goes on"
    print(
        f"{folder}: {found.files:,} files, {len(found.problems):,} damaged, {found.done:,} of {found.models:,} models "
        f"({state})"
    )
    return cli.FAILED if found.problems else cli.DONE


if __name__ == "__main__":
    sys.exit(main())
