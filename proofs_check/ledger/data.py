"""Measured data and where they come from: the manifest, and the checks that hold files to it.

``measured/manifest.yaml`` maps the name of each folder, such as ``disentangled/reduced-mtp``, to the command that made
it, the commit of the code (where that was not noted, the one that added the folder) and a checksum of every file. An
entry without files is planned: it has been decided what will be run, and nothing is there yet.

    python -m proofs_check.ledger.data                                      check every folder
    python -m proofs_check.ledger.data --update NAME --command "circuits …"  write the entry of one folder anew
"""

import hashlib
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import tyro
import yaml

from circuits import checks
from circuits.files import write_text

MEASURED = Path(__file__).parents[1] / "measured"
MANIFEST = "manifest.yaml"
REMEDY = "to list it run python -m proofs_check.ledger.data --update NAME --command COMMAND"


class Entry(NamedTuple):
    """How a folder was made, and the SHA-256 checksums of its files by their path in the folder."""

    command: str
    commit: str
    files: dict[str, str]


def verified(name: str, root: Path | None = None) -> Path | None:
    """The folder of a name, once its files are shown to be those of the manifest; None if it is planned.

    Raises ValueError for a name that the manifest does not list, and a file that is missing, changed or not listed.
    """
    root = root or MEASURED
    entry = entries(root).get(name)
    if entry is None:
        raise ValueError(f"data: must be listed in {MANIFEST}, got {name!r} ({REMEDY})")
    there = _checksums(root / name)
    for file in sorted(entry.files.keys() | there.keys()):
        checks.require(file in there, f"{name}/{file}", f"must be there, as {MANIFEST} lists it", "no file")
        checks.require(file in entry.files, f"{name}/{file}", f"must be listed in {MANIFEST}", "a file that is not")
        same = there[file] == entry.files[file]
        checks.require(same, f"{name}/{file}", f"must have the checksum {entry.files[file]}", there[file])
    return root / name if entry.files else None


def verified_under(name: str, root: Path | None = None) -> tuple[Path, ...]:
    """The folders at or below a name that are not planned, each verified, in the order of their names.

    Raises ValueError as ``verified``, also for a folder below it that the manifest does not list.
    """
    root = root or MEASURED
    listed = [each for each in entries(root) if each == name or each.startswith(f"{name}/")]
    found = {path.parent.relative_to(root).as_posix() for path in (root / name).rglob("*") if path.is_file()}
    inside = {each for each in found if not any(each == one or each.startswith(f"{one}/") for one in listed)}
    folders = [verified(each, root) for each in sorted({*listed, *inside} or {name})]
    return tuple(folder for folder in folders if folder is not None)


def check_data(names: Iterable[str], root: Path | None = None) -> None:
    """Hold every folder that a claim names, or that lies below one, to the manifest. Raises as ``verified``."""
    for name in names:
        verified_under(name, root)


@cache
def entries(root: Path) -> dict[str, Entry]:
    """The manifest of a folder of measured data, by name; empty if there is none. Raises ValueError for damage."""
    path = root / MANIFEST
    if not path.exists():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {name: Entry(**{**fields, "files": dict(fields["files"])}) for name, fields in found.items()}
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{MANIFEST}: must map names to command, commit and files, got {str(path)!r} ({error})"
        ) from error


def write_entry(name: str, command: str, commit: str = "", root: Path | None = None) -> Entry:
    """Write the entry of a folder from the files that it holds; of one that is not there, a planned entry.

    Args:
        name: the folder, below ``root``.
        command: what was run, or is to be.
        commit: where it ran; by default the one that is checked out.
        root: the folder of measured data.

    Raises ValueError without a command, and where no commit is given or checked out.
    """
    root = root or MEASURED
    checks.require(bool(command.strip()), "command", "must say how the data were made", command)
    inside = (root / name).resolve().is_relative_to(root.resolve()) and (root / name).resolve() != root.resolve()
    checks.require(inside, "name", f"must be a folder below {root}", name)
    entry = Entry(command, commit or _checked_out(), _checksums(root / name))
    # A folder of runs that was planned as a whole is measured once one of its runs is.
    kept = {each: old for each, old in entries(root).items() if old.files or not name.startswith(f"{each}/")}
    listed = {each: found._asdict() for each, found in sorted({**kept, name: entry}.items())}
    write_text(root / MANIFEST, yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=120))
    entries.cache_clear()
    return entry


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _checked_out() -> str:
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError("commit: must be given where no repository is checked out, got ''") from error


def main(update: str = "", command: str = "", commit: str = "") -> None:
    """Check all measured data against the manifest, or write the entry of one folder anew.

    Args:
        update: the folder whose entry is to be written.
        command: the command that made it.
        commit: the commit that it ran at; by default the one that is checked out.
    """
    if update:
        entry = write_entry(update, command, commit)
        print(f"{update}: {len(entry.files)} files, commit {entry.commit}")
        return
    check_data(path.name for path in sorted(MEASURED.iterdir()) if path.is_dir())
    planned = sum(not entry.files for entry in entries(MEASURED).values())
    print(f"{len(entries(MEASURED))} folders as {MANIFEST} lists them, {planned} of these planned")


if __name__ == "__main__":
    tyro.cli(main)
