"""A check named in text, ``package.module:function`` or ``file.py:function``, imported when it is needed."""

import functools
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from circuits import checks
from proofs_check.ledger.evidence import Findings

_MODULE = re.compile(r"[^:]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Reference:
    """A check that is imported at its first call. ``registry`` and ``claim`` are for its error messages."""

    text: str
    registry: Path
    claim: str

    def __call__(self) -> Findings:
        return self.resolve()()

    def resolve(self) -> Callable[[], Findings]:
        """Return the function. Raises ValueError if its module cannot be imported or has no such function."""
        argument = f"{self.registry}: claim {self.claim!r}: check"
        module_name, name = self.text.split(":")
        file = self.registry.parent / module_name if module_name.endswith(".py") else None
        try:
            module = _run_once(file, file.stat().st_mtime_ns) if file else importlib.import_module(module_name)
        except (Exception, SystemExit) as error:  # a module may fail in any way while it is imported
            message = describe_error(error, file)
            raise ValueError(f"{argument}: must be importable, got {self.text!r} ({message})") from error
        function = getattr(module, name, None)
        checks.require(callable(function), argument, "must name a function of its module", self.text)
        return function  # pyright: ignore[reportReturnType]


def parse_reference(text: Any, registry: Path, claim: str) -> Reference:
    """Return the reference without importing anything. Raises ValueError for malformed text or a missing file."""
    argument = f"claim {claim!r}: check"
    module, _, function = str(text).partition(":")
    well_formed = _MODULE.fullmatch(module) is not None and function.isidentifier()
    checks.require(well_formed, argument, "must be package.module:function or file.py:function", text)
    if module.endswith(".py"):
        checks.require((registry.parent / module).is_file(), argument, "must name a file next to the registry", text)
    return Reference(text, registry, claim)


def run_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own. Its folder joins the end of ``sys.path``, for its siblings."""
    path = path.resolve()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    name = path.as_posix().replace(".", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def describe_error(error: BaseException, file: Path | None = None) -> str:
    """Return the type of an error, its message, and the line of the file at which it was raised."""
    frames = traceback.extract_tb(error.__traceback__) if file is not None else []
    lines = [frame.lineno for frame in frames if file is not None and Path(frame.filename) == file.resolve()]
    where = f", at {file.name} line {lines[-1]}" if file is not None and lines else ""
    return f"{type(error).__name__}: {error}{where}"


@functools.cache
def _run_once(path: Path, modified: int) -> ModuleType:
    """Run a file once, until it changes: its checks share one module."""
    return run_file(path)
