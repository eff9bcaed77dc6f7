"""Text reports on a run of attacks."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from proofs_check.attack.mutating import Mutant
from proofs_check.attack.record import Row, explanation
from proofs_check.attack.replacing import ATTACKS

_LETTERS = {"detected": "D", "survived": "S", "crash": "C", "timeout": "T", "exempt": "e", "unused": "u"}


def unexplained(rows: Sequence[Row], entries: list[Mapping[str, Any]], *, complete: bool = True) -> list[Row]:
    """Return survivors that no entry explains and, if all attacks were made, results that no claim uses."""
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
    """Return a table of functions and claims with a letter for each attack of ``ATTACKS``; - if it does not apply.

    NaN has a letter for each leaf.
    """
    cells: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        what = row["attack"].partition(" at ")[0]
        cell = cells[row["function"]][row["claim"]]
        cell[what] = cell.get(what, "") + _LETTERS[row["outcome"]]
    lines = [f"Attacks, in this order: {', '.join(ATTACKS)}. {', '.join(f'{v} {k}' for k, v in _LETTERS.items())}."]
    for function, by_claim in sorted(cells.items()):
        lines.append(function)
        lines += [f"  {''.join(cell.get(a, '-') for a in ATTACKS)}  {claim}" for claim, cell in by_claim.items()]
    return "\n".join(lines)


def functions(rows: Sequence[Row], entries: list[Mapping[str, Any]], *, complete: bool) -> str:
    """Return a table of outcomes, the survivors, and the number of attacks with each outcome."""
    listed = [
        f"{row['claim']}: {row['function']}, {row['attack']}: {_why(row, entries)}"
        for row in unexplained(rows, [], complete=complete)
    ]
    number = Counter(row["outcome"] for row in rows)
    total = ", ".join(f"{number[name]} {name}" for name in _LETTERS)
    listed = _titled("Survived, or detected by no claim", listed)
    return "\n".join((function_table(rows), *listed, f"{len(rows)} attacks: {total}"))


def formulas(rows: Sequence[Row], untested: Sequence[Mutant], entries: list[Mapping[str, Any]]) -> str:
    """Return survivors and crashes line by line, the functions that no claim tests, and the mutation score."""
    listed: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["outcome"] != "detected":
            why = f"\n    {_why(row, entries)}" if row["outcome"] == "survived" else ""
            where = f"{row['file']}:{row['line']} {row['function']}"
            listed[row["outcome"]].append(f"{where}\n  - {row['before']}\n  + {row['after']}{why}")
    functions = Counter(f"{mutant.file} {mutant.function}" for mutant in untested)
    lines = [line for name in ("crash", "timeout", "survived") for line in _titled(name.capitalize(), listed[name])]
    lines += _titled(
        "Not run, or not read, by any of these claims", [f"{f}: {n}" for f, n in sorted(functions.items())]
    )
    equivalent = sum(
        (explanation(row, entries) or {}).get("equivalent", False) for row in rows if row["outcome"] != "detected"
    )
    number = Counter(row["outcome"] for row in rows)
    counted = ", ".join(f"{number[name]} {name}" for name in ("detected", "crash", "timeout", "survived"))
    score = number["detected"] / (len(rows) - equivalent) if len(rows) > equivalent else 1.0
    ran = number["detected"] + number["survived"] - equivalent
    share = number["detected"] / ran if ran else 1.0
    return "\n".join(
        (
            *lines,
            f"{len(rows)} mutants: {counted}; {equivalent} of these equivalent; {len(untested)} more not tested",
            f"mutation score {score:.1%}, {share:.1%} not counting crashes and timeouts",
        )
    )


def _why(row: Row, entries: list[Mapping[str, Any]]) -> str:
    entry = explanation(row, entries)
    return " ".join(entry["why"].split()) if entry else "NOT EXPLAINED"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"\n{title}", *lines] if lines else []
