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

_FORM = re.compile(r"[^:]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Reference:
    """A check that is imported at its first call. ``registry`` and ``claim`` are for its error messages."""

    text: str
    registry: Path
    claim: str

    def __call__(self) -> Findings:
        return self.resolve()()

    def resolve(self) -> Callable[[], Findings]:
        """The function that the text names.

        Raises ``ValueError`` if its module can't be imported or has no such function.
        """
        where = f"{self.registry}: claim {self.claim!r}: check"
        place, name = self.text.split(":")
        file = self.registry.parent / place if place.endswith(".py") else None
        try:
            module = _from_file(file) if file else importlib.import_module(place)
        except (Exception, SystemExit) as error:  # a module may fail in any way while it is imported
            raise ValueError(f"{where}: must be importable, got {self.text!r} ({brief(error, file)})") from error
        function = getattr(module, name, None)
        checks.require(callable(function), where, "must name a function of its module", self.text)
        return function  # pyright: ignore[reportReturnType]


def reference(text: Any, registry: Path, claim: str) -> Reference:
    """Check the form of the text, and that a file it names is there; import nothing.

    Raises ``ValueError`` for text of another form or a missing file.
    """
    argument = f"claim {claim!r}: check"
    place, _, function = str(text).partition(":")
    form = _FORM.fullmatch(place)
    rule = "must have the form package.module:function or file.py:function"
    checks.require(form is not None and function.isidentifier(), argument, rule, text)
    if place.endswith(".py"):
        checks.require((registry.parent / place).is_file(), argument, "must name a file beside the registry", text)
    return Reference(text, registry, claim)


def run_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own. Its folder joins the end of ``sys.path`` for its siblings."""
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


def brief(error: BaseException, file: Path | None = None) -> str:
    """One line: the kind of the error, its message, and the line of the file at which it came up."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if file is not None and Path(frame.filename) == file.resolve()
    ]
    place = f", at {file.name} line {lines[-1]}" if file is not None and lines else ""
    return f"{type(error).__name__}: {error}{place}"


def _from_file(path: Path) -> ModuleType:
    return _run_once(path, path.stat().st_mtime_ns)


@functools.cache
def _run_once(path: Path, changed: int) -> ModuleType:
    """Checks of one file share one module, until the file changes."""
    return run_file(path)
