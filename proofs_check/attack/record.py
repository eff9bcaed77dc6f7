"""Outcomes of attacks, saved to a file so that an interrupted run can resume, and explanations of survivors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from circuits.files import write_text
from proofs_check.attack.tracing import Trace

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
        """Read the file if the same code wrote it; else return an empty record."""
        record = cls(file, code)
        if file is not None and file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["code"] == code:
                record.traces = {name: Trace(**values) for name, values in found["traces"].items()}
                record.rows = found["rows"]
        return record

    def save(self) -> None:
        """Write the file, if there is one."""
        if self.file is not None:
            traces = {name: trace._asdict() for name, trace in self.traces.items()}
            write_text(self.file, json.dumps({"code": self.code, "traces": traces, "rows": self.rows}, indent=1) + "\n")


def explanations(kind: str, file: Path = EXPLAINED) -> list[Mapping[str, Any]]:
    """Read the entries for "functions" or "formulas". Each has a reason, ``why``, and fields that are glob patterns."""
    found = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get(kind) or []
    for entry in found:
        if not str(entry.get("why", "")).strip():
            raise ValueError(f"{file}: {kind}: why: must be given, got {entry!r}")
    return found


def explanation(row: Row, entries: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first entry whose fields all equal, or match as patterns, those of the row."""
    for entry in entries:
        fields = [name for name in entry if name not in ("why", "equivalent")]
        if all(entry[name] == row[name] or fnmatchcase(row[name], entry[name]) for name in fields):
            return entry
    return None
