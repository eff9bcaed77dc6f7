"""Formulas of all pages as MathML, written at build time: no script, no font, and no formula that fails silently."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from proofs_check.ledger.mathml import to_mathml

LOG = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(convert(node, "inline"))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    body = f'<div class="formula">{number}{convert(node, "block")}</div>'
    translator.body.append(translator.starttag(node, "div", CLASS="math") + body + "</div>\n")
    raise nodes.SkipNode


def convert(node: nodes.Element, display: Any) -> str:
    """Return the formula of a node; one that does not convert is a warning, which fails a strict build."""
    try:
        return to_mathml(node.astext().strip(), display)
    except ValueError as error:
        LOG.warning(str(error), location=node, type="mathml")
        return ""
