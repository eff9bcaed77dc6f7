"""The API pages: a page for each package, with a table of its public names and an entry for each."""

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from docstrings import plain
from docutils import nodes
from pages import heading, slug, table, toctree, write_pages
from public import Public, documented, module_docstring, packages
from sphinx.application import Sphinx
from sphinx.util import logging

LOG = logging.getLogger(__name__)
MAX_NAMES, OWN_PAGE = 40, 4
"""In a package with more names, each section of so many names has a page of its own."""
INTRODUCTION = """\
Every public name, by package. Import a name from a package that lists it; everything else is internal and may change.
Axis letters such as ``T`` and ``H`` mean the same everywhere, and :py:mod:`circuits.typing` lists them.
"""


def pages() -> dict[str, str]:
    """Return the text of every page by its name."""
    texts: dict[str, str] = {}
    for package, members in packages().items():
        sections: dict[str, list[Public]] = {}
        for each in members:
            sections.setdefault(each.section, []).append(each)
        parts, below = [heading(package), f".. automodule:: {package}"], []
        for title, group in sections.items():
            entries = [entry(each) for each in group if documented()[each.dotted] == each.dotted]
            own = f"{package}.{slug(title)}" if len(members) > MAX_NAMES and len(group) >= OWN_PAGE else ""
            if own:
                below.append(own)
                texts[own] = "\n\n".join([heading(title), f".. py:currentmodule:: {package}", *entries]) + "\n"
            parts += [heading(f":doc:`{title} <{own}>`" if own else title, "-")] if title else []
            parts += [summary(group), *([] if own else entries)]
        parts.append(toctree(below))
        texts[package] = "\n\n".join(parts) + "\n"
    return {"index": index(), **texts}


def index() -> str:
    """Return the page that lists the packages."""
    rows = ((f":py:mod:`{name}`", first_sentence(module_docstring(name))) for name in packages())
    parts = [heading("API"), INTRODUCTION, table(("package", ""), rows, "35 65", "summary"), toctree(packages())]
    return "\n\n".join(parts) + "\n"


def summary(members: Sequence[Public]) -> str:
    """Return a table of names, each with the first sentence of its docstring."""
    rows = (
        (f":py:obj:`{each.name} <{documented()[each.dotted]}>`", plain([first_sentence(each.docstring)])[0])
        for each in members
    )
    return table(("name", ""), rows, widths="30 70", name="summary")


def first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[^.][^.q])\. (?=[A-Z`])", paragraph)[0].rstrip(".:") + "." * bool(paragraph)


def entry(public: Public) -> str:
    """Return the entry of a name."""
    if public.kind == "module":
        return ""  # it has a page of its own
    if public.kind == "data":
        content = indent("\n".join(plain(public.docstring.splitlines())), "   ")
        value = f"   :value: {public.value}\n" if len(public.value) < 100 else ""
        return f".. py:data:: {public.name}\n   :module: {public.package}\n{value}\n{content}"
    members = "\n   :members:\n   :special-members: __call__" if public.kind == "class" else ""
    return f".. auto{public.kind}:: {public.dotted}{members}"


def missing() -> Iterator[str]:
    """Yield the public names that no page has an entry for."""
    text = "\n".join(pages().values())
    entries = {*re.findall(r"^\.\. auto\w+:: (\S+)$", text, re.M)}
    entries |= {f"{package}.{name}" for name, package in re.findall(r"py:data:: (\S+)\n   :module: (\S+)\n", text)}
    for each in (each for members in packages().values() for each in members):
        if documented()[each.dotted] not in entries:
            yield each.dotted


def generate(app: Sphinx) -> None:
    write_pages(Path(app.srcdir) / "api", pages())
    for name in missing():
        LOG.warning("%s must have an entry", name, type="api")


def resolve(app: Sphinx, env: Any, node: Any, contnode: nodes.Element) -> nodes.Element | None:
    """Link a name to the entry that documents it; an internal name of ours has none, and stays plain text."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or target.split(".")[0] not in ("circuits", "proofs_check"):
        return None
    name = documented().get(target)
    if name:
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    return contnode if is_internal(target) else None


def is_internal(target: str) -> bool:
    """Return whether a module of ours has this name, and does not export it."""
    module, _, name = target.rpartition(".")
    try:
        return target not in documented() and hasattr(importlib.import_module(module), name)
    except ImportError:
        return False


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate)
    app.connect("missing-reference", resolve, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
