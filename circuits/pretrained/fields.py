"""Fields of another program's config.json, each of the right type or an error that names it."""

from collections.abc import Mapping
from typing import Any

from circuits import checks

Fields = Mapping[str, Any]
MOST = 2**48
"""Of what a file can hold; no product of two such is beyond float64."""


def integer(fields: Fields, name: str, default: int | None = None, most: int = MOST) -> int:
    """An integer between 1 and ``most``; null and absent are the default, if there is one."""
    value = _given(fields, name, default)
    if fields.get(name) is not None:
        checks.integer(name, value, 1, most)
    return value


def number(fields: Fields, name: str, default: float | None = None) -> float:
    """A positive number below 1e300; null and absent are the default, if there is one."""
    value = _given(fields, name, default)
    real = isinstance(value, int | float) and not isinstance(value, bool)
    checks.require(real and 0 < value < 1e300, name, "must be a positive number below 1e300", value)
    return float(value)


def flag(fields: Fields, name: str, default: bool) -> bool:
    """True or false; null is an error, since programs read it as false."""
    value = fields.get(name, default)
    checks.require(isinstance(value, bool), name, "must be true or false", value)
    return value


def choice(fields: Fields, name: str, options: Mapping[str, str], default: str) -> str:
    """What one of some words stands for."""
    value = fields.get(name, default)
    known = isinstance(value, str) and value in options
    checks.require(known, name, f"must be one of {', '.join(options)}", value)
    return options[value]


def fixed(fields: Fields, values: Mapping[str, tuple[Any, ...]]) -> None:
    """Each of these fields is absent or has one of the values at which it changes nothing that ours does.

    True and 1 are told apart.
    """
    for name, allowed in values.items():
        value = fields.get(name, allowed[0])
        same = any(type(value) is type(option) and value == option for option in allowed)
        checks.require(same, name, f"must be {' or '.join(map(repr, allowed))}: nothing else is implemented", value)


def _given(fields: Fields, name: str, default: Any) -> Any:
    value = default if fields.get(name) is None else fields[name]
    checks.require(value is not None, name, "must be given", None)
    return value
