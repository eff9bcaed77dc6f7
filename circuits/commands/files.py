"""What several commands write: figures, into a folder that is made for them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from circuits import require
from circuits.cli import write_bytes

DPI = 130


RULE = "must be a folder to write in"


def check_folder(folder: Path) -> None:
    """Show that a folder can be made, or written in, before any long work is done for it; nothing is made.

    Raises ValueError naming it.
    """
    with _naming(folder):
        there = next(part for part in (folder, *folder.absolute().parents) if part.exists())
        require.that(there.is_dir() and os.access(there, os.W_OK), "out", RULE, str(folder))


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the folder, and name it in a ValueError if it can't be made or written in."""
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"out: {RULE}, got {str(folder)!r} ({error.strerror})") from error


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """name.png and name.pdf, each at once."""
    for kind in ("png", "pdf"):
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI)
        write_bytes(folder / f"{name}.{kind}", buffer.getvalue())
