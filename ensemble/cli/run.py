"""One study as a command: arguments to a setup, training, the study's files, and the outcome in a few lines.

Bad usage or input ends in one line on stderr and status 2, a failure to read or write in one line and status 1, and
`signals.guard` ends what is interrupted. Any other error is a mistake of this package and keeps its traceback.
"""

from __future__ import annotations

import inspect
import re
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ensemble.cli.parser import build_parser
from ensemble.cli.signals import DONE, FAILED, USAGE, Stage, unread
from ensemble.data import load_csv
from ensemble.distributed import connected
from ensemble.results import Result
from ensemble.store import OtherRunError
from ensemble.studies import STUDIES, Setup, Study, files
from ensemble.training.shards import shard

__all__ = ["run"]

# Flags whose name is not that of the study's argument.
_FLAGS = {
    "data": "--target or --data", "width": "--widths", "lr": "--lrs", "optimizer": "--optimizers",
    "hidden_layers": "--hidden-layers", "batch_size": "--batch-size",
}  # fmt: skip


def run(study: str, arguments: Sequence[str], stage: Stage) -> int:
    """Parse a study's arguments, train it, save it, and return the exit status.

    Parameters
    ----------
    study : str
        One of `STUDIES`.
    arguments : sequence of str
        As on the command line.
    stage : Stage
        Kept up to date.
    """
    try:
        options = build_parser(study).parse_args(arguments)
    except SystemExit as stop:  # also --help and --version, with status 0
        return int(stop.code or 0)
    for flag in ("out", "store", "data"):
        if "\0" in (getattr(options, flag) or ""):
            return _end(study, USAGE, f"--{flag} {getattr(options, flag)!r} holds a null byte")
    name = "claims" if getattr(options, "claims", False) else study
    if options.out is None:
        options.out = f"results/{name}"
    if options.store is None:
        part = "" if options.shard is None else f"-{options.shard[0]}-of-{options.shard[1]}"
        options.store = str(Path(options.out, f"run{part}"))
    failed = ""
    trained: Study | None = None
    try:
        ready = _setup(name, options)
        if options.dry_run:
            _say_plan(ready, options)
            return DONE
        files.prepare_folder(options.out)
        kept = f"finished models are kept in {options.store}: run the same command again to go on"
        stage.words = f"interrupted while training; {kept}"
        failed = f"; what is in {options.store} stays valid"
        trained = _train(ready, options)
        stage.words = (
            f"interrupted while writing; the files in {options.out} are whole: run the same command again to go on"
        )
        failed = ""
        if trained is not None:
            still = trained.saved(options.out, options.format)
            _say(trained, still or trained.save(options.out, options.format), options, kept=bool(still))
            if options.show:
                trained.show()
        return DONE
    except OtherRunError as error:
        return _end(study, USAGE, f"{error} (--fresh); --out DIR keeps both")
    except ValueError as error:
        if trained is not None:  # what was asked for was good: a mistake of this package
            raise
        return _end(study, USAGE, str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and unread():
            raise
        again = "; the same command goes on" if isinstance(error, ConnectionError) else ""
        return _end(study, FAILED, f"{error}{failed}{again}")
    except BrokenExecutor as error:
        return _end(study, FAILED, str(error))


def _end(study: str, status: int, problem: str) -> int:
    print(f"{study}: error: {' '.join(problem.split())}", file=sys.stderr)
    return status


def _setup(name: str, options: Namespace) -> Setup[Any]:
    """Return the setup that the options ask for, all models or those of a shard."""
    setup, given = STUDIES[name].setup, _study_arguments(name, options)
    if options.scheduler is not None and not re.fullmatch(r"local|[a-z]+://\S+:\d+", options.scheduler):
        raise ValueError(f"--scheduler {options.scheduler!r} is no address such as tcp://HOST:8786, nor local")
    if options.scheduler is not None and options.threads is not None:
        raise ValueError("--threads and --scheduler exclude each other; the cluster's workers decide")
    if options.shard is not None and options.show:
        raise ValueError("--show and --shard exclude each other; a shard draws nothing")
    ready = replace(setup(**given), keep_state=options.keep_state)
    for flag in ("shard", "keep_state"):
        if getattr(options, flag) and not ready.stored:
            raise ValueError(f"--{flag.replace('_', '-')} does not go with {name}")
    if options.shard is None:
        return ready
    return replace(ready, specs=ready.specs[shard(ready.specs, ready.datasets, *options.shard)])


def _study_arguments(name: str, options: Namespace) -> dict[str, Any]:
    """Return the arguments of the study's function that were given; the others are its defaults."""
    known = inspect.signature(STUDIES[name].setup).parameters
    given = {flag: getattr(options, flag) for flag in ("seeds", "epochs", "noise", "batch_size")}
    given["data"] = options.target
    given |= {
        flag: getattr(options, flag, None) for flag in ("draws", "flips", "weight_decays", "seed", "pixels", "zoom")
    }
    for flag in ("widths", "lrs", "optimizers"):
        values, single = getattr(options, flag), flag.removesuffix("s")
        if values and len(values) > 1 and single in known:
            raise ValueError(f"--{flag} is {values}; {name} takes one")
        given[single if single in known else flag] = values[0] if values and single in known else values
    depths = options.hidden_layers
    if depths and "hidden_layers" in known and isinstance(known["hidden_layers"].default, int):
        if len(depths) > 1:
            raise ValueError(f"--hidden-layers is {depths}; {name} takes one number")
        depths = depths[0]
    given["hidden_layers"] = depths
    if options.data is not None:
        for flag in ("target", "noise"):
            if getattr(options, flag) is not None:
                raise ValueError(f"--{flag} and --data exclude each other")
        if options.x is None or options.y is None:
            raise ValueError(f"--data needs --{'x' if options.x is None else 'y'} COLUMN")
        given["data"] = load_csv(options.data, x=options.x, y=options.y)
    elif options.x is not None or options.y is not None:
        raise ValueError(f"--{'y' if options.x is None else 'x'} names a column, but there is no --data FILE.csv")
    given = {flag: value for flag, value in given.items() if value is not None}
    for flag in given:
        if flag not in known:
            raise ValueError(f"{_FLAGS.get(flag, f'--{flag}')} does not go with {'--' * (name == 'claims')}{name}")
    return given


def _train(ready: Setup[Any], options: Namespace) -> Study | None:
    """Return the trained study, or None where only a shard of it was asked for."""
    if not (options.quiet or options.json):
        for note in ready.notes:
            print(note)
    if options.fresh:
        ready.forget(options.store)
    with _cluster(options) as executor:
        where = {
            "threads": options.threads, "progress": False if options.quiet else None, "store": options.store,
            "executor": executor,
        }  # fmt: skip
        if options.shard is not None:
            _say_shard(ready.train(**where), ready, options)
            return None
        study: Study = ready.run(**where)
        return study


@contextmanager
def _cluster(options: Namespace) -> Iterator[Executor | None]:
    """Yield the executor that was asked for, None for threads of this process."""
    if options.scheduler is None:
        yield None
        return

    def say(text: str) -> None:
        if not (options.quiet or options.json):
            print(text, file=sys.stderr)

    try:
        with connected(options.scheduler, say) as executor:
            yield executor
    except ImportError as error:
        raise ValueError(str(error)) from error


# ---- what is printed ----


def _say_plan(ready: Setup[Any], options: Namespace) -> None:
    """Print what the study would cost."""
    plan = ready.plan()
    costs = {"models": plan.models, "core_seconds": plan.cost, "memory_bytes": plan.memory}
    print(files.json_text({"study": ready.study.name, "plan": costs}) if options.json else plan)


def _say_shard(result: Result, ready: Setup[Any], options: Namespace) -> None:
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


def _say(study: Study, written: Sequence[Path], options: Namespace, *, kept: bool) -> None:
    """Print the outcome: as JSON, or as a table and where the plots are, or are still."""
    if options.json:
        found = {"answer": study.answer(), "summary": study.summary, "files": [str(path) for path in written]}
        print(files.json_text(study.about() | found))
    elif not options.quiet:
        print(study.outcome())
        trained, models = study.trained, study.models
        loaded = f"{models - trained:,} models loaded from {options.store}"
        new = f"{trained:,} models trained in {study.training_seconds:.1f} s"
        how = new if trained == models else f"{loaded}, {new}" if trained else f"{loaded}, none trained"
        still = " as they were, nothing has changed" if kept else ""
        print(f"{how} ({study.diverged:,} diverged); plots and tables are in {options.out}{still}:")
        print("  " + "  ".join(path.name for path in written))
        print(study.answer())
