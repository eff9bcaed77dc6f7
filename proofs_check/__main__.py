"""``python -m proofs_check`` is ``circuits verify``."""

import sys

from circuits.cli import main

if __name__ == "__main__":
    sys.exit(main(["verify", *sys.argv[1:]]))
