"""Named arrays in one file: numpy's npz, without pickles, replaced at once."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file so that, whenever the writer is killed, the old file or the new one is there, whole."""
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file. Raises ValueError naming the file when it is truncated or no such file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name}: must be a whole npz file, got {str(path)!r} ({error})") from error
