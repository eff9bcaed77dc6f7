"""A claim: one statement to decide, where it comes from, and what was recorded about it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from circuits import checks
from proofs_check.ledger.evidence import Findings, Verdict
from proofs_check.ledger.statistics import Plan

ID = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
Provenance = Literal["paper", "second-hand", "ours"]


@dataclass(frozen=True)
class Claim:
    """One statement to decide.

    Args:
        id: lower-case words and dots, such as "lemma-3.content-1".
        source: where it is printed.
        statement: in plain words.
        setting: the assumptions it is made under.
        recorded: the verdict that the check is expected to reach.
        check: the function that returns ``Findings``.
        formula: in LaTeX, or empty.
        provenance: "paper" if the primary text was read, "second-hand" if only a report of it was, "ours" otherwise.
        intent: what the claim was meant to establish, in words that name no measured number; needed if it does not
            hold as printed.
        decided_by: the quantities whose tests decide the intent.
        amendment: the correction, exactly when the recorded verdict is "amended".
        refutation: what refutes the intent, exactly when the recorded verdict is "fails".
        limit: the quantities that make the limit that the statement speaks of; none if it speaks of no limit.
        statistics: a plan for each statistical test, by quantity.
        data: the folders of measured data that it reads, as the manifest names them.
        section: the part of the theory it belongs to, for tables.
        registry: the file it was read from.

    Raises ValueError naming claim, field, rule and value.
    """

    id: str
    source: str
    statement: str
    setting: str
    recorded: Verdict
    check: Callable[[], Findings]
    formula: str = ""
    provenance: Provenance = "ours"
    intent: str = ""
    decided_by: tuple[str, ...] | list[str] = ()
    amendment: str = ""
    refutation: str = ""
    limit: tuple[str, ...] | list[str] = ()
    statistics: Mapping[str, Plan] = field(default_factory=dict)
    data: tuple[str, ...] | list[str] = ()
    section: str = ""
    registry: str = ""

    def __post_init__(self) -> None:
        for name in NAMES:
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        validate({name: value for name, value in vars(self).items() if name != "registry"}, f"claim {self.id!r}")
        checks.require(callable(self.check), f"claim {self.id!r}: check", "must be callable", self.check)


FIELDS = tuple(each.name for each in fields(Claim) if each.name != "registry")
TEXTS = ("source", "statement", "setting", "formula", "intent", "amendment", "refutation", "section")
NAMES = ("decided_by", "limit", "data")
_REQUIRED = ("id", "source", "statement", "setting", "recorded", "check")
_NEEDED = {"intent": ("amended", "fails"), "decided_by": ("amended", "fails")}
_EXACTLY = {"amendment": "amended", "refutation": "fails"}


def validate(values: Mapping[str, Any], claim: str) -> None:
    """The rules of the fields, apart from that of the check."""

    def rule(condition: bool, name: str, text: str) -> None:
        checks.require(condition, f"{claim}: {name}", text, values.get(name))

    for name in values:
        rule(name in FIELDS, name, f"is no field of a claim, which has {', '.join(FIELDS)}")
    for name in _REQUIRED:
        rule(name in values, name, "must be given")
    rule(isinstance(values["id"], str) and bool(ID.fullmatch(values["id"])), "id", f"must match {ID.pattern}")
    for name in TEXTS:
        rule(isinstance(values.get(name, ""), str), name, "must be text")
    for name in ("source", "statement", "setting"):
        rule(bool(values[name].strip()), name, "must not be empty")
    for name in NAMES:
        listed = values.get(name, ())
        rule(
            isinstance(listed, tuple) and all(isinstance(each, str) for each in listed), name, "must be a list of names"
        )
    for name, options in (("recorded", get_args(Verdict)), ("provenance", get_args(Provenance))):
        rule(values.get(name, "ours") in options, name, f"must be one of {'; '.join(options)}")
    word = values["recorded"].partition(",")[0]
    for name, verdicts in _NEEDED.items():
        rule(bool(values.get(name)) or word not in verdicts, name, f"must be given when recorded is {word}")
    rule(bool(values.get("intent")) == bool(values.get("decided_by")), "decided_by", "must go with an intent")
    for name, verdict in _EXACTLY.items():
        rule(bool(values.get(name)) == (word == verdict), name, f"must be given exactly when recorded is {verdict}")
    rule(all(isinstance(plan, Plan) for plan in values.get("statistics", {}).values()), "statistics", "must be plans")
