"""Outcomes of attacks, saved to a file so that an interrupted run can resume, and explanations of survivors."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from circuits.files import write_text
from proofs_check.attack.engine import Target
from proofs_check.attack.processes import stream
from proofs_check.attack.tracing import Trace, trace

EXPLAINED = Path(__file__).with_name("explained.yaml")
Row = dict[str, Any]
"""One attack: its target, its ``outcome`` and ``seconds`` of processor time."""


@dataclass
class Record:
    """Traces of claims and rows of attacks by key. ``code`` is the checksum of the code that they depend on."""

    file: Path | None
    code: str
    traces: dict[str, Trace] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path | None, code: str) -> "Record":
        """Read the file if the same code wrote it; otherwise return an empty record."""
        record = cls(file, code)
        if file is not None and file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["code"] == code:
                record.traces = {name: Trace(**values) for name, values in content["traces"].items()}
                record.rows = content["rows"]
        return record

    def save(self) -> None:
        """Write the file, if there is one."""
        if self.file is not None:
            traces = {name: trace._asdict() for name, trace in self.traces.items()}
            write_text(self.file, json.dumps({"code": self.code, "traces": traces, "rows": self.rows}, indent=1) + "\n")


def traced(target: Target, name: str, record: Record, say: Callable[[str], None]) -> Trace:
    """Return the trace of a claim, from the record if it has one."""
    if name not in record.traces:
        [(result, _)] = stream(trace, target, name, limits=[3600.0])
        fresh = record.traces[name] = result if isinstance(result, Trace) else Trace("crash", {}, {}, 0.0)
        record.save()
        unfit = "" if fresh.outcome == "green" else f"; {fresh.outcome} without any attack, so it is left out"
        say(f"{name}: {len(fresh.functions)} functions, {fresh.seconds:.0f} s{unfit}")
    return record.traces[name]


def explanations(kind: str, file: Path = EXPLAINED) -> list[Mapping[str, Any]]:
    """Return the entries for "functions" or "formulas": a reason, ``why``, and fields that are glob patterns."""
    entries = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get(kind) or []
    for entry in entries:
        if not str(entry.get("why", "")).strip():
            raise ValueError(f"{file}: {kind}: why: must be given, got {entry!r}")
    return entries


def explanation(row: Row, entries: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the first entry whose fields all equal, or match as patterns, those of the row."""
    for entry in entries:
        fields = [name for name in entry if name not in ("why", "equivalent")]
        if all(entry[name] == row[name] or fnmatchcase(row[name], entry[name]) for name in fields):
            return entry
    return None
