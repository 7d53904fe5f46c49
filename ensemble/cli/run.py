"""What the scripts share: arguments, messages and exit statuses.

A script builds its parser here and hands a study's setup function to `run`; nothing else stands between them.
"""

from __future__ import annotations

import argparse
import inspect
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ensemble import __version__
from ensemble.data import TARGETS, load_csv
from ensemble.distributed import connected
from ensemble.results import Result
from ensemble.store import OtherRunError, clear
from ensemble.studies import bias_setup, claims_setup, files, fit_setup, transfer_setup, width_setup
from ensemble.studies.study import Setup, Study
from ensemble.training.shards import parse_shard, shard

__all__ = ["DONE", "FAILED", "INTERRUPTED", "STUDIES", "TERMINATED", "USAGE", "Parser", "build_parser", "main", "run"]

DONE, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143  # exit statuses


# Flags whose name is not that of the setup function's argument.
_FLAGS = {"data": "--target or --data", "width": "--widths", "lr": "--lrs", "optimizer": "--optimizers"}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Print the message on one line of stderr and exit with status 2."""
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


class Command(NamedTuple):
    """A study as a command: what makes it, what it asks, and whether it takes one width, rate and optimizer."""

    setup: Callable[..., Setup[Any]]
    question: str
    single: bool = False


STUDIES = {
    "width_study": Command(
        width_setup,
        "How wide must a two-layer ReLU network be? Test error against width, at the learning rate that suits each.",
    ),
    "bias_ablation": Command(
        bias_setup,
        "What are the biases of a two-layer ReLU network worth? Test error against width with each bias on and off.",
    ),
    "rate_transfer": Command(
        transfer_setup,
        "Does the best learning rate move with the width, and does mu-P hold it still? Maps of both, first steps.",
    ),
    "fit_target": Command(
        fit_setup,
        "How does the fit come about? One width and learning rate, the fitted curve at a few epochs, and its MSEs.",
        single=True,
    ),
}


def main(study: str, arguments: Sequence[str] | None = None) -> int:
    """Run a study of `STUDIES` as its script does, and return the exit status."""
    command = STUDIES[study]
    parser = build_parser(study, command.question, single=command.single)
    modes: dict[str, Callable[..., Setup[Any]]] = {}
    if study == "fit_target":
        parser.add_argument("--claims", action="store_true", help="put the claims of the original report to the test")
        modes["claims"] = claims_setup
    return run(parser, command.setup, arguments, **modes)


def build_parser(study: str, description: str, *, single: bool = False) -> argparse.ArgumentParser:
    """Return the parser of a study's script.

    Parameters
    ----------
    study : str
        Name of the study, as of its script and its folder of results.
    description : str
        Printed by ``--help``.
    single : bool
        The study takes one width, one learning rate and one optimizer instead of lists.
    """
    parser = Parser(prog=study, description=description, allow_abbrev=False)
    parser.set_defaults(single=single)
    several: dict[str, Any] = {"nargs": 1} if single else {"nargs": "+"}
    data = parser.add_argument_group("what to learn")
    data.add_argument("--target", nargs="+", metavar="NAME", help=f"of {', '.join(TARGETS)} (default: the study's own)")
    data.add_argument("--noise", type=float, metavar="A", help="noise A * U[0, 1) on the target (default: 0.01)")
    data.add_argument("--data", metavar="FILE.csv", help="own data instead of a target; needs --x and --y")
    data.add_argument("--x", metavar="COLUMN", help="input column of the file")
    data.add_argument("--y", metavar="COLUMN", help="output column of the file")
    models = parser.add_argument_group("which models (default: the study's own)")
    models.add_argument("--widths", type=int, metavar="H", help="hidden units", **several)
    models.add_argument("--seeds", type=int, metavar="N", help="number of seeds: 0 ... N - 1")
    models.add_argument("--lrs", type=float, metavar="RATE", help="learning rates", **several)
    models.add_argument("--optimizers", metavar="NAME", help="of gd, momentum, adam", **several)
    models.add_argument("--epochs", type=int, metavar="E", help="full-batch steps (default: 500)")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help=f"folder (default: results/{study})")
    output.add_argument(
        "--store", metavar="DIR", help="folder that keeps finished models, to go on from (default: run in --out)"
    )
    output.add_argument("--fresh", action="store_true", help="start anew: forget what the store holds")
    output.add_argument(
        "--format", type=_formats, default=("png",), metavar="LIST", help="of png,svg,pdf (default: png)"
    )
    output.add_argument("--show", action="store_true", help="also open the plots in windows")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument(
        "--json", action="store_true", help="print the outcome as JSON on stdout and nothing else there"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads to train with (default: all cores)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="train on a Dask cluster: tcp://HOST:8786, or local")
    parser.add_argument(
        "--shard", type=_shard, metavar="K/N", help="train the K-th of N parts only, into run-K-of-N in --out; no plots"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan (models, cost, memory) and stop")
    parser.add_argument("--version", action="version", version=f"%(prog)s, relu-ensemble {__version__}")
    return parser


def run(
    parser: argparse.ArgumentParser,
    setup: Callable[..., Setup[Any]],
    arguments: Sequence[str] | None = None,
    **modes: Callable[..., Setup[Any]],
) -> int:
    """Parse the arguments, train the study that `setup` makes of them, save it, and return the exit status.

    Bad usage or input ends in one line on stderr and status 2, an interrupt in one line and status 130, a failure to
    write in one line and status 1. Anything else is a mistake of this package and keeps its traceback (status 1).

    Parameters
    ----------
    parser : ArgumentParser
        From `build_parser`.
    setup : callable
        `width_setup` or another study's.
    arguments : sequence of str, optional
        Default: those of the command line.
    **modes : callables
        Setup functions of other studies, each taken where the flag of its name is given.
    """
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # also --help and --version, with status 0
        return int(stop.code or 0)
    mode = next((name for name in modes if getattr(options, name)), None)
    if options.out is None:
        options.out = f"results/{mode or parser.prog}"
    if options.store is None:
        part = "" if options.shard is None else f"-{options.shard[0]}-of-{options.shard[1]}"
        options.store = str(Path(options.out, f"run{part}"))
    with _terminable():
        return _run(parser, modes[mode] if mode else setup, options, mode)


def _run(
    parser: argparse.ArgumentParser, setup: Callable[..., Setup[Any]], options: argparse.Namespace, mode: str | None
) -> int:
    try:
        study = _train(setup, options, mode)
        if study is None:
            return DONE
    except OtherRunError as error:
        return _end(parser, USAGE, f"error: {error} (--fresh); --out DIR keeps both")
    except ValueError as error:
        return _end(parser, USAGE, f"error: {error}")
    except OSError as error:
        again = "; the same command goes on" if isinstance(error, ConnectionError) else ""
        return _end(parser, FAILED, f"error: {error}; what is in {options.store} stays valid{again}")
    except BrokenExecutor as error:
        return _end(parser, FAILED, f"error: {error}")
    except KeyboardInterrupt as stop:
        kept = f"finished models are kept in {options.store}: run the same command again to go on"
        return _end(parser, _status(stop), f"interrupted while training; {kept}")
    try:
        written = study.save(options.out, options.format)
        _say(study, written, options)
        if options.show:
            from ensemble import plots

            plots.show(study)
    except OSError as error:
        return _end(parser, FAILED, f"error: {error}")
    except KeyboardInterrupt as stop:
        return _end(
            parser, _status(stop),
            f"interrupted while writing; the files in {options.out} are whole: run the same command again to go on",
        )  # fmt: skip
    return DONE


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a script as Ctrl-C does, but for the exit status."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise inside, and see to it that neither SIGTERM nor Ctrl-C is lost.

    Where a signal happens to come while Python runs a callback of C code, it prints the exception and goes on. So each
    signal comes again after a second, unless all has ended by then.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread alone
        yield
        return
    timers: list[threading.Timer] = []

    def stop(number: int, _: Any) -> NoReturn:
        timers.append(threading.Timer(1.0, signal.raise_signal, [number]))
        timers[-1].daemon = True
        timers[-1].start()
        raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def ignored(found: Any) -> None:
        if not isinstance(found.exc_value, KeyboardInterrupt):
            hook(found)

    hook, sys.unraisablehook = sys.unraisablehook, ignored
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()
        sys.unraisablehook = hook


def _status(stop: KeyboardInterrupt) -> int:
    return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED


def _train(setup: Callable[..., Setup[Any]], options: argparse.Namespace, mode: str | None) -> Study | None:
    """Return the trained study, or None where only the plan was asked for."""
    given = _study_arguments(options)
    for name in given:
        if name not in inspect.signature(setup).parameters:
            raise ValueError(f"{_FLAGS.get(name, f'--{name}')} does not go with --{mode}")
    if options.scheduler is not None and not re.fullmatch(r"local|[a-z]+://\S+:\d+", options.scheduler):
        raise ValueError(f"--scheduler {options.scheduler!r} is no address such as tcp://HOST:8786, nor local")
    if options.scheduler is not None and options.threads is not None:
        raise ValueError("--threads and --scheduler exclude each other; the cluster's workers decide")
    if options.shard is not None and options.show:
        raise ValueError("--show and --shard exclude each other; a shard draws nothing")
    ready = setup(**given)
    if options.shard is not None:
        ready = replace(ready, specs=ready.specs[shard(ready.specs, ready.datasets, *options.shard)])
    if options.dry_run:
        plan = ready.plan()
        costs = {"models": plan.models, "core_seconds": plan.cost, "memory_bytes": plan.memory}
        print(files.json_text({"study": ready.study.name, "plan": costs}) if options.json else plan)
        return None
    files.prepare_folder(options.out)
    if not (options.quiet or options.json):
        for note in ready.notes:
            print(note)
    if options.fresh:
        clear(options.store)
    with _cluster(options) as executor:
        arguments = {
            "threads": options.threads, "progress": False if options.quiet else None, "store": options.store,
            "executor": executor,
        }  # fmt: skip
        if options.shard is not None:
            _say_shard(ready.train(**arguments), ready, options)
            return None
        study: Study = ready.run(**arguments)
    return study


@contextmanager
def _cluster(options: argparse.Namespace) -> Iterator[Executor | None]:
    """Yield the executor that was asked for, None for threads of this process."""
    if options.scheduler is None:
        yield None
        return

    def say(text: str) -> None:
        if not (options.quiet or options.json):
            print(text, file=sys.stderr)

    with ExitStack() as held:
        try:
            executor = held.enter_context(connected(options.scheduler, say))
        except ImportError as error:
            raise ValueError(str(error)) from error
        yield executor


def _say_shard(result: Result, ready: Setup[Any], options: argparse.Namespace) -> None:
    """Print what a shard has done, and what is to be done with it."""
    number, count = options.shard
    if options.json:
        print(files.json_text({
            "study": ready.study.name, "shard": [number, count], "models": len(result), "store": options.store
        }))  # fmt: skip
    elif not options.quiet:
        every, whole = Path(options.out, f"run-*-of-{count}"), Path(options.out, "run")
        print(
            f"shard {number} of {count}: {len(result):,} models are in {options.store}; when all are done: "
            f"python -m ensemble merge {every} --into {whole}, then this command without --shard draws"
        )


def _study_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the setup function's arguments: those that were given, the others being the study's defaults."""
    given = {name: getattr(options, name) for name in ("seeds", "epochs", "noise")}
    for name in ("widths", "lrs", "optimizers"):
        values = getattr(options, name)
        single = values is not None and options.single
        given[name.removesuffix("s") if options.single else name] = values[0] if single else values
    given["data"] = options.target
    if options.data is not None:
        for name in ("target", "noise"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} and --data exclude each other")
        if options.x is None or options.y is None:
            raise ValueError(f"--data needs --{'x' if options.x is None else 'y'} COLUMN")
        given["data"] = load_csv(options.data, x=options.x, y=options.y)
    elif options.x is not None or options.y is not None:
        raise ValueError(f"--{'y' if options.x is None else 'x'} names a column, but there is no --data FILE.csv")
    return {name: value for name, value in given.items() if value is not None}


def _say(study: Study, written: Sequence[Path], options: argparse.Namespace) -> None:
    """Print the outcome: as JSON, or as a table and where the plots are."""
    if options.json:
        print(
            files.json_text(
                study.record() | {"summary": study.summary_rows(), "files": [str(path) for path in written]}
            )
        )
    elif not options.quiet:
        diverged = int((study.result.status == "diverged").sum())
        print(study.report())
        print(
            f"{len(study.specs):,} models trained in {study.training_seconds:.1f} s ({diverged:,} diverged); "
            f"plots and tables are in {options.out}:"
        )
        print("  " + "  ".join(path.name for path in written))


def _end(parser: argparse.ArgumentParser, status: int, message: str) -> int:
    print(f"{parser.prog}: {' '.join(message.split())}", file=sys.stderr)
    return status


def _shard(text: str) -> tuple[int, int]:
    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _formats(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in found:
        try:
            files.check_format(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return found
