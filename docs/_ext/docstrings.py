"""Docstrings as plain text: only ``code``, examples, lists and the sections of Google's style are markup."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

MARKUP = re.compile(r"``.*?``|([\\*_|`])")
SECTIONS: Any = Config(napoleon_use_rtype=False)


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the lines of a docstring in place."""
    lines[:] = plain(lines)
    if what in ("class", "function", "method", "exception"):
        lines[:] = GoogleDocstring(lines, SECTIONS, app, what, name, obj, options).lines()


def plain(lines: list[str]) -> list[str]:
    """Escape what reStructuredText would take as markup.

    Examples stay as they are, and an indented block after an empty line, outside of sections, becomes preformatted.
    """
    result, section, example, block = [], False, False, False
    for number, line in enumerate(lines):
        indented = line.startswith(" ")
        if line.strip() and not indented:
            section, block = re.fullmatch(r"[A-Z]\w+:", line) is not None, False
        example = line.strip() != "" and (example or line.lstrip().startswith(">>>"))
        if indented and not section and not block and not example and number and not lines[number - 1].strip():
            block = True
            result += ["::", ""]
        result.append(line if example or block else MARKUP.sub(lambda m: f"\\{m[1]}" if m[1] else m[0], line))
    return result


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples, which the class itself explains."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
