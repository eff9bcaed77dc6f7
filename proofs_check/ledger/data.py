"""Measured data and their origin: the manifest, and checks of the files against it.

``measured/manifest.yaml`` maps the name of each folder, such as ``disentangled/reduced-mtp``, to the command that
produced it, the commit of the code (if that was not recorded, the commit that added the folder) and a checksum of every
file. An entry without files is planned: its runs have not been made yet.

    python -m proofs_check.ledger.data                                      check every folder
    python -m proofs_check.ledger.data --update NAME --command "circuits …"  rewrite the entry of one folder
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
    """The command and commit that produced a folder, and the SHA-256 checksums of its files by relative path."""

    command: str
    commit: str
    files: dict[str, str]


def verified_folder(name: str, root: Path | None = None) -> Path | None:
    """Return the path of a folder after checking its files against the manifest; None if it is planned.

    Raises ValueError for a folder that is not listed, or a file that is missing, changed or not listed.
    """
    root = root or MEASURED
    entry = read_manifest(root).get(name)
    if entry is None:
        raise ValueError(f"data: must be listed in {MANIFEST}, got {name!r} ({REMEDY})")
    present = _checksums(root / name)
    for file in sorted(entry.files.keys() | present.keys()):
        checks.require(file in present, f"{name}/{file}", f"must exist, as {MANIFEST} lists it", "no file")
        checks.require(file in entry.files, f"{name}/{file}", f"must be listed in {MANIFEST}", "an unlisted file")
        unchanged = present[file] == entry.files[file]
        checks.require(unchanged, f"{name}/{file}", f"must have the checksum {entry.files[file]}", present[file])
    return root / name if entry.files else None


def verified_folders(name: str, root: Path | None = None) -> tuple[Path, ...]:
    """Return the folders at or below a name, each checked against the manifest, sorted and without planned ones.

    Raises ValueError as ``verified_folder`` does, also for a folder below the name that the manifest does not list.
    """
    root = root or MEASURED
    listed = [each for each in read_manifest(root) if each == name or each.startswith(f"{name}/")]
    present = {path.parent.relative_to(root).as_posix() for path in (root / name).rglob("*") if path.is_file()}
    unlisted = {each for each in present if not any(each == one or each.startswith(f"{one}/") for one in listed)}
    folders = [verified_folder(each, root) for each in sorted({*listed, *unlisted} or {name})]
    return tuple(folder for folder in folders if folder is not None)


def check_data(names: Iterable[str], root: Path | None = None) -> None:
    """Check the folders that a claim reads against the manifest. Raises ValueError as ``verified_folder`` does."""
    for name in names:
        verified_folders(name, root)


@cache
def read_manifest(root: Path) -> dict[str, Entry]:
    """Return the manifest of a folder of measured data, empty if there is none. Raises ValueError if it is damaged."""
    path = root / MANIFEST
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {name: Entry(**{**fields, "files": dict(fields["files"])}) for name, fields in content.items()}
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as error:
        rule = f"{MANIFEST}: must map names to command, commit and files"
        raise ValueError(f"{rule}, got {str(path)!r} ({error})") from error


def write_entry(name: str, command: str, commit: str = "", root: Path | None = None) -> Entry:
    """Write the manifest entry of a folder from its files, or a planned entry if the folder does not exist.

    Args:
        name: the folder, below ``root``.
        command: the command that produced it, or will.
        commit: commit of the code; by default the one that is checked out.
        root: folder of measured data.

    Raises:
        ValueError: without a command, for a name outside ``root``, and if no commit is given or checked out.
    """
    root = root or MEASURED
    checks.require(bool(command.strip()), "command", "must say how the data were made", command)
    inside = root.resolve() in (root / name).resolve().parents
    checks.require(inside, "name", f"must be a folder below {root}", name)
    entry = Entry(command, commit or _current_commit(), _checksums(root / name))
    # A planned folder of runs is replaced once one of its runs is measured.
    others = {each: old for each, old in read_manifest(root).items() if old.files or not name.startswith(f"{each}/")}
    entries = {each: value._asdict() for each, value in sorted({**others, name: entry}.items())}
    write_text(root / MANIFEST, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120))
    read_manifest.cache_clear()
    return entry


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _current_commit() -> str:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError("commit: must be given where no repository is checked out, got ''") from error


def main(update: str = "", command: str = "", commit: str = "") -> None:
    """Check all measured data against the manifest, or rewrite the entry of one folder.

    Args:
        update: folder whose entry to rewrite.
        command: command that produced it.
        commit: commit at which it ran; by default the one that is checked out.
    """
    if update:
        entry = write_entry(update, command, commit)
        print(f"{update}: {len(entry.files)} files, commit {entry.commit}")
        return
    check_data(path.name for path in sorted(MEASURED.iterdir()) if path.is_dir())
    entries = read_manifest(MEASURED).values()
    print(
        f"{len(entries)} folders as listed in {MANIFEST}, {sum(not entry.files for entry in entries)} of them planned"
    )


if __name__ == "__main__":
    tyro.cli(main)
