"""The modules of a model as a table: the parameters of each with their shapes, and the taps that it passes."""

from collections.abc import Mapping
from math import prod

from flax import nnx

from circuits import display
from circuits.transformer.tap_shapes import TapShape

INDEXED = ("blocks", "further")
"""Lists of modules; those that differ only in their index share a row."""


def module_table(model: nnx.Module, taps: Mapping[str, TapShape]) -> display.Markup:
    """Return a row for each module. ``taps`` maps tap names to axes and shapes."""
    rows: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for name, tap in taps.items():
        parts = tuple(name.split("."))
        owner = _owner(parts if parts[0] == "heads" else ("transformer", *parts))
        rows.setdefault(_numberless(owner), ({}, {}))[1][f"{_numberless(parts)} {tap}"] = None
    params = [(path, leaf.shape) for path, leaf in nnx.to_flat_state(nnx.state(model, nnx.Param))]
    for path, shape in params:
        owner = _owner(tuple(map(str, path)))
        name = ".".join(map(str, path[len(owner) :]))
        rows.setdefault(_numberless(owner), ({}, {}))[0][f"{name} {list(shape)}"] = None
    total = sum(prod(shape) for _, shape in params)
    cells = [(name, *map(_lines, parts)) for name, parts in rows.items()]
    return display.table(f"{total:,} parameters", ("module", "parameters", "taps"), cells)


def _owner(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the module of a path: a part of a block, a block, a prediction head, or the top."""
    if "blocks" in path:
        block = path.index("blocks")
        return path[: block + 3] if path[block + 2] in ("attn", "mlp", "norm_attn", "norm_mlp") else path[: block + 2]
    return path[:3] if "further" in path else path[:1]


def _numberless(path: tuple[str, ...]) -> str:
    shared = ["*" if part.isdigit() and path[i - 1] in INDEXED else part for i, part in enumerate(path)]
    return ".".join(shared)


def _lines(entries: dict[str, None]) -> display.Markup:
    return display.Markup("<br>".join(map(display.text, entries)))
