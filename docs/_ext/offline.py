"""No page loads anything from a network: the build fails if a page, a style or a script of the site would."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

REMOTE = re.compile(r"\s*(https?:|wss?:)?//", re.I)
ADDRESS = r"((?:https?:|wss?:)?//[^\"'`\s)]*)"
LOADS = re.compile(
    rf"""(?:\burl\(\s*["']?|@import\s+["']"""
    rf"""|(?:\bimport|\bfrom|\bfetch|\bWebSocket|\bEventSource|\bimportScripts|\.src\s*=)\s*\(?\s*["'`]"""
    rf"""|\.open\(\s*["'][A-Z]+["']\s*,\s*["'`]){ADDRESS}"""
)
"""What a style or a script loads by an address that is written in it."""
ATTRIBUTES = {"src", "srcset", "poster", "data", "background", "action", "formaction", "manifest", "xlink:href"}
LINKS = {"a", "area"}
"""Elements whose ``href`` is followed by a reader, not loaded."""
SUSPECT = re.compile(r"""(?:https?:|wss?:|["'(=,\s])//""")
LOG = logging.getLogger(__name__)


class Loads(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loads = name in ATTRIBUTES or (name == "href" and tag not in LINKS)
            if loads and any(REMOTE.match(part) for part in (value or "").split(",")):
                self.remote.append(f"{tag} {name}={value}")
            if name == "srcdoc":
                self.remote += loads_of_page(value or "")
            if name == "style" or name.startswith("on"):
                self.remote += LOADS.findall(value or "")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:  # the text of a style or script
            self.remote += LOADS.findall(data)


def loads_of_page(text: str) -> list[str]:
    """Return what an HTML page loads from other hosts."""
    if not SUSPECT.search(re.sub(r"<a\s[^>]*>|xmlns(:\w+)?=\S*", "", text)):  # parsing takes a hundred times as long
        return []
    parser = Loads()
    parser.feed(text)
    parser.close()
    return parser.remote


def loads_of_folder(folder: Path) -> Iterator[str]:
    """Yield each load from another host, in all pages, styles, scripts and drawings of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".svg"):
            yield from (f"{path}: {load}" for load in loads_of_page(path.read_text(encoding="utf-8")))
        elif path.suffix in (".css", ".js"):
            yield from (f"{path}: {load}" for load in LOADS.findall(path.read_text(encoding="utf-8")))


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for load in loads_of_folder(Path(app.outdir)):
            LOG.warning("must load nothing from a network: %s", load, type="offline")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
