"""Convert frozen records to JSON values and back."""

from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from circuits import checks
from circuits.tasks.task import TASKS, TaskConfig

TAG = "graph"
"""The JSON key that holds the name of a task, in its config."""


def as_json(value: Any, name: str = "") -> Any:
    """Return a record as JSON values. Raises ValueError naming a field that JSON cannot represent."""
    if is_dataclass(value):
        plain = {field.name: as_json(getattr(value, field.name), _inner(name, field.name)) for field in fields(value)}
        return {TAG: value.graph, **plain} if isinstance(value, TaskConfig) else plain
    if isinstance(value, tuple):
        return [as_json(part, name) for part in value]
    if isinstance(value, Path):
        return str(value)
    plain = value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value))
    checks.require(plain, name, "must be a finite number, a text, a path or None", value)
    return value


def leaves(record: Any) -> dict[str, Any]:
    """Return the fields of a record as JSON values, by names such as "task.nodes"."""
    return _flat(as_json(record), "")


def from_json(kind: Any, value: Any, name: str = "") -> Any:
    """Return the record of type ``kind`` with these values; a missing field, as in an older file, gets its default.

    Raises ValueError naming a field that has the wrong type, is unknown, or is missing and has no default.
    """
    if kind == TaskConfig:
        return _task(value, name)
    if is_dataclass(kind):
        return _record(kind, value, name)
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        checks.require(len(options) == 2 and NoneType in options, name, "must be of one type, or None", kind)
        return None if value is None else from_json(next(o for o in options if o is not NoneType), value, name)
    if origin is Literal:
        checks.require(
            any(type(value) is type(o) and value == o for o in options), name, f"must be in {options}", value
        )
        return value
    if origin is tuple:
        checks.require(isinstance(value, list), name, "must be a list", value)
        return tuple(from_json(options[0], part, name) for part in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    checks.require(type(value) is kind, name, f"must be of type {kind.__name__}", value)
    return value


def _task(value: Any, name: str) -> Any:
    checks.require(isinstance(value, dict), name or "task", "must be an object", value)
    graph = value.get(TAG)
    checks.choice(_inner(name, TAG), graph, tuple(TASKS))
    plain = {field: part for field, part in value.items() if field != TAG}
    return _record(TASKS[graph], _own_fields(plain, TASKS[graph], list(TASKS.values())), name)


def _own_fields(value: dict[str, Any], kind: Any, kinds: list[Any]) -> dict[str, Any]:
    """Return the fields of ``kind`` and unknown ones. Older files also have the fields of all other tasks."""
    types = [get_type_hints(each) for each in kinds]
    own, known = get_type_hints(kind), {field for each in types for field in each}
    result = {field: part for field, part in value.items() if field in own or field not in known}
    for field, part in result.items():
        if is_dataclass(own.get(field)) and isinstance(part, dict):
            result[field] = _own_fields(part, own[field], [each[field] for each in types if field in each])
    return result


def _record(kind: Any, value: Any, name: str) -> Any:
    checks.require(isinstance(value, dict), name or "config", "must be an object", value)
    types, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    for key in value:
        checks.require(key in known, _inner(name, key), f"must be one of {', '.join(known)}", value[key])
    for key, field in known.items():
        needed = field.default is MISSING and field.default_factory is MISSING
        checks.require(key in value or not needed, _inner(name, key), "must be there", "nothing")
    return kind(**{key: from_json(types[key], part, _inner(name, key)) for key, part in value.items()})


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: leaf for field, part in value.items() for key, leaf in _flat(part, _inner(name, field)).items()}


def _inner(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field
