"""The two attacks from end to end: choose what to damage, decide the claims, and collect the outcomes."""

import random
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from proofs_check.attack import engine, mutating, replacing, tracing
from proofs_check.attack.engine import Target
from proofs_check.attack.mutating import Mutant
from proofs_check.attack.processes import stream
from proofs_check.attack.record import Record, Row
from proofs_check.attack.tracing import Trace

Say = Callable[[str], None]
Attack = tuple[str, str, str]
"""Claim, function, and name of the attack."""
_UNNOTICED = ("survived", "unused", "exempt")


def traced(target: Target, name: str, record: Record, say: Say) -> Trace:
    """The trace of a claim, from the record if it has one."""
    if name not in record.traces:
        [(found, _)] = stream(tracing.trace, target, name, limits=[3600.0])
        record.traces[name] = found if isinstance(found, Trace) else Trace("crash", {}, {}, 0.0)
        record.save()
        trace = record.traces[name]
        say(f"{name}: {len(trace.functions)} functions, {trace.seconds:.0f} s" + _unfit(trace))
    return record.traces[name]


def functions(target: Target, only: tuple[str, ...], sample: int, seed: int, record: Record, say: Say) -> list[Row]:
    """Attack the results of functions: all, or ``sample`` of them, each for a claim chosen at random."""
    names = [*engine.claims(target, only)]
    chosen = _sampled(target, names, sample, seed, record, say) if sample else None
    if chosen is None:
        chosen = [attack for name in names for attack in _attacks(name, traced(target, name, record, say))]
    return [
        _row(record, say, f"{number}/{len(chosen)}", " ".join(attack), lambda a=attack: _replaced(target, a, record))
        for number, attack in enumerate(chosen, start=1)
    ]


def formulas(
    target: Target, only: tuple[str, ...], files: str, sample: int, seed: int, record: Record, say: Say
) -> tuple[list[Row], list[Mutant]]:
    """Mutate formulas, all or ``sample`` of them. Returns the rows, and the mutants of lines that no claim runs."""
    traces = {name: traced(target, name, record, say) for name in engine.claims(target, only)}
    traces = dict(sorted(traces.items(), key=lambda item: item[1].seconds))
    covered: dict[str, tuple[Mutant, list[str]]] = {}
    uncovered = []
    for mutant in _mutants(target, files, traces):
        if names := [name for name, trace in traces.items() if trace.outcome == "green" and _runs(trace, mutant)]:
            covered[mutant.key] = mutant, names
        elif mutant.file.split("/")[0] not in target.also:
            uncovered.append(mutant)
    keys = sorted(covered)
    if sample:
        keys = sorted(random.Random(seed).sample(keys, min(sample, len(keys))))
    rows = [
        _row(record, say, f"{number}/{len(keys)}", key, lambda k=key: _mutated(target, *covered[k], record))
        for number, key in enumerate(keys, start=1)
    ]
    return rows, uncovered


def _attacks(name: str, trace: Trace) -> list[Attack]:
    if trace.outcome != "green":
        return []
    return [(name, function, attack) for function, found in trace.functions.items() for attack in found]


def _sampled(target: Target, names: list[str], sample: int, seed: int, record: Record, say: Say) -> list[Attack]:
    """Draw claims first, so that only these have to be traced."""
    draw, chosen = random.Random(seed), set()
    for _ in range(sample):
        name = draw.choice(names)
        left = sorted({*_attacks(name, traced(target, name, record, say))} - chosen)
        if left:
            chosen.add(draw.choice(left))
    return sorted(chosen)


def _replaced(target: Target, attack: Attack, record: Record) -> Row:
    """Decide the claim under an attack; if nothing is noticed, once more to see whether the attack changed any value.

    A claim may call a function and not use its result, or use only some of its leaves. A leaf is "unused" if NaN, zero
    and a changed sign all go unnoticed. If one of these is noticed, an attack that is not has survived.
    """
    name, function, change = attack
    what, _, leaf = change.partition(" at ")
    spent = 0.0

    def decided(each: str, compare: bool = False) -> tuple[str, bool]:
        nonlocal spent
        before = record.rows.get(" ".join((name, function, each)))
        if before is not None and not compare:
            return ("green" if before["outcome"] in _UNNOTICED else before["outcome"]), True
        limits = [_limit(record.traces[name])]
        [(found, seconds)] = stream(replacing.decide, target, name, function, each, compare, limits=limits)
        spent += seconds
        return (found, True) if isinstance(found, str) else found

    outcome, _ = decided(change)
    if outcome == "green":
        kind = "integers " if what.startswith("integers") else ""
        others = {f"{kind}zero", f"{kind}negated", *([] if kind else ["NaN"])} - {what}
        if decided(change, compare=True) == ("green", False):
            outcome = "exempt"
        elif all(decided(f"{other} at {leaf}" if leaf else other)[0] == "green" for other in sorted(others)):
            outcome = "unused"
        else:
            outcome = "survived"
    return {"claim": name, "function": function, "attack": change, "outcome": outcome, "seconds": spent}


def _mutated(target: Target, mutant: Mutant, names: list[str], record: Record) -> Row:
    limits = [_limit(record.traces[name]) for name in names]
    answers = stream(mutating.decide, target, mutant.file, mutant.source, names, limits=limits)
    found = [(name, *answer) for name, answer in zip(names, answers, strict=False)]
    row = {name: getattr(mutant, name) for name in ("file", "function", "line", "before", "after")}
    row["seconds"] = sum(seconds for *_, seconds in found)
    for outcome in ("detected", "timeout", "crash"):
        if by := [name for name, each, _ in found if each == outcome]:
            return {**row, "outcome": outcome, "by": by[0]}
    return {**row, "outcome": "survived", "by": ", ".join(names)}


def _row(record: Record, say: Say, number: str, key: str, attack: Callable[[], Row]) -> Row:
    if key not in record.rows:
        row = record.rows[key] = attack()
        record.save()
        by = f" by {row['by']}" if row["outcome"] == "detected" and "by" in row else ""
        say(f"[{number}] {row['outcome']}{by}  {key}  {row['seconds']:.1f} s")
    return record.rows[key]


def _mutants(target: Target, files: str, traces: dict[str, Trace]) -> Iterator[Mutant]:
    root = engine.root(target)
    run = {file for trace in traces.values() for file in trace.lines if file.split("/")[0] in target.also}
    own = {str(path.relative_to(root)) for folder in target.formulas for path in (root / folder).rglob("*.py")}
    for file in sorted(own | run):
        if fnmatchcase(file, files):
            yield from mutating.mutants(root, file)


def _runs(trace: Trace, mutant: Mutant) -> bool:
    lines = trace.lines.get(mutant.file, [])
    return bool(lines) if mutant.run is None else any(mutant.run[0] <= line <= mutant.run[1] for line in lines)


def _limit(trace: Trace) -> float:
    """Wall-clock limit in seconds, generous for a busy machine."""
    return 120 + 20 * trace.seconds


def _unfit(trace: Trace) -> str:
    return "" if trace.outcome == "green" else f"; {trace.outcome} without any attack, so it is left out"
