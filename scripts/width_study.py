"""How wide must a two-layer ReLU network be? Test error against width, at the learning rate that suits each width."""

import sys

from ensemble import cli


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    return cli.main("width_study", arguments)


if __name__ == "__main__":
    sys.exit(main())
