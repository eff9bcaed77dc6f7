"""The first campaign: damage the results of library functions, and decide every claim that calls them.

For each attack on a function one process decides all claims that call it, and they share the programs that are compiled
under the attack.
"""

import random
from collections.abc import Callable

from proofs_check.attack import engine, replacing
from proofs_check.attack.engine import Target
from proofs_check.attack.processes import stream
from proofs_check.attack.record import Record, Row, traced
from proofs_check.attack.tracing import time_limit

Say = Callable[[str], None]
Attack = tuple[str, str, str]
"""Claim, function, and name of the attack."""
UNNOTICED = ("green", "survived", "unused", "exempt")


def campaign(target: Target, only: tuple[str, ...], sample: int, seed: int, record: Record, say: Say) -> list[Row]:
    """Attack the results of functions, all or ``sample`` of them, each for a claim chosen at random."""
    names = [*engine.claims(target, only)]
    if sample:
        chosen = _sampled(target, names, sample, seed, record, say)
    else:
        chosen = [attack for name in names for attack in _attacks(target, name, record, say)]
    groups: dict[tuple[str, str], list[str]] = {}
    for name, function, change in sorted(chosen, key=lambda attack: " at " in attack[2]):  # single leaves come last
        groups.setdefault((function, change), []).append(name)
    for number, ((function, change), callers) in enumerate(groups.items(), start=1):
        missing = [name for name in callers if row_key(name, function, change) not in record.rows]
        if missing:
            _attack(target, missing, function, change, record)
            record.save()
            outcomes = (f"{record.rows[row_key(name, function, change)]['outcome']} {name}" for name in missing)
            say(f"[{number}/{len(groups)}] {function} {change}: {', '.join(outcomes)}")
    extra: dict[str, str] = {}
    for attack in chosen:
        if record.rows[row_key(*attack)]["outcome"] == "green":
            record.rows[row_key(*attack)]["outcome"] = _unnoticed(target, attack, record, extra)
            record.save()
            say(f"{record.rows[row_key(*attack)]['outcome']}  {row_key(*attack)}")
    return [record.rows[row_key(*attack)] for attack in chosen]


def _attacks(target: Target, name: str, record: Record, say: Say) -> list[Attack]:
    trace = traced(target, name, record, say)
    if trace.outcome != "green":
        return []
    return [(name, function, change) for function, changes in trace.functions.items() for change in changes]


def _sampled(target: Target, names: list[str], sample: int, seed: int, record: Record, say: Say) -> list[Attack]:
    """Draw claims first: only those have to be traced."""
    draw, chosen = random.Random(seed), set()
    for _ in range(sample):
        left = sorted({*_attacks(target, draw.choice(names), record, say)} - chosen)
        if left:
            chosen.add(draw.choice(left))
    return sorted(chosen)


def _attack(target: Target, names: list[str], function: str, change: str, record: Record) -> None:
    """Decide the claims under an attack, and record the outcomes; "green" stands for an attack that went unnoticed.

    A claim that notices neither zeros nor a changed sign in the whole result is not decided for single leaves of it.
    """
    for name in names:
        whole = [record.rows.get(row_key(name, function, each), {}).get("outcome") for each in ("zero", "negated")]
        if " at " in change and all(outcome in UNNOTICED for outcome in whole):
            record.rows[row_key(name, function, change)] = _row(name, function, change, "unused", 0.0)
    left = [name for name in names if row_key(name, function, change) not in record.rows]
    left.sort(key=lambda name: record.traces[name].seconds)
    while left:  # after a timeout or the death of a process, the remaining claims get another one
        limits = [time_limit(record.traces[name]) for name in left]
        outcomes = stream(replacing.decide, target, left, function, change, limits=limits)
        rows = [_row(name, function, change, *outcome) for name, outcome in zip(left, outcomes, strict=False)]
        record.rows |= {row_key(row["claim"], function, change): row for row in rows}
        left = left[len(rows) :]


def _unnoticed(target: Target, attack: Attack, record: Record, extra: dict[str, str]) -> str:
    """Return whether an attack that a claim did not notice matters: "survived", "unused" or "exempt".

    A claim may call a function and ignore its result, or some of its leaves. A leaf is "unused" if NaN, zero and a
    changed sign all go unnoticed. If one of these is noticed, an attack that is not has survived, unless it changed no
    value.
    """
    name, function, change = attack
    what, _, leaf = change.partition(" at ")
    kind = "integers " if what.startswith("integers") else ""
    limits = [time_limit(record.traces[name])]

    def noticed(other: str) -> bool:
        key = row_key(name, function, f"{other} at {leaf}" if leaf else other)
        if key not in record.rows and key not in extra:
            [(extra[key], _)] = stream(replacing.decide, target, [name], function, key.split(" ", 2)[2], limits=limits)
        return (extra.get(key) or record.rows[key]["outcome"]) not in UNNOTICED

    others = {f"{kind}zero", f"{kind}negated", *([] if kind else ["NaN"])} - {what}
    if not any(noticed(other) for other in sorted(others)):
        return "unused"
    [(changed, _)] = stream(replacing.changes_values, target, name, function, change, limits=limits)
    return "exempt" if changed is False else "survived"


def row_key(name: str, function: str, change: str) -> str:
    """Return the key of an attack in the record."""
    return f"{name} {function} {change}"


def _row(name: str, function: str, change: str, outcome: str, seconds: float) -> Row:
    return {"claim": name, "function": function, "attack": change, "outcome": outcome, "seconds": seconds}
