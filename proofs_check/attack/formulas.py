"""The second campaign: mutate the source of formulas, and decide the claims that run the mutated line.

Claims are decided until one detects the mutant: first those that have detected another mutant of the same function,
then the cheapest. A claim that ignores the function's result according to the first campaign is left out.
"""

import random
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from proofs_check.attack import engine, mutating
from proofs_check.attack.engine import Target
from proofs_check.attack.functions import row_key
from proofs_check.attack.mutating import Mutant
from proofs_check.attack.processes import stream
from proofs_check.attack.record import Record, Row, traced
from proofs_check.attack.tracing import Trace, time_limit

Say = Callable[[str], None]


def campaign(
    target: Target, only: tuple[str, ...], files: str, sample: int, seed: int, record: Record, say: Say
) -> tuple[list[Row], list[Mutant]]:
    """Mutate formulas, all or ``sample`` of them. Returns the rows, and the mutants that no claim runs or reads."""
    traces = {name: traced(target, name, record, say) for name in engine.claims(target, only)}
    tested: dict[str, tuple[Mutant, list[str]]] = {}
    untested, ignored = [], _ignored(traces, record)
    for mutant in _mutants(target, files, traces):
        names = [name for name, trace in traces.items() if trace.outcome == "green" and _runs(trace, mutant)]
        functions = mutating.enclosing_functions(target, mutant)
        if reading := [name for name in names if not any((name, each) in ignored for each in functions)]:
            tested[mutant.key] = mutant, reading
        elif names or mutant.file.split("/")[0] not in target.also:
            untested.append(mutant)
    keys = sorted(tested)
    if sample:
        keys = sorted(random.Random(seed).sample(keys, min(sample, len(keys))))
    detecting: set[tuple[str, str]] = set()
    for number, key in enumerate(keys, start=1):
        mutant, names = tested[key]
        if key not in record.rows:
            names.sort(key=lambda name, of=mutant: ((of.function, name) not in detecting, traces[name].seconds))
            row = record.rows[key] = _decided(target, mutant, names, traces)
            record.save()
            say(f"[{number}/{len(keys)}] {row['outcome']} by {row['by']}  {key}  {row['seconds']:.1f} s")
        if record.rows[key]["outcome"] == "detected":
            detecting.add((mutant.function, record.rows[key]["by"]))
    return [record.rows[key] for key in keys], untested


def _decided(target: Target, mutant: Mutant, names: list[str], traces: dict[str, Trace]) -> Row:
    limits = [time_limit(traces[name]) for name in names]
    outcomes = stream(mutating.decide, target, mutant.file, mutant.source, names, limits=limits)
    decided = [(name, *outcome) for name, outcome in zip(names, outcomes, strict=False)]
    row = {name: getattr(mutant, name) for name in ("file", "function", "line", "before", "after")}
    row["seconds"] = sum(seconds for *_, seconds in decided)
    for outcome in ("detected", "timeout", "crash"):
        if by := [name for name, each, _ in decided if each == outcome]:
            return {**row, "outcome": outcome, "by": by[0]}
    return {**row, "outcome": "survived", "by": ", ".join(names)}


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


def _ignored(traces: dict[str, Trace], record: Record) -> set[tuple[str, str]]:
    """Return (claim, function) where the claim noticed none of the attacks on the function's result."""
    ignored = set()
    for name, trace in traces.items():
        for function, changes in trace.functions.items():
            outcomes = {record.rows.get(row_key(name, function, each), {}).get("outcome") for each in changes}
            if "unused" in outcomes and outcomes <= {"unused", "exempt"}:
                ignored.add((name, function))
    return ignored
