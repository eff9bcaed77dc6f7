"""The notebooks as pages: as ``make notebooks`` executed them or, where it has not, without outputs."""

from pathlib import Path

import jupytext
from sphinx.application import Sphinx


def collect(app: Sphinx) -> None:
    """Copy the executed notebooks into the source folder, leaving those that did not change."""
    root = Path(app.srcdir).parent
    sources = sorted((root / "notebooks").glob("*.py"))
    for page in (Path(app.srcdir) / "notebooks").glob("*.ipynb"):
        if page.stem not in {source.stem for source in sources}:
            page.unlink()
    for source in sources:
        executed = root / "build" / "notebooks" / f"{source.stem}.ipynb"
        text = executed.read_text(encoding="utf-8") if executed.exists() else as_notebook(source)
        page = Path(app.srcdir) / "notebooks" / executed.name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def as_notebook(source: Path) -> str:
    """Return a script as a notebook whose cells have the same names in every build."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return jupytext.writes(notebook, "ipynb")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", collect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
