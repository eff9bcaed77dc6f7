"""Formulas as MathML, which browsers show without any script or font of ours."""

import re
from html import unescape
from typing import Literal
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

from circuits import checks


def to_mathml(latex: str, display: Literal["inline", "block"] = "inline") -> str:
    """Return a formula as a ``<math>`` element.

    Raises:
        ValueError: if the formula cannot be converted, or only in part: for an unknown command or unbalanced braces.
    """
    grouping = re.sub(r"\\.", "", latex)
    checks.require(grouping.count("{") == grouping.count("}"), "formula", "must have balanced braces", latex)
    try:
        element = convert_to_element(latex.replace("{aligned}", "{align*}"), display=display)
    except Exception as error:  # the converter fails in many ways on LaTeX that it does not know
        raise ValueError(f"formula: must be LaTeX, got {latex!r} ({type(error).__name__})") from error
    element.attrib.pop("xmlns", None)  # HTML knows the element by its name
    for part in element.iter():
        # The converter leaves entities in the text. They are resolved here; all text is escaped on output.
        part.text = unescape(part.text or "")
        part.attrib.pop("href", None)
    # The converter copies a command that it does not know into the text.
    unknown = [part.text for part in element.iter() if part.text and re.match(r"\\[A-Za-z]", part.text)]
    checks.require(not unknown, "formula", "must use commands that the converter knows", unknown)
    return ElementTree.tostring(element, encoding="unicode", short_empty_elements=False)
