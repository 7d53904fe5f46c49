"""How does the fit come about? One width and learning rate, the fitted curve at a few epochs, and a table of MSEs."""

import sys

from ensemble import cli
from ensemble.studies import claims_setup, fit_setup


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    parser = cli.build_parser("fit_target", __doc__, single=True)
    parser.add_argument("--claims", action="store_true", help="put the claims of the original report to the test")
    return cli.run(parser, fit_setup, arguments, claims=claims_setup)


if __name__ == "__main__":
    sys.exit(main())
