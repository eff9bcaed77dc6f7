"""Text reports on a run of attacks."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from proofs_check.attack.mutating import Mutant
from proofs_check.attack.record import Row, explanation
from proofs_check.attack.replacing import ATTACKS

_LETTERS = {"detected": "D", "survived": "S", "crash": "C", "timeout": "T", "exempt": "e", "unused": "u"}


def unexplained(rows: Sequence[Row], entries: list[Mapping[str, Any]], *, complete: bool = True) -> list[Row]:
    """Survivors that no entry explains and, if all attacks were made, results that no claim uses."""
    detected = [row for row in rows if complete and row["outcome"] == "detected"]
    used = {(row["function"], leaf) for row in detected for leaf in ("", _leaf(row))}
    return [
        row
        for row in rows
        if row["outcome"] == "survived"
        or (complete and row["outcome"] == "unused" and (row["function"], _leaf(row)) not in used)
        if explanation(row, entries) is None
    ]


def _leaf(row: Row) -> str:
    return row["attack"].partition(" at ")[2]


def function_table(rows: Sequence[Row]) -> str:
    """Table of functions and claims with a letter for each attack in the order of ``ATTACKS``; - if it does not apply.

    NaN has a letter for each leaf.
    """
    cells: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        what = row["attack"].partition(" at ")[0]
        done = cells[row["function"]][row["claim"]]
        done[what] = done.get(what, "") + _LETTERS[row["outcome"]]
    lines = [f"Attacks, in this order: {', '.join(ATTACKS)}. {', '.join(f'{v} {k}' for k, v in _LETTERS.items())}."]
    for function, by_claim in sorted(cells.items()):
        lines.append(function)
        lines += [f"  {''.join(done.get(a, '-') for a in ATTACKS)}  {claim}" for claim, done in by_claim.items()]
    return "\n".join(lines)


def functions(rows: Sequence[Row], entries: list[Mapping[str, Any]], *, complete: bool) -> str:
    """The table, the survivors, and the number of attacks with each outcome."""
    listed = [
        f"{row['claim']}: {row['function']}, {row['attack']}: {_why(row, entries)}"
        for row in unexplained(rows, [], complete=complete)
    ]
    number = Counter(row["outcome"] for row in rows)
    total = ", ".join(f"{number[name]} {name}" for name in _LETTERS)
    listed = _titled("Survived, or detected by no claim", listed)
    return "\n".join((function_table(rows), *listed, f"{len(rows)} attacks: {total}"))


def formulas(rows: Sequence[Row], uncovered: Sequence[Mutant], entries: list[Mapping[str, Any]]) -> str:
    """Survivors and crashes line by line, the lines that were not run, and the mutation score."""
    listed: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["outcome"] != "detected":
            why = f"\n    {_why(row, entries)}" if row["outcome"] == "survived" else ""
            place = f"{row['file']}:{row['line']} {row['function']}"
            listed[row["outcome"]].append(f"{place}\n  - {row['before']}\n  + {row['after']}{why}")
    bare = Counter(f"{mutant.file} {mutant.function}" for mutant in uncovered)
    lines = [line for name in ("crash", "timeout", "survived") for line in _titled(name.capitalize(), listed[name])]
    lines += _titled("Not run by any of these claims", [f"{place}: {number}" for place, number in sorted(bare.items())])
    equal = sum(
        (explanation(row, entries) or {}).get("equivalent", False) for row in rows if row["outcome"] != "detected"
    )
    number = Counter(row["outcome"] for row in rows)
    counted = ", ".join(f"{number[name]} {name}" for name in ("detected", "crash", "timeout", "survived"))
    score = number["detected"] / (len(rows) - equal) if len(rows) > equal else 1.0
    ran = number["detected"] + number["survived"] - equal
    share = number["detected"] / ran if ran else 1.0
    return "\n".join(
        (
            *lines,
            f"{len(rows)} mutants: {counted}; {equal} of these equivalent; {len(uncovered)} more not run",
            f"mutation score {score:.1%}, {share:.1%} not counting crashes and timeouts",
        )
    )


def _why(row: Row, entries: list[Mapping[str, Any]]) -> str:
    found = explanation(row, entries)
    return " ".join(found["why"].split()) if found else "NOT EXPLAINED"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"\n{title}", *lines] if lines else []
