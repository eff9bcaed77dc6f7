"""Registries of claims: YAML files, Python files, and installed packages."""

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from circuits import checks
from proofs_check.ledger.claim import NAMES, Claim, validate
from proofs_check.ledger.reference import Reference, describe_error, parse_reference, run_file
from proofs_check.ledger.statistics import Plan

GROUP = "proofs_check.claims"
"""Entry-point group through which an installed package adds its claims."""


def load(path: str | Path) -> tuple[Claim, ...]:
    """Return the claims of one registry: a YAML file, or a Python file that defines ``CLAIMS``.

    A YAML registry maps ``claims`` to a list of claims and, optionally, ``paper`` to the text with which the source of
    each claim begins, unless the claim has a ``paper`` of its own. No check is imported.

    Raises:
        ValueError: naming file, claim, field, rule and value.
    """
    file = Path(path)
    checks.require(file.is_file(), "registry", "must be a file", str(file))
    checks.require(file.suffix in _READERS, "registry", f"must end in {', '.join(_READERS)}", str(file))
    try:
        claims = _READERS[file.suffix](file)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return unique(replace(claim, registry=str(file)) for claim in claims)


class Collected(NamedTuple):
    """Claims, and a message for each broken entry point of an installed package."""

    claims: tuple[Claim, ...]
    errors: tuple[str, ...]


def discover() -> Collected:
    """Return the claims of installed packages. Their entry points refer to a list of claims or a registry's path."""
    claims: list[Claim] = []
    errors: list[str] = []
    for point in entry_points(group=GROUP):
        origin = f"entry point {point.name} = {point.value}"
        try:
            target = point.load()
            loaded = load(target) if isinstance(target, str | Path) else unique(_claim_list(target))
        except (Exception, SystemExit) as error:  # the code of other packages may fail in any way
            errors.append(f"{origin}: must lead to claims ({describe_error(error)})")
            continue
        claims += [replace(claim, registry=claim.registry or origin) for claim in loaded]
    return Collected(tuple(claims), tuple(errors))


def unique(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return the claims. Raises ValueError if two of them share an id."""
    by_id: dict[str, Claim] = {}
    for claim in claims:
        if claim.id in by_id:
            other = by_id[claim.id].registry
            raise ValueError(f"{claim.registry}: claim {claim.id!r}: id: must be unique, it is also in {other}")
        by_id[claim.id] = claim
    return tuple(by_id.values())


def select(claims: Sequence[Claim], patterns: Iterable[str]) -> tuple[Claim, ...]:
    """Return the claims whose id matches a glob pattern, in their own order; all of them if no pattern is given.

    A pattern may hold several, separated by commas. Raises ValueError if one matches no claim.
    """
    ids = [claim.id for claim in claims]
    wanted = [part.strip() for pattern in patterns for part in pattern.split(",")]
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in ids):
            starting = [name for name in ids if pattern and name.startswith(pattern)]
            near = starting or difflib.get_close_matches(pattern.strip("*?"), ids, n=4, cutoff=0.4) or ids
            dot = "." if any(name.startswith(f"{pattern}.") for name in starting) else ""
            hint = f"; for all that start like this write '{pattern}{dot}*'" if starting else ""
            names = ", ".join(near[:4]) + ", ..." * (len(near) > 4)
            raise ValueError(f"only: must match a claim, got {pattern!r} (close matches: {names}{hint})")
    return tuple(c for c in claims if not wanted or any(fnmatch.fnmatchcase(c.id, p) for p in wanted))


def check_imports(claims: Iterable[Claim]) -> None:
    """Import the checks of these claims. Raises ValueError naming the first that cannot be imported."""
    for claim in claims:
        if isinstance(claim.check, Reference):
            claim.check.resolve()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # pyright: ignore[reportGeneralTypeIssues]
    """A safe loader, except that a repeated key is an error instead of replacing the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        checks.require(repeated is None, f"line {node.start_mark.line + 1}", "must give each key once", repeated)
        return super().construct_mapping(node, deep)


def _from_yaml(file: Path) -> list[Claim]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"must be YAML ({' '.join(str(error).split())})") from error
    checks.require(isinstance(content, dict), "registry", "must map claims to a list", content)
    unknown = sorted(set(content) - {"paper", "provenance", "claims"}, key=str)
    checks.require(not unknown, "registry", "must have no keys except paper, provenance and claims", unknown)
    entries = content.get("claims")
    checks.require(isinstance(entries, list) and bool(entries), "claims", "must be a list of claims", entries)
    shared = {name: content[name] for name in ("paper", "provenance") if name in content}
    claims, section = [], ""
    for number, entry in enumerate(entries, start=1):
        checks.require(isinstance(entry, dict), f"claim number {number}", "must map fields to values", entry)
        if entry.keys() == {"section"}:  # a heading for the claims below it
            section = str(entry["section"]).strip()
        else:
            claims.append(_claim({"section": section, **shared, **entry}, number, file))
    return claims


def _claim(entry: dict[str, Any], number: int, file: Path) -> Claim:
    values: dict[str, Any] = {key: value.strip() if isinstance(value, str) else value for key, value in entry.items()}
    name = f"claim {values['id']!r}" if "id" in values else f"claim number {number}"
    paper = values.pop("paper", "")
    checks.require(isinstance(paper, str), f"{name}: paper", "must be text", paper)
    values |= {field: tuple(values[field]) for field in NAMES if isinstance(values.get(field), list)}
    if "statistics" in values:
        values["statistics"] = _plans(values["statistics"], f"{name}: statistics")
    validate(values, name)
    check = parse_reference(values.pop("check"), file, values["id"])
    source = ", ".join(part for part in (paper.strip(), values.pop("source")) if part)
    return Claim(**values, source=source, check=check)


def _plans(entry: Any, name: str) -> dict[str, Plan]:
    fine = isinstance(entry, dict) and all(isinstance(values, dict) for values in entry.values())
    checks.require(fine, name, "must map quantities to at_most or at_least, comparisons and level", entry)
    try:
        return {quantity: Plan(**values) for quantity, values in entry.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _from_python(file: Path) -> list[Claim]:
    try:
        module = run_file(file)
    except (Exception, SystemExit) as error:  # a researcher's file may fail in any way
        raise ValueError(f"must run ({describe_error(error, file)})") from error
    return _claim_list(getattr(module, "CLAIMS", None))


def _claim_list(target: Any) -> list[Claim]:
    fine = isinstance(target, list | tuple) and bool(target) and all(isinstance(c, Claim) for c in target)
    checks.require(fine, "CLAIMS", "must be a list of Claim objects", target)
    return list(target)


_READERS = {".yaml": _from_yaml, ".yml": _from_yaml, ".py": _from_python}
