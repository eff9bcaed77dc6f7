"""``python -m circuits.training.sweeps.job WORK CONFIG FOLDER PARENT`` does one job of a sweep.

It ends early if the process PARENT ends. Imports jax only to train.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

TRAIN = "circuits.training.sweeps.job:train"


def train(config: dict[str, Any], folder: Path) -> None:
    """Train, resuming from the latest checkpoint if there is one."""
    import jax

    from circuits.training import transformer
    from circuits.training.config import TrainConfig
    from circuits.training.records import from_json

    jax.config.update("jax_enable_x64", True)  # as ``circuits train`` does
    transformer.train(from_json(TrainConfig, config), folder, resume=True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    work, config, folder, parent = sys.argv[1:]
    threading.Thread(target=_end_with, args=[int(parent)], daemon=True).start()
    resolve_name(work)(json.loads(config), Path(folder))
