"""Rotary positions of a Hugging Face config: ``rope_parameters`` since transformers 5, several fields before."""

from collections.abc import Sequence
from typing import Any

from circuits import checks
from circuits.pretrained.fields import Fields, integer, number

TYPES = ("default", "linear", "llama3")
KNOWN = {
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
}


def rotary(
    fields: Fields, theta: Sequence[str] = ("rope_theta",), fraction: Sequence[str] = (), default_fraction: float = 1.0
) -> dict[str, Any]:
    """The rotary fields of a ``TransformerConfig``.

    ``theta`` and ``fraction`` are the names that the base and the turned part of a head have outside of
    ``rope_parameters``. Without names for the fraction it must be 1. Raises ValueError for any other kind of rotary
    positions than default, linear and llama3, a parameter that none of them has, and values that contradict each
    other.
    """
    said = _parameters(fields)
    chosen = said.get("rope_type", said.get("type", "default"))
    known = isinstance(chosen, str) and chosen in TYPES
    checks.require(known, "rope_type", f"must be one of {', '.join(TYPES)}", chosen)
    unknown = sorted(said.keys() - KNOWN)
    checks.require(
        not unknown, "rope_parameters", f"must have no parameters but {', '.join(sorted(KNOWN))}", unknown[:5]
    )
    turned = _agreed(fields, said, "partial_rotary_factor", fraction, default_fraction)
    whole = bool(fraction) or (turned == 1 and fields.get("partial_rotary_factor") in (None, 1))
    checks.require(whole, "partial_rotary_factor", "must be 1", fields.get("partial_rotary_factor", turned))
    found = {"rotary_base": _agreed(fields, said, "rope_theta", theta, 10_000.0), "rotary_fraction": turned}
    return found | _scaling(fields, said, chosen)


def _scaling(fields: Fields, said: Fields, chosen: str) -> dict[str, Any]:
    if chosen == "default":
        return {}
    scaling: dict[str, Any] = {"rotary_factor": number(said, "factor")}
    if chosen == "linear":
        return scaling
    outside = fields.get("original_max_position_embeddings")
    rule = "must stand in rope_parameters alone"
    checks.require(outside is None, "original_max_position_embeddings", rule, outside)
    original = integer(said, "original_max_position_embeddings")
    ends = {"rotary_low": number(said, "low_freq_factor"), "rotary_high": number(said, "high_freq_factor")}
    return scaling | ends | {"rotary_original": original}


def _parameters(fields: Fields) -> Fields:
    given = {name: fields[name] for name in ("rope_parameters", "rope_scaling") if fields.get(name) is not None}
    for name, value in given.items():
        checks.require(isinstance(value, dict), name, "must be an object or null", value)
    first, *others = given.values() if given else ({},)
    checks.require(not others or first == others[0], "rope_scaling", f"must equal rope_parameters {first}", others)
    return first


def _agreed(fields: Fields, said: Fields, inside: str, outside: Sequence[str], default: float) -> float:
    """The one value under all of its names."""
    values = {name: number(fields, name) for name in outside if fields.get(name) is not None}
    if said.get(inside) is not None:
        values[f"rope_parameters.{inside}"] = number(said, inside)
    checks.require(len(set(values.values())) <= 1, inside, "must be the same under all of its names", values)
    return next(iter(values.values()), default)
