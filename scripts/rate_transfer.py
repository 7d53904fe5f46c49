"""Does the best learning rate move with the width, and does mu-P hold it still? Maps of both, and the first steps."""

import sys

from ensemble import cli
from ensemble.studies import transfer_setup


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    return cli.run(cli.build_parser("rate_transfer", __doc__), transfer_setup, arguments)


if __name__ == "__main__":
    sys.exit(main())
