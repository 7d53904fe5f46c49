"""The arguments that all studies take, and errors in one line.

`build_parser` makes the parser of one study.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ensemble.cli.signals import USAGE
from ensemble.data import TARGETS
from ensemble.specs import CHOICES
from ensemble.studies import STUDIES
from ensemble.studies.save import check_formats
from ensemble.system.provenance import installed
from ensemble.training.shards import parse_shard

__all__ = ["Parser", "build_parser"]

Value = TypeVar("Value")


class Parser(argparse.ArgumentParser):
    """An argument parser that knows ``--version``, and whose errors are one line, without the usage before it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        version = installed(["relu-ensemble"])["relu-ensemble"]
        self.add_argument("--version", action="version", version=f"%(prog)s, relu-ensemble {version}")

    def error(self, message: str) -> NoReturn:
        """Print the message on one line of stderr and exit with status 2."""
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def build_parser(study: str) -> Parser:
    """Return the parser of a study of `STUDIES`: where it takes one width, it takes one rate and one optimizer too."""
    parser = Parser(prog=study, description=STUDIES[study].words)
    single = "width" in inspect.signature(STUDIES[study].setup).parameters
    several: dict[str, Any] = {"nargs": 1} if single else {"nargs": "+"}
    data = parser.add_argument_group("what to learn")
    data.add_argument("--target", nargs="+", metavar="NAME", help=f"of {', '.join(TARGETS)} (default: the study's own)")
    noise = "noise A * U[0, 1) on the target (default: 0.01)"
    if study == "double_descent":
        noise = "standard deviation of the noise on the labels (default: 0.5)"
    data.add_argument("--noise", type=float, metavar="A", help=noise)
    data.add_argument("--data", metavar="FILE.csv", help="own data instead of a target; needs --x and --y")
    data.add_argument("--x", metavar="COLUMN", help="input column of the file")
    data.add_argument("--y", metavar="COLUMN", help="output column of the file")
    models = parser.add_argument_group("which models (default: the study's own)")
    models.add_argument("--widths", type=int, metavar="H", help="hidden units", **several)
    models.add_argument("--hidden-layers", type=int, nargs="+", metavar="L", help="hidden layers")
    models.add_argument("--seeds", type=int, metavar="N", help="number of seeds: 0 ... N - 1")
    models.add_argument("--lrs", type=float, metavar="RATE", help="learning rates", **several)
    models.add_argument("--optimizers", metavar="NAME", help=f"of {', '.join(CHOICES['optimizer'])}", **several)
    models.add_argument("--epochs", type=int, metavar="E", help="passes over the training data (default: 500)")
    models.add_argument("--batch-size", type=int, metavar="B", help="samples in a step (default: 0, all)")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help=f"folder (default: results/{study})")
    output.add_argument(
        "--store", metavar="DIR", help="folder that keeps finished models, to go on from (default: run in --out)"
    )
    output.add_argument(
        "--keep-state", action="store_true",
        help="keep what momentum and adam remember, so that more --epochs go on from there; up to 3 times the room",
    )  # fmt: skip
    output.add_argument(
        "--fresh", action="store_true", help="train again: forget what this command would take from the store"
    )
    output.add_argument(
        "--format", type=_plain(_formats), default=("png",), metavar="LIST", help="of png,svg,pdf (default: png)"
    )
    output.add_argument("--show", action="store_true", help="also open the plots in windows")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument(
        "--json", action="store_true", help="print the outcome as JSON on stdout and nothing else there"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads to train with (default: all cores)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="train on a Dask cluster: tcp://HOST:8786, or local")
    parser.add_argument(
        "--shard", type=_plain(parse_shard), metavar="K/N",
        help="train the K-th of N parts only, into run-K-of-N in --out; no plots",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan (models, cost, memory) and stop")
    if study == "double_descent":
        data.add_argument("--flips", type=float, metavar="P", help="share of labels that are flipped (default: 0.2)")
        models.add_argument("--draws", type=int, metavar="N", help="number of data sets (default: 10)")
        models.add_argument(
            "--weight-decays", type=float, nargs="+", metavar="W", help="of the arm with weight decay (default: 0.1 1)"
        )
    if study == "trainability":
        models.add_argument("--seed", type=int, metavar="S", help="of the initial weights of all networks (default: 3)")
        models.add_argument("--pixels", type=int, metavar="N", help="N x N networks (default: 1024, in batches 256)")
        models.add_argument(
            "--zoom", type=float, nargs=3, metavar=("X", "Y", "FACTOR"),
            help="a window FACTOR times smaller, around hidden rate X and output rate Y",
        )  # fmt: skip
    if study == "fit_target":
        parser.add_argument("--claims", action="store_true", help="put the claims of the original report to the test")
    return parser


def _plain(convert: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return a function that converts an argument, and whose ValueErrors argparse prints as they are."""

    def converted(text: str) -> Value:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def _formats(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    check_formats(found)
    return found
