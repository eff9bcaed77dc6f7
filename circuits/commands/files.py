"""What several commands write: figures, into a folder that is made for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from circuits.cli import write_bytes

DPI = 130


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make the folder, and name it in a ValueError if it can't be made or written in."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ValueError(f"out: must be a folder to write in, got {str(folder)!r} ({error.strerror})") from error


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """name.png and name.pdf, each at once."""
    for kind in ("png", "pdf"):
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI)
        write_bytes(folder / f"{name}.{kind}", buffer.getvalue())
