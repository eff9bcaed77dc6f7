"""Signatures as they are written: annotations keep the names of the source, each linked to what it names."""

import ast
import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from textwrap import dedent
from types import ModuleType
from typing import Any

import jax
from public import documented, packages
from sphinx.application import Sphinx


def process(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Replace the signature of a class, function or method of ours."""
    written = as_written(obj) if what in ("class", "function", "method") else None
    return written or (signature or "", returns)


def as_written(obj: Any) -> tuple[str, str | None] | None:
    """Return the parameters and the return annotation of an object from its source; None if it has no such source."""
    obj = inspect.unwrap(obj)
    try:
        node = ast.parse(dedent(inspect.getsource(obj))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    module = sys.modules[obj.__module__]
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, module)
    if isinstance(node, ast.ClassDef):
        init = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
        return (_of_function(init, module)[0] if init else _of_fields(obj)), None
    return None


def _of_function(node: ast.FunctionDef, module: ModuleType) -> tuple[str, str | None]:
    arguments = node.args
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg in ("self", "cls"):
            del group[0]
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg) and each.annotation:
            each.annotation = qualified(each.annotation, module)
    returns = ast.unparse(qualified(node.returns, module)) if node.returns else None
    return f"({ast.unparse(arguments)})", returns


def _of_fields(cls: type) -> str:
    """Return the fields of a dataclass or a named tuple, those of its bases first."""
    keyword_only = dataclasses.is_dataclass(cls) and all(each.kw_only for each in dataclasses.fields(cls))
    fields: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] in ("circuits", "proofs_check"):
            fields |= dict(_fields(base))
    return f"({', '.join([*(['*'] if keyword_only and fields else []), *fields.values()])})"


def _fields(cls: type) -> Iterator[tuple[str, str]]:
    node = ast.parse(dedent(inspect.getsource(cls))).body[0]
    for each in node.body if isinstance(node, ast.ClassDef) else []:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            text = ast.unparse(qualified(each.annotation, sys.modules[cls.__module__]))
            if "ClassVar" not in text:
                default = "..." if isinstance(each.value, ast.Call) else each.value and ast.unparse(each.value)
                yield each.target.id, f"{each.target.id}: {text}" + (f" = {default}" if default else "")


def qualified(annotation: ast.expr, module: ModuleType) -> ast.expr:
    """Return an annotation with full names. The tilde before each shows its last part only, as in ``~jax.Array``."""

    class Names(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return _linked(node, module)

        def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
            return _linked(node, module)

    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):  # a forward reference
        annotation = ast.parse(annotation.value, mode="eval").body
    return Names().visit(annotation)


def _linked(node: ast.Name | ast.Attribute, module: ModuleType) -> ast.expr:
    text = ast.unparse(node)
    try:
        value = eval(text, vars(module))
    except NameError:
        return node
    # A name that is text stands for a type of a package that is not imported at run time.
    full = value if isinstance(value, str) else dotted_name(text.rpartition(".")[2], value, module)
    return ast.Name(f"~{full}") if full else node


def dotted_name(name: str, value: Any, module: ModuleType) -> str | None:
    """Return the full name of a value: the one that documents it, or that of its class; None if it has none."""
    if value is None:
        return None
    if value is jax.Array:  # a class with another name
        return "jax.Array"
    if alias := aliases().get((name, id(value))):
        return alias
    named = inspect.isclass(value) and value.__module__ and value.__name__ == name
    origin = f"{value.__module__}.{value.__qualname__}" if named else f"{module.__name__}.{name}"
    return documented().get(origin, origin.removeprefix("builtins."))


@functools.cache
def aliases() -> dict[tuple[str, int], str]:
    """Return the public types that are values without a name of their own, by name and identity."""
    members = [each for group in packages().values() for each in group if each.kind == "data"]
    values = [getattr(importlib.import_module(each.module), each.name) for each in members]
    return {(each.name, id(value)): documented()[each.dotted] for each, value in zip(members, values, strict=True)}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-signature", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
