"""How does the fit come about? One width and learning rate, the fitted curve at a few epochs, and a table of MSEs."""

import sys

from ensemble import cli
from ensemble.studies import fit_setup


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    return cli.run(cli.build_parser("fit_target", __doc__, single=True), fit_setup, arguments)


if __name__ == "__main__":
    sys.exit(main())
