"""`python -m ensemble COMMAND`: the studies, as their scripts run them, and what keeps run folders in order."""

import sys

from ensemble import cli

if __name__ == "__main__":
    sys.exit(cli.module(last=True))
