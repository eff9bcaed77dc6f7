"""One job of a sweep, as its own process sees it. Imports jax only to train.

runs/<job>/         the run folder, as ``transformer.train`` leaves it
failed/<job>.txt    why the last attempt failed
logs/<job>.txt      what the job printed
locks/<job>         locked by the process that works on the job
"""

import fcntl
import json
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from circuits.files import write_text

FOLDERS = ("runs", "failed", "logs", "locks")
TRAIN = "circuits.training.sweeps.job:train"
BUSY, INTERRUPTED = 75, 130
"""Exit codes of a process whose job another process works on, and of one whose parent ended."""


def train(config: dict[str, Any], folder: Path) -> None:
    """Train, from the latest checkpoint if there is one."""
    import jax

    from circuits.training import transformer
    from circuits.training.config import TrainConfig
    from circuits.training.records import from_json

    jax.config.update("jax_enable_x64", True)  # as ``circuits train`` does
    transformer.train(from_json(TrainConfig, config), folder, resume=True)


def perform(work: str, config: dict[str, Any], folder: Path, name: str) -> None:
    """Call ``work``, a function like ``train``, and record its error if it fails.

    Exits with BUSY if another process works on the job.
    """
    with locked(folder, name) as ours:
        if not ours:
            raise SystemExit(BUSY)
        failed = folder / "failed" / f"{name}.txt"
        failed.unlink(missing_ok=True)
        try:
            resolve_name(work)(config, folder / "runs" / name)
        except Exception:
            write_text(failed, traceback.format_exc())


@contextmanager
def locked(folder: Path, name: str) -> Iterator[bool]:
    """Hold the lock of a job, which the system releases when the process ends; False if another process has it."""
    with (folder / "locks" / name).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _end_with_parent() -> None:
    """Wait for the end of standard input, and end this process."""
    os.read(0, 1)  # sys.stdin would hold a lock that Python needs when it shuts down
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    perform(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
