"""The verdicts in README.md and FINDINGS.md, written from the registries: ``python -m proofs_check.prose``.

README has a table and a line of counts between two comments. A heading of FINDINGS names claims, and their verdicts are
written after the ids. Everything else in these files is written by hand.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from proofs_check.ledger.claim import Claim
from proofs_check.verification import own_claims

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- verdicts: written by python -m proofs_check.prose -->", "<!-- end of verdicts -->"
COLUMNS = {"holds": "hold", "amended": "true after a correction", "fails": "false", "open": "open"}
HEADING = re.compile(r"^### (`[^\n]*)$", re.M)


def table(claims: Sequence[Claim]) -> str:
    """Return a row for each section and a column for each verdict, followed by the counts."""
    rows = [f"| claims on | {' | '.join(COLUMNS.values())} |", "|---|" + "---|" * len(COLUMNS)]
    for section, group in groupby(claims, key=lambda claim: claim.section):
        members = list(group)
        cells = [_cell([claim for claim in members if _word(claim) == word]) for word in COLUMNS]
        rows.append(f"| {section} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n\n" + count_verdicts(claims)


def count_verdicts(claims: Sequence[Claim]) -> str:
    """Return "61 claims: 22 hold, ..."."""
    number = {word: sum(_word(claim) == word for claim in claims) for word in COLUMNS}
    numerical = sum(claim.recorded.endswith("numerically") for claim in claims)
    rest = f" A star marks the {numerical} on limits that rest on a simulation, not on a proof." if numerical else ""
    return (
        f"{len(claims)} claims: {number['holds']} hold, {number['amended']} are amended, {number['fails']} fail, "
        f"{number['open']} are open.{rest}"
    )


def readme(text: str, claims: Sequence[Claim]) -> str:
    """Return README's text with the table updated."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(claims)}\n{END}{after}"


def findings(text: str, claims: Sequence[Claim]) -> str:
    """Return FINDINGS' text with the verdict after each id in a heading."""
    recorded = {claim.id: claim.recorded for claim in claims}

    def with_verdicts(heading: re.Match[str]) -> str:
        ids = re.findall(r"`([^`]+)`", heading[1])
        return "### " + ", ".join(f"`{name}` ({recorded[name]})" for name in ids)

    return HEADING.sub(with_verdicts, text)


def _word(claim: Claim) -> str:
    return claim.recorded.partition(",")[0]


def _cell(claims: Sequence[Claim]) -> str:
    """Return the ids, those of one lemma or theorem together: ``lemma-3: content-1, position-1``."""
    parts = []
    for prefix, group in groupby(claims, key=lambda claim: claim.id.rpartition(".")[0]):
        names = [each.id.rpartition(".")[2] + "*" * each.recorded.endswith("numerically") for each in group]
        parts.append(f"{prefix}: {', '.join(names)}")
    return "; ".join(parts)


def main() -> None:
    """Rewrite both files."""
    for name, update in (("README.md", readme), ("FINDINGS.md", findings)):
        path = ROOT / name
        path.write_text(update(path.read_text(encoding="utf-8"), own_claims()), encoding="utf-8")


if __name__ == "__main__":
    main()
