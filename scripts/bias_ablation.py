"""What are the biases of a two-layer ReLU network worth? Test error against width with each bias on and off."""

import sys

from ensemble import cli


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run the study, say where the plots are, and return the exit status."""
    return cli.main("bias_ablation", arguments)


if __name__ == "__main__":
    sys.exit(main())
