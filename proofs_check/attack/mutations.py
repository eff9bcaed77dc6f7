"""Single edits of a formula's source: operators, indices, axes, constants, terms."""

import ast
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

_SYMBOLS: dict[type[ast.AST], tuple[bytes, bytes]] = {
    ast.Add: (b"+", b"-"),
    ast.Sub: (b"-", b"+"),
    ast.Mult: (b"*", b"/"),
    ast.Div: (b"/", b"*"),
    ast.FloorDiv: (b"//", b"*"),
    ast.Pow: (b"**", b"*"),
    ast.BitAnd: (b"&", b"|"),
    ast.BitOr: (b"|", b"&"),
    ast.And: (b"and", b"or"),
    ast.Or: (b"or", b"and"),
    ast.Lt: (b"<", b">="),
    ast.LtE: (b"<=", b">"),
    ast.Gt: (b">", b"<="),
    ast.GtE: (b">=", b"<"),
    ast.Eq: (b"==", b"!="),
    ast.NotEq: (b"!=", b"=="),
}
_PAIRS = (
    *(("sum", "mean"), ("exp", "expm1"), ("log", "log1p"), ("max", "min"), ("maximum", "minimum"), ("set", "add")),
    *(("argmax", "argmin"), ("all", "any"), ("tril", "triu"), ("zeros", "ones"), ("zeros_like", "ones_like")),
)
_NAMES = {name: other for one, two in _PAIRS for name, other in ((one, two), (two, one))}
_SWAPPED = {"outer": (0, 1), "where": (1, 2)}
"""Functions, and the two arguments to swap."""
_OVER_LAST = ("softmax", "log_softmax")
"""Functions that act on the last axis by default."""


class Edit(NamedTuple):
    """Replace bytes ``begin`` to ``end`` of a file by ``text``."""

    begin: int
    end: int
    text: bytes
    function: str
    """The enclosing function; empty at module level."""
    statement: ast.stmt


class _Source:
    """A file's bytes, addressed by nodes of its syntax tree."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.starts = [0, *accumulate(map(len, raw.splitlines(keepends=True)))]

    def span(self, node: ast.expr) -> tuple[int, int]:
        begin = self.starts[node.lineno - 1] + node.col_offset
        return begin, self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def text(self, node: ast.expr) -> bytes:
        return self.raw[slice(*self.span(node))]


def edits(raw: bytes) -> Iterator[Edit]:
    """Yield every edit of a file, in source order. Some compile to the same code as the file itself."""
    for statement in ast.parse(raw).body:
        yield from _walk(_Source(raw), statement, "", statement, False)


def _walk(source: _Source, node: ast.AST, function: str, statement: ast.stmt, axis: bool) -> Iterator[Edit]:
    statement = node if isinstance(node, ast.stmt) else statement
    if _is_no_formula(node):
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    for begin, end, text in _edits_of(source, node, axis):
        yield Edit(begin, end, text, function, statement)
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    on_axis = isinstance(child, ast.keyword) and child.arg == "axis"
                    yield from _walk(source, child, function, statement, axis or on_axis)


def _is_no_formula(node: ast.AST) -> bool:
    """Return whether the node belongs to no formula: an import, docstring, dtype, error or argument check."""
    checks = ("require", "_require", "check", "warnings")
    if isinstance(node, ast.FunctionDef):
        return node.name.startswith(checks)
    if isinstance(node, ast.Expr):
        texts = isinstance(node.value, ast.Constant)
        return texts or (isinstance(node.value, ast.Call) and ast.unparse(node.value.func).startswith(checks))
    if isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise):
        return not node.orelse
    if isinstance(node, ast.Attribute):
        return node.attr == "dtype"
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.Assert | ast.JoinedStr)


def _edits_of(source: _Source, node: ast.AST, axis: bool) -> Iterator[tuple[int, int, bytes]]:
    """Yield the edits of one node."""

    def put(part: ast.expr, text: bytes) -> tuple[int, int, bytes]:
        return *source.span(part), text

    def between(one: ast.expr, other: ast.expr) -> tuple[int, int]:
        return source.span(one)[1], source.span(other)[0]

    def exchanged(one: ast.expr, other: ast.expr, kind: type[ast.AST]) -> Iterator[tuple[int, int, bytes]]:
        if kind in _SYMBOLS:
            begin, end = between(one, other)
            yield begin, end, source.raw[begin:end].replace(*_SYMBOLS[kind], 1)

    def swapped(one: ast.expr, other: ast.expr) -> tuple[int, int, bytes]:
        middle = source.raw[slice(*between(one, other))]
        text = b"(%b)%b(%b)" % (source.text(other), middle, source.text(one))
        return source.span(one)[0], source.span(other)[1], text

    match node:
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            yield swapped(left, right)
        case ast.BinOp(left=left, op=op, right=right):
            yield from exchanged(left, right, type(op))
            if isinstance(op, ast.Add | ast.Sub):
                yield put(node, b"(%b)" % source.text(left))
                yield put(node, (b"(-(%b))" if isinstance(op, ast.Sub) else b"(%b)") % source.text(right))
        case ast.BoolOp(op=op, values=[left, right, *_]):
            yield from exchanged(left, right, type(op))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield from exchanged(left, right, type(op))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
            yield put(node, b"0")
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield put(node, b"(%b)" % source.text(operand))
        case ast.Constant(value=bool(value)):
            yield put(node, b"%a" % (not value))
        case ast.Constant(value=int(value)) if axis:
            yield put(node, b"%d" % (value == 0))
        case ast.Constant(value=int(value) | float(value)):
            yield put(node, b"%a" % (value + 1))
        case ast.Attribute(attr="T", value=value):
            yield put(node, source.text(value))
        case ast.Call(func=func, args=args):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if name in _NAMES:
                yield put(func, source.text(func).removesuffix(name.encode()) + _NAMES[name].encode())
            if name in _SWAPPED and len(args) > _SWAPPED[name][1]:
                yield swapped(*(args[position] for position in _SWAPPED[name]))
            if name in ("tril", "triu") and len(args) == 1:
                yield put(args[0], source.text(args[0]) + b", 1")
                yield put(args[0], source.text(args[0]) + b", -1")
            if name in _OVER_LAST and len(args) == 1 and not node.keywords:
                yield put(args[0], source.text(args[0]) + b", axis=0")
