"""A claim: one statement to decide, its source and its recorded verdict."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from circuits import checks, display
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
        statement: the claim in plain words.
        setting: the assumptions under which it is made.
        recorded: the verdict that the check is expected to reach.
        check: a function that returns ``Findings``.
        formula: LaTeX, or empty.
        provenance: "paper" if the primary text was read, "second-hand" if only a report of it was, otherwise "ours".
        intent: what the claim was meant to establish, without any measured number; required if it does not hold as
            printed.
        decided_by: quantities whose tests decide the intent.
        amendment: the correction, exactly when the recorded verdict is "amended".
        refutation: what refutes the intent, exactly when the recorded verdict is "fails".
        limit: quantities that make up the limit that the statement is about; empty if it is about no limit.
        statistics: a statistics plan for each statistical test, by quantity.
        data: folders of measured data that the check reads, as named in the manifest.
        section: part of the theory it belongs to, for tables.
        registry: file it was read from.

    Raises:
        ValueError: naming claim, field, rule and value.

    Example:
        >>> def check():
        ...     mutants = {"n > 1": lambda n: n > 1}
        ...     measure = lambda statement: every([statement(n) for n in range(1, 99)])
        ...     return Findings((Test("exhaustive", "n > 0", measure, lambda n: n > 0, mutants=mutants),))
        >>> claim = Claim("notes.positive", "p. 1", "Counts are positive.", "n = 1 to 98", "holds", check)
        >>> decide(claim)
        notes.positive: holds, as recorded; 1 of 1 controls passed
          supports the claim word for word, in its own setting (exhaustive): n > 0: 0, expected <= 0, 98 cases
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

    @display.safe
    def _repr_html_(self) -> str:
        from proofs_check.ledger.report_inline import claim_facts

        return display.facts(self.id, claim_facts(self))

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
_EXACTLY = {"amendment": "amended", "refutation": "fails"}


def validate(values: Mapping[str, Any], claim: str) -> None:
    """Check the fields of a claim, apart from its check."""

    def rule(condition: bool, name: str, text: str) -> None:
        checks.require(condition, f"{claim}: {name}", text, values.get(name))

    for name in values:
        rule(name in FIELDS, name, f"must be a field of a claim ({', '.join(FIELDS)})")
    for name in _REQUIRED:
        rule(name in values, name, "must be given")
    rule(isinstance(values["id"], str) and bool(ID.fullmatch(values["id"])), "id", f"must match {ID.pattern}")
    for name in TEXTS:
        rule(isinstance(values.get(name, ""), str), name, "must be text")
    for name in ("source", "statement", "setting"):
        rule(bool(values[name].strip()), name, "must not be empty")
    for name in NAMES:
        names = values.get(name, ())
        fine = isinstance(names, tuple) and all(isinstance(each, str) for each in names)
        rule(fine, name, "must be a list of names")
    for name, options in (("recorded", get_args(Verdict)), ("provenance", get_args(Provenance))):
        rule(values.get(name, "ours") in options, name, f"must be one of {'; '.join(options)}")
    word, intended = values["recorded"].partition(",")[0], bool(values.get("intent"))
    rule(intended or word not in _EXACTLY.values(), "intent", f"must be given when recorded is {word}")
    rule(intended == bool(values.get("decided_by")), "decided_by", "must be given with an intent")
    for name, verdict in _EXACTLY.items():
        rule(bool(values.get(name)) == (word == verdict), name, f"must be given exactly when recorded is {verdict}")
    rule(all(isinstance(plan, Plan) for plan in values.get("statistics", {}).values()), "statistics", "must be plans")
