"""The ``circuits`` command: finds the subcommands, parses arguments, writes files. Nothing else does either.

A subcommand is a function that returns an exit code, or None for 0. Packages register theirs in the
entry-point group ``circuits.commands``, and only the one that is asked for is imported.
"""

import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import jax
from tyro.extras import SubcommandApp

from circuits import require

GROUP = "circuits.commands"
DESCRIPTION = "Verify, watch and find the reverse reasoning circuit that multi-token prediction is said to induce."


class UsageError(ValueError):
    """A command was asked for something it can't do. The user sees the message alone, and exit code 2."""


@contextmanager
def usage() -> Iterator[None]:
    """Around what a command does with its arguments: a ``ValueError`` in here is the caller's mistake."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code: its own, 2 for bad usage, 130 when interrupted.

    Turns on float64, which the library itself never does.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    jax.config.update("jax_enable_x64", True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a symbol the terminal lacks must not end a long run
    try:
        code = _app(arguments[:1]).cli(prog="circuits", description=DESCRIPTION, args=arguments)
    except UsageError as error:
        print(f"circuits: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has had enough: nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("circuits: interrupted", file=sys.stderr)
        return 130
    except SystemExit as stop:  # tyro's help (0) and its usage errors (2)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0 if code is None else int(code)


def check_writable(argument: str, path: Path) -> None:
    """Show that a file can be written there, before any long work is done for it.

    Raises ``ValueError`` naming the argument, the rule and the path.
    """
    target = path.resolve()
    try:
        require.that(not target.is_dir(), argument, "must be a file, not a folder", str(path))
        require.that(target.parent.is_dir(), argument, "must be in a folder that exists", str(path))
        if not _special(path):
            writable = not target.exists() or os.access(target, os.W_OK)
            require.that(writable, argument, "must be writable", str(path))
            beside = _beside(target)
            beside.touch()  # permission bits alone do not tell: the disk may be read-only, the name too long
            beside.unlink()
    except OSError as error:
        raise ValueError(f"{argument}: must be writable, got {str(path)!r} ({error.strerror})") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text at once: a reader finds the old file or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once, as ``write_text``."""
    if _special(path):
        path.write_bytes(content)
        return
    target = path.resolve()
    beside = _beside(target)
    try:
        beside.write_bytes(content)
        if target.exists():
            shutil.copymode(target, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _special(path: Path) -> bool:
    """A pipe or a device, such as /dev/stdout: nothing may take its place."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _app(first: Sequence[str]) -> SubcommandApp:
    """The subcommand that the first argument names, or else all of them, for help and error messages."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    if not points:
        raise UsageError(f"no subcommand is installed (entry-point group {GROUP}): install the package")
    app = SubcommandApp()
    for name in sorted(points):
        if name in first or not points.keys() & set(first):
            app.command(_load(points[name]), name=name)
    return app


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        raise UsageError(f"{point.name}: needs the package {error.name}, which is not installed") from error
