"""Does the best learning rate move with the width, and does mu-P hold it still? Maps of both, and the first steps."""

from ensemble.cli import script

if __name__ == "__main__":
    script("rate_transfer")
