"""``python -m circuits.training`` is ``circuits train-disentangled``."""

import sys

from circuits.cli import main

if __name__ == "__main__":
    sys.exit(main(["train-disentangled", *sys.argv[1:]]))
