"""The ``circuits`` command: finds a subcommand, parses its arguments and turns errors into exit codes.

A subcommand is a function that returns an exit code, or None for 0. Packages register theirs in the entry-point group
``circuits.commands``. Only the module of the called subcommand is imported; ``circuits --help`` imports none. Command
modules import jax, matplotlib and other slow packages inside their functions, which keeps ``--help`` fast.
"""

import ast
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

GROUP = "circuits.commands"
DESCRIPTION = "Verify, watch and find the reverse reasoning circuit that multi-token prediction is said to induce."


class UsageError(ValueError):
    """Invalid command-line arguments: the user sees only the message, and the exit code is 2."""


@contextmanager
def usage() -> Iterator[None]:
    """Turn a ``ValueError`` raised in the block, which validates arguments, into a ``UsageError``.

    Keep computations out of the block: a ValueError there is a bug and must keep its traceback.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code: its own, 2 for bad usage, 130 when interrupted.

    Enables float64, which the library itself never does.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a symbol that the terminal cannot print must not end a long run
    try:
        code = _run(arguments)
    except UsageError as error:
        print(f"circuits: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("circuits: interrupted", file=sys.stderr)
        return 130
    except SystemExit as stop:  # tyro's help (0) and its usage errors (2)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0 if code is None else int(code)


def _run(arguments: list[str]) -> Any:
    commands = {point.name: point for point in entry_points(group=GROUP)}
    if not commands:
        raise UsageError(f"no subcommand is installed (entry-point group {GROUP}): install the package")
    name = arguments[0] if arguments else ""
    if name in ("", "-h", "--help"):
        print(_overview(commands))
        return 0 if name else 2
    if name not in commands:
        near = get_close_matches(name, commands, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"command: must be one of {', '.join(sorted(commands))}, got {name!r}{hint}")
    os.environ.setdefault("JAX_ENABLE_X64", "1")  # jax reads it on import, which help avoids
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)
    command = _load(commands[name])
    from tyro import cli  # not needed for the overview

    from circuits.cli.options import registry

    return cli(command, prog=f"circuits {name}", args=arguments[1:], registry=registry())


def _overview(commands: dict[str, EntryPoint]) -> str:
    """Return the help of ``circuits``: every subcommand with the first line of its docstring."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {_summary(commands[name])}" for name in sorted(commands)]
    usage_line = "usage: circuits COMMAND [OPTIONS]    (circuits COMMAND --help explains a command)"
    example = "Example: circuits verify --only 'lemma-3.*'"
    return "\n".join([usage_line, "", DESCRIPTION, "", example, "", "commands:", *lines])


def _summary(point: EntryPoint) -> str:
    """Return the first line of a command's docstring, read from the source without importing the module."""
    try:
        spec = find_spec(point.module)
        tree = ast.parse(Path(str(spec and spec.origin)).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError):
        return f"(cannot be read: {point.value})"
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == point.attr)
    text = next((ast.get_docstring(node) for node in functions), None)
    return text.partition("\n")[0] if text else ""


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        raise UsageError(f"{point.name}: needs the package {error.name}, which is not installed") from error
