"""Read fields of a config.json that another program wrote; a wrong type raises an error that names the field."""

from collections.abc import Mapping
from typing import Any

from circuits import checks

Fields = Mapping[str, Any]
MAX_SIZE = 2**48
"""The limit for an integer: larger than any size in a file, while a product of two is finite in float64."""


def integer(fields: Fields, name: str, default: int | None = None, max_value: int = MAX_SIZE) -> int:
    """Return an integer between 1 and ``max_value``. The default, if any, replaces null or a missing field."""
    value = _given(fields, name, default)
    if fields.get(name) is not None:
        checks.integer(name, value, 1, max_value)
    return value


def number(fields: Fields, name: str, default: float | None = None) -> float:
    """Return a positive number below 1e300. The default, if any, replaces null or a missing field."""
    value = _given(fields, name, default)
    real = isinstance(value, int | float) and not isinstance(value, bool)
    checks.require(real and 0 < value < 1e300, name, "must be a positive number below 1e300", value)
    return float(value)


def flag(fields: Fields, name: str, default: bool) -> bool:
    """Return a boolean; null raises an error, because other programs read it as false."""
    value = fields.get(name, default)
    checks.require(isinstance(value, bool), name, "must be true or false", value)
    return value


def choice(fields: Fields, name: str, options: Mapping[str, str], default: str) -> str:
    """Return the option that the field names."""
    value = fields.get(name, default)
    known = isinstance(value, str) and value in options
    checks.require(known, name, f"must be one of {', '.join(options)}", value)
    return options[value]


def fixed(fields: Fields, values: Mapping[str, tuple[Any, ...]]) -> None:
    """Check that each of these fields is absent or has an allowed value. True and 1 are different values."""
    for name, allowed in values.items():
        value = fields.get(name, allowed[0])
        same = any(type(value) is type(option) and value == option for option in allowed)
        checks.require(same, name, f"must be {' or '.join(map(repr, allowed))}: nothing else is implemented", value)


def _given(fields: Fields, name: str, default: Any) -> Any:
    value = default if fields.get(name) is None else fields[name]
    checks.require(value is not None, name, "must be given", None)
    return value
