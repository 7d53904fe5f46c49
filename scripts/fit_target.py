"""How does the fit come about? One width and learning rate, the fitted curve at a few epochs, and a table of MSEs."""

import sys

from ensemble import cli


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    return cli.main("fit_target", arguments)


if __name__ == "__main__":
    sys.exit(main())
