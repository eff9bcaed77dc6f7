"""The directive ``tap-table``: the taps of a shipped model, in the order in which they fire, with their shapes."""

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import circuits
from circuits.transformer.tap_shapes import TapShapes


class Row(NamedTuple):
    """A family of taps that differ in the numbers of layer and prediction head only."""

    pattern: str
    shape: str
    number: int


class TapTable(SphinxDirective):
    """A table of tap names, with the shapes for a prompt of the model's own task."""

    option_spec: ClassVar = {"model": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        loaded = circuits.load_model(self.options.get("model", "star-2x5-mtp3"))
        length = loaded.task.format.prompt_length if loaded.task else loaded.model.config.positions
        return [table(rows(loaded.model.tap_shapes(length)))]


def rows(shapes: TapShapes) -> list[Row]:
    """Return the families of the taps of a model."""
    families: dict[tuple[str, str], int] = {}
    for tap, shape in shapes.items():
        key = (re.sub(r"(heads|blocks)\.\d+", lambda m: f"{m[1]}.{'m' if m[1] == 'heads' else 'i'}", tap), str(shape))
        families[key] = families.get(key, 0) + 1
    return [Row(*key, number) for key, number in families.items()]


def table(families: list[Row]) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (40, 50, 10)), cols=3)
    head = [nodes.Text(text) for text in ("tap", "shape", "taps")]
    body = [[nodes.literal("", row.pattern), nodes.Text(row.shape), nodes.Text(str(row.number))] for row in families]
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, body))
    return nodes.table("", group, classes=["taps"])


def _row(cells: Sequence[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("tap-table", TapTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
