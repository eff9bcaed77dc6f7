"""Generated pages in reStructuredText: escaped text, headings, tables, files."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def escape(text: str) -> str:
    """Return text that reStructuredText shows as it is, with words in backticks as code."""
    return re.sub(r"`([^`]+)`|([\\*_|`])", lambda m: f"``{m[1]}``" if m[1] else f"\\{m[2]}", text)


def heading(text: str, character: str = "=", title: str = "") -> str:
    """Return a heading; ``title`` if the text is markup."""
    return f"{text}\n{character * max(len(text), len(title))}"


def slug(title: str) -> str:
    """Return the name of the page with this title: "theorem-2-phase-i"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], widths: str, name: str = "") -> str:
    """Return a table whose cells are markup of one line each, of the CSS class ``name``."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", f"   :class: {name}", ""]
    for row in (head, *rows):
        first, *others = (" ".join(cell.split()) for cell in row)
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return "\n".join(lines)


def toctree(names: Iterable[str]) -> str:
    """Return a hidden table of contents, or nothing for no pages."""
    lines = "".join(f"   {name}\n" for name in names)
    return f".. toctree::\n   :hidden:\n\n{lines}" if lines else ""


def write_pages(folder: Path, pages: dict[str, str]) -> None:
    """Write the pages into a folder that holds nothing else, leaving those that did not change."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
