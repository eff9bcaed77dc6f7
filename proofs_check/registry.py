"""The registry: which claims there are, what each says, and what was recorded about it."""

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import yaml

from circuits import require
from proofs_check.evidence import Findings, Verdict
from proofs_check.reference import Reference, brief, reference, run_file

OWN = Path(__file__).with_name("claims.yaml")
GROUP = "proofs_check.claims"
"""Entry-point group through which an installed package adds its claims."""
ID = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


@dataclass(frozen=True)
class Claim:
    """One statement to decide.

    source     where it is printed
    statement  in plain words
    formula    in LaTeX, or empty
    setting    the assumptions it is made under
    recorded   the verdict that the check is expected to reach
    check      the function that measures
    amendment  the stated correction, exactly when ``recorded`` is "amended"
    intent     what it was meant to establish, exactly when ``recorded`` is "fails"
    limit      whether it speaks of a limit, which no single point can show
    registry   the file it was read from

    Raises ``ValueError`` naming claim, field, rule and value.
    """

    id: str
    source: str
    statement: str
    setting: str
    recorded: Verdict
    check: Callable[[], Findings]
    formula: str = ""
    amendment: str = ""
    intent: str = ""
    limit: bool = False
    registry: str = ""

    def __post_init__(self) -> None:
        values = {name: value for name, value in vars(self).items() if name != "registry"}
        _validate(values, f"claim {self.id!r}")
        require.that(callable(self.check), f"claim {self.id!r}: check", "must be callable", self.check)


_TEXTS = ("source", "statement", "setting", "formula", "amendment", "intent")
_FILLED = ("source", "statement", "setting")
_FIELDS = tuple(field.name for field in fields(Claim) if field.name != "registry")


def load(path: str | Path) -> tuple[Claim, ...]:
    """The claims of one registry: a YAML file, or a Python file that defines ``CLAIMS``.

    A YAML registry maps ``claims`` to a list of claims, and ``paper``, if given, to the text that every
    source begins with, unless the claim has a ``paper`` of its own. No check is imported.
    Raises ``ValueError`` naming file, claim, field, rule and value.
    """
    file = Path(path)
    require.that(file.is_file(), "registry", "must be a file", str(file))
    require.that(file.suffix in _READERS, "registry", f"must end in {', '.join(_READERS)}", str(file))
    try:
        claims = _READERS[file.suffix](file)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return unique(replace(claim, registry=str(file)) for claim in claims)


def own() -> tuple[Claim, ...]:
    """The claims of this package."""
    return load(OWN)


def discover() -> Iterator[Claim]:
    """The claims of installed packages. An entry point leads to a list of claims, or to a registry's path.

    Raises ``ValueError`` naming the entry point.
    """
    for point in entry_points(group=GROUP):
        origin = f"entry point {point.name} = {point.value}"
        try:
            target = point.load()
            claims = load(target) if isinstance(target, str | Path) else _claims(target)
        except (Exception, SystemExit) as error:  # the code of other packages may fail in any way
            raise ValueError(f"{origin}: must lead to claims ({brief(error)})") from error
        yield from (replace(claim, registry=claim.registry or origin) for claim in claims)


def gather(paths: Iterable[Path] = ()) -> tuple[Claim, ...]:
    """Our own claims, those of installed packages, and those of the given registries, in this order."""
    return unique((*own(), *discover(), *(claim for path in paths for claim in load(path))))


def unique(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The same claims. Raises ``ValueError`` if two of them share an id."""
    seen: dict[str, Claim] = {}
    for claim in claims:
        if claim.id in seen:
            origin = seen[claim.id].registry
            raise ValueError(f"{claim.registry}: claim {claim.id!r}: id: must be unique, it is also in {origin}")
        seen[claim.id] = claim
    return tuple(seen.values())


def select(claims: Sequence[Claim], patterns: Iterable[str]) -> tuple[Claim, ...]:
    """The claims whose id matches a glob pattern, in their own order; all of them if no pattern is given.

    A pattern may hold several, separated by commas. Raises ``ValueError`` if one matches no claim.
    """
    ids = [claim.id for claim in claims]
    wanted = [part.strip() for pattern in patterns for part in pattern.split(",")]
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in ids):
            near = difflib.get_close_matches(pattern.strip("*?"), ids, n=4, cutoff=0.4) or ids[:4]
            raise ValueError(f"only: must match a claim, got {pattern!r} (near it: {', '.join(near)})")
    return tuple(c for c in claims if not wanted or any(fnmatch.fnmatchcase(c.id, p) for p in wanted))


def importable(claims: Iterable[Claim]) -> None:
    """Import the checks of these claims. Raises ``ValueError`` naming the first that can't be."""
    for claim in claims:
        if isinstance(claim.check, Reference):
            claim.check.resolve()


class _Loader(yaml.SafeLoader):
    """``yaml.SafeLoader``, but a key given twice is an error, not the end of the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        require.that(twice is None, f"line {node.start_mark.line + 1}", "must give each key once", twice)
        return super().construct_mapping(node, deep)


def _from_yaml(file: Path) -> list[Claim]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"must be YAML ({' '.join(str(error).split())})") from error
    require.that(isinstance(content, dict), "registry", "must map claims to a list", content)
    unknown = sorted(set(content) - {"paper", "claims"}, key=str)
    require.that(not unknown, "registry", "must have no keys but paper and claims", unknown)
    entries, paper = content.get("claims"), content.get("paper", "")
    require.that(isinstance(entries, list) and bool(entries), "claims", "must be a list of claims", entries)
    require.that(isinstance(paper, str), "paper", "must be text", paper)
    return [_claim(entry, number, paper, file) for number, entry in enumerate(entries, start=1)]


def _claim(entry: Any, number: int, paper: str, file: Path) -> Claim:
    require.that(isinstance(entry, dict), f"claim number {number}", "must map fields to values", entry)
    values: dict[str, Any] = {key: value.strip() if isinstance(value, str) else value for key, value in entry.items()}
    name = f"claim {values['id']!r}" if "id" in values else f"claim number {number}"
    paper = values.pop("paper", paper)
    require.that(isinstance(paper, str), f"{name}: paper", "must be text", paper)
    _validate(values, name)
    check = reference(values.pop("check"), file, values["id"])
    source = f"{paper.strip()}, {values.pop('source')}" if paper else values.pop("source")
    return Claim(**values, source=source, check=check)


def _validate(values: Mapping[str, Any], claim: str) -> None:
    """The rules of the fields, apart from that of the check."""

    def rule(condition: bool, field: str, text: str) -> None:
        require.that(condition, f"{claim}: {field}", text, values.get(field))

    for field in values:
        rule(field in _FIELDS, field, f"is no field of a claim, which has {', '.join(_FIELDS)}")
    for field in ("id", "recorded", "check", *_FILLED):
        rule(field in values, field, "must be given")
    name = values["id"]
    rule(isinstance(name, str) and bool(ID.fullmatch(name)), "id", f"must match {ID.pattern}")
    for field in _TEXTS:
        rule(isinstance(values.get(field, ""), str), field, "must be text")
    for field in _FILLED:
        rule(bool(values[field].strip()), field, "must not be empty")
    rule(values["recorded"] in get_args(Verdict), "recorded", f"must be one of {', '.join(get_args(Verdict))}")
    for field, verdict in (("amendment", "amended"), ("intent", "fails")):
        given = bool(values.get(field))
        rule(
            given == (values["recorded"] == verdict),
            field,
            f"must be given exactly when recorded is {verdict}",
        )
    rule(isinstance(values.get("limit", False), bool), "limit", "must be true or false")


def _from_python(file: Path) -> list[Claim]:
    try:
        module = run_file(file)
    except (Exception, SystemExit) as error:  # a researcher's file may fail in any way
        raise ValueError(f"must run ({brief(error, file)})") from error
    return _claims(getattr(module, "CLAIMS", None))


def _claims(target: Any) -> list[Claim]:
    fine = isinstance(target, list | tuple) and bool(target) and all(isinstance(c, Claim) for c in target)
    require.that(fine, "CLAIMS", "must be a list of Claim objects", target)
    return list(target)


_READERS = {".yaml": _from_yaml, ".yml": _from_yaml, ".py": _from_python}
