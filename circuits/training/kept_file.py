"""A file that a run keeps its own copy of, so that nothing depends on the original; an entry of config.json tells.

"kept": {"field": which field of the config may name it, "name": of the copy, "digest": of its bytes}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from circuits import checks
from circuits.files import checksum

ENTRY = "kept"


class Kept(NamedTuple):
    """The text of such a file, and which field of the config, like "task.data", may name it."""

    field: str
    name: str
    text: str


def as_entry(kept: Kept | None) -> dict[str, Any]:
    """What config.json has to say."""
    if kept is None:
        return {}
    return {ENTRY: {"field": kept.field, "name": kept.name, "digest": checksum(kept.text.encode())}}


def copy_of(folder: Path, entry: Any) -> Path:
    """The copy. Raises ValueError naming it unless it is what was written, and for an entry that is none."""
    names = {"field", "name", "digest"}
    whole = isinstance(entry, dict) and entry.keys() == names and all(isinstance(v, str) for v in entry.values())
    checks.require(whole, ENTRY, f"must be an object of texts with the fields {sorted(names)}", entry)
    path = (folder / Path(entry["name"]).name).absolute()
    found = checksum(path.read_bytes()) if path.is_file() else "no file"
    checks.require(
        found == entry["digest"], path.name, f"must be as it was written, of digest {entry['digest']}", found
    )
    return path


def pointed(config: Mapping[str, Any], field: str, path: Path) -> dict[str, Any]:
    """A config as plain values, of which the field is the path unless it is None."""
    first, _, rest = field.partition(".")
    inner = config.get(first)
    if rest:
        return {**config, first: pointed(inner, rest, path)} if isinstance(inner, Mapping) else dict(config)
    return dict(config) if inner is None else {**config, first: str(path)}


def is_copy(path: Path, kept: Kept | None) -> bool:
    """Whether this file is the copy of that one."""
    return kept is not None and path.name == kept.name and path.read_bytes() == kept.text.encode()


def check_same(copy: Path, kept: Kept, given: Any) -> None:
    """Raise ValueError naming the field unless a run that goes on has the same file as at first."""
    rule = f"must hold the same as {str(copy)!r}, with which the run began"
    checks.require(copy.read_text(encoding="utf-8") == kept.text, kept.field, rule, given)
