"""Does the best learning rate move with the width, and does mu-P hold it still? Maps of both, and the first steps."""

import sys

from ensemble import cli


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    return cli.main("rate_transfer", arguments)


if __name__ == "__main__":
    sys.exit(main())
