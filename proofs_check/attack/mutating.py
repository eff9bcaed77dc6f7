"""Mutants of the library's source, and claims decided with a mutant loaded instead of the file."""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from proofs_check.attack import engine
from proofs_check.attack.engine import Target
from proofs_check.attack.mutations import Edit, edits


class Mutant(NamedTuple):
    """A file with one expression changed.

    line    line on which the expression begins
    before  lines of the expression, without indentation
    after   the same lines in the mutant
    run     first and last line of the statement, one of which runs whenever the expression does; None at module level
    source  text of the mutated file
    """

    file: str
    function: str
    line: int
    before: str
    after: str
    run: tuple[int, int] | None
    source: bytes

    @property
    def key(self) -> str:
        return f"{self.file}:{self.line}: {self.before} -> {self.after}"


def mutants(root: Path, file: str) -> Iterator[Mutant]:
    """Yield all mutants of one file of the library, except those that compile to the same code."""
    raw = root.joinpath(file).read_bytes()
    original, keys = _compiled(raw), set()
    for edit in edits(raw):
        mutant = _mutant(raw, file, edit)
        if _compiled(mutant.source) not in (None, original) and mutant.key not in keys:
            keys.add(mutant.key)
            yield mutant


def decide(target: Target, file: str, source: bytes, names: Sequence[str]) -> Iterator[str]:
    """Yield each claim's outcome with a mutant loaded, up to the first that detects it. Runs in a fresh process."""
    for name in [*sys.modules]:
        if name.split(".")[0] in (target.package, "proofs_check"):
            del sys.modules[name]
    sys.meta_path.insert(0, _Finder(_module(target, file), str(engine.root(target) / file), source))
    fresh = importlib.import_module(engine.__name__)
    for name in names:
        try:
            [claim] = fresh.load(target, [name])
            outcome = fresh.outcome(claim)
        except Exception:  # a mutant may break the imports of a check
            outcome = "crash"
        yield outcome
        if outcome == "detected":
            return


def enclosing_functions(target: Target, mutant: Mutant) -> list[str]:
    """Return "module:name" of the function that was mutated, and of those that enclose it."""
    parts = mutant.function.split(".")
    return [f"{_module(target, mutant.file)}:{'.'.join(parts[:n])}" for n in range(1, len(parts) + 1)]


class _Loader(SourceFileLoader):
    def __init__(self, module: str, path: str, source: bytes) -> None:
        super().__init__(module, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Finder:
    """Imports the mutant instead of one module."""

    def __init__(self, module: str, path: str, source: bytes) -> None:
        self.module, self.path, self.source = module, path, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        loader = _Loader(name, self.path, self.source)
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


def _module(target: Target, file: str) -> str:
    return ".".join((target.package, *Path(file).with_suffix("").parts)).removesuffix(".__init__")


def _mutant(raw: bytes, file: str, edit: Edit) -> Mutant:
    source = raw[: edit.begin] + edit.text + raw[edit.end :]
    first, last = raw.count(b"\n", 0, edit.begin), raw.count(b"\n", 0, edit.end)
    longer = source.count(b"\n") - raw.count(b"\n")
    before, after = (
        " ".join(line.strip().decode() for line in text.split(b"\n")[first:end])
        for text, end in ((raw, last + 1), (source, last + 1 + longer))
    )
    top, body = edit.statement, getattr(edit.statement, "body", None)
    decorators = [each.lineno for each in getattr(top, "decorator_list", [])]
    # A statement that opens a block counts only up to the block.
    run = min([top.lineno, *decorators]), body[0].lineno - 1 if body else top.end_lineno or 0
    in_function = edit.function and not edit.function.split(".")[-1].lstrip("_")[:1].isupper()
    return Mutant(file, edit.function, first + 1, before, after, run if in_function else None, source)


def _compiled(source: bytes) -> CodeType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile(source, "", "exec")
        except SyntaxError:
            return None
