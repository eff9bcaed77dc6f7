"""The directive and the role ``claim``: an entry whose anchor is the claim's id, and links to it."""

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.directives import ObjectDescription


class ClaimDirective(ObjectDescription[str]):
    """An entry with the id and the recorded verdict of a claim as its heading."""

    option_spec: ClassVar = {**(ObjectDescription.option_spec or {}), "verdict": directives.unchanged_required}

    def handle_signature(self, sig: str, signode: addnodes.desc_signature) -> str:
        signode += addnodes.desc_name(sig, sig)
        signode["claim"] = sig
        signode += badge(self.options["verdict"])
        return sig

    def add_target_and_index(self, name: str, sig: str, signode: addnodes.desc_signature) -> None:
        signode["ids"].append(name)
        self.env.domains.standard_domain.note_object("claim", name, name, location=signode)
        self.indexnode["entries"].append(("single", name, name, "", None))

    def _object_hierarchy_parts(self, sig_node: addnodes.desc_signature) -> tuple[str, ...]:
        return (sig_node["claim"],)

    def _toc_entry_name(self, sig_node: addnodes.desc_signature) -> str:
        return sig_node["_toc_parts"][-1]


def badge(verdict: str) -> nodes.inline:
    """Return a verdict such as "amended, numerically" as an inline element with the class of its word."""
    return nodes.inline("", verdict, classes=["verdict", verdict.partition(",")[0]])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_object_type("claim", "claim", objname="claim")
    app.add_directive_to_domain("std", "claim", ClaimDirective, override=True)
    app.add_role("verdict", lambda name, raw, text, *rest: ([badge(text)], []))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
