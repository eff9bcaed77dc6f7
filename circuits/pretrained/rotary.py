"""Read the rotary positions of a Hugging Face config, in the format of transformers 5 or before."""

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
    """Return the rotary fields of a ``TransformerConfig``.

    ``theta`` and ``fraction`` are the names of base and rotated fraction outside ``rope_parameters``. Without a name
    for the fraction, it must be 1. Raises ValueError for a type other than default, linear and llama3, an unknown
    parameter, and inconsistent values.
    """
    parameters = _parameters(fields)
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    known = isinstance(kind, str) and kind in TYPES
    checks.require(known, "rope_type", f"must be one of {', '.join(TYPES)}", kind)
    unknown = sorted(parameters.keys() - KNOWN)
    rule = f"must have no parameters but {', '.join(sorted(KNOWN))}"
    checks.require(not unknown, "rope_parameters", rule, unknown[:5])
    rotated = _consistent(fields, parameters, "partial_rotary_factor", fraction, default_fraction)
    whole = bool(fraction) or (rotated == 1 and fields.get("partial_rotary_factor") in (None, 1))
    checks.require(whole, "partial_rotary_factor", "must be 1", fields.get("partial_rotary_factor", rotated))
    base = _consistent(fields, parameters, "rope_theta", theta, 10_000.0)
    return {"rotary_base": base, "rotary_fraction": rotated} | _scaling(fields, parameters, kind)


def _scaling(fields: Fields, parameters: Fields, kind: str) -> dict[str, Any]:
    if kind == "default":
        return {}
    factor = {"rotary_factor": number(parameters, "factor")}
    if kind == "linear":
        return factor
    outside = fields.get("original_max_position_embeddings")
    checks.require(
        outside is None, "original_max_position_embeddings", "must be in rope_parameters, not outside", outside
    )
    return factor | {
        "rotary_original": integer(parameters, "original_max_position_embeddings"),
        "rotary_low": number(parameters, "low_freq_factor"),
        "rotary_high": number(parameters, "high_freq_factor"),
    }


def _parameters(fields: Fields) -> Fields:
    present = {name: fields[name] for name in ("rope_parameters", "rope_scaling") if fields.get(name) is not None}
    for name, value in present.items():
        checks.require(isinstance(value, dict), name, "must be an object or null", value)
    first, *others = present.values() if present else ({},)
    checks.require(not others or first == others[0], "rope_scaling", f"must equal rope_parameters {first}", others)
    return first


def _consistent(fields: Fields, parameters: Fields, inside: str, outside: Sequence[str], default: float) -> float:
    """Return the value that all given names agree on."""
    values = {name: number(fields, name) for name in outside if fields.get(name) is not None}
    if parameters.get(inside) is not None:
        values[f"rope_parameters.{inside}"] = number(parameters, inside)
    checks.require(len(set(values.values())) <= 1, inside, "must be the same under all of its names", values)
    return next(iter(values.values()), default)
