"""The verdicts in README.md, FINDINGS.md and docs/theory, from the registries: ``python -m proofs_check.prose``.

README and docs/theory/index.md have a table between two comments, the one with numbers of claims, the other with their
ids. Wherever FINDINGS or a page of docs/theory writes an id followed by a verdict, `corollary-1.loss` (fails), the
verdict is that of the registry. Everything else in these files is written by hand.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from proofs_check.ledger.claim import Claim
from proofs_check.verification import own_claims

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- verdicts: written by python -m proofs_check.prose -->", "<!-- end of verdicts -->"
COLUMNS = {"holds": "hold", "amended": "true after a correction", "fails": "false", "open": "open"}
MENTION = re.compile(r"`([a-z0-9-]+\.[a-z0-9.-]+)`\s\((?:holds|amended|fails|open)(?:, numerically)?\)")
PAGES = {
    "Forward pass": "model",
    "Gradients": "gradients",
    "The circuit": "circuit",
    "Theorem 2, Phase I": "dynamics",
    "Theorem 2, Phase II": "dynamics",
    "Theorem 3": "dynamics",
    "Trained models": "trained",
    "Standard transformers": "trained",
    "Transfer matrices and reachability": "transfer",
    "Speculative decoding": "speculative",
}
"""The page of docs/theory on each section of the registries."""


def texts(claims: Sequence[Claim]) -> dict[Path, str]:
    """Return the text that every file should have."""
    readme, index = ROOT / "README.md", ROOT / "docs" / "theory" / "index.md"
    tables = {readme: table(claims, number, "docs/theory/"), index: table(claims, ids)}
    with_mentions = [ROOT / "FINDINGS.md", *sorted(index.parent.glob("*.md"))]
    current = {path: path.read_text(encoding="utf-8") for path in (readme, *with_mentions)}
    mentioned = {path: mentions(text, claims) if path in with_mentions else text for path, text in current.items()}
    return {path: between(text, tables[path]) if path in tables else text for path, text in mentioned.items()}


def table(claims: Sequence[Claim], cell: Callable[[Sequence[Claim]], str], folder: str = "") -> str:
    """Return a row for each section, linked to its page, and a column for each verdict, followed by the counts."""
    rows = [f"| claims on | {' | '.join(COLUMNS.values())} |", "|---|" + "---|" * len(COLUMNS)]
    for section, group in groupby(claims, key=lambda claim: claim.section):
        members = list(group)
        cells = [cell([claim for claim in members if _word(claim) == word]) for word in COLUMNS]
        rows.append(f"| [{section}]({folder}{PAGES[section]}.md) | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n\n" + count_verdicts(claims)


def count_verdicts(claims: Sequence[Claim]) -> str:
    """Return "61 claims: 22 hold, ..."."""
    number = {word: sum(_word(claim) == word for claim in claims) for word in COLUMNS}
    numerical = sum(claim.recorded.endswith("numerically") for claim in claims)
    rest = f" {numerical} of the limits rest on a simulation, not on a proof." if numerical else ""
    return (
        f"{len(claims)} claims: {number['holds']} hold, {number['amended']} are amended, {number['fails']} fail, "
        f"{number['open']} are open.{rest}"
    )


def number(claims: Sequence[Claim]) -> str:
    """Return the number of claims, nothing for 0."""
    return str(len(claims) or "")


def ids(claims: Sequence[Claim]) -> str:
    """Return the ids, those of one lemma or theorem together: ``lemma-3: content-1, position-1``."""
    parts = []
    for prefix, group in groupby(claims, key=lambda claim: claim.id.rpartition(".")[0]):
        parts.append(f"{prefix}: {', '.join(claim.id.rpartition('.')[2] for claim in group)}")
    return "; ".join(parts)


def between(text: str, written: str) -> str:
    """Return the text with ``written`` between the two comments."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{written}\n{END}{after}"


def mentions(text: str, claims: Sequence[Claim]) -> str:
    """Return the text with the recorded verdict wherever a verdict follows an id."""
    recorded = {claim.id: claim.recorded for claim in claims}
    return MENTION.sub(lambda match: f"{match[0].partition('(')[0]}({recorded[match[1]]})", text)


def _word(claim: Claim) -> str:
    return claim.recorded.partition(",")[0]


def main() -> None:
    """Rewrite the files."""
    for path, text in texts(own_claims()).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
