"""The number of processor cores to use."""

import os
import sys


def available_cores() -> int:
    """Return the number of cores that this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
